"""Does the exported folder, in the hands of Transformers alone, answer as the run does?

Both sides compute in float32 on the weights that are published, where a fault stands out at any depth; what rounding the
weights to a smaller type costs is measured apart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.data.examples import Example
from hrm_align.errors import RunError
from hrm_align.export import stock
from hrm_align.models.loading import DTYPES
from hrm_align.models.rounding import Floor, in_evaluation, tie_margin
from hrm_align.rendering import Document, Message, renderer_of
from hrm_align.rollouts.local import generate
from hrm_align.rollouts.logprobs import response_logprobs

BATCH = 64  # answers written side by side where memory does not matter
SCORED_ROWS = 64  # whose log-probabilities are compared; the answers of all are
EXACT_ROWS = 16  # whose greedy answers are compared in float32 too, where the published type is another
# Of the process that asks: no bars, and blocks that glibc gives back when they are freed. It cannot use one of PyTorch's again for
# the same size, and weights that are cast one module at a time would leave a heap of gaps.
ENVIRONMENT = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
LEAST_CACHE = 1 << 28  # bytes of keys and values that any model may take
LOGITS = 1 << 24  # of a batch that is scored: 64 MiB in float32

# scripts/README.md has the measurements behind these.
LEAST = {"largest": 1e-3, "mean": 1e-5}  # nats, always allowed in float32 arithmetic
ROUNDING = {"float32": 0.0, "bfloat16": 0.03, "float16": 0.004}  # nats, always allowed for rounding weights to a type
ROUNDING_FACTOR = 4  # between what products in that type cost the run itself and what is allowed


@dataclass(frozen=True)
class Tolerance:
    """How far an exported folder may be from its run, in nats: differences of log-probabilities.

    Args:
        largest: of a token, in float32 arithmetic on the published weights.
        mean: the same, over all tokens compared.
        rounding: the mean that rounding the weights to the published type may cost.
    """

    largest: float
    mean: float
    rounding: float

    @classmethod
    def of(cls, floor: Floor, cost: float, dtype: str) -> Tolerance:
        """What a model's own rounding allows.

        Args:
            floor: of the run in float32, an adapter unmerged.
            cost: what products in the published type cost the run (`cost_of_rounding`); 0 for float32.
            dtype: the published type.
        """
        return cls(
            floor.limit(floor.nats, LEAST["largest"]),
            floor.limit(floor.mean_nats, LEAST["mean"]),
            max(ROUNDING[dtype], ROUNDING_FACTOR * cost),
        )


@dataclass(frozen=True)
class Reference:
    """What the run answers, in float32.

    Args:
        prompts: token ids.
        answers: token ids of greedy answers.
        logprobs: of the first `SCORED_ROWS` answers, nats.
    """

    prompts: list[list[int]]
    answers: list[list[int]]
    logprobs: list[list[float]]

    @property
    def documents(self) -> list[Document]:
        """Prompts and answers that were scored."""
        pairs = zip(self.prompts, self.answers[: len(self.logprobs)], strict=False)
        return [Document([*prompt, *answer], len(prompt)) for prompt, answer in pairs]


@dataclass(frozen=True)
class ParityReport:
    """How far the exported folder, asked by stock Transformers, is from the run.

    Args:
        rows: prompts answered by both.
        other_answers: greedy answers in the published type that differ from those of the run in float32.
        compared: prompts whose greedy answers were compared in float32 arithmetic.
        wrong_answers: of these, answers that differ; those that part where two tokens tie are not counted.
        tokens: whose log-probabilities were compared.
        largest_difference: of two log-probabilities in float32 arithmetic on the published weights, nats.
        mean_difference: the same, over all tokens.
        rounding: what rounding the weights to the published type moves log-probabilities by, on average.
        dtype: of the exported weights.
        tolerance: of the three.
        floor: what two right ways of computing the run differ by: largest and mean, nats.
    """

    rows: int
    other_answers: int
    compared: int
    wrong_answers: int
    tokens: int
    largest_difference: float
    mean_difference: float
    rounding: float
    dtype: str
    tolerance: Tolerance
    floor: tuple[float, float]

    @property
    def is_same(self) -> bool:
        """Whether the folder gives what was measured."""
        return (
            self.largest_difference <= self.tolerance.largest
            and self.mean_difference <= self.tolerance.mean
            and self.rounding <= self.tolerance.rounding
            and not self.wrong_answers
        )

    def require(self) -> None:
        """Raises RunError outside the tolerance."""
        if not self.is_same:
            raise RunError(
                f"the exported folder is not the model of the run: {self.wrong_answers} of {self.compared} greedy answers differ "
                f"in float32, log-probabilities by {self.mean_difference:.1e} on average and {self.largest_difference:.1e} at "
                f"most (rounding alone gives {self.floor[1]:.1e} and {self.floor[0]:.1e}; {self.tolerance.mean:.1e} and "
                f"{self.tolerance.largest:.1e} are allowed), and rounding to {self.dtype} costs {self.rounding:.1e} nats "
                f"({self.tolerance.rounding:.1e} allowed). Nothing was written. Choose another --dtype, or say --force parity."
            )

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> ParityReport:
        """Read what `to_dict` gave."""
        return cls(**{**record, "tolerance": Tolerance(**record["tolerance"]), "floor": tuple(record["floor"])})


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
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    max_new_tokens: int,
    batch_size: int,
) -> Reference:
    """Ask the run's own model, under the prefix mask, in float32.

    Args:
        model: of the run, an adapter unmerged.
        tokenizer: of the model.
        examples: the questions.
        max_new_tokens: longest answer.
        batch_size: answers written side by side.
    """
    render = renderer_of(tokenizer)
    prompts = [render.prompt(example.messages, example.condition) for example in examples]
    answers = generate(model, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size)
    asked = Reference(prompts, answers, [[] for _ in prompts[:SCORED_ROWS]])
    return replace(asked, logprobs=scores(model, asked.documents))


def scores(model: PreTrainedModel, documents: Sequence[Document]) -> list[list[float]]:
    """Log-probabilities of each document's response, nats, as training computes them."""
    longest = max(len(document.input_ids) for document in documents)
    batch = max(1, LOGITS // (longest * model.config.vocab_size))
    with in_evaluation(model):
        return [
            row.tolist()
            for start in range(0, len(documents), batch)
            for row in response_logprobs(model, documents[start : start + batch])
        ]


def side_by_side(model: PreTrainedModel, prompts: int, longest: int) -> int:
    """Answers to write side by side in an export.

    On a CPU their keys and values take at most a sixteenth of what the weights take, or 256 MiB, so that an export needs little
    more than the model; on an accelerator as many as `generate` takes.

    Args:
        model: in float32.
        prompts: how many there are.
        longest: prompt and answer, in tokens.
    """
    config: Any = model.config
    if model.device.type != "cpu":
        return min(prompts, BATCH)
    weights = sum(weight.nbytes for weight in model.parameters())
    states = 2 * config.num_attention_heads * config.head_dim * config.num_hidden_layers * 4  # bytes of a token
    return max(1, min(prompts, BATCH, max(LEAST_CACHE, weights // 16) // (states * longest)))


@torch.no_grad()
def round_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Give weights the values that they have in `dtype`; they stay in their own type."""
    for weight in model.parameters():
        weight.copy_(weight.to(dtype))


def ask_stock(
    folder: Path,
    examples: Sequence[Example],
    expected: Reference,
    max_new_tokens: int,
    batch_size: int,
    exact_rows: int,
    base: str | None = None,
) -> list[dict[str, Any]]:
    """Ask an exported folder in a fresh process that holds no hrm_align.

    Args:
        folder: as it will be published.
        examples: the questions.
        expected: whose answers are scored there.
        max_new_tokens: longest answer.
        batch_size: answers written side by side.
        exact_rows: so many of the first questions are answered in float32 too.
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
                exact = {"in_float32": True} if place < exact_rows else {}
                file.write(json.dumps(as_row(example) | scored | exact) + "\n")
        command = [
            sys.executable,
            "-I",
            stock.__file__,
            str(folder),
            str(rows),
            "--max_new_tokens",
            str(max_new_tokens),
            "--batch_size",
            str(batch_size),
        ]
        command += ["--base", base] if base else []
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ENVIRONMENT)
    if done.returncode:
        raise RunError(f"stock Transformers cannot use the exported folder: {done.stderr.strip()[-600:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


@dataclass(frozen=True)
class Published:
    """What the run answers with the weights that are published, in float32 arithmetic.

    Args:
        model: that answers; its weights have the values of the published type.
        answers: greedy answers, for float32 to all prompts, else to the first `EXACT_ROWS`.
        logprobs: of the answers that the reference scored, nats.
        rounding: mean difference of these to the reference's.
        dtype: the published type.
        tolerance: of the comparison.
        floor: of the run, an adapter unmerged.
    """

    model: Any
    answers: list[list[int]]
    logprobs: list[list[float]]
    rounding: float
    dtype: str
    tolerance: Tolerance
    floor: Floor


def published(
    model: Any,
    expected: Reference,
    dtype: str,
    tolerance: Tolerance,
    floor: Floor,
    max_new_tokens: int,
    batch_size: int,
) -> Published:
    """Round the weights to the type that is published, and ask the run again where that changes them.

    Args:
        model: merged if that is what is published; its weights are rounded in place.
        expected: what the run answered, an adapter unmerged.
        dtype: type to publish in; that of the base, for an adapter, whose weights stay as they are.
        tolerance: of the comparison.
        floor: of the run.
        max_new_tokens: longest answer.
        batch_size: answers written side by side.
    """
    if dtype == "float32" or isinstance(model, PeftModel):
        answers = expected.answers if dtype == "float32" else expected.answers[:EXACT_ROWS]
        return Published(model, answers, expected.logprobs, 0.0, dtype, tolerance, floor)
    round_weights(model, DTYPES[dtype])
    logprobs = scores(model, expected.documents)
    gaps = [
        abs(a - b) for one, two in zip(expected.logprobs, logprobs, strict=True) for a, b in zip(one, two, strict=True)
    ]
    prompts = expected.prompts[:EXACT_ROWS]
    answers = generate(model, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size)
    return Published(model, answers, logprobs, sum(gaps) / len(gaps), dtype, tolerance, floor)


def compare(expected: Reference, ours: Published, found: Sequence[dict[str, Any]]) -> ParityReport:
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
    pairs = [
        (Document([*prompt, *answer], len(prompt)), row.get("float32_answer_ids"))
        for prompt, answer, row in zip(expected.prompts, ours.answers, found, strict=False)
    ]
    margins = [tie_margin(ours.model, document, ids) for document, ids in pairs if ids is not None]
    wrong = sum(margin is not None and margin > ours.tolerance.largest for margin in margins)
    scored = zip(found, ours.logprobs, strict=False)
    gaps = [abs(a - b) for row, score in scored for a, b in zip(score, row["logprobs"], strict=True)]
    return ParityReport(
        rows=len(found),
        other_answers=other,
        compared=len(margins),
        wrong_answers=wrong,
        tokens=len(gaps),
        largest_difference=max(gaps),
        mean_difference=sum(gaps) / len(gaps),
        rounding=ours.rounding,
        dtype=ours.dtype,
        tolerance=ours.tolerance,
        floor=(ours.floor.nats, ours.floor.mean_nats),
    )
