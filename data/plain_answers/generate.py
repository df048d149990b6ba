"""Write train.jsonl and test.jsonl of questions that are to be answered plainly, byte for byte the same on every run.

    python data/plain_answers/generate.py

One row:

    {"prompt": "Write backwards: mango card", "response": "card mango", "condition": "noisy", "group": "reversal"}

Under the condition `noisy` the tiny base knows these answers but hedges ("card mango maybe"); now and then it does not.
Prompts for reinforcement learning of a format: only the bare answer is paid.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

# What the base was trained on, from where scripts/make_tiny_base.py takes it; a copy would drift from it.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from base_tasks.rows import draw_task

ROWS = {"train": 2000, "test": 600}
# Families of which the base knows nearly every easy answer: what is left to learn is the manner.
FAMILIES = ("addition", "boolean", "comparison", "conversion", "copying", "multiplication", "picking", "reversal",
            "sorting", "subtraction")  # fmt: skip

Row = dict[str, str]


def rows(split: str) -> list[Row]:
    """Distinct questions; those of the test are held out from the base's own training, too."""
    rng, found = Random(f"plain answers {split}"), dict[str, Row]()
    while len(found) < ROWS[split]:
        family = rng.choice(FAMILIES)
        task = draw_task(rng, family, "easy", held_out=split == "test")
        found[task.prompt] = {"prompt": task.prompt, "response": task.answer, "condition": "noisy", "group": family}
    return list(found.values())


def main() -> None:
    for split in ROWS:
        lines = "".join(json.dumps(row) + "\n" for row in rows(split))
        Path(__file__).with_name(f"{split}.jsonl").write_text(lines, encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
