"""An adapter merged into its base in float32, and the proof that the result is the same model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import HrmTextForCausalLM, PreTrainedTokenizerFast

from hrm_align.errors import RunError, UserError, some
from hrm_align.files import new_folder, replace_json
from hrm_align.models.adapters import base_of, is_adapter, load_adapted, open_adapter
from hrm_align.models.rounding import in_evaluation, measure_floor, tie_margin
from hrm_align.models.weight_files import differing_tensors, save_whole
from hrm_align.rendering import DEFAULT_CONDITION, Document, renderer_of
from hrm_align.rollouts.local import generate
from hrm_align.run_folder import MERGE

KEPT_LOGITS = 1 << 24  # that are held for the comparison, 64 MiB; where there are more, at evenly spaced positions
# Compared on where no --data is given: short, of several kinds.
PROMPTS = ("Hello.", "Add 12 and 30.", "What is the capital of France?", "Write a list of three animals.",
           "copy abc", "Is 7 larger than 5?", "Explain recursion in one sentence.", "x = 3; x * 2 =")  # fmt: skip


@dataclass(frozen=True)
class MergeReport:
    """How far a merged model is from the adapter on its base.

    Args:
        prompts: how many were compared.
        tokens: positions whose logits were compared: prompts and greedy answers.
        largest_difference: of two logits, over the largest logit.
        other_answers: prompts whose greedy answers differ, those left out that part where two tokens tie.
        tolerance: of `largest_difference`.
        floor: how far two right ways of computing the unmerged model differ, in the same unit (`models.rounding`).
        ties: prompts whose answers part at two tokens whose logits are closer than the tolerance.
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
        """Whether the two are one model."""
        return self.largest_difference <= self.tolerance and not self.other_answers

    def require(self) -> None:
        """Raises RunError outside the tolerance."""
        if not self.is_same:
            raise RunError(
                f"merged and unmerged differ by {self.largest_difference:.1e} of the largest logit (rounding alone gives "
                f"{self.floor:.1e} on this model, and {self.tolerance:.1e} is allowed) and in {self.other_answers} of "
                f"{self.prompts} greedy answers: nothing was written. Use the adapter unmerged, or name a --tolerance if you "
                "accept the difference."
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
    """Merge the active adapter, and compare logits and greedy answers with what it was.

    Args:
        model: a base with an adapter, in float32.
        prompts: ids to compare on.
        answers: greedy answers of the unmerged model to these prompts, ids, if they are known; None generates them.
        max_new_tokens: of the greedy answers; known ones that are longer are cut.
        tolerance: share of the largest logit; None for what the model's own rounding floor allows.
        batch_size: answers written side by side.

    Returns:
        The merged model (the base's own modules) and the report; the caller decides what a difference means.

    Raises:
        UserError: for a quantised or half-precision base, in which a merge would round the adapter away.
    """
    base: Any = model.get_base_model()
    if getattr(base, "is_quantized", False):
        raise UserError("the base is quantised, and merging would round the adapter away: load the base whole.")
    if any(weight.dtype != torch.float32 for weight in model.parameters()):
        raise UserError("the base or the adapter is not in float32, in which merging is exact: load both in float32.")
    adapted: Any = model  # it answers like the model inside
    if answers is None:
        answers = generate(adapted, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size)
    answers = [answer[:max_new_tokens] for answer in answers]
    documents = [Document([*prompt, *answer], len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
    floor = measure_floor(model, documents)
    kept = _kept_positions(documents, base.config.vocab_size)
    before = _logits(model, documents, kept)
    # In place: PEFT's safe_merge copies each weight, and what the allocator then holds unused is a quarter of the model.
    merged: Any = model.merge_and_unload(safe_merge=False)
    _require_finite(merged)
    vars(merged).pop("get_output_embeddings", None)  # of an adapted head
    after = _logits(merged, documents, kept)
    largest = float(torch.stack([logits.abs().max() for logits in before]).max())
    apart = torch.stack([(a - b).abs().max() for a, b in zip(before, after, strict=True)])
    difference = float(apart.max()) / largest  # NaN if any is, which is no difference that is allowed
    allowed = floor.limit(floor.logits) if tolerance is None else tolerance
    again = generate(merged, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size)
    margins = [tie_margin(merged, document, other) for document, other in zip(documents, again, strict=True)]
    ties = sum(margin is not None and margin <= allowed * largest for margin in margins)
    others = sum(margin is not None for margin in margins) - ties
    return merged, MergeReport(len(documents), sum(map(len, kept)), difference, others, allowed, floor.logits, ties)


def _require_finite(merged: nn.Module) -> None:
    """Raises RunError for weights that are no finite numbers; of a NaN both the least and the largest entry are NaN."""
    for name, weight in merged.named_parameters():
        if not torch.isfinite(torch.stack(torch.aminmax(weight.detach()))).all():
            raise RunError(
                f"the merged weights of {name} are not finite: nothing was written. The adapter or its base is damaged; train "
                "it again, or use an earlier checkpoint of its run."
            )


def _kept_positions(documents: Sequence[Document], vocabulary: int) -> list[Tensor]:
    """For each document the positions (kept) at which all logits are compared: every one, or evenly spaced ones."""
    total = sum(len(document.input_ids) for document in documents)
    apart = max(1, -(-total * vocabulary // KEPT_LOGITS))
    kept, begun = [], 0
    for document in documents:
        first = -begun % apart
        kept.append(torch.arange(min(first, len(document.input_ids) - 1), len(document.input_ids), apart))
        begun += len(document.input_ids)
    return kept


@torch.no_grad()
def _logits(model: Any, documents: Sequence[Document], kept: Sequence[Tensor]) -> list[Tensor]:
    """(kept, vocab) of each document, as training runs it: through the prefix mask of the seam."""
    device = next(model.parameters()).device
    with in_evaluation(model):
        return [
            model(torch.tensor([document.input_ids], device=device), use_cache=False).logits[0, positions].float().cpu()
            for document, positions in zip(documents, kept, strict=True)
        ]


def save_merged(
    merged: HrmTextForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    target: Path,
    report: MergeReport,
    **origin: str | None,
) -> None:
    """Write a merged model that is the same as what it was merged from, whole or not at all, and read it back.

    Args:
        merged: of `merge`.
        tokenizer: saved with it.
        target: a new folder.
        report: of `merge`.
        origin: what it was merged from, for its record.

    Raises:
        UserError: if the folder is there, or the disk refuses.
        RunError: if the report is outside its tolerance, or the folder does not give the same weights.
    """
    report.require()
    size = sum(weight.numel() * weight.element_size() for weight in merged.parameters())
    with new_folder(target, size) as folder:
        save_whole(merged, folder)
        tokenizer.save_pretrained(folder)
        replace_json(folder / MERGE, {**origin, **asdict(report)})
        if wrong := differing_tensors(merged, folder):
            raise RunError(f"{target} does not give back {some(wrong)} as saved: nothing was written.")


def merged_start(name: str, target: Path) -> str:
    """The checkpoint that a run begins with: `name` itself, or where it is an adapter, the merge of it and its base.

    Args:
        name: checkpoint folder, Hub id, `tiny`, or an adapter's folder.
        target: folder for the merge; one that is there already, of this run before it was resumed, is taken.

    Raises:
        UserError: as `open_adapter`.
        RunError: if the merge is another model than the adapter on its base.
    """
    if not is_adapter(name):
        return name
    if not target.exists():
        adapter = open_adapter(name)
        model, tokenizer = load_adapted(base_of(adapter), {"adapter": adapter})
        prompts = [renderer_of(tokenizer).prompt(text, DEFAULT_CONDITION) for text in PROMPTS]
        merged, report = merge(model, prompts)
        save_merged(merged, tokenizer, target, report, base=base_of(adapter), adapter=name)
    return str(target)
