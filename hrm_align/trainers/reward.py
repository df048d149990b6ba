"""Reward models: TRL's RewardTrainer (Bradley-Terry) on rendered pairs. models/prefix_mask.py applies the prefix mask."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback
from trl.trainer.reward_trainer import DataCollatorForPreference

from hrm_align.evaluation.ranking import Ranking
from hrm_align.models.loading import check_horizon
from hrm_align.rendering import get_renderer
from hrm_align.run_folder import CALIBRATION, write_json
from hrm_align.trainers.checkpoint_mixin import SafeCheckpoints
from hrm_align.trainers.held_out import HeldOutEvaluation
from hrm_align.trainers.mixin import Stabilised
from hrm_align.trainers.reward_config import RewardModelArguments
from hrm_align.trainers.step_means import sum_over_processes


class PairCollator:
    """Collator that puts the prompt before both answers of each pair.

    The batch is that of TRL's collator: `input_ids` and `attention_mask` (2 * pairs, seq), the chosen documents first, padded on the
    right; and `margin` (pairs,), if the rows have one.
    """

    def __init__(self, pad_id: int, pad_to_multiple_of: int | None = None):
        self._collate = DataCollatorForPreference(pad_id, pad_to_multiple_of)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Collate rows with `prompt_ids`, `chosen_ids`, `rejected_ids` and, if the rows have one, `margin`."""
        documents = []
        for row in rows:
            ids = {side: [*row["prompt_ids"], *row[side]] for side in ("chosen_ids", "rejected_ids")}
            documents.append({**ids, **({"margin": row["margin"]} if "margin" in row else {})})
        batch: dict[str, Tensor] = self._collate(documents)
        return batch


class RewardTrainer(HeldOutEvaluation, SafeCheckpoints, Stabilised, trl.RewardTrainer):
    """TRL's RewardTrainer with this package's collator, stabilisers and checkpoints.

    Loss and metrics are means over the pairs of an optimizer step, or over all held-out pairs. They do not depend on how the pairs
    are split into batches, accumulation steps and processes. Each evaluation also logs the interval of the accuracy and the
    calibration error, and writes run/calibration.json.

    Args:
        model: a reward model, or an adapter around one, in float32; `bf16` autocasts its forward.
        args: training settings.
        train_dataset: dataset with columns `prompt_ids`, `chosen_ids` and `rejected_ids` (lists of token ids; the prompt ends with
            <|im_end|>, both answers with <|box_end|>), `length` (tokens of the longer document) and, optionally, `margin`.
        processing_class: the model's tokenizer.
        eval_dataset: held-out dataset with the same columns; optional.
        callbacks: Transformers callbacks.

    Raises:
        UserError: if the checkpoint's `L_bp_cycles` is not an official horizon, or a setting is not supported.
        RunError: see `Stabilised` and `SafeCheckpoints`.
    """

    args: RewardModelArguments
    model: Any

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: RewardModelArguments,
        train_dataset: Dataset,
        processing_class: PreTrainedTokenizerFast,
        eval_dataset: Dataset | None = None,
        callbacks: Sequence[TrainerCallback] = (),
    ):
        check_horizon(model)
        multiple = args.pad_to_multiple_of
        assert not isinstance(multiple, str)  # TRL has replaced "auto"
        self._pairs_of_step = 1.0  # on all processes
        self._held_out: list[Tensor] = []  # of an evaluation: chosen score, rejected score and margin, (pairs, 3)
        args = copy.copy(args)
        args.max_length = None  # rows that are too long have been dropped and counted
        super().__init__(
            model=model,
            args=args,
            data_collator=PairCollator(get_renderer(processing_class).pad_id, multiple),
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            callbacks=list(callbacks),
        )

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns: Any = ["prompt_ids", "chosen_ids", "rejected_ids", "margin", "length"]

    def _begin_step(self, batches: list[Any], trained_tokens: Any) -> None:
        super()._begin_step(batches, trained_tokens)
        pairs = sum(len(batch["input_ids"]) for batch in batches) / 2
        self._pairs_of_step = float(sum_over_processes(torch.tensor([pairs])))

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Compute TRL's loss; in training each micro-batch counts by its share of the step's pairs."""
        with self._intercept_metrics() as theirs:
            loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        chosen, rejected = outputs.logits.detach().float().squeeze(-1).chunk(2)  # (pairs,) each
        if self.model.training:
            self._add_metrics(chosen, rejected, theirs)
            parts = self.current_gradient_accumulation_steps * self.accelerator.num_processes
            loss = loss * (len(chosen) * parts / self._pairs_of_step)
        else:
            margin = inputs.get("margin", torch.zeros_like(chosen))
            pairs = torch.stack([chosen, rejected, margin], dim=-1)  # (pairs, 3)
            self._held_out.append(self.accelerator.gather_for_metrics(pairs).cpu())
        return (loss, outputs) if return_outputs else loss

    def _add_metrics(self, chosen: Tensor, rejected: Tensor, theirs: dict[str, list[float]]) -> None:
        """Add the metrics of a micro-batch to those of its step."""
        means, pairs = self.means["train"], chosen.new_tensor(len(chosen))
        means.add("accuracy", (chosen > rejected).sum(), pairs)
        means.add("margin", (chosen - rejected).sum(), pairs)
        means.add("mean_reward", (chosen + rejected).sum() / 2, pairs)
        means.add_extreme("min_reward", theirs["min_reward"][0], min)  # TRL's are over all processes
        means.add_extreme("max_reward", theirs["max_reward"][0], max)
        self._metrics["train"]["num_tokens"] = theirs["num_tokens"]

    # Evaluation ---------------------------------------------------------------------------------------------------

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate like Transformers, with loss, accuracy and calibration over all pairs instead of means over batches."""
        self._held_out = []  # an interrupted evaluation may have left some
        output = super().evaluation_loop(*args, **kwargs)
        assert output.metrics is not None
        chosen, rejected, margin = torch.cat(self._held_out).unbind(dim=-1)
        losses = -logsigmoid(chosen - rejected - margin)
        if self.args.center_rewards_coefficient is not None:
            losses += self.args.center_rewards_coefficient * (chosen + rejected).square()
        ranking = Ranking.of((chosen - rejected).tolist())
        values = {"loss": losses.mean().item(), "margin": (chosen - rejected).mean().item(), **ranking.metrics()}
        prefix = kwargs.get("metric_key_prefix", "eval")
        output.metrics.update({f"{prefix}_{name}": value for name, value in values.items()})
        if self.is_world_process_zero():
            records = Path(str(self.args.output_dir)) / "run"
            records.mkdir(parents=True, exist_ok=True)
            write_json(records / CALIBRATION, {"step": self.state.global_step, **ranking.to_dict()})
        return output
