"""Export a run: generate answers with it, write the folder, generate answers with the folder, compare, and write the card.

The folder is written under a temporary name and renamed when all checks have passed, so a failed export leaves no folder.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import HrmTextConfig, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from hrm_align._version import __version__
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import Evaluation, evaluate, graded
from hrm_align.export.card import Publication, shown_name, write_card
from hrm_align.export.eval_set import Questions, load_questions
from hrm_align.export.folder import CARD, PUBLICATION, digests, require_clean, write_adapter, write_model
from hrm_align.export.gguf import BITS, TYPES, check_convertible, describe, is_nfc, require_gguf, write_gguf
from hrm_align.export.gguf_proof import PROVED_ROWS, Engine, GgufFile, find_engine, prove
from hrm_align.export.merging import MergeReport, merge
from hrm_align.export.options import ExportOptions
from hrm_align.export.parity import (
    ParityReport,
    Published,
    Reference,
    Tolerance,
    ask_stock,
    choose_batch_size,
    compare,
    published,
    reference,
)
from hrm_align.files import check_new, new_folder, replace_json
from hrm_align.models.adapters import base_name, load_adapted
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
from hrm_align.models.stock_generation import require_greedy
from hrm_align.progress import stage
from hrm_align.rendering import get_renderer
from hrm_align.rewards.base import match_names
from hrm_align.rollouts.local import generate
from hrm_align.run_folder import Source, open_source, origin, public_name

logger = logging.getLogger(__name__)

# A merge is compared with the unmerged model on so many prompts, and so many tokens of each answer.
MERGED_ON, MERGED_TOKENS = 32, 32


@dataclass(frozen=True)
class _RunAnswers:
    """The run's model with its answers, which the exported folder must reproduce.

    Args:
        source: the run.
        form: `full`, `merged` or `adapter`.
        base_model: published name of the base; None if there is none.
        match: name of the grader.
        model: the model to export; already merged if `form` is `merged`.
        tokenizer: of the model.
        questions: the rows to answer.
        expected: the run's answers in float32, with the adapter unmerged.
        ours: the run's answers with the exported weights, in float32 arithmetic.
        batch_size: prompts per batch.
        before: scores of the model that the run started from; None if not measured.
        merging: comparison of the merged with the unmerged model; None if nothing was merged.
    """

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
    """Write an exported folder, and check that stock Transformers reproduces the run's greedy answers with it.

    Returns:
        A report for the user: `form`; `parity`; the scores `before` and `after` if the rows have references; `merge` for a
        merged adapter; and `gguf` for GGUF files.

    Raises:
        UserError: if the run cannot be exported, the target folder exists, or a file would contain a secret.
        RunError: if the folder or a GGUF file does not reproduce the run's answers; no folder is left behind.
    """
    check_new(options.to)
    engine = None
    if options.gguf_types:
        require_gguf()
        engine = find_engine(options.gguf_python)
    run = _answer_with_run(options)
    base = _locate_base(options, run.source) if run.form == "adapter" else None
    parameters = _count_parameters(run)
    needed = 4 * parameters + sum(int(BITS[name] / 8 * parameters) for name in options.gguf_types)
    with new_folder(options.to, needed) as folder:
        with stage(f"writing {options.to}"):
            _write_weights(options, run, folder)
        with stage("answering with the folder under stock Transformers"):
            rows = ask_stock(
                folder,
                run.questions.examples,
                run.expected,
                options.max_new_tokens,
                run.batch_size,
                len(run.ours.answers),
                base,
            )
        report = compare(run.expected, run.ours, rows)
        if not options.force:
            report.require()
        files = [_write_gguf(options, run, folder, file_type, engine) for file_type in options.gguf_types]
        publication = _publication(options, run, report, rows, parameters, files)
        (folder / CARD).write_text(write_card(publication), encoding="utf-8")
        replace_json(folder / PUBLICATION, _record(publication, folder))
        require_clean(folder)
    evaluations = {"before": publication.before, "after": publication.after}
    scores = {name: evaluation.score.to_dict() for name, evaluation in evaluations.items() if evaluation is not None}
    merging = {"merge": asdict(run.merging)} if run.merging else {}
    gguf = {"gguf": [file.to_dict() for file in files]} if files else {}
    return {"form": run.form, "parity": report.to_dict(), **scores, **merging, **gguf}


def _answer_with_run(options: ExportOptions) -> _RunAnswers:
    """Score the starting model, then generate answers with the run's model; only one of the two is in memory at a time."""
    source = open_source(options.run, options.ema)
    form = _form(options, source)
    base_model = _base_model(options, source, form)
    dtype = _choose_dtype(options, source, form)
    match = options.match or (source.match if source.match in match_names() else "exact")
    disable_progress_bar()
    config, tokenizer = _load_config_and_tokenizer(options, source)
    if options.gguf_types:
        check_convertible(_locate_config(options, source))
    if not options.force:
        end = get_renderer(tokenizer).response_end_id
        require_greedy(_locate_config(options, source), end, config.max_position_embeddings)
    room = config.max_position_embeddings - options.max_new_tokens
    questions = load_questions(source, options.data, options.limit, tokenizer, room)
    before = _score_start(options, source, questions, match) if questions.graded else None
    with stage(f"loading {options.run}"):
        model, tokenizer = _load_run(options, source)
    # Answers and log-probabilities of the run, in float32 with the adapter unmerged, and its rounding floor.
    render = get_renderer(tokenizer)
    longest = max(len(render.prompt(example.messages, example.condition)) for example in questions.examples)
    batch_size = choose_batch_size(model, len(questions.examples), longest + options.max_new_tokens)
    with stage(f"answering {len(questions.examples):,} prompts with the run"):
        expected = reference(model, tokenizer, questions.examples, options.max_new_tokens, batch_size)
    with stage("measuring rounding errors"):
        floor = measure_floor(model, expected.documents)
        cost = 0.0 if dtype == "float32" else cost_of_rounding(model, expected.documents, DTYPES[dtype])
    # Turn the model into what is exported: merged, and with the run's own gradient horizon in its config.
    merging = None
    if form == "merged":
        with stage("merging the adapter into its base"):
            model, merging = merge(
                model,
                expected.prompts[:MERGED_ON],
                answers=expected.answers[:MERGED_ON],
                max_new_tokens=min(MERGED_TOKENS, options.max_new_tokens),
                batch_size=batch_size,
            )
        merging.require()
    if source.adapter is not None and "L_bp_cycles" in source.adapter.record:
        model.config.L_bp_cycles = source.adapter.record["L_bp_cycles"]  # of the run; the base may have another
    # Answers with the exported weights, in float32 arithmetic.
    tolerance = Tolerance.of(floor, cost, dtype)
    with stage("answering with the exported weights"):
        ours = published(model, expected, dtype, tolerance, floor, options.max_new_tokens, batch_size)
    return _RunAnswers(
        source, form, base_model, match, model, tokenizer, questions, expected, ours, batch_size, before, merging
    )


def _base_model(options: ExportOptions, source: Source, form: str) -> str | None:
    """Return the published name of the base; None if it has none.

    A whole model may name the base that a chain of runs started from. An adapter must name the exact base it was trained on.
    """
    if options.base_model or form != "adapter":
        return options.base_model or origin(source.base)
    name = public_name(source.base)
    if name is None or (options.push and name == TINY):
        raise UserError(
            f"the adapter cannot be used without its base, and its base {source.base} is not published. Add --merged, or publish "
            "exactly this base and name it with --base_model OWNER/NAME."
        )
    return name


def _count_parameters(run: _RunAnswers) -> int:
    """Return the number of parameters that the folder will hold."""
    if run.form == "adapter" and run.source.adapter is not None:
        return sum(math.prod(shape) for shape in run.source.adapter.shapes().values())
    return sum(weight.numel() for weight in run.model.parameters())


def _write_weights(options: ExportOptions, run: _RunAnswers, folder: Path) -> None:
    """Write the weights, configs and tokenizer: everything but the card and the record."""
    if run.form != "adapter":
        write_model(run.model, run.tokenizer, folder, run.ours.dtype, options.max_shard_size)
        return
    assert run.source.adapter is not None
    positions = run.model.config.max_position_embeddings
    write_adapter(run.source.adapter, run.tokenizer, folder, run.base_model, positions)


def _write_gguf(
    options: ExportOptions, run: _RunAnswers, folder: Path, file_type: str, engine: Engine | None
) -> GgufFile:
    """Write a GGUF file into the folder, and compare it with the run if llama.cpp is there."""
    name = (options.push or options.to.name).split("/")[-1]
    path = folder / f"{name}-{TYPES[file_type]}.gguf"
    with stage(f"writing {path.name}"):
        write_gguf(folder, path, file_type, describe(name, options.license, run.base_model))
    if engine is None:
        return GgufFile(path.name, file_type, path.stat().st_size, None)
    examples, prompts = run.questions.examples[:PROVED_ROWS], run.expected.prompts[:PROVED_ROWS]
    with stage(f"answering {len(prompts)} prompts with {path.name} in llama.cpp"):
        if run.ours.dtype == "float32":
            answers = run.expected.answers[:PROVED_ROWS]
        else:  # of the rounded weights, which were written
            answers = generate(run.model, prompts, max_new_tokens=options.max_new_tokens, batch_size=run.batch_size)
        texts = [message.content for example in examples for message in example.messages]
        proof = prove(
            path,
            file_type,
            engine,
            run.model,
            run.tokenizer,
            prompts,
            answers,
            texts,
            options.max_new_tokens,
            run.ours.tolerance.largest,
        )
    file = GgufFile(path.name, file_type, path.stat().st_size, proof)
    if not options.force:
        file.require()
    return file


def _publication(
    options: ExportOptions,
    run: _RunAnswers,
    report: ParityReport,
    rows: Sequence[dict[str, Any]],
    parameters: int,
    gguf: Sequence[GgufFile],
) -> Publication:
    """Collect the content of the card; `rows` are the answers of the folder as `ask_stock` returns them."""
    answers = [row["answer_ids"] for row in rows]
    examples, config = run.questions.examples, run.model.config
    return Publication(
        name=options.push or options.to.name,
        source=run.source,
        form=run.form,
        config={
            key: getattr(config, key) for key in ("H_cycles", "L_cycles", "L_bp_cycles", "max_position_embeddings")
        },
        parameters=parameters,
        parity=report,
        after=graded(examples, answers, run.tokenizer, run.match) if run.questions.graded else None,
        before=run.before,
        questions=run.questions,
        match=run.match,
        max_new_tokens=options.max_new_tokens,
        base_model=run.base_model,
        licence=options.license,
        gguf=gguf,
        nfc=is_nfc(run.tokenizer),
    )


def _form(options: ExportOptions, source: Source) -> str:
    """Return the form of the export: `full`, `merged` or `adapter`. Raises UserError for options that do not fit the run."""
    if source.adapter is None:
        if options.adapter or options.merged:
            raise UserError(
                f"{options.run} is a whole checkpoint, and --adapter and --merged need a run with an adapter. Leave them out."
            )
        return "full"
    if not options.merged and options.dtype:
        raise UserError(
            "--dtype applies to whole weights only, and this export is an adapter. Add --merged, or leave --dtype out."
        )
    if not options.merged and options.gguf_types:
        raise UserError(
            "--gguf writes whole weights, and this export is an adapter. Add --merged, or leave --gguf out."
        )
    return "merged" if options.merged else "adapter"


def _locate_base(options: ExportOptions, source: Source) -> str:
    """Return the folder or Hub id from which the adapter's base is loaded."""
    assert source.adapter is not None
    return resolve(options.base or base_name(source.adapter))


def _load_config_and_tokenizer(options: ExportOptions, source: Source) -> tuple[HrmTextConfig, PreTrainedTokenizerFast]:
    """Load config and tokenizer of the run's model, without the weights."""
    name = _locate_config(options, source)
    return load_config(name), load_tokenizer(name)


def _locate_config(options: ExportOptions, source: Source) -> str:
    """Return the folder or Hub id with the configs of the run's model: the run itself, or the base of its adapter."""
    return str(source.folder) if source.adapter is None else options.base or base_name(source.adapter)


def _load_run(options: ExportOptions, source: Source) -> tuple[Any, PreTrainedTokenizerFast]:
    """Load the run's model in float32; an adapter stays unmerged on its base."""
    if source.adapter is None:
        return load_model_and_tokenizer(str(source.folder), device=default_device())
    base = options.base or base_name(source.adapter)
    return load_adapted(base, {"adapter": source.adapter}, device=default_device())


def _score_start(options: ExportOptions, source: Source, questions: Questions, match: str) -> Evaluation | None:
    """Score the model that the run started from; None if it can no longer be loaded.

    The base of an adapter is loaded again rather than reused, because some adapter initialisations change the base's weights.
    """
    start = options.base or source.start
    if start is None:
        return None
    try:
        model, tokenizer = load_model_and_tokenizer(start, device=default_device())
    except UserError as error:
        logger.warning(
            "the card will have no scores from before training, because the model that the run started from cannot be loaded: %s "
            "Name its location with --base.",
            error,
        )
        return None
    with stage("scoring the model before training"):
        return evaluate(model, tokenizer, questions.examples, max_new_tokens=options.max_new_tokens, match=match)


def _choose_dtype(options: ExportOptions, source: Source, form: str) -> str:
    """Return the dtype in which the export is loaded by default; an adapter is loaded in the dtype of its base."""
    if form != "adapter":
        return options.dtype or "float32"
    name = str(load_config(_locate_base(options, source)).dtype).removeprefix("torch.")
    return name if name in DTYPES else "float32"


def _record(publication: Publication, folder: Path) -> dict[str, Any]:
    """Return the content of export.json: the facts of the card for programs, and the SHA-256 digests of the weight files."""
    before = publication.before and publication.before.to_dict()
    after = publication.after and publication.after.to_dict()
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
        **({"gguf": [file.to_dict() for file in publication.gguf]} if publication.gguf else {}),
        "sha256": digests(folder),
    }
