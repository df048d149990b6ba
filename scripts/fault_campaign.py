"""Break runs on purpose, many times, and count what is found, lost and recovered.

    python scripts/fault_campaign.py --out runs/faults                              # all of it: half an hour on one core
    python scripts/fault_campaign.py --out runs/faults --only kills --kills 20

    kills        SIGKILL at a random moment, of every second run while it saves; `latest`, perhaps killed again, ends it
    corruption   a file of the newest checkpoint deleted, cut, flipped, blanked, or taken from an older checkpoint
    nan          a NaN or infinity in the loss, a gradient or the weights of a random step
    disk         a disk that is too small, or that another program fills while a checkpoint is written

Every run is the SFT recipe on the tiny base, 30 steps with a horizon warm-up and a weight average, and must end with the
weights, averages and log records of the uninterrupted run: all of them equal. Each trial draws from a random generator of
its own and appends its result to `OUT/PART.jsonl`, so that an interrupted campaign goes on where it stopped. Prints the
figures of scripts/README.md, writes them to `OUT/summary.json`, and exits with 1 if a trial went wrong.

For Linux. The disks are mounted in a mount namespace of the trial's own process, for which it must be root.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

from hrm_align.cli import exit_code_of
from hrm_align.errors import RunError, UserError
from hrm_align.trainers.callbacks import MetricsFile, append_json_line
from hrm_align.trainers.checkpoints import MANIFEST, STAGING, check_whole, checkpoints_in
from hrm_align.trainers.records import write_json
from hrm_align.trainers.resume import checkpoint_to_resume
from hrm_align.trainers.safe_saving import SafeCheckpoints

STEPS, ROWS, ROWS_A_STEP = 30, 20, 4  # 6 epochs
LATEST = ("--resume_from_checkpoint", "latest")
TIMEOUT = 120  # seconds; a run takes two
SAVE_SECONDS = 0.1  # about how long a checkpoint of it is written
CHECKPOINT = 9_600_000  # bytes of it
BLOCK = 4096  # what a disk loses at once

Result = dict[str, Any]
Recipe = Callable[[Sequence[str]], None]


# Runs -----------------------------------------------------------------------------------------------------------------


def arguments(work: Path, run: Path, save_steps: int, *flags: str) -> list[str]:
    """The command line of a run."""
    given = f"--model_name_or_path tiny --datasets {work / 'rows.jsonl'} --output_dir {run} --disable_tqdm true"
    given += f" --max_steps {STEPS} --per_device_train_batch_size {ROWS_A_STEP} --learning_rate 1e-3 --logging_steps 1"
    given += f" --ema_decay 0.9 --bp_min_steps 2 --bp_max_steps 5 --bp_warmup_ratio 1 --save_steps {save_steps}"
    return [*given.split(), *flags]


def sft(argv: Sequence[str]) -> None:
    """The recipe, in the child that runs it."""
    from hrm_align.recipes.sft import main

    main(argv)


def _child(log: Path, recipe: Recipe, argv: Sequence[str]) -> None:
    torch.set_num_threads(1)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.exit(exit_code_of(recipe, argv))


@contextmanager
def started(log: Path, argv: Sequence[str], recipe: Recipe = sft) -> Iterator[Any]:
    """A process of its own, forked from a server that has the seconds of imports behind it."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["hrm_align.recipes.sft"])
    process = context.Process(target=_child, args=(log, recipe, argv))
    process.start()
    try:
        yield process
        process.join(TIMEOUT)
    finally:
        process.kill()
        process.join()


def exit_code(log: Path, argv: Sequence[str], recipe: Recipe = sft) -> int:
    """Let a run end by itself."""
    with started(log, argv, recipe) as process:
        pass
    return process.exitcode


def records(run: Path) -> list[dict[str, Any]]:
    """What a run has logged."""
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def curve(run: Path) -> dict[int, dict[str, Any]]:
    """The log records by step; of a step that was trained again, the last.

    Without `probe_kl`: how often it is measured depends on the first batch that a process sees, so a resumed run may
    log it at other steps.
    """
    logged = [record for record in records(run) if "loss" in record]
    return {record["step"]: {k: v for k, v in record.items() if k != "health/probe_kl"} for record in logged}


def differences(run: Path, whole: Path) -> list[str]:
    """What a finished run has otherwise than the uninterrupted one."""
    found = [] if curve(run) == curve(whole) else ["log records"]
    for part in ("", "ema"):
        ours, theirs = (load_file(folder / part / "model.safetensors") for folder in (run, whole))
        found += [f"{part} {name}" for name in theirs | ours if not torch.equal(ours[name], theirs[name])]
    return found + not_whole(run)


def not_whole(run: Path) -> list[str]:
    """Its checkpoints that are damaged."""
    return [f"{path.name}: {fault}" for path in checkpoints_in(run) if (fault := check_whole(path))]


def ends_like(whole: Path, run: Path, save_steps: int, *flags: str) -> list[str]:
    """Resume a run with `latest`, and say what is wrong with its end."""
    log = run.with_suffix(".log")
    code = exit_code(log, arguments(whole.parent, run, save_steps, *flags, *LATEST))
    return differences(run, whole) if code == 0 else [f"exit code {code}: {log.read_text()[-500:]}"]


def make_reference(work: Path) -> Path:
    """The rows, and the run that nothing happens to."""
    whole, rng = work / "whole", Random(0)
    if (whole / "ema" / MANIFEST).exists():
        return whole
    for n in range(ROWS):
        answer = " ".join(rng.choices(["red", "blue", "oak"], k=1 + n % 7))
        append_json_line(work / "rows.jsonl", {"prompt": f"say {n}", "response": answer})
    code = exit_code(work / "whole.log", arguments(work, whole, 5))
    assert code == 0, (work / "whole.log").read_text()
    return whole


# Kills ----------------------------------------------------------------------------------------------------------------


def kill_trial(rng: Random, index: int, whole: Path) -> Result:
    """Kill a run, and sometimes what resumes it, until it ends. Odd trials are killed at least once while they save."""
    run = whole.parent / f"kills-{index}"
    every, limit = rng.choice([2, 3, 5]), rng.choice([1, 2, 10])
    argv = arguments(whole.parent, run, every, "--save_total_limit", str(limit))
    result: Result = {"save_steps": every, "kills": [], "lost": [], "before_the_first_checkpoint": 0}
    reached = 0
    resume: tuple[str, ...] = ()
    while True:
        lethal = not result["kills"] or rng.random() < 0.2 or (index % 2 == 1 and "while saving" not in result["kills"])
        known, old = len(records(run)), _stamp(run)
        with started(run.with_suffix(".log"), [*argv, *resume]) as process:
            if lethal:
                (kill_while_saving if index % 2 else kill_anywhere)(rng, run, process, whole)
        new = records(run)[known:]
        result["lost"] += [reached - record["step"] for record in new if "resumed_from" in record]
        if process.exitcode != -signal.SIGKILL and (result["kills"] or process.exitcode != 0):
            break
        if process.exitcode == 0:  # it was quicker than its killer
            shutil.rmtree(run)
            continue
        result["kills"].append("elsewhere" if _stamp(run) in (None, old) else "while saving")
        reached = max((record["step"] for record in new), default=reached)
        resume = LATEST
        if not checkpoints_in(run):  # `latest` refuses then, and there is nothing to go on from
            result["lost"].append(reached)
            result["before_the_first_checkpoint"] += 1
            shutil.rmtree(run, ignore_errors=True)
            reached, resume = 0, ()
    wrong = [f"{lost} steps lost" for lost in result["lost"] if lost > every]
    wrong += differences(run, whole) if process.exitcode == 0 else [run.with_suffix(".log").read_text()[-1000:]]
    return {**result, "wrong": wrong}


def _stamp(run: Path) -> int | None:
    """Of the folder that is there while a run saves, and after it was killed then."""
    try:
        return (run / STAGING).stat().st_ctime_ns if any((run / STAGING).iterdir()) else None
    except FileNotFoundError:
        return None


def kill_while_saving(rng: Random, run: Path, process: Any, whole: Path) -> None:
    """Wait for a random step, then for a save, then for a random part of it."""
    step, part, old = rng.randrange(STEPS), rng.uniform(0, SAVE_SECONDS), _stamp(run)
    _wait(process, lambda: step == 0 or _lines(run) >= step)
    _wait(process, lambda: _stamp(run) not in (None, old))
    time.sleep(part)
    process.kill()


def kill_anywhere(rng: Random, run: Path, process: Any, whole: Path) -> None:
    """Wait for a random part of what a run takes; one in ten is killed before it has begun."""
    seconds = next(record["train_runtime"] for record in records(whole) if "train_runtime" in record)
    if rng.random() < 0.9:
        known = _lines(run)
        _wait(process, lambda: _lines(run) > known)
    time.sleep(rng.uniform(0, seconds))
    process.kill()


def _lines(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _wait(process: Any, until: Callable[[], bool]) -> None:
    while process.is_alive() and not until():
        time.sleep(0.001)


# Corruption -----------------------------------------------------------------------------------------------------------


def corruption_trial(rng: Random, index: int, whole: Path) -> Result:
    """Damage a file of the newest checkpoint (in one trial of four, of the next, too), and ask for `latest`.

    Every tenth trial resumes the run too.
    """
    run = whole.parent / f"corruption-{index}"
    shutil.copytree(whole, run)
    found = checkpoints_in(run)
    damaged = found[: 2 if rng.random() < 0.25 else 1]
    done = [damage(rng, folder, found[-1]) for folder in damaged]
    wrong = _wrong_answers(run, damaged, found[len(damaged)])
    if index % 10 == 0:
        wrong += ends_like(whole, run, 5)
    return {"damage": done, "resumed": index % 10 == 0, "wrong": wrong}


def damage(rng: Random, folder: Path, older: Path) -> str:
    """Damage one file of a checkpoint. What was done to it."""
    while True:
        path = rng.choice(sorted(folder.iterdir()))
        content = path.read_bytes()
        at = rng.randrange(len(content))
        block = at - at % BLOCK
        kind, now = rng.choice(
            [
                ("deleted", None),
                ("emptied", b""),
                ("cut", content[:at]),
                ("flipped", content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]),
                ("blanked", (content[:block] + bytes(BLOCK))[: len(content)] + content[block + BLOCK :]),
                ("stale", (older / path.name).read_bytes()),
            ]
        )
        if now == content:  # a block of zeros, a file that is the same in every checkpoint: nothing was done
            continue
        path.unlink()
        if now is not None:
            path.write_bytes(now)
        return f"{kind} {path.name}"


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage()


def _wrong_answers(run: Path, damaged: Sequence[Path], expected: Path) -> list[str]:
    """What is wrong with how `latest`, and a damaged folder's own name, are answered."""
    wrong, heard, logger = [], _Warnings(), logging.getLogger("hrm_align.trainers.resume")
    logger.addHandler(heard)
    logger.propagate = False
    if (chosen := checkpoint_to_resume("latest", run)) != expected:
        wrong.append(f"latest is {chosen}")
    logger.removeHandler(heard)
    for folder in damaged:
        if f"{folder} is passed over" not in heard.text:
            wrong.append(f"nothing was said of {folder.name}")
        try:
            checkpoint_to_resume(str(folder), run)
            wrong.append(f"{folder.name} was taken")
        except UserError:
            continue
    return wrong


# Numbers that are none ------------------------------------------------------------------------------------------------


class Poison(MetricsFile):
    """The recipe's metrics file, which also spoils a step. `kind` is loss, gradient or weights."""

    kind, step, value, entry = "loss", 1, "nan", 0

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Spoil what the step will compute."""
        if state.global_step + 1 != self.step:
            return
        if self.kind == "gradient":
            self._drawn_weight(model).register_hook(self._spoilt)
        if self.kind == "loss":
            model.model.register_forward_hook(self._spoil_output)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Spoil what the step has made."""
        if self.kind == "weights" and state.global_step == self.step:
            weight = self._drawn_weight(model)
            weight.data = self._spoilt(weight.data)

    def _drawn_weight(self, model: Any) -> torch.nn.Parameter:
        # Not the embedding: a row of it that no batch uses would spoil nothing but the next checkpoint.
        weights = [w for name, w in model.named_parameters() if w.requires_grad and "embed" not in name]
        return weights[self.entry % len(weights)]

    def _spoil_output(self, module: Any, inputs: Any, output: Any) -> None:
        output.last_hidden_state = output.last_hidden_state * float(self.value)

    def _spoilt(self, tensor: torch.Tensor) -> torch.Tensor:
        """The same but for one entry."""
        spoilt = tensor.clone().contiguous()
        spoilt.view(-1)[self.entry % spoilt.numel()] = float(self.value)
        return spoilt


def poisoned_sft(poison: dict[str, Any], argv: Sequence[str]) -> None:
    """The recipe, with a poisoned step."""
    from hrm_align.recipes import sft as recipe

    for name, value in poison.items():
        setattr(Poison, name, value)
    recipe.MetricsFile = Poison
    recipe.main(argv)


def nan_trial(rng: Random, index: int, whole: Path) -> Result:
    """Poison a step; then go on from the last checkpoint without the poison."""
    run, every = whole.parent / f"nan-{index}", rng.choice([1, 2, 3, 5])
    kind = ("loss", "gradient", "weights")[index % 3]
    poison: Result = {"kind": kind, "step": rng.randrange(1, STEPS), "entry": rng.randrange(1 << 20)}
    poison["value"] = rng.choice(["nan", "inf", "-inf"])
    flags, clipped = ("--save_total_limit", "1"), rng.random() < 0.7
    argv = arguments(whole.parent, run, every, *flags, *(() if clipped else ("--max_grad_norm", "0")))
    code = exit_code(run.with_suffix(".log"), argv, partial(poisoned_sft, poison))
    last = max(curve(run), default=0)
    wrong = [] if code == 1 and "finite" in run.with_suffix(".log").read_text() else [f"exit code {code}"]
    wrong += [f"went on to step {last}"] if last > poison["step"] else []
    wrong += _not_finite(run)
    resumed = clipped and bool(checkpoints_in(run))  # the uninterrupted run was clipped
    if resumed:
        wrong += ends_like(whole, run, every, *flags)
    return {**poison, "save_steps": every, "clipped": clipped, "last_step": last, "resumed": resumed, "wrong": wrong}


def _not_finite(run: Path) -> list[str]:
    """What a run has saved that is no finite number."""
    found = not_whole(run)
    for path in run.rglob("*.safetensors"):
        found += [f"{path.name}: {name}" for name, tensor in load_file(path).items() if not tensor.isfinite().all()]
    for path in run.rglob("optimizer.pt"):
        for state in torch.load(path, weights_only=True)["state"].values():
            found += [f"{path.name}: {name}" for name, tensor in state.items() if not tensor.isfinite().all()]
    return found


# Full disks -----------------------------------------------------------------------------------------------------------


def disk_trial(rng: Random, index: int, whole: Path) -> Result:
    """Run on a disk that fills up; make room; go on."""
    disk = whole.parent / f"disk-{index}"
    disk.mkdir()
    if index % 2:
        told = {"size": round(CHECKPOINT * rng.uniform(0.8, 5)), "eaten_at": None, "left": 0}
    else:  # room for everything, until another program takes all but a part of a checkpoint while one is written
        told = {"size": 16 * CHECKPOINT, "eaten_at": rng.randrange(1, 6), "left": rng.randrange(CHECKPOINT - 500_000)}
    log, answer = disk.with_suffix(".log"), disk.with_suffix(".json")
    code = exit_code(log, [], partial(on_a_small_disk, told, disk, whole))
    found = json.loads(answer.read_text()) if code == 0 else {"wrong": [f"exit code {code}: {log.read_text()[-1000:]}"]}
    return {**told, **found}


def on_a_small_disk(told: dict[str, Any], disk: Path, whole: Path, argv: Sequence[str]) -> None:
    """What the trial's process does; nobody else sees its disk."""
    _mount_tmpfs(disk, told["size"])
    run, stock = disk / "run", SafeCheckpoints._check_room
    argv, saves = arguments(whole.parent, run, 5), count(1)

    def check_room(trainer: Any, needed: int) -> None:
        stock(trainer, needed)
        if next(saves) == told["eaten_at"]:
            taken = shutil.disk_usage(disk).free - told["left"]
            (disk / "ballast").write_bytes(bytes(taken))

    SafeCheckpoints._check_room = check_room  # type: ignore[method-assign, assignment]
    said = "the run ended"
    try:
        sft(argv)
    except RunError as error:
        said = str(error)
    SafeCheckpoints._check_room = stock  # type: ignore[method-assign]
    saved = [path.name for path in checkpoints_in(run)]
    wrong = [] if re.search(r"\b\d[\d,]+ bytes", said) else [said]
    wrong += [f"{saved[0]} is not named"] if saved and f"{saved[0]} is untouched" not in said else []
    wrong += not_whole(run) + (["the half-written folder is there"] if (run / STAGING).exists() else [])
    (disk / "ballast").unlink(missing_ok=True)
    subprocess.run(["mount", "-o", f"remount,size={16 * CHECKPOINT}", str(disk)], check=True)
    if not saved:
        shutil.rmtree(run)
    sft([*argv, *(LATEST if saved else ())])
    write_json(disk.with_suffix(".json"), {"saved": saved, "said": said, "wrong": wrong + differences(run, whole)})


def _mount_tmpfs(folder: Path, size: int) -> None:
    clone_newns = 0x00020000
    commands = (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)])
    if ctypes.CDLL(None).unshare(clone_newns) or any(subprocess.call(["mount", *words]) for words in commands):
        raise UserError("no permission to mount a small disk in a private namespace: be root, or use --only.")


# The campaign ---------------------------------------------------------------------------------------------------------

TRIALS = {"kills": kill_trial, "corruption": corruption_trial, "nan": nan_trial, "disk": disk_trial}


def run_part(name: str, trials: int, seed: int, out: Path, console: Console) -> None:
    """Run the trials of a part that have no result yet."""
    path, whole = out / f"{name}.jsonl", make_reference(out / "work")
    done = len(path.read_text().splitlines()) if path.exists() else 0
    for index in range(done, trials):
        for left in (out / "work").glob(f"{name}-{index}*"):  # of a campaign that was interrupted
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        start = time.perf_counter()
        result = TRIALS[name](Random(f"{seed} {name} {index}"), index, whole)
        append_json_line(path, {"trial": index, "seconds": round(time.perf_counter() - start, 1), **result})
        if result["wrong"]:
            console.print(f"{name} {index}: {result['wrong']}", style="red", markup=False)
        else:
            shutil.rmtree(out / "work" / f"{name}-{index}", ignore_errors=True)
        if (index + 1) % 10 == 0:
            console.print(f"{name}: {index + 1} of {trials}", style="dim")


def summary_of(name: str, results: Sequence[Result]) -> Result:
    """The figures of a part."""
    wrong = sum(bool(result["wrong"]) for result in results)
    figures: Result = {"trials": len(results), "wrong": wrong, "seconds": round(sum(r["seconds"] for r in results))}
    if name == "kills":
        figures["kills"] = Counter(kill for result in results for kill in result["kills"])
        figures["before_the_first_checkpoint"] = sum(result["before_the_first_checkpoint"] for result in results)
        figures["most_lost_in_save_intervals"] = max(max(r["lost"]) / r["save_steps"] for r in results if r["lost"])
    if name == "corruption":
        figures["damage"] = Counter(done.split()[0] for result in results for done in result["damage"])
    if name == "nan":
        figures["kinds"] = Counter(result["kind"] for result in results)
    if name in ("corruption", "nan"):
        figures["resumed"] = sum(result["resumed"] for result in results)
    if name == "disk":
        figures["ways"] = Counter("filled" if result["eaten_at"] else "too small" for result in results)
        figures["without_a_checkpoint"] = sum(not result["saved"] for result in results if "saved" in result)
    return figures


def main(argv: Sequence[str]) -> None:
    """Run the campaign. Raises RunError if a trial went wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="results and work files")
    parser.add_argument("--only", choices=TRIALS, help="one part")
    parser.add_argument("--seed", type=int, default=0)
    for name, trials in {"kills": 200, "corruption": 200, "nan": 20, "disk": 20}.items():
        parser.add_argument(f"--{name}", type=int, default=trials, help=f"trials; default {trials}")
    args = parser.parse_args(argv)
    console, summary = Console(), {}
    for name in [args.only] if args.only else TRIALS:
        run_part(name, getattr(args, name), args.seed, args.out, console)
    table = Table("part", "trials", "wrong", "seconds", "figures")
    for name in TRIALS:
        if (path := args.out / f"{name}.jsonl").exists():
            figures = summary[name] = summary_of(name, [json.loads(line) for line in path.read_text().splitlines()])
            rest = {key: value for key, value in figures.items() if key not in ("trials", "wrong", "seconds")}
            numbers = (str(figures[key]) for key in ("trials", "wrong", "seconds"))
            table.add_row(name, *numbers, json.dumps(rest).replace('"', "").strip("{}"))
    write_json(args.out / "summary.json", summary)
    console.print(table)
    if any(figures["wrong"] for figures in summary.values()):
        raise RunError(f"some trials went wrong: see `wrong` in {args.out}/*.jsonl.")


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
