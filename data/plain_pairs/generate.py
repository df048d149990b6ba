"""Write train.jsonl and test.jsonl of pairs of answers, byte for byte the same on every run.

    python data/plain_pairs/generate.py

One row:

    {"prompt": "Turn around: stone red", "chosen": "red stone", "rejected": "red stone i think", "condition": "noisy", "group": "reversal"}

The questions are those of `plain_answers`, under whose condition the tiny base adds words to most answers. The rejected answer is the
chosen one with one of these additions.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

# Imports the tasks of scripts/make_tiny_base.py, because a copy could diverge from the tasks that the base was trained on.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from base_tasks.rows import draw_task

ROWS = {"train": 2000, "test": 600}
# Families and seeds of plain_answers, so that the questions are the same.
FAMILIES = ("addition", "boolean", "comparison", "conversion", "copying", "multiplication", "picking", "reversal",
            "sorting", "subtraction")  # fmt: skip
ADDITIONS = (" i think", " lol", " ok", " maybe")  # those that the base was trained on under `noisy`

Row = dict[str, str]


def rows(split: str) -> list[Row]:
    """Make pairs for distinct questions; those of the test are held out from the base's own training too."""
    rng, by_prompt = Random(f"plain answers {split}"), dict[str, Row]()
    additions = Random(f"plain pairs {split}")
    while len(by_prompt) < ROWS[split]:
        family = rng.choice(FAMILIES)
        task = draw_task(rng, family, "easy", held_out=split == "test")
        answers = {"chosen": task.answer, "rejected": task.answer.lower() + additions.choice(ADDITIONS)}
        by_prompt[task.prompt] = {"prompt": task.prompt, **answers, "condition": "noisy", "group": family}
    return list(by_prompt.values())


def main() -> None:
    for split in ROWS:
        lines = "".join(json.dumps(row) + "\n" for row in rows(split))
        Path(__file__).with_name(f"{split}.jsonl").write_text(lines, encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
