"""Merge an adapter into its base in float32, and check that logits and greedy answers stay the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import HrmTextForCausalLM, PreTrainedTokenizerFast

from hrm_align.errors import RunError, UserError, join_names
from hrm_align.files import new_folder, replace_json
from hrm_align.models.adapters import base_name, is_adapter, load_adapted, open_adapter
from hrm_align.models.rounding import in_evaluation, measure_floor, tie_margin
from hrm_align.models.weight_files import differing_tensors, save_whole
from hrm_align.progress import stage
from hrm_align.rendering import DEFAULT_CONDITION, Document, get_renderer
from hrm_align.rollouts.local import generate
from hrm_align.run_folder import MERGE

# Logits held in memory for the comparison (64 MiB in float32); of more logits, evenly spaced positions are compared.
KEPT_LOGITS = 1 << 24
# Prompts to compare on without --data: short, of several kinds.
PROMPTS = ("Hello.", "Add 12 and 30.", "What is the capital of France?", "Write a list of three animals.",
           "copy abc", "Is 7 larger than 5?", "Explain recursion in one sentence.", "x = 3; x * 2 =")  # fmt: skip


@dataclass(frozen=True)
class MergeReport:
    """Difference between a merged model and the adapter on its base.

    Args:
        prompts: number of prompts compared.
        tokens: number of positions whose logits were compared, in prompts and greedy answers.
        largest_difference: largest difference of two logits, divided by the largest logit.
        other_answers: number of prompts whose greedy answers differ; ties are not counted.
        tolerance: largest `largest_difference` allowed.
        floor: difference between two correct ways to compute the unmerged model, in the same unit (`models.rounding`).
        ties: number of prompts whose answers first differ at two tokens whose logits are closer than the tolerance.
    """

    prompts: int
    tokens: int
    largest_difference: float
    other_answers: int
    tolerance: float
    floor: float
    ties: int

    @property
    def is_same(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.largest_difference <= self.tolerance and not self.other_answers

    def require(self) -> None:
        """Raise RunError if the difference is outside the tolerance."""
        if not self.is_same:
            raise RunError(
                f"the merged model differs from the unmerged one by {self.largest_difference:.1e} of the largest logit (rounding "
                f"alone gives {self.floor:.1e} on this model, and {self.tolerance:.1e} is allowed) and in {self.other_answers} of "
                f"{self.prompts} greedy answers. Nothing was written. Use the adapter unmerged, or accept the difference with a "
                "larger --tolerance."
            )


def merge(
    model: PeftModel,
    prompts: Sequence[Sequence[int]],
    *,
    answers: Sequence[Sequence[int]] | None = None,
    max_new_tokens: int = 32,
    tolerance: float | None = None,
    batch_size: int = 64,
) -> tuple[HrmTextForCausalLM, MergeReport]:
    """Merge the active adapter, and compare logits and greedy answers with those of the unmerged model.

    Args:
        model: a base with an adapter, in float32; the base's modules are merged in place.
        prompts: token ids of the prompts to compare on.
        answers: token ids of the unmerged model's greedy answers to these prompts, if known; None generates them.
        max_new_tokens: longest greedy answer, in tokens; longer known answers are cut to it.
        tolerance: allowed difference as a share of the largest logit; None derives it from the model's rounding floor.
        batch_size: completions generated together.

    Returns:
        The merged model (the base's own modules) and the report. The caller decides whether a difference is an error.

    Raises:
        UserError: for a quantised or half-precision base, in which rounding would lose the adapter's change.
        RunError: if a merged weight is not finite.
    """
    base: Any = model.get_base_model()
    if getattr(base, "is_quantized", False):
        raise UserError(
            "cannot merge into a quantised base, because rounding would lose the adapter's change. Load the base unquantised."
        )
    if any(weight.dtype != torch.float32 for weight in model.parameters()):
        raise UserError("cannot merge, because the base or the adapter is not in float32. Load both in float32.")
    adapted: Any = model  # a PeftModel forwards calls to the model inside
    if answers is None:
        answers = generate(adapted, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size)
    answers = [answer[:max_new_tokens] for answer in answers]
    documents = [Document([*prompt, *answer], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
    # Logits and rounding floor of the unmerged model.
    floor = measure_floor(model, documents)
    positions = _choose_positions(documents, base.config.vocab_size)
    before = _compute_logits(model, documents, positions)
    # Merge in place: PEFT's safe_merge copies each weight, which leaves unused memory of a quarter of the model in the allocator.
    merged: Any = model.merge_and_unload(safe_merge=False)
    _require_finite(merged)
    vars(merged).pop("get_output_embeddings", None)  # an override for an adapted head
    # Compare the logits, then the greedy answers.
    after = _compute_logits(merged, documents, positions)
    largest = float(torch.stack([logits.abs().max() for logits in before]).max())
    apart = torch.stack([(a - b).abs().max() for a, b in zip(before, after, strict=True)])
    difference = float(apart.max()) / largest  # NaN if any logit is NaN; a NaN is never within the tolerance
    allowed = floor.limit(floor.logits) if tolerance is None else tolerance
    merged_answers = generate(merged, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size)
    margins = [tie_margin(merged, document, answer) for document, answer in zip(documents, merged_answers, strict=True)]
    ties = sum(margin is not None and margin <= allowed * largest for margin in margins)
    others = sum(margin is not None for margin in margins) - ties
    compared = sum(map(len, positions))
    return merged, MergeReport(len(documents), compared, difference, others, allowed, floor.logits, ties)


def _require_finite(merged: nn.Module) -> None:
    """Raise RunError if a weight is not finite; where an entry is NaN, aminmax returns NaN for both bounds."""
    for name, weight in merged.named_parameters():
        if not torch.isfinite(torch.stack(torch.aminmax(weight.detach()))).all():
            raise RunError(
                f"the merged weights of {name} are not finite. Nothing was written. The adapter or its base is damaged: use an "
                "earlier checkpoint of the run, or train the adapter again."
            )


def _choose_positions(documents: Sequence[Document], vocabulary: int) -> list[Tensor]:
    """Return for each document the positions (compared,) whose logits are compared: all, or evenly spaced ones.

    At most about `KEPT_LOGITS` logits are compared in all, and at least one position of each document.
    """
    total = sum(len(document.input_ids) for document in documents)
    spacing = max(1, -(-total * vocabulary // KEPT_LOGITS))
    positions, offset = [], 0
    for document in documents:
        length = len(document.input_ids)
        first = min(-offset % spacing, length - 1)
        positions.append(torch.arange(first, length, spacing))
        offset += length
    return positions


@torch.no_grad()
def _compute_logits(model: Any, documents: Sequence[Document], positions: Sequence[Tensor]) -> list[Tensor]:
    """Return the logits (compared, vocab) of each document at its positions, float32 on the CPU, under the prefix mask."""
    device = next(model.parameters()).device
    with in_evaluation(model):
        return [
            model(torch.tensor([document.input_ids], device=device), use_cache=False).logits[0, places].float().cpu()
            for document, places in zip(documents, positions, strict=True)
        ]


def save_merged(
    merged: HrmTextForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    target: Path,
    report: MergeReport,
    **origin: str | None,
) -> None:
    """Write a merged model to a new folder, and read the weights back to verify them. A failure leaves no folder.

    Args:
        merged: the merged model that `merge` returned.
        tokenizer: saved with the model.
        target: a new folder.
        report: the report that `merge` returned.
        origin: names of the base and the adapter, for the record in merge.json.

    Raises:
        UserError: if the folder exists, or the disk is full or not writable.
        RunError: if the report is outside its tolerance, or the weights read back differ from the model's.
    """
    report.require()
    size = sum(weight.numel() * weight.element_size() for weight in merged.parameters())
    with new_folder(target, size) as folder:
        save_whole(merged, folder)
        tokenizer.save_pretrained(folder)
        replace_json(folder / MERGE, {**origin, **asdict(report)})
        if wrong := differing_tensors(merged, folder):
            raise RunError(
                f"the weights read back from {target} differ from what was saved: {join_names(wrong)}. Nothing was written. Check the disk."
            )


def merged_start(name: str, target: Path) -> str:
    """Return the checkpoint that a run starts from; an adapter is merged into its base first.

    Args:
        name: checkpoint folder, Hub id, `tiny`, or an adapter's folder.
        target: folder for the merged checkpoint; an existing folder (of this run before it was resumed) is used as it is.

    Returns:
        `name`, or the path of the merged checkpoint if `name` is an adapter.

    Raises:
        UserError: as `open_adapter`.
        RunError: if the merged model differs from the adapter on its base.
    """
    if not is_adapter(name):
        return name
    if not target.exists():
        with stage(f"merging the adapter {name} into its base"):
            adapter = open_adapter(name)
            model, tokenizer = load_adapted(base_name(adapter), {"adapter": adapter})
            prompts = [get_renderer(tokenizer).prompt(text, DEFAULT_CONDITION) for text in PROMPTS]
            merged, report = merge(model, prompts)
            save_merged(merged, tokenizer, target, report, base=base_name(adapter), adapter=name)
    return str(target)
