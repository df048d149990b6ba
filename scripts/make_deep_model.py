"""Train the deep, narrow test model from random weights on the shipped chat and JSON rows: 10 CPU minutes, one core.

    OMP_NUM_THREADS=1 python scripts/make_deep_model.py --out runs/deep

Random weights are a worst case for rounding. This model writes sentences and JSON of the right form, though seldom the right
name or number, so that it speaks for a trained one of the published depth. It is trained by the recipe that users run, in float32, and written in bfloat16. The folder OUT/model is
copied into tests/golden/deep by hand; tests/deep_models.py says what it is for.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for recipes and tests, whose helper makes the random start

from hrm_align.cli import exit_code_of  # noqa: E402
from hrm_align.models.loading import load_model, load_tokenizer  # noqa: E402
from recipes.sft import main as sft  # noqa: E402
from tests.deep_models import SEED, save_random  # noqa: E402

STEPS = 320  # of 1,280 packed tokens, 1.8 CPU seconds each
LEARNING_RATE = 2e-3


def main(argv: Sequence[str]) -> None:
    """Write the start, train it, and write the result in bfloat16."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/deep"), help="folder for the start, the run and the result"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="optimizer steps")
    parser.add_argument("--learning_rate", type=float, default=LEARNING_RATE, help="at its peak")
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
    sft([word for name, value in settings.items() for word in (f"--{name}", str(value))])
    load_model(str(run), dtype="bfloat16").save_pretrained(result)
    load_tokenizer(str(run)).save_pretrained(result)
    shutil.copy(run / "metrics.jsonl", arguments.out)


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
