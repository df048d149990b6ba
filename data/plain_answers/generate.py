"""Write train.jsonl and test.jsonl of questions for plain answers, byte for byte the same on every run.

    python data/plain_answers/generate.py

One row:

    {"prompt": "Write backwards: mango card", "response": "card mango", "condition": "noisy", "group": "reversal"}

Under the condition `noisy` the tiny base knows these answers, but adds words to most of them ("card mango maybe"). The
prompts are for reinforcement learning of a format: only the answer without additional words is rewarded.
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
# Families in which the base knows nearly all easy answers, so that only the style is left to learn.
FAMILIES = ("addition", "boolean", "comparison", "conversion", "copying", "multiplication", "picking", "reversal",
            "sorting", "subtraction")  # fmt: skip

Row = dict[str, str]


def rows(split: str) -> list[Row]:
    """Make distinct questions; those of the test are held out from the base's own training too."""
    rng, by_prompt = Random(f"plain answers {split}"), dict[str, Row]()
    while len(by_prompt) < ROWS[split]:
        family = rng.choice(FAMILIES)
        task = draw_task(rng, family, "easy", held_out=split == "test")
        by_prompt[task.prompt] = {"prompt": task.prompt, "response": task.answer, "condition": "noisy", "group": family}
    return list(by_prompt.values())


def main() -> None:
    for split in ROWS:
        lines = "".join(json.dumps(row) + "\n" for row in rows(split))
        Path(__file__).with_name(f"{split}.jsonl").write_text(lines, encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
