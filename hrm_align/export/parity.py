"""Check that stock Transformers reproduces the run's greedy answers and log-probabilities with the exported folder.

Both sides compute in float32 on the exported weights, where a real fault is far larger than rounding at any depth. The effect of
rounding the weights to a smaller dtype is measured separately.
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
from hrm_align.rendering import Document, Message, get_renderer
from hrm_align.rollouts.local import generate
from hrm_align.rollouts.logprobs import response_logprobs

BATCH = 64  # completions generated together where memory does not matter
SCORED_ROWS = 64  # rows whose log-probabilities are compared; the answers of all rows are compared
EXACT_ROWS = 16  # rows whose greedy answers are also compared in float32 if the exported dtype is another
# Environment of the stock process: no progress bars, and memory is returned to the system when it is freed. Casting the weights one
# module at a time would otherwise fragment the heap, because glibc does not reuse PyTorch's large blocks for the same size.
ENVIRONMENT = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
LEAST_CACHE = 1 << 28  # bytes of KV cache that every model may use
LOGITS = 1 << 24  # logits in a batch of scored rows: 64 MiB in float32

# docs/results/planted-faults.md has the measurements behind these limits.
LEAST = {"largest": 1e-3, "mean": 1e-5}  # nats; least tolerance in float32 arithmetic
ROUNDING = {"float32": 0.0, "bfloat16": 0.03, "float16": 0.004}  # nats; least tolerance for rounding the weights
ROUNDING_FACTOR = 4  # tolerance over the change that computing in this dtype causes in the run itself


@dataclass(frozen=True)
class Tolerance:
    """Allowed differences between the log-probabilities of an exported folder and its run, in nats.

    Args:
        largest: of a single token, in float32 arithmetic on the exported weights.
        mean: averaged over all tokens compared, in float32 arithmetic on the exported weights.
        rounding: averaged over all tokens, between the exported weights and the unrounded ones.
    """

    largest: float
    mean: float
    rounding: float

    @classmethod
    def of(cls, floor: Floor, cost: float, dtype: str) -> Tolerance:
        """Derive the tolerance from the rounding errors measured on the model itself.

        Args:
            floor: rounding floor of the run in float32, with an adapter unmerged.
            cost: mean change in nats when the run computes in the exported dtype (`cost_of_rounding`); 0 for float32.
            dtype: name of the exported dtype.
        """
        return cls(
            floor.limit(floor.nats, LEAST["largest"]),
            floor.limit(floor.mean_nats, LEAST["mean"]),
            max(ROUNDING[dtype], ROUNDING_FACTOR * cost),
        )


@dataclass(frozen=True)
class Reference:
    """The run's greedy answers in float32, and their log-probabilities.

    Args:
        prompts: token ids of each prompt.
        answers: token ids of each greedy answer.
        logprobs: log-probability of each token of the first `SCORED_ROWS` answers, nats.
    """

    prompts: list[list[int]]
    answers: list[list[int]]
    logprobs: list[list[float]]

    @property
    def documents(self) -> list[Document]:
        """The rows with log-probabilities, as documents of prompt and answer."""
        pairs = zip(self.prompts, self.answers[: len(self.logprobs)], strict=False)
        return [Document([*prompt, *answer], len(prompt)) for prompt, answer in pairs]


@dataclass(frozen=True)
class ParityReport:
    """Difference between the exported folder, run by stock Transformers, and the run.

    Args:
        rows: number of prompts that both answered.
        other_answers: number of greedy answers in the exported dtype that differ from the run's in float32.
        compared: number of prompts whose greedy answers were compared in float32 arithmetic.
        wrong_answers: number of these answers that differ; ties between two tokens are not counted.
        tokens: number of tokens whose log-probabilities were compared.
        largest_difference: of two log-probabilities, in float32 arithmetic on the exported weights, nats.
        mean_difference: over all tokens compared, in float32 arithmetic on the exported weights, nats.
        rounding: mean change of the log-probabilities when the weights are rounded to the exported dtype, nats.
        dtype: name of the exported dtype.
        tolerance: limits of `largest_difference`, `mean_difference` and `rounding`.
        floor: difference between two correct ways to compute the run: largest and mean, nats.
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
        """Whether all differences are within the tolerance."""
        return (
            self.largest_difference <= self.tolerance.largest
            and self.mean_difference <= self.tolerance.mean
            and self.rounding <= self.tolerance.rounding
            and not self.wrong_answers
        )

    def require(self) -> None:
        """Raise RunError if a difference is outside the tolerance."""
        if not self.is_same:
            raise RunError(
                f"the exported folder does not reproduce the run: in float32, {self.wrong_answers} of {self.compared} greedy "
                f"answers differ, and log-probabilities differ by {self.mean_difference:.1e} nats on average and "
                f"{self.largest_difference:.1e} at most (rounding alone gives {self.floor[1]:.1e} and {self.floor[0]:.1e}; "
                f"{self.tolerance.mean:.1e} and {self.tolerance.largest:.1e} are allowed); rounding to {self.dtype} changes them "
                f"by {self.rounding:.1e} on average ({self.tolerance.rounding:.1e} is allowed). Nothing was written. Choose "
                "another --dtype, or export nevertheless with --force parity."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as an object for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> ParityReport:
        """Build the report from an object that `to_dict` returned."""
        return cls(**{**record, "tolerance": Tolerance(**record["tolerance"]), "floor": tuple(record["floor"])})


def as_row(example: Example) -> dict[str, Any]:
    """Return an example's prompt as the input of the chat template: `messages` and `condition`."""
    return {"messages": [_as_dict(message) for message in example.messages], "condition": example.condition}


def _as_dict(message: Message) -> dict[str, Any]:
    calls = {"tool_calls": [dict(call) for call in message.tool_calls]} if message.tool_calls else {}
    return {"role": message.role, "content": message.content, **calls}


def templated(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast) -> list[Example]:
    """Return the examples that the chat template can render; it refuses texts with control tokens, which the renderer encodes as text."""
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
    """Generate the greedy answers of the run's own model in float32 under the prefix mask, and their log-probabilities.

    Args:
        model: the run's model, an adapter unmerged.
        tokenizer: of the model.
        examples: the rows to answer.
        max_new_tokens: longest answer, in tokens.
        batch_size: completions generated together.
    """
    render = get_renderer(tokenizer)
    prompts = [render.prompt(example.messages, example.condition) for example in examples]
    answers = generate(model, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size)
    unscored = Reference(prompts, answers, [[] for _ in prompts[:SCORED_ROWS]])
    return replace(unscored, logprobs=scores(model, unscored.documents))


def scores(model: PreTrainedModel, documents: Sequence[Document]) -> list[list[float]]:
    """Return the log-probabilities of each document's response tokens, nats, computed as in training."""
    longest = max(len(document.input_ids) for document in documents)
    batch = max(1, LOGITS // (longest * model.config.vocab_size))
    with in_evaluation(model):
        return [
            row.tolist()
            for start in range(0, len(documents), batch)
            for row in response_logprobs(model, documents[start : start + batch])
        ]


def choose_batch_size(model: PreTrainedModel, prompts: int, longest: int) -> int:
    """Return how many completions an export generates together.

    On a CPU the KV cache may use a sixteenth of the memory of the weights, or 256 MiB if that is more, so that an export needs
    little more memory than the model. On an accelerator the batch size is `BATCH`.

    Args:
        model: the model, in float32.
        prompts: number of prompts.
        longest: longest prompt and answer together, in tokens.
    """
    config: Any = model.config
    if model.device.type != "cpu":
        return min(prompts, BATCH)
    weights = sum(weight.nbytes for weight in model.parameters())
    token_bytes = 2 * config.num_attention_heads * config.head_dim * config.num_hidden_layers * 4  # keys and values
    return max(1, min(prompts, BATCH, max(LEAST_CACHE, weights // 16) // (token_bytes * longest)))


@torch.no_grad()
def round_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Round the values of a model's weights to `dtype` in place; the weights keep their own dtype."""
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
    """Run an exported folder on the rows with `stock.py`, in a new process without hrm_align.

    Args:
        folder: the exported folder.
        examples: the rows to answer.
        expected: the run's answers, whose log-probabilities the process computes.
        max_new_tokens: longest answer, in tokens.
        batch_size: completions generated together.
        exact_rows: number of rows, from the first, that are also answered in float32.
        base: checkpoint folder or Hub id of an adapter's base.

    Returns:
        One object per row, as `stock.py` prints them.

    Raises:
        RunError: if stock Transformers cannot load or run the folder.
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
        raise RunError(f"stock Transformers cannot load or run the exported folder: {done.stderr.strip()[-600:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


@dataclass(frozen=True)
class Published:
    """The run's answers with the exported weights, in float32 arithmetic.

    Args:
        model: the model; its weights are float32 with values rounded to the exported dtype.
        answers: token ids of the greedy answers; to all prompts for float32, otherwise to the first `EXACT_ROWS`.
        logprobs: log-probability of each token of the answers that the reference scored, nats.
        rounding: mean absolute difference between these and the reference's log-probabilities, nats.
        dtype: name of the exported dtype.
        tolerance: limits of the comparison.
        floor: rounding floor of the run, with an adapter unmerged.
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
    """Round the weights to the exported dtype; if that changes them, generate and score the answers again.

    Args:
        model: the model to export, merged if the export is merged; its weights are rounded in place.
        expected: the run's answers, with an adapter unmerged.
        dtype: exported dtype; for an adapter that of its base, and then no weights are rounded.
        tolerance: limits of the comparison.
        floor: rounding floor of the run.
        max_new_tokens: longest answer, in tokens.
        batch_size: completions generated together.
    """
    if dtype == "float32" or isinstance(model, PeftModel):
        answers = expected.answers if dtype == "float32" else expected.answers[:EXACT_ROWS]
        return Published(model, answers, expected.logprobs, 0.0, dtype, tolerance, floor)
    round_weights(model, DTYPES[dtype])
    logprobs = scores(model, expected.documents)
    row_pairs = zip(expected.logprobs, logprobs, strict=True)
    gaps = [abs(a - b) for exact, rounded in row_pairs for a, b in zip(exact, rounded, strict=True)]
    prompts = expected.prompts[:EXACT_ROWS]
    answers = generate(model, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size)
    return Published(model, answers, logprobs, sum(gaps) / len(gaps), dtype, tolerance, floor)


def compare(expected: Reference, ours: Published, rows: Sequence[dict[str, Any]]) -> ParityReport:
    """Compare the answers and log-probabilities of the exported folder with those of the run.

    Args:
        expected: the run's answers, with an adapter unmerged.
        ours: the run's answers with the exported weights.
        rows: the folder's answers, as `ask_stock` returns them.

    Raises:
        RunError: if the folder's chat template encodes a prompt differently.
    """
    other_prompts = sum(row["prompt_ids"] != ids for row, ids in zip(rows, expected.prompts, strict=True))
    if other_prompts:
        raise RunError(
            f"the folder's chat template encodes {other_prompts} of {len(rows)} prompts differently from training. Export with the "
            "tokenizer of the run, which has hrm_align's chat template."
        )
    other = sum(row["answer_ids"] != ids for row, ids in zip(rows, expected.answers, strict=True))
    # Greedy answers in float32; the margin of a difference is the gap between the logits of the two tokens.
    pairs = [
        (Document([*prompt, *answer], len(prompt)), row.get("float32_answer_ids"))
        for prompt, answer, row in zip(expected.prompts, ours.answers, rows, strict=False)
    ]
    margins = [tie_margin(ours.model, document, ids) for document, ids in pairs if ids is not None]
    wrong = sum(margin is not None and margin > ours.tolerance.largest for margin in margins)
    # Log-probabilities in float32.
    scored = zip(rows, ours.logprobs, strict=False)
    gaps = [abs(a - b) for row, score in scored for a, b in zip(score, row["logprobs"], strict=True)]
    return ParityReport(
        rows=len(rows),
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
