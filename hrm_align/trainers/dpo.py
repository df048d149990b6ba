"""Direct preference optimisation (Rafailov et al. 2023): TRL's DPOTrainer, with all its losses, on rendered pairs.

models/prefix_mask.py applies the prefix mask, and trainers/reference.py chooses the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
import trl
from datasets import Dataset
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback
from trl.trainer.dpo_trainer import DataCollatorForPreference

from hrm_align.models.loading import check_horizon
from hrm_align.rendering import get_renderer
from hrm_align.trainers.checkpoint_mixin import SafeCheckpoints
from hrm_align.trainers.dpo_config import DPOArguments
from hrm_align.trainers.held_out import GenerationEval, HeldOutEvaluation
from hrm_align.trainers.mixin import Stabilised
from hrm_align.trainers.pair_prompts import SharedPrompts
from hrm_align.trainers.preference_health import PreferenceHealth
from hrm_align.trainers.reference import StartReference, kept_checkpointing
from hrm_align.trainers.step_means import sum_over_processes

# How TRL's metrics of micro-batches combine into those of a step; the others are totals.
_OVER_TOKENS = {
    "entropy": "both",
    "logits/chosen": "chosen",
    "logits/rejected": "rejected",
    "mean_token_accuracy": "chosen",
}
_OVER_PAIRS = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/accuracies",
    "rewards/margins",
    "logps/chosen",
    "logps/rejected",
)


class DPOTrainer(
    StartReference, SharedPrompts, PreferenceHealth, HeldOutEvaluation, SafeCheckpoints, Stabilised, trl.DPOTrainer
):
    """TRL's DPOTrainer with this package's reference, shared prompts, health, stabilisers and checkpoints.

    Losses and metrics are means over the pairs of an optimizer step; `sft` and entropies are means over its tokens. They do not
    depend on how the pairs are split into batches, accumulation steps and processes, except for `aot` and `aot_unpaired`, which
    sort the pairs of a batch.

    Args:
        model: an HrmTextForCausalLM, or an adapter around one, in float32; `bf16` autocasts its forward. Its state is the reference.
        args: training settings.
        train_dataset: dataset with columns `prompt_ids`, `chosen_ids` and `rejected_ids` (lists of token ids; the prompt ends with
            <|im_end|>, both answers with <|box_end|>) and `length` (tokens of the longer document).
        processing_class: the model's tokenizer.
        eval_dataset: held-out dataset with the same columns; optional.
        callbacks: Transformers callbacks.
        generation_eval: function that scores generated answers at each evaluation; its metrics are logged as `eval_...`.

    Raises:
        UserError: if the checkpoint's `L_bp_cycles` is not an official horizon, or a setting is not supported.
        RunError: see `PreferenceHealth`, `Stabilised` and `SafeCheckpoints`.
    """

    TOKEN_COLUMNS: ClassVar[tuple[str, ...]] = ("prompt_ids", "chosen_ids", "rejected_ids")
    REFERENCE_COLUMNS: ClassVar[tuple[str, ...]] = ("ref_chosen_logps", "ref_rejected_logps")

    args: DPOArguments
    model: Any
    ref_model: Any

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: DPOArguments,
        train_dataset: Dataset,
        processing_class: PreTrainedTokenizerFast,
        eval_dataset: Dataset | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        generation_eval: GenerationEval | None = None,
    ):
        check_horizon(model)
        assert not isinstance(args.pad_to_multiple_of, str)
        self.generation_eval = generation_eval
        # Pairs, and tokens of their chosen answers, of the step on all processes, and of the held-out rows; (2,) each.
        self._of_step: Tensor | None = None
        self._of_held_out: Tensor | None = None
        super().__init__(
            model=model,
            args=args,
            data_collator=DataCollatorForPreference(
                get_renderer(processing_class).pad_id, pad_to_multiple_of=args.pad_to_multiple_of
            ),
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            callbacks=list(callbacks),
        )

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns: Any = [*self.TOKEN_COLUMNS, *self.REFERENCE_COLUMNS, "length"]

    def _reference_settings(self) -> list[Any]:
        return [self.ld_alpha, bool(self.args.share_prompts)]

    def _begin_step(self, batches: list[Any], trained_tokens: Any) -> None:
        super()._begin_step(batches, trained_tokens)
        self._of_step = sum_over_processes(torch.stack([_sizes(batch).cpu() for batch in batches]).sum(dim=0))

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        """Compute TRL's loss, with each micro-batch weighted by its share of the step's pairs (of its tokens, for `sft`)."""
        weights = _weights(inputs)
        with (
            kept_checkpointing(self.model),
            self._shared_out(inputs),
            self._intercept_metrics() as appended,
            self._without_gathering(),
        ):
            result = super()._compute_loss(model, inputs, return_outputs)
        self._add_weighted(appended, weights)
        return result

    @contextmanager
    def _shared_out(self, inputs: dict[str, Any]) -> Iterator[None]:
        """Weigh the losses of a micro-batch so that the mean over all micro-batches is that of the whole step or held-out set."""
        whole = self.loss_weights
        if self._mode == "eval" and self._of_held_out is not None:
            of_pairs, of_tokens = (_sizes(inputs).cpu().double() / self._of_held_out).tolist()
            pairs, tokens = 1.0, of_tokens / of_pairs  # `prediction_step` weighs the loss by the pairs
        elif self._mode == "train" and self._of_step is not None:
            parts = self.current_gradient_accumulation_steps * self.accelerator.num_processes
            pairs, tokens = (_sizes(inputs).cpu().double() * parts / self._of_step).tolist()
        else:
            pairs, tokens = 1.0, 1.0
        shares = [tokens if loss_type == "sft" else pairs for loss_type in self.loss_types]
        self.loss_weights = [weight * share for weight, share in zip(whole, shares, strict=True)]
        try:
            yield
        finally:
            self.loss_weights = whole

    def evaluation_loop(self, dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        """Evaluate like Transformers, with means over all held-out pairs, and over their tokens for `sft`."""
        chosen = dataloader.dataset["chosen_ids"]
        self._of_held_out = torch.tensor([len(chosen), sum(map(len, chosen))], dtype=torch.double)
        return super().evaluation_loop(dataloader, *args, **kwargs)

    def prediction_step(self, model: Any, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Any:
        """Compute the loss of a held-out batch, and add it to the mean over pairs."""
        inputs = self._drop_repeated_rows(inputs, documents=2)
        loss, *rest = super().prediction_step(model, inputs, *args, **kwargs)
        pairs = _sizes(inputs)[0].to(loss.device) * self._has_own_rows
        self.means["eval"].add("loss", loss * pairs, pairs)
        return loss, *rest


def _sizes(inputs: dict[str, Any]) -> Tensor:
    """Return the number of pairs of a batch and of the tokens of their chosen answers, (2,)."""
    chosen = inputs["completion_mask"].chunk(2)[0]  # (pairs, seq)
    return torch.stack([chosen.new_tensor(len(chosen)), chosen[:, 1:].sum()])


def _weights(inputs: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights of a micro-batch by name of TRL's metric: its pairs, or the tokens that TRL divides by."""
    chosen, rejected = (part[:, 1:].sum() for part in inputs["completion_mask"].chunk(2))
    tokens = {"chosen": chosen, "rejected": rejected, "both": chosen + rejected}
    pairs = dict.fromkeys(_OVER_PAIRS, _sizes(inputs)[0])
    return {**pairs, **{name: tokens[part] for name, part in _OVER_TOKENS.items()}}
