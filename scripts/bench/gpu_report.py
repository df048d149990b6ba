"""Report on a GPU: run the tests that need one, then measure training, rollouts and GRPO at the published shape.

    python scripts/bench/gpu_report.py --minutes 8 --state runs/gpu             # run it again to continue
    python scripts/bench/gpu_report.py --state runs/cpu --device cpu --shape small     # minutes: a test of this script

The most valuable items run first: the tests marked `gpu`, the three most valuable figures, fine-tuning against TRL's trainer,
rollouts against `generate`, a GRPO step, profiles. Models have random weights, made on the device. Each result is appended to
FOLDER/state.jsonl immediately. Items with a result are not run again, except failed ones with `--again`. Writes FOLDER/report.json,
report.md and, if matplotlib is installed, profile.png, a picture of the time of each kind of operation. Needs no network, no
tracker and no checkpoint. Exit code 1 if a test or an item failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import selectors
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from bench.gpu_table import MACHINE, Record, remark, write_report  # noqa: E402

TESTS = {"tests: attention": "test_attention", "tests: decoding": "test_decoding", "tests: runs": "test_runs"}
TEST_SECONDS, START_SECONDS = 300, 120  # time limits of a test file and of the start of the measuring process
LEAST_SECONDS = 20  # no item is started with less time left
BY_VARLEN, COMPILED = {"kernel": "varlen"}, {"compile_blocks": True}
TWO_ROWS, FOUR_ROWS = {"per_device_train_batch_size": 2}, {"per_device_train_batch_size": 4}  # packed rows in a forward
# Most valuable first: a function of gpu_items.py, its arguments, and its time limit in seconds.
ITEMS: dict[str, tuple[str, dict[str, Any], int]] = {
    "ceilings": ("ceilings", {}, 60),
    "SFT, all weights": ("sft", {}, 120),
    "rollout of 64, CUDA graphs": ("rollout", {"prompts": 64, "way": "graphs"}, 120),
    "SFT, TRL's strongest": ("stock_sft", {"strongest": True}, 120),
    "SFT, all weights, varlen": ("sft", BY_VARLEN, 120),
    "SFT, all weights, compiled": ("sft", COMPILED, 240),
    "SFT, all weights, varlen, compiled": ("sft", BY_VARLEN | COMPILED, 240),
    "SFT, all weights, varlen, compiled, 2 rows": ("sft", BY_VARLEN | COMPILED | TWO_ROWS, 240),
    "SFT, all weights, varlen, compiled, 4 rows": ("sft", BY_VARLEN | COMPILED | FOUR_ROWS, 240),
    "profile of a compiled SFT step of 4 rows": ("sft", BY_VARLEN | COMPILED | FOUR_ROWS | {"profile": True}, 240),
    "SFT, all weights, compiled, 4 rows": ("sft", COMPILED | FOUR_ROWS, 240),
    "SFT, all weights, varlen, 4 rows": ("sft", BY_VARLEN | FOUR_ROWS, 240),
    "SFT, adapter, varlen, compiled, 4 rows": ("sft", BY_VARLEN | COMPILED | FOUR_ROWS | {"adapter": True}, 240),
    "SFT, adapter": ("sft", {"adapter": True}, 120),
    "SFT, adapter, varlen": ("sft", BY_VARLEN | {"adapter": True}, 120),
    "SFT, adapter, varlen, compiled": ("sft", BY_VARLEN | COMPILED | {"adapter": True}, 240),
    "SFT, all weights, recomputed": ("sft", {"activation_checkpointing": True}, 120),
    "SFT, TRL's defaults": ("stock_sft", {"strongest": False}, 120),
    "SFT, all weights, flex_attention": ("sft", {"kernel": "flex_attention"}, 240),
    "rollout of 64": ("rollout", {"prompts": 64, "way": "plain"}, 120),
    "rollout of 64, generate": ("rollout", {"prompts": 64, "way": "dynamic"}, 180),
    "rollout of 8, CUDA graphs": ("rollout", {"prompts": 8, "way": "graphs"}, 120),
    "rollout of 8": ("rollout", {"prompts": 8, "way": "plain"}, 120),
    "rollout of 8, generate": ("rollout", {"prompts": 8, "way": "dynamic"}, 120),
    "rollout of 1, CUDA graphs": ("rollout", {"prompts": 1, "way": "graphs"}, 120),
    "rollout of 1": ("rollout", {"prompts": 1, "way": "plain"}, 120),
    "rollout of 1, generate": ("rollout", {"prompts": 1, "way": "dynamic"}, 120),
    "GRPO step, adapter, CUDA graphs": ("grpo", {"cuda_graphs": True}, 400),
    "profile of an SFT step": ("profile", {"kind": "SFT step"}, 120),
    "profile of a rollout": ("profile", {"kind": "rollout"}, 180),
    "rollout of 64, generate, static cache": ("rollout", {"prompts": 64, "way": "static"}, 300),
    "GRPO step, adapter": ("grpo", {"cuda_graphs": False}, 600),
}
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "triton")


class State:
    """The records in FOLDER/state.jsonl, by item. The last record of an item counts; a truncated line is skipped."""

    def __init__(self, path: Path):
        self.path, self.records = path, dict[str, Record]()
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            self.records[record.pop("item")] = record

    def add(self, item: str, record: Record) -> None:
        """Append a record and flush it to the disk."""
        self.records[item] = record
        is_cut = self.path.exists() and self.path.read_bytes()[-1:] not in (b"", b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" * is_cut + json.dumps({"item": item, **record}) + "\n")
            file.flush()
            os.fsync(file.fileno())


class Worker:
    """A process that measures items one after another. It imports once; a crash loses only the current item."""

    def __init__(self, shape: str, environment: Mapping[str, str], log: Path):
        self._command = [sys.executable, str(Path(__file__).with_name("gpu_items.py")), shape]
        self._environment, self._log = environment, log
        self._process: subprocess.Popen[str] | None = None

    def measure(self, name: str, keys: Mapping[str, Any], limit: float) -> Record:
        """Measure an item. Returns its figures, or `failed` with the reason, and `cut` if the item took too long.

        Raises SystemExit if the process dies at its start, as it would for every other item.
        """
        if self._process is None:
            with self._log.open("a", encoding="utf-8") as log:
                pipe = subprocess.PIPE
                self._process = subprocess.Popen(
                    self._command, stdin=pipe, stdout=pipe, stderr=log, text=True, env=dict(self._environment)
                )
            if "failed" in (started := self._read_record(min(limit, START_SECONDS))):
                if "cut" in started:  # the time that was left was too short for the imports
                    return started
                last = self._log.read_text(encoding="utf-8", errors="replace").strip().rsplit("\n", 1)[-1]
                raise SystemExit(f"error: {started['failed']}. It cannot start: {last}")
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, keys]) + "\n")
        self._process.stdin.flush()
        return self._read_record(limit)

    def _read_record(self, limit: float) -> Record:
        assert self._process is not None and self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            is_late = not selector.select(limit)
        line = "" if is_late else self._process.stdout.readline()
        if line:
            record: Record = json.loads(line)
            return record
        self.end()
        if is_late:
            return {"failed": f"took more than {limit:.0f} s", "cut": True}
        return {"failed": f"the measuring process died; see {self._log.name}"}

    def end(self) -> None:
        """Kill the process if it runs. The next item starts a new one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def run_tests(file: str, device: str, limit: float, folder: Path, environment: Mapping[str, str]) -> Record:
    """Run the tests of a file on the device; their output goes to FILE.log.

    Returns:
        The numbers of passed and skipped tests, and the names of the failed ones.
    """
    report, log_file = folder / f"{file}.xml", folder / f"{file}.log"
    report.unlink(missing_ok=True)
    chosen = "gpu" if device == "cuda" else "not gpu"
    command = [sys.executable, "-m", "pytest", f"tests/gpu/{file}.py", "-m", chosen, f"--junit-xml={report}"]
    start = time.perf_counter()
    with log_file.open("w", encoding="utf-8") as log:
        try:
            code = subprocess.run(
                [*command, "-p", "no:cacheprovider"], cwd=ROOT, env=environment, stdout=log, stderr=log, timeout=limit
            ).returncode
        except subprocess.TimeoutExpired:
            return {"failed": f"took more than {limit:.0f} s; see {log_file.name}", "cut": True}
    if not report.exists():
        return {"failed": f"pytest ended with {code}; see {log_file.name}"}
    counts, failed = {"passed": 0, "skipped": 0}, []
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(case.get("name"))
        else:
            counts["skipped" if case.find("skipped") is not None else "passed"] += 1
    record: Record = {**counts, "seconds": round(time.perf_counter() - start, 1)}
    if code or not counts["passed"]:
        record |= {"failed": f"{len(failed)} of {len(failed) + counts['passed']} tests failed", "tests": failed}
    return record


# Report ---------------------------------------------------------------------------------------------------------------


def machine(device: str, shape: str) -> Record:
    """Return the device, its memory or cores, versions, shape and date."""
    import torch

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    device_record: Record = {"device": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        device_record |= {"device": properties.name, "memory_gib": round(properties.total_memory / (1 << 30), 1)}
        device_record |= {"cuda": torch.version.cuda}
    return {**device_record, "shape": shape, "versions": versions, "date": time.strftime("%d %B %Y")}


# Command --------------------------------------------------------------------------------------------------------------


def options(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--state", type=Path, required=True, metavar="FOLDER", help="folder of the results; an existing one continues"
    )
    parser.add_argument("--minutes", type=float, default=8, help="time limit; a running item is stopped (default 8)")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda where PyTorch has it")
    parser.add_argument("--shape", choices=("tiny", "small", "1b"), help="default: 1b on a GPU, small on a CPU")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only items with one of these words in their names")
    parser.add_argument("--again", action="store_true", help="run failed items again")
    arguments = parser.parse_args(argv)
    if arguments.minutes <= 0:
        parser.error(f"invalid value for --minutes: {arguments.minutes}. Use a number above 0.")
    return arguments


def main(argv: Sequence[str]) -> int:
    """Run the items without a result until the time limit, and write the report. Returns the exit code."""
    arguments = options(argv)
    deadline = time.monotonic() + 60 * arguments.minutes
    import torch

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        print("error: --device is cuda, but PyTorch finds no GPU. Use --device cpu --shape small.", file=sys.stderr)
        return 2
    shape = arguments.shape or ("1b" if device == "cuda" else "small")
    folder = arguments.state.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    state, here = State(folder / "state.jsonl"), machine(device, shape)
    earlier = state.records.get(MACHINE, here)
    if (earlier["device"], earlier["shape"]) != (here["device"], here["shape"]):
        print(
            f"error: --state {arguments.state} holds results of {earlier['device']}, shape {earlier['shape']}, but this is "
            f"{here['device']}, shape {shape}. Use another folder for --state.",
            file=sys.stderr,
        )
        return 2
    if MACHINE not in state.records:
        state.add(MACHINE, here)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    environment |= {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    order = run_items(arguments, state, device, shape, deadline, environment)
    print(write_report(folder, order, state.records))
    return int(any("failed" in state.records.get(item, {}) for item in order))


def run_items(
    arguments: argparse.Namespace,
    state: State,
    device: str,
    shape: str,
    deadline: float,
    environment: Mapping[str, str],
) -> list[str]:
    """Run the items that have no record. Returns the names of all items, in order."""
    limits = {**dict.fromkeys(TESTS, TEST_SECONDS), **{item: limit for item, (*_, limit) in ITEMS.items()}}
    pending = [
        item
        for item in limits
        if (item not in state.records or (arguments.again and "failed" in state.records[item]))
        and (not arguments.only or any(word in item for word in arguments.only))
    ]

    def left() -> float:
        return deadline - time.monotonic()

    def add(item: str, record: Record, time_given: float) -> None:
        # An item that --minutes has stopped before its own limit gets no record, so that it runs again.
        if not (record.pop("cut", False) and time_given < limits[item]):
            state.add(item, record)
            print(f"{item}: {remark(record) or 'done'}", file=sys.stderr, flush=True)

    tests = [item for item in pending if item in TESTS]
    if tests and (given := left()) >= LEAST_SECONDS:  # in parallel, because nothing in the tests is timed
        print(", ".join(tests), "...", file=sys.stderr, flush=True)
        with ThreadPoolExecutor() as pool:
            runs = {
                pool.submit(
                    run_tests, TESTS[item], device, min(given, TEST_SECONDS), state.path.parent, environment
                ): item
                for item in tests
            }
            for run in as_completed(runs):
                add(runs[run], run.result(), given)
    worker = Worker(shape, environment, state.path.with_name("log.txt"))
    try:
        for item in pending[len(tests) :]:
            if (given := left()) < LEAST_SECONDS:
                print(f"no time left for `{item}`: run the command again to continue.", file=sys.stderr, flush=True)
                break
            print(f"{item} ...", file=sys.stderr, flush=True)
            add(item, worker.measure(*ITEMS[item][:2], min(given, limits[item])), given)
    finally:
        worker.end()
    return list(limits)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
