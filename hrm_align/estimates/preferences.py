"""Estimates of runs on preferences: as of fine-tuning, with several documents a row, a reference, and forwards without gradient."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

from transformers import HrmTextConfig

from hrm_align.errors import UserError
from hrm_align.estimates.model import Load, count
from hrm_align.estimates.sft import SCORED, Estimate
from hrm_align.trainers.dpo_config import DPORecipe
from hrm_align.trainers.kto_config import KTORecipe
from hrm_align.trainers.reward_config import RewardRecipe


@dataclass(frozen=True)
class PreferenceEstimate(Estimate):
    """An `Estimate` whose `rows` are documents.

    Args:
        documents: documents per row of data: 2 for a pair.
        reference: bytes of a separate reference model; 0 if the reference is the base under an adapter, or precomputed.
        forwards_without_gradient: forwards of all documents in each step besides that with gradient: of the reference, and of KTO on
            mismatched documents.
        shared: tokens of the prompt, if the documents of a row of data share it; 0 otherwise.
    """

    documents: int = 2
    reference: int = 0
    forwards_without_gradient: int = 1
    shared: int = 0

    @property
    def tokens(self) -> int:
        """Tokens per forward."""
        return super().tokens - self.rows // self.documents * (self.documents - 1) * self.shared

    @property
    def load(self) -> Load:
        """The tokens of a forward."""
        if not self.shared:
            return super().load
        answer = self.length - self.shared
        return Load.of_groups(self.rows // self.documents, self.shared, answer, self.rows, self.costs.is_cut)

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by name of the part, at the moment of the peak."""
        return {**super().parts, "reference": self.reference}

    @property
    def flops(self) -> float:
        """Floating-point operations of an optimizer step."""
        return super().flops + self.forwards_without_gradient * self.costs.forward * self.tokens * self.forwards

    def largest_batch(self, memory: int) -> int:
        """Return the number of rows of data per forward that fit into `memory` bytes; 0 if not even one fits."""
        too_many = int(memory // (self.costs.activation * self.length)) + 1
        rows = range(1, too_many + 1)
        return bisect_right(rows, memory, key=lambda number: replace(self, rows=number * self.documents).total)


def estimate_dpo(
    recipe: DPORecipe, config: HrmTextConfig, processes: int = 1, on_gpu: bool = False, prompt: int = 0
) -> PreferenceEstimate:
    """Estimate what a recipe needs on each device. See `count` for the other arguments and errors.

    Args:
        recipe, config, processes, on_gpu: as in `count`.
        prompt: tokens of the prompts, which `share_prompts` computes once for both answers; 0 to count every prompt twice.

    Raises:
        UserError: if no token is left for the answers.
    """
    args = recipe.training
    if prompt >= int(args.max_length or 0):
        raise UserError(
            f"a prompt of {prompt} tokens (--prompt_tokens) leaves no room for an answer in max_length {args.max_length}: state "
            "fewer tokens, or raise max_length."
        )
    forwards = int(not args.precompute_ref_log_probs)
    estimate = _estimate(recipe, config, processes, on_gpu, documents=2, forwards=forwards)
    return replace(estimate, shared=prompt if args.share_prompts else 0)


def estimate_kto(
    recipe: KTORecipe, config: HrmTextConfig, processes: int = 1, on_gpu: bool = False
) -> PreferenceEstimate:
    """Estimate what a recipe needs on each device. See `count` for arguments and errors."""
    mismatched = int(recipe.training.loss_type == "kto")
    forwards = mismatched + (0 if recipe.training.precompute_ref_log_probs else 1 + mismatched)
    return _estimate(recipe, config, processes, on_gpu, documents=1, forwards=forwards)


def estimate_reward(
    recipe: RewardRecipe, config: HrmTextConfig, processes: int = 1, on_gpu: bool = False
) -> PreferenceEstimate:
    """Estimate what a recipe needs on each device: no head and no reference. See `count` for arguments and errors."""
    args, documents = recipe.training, 2
    return PreferenceEstimate(
        count(recipe, config, processes, on_gpu),
        documents * args.per_device_train_batch_size,
        args.gradient_accumulation_steps,
        int(args.max_length or 0),
        scored=0.0,
        documents=documents,
        forwards_without_gradient=0,
    )


def _estimate(
    recipe: DPORecipe | KTORecipe, config: HrmTextConfig, processes: int, on_gpu: bool, documents: int, forwards: int
) -> PreferenceEstimate:
    args, costs = recipe.training, count(recipe, config, processes, on_gpu)
    has_copy = not (args.precompute_ref_log_probs or recipe.lora.use_peft)
    return PreferenceEstimate(
        costs,
        documents * args.per_device_train_batch_size,
        args.gradient_accumulation_steps,
        int(args.max_length or 0),
        SCORED if args.score_responses_only or on_gpu else 1.0,  # with Triton (on a GPU) TRL scores only responses
        documents,
        costs.fixed["weights"] if has_copy else 0,
        forwards,
    )
