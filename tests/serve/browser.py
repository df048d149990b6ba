"""Drive the page of a server in Chromium, over its remote debugging protocol.

python -m tests.serve.browser http://127.0.0.1:8000/ docs/assets/serve-page.png   # a conversation, and a picture of it
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0", "--window-size=900,560",
         "--hide-scrollbars")  # fmt: skip


class Page:
    """A page of the browser; `errors` are its exceptions and messages of the console."""

    def __init__(self, socket):
        self._socket, self._number, self.errors = socket, 0, []

    async def call(self, method, **parameters):
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = json.loads((await asyncio.wait_for(self._socket.receive(), 60)).data)
            if message.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                self.errors.append(message["params"])
            if message.get("id") == self._number:
                return message["result"]

    async def run(self, script):
        """The value of a script."""
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def wait(self, script):
        for _ in range(600):
            if value := await self.run(script):
                return value
            await asyncio.sleep(0.05)
        raise AssertionError(f"never true: {script}")

    async def type(self, id, text):
        """Write into a field as a person does."""
        await self.run(f"document.getElementById('{id}').focus(); document.getElementById('{id}').select?.()")
        await self.call("Input.insertText", text=text)

    async def press_enter(self):
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
            )

    async def ask(self, text):
        """Send a message, and return how often the answer has grown, and the turns afterwards."""
        before = await self.run("document.querySelectorAll('#turns li').length")
        await self.run("""window.grown = 0; window.watcher?.disconnect();
            window.watcher = new MutationObserver(() => window.grown++);
            window.watcher.observe(document.getElementById('turns'), {subtree: true, childList: true, characterData: true}); true""")
        await self.type("text", text)
        await self.press_enter()
        await self.wait(
            f"!running && (document.querySelectorAll('#turns li').length === {before + 2} || at('error').textContent)"
        )
        return await self.run("window.grown"), await self.turns()

    async def turns(self):
        return await self.run(
            "[...document.querySelectorAll('#turns li')].map(item => [item.className, item.textContent])"
        )

    async def picture(self, path):
        answer = await self.call("Page.captureScreenshot", format="png")
        Path(path).write_bytes(base64.b64decode(answer["data"]))


@asynccontextmanager
async def browser(url):
    """Open a page in a `with` block."""
    import aiohttp

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen([CHROMIUM, *FLAGS, f"--user-data-dir={folder}", url], stderr=subprocess.DEVNULL)
        try:
            port_file = Path(folder) / "DevToolsActivePort"
            for _ in range(600):
                if port_file.exists() and "\n" in port_file.read_text():
                    break
                await asyncio.sleep(0.05)
            port = port_file.read_text().split("\n")[0]
            async with aiohttp.ClientSession() as session:
                pages = []
                while not pages:
                    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                        pages = [
                            page
                            for page in await answer.json()
                            if page["type"] == "page" and page["url"].startswith("http")
                        ]
                    await asyncio.sleep(0.05)
                async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=2**26) as socket:
                    page = Page(socket)
                    for domain in ("Runtime", "Log", "Page"):
                        await page.call(f"{domain}.enable")
                    await page.wait("document.readyState === 'complete' && typeof at === 'function'")
                    yield page
        finally:
            process.terminate()
            process.wait()


async def show(url, path):
    """Hold a conversation, and take a picture of it."""
    async with browser(url) as page:
        await page.wait("at('model').options.length > 0")
        await page.call("Emulation.setDeviceMetricsOverride", width=820, height=560, deviceScaleFactor=1, mobile=False)
        for text in ("Ruzor is 32 years old. How old is Ruzor?", "Jofan is 46 years old. How old is Jofan?"):
            _, turns = await page.ask(text)
        print(turns, page.errors)
        await page.picture(path)


if __name__ == "__main__":
    asyncio.run(show(*sys.argv[1:]))
