"""Learning from labelled answers (KTO, Ethayarajh et al. 2024): TRL's KTOTrainer on rendered documents.

models/prefix_mask.py applies the prefix mask, and trainers/reference.py chooses the reference. The loss compares the rewards of a batch
with the KL divergence from the reference, which is estimated on mismatched documents: a prompt, and an answer to another prompt. They
are made of token ids, inside each batch, so that rows may come in any order; TRL pairs neighbours once and allows no shuffling.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import trl
from accelerate import PartialState
from datasets import Dataset, concatenate_datasets
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from hrm_align.data.cache import hash_key
from hrm_align.errors import UserError
from hrm_align.models.loading import check_horizon
from hrm_align.progress import say
from hrm_align.rendering import get_renderer
from hrm_align.trainers.checkpoint_mixin import SafeCheckpoints
from hrm_align.trainers.held_out import GenerationEval, HeldOutEvaluation
from hrm_align.trainers.kto_config import KTOArguments
from hrm_align.trainers.mixin import Stabilised
from hrm_align.trainers.preference_health import PreferenceHealth
from hrm_align.trainers.reference import StartReference, kept_checkpointing, rows_digest
from hrm_align.trainers.step_means import sum_over_processes, wide

logger = logging.getLogger(__name__)

MISMATCHED = "KL_completion_ids"  # TRL's name of the column with an answer to another prompt
MOST_ROTATIONS = 64  # tried to pair answers with other prompts
# Weight of all desirable rows, in that of all undesirable ones: the range that equation 8 of the paper recommends.
LEAST_RATIO, LARGEST_RATIO = 1.0, 4 / 3
_ROUNDING = 0.01


class KTOTrainer(StartReference, PreferenceHealth, HeldOutEvaluation, SafeCheckpoints, Stabilised, trl.KTOTrainer):
    """TRL's KTOTrainer with this package's rows, reference, health, stabilisers and checkpoints.

    Losses and metrics are means over the rows of an optimizer step; entropy and logits are means over its tokens. The KL divergence is
    estimated for each batch of a forward, over all processes.

    Args:
        model: an HrmTextForCausalLM, or an adapter around one, in float32; `bf16` autocasts its forward. Its state is the reference.
        args: training settings.
        train_dataset: dataset with columns `prompt_ids` and `completion_ids` (lists of token ids; the prompt ends with <|im_end|>, the
            answer with <|box_end|>), `label` (bool: whether the answer is desirable) and `length` (tokens).
        processing_class: the model's tokenizer.
        eval_dataset: held-out dataset with the same columns; optional.
        callbacks: Transformers callbacks.
        generation_eval: function that scores generated answers at each evaluation; its metrics are logged as `eval_...`.

    Raises:
        UserError: if all rows have the same label, the checkpoint's `L_bp_cycles` is not an official horizon, or a setting is not
            supported.
        RunError: see `PreferenceHealth`, `Stabilised` and `SafeCheckpoints`.
    """

    TOKEN_COLUMNS: ClassVar[tuple[str, ...]] = ("prompt_ids", "completion_ids")
    REFERENCE_COLUMNS: ClassVar[tuple[str, ...]] = ("ref_logps", "ref_KL_logps")

    model: Any
    ref_model: Any

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: KTOArguments,
        train_dataset: Dataset,
        processing_class: PreTrainedTokenizerFast,
        eval_dataset: Dataset | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        generation_eval: GenerationEval | None = None,
    ):
        check_horizon(model)
        check_balance(train_dataset, args)
        assert not isinstance(args.pad_to_multiple_of, str)
        self.generation_eval = generation_eval
        self._rows_of_step: Tensor | None = None  # on all processes, (1,)
        self._has_fixed_pairs = args.loss_type == "kto" and args.precompute_ref_log_probs
        sequential = copy.copy(args)
        sequential.train_sampling_strategy = "sequential"  # TRL refuses another order
        super().__init__(
            model=model,
            args=sequential,
            data_collator=MismatchCollator(
                get_renderer(processing_class).pad_id,
                model.config.max_position_embeddings,
                args.pad_to_multiple_of,
                spare=train_dataset[0]["completion_ids"] if args.loss_type == "kto" else None,
            ),
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            callbacks=list(callbacks),
        )
        self.args.train_sampling_strategy = args.train_sampling_strategy

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return (
            with_mismatched(dataset) if self._has_fixed_pairs else dataset
        )  # rendered and tokenized by hrm_align.data

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns: Any = [*self.TOKEN_COLUMNS, MISMATCHED, "label", *self.REFERENCE_COLUMNS, "length"]

    def _key(self, dataset: Dataset, batch_size: int) -> str:
        key = super()._key(dataset, batch_size)
        return hash_key(key, rows_digest(dataset, [MISMATCHED])) if self._has_fixed_pairs else key

    def _begin_step(self, batches: list[Any], trained_tokens: Any) -> None:
        super()._begin_step(batches, trained_tokens)
        self._rows_of_step = sum_over_processes(torch.tensor([sum(len(batch["label"]) for batch in batches)]))

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        """Compute TRL's loss, with each micro-batch weighted by its share of the step's rows."""
        if self._mode == "eval" and "ref_KL_logps" in inputs:
            inputs = {**inputs, "ref_KL_logps": self._mean_over_processes(inputs["ref_KL_logps"])}
        with kept_checkpointing(self.model), self._intercept_metrics() as appended, self._without_gathering():
            result = super()._compute_loss(model, inputs, return_outputs)
        weights = _weights(inputs)
        if self._mode == "eval":
            appended |= {name: appended.get(name, [0.0]) for name in weights}  # the same names on every process
        self._add_weighted(appended, weights)
        if self._mode == "eval" or self._rows_of_step is None:
            return result
        parts = self.current_gradient_accumulation_steps * self.accelerator.num_processes
        share = len(inputs["label"]) * parts / self._rows_of_step.item()
        return (result[0] * share, *result[1:]) if return_outputs else result * share

    def _compute_kl_logps(self, *args: Any) -> Any:
        """Score the mismatched documents of a batch; of a held-out one, return the mean, because TRL gathers nothing then."""
        logps = super()._compute_kl_logps(*args)
        return logps if logps is None or self._mode == "train" else self._mean_over_processes(logps)

    def _mean_over_processes(self, logps: Tensor) -> Tensor:
        """Return the mean over the held-out rows (rows,) of all processes, (). Collective."""
        if self.accelerator.num_processes == 1:
            return logps
        rows = logps.new_tensor(len(logps), dtype=torch.double) * self._has_own_rows
        total, count = sum_over_processes(torch.stack([logps.double().mean() * rows, rows])).unbind()
        return wide((total / count).to(logps.device))

    def evaluation_loop(self, dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        """Evaluate like Transformers, with means over all held-out rows; their difference is `rewards/margins`."""
        output = super().evaluation_loop(dataloader, *args, **kwargs)
        labels, metrics, prefix = dataloader.dataset["label"], output.metrics, kwargs.get("metric_key_prefix", "eval")
        if any(labels) and not all(labels):
            margin = metrics[f"{prefix}_rewards/chosen"] - metrics[f"{prefix}_rewards/rejected"]
            return output._replace(metrics={**metrics, f"{prefix}_rewards/margins": margin})
        absent = ("rejected", "margins") if all(labels) else ("chosen", "margins")
        remaining = {name: value for name, value in metrics.items() if not name.endswith(absent)}
        return output._replace(metrics=remaining)

    def prediction_step(self, model: Any, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Any:
        """Compute the loss of a held-out batch, and add it to the mean over rows."""
        inputs = self._drop_repeated_rows(inputs)
        loss, *rest = super().prediction_step(model, inputs, *args, **kwargs)
        rows = loss.new_tensor(len(inputs["label"])) * self._has_own_rows
        self.means["eval"].add("loss", loss * rows, rows)
        return loss, *rest


def _weights(inputs: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights of a micro-batch by name of TRL's metric: the rows, or the tokens, that TRL divides by."""
    labels, tokens = inputs["label"].bool(), inputs["completion_mask"][:, 1:].sum(dim=1)  # (rows,)
    rows = labels.new_tensor(len(labels), dtype=torch.long)
    weights = {"kl": rows, "rewards/margins": rows, "entropy": tokens.sum()}
    for side, chosen in (("chosen", labels), ("rejected", ~labels)):
        weights |= {
            f"rewards/{side}": chosen.sum(),
            f"logps/{side}": chosen.sum(),
            f"logits/{side}": tokens[chosen].sum(),
        }
    return weights


# Mismatched documents -------------------------------------------------------------------------------------------------


class MismatchCollator(DataCollatorForUnpairedPreference):
    """TRL's collator, with a mismatched document for each row: its prompt, and the answer of another row (`rotation`).

    Rows that have the column `KL_completion_ids` keep theirs.

    Args:
        pad_token_id: token of the padding.
        max_length: positions of the model. A mismatched document beyond them is cut at its end; no other document is longer.
        pad_to_multiple_of: rows are padded to a multiple of this length.
        spare: answer for rows whose batch has no other prompt; None if no mismatched documents are needed.
    """

    def __init__(self, pad_token_id: int, max_length: int, pad_to_multiple_of: int | None, spare: list[int] | None):
        super().__init__(pad_token_id=pad_token_id, max_length=max_length, pad_to_multiple_of=pad_to_multiple_of)
        self._spare = spare

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Build a batch of rows with `prompt_ids`, `completion_ids` and `label`; TRL's collator describes the tensors."""
        if self._spare is not None and MISMATCHED not in examples[0]:
            prompts, answers = _keys(examples), [example["completion_ids"] for example in examples]
            places = np.roll(np.arange(len(examples)), rotation(prompts))
            others = [
                answers[at] if prompts[at] != own else self._spare for at, own in zip(places, prompts, strict=True)
            ]
            examples = [{**example, MISMATCHED: other} for example, other in zip(examples, others, strict=True)]
        batch: dict[str, Any] = super().torch_call(examples)
        return batch


def rotation(prompts: np.ndarray) -> int:
    """Return by how many places to rotate the answers of rows, so that the fewest stand behind the prompt that they answer.

    Each answer then stands behind one prompt, as the paper's authors recommend. The smallest rotation is 1, or 2 if both answers of
    a pair stand side by side.

    Args:
        prompts: keys of the prompts, (n,).
    """
    return min(
        range(1, min(len(prompts), MOST_ROTATIONS)), key=lambda by: (prompts == np.roll(prompts, by)).sum(), default=0
    )


def with_mismatched(rows: Dataset) -> Dataset:
    """Add the column `KL_completion_ids`: the answers, rotated over all rows."""
    places = np.roll(np.arange(len(rows)), rotation(_keys(rows.select_columns(["prompt_ids"]))))
    others = rows.select(places).select_columns(["completion_ids"]).rename_column("completion_ids", MISMATCHED)
    return concatenate_datasets([rows, others], axis=1)


def _keys(rows: Iterable[dict[str, Any]]) -> np.ndarray:
    """Return a number for each prompt, (n,), the same for the same token ids in every process."""
    return np.array([hash(tuple(row["prompt_ids"])) for row in rows])


# Balance --------------------------------------------------------------------------------------------------------------


def check_balance(rows: Dataset, args: KTOArguments) -> None:
    """Print how many answers are desirable, and warn of weights outside of the range that the paper recommends.

    Raises:
        UserError: if all rows have the same label.
    """
    desirable = sum(rows["label"])
    undesirable = len(rows) - desirable
    if not (desirable and undesirable):
        label, remedy = ("undesirable", ".") if undesirable else ("desirable", ", or use `hrm-align sft`.")
        raise UserError(
            f"all {len(rows):,} training rows are labelled {label}, so there is nothing to distinguish. Add rows with the other "
            f"label{remedy}"
        )
    if not PartialState().is_main_process:
        return
    weight, other = args.desirable_weight, args.undesirable_weight
    say(
        f"labels: {desirable:,} desirable answers of weight {weight:g}, {undesirable:,} undesirable of weight {other:g}"
    )
    ratio = weight * desirable / (other * undesirable)
    if LEAST_RATIO - _ROUNDING <= ratio <= LARGEST_RATIO + _ROUNDING:
        return
    key, balanced = ("desirable_weight", weight / ratio) if ratio < 1 else ("undesirable_weight", other * ratio)
    logger.warning(
        "the desirable answers weigh %.2f times as much as the undesirable ones in the loss, and 1 to 1.33 times is recommended: set "
        "--%s %.3g.", ratio, key, balanced,
    )  # fmt: skip
