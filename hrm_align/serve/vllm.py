"""Start vLLM in an environment of its own with the flags that this model needs, watch it, and end it.

Without these flags vLLM answers wrongly or not at all: see docs/results/engines.md.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hrm_align.errors import RunError, UserError
from hrm_align.rewards.judge_client import Names, Unanswered
from hrm_align.rollouts.http_server import HttpServer

NAMES = Names("the vLLM server", "the deadline", "--host", "--model", "HRM_ALIGN_API_KEY")
WATCH_SECONDS = 5.0
START_SECONDS = 1800.0  # time for vLLM to load a model
STOP_SECONDS = 2.5  # time for vLLM to end before it is killed; below `hrm_align.signals.CLEANUP_SECONDS`
# Ends vLLM's process group when standard input closes, which the system does however this process ends. The handler, unlike an
# ignored signal, is not inherited by vLLM.
_GUARD = """\
import os, signal, subprocess, sys, threading, time
signal.signal(signal.SIGTERM, lambda *_: None)
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def end():
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGTERM)
    time.sleep(2)
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=end, daemon=True).start()
code = child.wait()
os._exit(code if code >= 0 else 128 - code)
"""


def build_command(
    python: str, model: str, name: str, *, host: str, port: int, context: int, max_running: int, dtype: str, more: Sequence[str] = ()
) -> list[str]:  # fmt: skip
    """Return the command that starts vLLM.

    Args:
        python: Python of the environment that has vLLM.
        model: folder or Hub id of an export.
        name: name of the model for clients.
        host, port: address.
        context: longest prompt and answer together, in tokens: a step takes as many, because vLLM never starts a longer prompt.
        max_running: most answers at the same time.
        dtype: dtype, or `auto`.
        more: further arguments of vLLM.
    """
    return [
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", name, "--host", host, "--port",
        str(port), "--max-model-len", str(context), "--max-num-batched-tokens", str(context), "--max-num-seqs", str(max_running),
        "--no-enable-chunked-prefill", "--no-enable-prefix-caching", "--dtype", dtype, *more,
    ]  # fmt: skip


def check_python(path: str | None) -> str:
    """Return the path of a Python program that has vLLM. Raises UserError if there is none."""
    if path is None:
        raise UserError(
            "--engine vllm needs --engine_python: the Python of an environment that has vLLM, which needs another release of Transformers "
            "(python -m venv vllm-env && vllm-env/bin/pip install vllm)."
        )
    python = Path(path).expanduser().absolute()  # not resolved: a virtual environment is found by its link
    if not python.is_file() or not os.access(python, os.X_OK):
        raise UserError(
            f"invalid value for --engine_python: {path}. Name the Python program of an environment, such as vllm-env/bin/python."
        )
    check = [str(python), "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"]
    if subprocess.run(check, stdin=subprocess.DEVNULL, capture_output=True, env=_environment("")).returncode:
        raise UserError(f"the environment of {path} has no vLLM. Install it there: {path} -m pip install vllm.")
    return str(python)


def _environment(key: str) -> dict[str, str]:
    """Return the environment of vLLM: without this package's paths, and closed to changes of the weights."""
    hidden = {"PYTHONPATH", "VLLM_SERVER_DEV_MODE", "VLLM_API_KEY", "HRM_ALIGN_API_KEY"}
    inherited = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**inherited, "DO_NOT_TRACK": "1", "VLLM_CPU_OMP_THREADS_BIND": os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "nobind"),
            **({"VLLM_API_KEY": key} if key else {})}  # fmt: skip


def run_vllm(command: Sequence[str], url: str, key: str, on_ready: Callable[[], object]) -> None:
    """Run vLLM until a signal, and end it. Its log goes to standard error.

    Args:
        command: command of `build_command`.
        url: its address.
        key: API key; blank for none. It is passed in the environment, which no list of processes shows.
        on_ready: called once the server answers.

    Raises:
        RunError: if vLLM ends, or does not start.
    """
    guard = [sys.executable, "-S", "-c", _GUARD, *command]
    process = subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=2, env=_environment(key), start_new_session=True)
    server = HttpServer(url, NAMES)
    try:
        _wait_until_ready(server, process)
        on_ready()
        _watch(server, process)
    finally:
        _end(process)


def _wait_until_ready(server: HttpServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None:
        with suppress(Unanswered):
            if server.page("/health", 2) is not None:
                return
        if time.monotonic() > deadline:
            raise RunError(f"vLLM did not answer within {START_SECONDS:g} seconds: see its log above.")
        time.sleep(1)
    raise RunError(f"vLLM ended with code {process.returncode} before it answered: see its log above.")


def _watch(server: HttpServer, process: subprocess.Popen[bytes]) -> None:
    """Wait until vLLM ends, and print a warning for each pre-emption."""
    before = 0
    while process.poll() is None:
        with suppress(Unanswered):
            now = server.preemptions() or 0
            if now > before:
                print(describe_preemptions(now), file=sys.stderr, flush=True)
            before = now
        with suppress(subprocess.TimeoutExpired):
            process.wait(WATCH_SECONDS)
    raise RunError(f"vLLM ended with code {process.returncode}: see its log above.")


def describe_preemptions(number: int) -> str:
    """Return the warning on pre-emptions."""
    return (
        f"warning: vLLM has pre-empted {number} requests, and answers after a pre-emption are wrong: it reads an answer as part of its "
        "prompt. Start again with a lower --max_running, or with more memory for its KV cache."
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()  # the guard ends the group
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what is left of the group
    process.wait()
