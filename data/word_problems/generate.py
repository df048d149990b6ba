"""Write train.jsonl and test.jsonl of word problems of five and six steps, byte for byte the same on every run.

    python data/word_problems/generate.py

One row:

    {"prompt": "Leo has 21 coins. Leo buys 3 bags of 4. Leo loses 5. 8 break. Ana has 2 more coins than Leo. How many coins
     does Ana have?", "response": "3x4=12, 21+12=33, 33-5=28, 28-8=20, 20+2=22, so 22", "condition": "cot", "group": "5 steps"}

The tiny base knows these problems from its own training, and answers more than half of them wrongly when sampled. The
prompts are for reinforcement learning; answers are rewarded by the number after "so". Shorter problems are left out,
because the base solves them, and a group whose completions are all correct has zero reward variance.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

# Imports the tasks of scripts/make_tiny_base.py, because a copy could diverge from the tasks that the base was trained on.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from base_tasks.rows import draw_task

ROWS = {"train": 3600, "test": 600}
FAMILY, LEVEL = "story", "hard"
STEPS = (5, 6)

Row = dict[str, str]


def rows(split: str) -> list[Row]:
    """Make distinct problems; those of the test are held out from the base's own training too."""
    rng, by_prompt = Random(f"word problems {split}"), dict[str, Row]()
    while len(by_prompt) < ROWS[split]:
        task = draw_task(rng, FAMILY, LEVEL, held_out=split == "test")
        steps = task.steps.count("=")
        if steps in STEPS:
            row = {"prompt": task.prompt, "response": task.steps, "condition": "cot", "group": f"{steps} steps"}
            by_prompt[task.prompt] = row
    return list(by_prompt.values())


def main() -> None:
    for split in ROWS:
        lines = "".join(json.dumps(row) + "\n" for row in rows(split))
        Path(__file__).with_name(f"{split}.jsonl").write_text(lines, encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
