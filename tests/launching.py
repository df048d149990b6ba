"""Run a script on several processes, forked from a process that has already imported everything.

Starting a launcher takes twenty seconds. `launch` uses accelerate's own functions to give each process the environment of
`accelerate launch --config_file FILE`. tests/test_launch.py, test_restarts.py and test_preemption.py start real launchers.
"""

import multiprocessing
import os
import runpy
import socket
import sys
import tempfile
import traceback
from pathlib import Path

import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env

ROOT = Path(__file__).parents[1]
SECONDS = 300
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.preloaded"])


def launch(config: Path, script: Path | str, arguments: list[str], environment: dict[str, str] | None = None) -> str:
    """Run a script on the processes of an accelerate config, and return the output of all processes.

    If a process fails, fail with that output.

    Args:
        config: file for `accelerate launch --config_file`.
        script: path of the script, relative to the repository's root.
        arguments: command-line arguments of the script.
        environment: variables to add to those of this process.
    """
    given = {**os.environ, **_environment(config, script), **(environment or {}), "OMP_NUM_THREADS": "1"}
    count = int(given["WORLD_SIZE"])
    with tempfile.TemporaryDirectory() as scratch:
        logs = [Path(scratch) / str(rank) for rank in range(count)]
        ranks = [
            FORKS.Process(
                target=_rank, args=(str(script), arguments, given | {"RANK": str(r), "LOCAL_RANK": str(r)}, log)
            )
            for r, log in enumerate(logs)
        ]
        for process in ranks:
            process.start()
        try:
            _wait_for(ranks)
        finally:
            for process in ranks:
                process.kill()
                process.join()
        output = "\n".join(log.read_text(errors="replace")[-10_000:] for log in logs if log.exists())
    assert all(process.exitcode == 0 for process in ranks), output
    return output


def _wait_for(ranks) -> None:
    """Wait until all processes have ended or one has failed, because the others would wait minutes for a failed one."""
    waiting = list(ranks)
    while waiting:
        ended = multiprocessing.connection.wait([process.sentinel for process in waiting], SECONDS)
        assert ended, f"not done within {SECONDS} seconds"
        waiting = [process for process in waiting if process.sentinel not in ended]
        if any(process.exitcode for process in ranks if process not in waiting):
            return


def _environment(config: Path, script: Path | str) -> dict[str, str]:
    """Return the variables that accelerate's launcher sets for all processes."""
    parsed = launch_command_parser().parse_args(["--config_file", str(config), str(script)])
    arguments, _, _ = _validate_launch_command(parsed)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    count = str(arguments.num_processes)
    return prepare_multi_gpu_env(arguments) | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
    }


def _rank(script: str, arguments: list[str], environment: dict[str, str], log: Path) -> None:
    """Run the script in this process like `python script arguments`, with its output in `log`."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    torch.set_num_threads(1)  # OMP_NUM_THREADS has no effect here, because torch was imported before
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
