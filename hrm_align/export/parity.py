"""Does the exported folder, in the hands of Transformers alone, answer as the run does?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.data.example import Example
from hrm_align.errors import RunError
from hrm_align.export import stock
from hrm_align.rendering import Document, Message, renderer_of
from hrm_align.rollouts.generation import generate
from hrm_align.rollouts.scoring import response_logprobs

SCORED_ROWS = 64  # whose log-probabilities are compared; the answers of all are
BATCH = 16


@dataclass(frozen=True)
class Tolerance:
    """How far an exported folder may be from its run.

    Args:
        largest: difference of two log-probabilities, nats.
        mean: the same, over all tokens compared.
        other_answers: share of greedy answers that may differ.
    """

    largest: float
    mean: float
    other_answers: float


# scripts/README.md has the measurements behind these.
TOLERANCES = {
    "float32": Tolerance(1e-3, 1e-5, 0.005),
    "bfloat16": Tolerance(1.0, 0.03, 0.2),
    "float16": Tolerance(0.2, 0.004, 0.1),
}


@dataclass(frozen=True)
class Reference:
    """What the run answers: token ids, and log-probabilities (nats) of the first `SCORED_ROWS` answers."""

    prompts: list[list[int]]
    answers: list[list[int]]
    logprobs: list[list[float]]


@dataclass(frozen=True)
class ParityReport:
    """How far the exported folder is from the run.

    Args:
        rows: prompts answered by both.
        other_answers: greedy answers that differ.
        tokens: whose log-probabilities were compared.
        largest_difference: of two log-probabilities, nats.
        mean_difference: the same, over all tokens.
        dtype: of the exported weights.
        tolerance: of that type.
    """

    rows: int
    other_answers: int
    tokens: int
    largest_difference: float
    mean_difference: float
    dtype: str
    tolerance: Tolerance

    @property
    def is_same(self) -> bool:
        """Whether the folder gives what was measured."""
        return (
            self.largest_difference <= self.tolerance.largest
            and self.mean_difference <= self.tolerance.mean
            and self.other_answers <= self.tolerance.other_answers * self.rows
        )

    def require(self) -> None:
        """Raises RunError outside the tolerance."""
        if not self.is_same:
            raise RunError(
                f"the exported folder is not the model of the run: {self.other_answers} of {self.rows} greedy answers differ, "
                f"log-probabilities by {self.mean_difference:.1e} on average and {self.largest_difference:.1e} at most "
                f"(allowed in {self.dtype}: {self.tolerance.other_answers:.1%} of the answers, {self.tolerance.mean:g}, "
                f"{self.tolerance.largest:g}). Nothing was written. Choose another --dtype, or say --force parity."
            )

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> ParityReport:
        """Read what `to_dict` gave."""
        return cls(**{**record, "tolerance": Tolerance(**record["tolerance"])})


def as_row(example: Example) -> dict[str, Any]:
    """A question as the chat template takes it."""
    return {"messages": [_as_dict(message) for message in example.messages], "condition": example.condition}


def _as_dict(message: Message) -> dict[str, Any]:
    calls = {"tool_calls": [dict(call) for call in message.tool_calls]} if message.tool_calls else {}
    return {"role": message.role, "content": message.content, **calls}


def templated(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast) -> list[Example]:
    """Those that the chat template can render: it refuses texts that hold a control token, which the renderer encodes."""
    control = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    return [
        example
        for example in examples
        if not any(token in json.dumps(as_row(example)["messages"], ensure_ascii=False) for token in control)
    ]


def reference(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, examples: Sequence[Example], max_new_tokens: int
) -> Reference:
    """Ask the run's own model, under the prefix mask, in float32.

    Args:
        model: of the run, an adapter unmerged.
        tokenizer: of the model.
        examples: the questions.
        max_new_tokens: longest answer.
    """
    render = renderer_of(tokenizer)
    prompts = [render.prompt(example.messages, example.condition) for example in examples]
    answers = generate(model, prompts, max_new_tokens=max_new_tokens)
    documents = [
        Document([*prompt, *answer], len(prompt))
        for prompt, answer in zip(prompts[:SCORED_ROWS], answers[:SCORED_ROWS], strict=True)
    ]
    model.eval()
    scores = [
        row.tolist()
        for start in range(0, len(documents), BATCH)
        for row in response_logprobs(model, documents[start : start + BATCH])
    ]
    return Reference(prompts, answers, scores)


def ask_stock(
    folder: Path, examples: Sequence[Example], expected: Reference, max_new_tokens: int, base: str | None = None
) -> list[dict[str, Any]]:
    """Ask an exported folder in a fresh process that holds no hrm_align.

    Args:
        folder: as it will be published.
        examples: the questions.
        expected: whose answers are scored there.
        max_new_tokens: longest answer.
        base: checkpoint folder or Hub id, for an adapter.

    Returns:
        What `stock.py` prints of each row.

    Raises:
        RunError: if it cannot be loaded or asked.
    """
    with tempfile.TemporaryDirectory() as scratch:
        rows = Path(scratch) / "rows.jsonl"
        with rows.open("w", encoding="utf-8") as file:
            for place, example in enumerate(examples):
                scored = {"answer_ids": expected.answers[place]} if place < len(expected.logprobs) else {}
                file.write(json.dumps(as_row(example) | scored) + "\n")
        command = [
            sys.executable,
            "-I",
            stock.__file__,
            str(folder),
            str(rows),
            "--max_new_tokens",
            str(max_new_tokens),
        ]
        command += ["--base", base] if base else []
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        )
    if done.returncode:
        raise RunError(f"stock Transformers cannot use the exported folder: {done.stderr.strip()[-600:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def compare(expected: Reference, found: Sequence[dict[str, Any]], dtype: str) -> ParityReport:
    """Set the answers of the folder beside those of the run.

    Raises:
        RunError: if the folder's chat template encodes a prompt differently.
    """
    other_prompts = sum(row["prompt_ids"] != ids for row, ids in zip(found, expected.prompts, strict=True))
    if other_prompts:
        raise RunError(
            f"the chat template encodes {other_prompts} of {len(found)} prompts otherwise than training did: export with the "
            "tokenizer of the run, whose template is the project's."
        )
    other = sum(row["answer_ids"] != ids for row, ids in zip(found, expected.answers, strict=True))
    pairs = zip(found, expected.logprobs, strict=False)
    gaps = [abs(ours - theirs) for row, score in pairs for ours, theirs in zip(score, row["logprobs"], strict=True)]
    mean = sum(gaps) / len(gaps)
    return ParityReport(len(found), other, len(gaps), max(gaps), mean, dtype, TOLERANCES[dtype])
