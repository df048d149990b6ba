"""Train the deep, narrow test model from random weights on the shipped chat and JSON rows. Takes 10 CPU minutes on one core.

    OMP_NUM_THREADS=1 python scripts/make_deep_model.py --out runs/deep

Random weights are the worst case for rounding. The trained model writes well-formed sentences and JSON, but seldom the name or
number of the reference, so it represents a trained model of the published depth. The `sft` recipe trains the model in float32,
and the script saves the result in bfloat16. Copy the folder OUT/model into tests/golden/deep by hand; tests/deep_models.py
describes how the tests use the model.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for recipes, and for tests.deep_models, which makes the random initial weights

from hrm_align.cli import run_with_exit_code  # noqa: E402
from hrm_align.models.loading import load_model, load_tokenizer  # noqa: E402
from recipes.sft import main as sft  # noqa: E402
from tests.deep_models import SEED, save_random  # noqa: E402

STEPS = 320  # a step has 1,280 packed tokens and takes 1.8 CPU seconds
LEARNING_RATE = 2e-3


def main(argv: Sequence[str]) -> None:
    """Save a random model, train it, and save the trained model in bfloat16."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/deep"), help="folder for the random model, the run and the trained model"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="optimizer steps")
    parser.add_argument("--learning_rate", type=float, default=LEARNING_RATE, help="peak learning rate")
    arguments = parser.parse_args(argv)
    start, run, result = (arguments.out / name for name in ("start", "run", "model"))
    save_random(start)
    settings = {
        "config": ROOT / "recipes/tiny/sft.yaml",
        "model_name_or_path": start,
        "output_dir": run,
        "max_steps": arguments.steps,
        "learning_rate": arguments.learning_rate,
        "eval_strategy": "no",
        "generation_eval_samples": 0,
        "save_strategy": "no",
        "disable_tqdm": "true",
        "seed": SEED,
    }
    argv = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    sft(argv)
    load_model(str(run), dtype="bfloat16").save_pretrained(result)
    load_tokenizer(str(run)).save_pretrained(result)
    shutil.copy(run / "metrics.jsonl", arguments.out)


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
