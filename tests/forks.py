"""Run programs in their own processes, forked from a Python server that has already imported the slow libraries.

    OFFLINE.run("import sys; sys.exit('hrm_align' in sys.modules)")

The programs share only those imports. Each has its own environment, working folder, output and later imports. All processes of a
test run share one server of each kind: the first that needs it starts it, and it ends with the test run.
"""

import base64
import fcntl
import hashlib
import json
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
_OWNER = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()  # the process of the whole test run
_FOLDER = Path(tempfile.gettempdir()) / f"forks-{os.getuid()}-{_OWNER}"

_SERVER = """
import os
if os.fork():
    os._exit(0)  # the server is no child of a test run, whose tests count the processes that they leave behind
import atexit, gc, json, os, runpy, selectors, shutil, signal, socket, sys, threading, traceback
import {imports}
gc.freeze()
address, owner = sys.argv[1], int(sys.argv[2])
listener = socket.socket(socket.AF_UNIX)
listener.bind(address)
listener.listen(64)
woken, waker = socket.socketpair()
waker.setblocking(False)
woken.setblocking(False)
signal.signal(signal.SIGCHLD, lambda *_: None)  # writes a byte to `waker`, which ends the wait below
signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
waiting = selectors.DefaultSelector()
waiting.register(listener, selectors.EVENT_READ)
waiting.register(woken, selectors.EVENT_READ)
children = {{}}  # connection by process
print("ready", flush=True)
os.dup2(os.open(os.devnull, os.O_RDWR), 1)


def run(request):
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for open_one in (listener, woken, waker, waiting, *children.values()):
        open_one.close()
    for number, path in ((1, request["out"]), (2, request["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["folder"])
    if "torch" in sys.modules and "OMP_NUM_THREADS" in os.environ:  # which torch has read before
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
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
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 255)


def is_over():
    try:
        os.kill(owner, 0)
    except ProcessLookupError:
        return True


while not is_over():
    for key, _ in waiting.select(1):
        if key.fileobj is woken:
            woken.recv(4096)
        elif key.fileobj is listener:
            connection = listener.accept()[0]
            with connection.makefile() as lines:
                request = json.loads(lines.readline())
            child = os.fork()
            if not child:
                connection.close()
                run(request)
            children[child] = connection
            connection.sendall(b"%d\\n" % child)
        while children:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                break
            with children.pop(child) as connection:
                connection.sendall(b"%d\\n" % os.waitstatus_to_exitcode(status))
for child in children:
    os.kill(child, signal.SIGKILL)
shutil.rmtree(os.path.dirname(address), ignore_errors=True)
"""

_CALL = """
import base64, pickle
function, arguments = pickle.loads(base64.b64decode({pickled!r}))
function(*arguments)
"""


class Forks:
    """A server that forks a process for each program. It starts with the first program and ends with the test run.

    Args:
        imports: names of the modules to import before the first fork.
        flags: command-line options of Python.
    """

    def __init__(self, *imports: str, flags: tuple[str, ...] = ()):
        self._command = [sys.executable, *flags, "-c", _SERVER.format(imports=", ".join(imports))]
        self._environment = dict(os.environ)  # before any test changes it
        self._name = hashlib.sha256(" ".join(self._command).encode()).hexdigest()[:8]  # a socket's path must be short

    def run(self, program: str | None, *words: str, **more: Any) -> SimpleNamespace:
        """Run a program to its end. Returns `returncode`, `stdout` and `stderr`. The arguments are those of `start`."""
        with tempfile.TemporaryDirectory() as scratch:
            out, err = Path(scratch) / "out", Path(scratch) / "err"
            code = self.start(program, *words, out=out, err=err, **more).wait()
            return SimpleNamespace(returncode=code, stdout=out.read_text(), stderr=err.read_text())

    def call(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> "Fork":
        """Start a function of a module that can be imported from the repository's root. Further arguments are those of `start`."""
        pickled = base64.b64encode(pickle.dumps((function, arguments))).decode()
        return self.start(_CALL.format(pickled=pickled), paths=[ROOT], **more)

    def start(
        self,
        program: str | None,
        *words: str,
        env: dict[str, str] | None = None,
        folder: Path | str = ".",
        paths: Sequence[Path | str] = (),
        out: Path | str = os.devnull,
        err: Path | str = os.devnull,
    ) -> "Fork":
        """Start a program or a script.

        Args:
            program: text of a program; None for a script, whose path is then the first word.
            words: `sys.argv`.
            env: the whole environment; by default that of the test.
            folder: working folder.
            paths: folders that are put before `sys.path`.
            out: file to which standard output is appended.
            err: file to which standard error is appended.
        """
        environment, places = dict(os.environ if env is None else env), [str(path) for path in paths]
        request = {"program": program, "words": [*words] or ["-c"], "env": environment, "paths": places}
        request |= {"folder": str(Path(folder).absolute()), "out": str(out), "err": str(err)}
        connection = self._connect()
        connection.sendall(json.dumps(request).encode() + b"\n")
        return Fork(connection)

    def _connect(self) -> socket.socket:
        """Connect to the server of this test run, and start it if there is none."""
        _FOLDER.mkdir(mode=0o700, exist_ok=True)
        address = _FOLDER / self._name
        with (_FOLDER / f"{self._name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                return _connected(address)
            except OSError:
                address.unlink(missing_ok=True)
            command = [*self._command, str(address), str(_OWNER)]
            pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            server = subprocess.Popen(command, cwd=ROOT, env=self._environment, **pipes)
            assert server.stdout and server.stdout.readline() == b"ready\n", "the server did not start: " + command[-3]
            server.wait()
            return _connected(address)


def _connected(address: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(address))
    return connection


class Fork:
    """A running program, with the methods of `multiprocessing.Process`.

    Attributes:
        pid: process number.
        exitcode: exit code, or minus the signal number; None while the program runs.
    """

    def __init__(self, connection: socket.socket):
        self._connection, self._lines = connection, connection.makefile()
        self.pid = int(self._lines.readline())
        self._code: int | None = None

    def fileno(self) -> int:
        """The number of a file that is readable when the program has ended."""
        return self._connection.fileno()

    @property
    def exitcode(self) -> int | None:
        self.join(0)
        return self._code

    def is_alive(self) -> bool:
        return self.exitcode is None

    def join(self, seconds: float | None = None) -> None:
        """Wait for the end of the program, at most for some seconds."""
        if self._code is None:
            with selectors.DefaultSelector() as ends:
                ends.register(self, selectors.EVENT_READ)
                if ends.select(seconds):
                    self._code = int(self._lines.readline())

    def wait(self) -> int:
        """Wait for the end of the program and return its exit code, or minus the signal number."""
        self.join()
        assert self._code is not None
        return self._code

    def send_signal(self, number: int) -> None:
        """Send the program a signal, if it still runs; can be called from another thread than `wait`."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the program; can be called from another thread than `wait`."""
        self.send_signal(signal.SIGKILL)
        while psutil.pid_exists(self.pid):
            time.sleep(0.01)


_TORCH = ("torch", "torch._dynamo", "torch.distributed.tensor", "torch.distributed.fsdp", "pandas")
OFFLINE = Forks(*_TORCH, "datasets", "accelerate")  # its huggingface_hub is offline, like the tests
PLAIN = Forks(*_TORCH)
STOCK = Forks("torch", "peft", "transformers.models.hrm_text.modeling_hrm_text", flags=("-I",))  # without hrm_align
PRELOADED = Forks("tests.preloaded")  # all that the recipes and the tests' own functions need
