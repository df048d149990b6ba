"""The launcher of vLLM, with a small server in vLLM's place: flags, readiness, warnings on pre-emptions, and the end of both."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from hrm_align.serve.address import bind
from hrm_align.serve.vllm import build_command, describe_preemptions

STAND_IN = """
import http.server, os, sys
class Pages(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Pages.asked += self.path == "/metrics"
        text = b"vllm:num_preemptions_total{engine=\\"0\\"} %d\\n" % max(0, Pages.asked - 1)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text if self.path == "/metrics" else os.environ.get("VLLM_API_KEY", "").encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Pages).serve_forever()
"""
RUN = """
import sys
from hrm_align.serve import vllm
vllm.WATCH_SECONDS = 0.2
port, code = sys.argv[1:]
vllm.run_vllm([sys.executable, "-c", code, port], f"http://127.0.0.1:{port}", "s3cret", lambda: print("ready", flush=True))
"""


def test_the_flags_are_those_that_were_measured():
    words = build_command(
        "py", "folder", "name", host="127.0.0.1", port=1, context=4096, max_running=16, dtype="auto", more=["--x"]
    )
    flags = dict(zip(words[3::2], words[4::2], strict=False))
    assert flags["--max-num-batched-tokens"] == flags["--max-model-len"] == "4096" and flags["--max-num-seqs"] == "16"
    assert {"--no-enable-chunked-prefill", "--no-enable-prefix-caching", "--x"} <= {*words}
    assert "--max_running" in describe_preemptions(2)


@pytest.mark.campaign
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_engine_ends_with_the_command(tmp_path, number):
    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-c", RUN, str(port), STAND_IN]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        assert process.stdout.readline() == "ready\n"
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 2 and all("s3cret" not in word for child in children for word in child.cmdline())
        for _ in range(100):
            if "pre-empted 2 requests" in (tmp_path / "log").read_text():
                break
            time.sleep(0.05)
        process.send_signal(number)
        process.wait()
    assert "pre-empted 2 requests" in (tmp_path / "log").read_text()
    assert psutil.wait_procs(children, timeout=6)[1] == []
