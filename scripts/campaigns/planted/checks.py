"""The real checks, each asked once: a merge, the gate of a GRPO run, an export against stock Transformers."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from transformers.models.hrm_text import modeling_hrm_text

import hrm_align.rollouts.groups as groups
from hrm_align.config.arguments import LoraArguments
from hrm_align.data.examples import Example
from hrm_align.errors import RunError
from hrm_align.export import stock
from hrm_align.export.folder import write_model
from hrm_align.export.merging import merge
from hrm_align.export.parity import Reference, Tolerance, as_row, compare, published, reference
from hrm_align.models.loading import DTYPES, load_model_and_tokenizer
from hrm_align.models.lora import add_adapter
from hrm_align.models.rounding import cost_of_rounding, measure_floor
from hrm_align.rendering import Message, renderer_of
from hrm_align.rollouts.parity import Limit
from hrm_align.trainers.grpo import GRPOTrainer
from planted.sizes import ANSWER, TYPED, factor_on
from recipes.grpo import main as grpo
from tests.parity.faults import (
    causal_prompt,
    in_reference,
    in_sampler,
    randomise_adapter,
    shifted_positions,
    wrong_scale,
)
from tests.parity.reference import unpatched

PROMPTS = 2  # of a trial
PRECISIONS = {
    "float32": (),
    "bf16": ("--bf16", "true"),
    "bf16 weights, adapter": ("--dtype", "bfloat16", "--use_peft", "true"),
}
RUN = ("--rewards", "exact", "--num_generations", "2", "--per_device_train_batch_size", str(2 * PROMPTS), "--temperature", "1",
       "--max_completion_length", str(ANSWER), "--save_strategy", "no", "--disable_tqdm", "true", "--max_steps", "1",
       "--preflight_samples", "0", "--reward_workers", "1", "--beta", "0.05", "--parity_every", "1", "--report_to", "none")  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One question to a check.

    Args:
        number: from which prompts, adapter and answers are drawn.
        fault: its name; None for an honest one.
        size: of the fault.
    """

    number: int
    fault: str | None
    size: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a check said.

    Args:
        stopped: whether it refused.
        by: which comparison did, or that came nearest to it.
        over_floor: the largest of its differences, over what rounding alone gives.
        over_limit: the same, over what is allowed.
        measured: difference, floor and limit of each comparison, in the order in which they were made.
    """

    stopped: bool
    by: str
    over_floor: float
    over_limit: float
    measured: dict[str, tuple[float, float, float]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def outcome(stopped: bool, measured: dict[str, tuple[float, float, float]]) -> Outcome:
    """From difference, floor and limit of each comparison."""
    worst = max(measured, key=lambda name: measured[name][0] / measured[name][2])
    floors = [difference / floor for difference, floor, _ in measured.values() if floor]
    return Outcome(stopped, worst, max(floors, default=0.0), measured[worst][0] / measured[worst][2], measured)


# Merges -----------------------------------------------------------------------------------------------------------


class Merging:
    """A base that is adapted, merged and put back as it was, again and again.

    Args:
        folder: of the base.
        size: of the adapters' random matrices.
        layer: that a faulty merge leaves out.
    """

    def __init__(self, folder: Path, size: float, layer: str):
        self.folder, self.size, self.layer = folder, size, layer
        self.model, self.tokenizer = load_model_and_tokenizer(str(folder))
        self.before = {name: weight.clone() for name, weight in self.model.state_dict().items()}

    def adapted(self, seed: int) -> Any:
        """The base with a random adapter."""
        model = add_adapter(self.model, self.tokenizer, str(self.folder), LoraArguments(use_peft=True))
        randomise_adapter(model, seed, self.size)
        return model

    def restore(self) -> None:
        """Take out what was merged."""
        self.model.load_state_dict(self.before)

    def ask(self, trial: Trial, questions: Sequence[str]) -> Outcome:
        """Merge, with a fault planted before anything is measured."""
        model = self.adapted(trial.number)
        render = renderer_of(self.tokenizer)
        prompts = [render.prompt(question, "direct") for question in questions]
        kept: AbstractContextManager = nullcontext()
        planted: AbstractContextManager = nullcontext()
        if trial.fault == "adapter scale":
            planted = wrong_scale("", 1 + trial.size)
        elif trial.fault == "one layer unmerged":
            kept, planted = factor_on(model, self.layer, trial.size), wrong_scale(self.layer, 0.0)
        try:
            with kept, planted:
                _, report = merge(model, prompts, max_new_tokens=ANSWER)
        finally:
            self.restore()
        differences = {"logits": (report.largest_difference, report.floor, report.tolerance)}
        return outcome(not report.is_same, differences)


# Gates ------------------------------------------------------------------------------------------------------------


class _OverError(Exception):
    """Ends a run whose gate has been asked all."""


def ask_gates(
    folder: Path,
    data: Path,
    flags: Sequence[str],
    size: float,
    trials: Sequence[Trial],
    record: Callable[[Trial, Outcome], None],
) -> None:
    """Ask the gate of one real GRPO run: a rollout, its scores and the gate for each trial, no update.

    Args:
        folder: of the model.
        data: prompts.
        flags: of the run's precision.
        size: of random matrices, where the run trains an adapter.
        trials: to make.
        record: called with each outcome.
    """

    def step(trainer: Any, *_: Any, **__: Any) -> Tensor:
        for trial in trials:
            record(trial, _ask_gate(trainer, size, trial))
        raise _OverError

    words = ("--model_name_or_path", str(folder), "--datasets", str(data))
    with (
        tempfile.TemporaryDirectory() as scratch,
        patch.object(GRPOTrainer, "training_step", step),
        suppress(_OverError),
        redirect_stdout(StringIO()),
    ):
        grpo([*words, "--output_dir", f"{scratch}/run", *RUN, *flags])


def _ask_gate(trainer: Any, size: float, trial: Trial) -> Outcome:
    """A rollout and its gate, under a fault from before the first token."""
    randomise_adapter(trainer.model, trial.number, size)
    trainer.state.global_step, trainer._silent_in_a_row = trial.number, 0
    chosen = random.Random(trial.number).sample(range(len(trainer.groups.examples)), PROMPTS)
    inputs = [{"row": row} for row in chosen for _ in range(trainer.num_generations)]
    measured: dict[str, tuple[float, float, float]] = {}
    check = Limit.check

    def recorded(limit: Limit, name: str, difference: Any) -> None:
        kind = "half precision" if limit.in_half else "float32"
        value = difference.mean if limit.in_half else difference.largest
        measured[f"{name}, {kind}"] = (value, limit.floor, limit.value)
        check(limit, name, difference)

    with patch.object(Limit, "check", recorded), _planted_in_run(trainer, trial):
        try:
            trainer._generate_and_score_completions(inputs)
            stopped = False
        except RunError as error:
            if "log-probabilities" not in str(error):
                raise
            stopped = True
    return outcome(stopped, measured)


@contextmanager
def _planted_in_run(trainer: Any, trial: Trial) -> Iterator[None]:
    size = trial.size
    faults: dict[str | None, Callable[[Any], Any]] = {
        "causal prefill": lambda model: causal_prompt(model, size),
        "causal reference": lambda model: causal_prompt(model, size),
        "token types": lambda model: causal_prompt(model, size, TYPED),
        "shifted positions": lambda model: shifted_positions(model, size),
    }
    if trial.fault is None:
        yield
    elif trial.fault == "causal reference":
        with in_reference(trainer, faults[trial.fault]):
            yield
    else:
        with patch.object(groups, "sample", in_sampler(faults[trial.fault])):
            yield


# Exports ----------------------------------------------------------------------------------------------------------


class Exporting(Merging):
    """Exports of a base with random adapters, merged, asked by Transformers without this package's patch.

    The folder is written and read by the code of an export; what asks it (`stock.py`) runs in this process.
    """

    def ask_export(self, trial: Trial, questions: Sequence[str], dtype: str) -> Outcome:
        """Compare as an export does, in float32 arithmetic on the weights that were written."""
        examples = [Example((Message("user", text),), Message("assistant", ""), "direct", "") for text in questions]
        model = self.adapted(trial.number)
        try:
            expected = reference(model, self.tokenizer, examples, ANSWER, PROMPTS)
            floor = measure_floor(model, expected.documents)
            cost = 0.0 if dtype == "float32" else cost_of_rounding(model, expected.documents, DTYPES[dtype])
            merged, report = merge(model, expected.prompts, max_new_tokens=ANSWER)
            report.require()
            spoilt = trial.size if trial.fault == "adapter scale" else 0.0
            with tempfile.TemporaryDirectory() as scratch:
                with self._scaled_delta(merged, spoilt):
                    write_model(merged, self.tokenizer, Path(scratch), dtype)
                tolerance = Tolerance.of(floor, cost, dtype)
                ours = published(merged, expected, dtype, tolerance, floor, ANSWER, PROMPTS)
                planted = _causal_types(trial.size) if trial.fault == "token types" else nullcontext()
                with planted:
                    found = _ask_stock(Path(scratch), examples, expected)
            compared = compare(expected, ours, found)
        finally:
            self.restore()
        allowed = compared.tolerance
        differences = {
            "largest": (compared.largest_difference, compared.floor[0], allowed.largest),
            "mean": (compared.mean_difference, compared.floor[1], allowed.mean),
        }
        if allowed.rounding:
            differences["rounding"] = (compared.rounding, 0.0, allowed.rounding)
        return outcome(not compared.is_same, differences)

    @contextmanager
    def _scaled_delta(self, merged: Any, size: float) -> Iterator[None]:
        """The merged weights as if the adapter's scale were larger by `size`."""
        weights = merged.state_dict()
        right = {name: weight.clone() for name, weight in weights.items()}
        for name, weight in weights.items():
            weight += size * (weight - self.before[name])
        try:
            yield
        finally:
            merged.load_state_dict(right)


def _ask_stock(folder: Path, examples: Sequence[Example], expected: Reference) -> list[dict[str, Any]]:
    """What `stock.py` prints of each row, computed in float32."""
    rows = [as_row(example) for example in examples]
    with unpatched():
        model, tokenizer = stock.load(folder)
        if model.dtype != torch.float32:
            stock.compute_in_float32(model)
        answered = stock.answers(model, tokenizer, rows, ANSWER, PROMPTS)
        return [
            {
                "prompt_ids": prompt,
                "answer_ids": answer,
                "float32_answer_ids": answer,
                "logprobs": stock.logprobs(model, tokenizer, row | {"answer_ids": right}),
            }
            for (prompt, answer), row, right in zip(answered, rows, expected.answers, strict=True)
        ]


@contextmanager
def _causal_types(size: float) -> Iterator[None]:
    """What token type 0 on the last prompt tokens does to stock Transformers, at a size."""
    whole = modeling_hrm_text.create_causal_mask

    def spoilt(*args: Any, **kwargs: Any) -> Any:
        mask: Any = whole(*args, **kwargs)
        blocks = kwargs.get("block_sequence_ids")
        if blocks is None:
            return mask
        dtype, place = kwargs["inputs_embeds"].dtype, torch.arange(blocks.shape[1])
        last = torch.where(blocks == 0, place, -1).amax(dim=1)[:, None, None, None]
        query, key = torch.arange(mask.shape[-2])[:, None], torch.arange(mask.shape[-1])[None, :]
        additive = torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
        return additive - size * (mask & (key > query) & (key > last - TYPED)).to(dtype)

    with patch.object(modeling_hrm_text, "create_causal_mask", spoilt):
        yield


def write_prompts(path: Path, questions: Sequence[str]) -> Path:
    """A data set of questions for a GRPO run."""
    rows = [json.dumps({"prompt": question, "response": "1"}) + "\n" for question in questions]
    path.write_text("".join(rows), encoding="utf-8")
    return path
