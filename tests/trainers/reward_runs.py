"""Run the reward model recipe as a user does: plain answers against answers with an added word, on the tiny base."""

from pathlib import Path

from recipes.reward import main
from tests.trainers.recipe_runs import arguments, write_rows

WORDS = ("red", "blue", "oak", "fox", "sun", "pig", "two", "ten", "cat", "hat")
ENDS = ("maybe", "lol", "i think", "ok")


def pair(number: int, **columns) -> dict:
    """A question whose chosen answer is plain, and whose rejected one has something added."""
    answer = " ".join(WORDS[(number * step + step) % 10] for step in range(1, 2 + number % 3))
    return {"prompt": f"say {answer}", "chosen": answer, "rejected": f"{answer} {ENDS[number % 4]}", **columns}


def pairs(folder: Path, first: int = 0, count: int = 40, **columns) -> Path:
    """A file of such pairs."""
    made = [pair(number, **columns) for number in range(first, first + count)]
    return write_rows(folder / f"pairs_{first}.jsonl", made)


LEARNING = ("--max_steps", "16", "--learning_rate", "2e-3", "--warmup_steps", "2", "--per_device_train_batch_size", "8",
            "--logging_steps", "1", "--save_strategy", "no")  # fmt: skip


def train_reward(output_dir: Path, data: Path, *flags: str) -> None:
    """Run the recipe in this process; a flag given twice counts as the last one says."""
    main(arguments(output_dir, data, *flags))
