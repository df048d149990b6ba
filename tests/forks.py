"""Run programs in their own processes, forked from a Python server that has already imported the slow libraries.

    OFFLINE.run("import sys; sys.exit('hrm_align' in sys.modules)")

The programs share only those imports. Each has its own environment, working folder, output and later imports.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import psutil

_SERVER = """
import gc, json, os, runpy, sys, traceback
import {imports}
gc.freeze()
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if not child:
        for number, path in ((1, request["out"]), (2, request["err"])):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["folder"])
        sys.path[:0] = request["paths"]
        sys.argv, code = request["words"], 0
        try:
            if request["program"] is None:
                runpy.run_path(sys.argv[0], run_name="__main__")
            else:
                exec(compile(request["program"], "<program>", "exec"), {{"__name__": "__main__"}})
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            if code == 1 and end.code != 1:
                print(end.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """A server that forks a process for each program. It starts with the first program and ends with the test run.

    Args:
        imports: names of the modules to import before the first fork.
        flags: command-line options of Python.
    """

    def __init__(self, *imports: str, flags: tuple[str, ...] = ()):
        self._command = [sys.executable, *flags, "-c", _SERVER.format(imports=", ".join(imports))]
        self._server: subprocess.Popen[str] | None = None

    def run(self, program: str | None, *words: str, **more: Any) -> SimpleNamespace:
        """Run a program to its end. Returns `returncode`, `stdout` and `stderr`. The arguments are those of `start`."""
        with tempfile.TemporaryDirectory() as scratch:
            out, err = Path(scratch) / "out", Path(scratch) / "err"
            code = self.start(program, *words, out=out, err=err, **more).wait()
            return SimpleNamespace(returncode=code, stdout=out.read_text(), stderr=err.read_text())

    def start(
        self,
        program: str | None,
        *words: str,
        env: dict[str, str] | None = None,
        folder: Path | str = ".",
        paths: Sequence[str] = (),
        out: Path | str = os.devnull,
        err: Path | str = os.devnull,
    ) -> "Fork":
        """Start a program or a script. Wait for it before starting the next one.

        Args:
            program: text of a program; None for a script, whose path is then the first word.
            words: `sys.argv`.
            env: the whole environment; by default that of the test.
            folder: working folder.
            paths: folders that are put before `sys.path`.
            out: file for standard output.
            err: file for standard error.
        """
        if self._server is None or self._server.poll() is not None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self._server = subprocess.Popen(self._command, text=True, **pipes)
        environment, places = dict(os.environ if env is None else env), [str(path) for path in paths]
        request = {"program": program, "words": [*words] or ["-c"], "env": environment, "paths": places}
        request |= {"folder": str(Path(folder).absolute()), "out": str(out), "err": str(err)}
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return Fork(int(self._server.stdout.readline()), self._server.stdout)


class Fork:
    """A running program."""

    def __init__(self, pid: int, ends: IO[str]):
        self._pid, self._ends = pid, ends

    def send_signal(self, number: int) -> None:
        """Send the program a signal."""
        os.kill(self._pid, number)

    def kill(self) -> None:
        """Kill the program; can be called from another thread than `wait`."""
        self.send_signal(signal.SIGKILL)
        while psutil.pid_exists(self._pid):
            time.sleep(0.01)

    def wait(self) -> int:
        """Wait for the program and return its exit code, or minus the signal number."""
        return int(self._ends.readline())


_TORCH = ("torch", "torch._dynamo", "torch.distributed.tensor", "torch.distributed.fsdp", "pandas")
OFFLINE = Forks(*_TORCH, "datasets", "accelerate")  # its huggingface_hub is offline, like the tests
PLAIN = Forks(*_TORCH)
STOCK = Forks("torch", "peft", "transformers.models.hrm_text.modeling_hrm_text", flags=("-I",))  # without hrm_align
