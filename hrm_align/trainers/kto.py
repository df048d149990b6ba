"""Learning from labelled answers (KTO): TRL's KTOTrainer on rendered documents. models/prefix_mask.py applies the prefix mask.

Changes to TRL's trainer: rows are token ids of the renderer, never rendered, truncated or filtered again; answers are paired with other
prompts inside each batch, so that rows may be shuffled; the reference is the model that the run starts from.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import trl
from accelerate import PartialState
from datasets import Dataset, concatenate_datasets
from peft import PeftModel
from transformers import HrmTextConfig, PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from hrm_align.errors import UserError
from hrm_align.models.loading import check_horizon
from hrm_align.progress import say
from hrm_align.rendering import get_renderer
from hrm_align.trainers.checkpoint_mixin import SafeCheckpoints
from hrm_align.trainers.kto_config import KTOArguments
from hrm_align.trainers.mixin import Stabilised

logger = logging.getLogger(__name__)

MISMATCHED = "KL_completion_ids"  # TRL's name of the column with the answer to another prompt
MOST_DESIRABLE = 4 / 3  # largest weight of all desirable rows, in that of all undesirable ones; the smallest is 1


class MismatchCollator(DataCollatorForUnpairedPreference):
    """TRL's collator, with a mismatched document for each row: its prompt, and the answer of the row before it in the batch.

    The loss compares the rewards of a batch with the KL divergence from the reference, estimated on the mismatched documents. Rows
    that have the column `KL_completion_ids` keep their own.

    Args:
        pad_token_id: token of the padding.
        max_length: positions of the model; of a longer mismatched document the end is left out. No row is longer.
        pad_to_multiple_of: rows are padded to a multiple of this length.
        spare: answer for the prompt of a row that is alone in its batch; None without mismatched documents.
    """

    def __init__(self, pad_token_id: int, max_length: int, pad_to_multiple_of: int | None, spare: list[int] | None):
        super().__init__(pad_token_id=pad_token_id, max_length=max_length, pad_to_multiple_of=pad_to_multiple_of)
        self._spare = spare

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Build a batch of rows with `prompt_ids`, `completion_ids` and `label`; see TRL's collator for its tensors."""
        if self._spare is not None and MISMATCHED not in examples[0]:
            answers = [example["completion_ids"] for example in examples]
            others = [answers[-1], *answers[:-1]] if len(answers) > 1 else [self._spare]
            examples = [{**example, MISMATCHED: other} for example, other in zip(examples, others, strict=True)]
        batch: dict[str, Any] = super().torch_call(examples)
        return batch


class KTOTrainer(SafeCheckpoints, Stabilised, trl.KTOTrainer):
    """TRL's KTOTrainer with this package's rows, reference, stabilisers and checkpoints.

    Args:
        model: an HrmTextForCausalLM, or a new adapter around one, in float32; `bf16` autocasts its forward.
        args: training settings.
        train_dataset: data set with the columns `prompt_ids` and `completion_ids` (lists of int), `label` (bool: whether the answer is
            desirable) and `length` (tokens), from `hrm_align.data.preferences.tokenized_labels`.
        processing_class: the model's tokenizer.
        eval_dataset: held-out data set with the same columns; optional.
        callbacks: Transformers callbacks.

    Raises:
        UserError: if all rows have one label, the checkpoint's `L_bp_cycles` is not an official horizon, or a setting is not supported.
        RunError: see `Stabilised` and `SafeCheckpoints`.
    """

    args: KTOArguments

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: KTOArguments,
        train_dataset: Dataset,
        processing_class: PreTrainedTokenizerFast,
        eval_dataset: Dataset | None = None,
        callbacks: Sequence[TrainerCallback] = (),
    ):
        assert isinstance(model.config, HrmTextConfig)
        check_horizon(model.config, model.config._name_or_path or "the model")
        check_balance(train_dataset, args)
        assert not isinstance(args.pad_to_multiple_of, str)
        collator = MismatchCollator(
            get_renderer(processing_class).pad_id,
            model.config.max_position_embeddings,
            args.pad_to_multiple_of,
            spare=train_dataset[0]["completion_ids"] if args.loss_type == "kto" else None,
        )
        # TRL pairs neighbouring rows before training and so accepts no other order. The collator pairs rows in any order.
        sequential = copy.copy(args)
        sequential.train_sampling_strategy = "sequential"
        super().__init__(
            model=model,
            args=sequential,
            data_collator=collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            callbacks=list(callbacks),
        )
        self.args.train_sampling_strategy = args.train_sampling_strategy

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        """Return the rows as they are; with precomputed references also a fixed answer to another prompt for each."""
        return with_mismatched(dataset) if self.calculate_KL and args.precompute_ref_log_probs else dataset

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if "length" not in self._signature_columns:
            self._signature_columns.append("length")


def with_mismatched(rows: Dataset) -> Dataset:
    """Add the column `KL_completion_ids`: the answer of the row before, and for the first row that of the last."""
    before = rows.select(np.roll(np.arange(len(rows)), 1)).select_columns(["completion_ids"])
    return concatenate_datasets([rows, before.rename_column("completion_ids", MISMATCHED)], axis=1)


def check_balance(rows: Dataset, args: KTOArguments) -> None:
    """Print how many answers are desirable, and warn of weights outside of the range that the KTO paper recommends (equation 8).

    The range: all desirable rows together weigh 1 to 4/3 times as much as all undesirable ones.

    Raises:
        UserError: if all rows have the same label.
    """
    desirable = sum(rows["label"])
    undesirable = len(rows) - desirable
    if not (desirable and undesirable):
        raise UserError(
            f"all {len(rows)} training rows are labelled {'desirable' if desirable else 'undesirable'}, so there is nothing to tell "
            "apart. Add rows with the other label" + (", or use `hrm-align sft`." if desirable else ".")
        )
    weights = args.desirable_weight, args.undesirable_weight
    if not PartialState().is_main_process:
        return
    say(f"train: {desirable:,} desirable answers of weight {weights[0]:g}, {undesirable:,} undesirable of weight {weights[1]:g}")
    ratio = weights[0] * desirable / (weights[1] * undesirable)
    if not 0.99 <= ratio <= MOST_DESIRABLE * 1.01:
        key, other = ("desirable_weight", "undesirable_weight") if ratio < 1 else ("undesirable_weight", "desirable_weight")
        balanced = getattr(args, key) * (1 / ratio if ratio < 1 else ratio)
        logger.warning(
            "the desirable answers weigh %.2f times as much as the undesirable ones, and 1 to 1.33 is recommended: set --%s %.3g, and "
            "leave --%s at %g.", ratio, key, balanced, other, getattr(args, other),
        )  # fmt: skip
