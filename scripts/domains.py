"""Run the domain recipes on the embedded base, with an adapter and with full fine-tuning, and compare held-out scores.

    python scripts/domains.py --out runs/domains                     # all of them: 20 minutes on two CPU cores
    python scripts/domains.py --out runs/domains --only sql extraction --replay 0.2

`--replay` runs each adapter recipe once more, with the given share of replayed base-training rows. The table also has the
guard's score on tasks that the base was trained on, before and after the run. An interrupted command continues from
`records.jsonl` in `--out`. Prints the tables of docs/results/recipes.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from study.records import Records
from study.tables import table
from transformers.utils.logging import disable_progress_bar

from hrm_align.cli import run_with_exit_code
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.evaluation.evaluate import evaluate, last_turns
from hrm_align.evaluation.scores import get_score
from hrm_align.models.adapters import load_adapted, open_adapter
from hrm_align.models.loading import load_model_and_tokenizer

DOMAINS = {  # recipe: (data folder, grader)
    "sql": ("sql", "sql"),
    "extraction": ("json_extraction", "json"),
    "code": ("code", "code"),
    "lookup": ("lookup", "exact"),
}
ROWS = 400
FULL_RATE = "3e-3"  # the best learning rate of full fine-tuning (docs/results/lora.md)
REPLAY = "data/base_families/train.jsonl"


def score(model: Any, tokenizer: Any, domain: str) -> dict[str, Any]:
    """Return the score of greedy completions on held-out rows."""
    folder, match = DOMAINS[domain]
    rows = last_turns(load_examples([DatasetSpec(path=f"data/{folder}/test.jsonl")])[0])[:ROWS]
    return evaluate(model, tokenizer, rows, max_new_tokens=64, batch_size=100, match=match).score.to_dict()


def before(domain: str) -> dict[str, Any]:
    """Return the score of the base before training."""
    model, tokenizer = load_model_and_tokenizer("tiny")
    return score(model, tokenizer, domain)


def train(domain: str, run: Path, flags: Sequence[str]) -> dict[str, Any]:
    """Run the recipe through its command line, and score the saved model."""
    from hrm_align.recipes.sft import main as sft

    started = time.perf_counter()
    sft(["--config", f"recipes/tiny/{domain}.yaml", "--output_dir", str(run), "--disable_tqdm", "true", *flags])
    seconds = time.perf_counter() - started
    adapter = (run / "adapter_config.json").exists()
    base, adapters = ("tiny", {"run": open_adapter(str(run))}) if adapter else (str(run), {})
    model, tokenizer = load_adapted(base, adapters)
    guard = json.loads((run / "run/guard.json").read_text())["sets"]
    ((_, known),) = guard.items()
    trained = sum(weight.numel() for name, weight in model.named_parameters() if not adapter or "lora_" in name)
    return {**score(model, tokenizer, domain), "seconds": seconds, "trained": trained, "guard": known}


def cell(result: dict[str, Any]) -> str:
    """Format a score as a percentage with its 95 % interval."""
    low, high = result["interval"]
    return f"{100 * get_score(result):.1f} ({100 * low:.1f} to {100 * high:.1f})"


def row(name: str, what: str, start: dict[str, Any], run: dict[str, Any]) -> list[str]:
    """Return one row of the table."""
    guard = [f"{100 * get_score(run['guard'][side]):.0f}" for side in ("before", "after")]
    sizes = [f"{run['trained']:,}", f"{run['seconds']:.0f}"]
    return [name, what, *sizes, cell(start), cell(run), " to ".join(guard)]


def main(argv: Sequence[str]) -> None:
    """Run the requested recipes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/domains"), help="folder of runs and records")
    parser.add_argument(
        "--only", nargs="+", choices=list(DOMAINS), default=list(DOMAINS), help="domains to run (default: all)"
    )
    parser.add_argument("--replay", type=float, help="share of replay rows in one more run of each domain")
    arguments = parser.parse_args(argv)
    disable_progress_bar()
    records, rows = Records(arguments.out / "records.jsonl"), []
    arms: dict[str, list[str]] = {
        "adapter": [],
        "everything": ["--use_peft", "false", "--learning_rate", FULL_RATE],
    }
    if arguments.replay:
        share = f"{arguments.replay:g}"
        arms[f"adapter, replay {share}"] = ["--replay_datasets", REPLAY, "--replay_fraction", share]
    for domain in arguments.only:
        start = records.measured({"domain": domain, "arm": "before"}, partial(before, domain))
        for name, flags in arms.items():
            run = arguments.out / f"{domain}-{name.replace(', ', '-').replace(' ', '-')}"
            work = partial(train, domain, run, flags)
            rows.append(row(domain, name, start, records.measured({"domain": domain, "arm": name}, work)))
    head = [
        "domain",
        "trained",
        "trained parameters",
        "seconds",
        "before %",
        "after %",
        "guard score, before to after %",
    ]
    print(*table(head, rows), sep="\n")


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
