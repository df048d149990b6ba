"""The way of an export: ask the run, write the folder, ask the folder, compare, tell, and only then give it its name."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transformers import HrmTextConfig, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from hrm_align._version import __version__
from hrm_align.config.arguments import option
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import Evaluation, evaluate, graded
from hrm_align.export.card import Publication, shown_name, write_card
from hrm_align.export.eval_set import Questions, questions_of
from hrm_align.export.folder import CARD, PUBLICATION, SHARD, digests, require_clean, write_adapter, write_model
from hrm_align.export.merging import MergeReport, merge
from hrm_align.export.parity import (
    ParityReport,
    Published,
    Reference,
    Tolerance,
    ask_stock,
    compare,
    published,
    reference,
    side_by_side,
)
from hrm_align.files import check_new, new_folder, replace_json
from hrm_align.models.adapters import base_of, load_adapted
from hrm_align.models.loading import (
    DTYPES,
    TINY,
    default_device,
    load_config,
    load_model_and_tokenizer,
    load_tokenizer,
    resolve,
)
from hrm_align.models.rounding import cost_of_rounding, measure_floor
from hrm_align.rendering import renderer_of
from hrm_align.rewards.base import check_match, match_names
from hrm_align.run_folder import Source, open_source, origin, public_name

logger = logging.getLogger(__name__)

MERGED_ON, MERGED_TOKENS = 32, 32  # prompts on which a merge is compared before it is written, tokens of each answer


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and how. Each field with a help text is an option of `hrm-align export`.

    Args:
        run: output_dir of a run, a checkpoint of it, or any folder of a checkpoint or adapter.
        to: new folder.

    Raises:
        UserError: for a value that cannot be, by its option.
    """

    run: str
    to: Path
    adapter: bool = option(False, "the adapter alone (default for the run of an adapter)")
    merged: bool = option(False, "the adapter merged into its base, in float32")
    ema: bool = option(False, "the averaged weights of the run")
    dtype: str | None = option(
        None, "type to publish in (default float32, as trained; an adapter keeps its own)", choices=[*DTYPES]
    )
    data: list[str] = field(
        default_factory=list, metadata={"help": "held-out rows (default: the run's own)", "metavar": "FILE"}
    )
    limit: int = option(300, "only the first so many rows of each file (default %(default)s)")
    match: str | None = option(None, f"grader: {', '.join(match_names())} (default: as the run did)")
    max_new_tokens: int = option(256, "longest answer, in tokens (default %(default)s)")
    base: str | None = option(
        None, "where the base of an adapter, or the model before training, lies (default: as recorded)"
    )
    base_model: str | None = option(None, "what the card calls the base (default: as recorded)", metavar="OWNER/NAME")
    license: str = option("apache-2.0", "for the card (default %(default)s)")
    max_shard_size: str = option(SHARD, "largest weight file (default %(default)s)")
    force: str | None = option(None, "publish although it answers otherwise than the run", choices=["parity"])
    push: str | None = option(
        None, "upload to the Hub, with the token of `hf auth login` or HF_TOKEN", metavar="OWNER/NAME"
    )

    def __post_init__(self) -> None:
        """Check what is only text or number to a parser."""
        for name in ("limit", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}: it must be 1 or more.")
        if self.adapter and self.merged:
            raise UserError("--adapter and --merged are two forms of one export: give one of them.")
        if self.match is not None:
            check_match(self.match, "--match")
        if not re.fullmatch(r"[1-9][0-9]*[KMGT]B", self.max_shard_size):
            raise UserError(
                f"--max_shard_size {self.max_shard_size!r} is no size: write a number and its unit, such as 500MB or 4GB."
            )
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.license):
            raise UserError(
                f"--license {self.license!r} is no identifier of the Hub: write it as mit, apache-2.0 or other."
            )


@dataclass(frozen=True)
class _Asked:
    """The run, loaded and asked; `model` is merged by then, if that is what is published."""

    source: Source
    form: str
    base_model: str | None
    match: str
    model: Any
    tokenizer: PreTrainedTokenizerFast
    questions: Questions
    expected: Reference
    ours: Published
    batch_size: int
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
    base = _base(options, run.source) if run.form == "adapter" else None
    parameters = _parameters(run)
    with new_folder(options.to, 4 * parameters) as folder:
        _write_weights(options, run, folder)
        found = ask_stock(
            folder,
            run.questions.examples,
            run.expected,
            options.max_new_tokens,
            run.batch_size,
            len(run.ours.answers),
            base,
        )
        report = compare(run.expected, run.ours, found)
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
    """Ask what the run began with and the run itself, one after the other: never are both in memory."""
    source = open_source(options.run, options.ema)
    form = _form(options, source)
    base_model = _base_model(options, source, form)
    dtype = _published_dtype(options, source, form)
    match = options.match or (source.match if source.match in match_names() else "exact")
    disable_progress_bar()
    config, tokenizer = _described(options, source)
    room = config.max_position_embeddings - options.max_new_tokens
    questions = questions_of(source, options.data, options.limit, tokenizer, room)
    before = _before(options, source, questions, match) if questions.graded else None
    model, tokenizer = _trained(options, source)
    render = renderer_of(tokenizer)
    longest = max(len(render.prompt(example.messages, example.condition)) for example in questions.examples)
    batch_size = side_by_side(model, len(questions.examples), longest + options.max_new_tokens)
    expected = reference(model, tokenizer, questions.examples, options.max_new_tokens, batch_size)
    floor = measure_floor(model, expected.documents)
    cost = 0.0 if dtype == "float32" else cost_of_rounding(model, expected.documents, DTYPES[dtype])
    merging = None
    if form == "merged":
        model, merging = merge(
            model,
            expected.prompts[:MERGED_ON],
            answers=expected.answers[:MERGED_ON],
            max_new_tokens=min(MERGED_TOKENS, options.max_new_tokens),
            batch_size=batch_size,
        )
        merging.require()
    if source.adapter is not None and "L_bp_cycles" in source.adapter.record:
        model.config.L_bp_cycles = source.adapter.record["L_bp_cycles"]  # what it was trained with, not its base
    tolerance = Tolerance.of(floor, cost, dtype)
    ours = published(model, expected, dtype, tolerance, floor, options.max_new_tokens, batch_size)
    return _Asked(
        source, form, base_model, match, model, tokenizer, questions, expected, ours, batch_size, before, merging
    )


def _base_model(options: ExportOptions, source: Source, form: str) -> str | None:
    """What others find the base under. A whole model may name the one that a chain of runs began with, an adapter may not."""
    if options.base_model or form != "adapter":
        return options.base_model or origin(source.base)
    found = public_name(source.base)
    if found is None or (options.push and found == TINY):
        raise UserError(
            f"an adapter is of no use without its base, and {source.base} is nowhere where others find it: add --merged, or "
            "say under what name you have published exactly that, --base_model OWNER/NAME."
        )
    return found


def _parameters(run: _Asked) -> int:
    """How many the folder will hold."""
    if run.form == "adapter" and run.source.adapter is not None:
        return sum(math.prod(shape) for shape in run.source.adapter.shapes().values())
    return sum(weight.numel() for weight in run.model.parameters())


def _write_weights(options: ExportOptions, run: _Asked, folder: Path) -> None:
    """Write all but the card."""
    if run.form != "adapter":
        write_model(run.model, run.tokenizer, folder, run.ours.dtype, options.max_shard_size)
        return
    assert run.source.adapter is not None
    write_adapter(run.source.adapter, run.tokenizer, folder, run.base_model)


def _publication(
    options: ExportOptions, run: _Asked, report: ParityReport, found: Sequence[dict[str, Any]], parameters: int
) -> Publication:
    answers = [row["answer_ids"] for row in found]
    examples, config = run.questions.examples, run.model.config
    return Publication(
        name=options.push or options.to.name,
        source=run.source,
        form=run.form,
        config={key: getattr(config, key) for key in ("H_cycles", "L_cycles", "L_bp_cycles")},
        parameters=parameters,
        parity=report,
        after=graded(examples, answers, run.tokenizer, run.match) if run.questions.graded else None,
        before=run.before,
        questions=run.questions,
        match=run.match,
        max_new_tokens=options.max_new_tokens,
        base_model=run.base_model,
        licence=options.license,
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


def _base(options: ExportOptions, source: Source) -> str:
    assert source.adapter is not None
    return resolve(options.base or base_of(source.adapter))


def _described(options: ExportOptions, source: Source) -> tuple[HrmTextConfig, PreTrainedTokenizerFast]:
    """Config and tokenizer of the run's model, before a weight is loaded."""
    name = str(source.folder) if source.adapter is None else options.base or base_of(source.adapter)
    return load_config(name), load_tokenizer(name)


def _trained(options: ExportOptions, source: Source) -> tuple[Any, PreTrainedTokenizerFast]:
    """The run's own model, in float32, an adapter on its base."""
    if source.adapter is None:
        return load_model_and_tokenizer(str(source.folder), device=default_device())
    base = options.base or base_of(source.adapter)
    return load_adapted(base, {"adapter": source.adapter}, device=default_device())


def _before(options: ExportOptions, source: Source, questions: Questions, match: str) -> Evaluation | None:
    """What the model scored before it was trained; None where that cannot be loaded any more.

    Of an adapter's run, the base is loaded afresh: some initialisations of adapters take something out of it.
    """
    start = options.base or source.start
    if start is None:
        return None
    try:
        model, tokenizer = load_model_and_tokenizer(start, device=default_device())
    except UserError as error:
        logger.warning("what the run began with cannot be scored: %s", error)
        return None
    return evaluate(model, tokenizer, questions.examples, max_new_tokens=options.max_new_tokens, match=match)


def _published_dtype(options: ExportOptions, source: Source, form: str) -> str:
    """The type that others load; an adapter runs in that of its base."""
    if form != "adapter":
        return options.dtype or "float32"
    name = str(load_config(_base(options, source)).dtype).removeprefix("torch.")
    return name if name in DTYPES else "float32"


def _record(publication: Publication, folder: Path) -> dict[str, Any]:
    """For programs: what the card tells people, and the digests of the weights."""
    before, after = (side and side.to_dict() for side in (publication.before, publication.after))
    return {
        "hrm_align": __version__,
        "form": publication.form,
        "averaged": publication.source.averaged,
        "base_model": publication.base_model,
        "name": publication.name,
        "data": [shown_name(path) for path in publication.questions.paths],
        "limit": publication.questions.limit,
        "condition": publication.source.settings.get("condition"),
        "match": publication.match,
        "max_new_tokens": publication.max_new_tokens,
        "before": before,
        "after": after,
        "parity": publication.parity.to_dict(),
        "sha256": digests(folder),
    }
