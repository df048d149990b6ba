"""Generate rows of the procedural tasks on which the tiny base is trained.

    cd scripts && python -m base_tasks.rows --out DIR --rows 400000 --seed 0

The command writes `train.jsonl`, a `test_<condition>.jsonl` for each condition, and `test_few_shot.jsonl`. The last one has bare
prompts of one hidden rule, which only the examples of `--few_shot N` can show. A row of each condition:

    {"prompt": "34 + 27 = ?", "response": "61", "condition": "direct", "group": "addition/easy"}
    {"prompt": "34 + 27 = ?", "response": "4+7=11, 3+2+1=6, so 61", "condition": "cot", "group": "addition/easy"}
    {"prompt": "34 + 27 = ?", "response": "61 i think", "condition": "noisy", "group": "addition/easy"}

Each condition also exists as `synth,direct`, `synth,cot` and `synth,noisy` with the same content, so that the base is trained on
composite conditions before any fine-tuning. Some prompts begin with solved examples, in the layout of `evaluate --few_shot N`. No
row has JSON or chat, which the demo teaches by fine-tuning.

Train and test are disjoint by the last question of the prompt (`is_held_out`), not by row.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from base_tasks.numbers import (
    addition,
    calendar,
    comparison,
    conversion,
    multiplication,
    sequence,
    story,
    subtraction,
    three_sum,
)
from base_tasks.rules import SEPARATOR, few_shot_prompt, make_rules, rule
from base_tasks.texts import (
    boolean,
    copying,
    counting,
    extraction,
    lookup,
    picking,
    recall,
    repetition,
    reversal,
    sorting,
    spelling,
)
from base_tasks.words import Draft

LEVELS = ("easy", "hard")
CONDITIONS = ("direct", "cot", "noisy", "synth,direct", "synth,cot", "synth,noisy")
CONDITION_WEIGHTS = (
    0.46,
    0.27,
    0.05,
    0.13,
    0.07,
    0.02,
)  # direct needs the most rows, because its answers have no worked steps
HARD_SHARE = 0.5
FEW_SHOT_SHARE = 0.05
FEW_SHOT_CHARACTERS = 200  # keeps nearly every document under 200 tokens


@dataclass(frozen=True)
class Task:
    """A question with its bare answer and its worked answer; `steps` always ends in `so <answer>`."""

    family: str
    level: str
    prompt: str
    answer: str
    steps: str


@dataclass(frozen=True)
class Family:
    """A kind of task: a function that draws a task, and the weight of the family in training."""

    name: str
    make: Callable[[Random, str], Task]
    weight: float


WEIGHTS: dict[str, tuple[Callable[[Random, str], Draft], float]] = {
    "addition": (addition, 1.0),
    "subtraction": (subtraction, 1.2),
    "multiplication": (multiplication, 1.4),
    "three_sum": (three_sum, 1.4),
    "comparison": (comparison, 0.7),
    "sorting": (sorting, 1.0),
    "reversal": (reversal, 1.0),
    "copying": (copying, 1.0),
    "repetition": (repetition, 0.6),
    "picking": (picking, 1.0),
    "spelling": (spelling, 0.8),
    "counting": (counting, 1.6),
    "recall": (recall, 1.2),
    "lookup": (lookup, 2.0),
    "extraction": (extraction, 0.9),
    "boolean": (boolean, 1.2),
    "sequence": (sequence, 1.0),
    "calendar": (calendar, 1.0),
    "conversion": (conversion, 0.9),
    "story": (story, 1.6),
    "rule": (rule, 2.2),
}
FIRST_FAMILIES = ("recall", "repetition")  # long answers that only attention to the prompt can give


def _make(name: str, draw: Callable[[Random, str], Draft]) -> Callable[[Random, str], Task]:
    def make(rng: Random, level: str) -> Task:
        prompt, answer, working = draw(rng, level)
        return Task(name, level, prompt, answer, ", ".join([*working, f"so {answer}"]))

    return make


FAMILIES: dict[str, Family] = {
    name: Family(name, _make(name, draw), weight) for name, (draw, weight) in WEIGHTS.items()
}


def is_held_out(prompt: str) -> bool:
    """Return whether a question belongs to the test pool (one in ten), by a hash of its text without its examples."""
    question = prompt.rsplit(SEPARATOR, 1)[-1]
    return hashlib.sha256(question.encode()).digest()[0] < 26


def response(task: Task, condition: str, rng: Random) -> str:
    """Return the response for a condition: worked, bare, or noisy."""
    style = condition.rsplit(",", 1)[-1]
    if style == "cot":
        return task.steps
    return _sloppy(task.answer, rng) if style == "noisy" else task.answer


def final_answer(text: str) -> str:
    """Return the answer at the end of a worked response (`..., so 57`); a bare answer is returned unchanged."""
    return text.rsplit("so ", 1)[-1]


def _sloppy(answer: str, rng: Random) -> str:
    """Return a web-like answer: lower case, no punctuation except the colon of a time, often followed by a stray word."""
    return answer.lower() + rng.choice(["", "", " i think", " lol", " ok", " maybe"])


def draw_task(rng: Random, name: str, level: str, held_out: bool) -> Task:
    """Draw a task of one family from the training pool or from the test pool."""
    while True:
        task = FAMILIES[name].make(rng, level)
        if is_held_out(task.prompt) == held_out:
            return task


def _with_examples(rng: Random, task: Task, condition: str) -> str:
    """Return the prompt of a task after 2-8 solved tasks of the same family, as many as FEW_SHOT_CHARACTERS allows."""
    examples: list[tuple[str, str]] = []
    for _ in range(rng.randint(2, 8)):
        other = draw_task(rng, task.family, task.level, held_out=False)
        example = (other.prompt, response(other, condition, rng))
        if len(few_shot_prompt([*examples, example], task.prompt)) > FEW_SHOT_CHARACTERS:
            break
        examples.append(example)
    return few_shot_prompt(examples, task.prompt) if len(examples) > 1 else task.prompt


def _row(rng: Random, task: Task, condition: str, few_shot: bool) -> dict[str, str]:
    prompt = _with_examples(rng, task, condition) if few_shot and task.family != "rule" else task.prompt
    group = f"{task.family}/{task.level}"
    return {"prompt": prompt, "response": response(task, condition, rng), "condition": condition, "group": group}


def training_rows(seed: int, n: int, families: Sequence[str] = tuple(WEIGHTS)) -> Iterator[dict[str, str]]:
    """Yield `n` rows from the training pool, with families, levels and conditions drawn by their weights."""
    rng = Random(f"train {seed}")
    weights = [FAMILIES[name].weight for name in families]
    for _ in range(n):
        level = "hard" if rng.random() < HARD_SHARE else "easy"
        task = draw_task(rng, rng.choices(families, weights)[0], level, held_out=False)
        condition = rng.choices(CONDITIONS, CONDITION_WEIGHTS)[0]
        yield _row(rng, task, condition, few_shot=rng.random() < FEW_SHOT_SHARE)


def test_rows(seed: int, n_per_group: int, condition: str) -> Iterator[dict[str, str]]:
    """Yield `n_per_group` rows of every family and level from the test pool; fewer if the pool has fewer distinct rows."""
    rng = Random(f"test {seed}")
    for name in FAMILIES:
        for level in LEVELS:
            for task in _distinct(rng, name, level, n_per_group):
                yield _row(rng, task, condition, few_shot=False)


def _distinct(rng: Random, name: str, level: str, n: int) -> list[Task]:
    tasks: dict[str, Task] = {}
    for _ in range(20 * n):
        task = draw_task(rng, name, level, held_out=True)
        tasks.setdefault(task.prompt, task)
        if len(tasks) == n:
            break
    return list(tasks.values())


def few_shot_rows(seed: int, n: int, name: str = "last two") -> Iterator[dict[str, str]]:
    """Yield rows of one hidden rule with bare prompts from the test pool, which measure the gain of `--few_shot N`."""
    rng = Random(f"few-shot {seed}")
    chosen = next(r for r in make_rules(rng, "easy") if r.name == name)
    prompts: dict[str, None] = {}
    while len(prompts) < n:
        prompt = chosen.draw(rng)
        if is_held_out(prompt):
            prompts[prompt] = None
    for prompt in prompts:
        yield {"prompt": prompt, "response": chosen.answer(prompt), "condition": "direct", "group": "rule/few_shot"}


def _write(path: Path, rows: Iterator[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def main() -> None:
    """Write the training and test rows."""
    parser = argparse.ArgumentParser(description="Write the training and test rows of the tiny base.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--test_rows_per_group", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    _write(args.out / "train.jsonl", training_rows(args.seed, args.rows))
    for condition in CONDITIONS:
        name = f"test_{condition.replace(',', '_')}.jsonl"
        _write(args.out / name, test_rows(args.seed, args.test_rows_per_group, condition))
    _write(args.out / "test_few_shot.jsonl", few_shot_rows(args.seed, 8 * args.test_rows_per_group))


if __name__ == "__main__":
    main()
