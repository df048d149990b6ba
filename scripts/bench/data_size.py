"""Time the preparation of training rows, from a file to token ids, and measure memory and the second start.

    python scripts/bench/data_size.py --rows 50000 --rounds 5 --base ../earlier    # against TRL, and an earlier checkout
    python scripts/bench/data_size.py --rows 1000000 --rounds 1 --arms two,step,step,step  # size: memory, later starts

Each arm runs in a process of its own; rounds take the arms in turn, and the time counts from after the imports. `ours` prepares with
an empty cache, `again` maps what the arm before has prepared. `two` is `accelerate launch recipes/sft.py` on two processes with an empty
cache, and `step` a later `hrm-align sft`: their time counts from the command to the first step, and their memory is that of the process
with most. The rows are generated: about 1 kB of English words, numbers and punctuation.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WORDS = 8000  # different words; rows draw them with the frequencies of Zipf's law
LETTERS = "eeeeetttaaaoooiiinnnssshhhrrrdlucmfwypvbgk"


def write_rows(path: Path, rows: int) -> None:
    """Write generated rows of about 1 kB, in TRL's columns."""
    rng = random.Random(0)
    words = ["".join(rng.choices(LETTERS, k=rng.randrange(2, 11))) for _ in range(WORDS)]
    weights = [1 / (rank + 3) for rank in range(WORDS)]

    def text(size: int) -> str:
        drawn = rng.choices(words, weights, k=size // 5)
        for place in range(0, len(drawn), 9):
            drawn[place] = rng.choice((f"{rng.randrange(10**4)}", f"{drawn[place].title()},", f"{drawn[place]}.\n"))
        return " ".join(drawn)[:size]

    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            file.write(json.dumps({"prompt": text(380), "completion": text(590)}) + "\n")


def ours(path: str) -> int:
    """Read, render and tokenize as `hrm-align sft` does; return the number of rows."""
    from types import SimpleNamespace

    from hrm_align.config.arguments import DataArguments
    from hrm_align.data.tokenize import tokenized
    from hrm_align.models.loading import load_tokenizer
    from hrm_align.run import read_data

    tokenizer = load_tokenizer("tiny")
    start()
    sets: list[Any] = [{"path": path}]
    data = read_data(DataArguments(datasets=sets), 0, None)
    return len(tokenized(data, SimpleNamespace(max_dropped_fraction=1.0), tokenizer, 4096)[0])  # type: ignore[arg-type]


def with_trl(path: str, processes: int) -> int:
    """Load the file and prepare it as TRL's SFTTrainer does; return the number of rows."""
    import datasets
    import trl

    from hrm_align.models.loading import load_model, load_tokenizer

    model, tokenizer = load_model("tiny"), load_tokenizer("tiny")
    config = trl.SFTConfig(
        output_dir=tempfile.mkdtemp(), max_length=4096, dataset_num_proc=processes, report_to="none", use_cpu=True
    )
    start()
    rows = datasets.load_dataset("json", data_files=path, split="train")
    trainer: Any = trl.SFTTrainer(model, config, train_dataset=rows, processing_class=tokenizer)
    return len(trainer.train_dataset)


def run_to_first_step(path: str, processes: int) -> dict[str, Any]:
    """Run the SFT recipe for a step; return seconds to the step, CPU seconds, and the private memory of the largest process."""
    root, most = Path(__file__).parents[2], 0
    launcher = [
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        str(root / "recipes/accelerate/two_processes_cpu.yaml"),
    ]
    words = [
        sys.executable,
        *(launcher if processes > 1 else ()),
        str(root / "recipes/sft.py"),
        "--model_name_or_path",
        "tiny",
    ]
    with tempfile.TemporaryDirectory() as folder:
        words += ["--datasets", path, "--output_dir", folder, "--max_steps", "1", "--per_device_train_batch_size", "2"]
        words += ["--logging_steps", "1", "--save_strategy", "no", "--disable_tqdm", "true"]
        before, begun = _cpu(), time.perf_counter()
        metrics, seconds = Path(folder) / "metrics.jsonl", 0.0
        run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=sys.stderr)
        while run.poll() is None:
            most = max([most, *(_private_memory(pid) for pid in _descendants(run.pid))])
            if not seconds and metrics.exists() and metrics.stat().st_size:
                seconds = time.perf_counter() - begun
            time.sleep(0.2)
    if run.returncode or not seconds:
        raise RuntimeError(f"the run ended with {run.returncode}; see its error above")
    return {"rows": 0, "seconds": seconds, "cpu": _cpu() - before, "RssAnon": most, "VmHWM": 0}


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [pid, *(other for child in children for other in _descendants(child))]


def _private_memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon")), 0)


RUNS = {"two": 2, "step": 1}  # processes of the arms that run the recipe
ARMS = {
    "ours": ours,
    "again": ours,
    "base": ours,
    "trl1": lambda path: with_trl(path, 1),
    "trl2": lambda path: with_trl(path, 2),
}
_started = _used = 0.0


def start() -> None:
    """Begin to count the time of an arm."""
    global _started, _used
    _started, _used = time.perf_counter(), _cpu()


def run_arm(name: str, path: str) -> None:
    """Run one arm in this process, and print its figures as JSON."""
    if name in RUNS:
        print(json.dumps(run_to_first_step(path, RUNS[name])))
        return
    rows = ARMS[name](path)
    seconds = time.perf_counter() - _started
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    memory = {key: int(status[key].split()[0]) // 1024 for key in ("RssAnon", "VmHWM")}
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu": _cpu() - _used, **memory}))


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> None:
    """Run the rounds and print a table."""
    parser = argparse.ArgumentParser(description="Time the preparation of training rows.")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--arms", default="ours,again,trl1,trl2", help=f"of {', '.join([*ARMS, *RUNS])}")
    parser.add_argument("--base", help="checkout of an earlier commit, for the arm base")
    parser.add_argument("--out", help="file for all figures, as JSON")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        run_arm(options.arm, options.data)
        return
    arms = options.arms.split(",") + (["base"] if options.base else [])
    figures: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arms}
    with tempfile.TemporaryDirectory() as own:
        data = Path(own) / "rows.jsonl"
        write_rows(data, options.rows)
        for _ in range(options.rounds):
            for arm in arms:
                figures[arm].append(_in_process(arm, str(data), Path(own), options.base))
                print(arm, figures[arm][-1], file=sys.stderr, flush=True)
    print(f"{'arm':<8}{'rows/s':>10}{'seconds':>9}{'cpu s':>8}{'RssAnon MB':>12}{'peak MB':>9}")
    for arm, runs in figures.items():
        seconds, cpu = (statistics.median(run[name] for run in runs) for name in ("seconds", "cpu"))
        print(
            f"{arm:<8}{options.rows / seconds:>10,.0f}{seconds:>9.1f}{cpu:>8.1f}{max(r['RssAnon'] for r in runs):>12,}{max(r['VmHWM'] for r in runs):>9,}"
        )
    for arm in (arm for arm in dict.fromkeys(arms[1:]) if len(figures[arm]) == len(figures[arms[0]])):
        ratios = sorted(b["seconds"] / a["seconds"] for a, b in zip(figures[arms[0]], figures[arm], strict=True))
        print(f"{arms[0]} / {arm}: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    if options.out:
        Path(options.out).write_text(json.dumps(figures, indent=1))


def _in_process(arm: str, data: str, own: Path, base: str | None) -> dict[str, Any]:
    if arm not in ("again", "step"):
        for folder in ("cache", "huggingface"):
            shutil.rmtree(own / folder, ignore_errors=True)
    tree = base if arm == "base" and base else str(Path(__file__).parents[2])
    caches = {"HRM_ALIGN_CACHE": str(own / "cache"), "HF_DATASETS_CACHE": str(own / "huggingface")}
    words = [sys.executable, __file__, "--arm", arm, "--data", data]
    done = subprocess.run(
        words,
        env=os.environ | caches | {"PYTHONPATH": tree},
        stdout=subprocess.PIPE,
        stderr=None if arm in RUNS else subprocess.DEVNULL,
        check=True,
        text=True,
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
