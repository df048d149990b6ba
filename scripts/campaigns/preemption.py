"""Send SIGTERM to launchers on a slow disk; count the lost steps and the processes that outlive their launcher.

    python scripts/campaigns/preemption.py --out runs/preemption              # ten trials for each launcher: half an hour
    python scripts/campaigns/preemption.py --out runs/preemption --trials 2

Each trial trains the tiny base on two CPU processes, and sends SIGTERM to `accelerate launch` or torchrun at a random step. Copying
a checkpoint into `output_dir` takes a minute (`--seconds`) and launchers kill their processes 30 s after SIGTERM, so every trial is
killed during the copy. A preempted run saves first to the machine's own disk; after every second trial the script deletes that
disk. Then the same command runs again. With the own disk, the second run must finish the copy and lose at most one step. Without
it, the second run must report the loss and resume from the newest whole checkpoint.

Each trial appends its result to `OUT/trials.jsonl`. Prints a table; exit code 1 if a trial failed. `--own_disk` (default
/dev/shm) must be on another file system than OUT, because within one file system nothing is copied.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from study.tables import table  # noqa: E402

from hrm_align.cli import run_with_exit_code  # noqa: E402
from hrm_align.errors import RunError  # noqa: E402
from hrm_align.trainers.callbacks import append_json_line  # noqa: E402
from hrm_align.trainers.checkpoints import checkpoint_step, checkpoints_in  # noqa: E402

SAVED_EVERY = 10  # steps
STEPS = 60
GRACE = 30  # seconds from SIGTERM until launchers kill their processes
LAUNCHERS = {
    "accelerate launch": [
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        "recipes/accelerate/two_processes_cpu.yaml",
    ],
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
}
# The SFT recipe with slow steps and a slow disk.
SLOW_RECIPE = """
import os, sys, time
from pathlib import Path
from hrm_align.cli import run_with_exit_code
from hrm_align.trainers import checkpoints, sft
from recipes.sft import main

copy, step = checkpoints.copy_file, sft.SFTTrainer.training_step

def slow_copy(source, target):
    total = sum(path.stat().st_size for path in source.parent.iterdir())
    time.sleep(float(os.environ["COPY_SECONDS"]) * source.stat().st_size / total)
    return copy(source, target)

def slow_step(*args, **kwargs):
    time.sleep(0.2)
    return step(*args, **kwargs)

checkpoints.copy_file, sft.SFTTrainer.training_step = slow_copy, slow_step
sys.exit(run_with_exit_code(main, sys.argv[1:]))
"""


def main(argv: Sequence[str]) -> None:
    """Run the trials that have no result yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of trials.jsonl")
    parser.add_argument("--own_disk", type=Path, default=Path("/dev/shm"), help="a folder on another file system")
    parser.add_argument("--trials", type=int, default=10, help="trials of each launcher (default 10)")
    parser.add_argument("--seconds", type=float, default=60, help="duration of a copy into output_dir")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.own_disk.stat().st_dev == options.out.stat().st_dev:
        raise RunError(
            f"--own_disk {options.own_disk} is on the file system of --out, so nothing would be copied. Use a folder on "
            "another file system."
        )
    script = options.out / "slow_recipe.py"
    script.write_text(SLOW_RECIPE, encoding="utf-8")
    data = options.out / "rows.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"copy {n}", "response": str(n)}) + "\n" for n in range(64)))
    log = options.out / "trials.jsonl"
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {(trial["launcher"], trial["trial"]) for trial in done}
    for launcher in LAUNCHERS:
        for number in range(options.trials):
            if (launcher, number) not in known:
                trial = Trial(launcher, number, options, script, data)
                done.append({"launcher": launcher, "trial": number, "disk_lost": trial.loses_disk, **trial.run()})
                append_json_line(log, done[-1])
                print(done[-1], file=sys.stderr, flush=True)
    rows = []
    for launcher in LAUNCHERS:
        for lost in (False, True):
            trials = [trial for trial in done if trial["launcher"] == launcher and trial["disk_lost"] == lost]
            if trials:
                passed = sum(not trial["wrong"] for trial in trials)
                steps = [trial["steps_lost"] for trial in trials]
                disk = "deleted" if lost else "available"
                rows.append([launcher, disk, f"{passed} of {len(trials)}", f"{min(steps)} to {max(steps)}"])
    print(*table(["launcher", "own disk", "trials passed", "steps lost"], rows), sep="\n")
    if wrong := [f"{trial['launcher']} {trial['trial']}: {trial['wrong']}" for trial in done if trial["wrong"]]:
        raise RunError("; ".join(wrong))


class Trial:
    """A run that SIGTERM stops and the same command starts again."""

    def __init__(self, launcher: str, number: int, options: argparse.Namespace, script: Path, data: Path):
        self.loses_disk = number % 2 == 1
        self.own_disk = options.own_disk / f"hrm-align-campaign-{os.getpid()}"
        self.out = (options.out / f"{launcher.split()[0]}-{number}").absolute()
        self.stop_at = random.Random(f"{launcher}{number}").randint(SAVED_EVERY + 2, STEPS - 15)
        steps = ["--max_steps", str(STEPS), "--save_steps", str(SAVED_EVERY), "--logging_steps", "1", "--disable_tqdm", "true",
                 "--per_device_train_batch_size", "2", "--use_cpu", "true"]  # fmt: skip
        recipe = ["--model_name_or_path", "tiny", "--datasets", str(data), "--output_dir", str(self.out), *steps]
        restart = ["--preemption_dir", str(self.own_disk), "--resume_from_checkpoint", "auto"]
        self.command = [sys.executable, *LAUNCHERS[launcher], str(script), *recipe, *restart]
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self.seconds = options.seconds

    def run(self) -> dict[str, Any]:
        """Run the trial. Returns its figures; `wrong` describes the failed requirements and is empty if there are none."""
        shutil.rmtree(self.out, ignore_errors=True)
        reached, seconds, left = self._stop()
        before = max(map(checkpoint_step, checkpoints_in(self.out)), default=0)
        if self.loses_disk:
            shutil.rmtree(self.own_disk, ignore_errors=True)
        code, output = self._start_again()
        resumed = next((r["step"] for r in reversed(self._records()) if "resumed_from" in r), 0)
        lost = reached - resumed
        faults = [f"processes left: {left}"] * bool(left) + [f"the second start ended with {code}"] * bool(code)
        if self.loses_disk:
            faults += ["the loss was not reported"] * ("lost" not in output)
            faults += [f"resumed at {resumed}, newest {before}"] * (resumed != before)
        else:
            faults += [f"{lost} steps lost"] * (lost > 1) + ["the copy was not finished"] * (resumed == before)
        shutil.rmtree(self.own_disk, ignore_errors=True)
        return {"reached": reached, "resumed": resumed, "steps_lost": lost, "seconds_to_end": round(seconds, 1),
                "wrong": "; ".join(faults)}  # fmt: skip

    def _stop(self) -> tuple[int, float, list[int]]:
        """Start the run, send SIGTERM at the chosen step, and wait for the launcher.

        Returns:
            The last step, the seconds from SIGTERM to the end of the launcher, and the pids of the processes left.
        """
        environment = {**self.environment, "COPY_SECONDS": str(self.seconds)}
        with (self.out.with_suffix(".log")).open("w") as log:
            launcher = subprocess.Popen(self.command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        while max((r["step"] for r in self._records()), default=0) < self.stop_at:
            if launcher.poll() is not None:
                raise RunError(f"the run ended before step {self.stop_at}: see {self.out.with_suffix('.log')}.")
            time.sleep(0.05)
        family = psutil.Process(launcher.pid).children(recursive=True)
        start = time.monotonic()
        launcher.send_signal(signal.SIGTERM)
        launcher.wait(GRACE + 60)
        seconds = time.monotonic() - start
        _, alive = psutil.wait_procs(family, timeout=10)
        for process in alive:
            process.kill()
        return max(r["step"] for r in self._records()), seconds, [process.pid for process in alive]

    def _start_again(self) -> tuple[int, str]:
        done = subprocess.run(self.command, cwd=ROOT, env={**self.environment, "COPY_SECONDS": "0"}, capture_output=True,
                              text=True)  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def _records(self) -> list[dict[str, Any]]:
        path = self.out / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
