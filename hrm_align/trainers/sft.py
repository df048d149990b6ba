"""Supervised fine-tuning: TRL's SFTTrainer on rendered documents. models/prefix_mask.py applies the prefix mask."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback

from hrm_align.data.packing import IGNORED, DocumentCollator, pack
from hrm_align.data.stream_chunks import StreamPlan
from hrm_align.models.loading import check_horizon
from hrm_align.rendering import get_renderer
from hrm_align.trainers.checkpoint_mixin import SafeCheckpoints
from hrm_align.trainers.held_out import GenerationEval, HeldOutEvaluation
from hrm_align.trainers.mixin import Stabilised
from hrm_align.trainers.sft_config import SFTArguments
from hrm_align.trainers.streaming import Streaming


class SFTTrainer(Streaming, HeldOutEvaluation, SafeCheckpoints, Stabilised, trl.SFTTrainer):
    """TRL's SFTTrainer with this package's collators, response-only labels, stabilisers and checkpoints.

    Loss, entropy and accuracy are means over all response tokens of an optimizer step, end tokens included, or over those of all
    held-out rows. They do not depend on how the rows are split into batches, accumulation steps and processes.

    Args:
        model: an HrmTextForCausalLM, or an adapter around one, in float32; `bf16` autocasts its forward.
        args: training settings.
        train_dataset: dataset with columns `input_ids` and `prefix_length` (`hrm_align.data.tokenize.tokenize`), or a plan of
            rows to stream.
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
        train_dataset: Dataset | StreamPlan,
        processing_class: PreTrainedTokenizerFast,
        eval_dataset: Dataset | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        generation_eval: GenerationEval | None = None,
    ):
        check_horizon(model)
        self.generation_eval = generation_eval
        pad_id = get_renderer(processing_class).pad_id
        assert args.max_length is not None and not isinstance(args.pad_to_multiple_of, str)  # checked by parse_sft
        collator = DocumentCollator(pad_id, args.pad_to_multiple_of)
        if isinstance(train_dataset, StreamPlan):
            train_dataset = self._open_stream(train_dataset, args)
        elif args.packing:
            train_dataset = pack(train_dataset, args.max_length, args.packing_shard_rows)
        if eval_dataset is not None and (args.packing if args.eval_packing is None else args.eval_packing):
            eval_dataset = pack(eval_dataset, args.max_length, args.packing_shard_rows)
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
        self.accelerator.unwrap_model(self.model).register_forward_hook(self._add_token_means)

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns: Any = ["input_ids", "prefix_length", "documents", "prefix_lengths", "length"]

    def _add_token_means(self, model: nn.Module, args: Any, output: Any) -> None:
        """Forward hook: add entropy and accuracy of a batch. Only TRL's fused head returns them, (batch, seq) each."""
        if getattr(output, "label_mask", None) is None:
            return
        means, tokens = self.means[self._mode], output.label_mask.sum()
        means.add("entropy", output.entropy.sum(), tokens)
        means.add("mean_token_accuracy", output.is_top1.sum(), tokens)

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """Compute TRL's loss, without its means over micro-batches: `_add_token_means` measures the same quantities."""
        loss = super().compute_loss(*args, **kwargs)
        for name in ("entropy", "mean_token_accuracy"):
            self._metrics[self._mode].pop(name, None)
        return loss

    def _save_stabilisers(self, staged: Path) -> None:
        super()._save_stabilisers(staged)
        self.save_stream(staged, self.state.global_step)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.load_stream(Path(checkpoint), self.state.global_step)

    # Evaluation ---------------------------------------------------------------------------------------------------

    def prediction_step(self, model: Any, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Any:
        """Compute the loss of a held-out batch, and add it to the mean over tokens."""
        inputs = self._drop_repeated_rows(inputs)
        if not self._has_own_rows:
            inputs["labels"] = torch.full_like(inputs["labels"], IGNORED)
        loss, *rest = super().prediction_step(model, inputs, *args, **kwargs)
        tokens = (inputs["labels"][:, 1:] != IGNORED).sum().to(loss.device)
        self.means["eval"].add("loss", torch.where(tokens > 0, loss * tokens, 0.0), tokens)
        return loss, *rest
