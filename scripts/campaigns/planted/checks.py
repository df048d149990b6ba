"""Run the package's own checks under a planted fault: a merge, the gate of a GRPO run, an export against stock Transformers."""

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
from hrm_align.rendering import Message, get_renderer
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

PROMPTS = 2  # prompts of a trial
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
    """One run of a check.

    Args:
        number: seed of the prompts, the adapter and the sampled answers.
        fault: name of the planted fault; None for no fault.
        size: size of the fault.
    """

    number: int
    fault: str | None
    size: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """The result of a check.

    Args:
        stopped: whether the check refused the model or stopped the run.
        by: the comparison with the largest difference / limit.
        over_floor: largest difference / floor of all comparisons; the floor is the difference from rounding alone.
        over_limit: difference / limit of the comparison in `by`.
        measured: difference, floor and limit of each comparison, in order.
    """

    stopped: bool
    by: str
    over_floor: float
    over_limit: float
    measured: dict[str, tuple[float, float, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary for JSON."""
        return asdict(self)


def outcome(stopped: bool, measured: dict[str, tuple[float, float, float]]) -> Outcome:
    """Build the outcome from the difference, floor and limit of each comparison."""
    worst = max(measured, key=lambda name: measured[name][0] / measured[name][2])
    floors = [difference / floor for difference, floor, _ in measured.values() if floor]
    return Outcome(stopped, worst, max(floors, default=0.0), measured[worst][0] / measured[worst][2], measured)


# Merges -----------------------------------------------------------------------------------------------------------


class Merging:
    """A base that gets a random adapter, is merged and is restored, once for each trial.

    Args:
        folder: folder of the base.
        size: size of the adapters' random matrices.
        layer: the layer that a faulty merge leaves out.
    """

    def __init__(self, folder: Path, size: float, layer: str):
        self.folder, self.size, self.layer = folder, size, layer
        self.model, self.tokenizer = load_model_and_tokenizer(str(folder))
        self.before = {name: weight.clone() for name, weight in self.model.state_dict().items()}

    def adapted(self, seed: int) -> Any:
        """Return the base with a random adapter."""
        model = add_adapter(self.model, self.tokenizer, str(self.folder), LoraArguments(use_peft=True))
        randomise_adapter(model, seed, self.size)
        return model

    def restore(self) -> None:
        """Restore the weights of the base after a merge."""
        self.model.load_state_dict(self.before)

    def ask(self, trial: Trial, questions: Sequence[str]) -> Outcome:
        """Plant the fault, merge and return the outcome."""
        model = self.adapted(trial.number)
        render = get_renderer(self.tokenizer)
        prompts = [render.prompt(question, "direct") for question in questions]
        scaled: AbstractContextManager = nullcontext()
        planted: AbstractContextManager = nullcontext()
        if trial.fault == "adapter scale":
            planted = wrong_scale("", 1 + trial.size)
        elif trial.fault == "one layer unmerged":
            scaled, planted = factor_on(model, self.layer, trial.size), wrong_scale(self.layer, 0.0)
        try:
            with scaled, planted:
                _, report = merge(model, prompts, max_new_tokens=ANSWER)
        finally:
            self.restore()
        differences = {"logits": (report.largest_difference, report.floor, report.tolerance)}
        return outcome(not report.is_same, differences)


# Gates ------------------------------------------------------------------------------------------------------------


class _OverError(Exception):
    """Ends a GRPO run after all trials of its gate."""


def ask_gates(
    folder: Path,
    data: Path,
    flags: Sequence[str],
    size: float,
    trials: Sequence[Trial],
    record: Callable[[Trial, Outcome], None],
) -> None:
    """Test the gate of one GRPO run: for each trial a rollout, its scores and the gate, without an update.

    Args:
        folder: folder of the model.
        data: file of prompts.
        flags: command-line arguments for the run's precision.
        size: size of the adapter's random matrices, if the run trains an adapter.
        trials: the trials to run.
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
    """Run a rollout and its gate, with the fault planted before the first token."""
    randomise_adapter(trainer.model, trial.number, size)
    trainer.state.global_step, trainer._rollouts_without_signal = trial.number, 0
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
    """Exports of a base with merged random adapters, compared with Transformers without this package's patch.

    The code of an export writes and reads the folder. `stock.py`, which generates with stock Transformers, runs in this process.
    """

    def ask_export(self, trial: Trial, questions: Sequence[str], dtype: str) -> Outcome:
        """Compare as an export does: float32 arithmetic on the saved weights."""
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
                    stock_answers = _generate_with_stock(Path(scratch), examples, expected)
            compared = compare(expected, ours, stock_answers)
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
        """Change the merged weights as if the adapter's scale were larger by the share `size`, within the context."""
        weights = merged.state_dict()
        original = {name: weight.clone() for name, weight in weights.items()}
        for name, weight in weights.items():
            weight += size * (weight - self.before[name])
        try:
            yield
        finally:
            merged.load_state_dict(original)


def _generate_with_stock(folder: Path, examples: Sequence[Example], expected: Reference) -> list[dict[str, Any]]:
    """Return what `stock.py` prints for each row, computed in float32 in this process."""
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
                "logprobs": stock.logprobs(model, tokenizer, row | {"answer_ids": ids}),
            }
            for (prompt, answer), row, ids in zip(answered, rows, expected.answers, strict=True)
        ]


@contextmanager
def _causal_types(size: float) -> Iterator[None]:
    """Imitate token type 0 on the last prompt tokens in stock Transformers: lower their scores by `size`, within the context."""
    original = modeling_hrm_text.create_causal_mask

    def spoilt(*args: Any, **kwargs: Any) -> Any:
        mask: Any = original(*args, **kwargs)
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
    """Write the questions as the data set of a GRPO run. Returns the path."""
    rows = [json.dumps({"prompt": question, "response": "1"}) + "\n" for question in questions]
    path.write_text("".join(rows), encoding="utf-8")
    return path
