"""A terminal of 80 columns: a pseudo-terminal to print to and to type into, and what its screen shows in the end."""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WIDTH = 80
_TOKENS = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n])")


class Terminal:
    """A terminal.

    Attributes:
        path: device file to write to.
    """

    def __init__(self):
        self._master, self._slave = os.openpty()
        self.path, self._written = Path(os.ttyname(self._slave)), b""
        self._reader = threading.Thread(target=self._read, daemon=True)  # its buffer holds only 4 KB
        self._reader.start()

    def _read(self):
        while True:
            try:
                part = os.read(self._master, 1 << 16)
            except OSError:  # the last writer has closed it
                part = b""
            if not part:
                return
            self._written += part

    @property
    def raw(self) -> str:
        """Everything that has been written to it."""
        return self._written.decode(errors="replace")

    def type(self, text: str):
        os.write(self._master, text.encode())

    def wait_for(self, text: str, start: int = 0, seconds: float = 60) -> str:
        """Wait until a text has been written behind a place of `raw`, and return all that is there."""
        end = time.monotonic() + seconds
        while text not in self.raw[start:]:
            assert time.monotonic() < end, f"{text!r} is not in {self.raw[start:]!r}"
            time.sleep(0.005)
        return self.raw[start:]

    def close(self):
        os.close(self._slave)
        self._reader.join(timeout=10)
        os.close(self._master)

    @property
    def screen(self) -> list[str]:
        """The lines on the screen, after carriage returns, movements of the cursor and erased lines."""
        lines, row, column = [""], 0, 0
        for numbers, command, back, new, character in _TOKENS.findall(self.raw):
            if back:
                column = 0
            elif command == "A":
                row = max(0, row - int(numbers or 1))
            elif command == "K":
                lines[row] = "" if numbers == "2" else lines[row][:column]
            elif command:
                assert command in "mhl", f"the test's terminal does not know {command}"
            else:
                if new or column == WIDTH:
                    row, column = row + 1, column if new else 0
                    lines += [""] * (row + 1 - len(lines))
                if character:
                    line = lines[row].ljust(column)
                    lines[row] = line[:column] + character + line[column + 1 :]
                    column += 1
        return [line.rstrip() for line in lines]


@contextmanager
def terminal_as_stderr(monkeypatch) -> Iterator[Terminal]:
    """Make a terminal the standard error of this process."""
    for name in ("TTY_COMPATIBLE", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("TERM", "xterm"), ("COLUMNS", str(WIDTH)), ("LINES", "40")):
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    with terminal.path.open("w", buffering=1) as stream, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        yield terminal
    terminal.close()
