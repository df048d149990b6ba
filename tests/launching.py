"""Run a script on several processes, forked from a process that has already imported everything.

Starting a launcher takes twenty seconds. `launch` uses accelerate's own functions to give each process the environment of
`accelerate launch --config_file FILE`. tests/test_launch.py, test_restarts.py and test_preemption.py start real launchers.
"""

import multiprocessing.connection
import os
import socket
import tempfile
from pathlib import Path

from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env

from tests.forks import PRELOADED

ROOT = Path(__file__).parents[1]
SECONDS = 300


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
        ranks = []
        for rank, log in enumerate(logs):
            own = given | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            ranks.append(PRELOADED.start(None, str(script), *arguments, env=own, folder=ROOT, out=log, err=log))
        try:
            _wait_for(ranks)
        finally:
            for process in ranks:
                process.kill()
        output = "\n".join(log.read_text(errors="replace")[-10_000:] for log in logs if log.exists())
    assert all(process.exitcode == 0 for process in ranks), output
    return output


def _wait_for(ranks) -> None:
    """Wait until all processes have ended or one has failed, because the others would wait minutes for a failed one."""
    waiting = list(ranks)
    while waiting:
        ended = multiprocessing.connection.wait(waiting, SECONDS)
        assert ended, f"not done within {SECONDS} seconds"
        waiting = [process for process in waiting if process not in ended]
        if any(process.exitcode for process in ended):
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
