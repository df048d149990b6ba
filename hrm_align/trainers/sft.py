"""Supervised fine-tuning: TRL's SFTTrainer on rendered documents. models/prefix_mask.py applies the prefix mask."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import trl
from datasets import Dataset
from peft import PeftModel
from transformers import HrmTextConfig, PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback

from hrm_align.data.packing import DocumentCollator, pack
from hrm_align.models.loading import check_horizon
from hrm_align.rendering import get_renderer
from hrm_align.trainers.checkpoint_mixin import SafeCheckpoints
from hrm_align.trainers.mixin import Stabilised
from hrm_align.trainers.sft_config import SFTArguments

# A function that scores generated answers of a model: metric values by name. Called at each evaluation, on every process.
GenerationEval = Callable[[PreTrainedModel], dict[str, float]]


class SFTTrainer(SafeCheckpoints, Stabilised, trl.SFTTrainer):
    """TRL's SFTTrainer with this package's collators, response-only labels, stabilisers and checkpoints.

    The loss is the mean over all response tokens of an optimizer step, end tokens included. It does not depend on how the rows
    are split into batches, accumulation steps and processes.

    Args:
        model: an HrmTextForCausalLM, or an adapter around one, in float32; `bf16` autocasts its forward.
        args: training settings.
        train_dataset: dataset with columns `input_ids` and `prefix_length` (`hrm_align.data.tokenize.tokenize`).
        eval_dataset: held-out dataset with the same columns; optional.
        processing_class: the model's tokenizer.
        callbacks: Transformers callbacks.
        generation_eval: function that scores generated answers at each evaluation; its metrics are logged as `eval_...`.

    Raises:
        UserError: if the checkpoint's `L_bp_cycles` is not an official horizon, or a setting is not supported.
        RunError: see `Stabilised` and `SafeCheckpoints`.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: SFTArguments,
        train_dataset: Dataset,
        processing_class: PreTrainedTokenizerFast,
        eval_dataset: Dataset | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        generation_eval: GenerationEval | None = None,
    ):
        assert isinstance(model.config, HrmTextConfig)
        check_horizon(model.config, model.config._name_or_path or "the model")
        self._generation_eval = generation_eval
        pad_id = get_renderer(processing_class).pad_id
        assert args.max_length is not None and not isinstance(args.pad_to_multiple_of, str)  # checked by parse_sft
        collator = DocumentCollator(pad_id, args.pad_to_multiple_of)
        if args.packing:
            train_dataset = pack(train_dataset, args.max_length)
        if eval_dataset is not None and (args.packing if args.eval_packing is None else args.eval_packing):
            eval_dataset = pack(eval_dataset, args.max_length)
        # TRL must not pack or tokenize a second time: its packing lets prefixes see each other.
        args = copy.copy(args)
        args.packing, args.eval_packing = False, False
        args.dataset_kwargs = {"skip_prepare_dataset": True}
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            callbacks=list(callbacks),
        )

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns: Any = ["input_ids", "prefix_length", "documents", "prefix_lengths", "length"]

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Loss on the held-out rows and, with `generation_eval`, the score of generated answers."""
        with self.evaluated_weights():
            metrics = super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
            if self._generation_eval is not None:
                scored = self.call_interruptibly(self._generation_eval)
                generated = {f"{metric_key_prefix}_{name}": value for name, value in scored.items()}
                self.log(dict(generated))
                metrics |= generated
        return metrics
