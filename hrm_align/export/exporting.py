"""The way of an export: ask the run, write the folder, ask the folder, compare, tell, and only then give it its name."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import HrmTextConfig, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from hrm_align._version import __version__
from hrm_align.data.example import Example
from hrm_align.data.mixture import DatasetSpec, load_examples
from hrm_align.durable_files import check_new, new_folder, replace_json
from hrm_align.errors import RunError, UserError
from hrm_align.evaluation import Evaluation, evaluate, graded, last_turns
from hrm_align.export.card import Publication, shown_name, write_card
from hrm_align.export.folder import CARD, PUBLICATION, SHARD, write_adapter, write_model
from hrm_align.export.parity import ParityReport, Reference, ask_stock, compare, reference, templated
from hrm_align.export.secrets import require_clean
from hrm_align.export.source import Source, hub_id, open_source, origin
from hrm_align.merging import PROMPTS, MergeReport, merge
from hrm_align.models.adapters import base_of, load_adapted
from hrm_align.models.loading import DTYPES, load_config, load_model_and_tokenizer, resolve
from hrm_align.rendering import DEFAULT_CONDITION, Message, renderer_of

logger = logging.getLogger(__name__)

MERGED_ON = 64  # prompts on which a merge is compared before it is written


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and how; the options of `hrm-align export`, which says what each means."""

    run: str
    to: Path
    merged: bool = False
    adapter: bool = False
    averaged: bool = False
    dtype: str | None = None
    data: Sequence[str] = ()
    limit: int = 300
    match: str = "exact"
    max_new_tokens: int = 256
    base: str | None = None
    base_model: str | None = None
    name: str | None = None
    licence: str = "apache-2.0"
    shard: str = SHARD
    force: bool = False


@dataclass(frozen=True)
class Questions:
    """What the run and the folder are asked.

    Args:
        examples: the rows.
        told: what they are, for people.
        graded: whether they have answers.
    """

    examples: list[Example]
    told: str
    graded: bool


@dataclass(frozen=True)
class _Asked:
    """The run, loaded and asked; `model` is merged by then, if that is what is published."""

    source: Source
    form: str
    base_model: str | None
    model: Any
    tokenizer: PreTrainedTokenizerFast
    questions: Questions
    expected: Reference
    before: Evaluation | None
    merging: MergeReport | None


def export(options: ExportOptions) -> dict[str, Any]:
    """Write an exported folder, proven.

    Returns:
        What to tell: `form`, `parity`, scores `before` and `after` where rows have answers, and `merge` of a merged adapter.

    Raises:
        UserError: for something that cannot be exported, a folder that is there, or a secret in what would be written.
        RunError: if the folder does not answer as the run does; nothing is written then.
    """
    check_new(options.to)
    run = _ask(options)
    dtype = _published_dtype(options, run.source, run.form)
    base = _base(options, run.source) if run.form == "adapter" else None
    size = sum(weight.numel() for weight in run.model.parameters())
    with new_folder(options.to, 4 * size) as folder:
        parameters = _write_weights(options, run, folder, dtype)
        found = ask_stock(folder, run.questions.examples, run.expected, options.max_new_tokens, base)
        report = compare(run.expected, found, dtype)
        if not options.force:
            report.require()
        publication = _publication(options, run, report, found, parameters)
        (folder / CARD).write_text(write_card(publication), encoding="utf-8")
        replace_json(folder / PUBLICATION, _record(publication, folder))
        require_clean(folder)
    sides = {"before": publication.before, "after": publication.after}
    scores = {name: side.score.to_dict() for name, side in sides.items() if side is not None}
    merging = {"merge": asdict(run.merging)} if run.merging else {}
    return {"form": run.form, "parity": report.to_dict(), **scores, **merging}


def _ask(options: ExportOptions) -> _Asked:
    """Load the run and what it began with, and ask both."""
    source = open_source(options.run, options.averaged)
    form = _form(options, source)
    base_model = options.base_model or origin(source.base)
    if form == "adapter" and options.name and hub_id(base_model) is None:
        raise UserError(
            "an adapter is of no use without its base: say where others find that, --base_model OWNER/NAME."
        )
    disable_progress_bar()
    model, tokenizer = _trained(options, source)
    questions = _questions(options, source, model.config, tokenizer)
    expected = reference(model, tokenizer, questions.examples, options.max_new_tokens)
    before = _before(options, source, model, tokenizer, questions) if questions.graded else None
    merging = None
    if form == "merged":
        model, merging = _merged(model, expected.prompts)
    return _Asked(source, form, base_model, model, tokenizer, questions, expected, before, merging)


def _write_weights(options: ExportOptions, run: _Asked, folder: Path, dtype: str) -> int:
    """Write all but the card; how many parameters the folder holds."""
    if run.form != "adapter":
        write_model(run.model, run.tokenizer, folder, dtype, options.shard)
        return sum(weight.numel() for weight in run.model.parameters())
    assert run.source.adapter is not None
    write_adapter(run.source.adapter, run.tokenizer, folder, run.base_model)
    return sum(math.prod(shape) for shape in run.source.adapter.shapes().values())


def _publication(
    options: ExportOptions, run: _Asked, report: ParityReport, found: Sequence[dict[str, Any]], parameters: int
) -> Publication:
    answers = [row["answer_ids"] for row in found]
    examples, config = run.questions.examples, run.model.config
    return Publication(
        name=options.name or options.to.name,
        source=run.source,
        form=run.form,
        config={key: getattr(config, key) for key in ("H_cycles", "L_cycles", "L_bp_cycles")},
        parameters=parameters,
        parity=report,
        after=graded(examples, answers, run.tokenizer, options.match) if run.questions.graded else None,
        before=run.before,
        rows=run.questions.told,
        match=options.match,
        max_new_tokens=options.max_new_tokens,
        base_model=run.base_model,
        licence=options.licence,
    )


def _form(options: ExportOptions, source: Source) -> str:
    if source.adapter is None:
        if options.adapter or options.merged:
            raise UserError(
                f"{options.run} is a whole checkpoint: --adapter and --merged are for the run of an adapter."
            )
        return "full"
    if not options.merged and options.dtype:
        raise UserError(
            "--dtype is for whole weights: an adapter is published as it is. Add --merged, or leave it out."
        )
    return "merged" if options.merged else "adapter"


def _device() -> torch.device:
    return (torch.accelerator.is_available() and torch.accelerator.current_accelerator()) or torch.device("cpu")


def _base(options: ExportOptions, source: Source) -> str:
    assert source.adapter is not None
    return resolve(options.base or base_of(source.adapter))


def _trained(options: ExportOptions, source: Source) -> tuple[Any, PreTrainedTokenizerFast]:
    """The run's own model, in float32, an adapter on its base."""
    if source.adapter is None:
        return load_model_and_tokenizer(str(source.folder), device=_device())
    base = options.base or base_of(source.adapter)
    return load_adapted(base, {"adapter": source.adapter}, device=_device())


def _questions(
    options: ExportOptions, source: Source, config: HrmTextConfig, tokenizer: PreTrainedTokenizerFast
) -> Questions:
    """Held-out rows: those named, else those of the run; else a few prompts that ask for nothing in particular."""
    condition = source.settings.get("condition", DEFAULT_CONDITION)
    entries = [{"path": path} for path in options.data] or source.settings.get("eval_datasets") or []
    specs = [DatasetSpec.from_dict(entry) for entry in entries]
    try:
        files = [last_turns(load_examples([spec], default_condition=condition)[0])[: options.limit] for spec in specs]
    except UserError as error:
        if options.data:
            raise
        logger.warning("the run's held-out rows cannot be read, so nothing is scored: %s", error)
        files = []
    render, room = renderer_of(tokenizer), config.max_position_embeddings - options.max_new_tokens
    answered = [e for e in templated([e for file in files for e in file], tokenizer) if e.reference.strip()]
    examples = [e for e in answered if len(render.prompt(e.messages, e.condition)) <= room]
    if options.data and not examples:
        raise UserError("no row of --data can be asked: it needs an answer, and room for --max_new_tokens.")
    if examples:
        return Questions(examples, ", ".join(shown_name(spec.path) for spec in specs), graded=True)
    nothing = Message("assistant", "")
    asked = [Example((Message("user", text),), nothing, condition, "built in") for text in PROMPTS]
    return Questions(asked, "a few built-in prompts", graded=False)


def _before(
    options: ExportOptions, source: Source, model: Any, tokenizer: PreTrainedTokenizerFast, questions: Questions
) -> Evaluation | None:
    """What the model scored before it was trained; None where that cannot be loaded any more."""
    asked: dict[str, Any] = {"max_new_tokens": options.max_new_tokens, "match": options.match}
    if source.adapter is not None:
        with model.disable_adapter():
            return evaluate(model, tokenizer, questions.examples, **asked)
    start = options.base or source.start
    if start is None:
        return None
    try:
        return evaluate(*load_model_and_tokenizer(start, device=_device()), questions.examples, **asked)
    except UserError as error:
        logger.warning("what the run began with cannot be scored: %s", error)
        return None


def _merged(model: Any, prompts: Sequence[Sequence[int]]) -> tuple[Any, MergeReport]:
    merged, report = merge(model, prompts[:MERGED_ON])
    if not report.is_same:
        raise RunError(
            f"merged and unmerged differ by {report.largest_difference:.1e} of the largest logit (allowed "
            f"{report.tolerance:.0e}) and in {report.other_answers} of {report.prompts} answers: nothing was written."
        )
    return merged, report


def _published_dtype(options: ExportOptions, source: Source, form: str) -> str:
    """The type that others load; an adapter runs in that of its base."""
    if form != "adapter":
        return options.dtype or "float32"
    name = str(load_config(_base(options, source)).dtype).removeprefix("torch.")
    return name if name in DTYPES else "float32"


def _record(publication: Publication, folder: Path) -> dict[str, Any]:
    """For programs: what the card tells people, and the digests of the weights."""
    before, after = (side and side.to_dict() for side in (publication.before, publication.after))
    weights = {path.name: _sha256(path) for path in sorted(folder.glob("*.safetensors"))}
    return {
        "hrm_align": __version__,
        "form": publication.form,
        "averaged": publication.source.averaged,
        "base_model": publication.base_model,
        "rows": publication.rows,
        "match": publication.match,
        "max_new_tokens": publication.max_new_tokens,
        "before": before,
        "after": after,
        "parity": publication.parity.to_dict(),
        "sha256": weights,
    }


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
