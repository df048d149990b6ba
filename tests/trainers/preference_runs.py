"""Run the recipe of DPO as a user does: a few pairs on the tiny base."""

import random
from pathlib import Path

from recipes.dpo import main
from tests.trainers.recipe_runs import last_of_each, write_rows

SMALL = ("--learning_rate", "1e-3", "--logging_steps", "1", "--max_length", "64", "--disable_tqdm", "true",
         "--save_strategy", "no")  # fmt: skip


def pairs(folder: Path, count: int = 20) -> Path:
    """A file of pairs whose answers have one to seven words, so that their rows are of many lengths."""
    rng = random.Random(0)
    words = ("red", "blue", "oak", "sun")
    rows = []
    for number in range(count):
        chosen, rejected = (" ".join(rng.choices(words, k=1 + (number * step) % 7)) for step in (1, 3))
        rows.append({"prompt": f"say {number}", "chosen": chosen, "rejected": f"{rejected} ok"})
    return write_rows(folder / "pairs.jsonl", rows)


def arguments(output_dir: Path, data: Path, *flags: str) -> list[str]:
    given = ["--model_name_or_path", "tiny", "--datasets", str(data), "--output_dir", str(output_dir)]
    return last_of_each([*given, *SMALL, *flags])


def dpo(output_dir: Path, data: Path, *flags: str) -> None:
    """Run the recipe in this process; a flag given twice counts as the last one says."""
    main(arguments(output_dir, data, *flags))
