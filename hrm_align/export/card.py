"""The model card: what the folder is, what it scores, and a quickstart that is right for a prefix-LM."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hrm_align._version import __version__
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import Evaluation, percent
from hrm_align.export.eval_set import Questions
from hrm_align.export.folder import CARD, PUBLICATION
from hrm_align.export.parity import ParityReport
from hrm_align.files import replace_file, replace_json
from hrm_align.models.loading import TINY
from hrm_align.rewards.base import metric_name
from hrm_align.run_folder import Source, is_result_of_a_run

PROMPT = "Hello."  # of the quickstart: none of the run's own, which may say what should stay

# Settings that say how a run was made. Others (names, folders, trackers) say something of the user, and stay home.
TOLD = (
    "bp_steps", "bp_min_steps", "bp_max_steps", "bp_warmup_ratio", "learning_rate", "module_learning_rates", "lr_scheduler_type",
    "warmup_steps", "optim", "adam_beta1", "adam_beta2", "weight_decay", "max_grad_norm", "ema_decay",
    "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_steps", "max_length", "packing",
    "replay_fraction", "bf16", "seed", "lora_r", "lora_alpha", "lora_scaling", "lora_target_modules", "lora_dropout", "use_rslora",
    "use_dora", "load_in_4bit", "load_in_8bit", "algorithm", "num_generations", "temperature", "top_p", "top_k", "beta", "epsilon",
    "epsilon_high", "num_iterations", "max_completion_length",
)  # fmt: skip
_ADAPTER_ONLY = ("lora_", "use_rslora", "use_dora", "load_in_")


@dataclass(frozen=True)
class Publication:
    """Everything that a card tells.

    Args:
        name: repository, or name of the folder.
        source: the run.
        form: `full`, `merged` or `adapter`.
        config: the model's `H_cycles`, `L_cycles` and `L_bp_cycles`.
        parameters: in the folder.
        parity: of the folder with the run.
        after: scores of the folder; None if nothing was measured. `before` are those of what the run began with.
        questions: what the scores are over.
        match: how answers were graded.
        max_new_tokens: longest answer.
        base_model: Hub id, `tiny`, or None for a base that is nowhere to be found.
        licence: SPDX identifier, as the Hub writes it.
    """

    name: str
    source: Source
    form: str
    config: Mapping[str, Any]
    parameters: int
    parity: ParityReport
    questions: Questions
    match: str
    max_new_tokens: int
    after: Evaluation | None = None
    before: Evaluation | None = None
    base_model: str | None = None
    licence: str = "apache-2.0"

    @property
    def rows(self) -> str:
        """What the scores are over, for people."""
        return ", ".join(map(shown_name, self.questions.paths))

    @property
    def metric(self) -> str:
        """The name of the score."""
        return metric_name(self.match)


def write_card(publication: Publication) -> str:
    """The text of README.md, its metadata first."""
    source, adapter = publication.source, publication.form == "adapter"
    card = ModelCard.from_template(
        _metadata(publication),
        template_str=files("hrm_align.export").joinpath("model_card.md.jinja").read_text(encoding="utf-8"),
        title=_title(publication.name),
        summary=_summary(publication),
        facts=_facts(publication),
        name=json.dumps(publication.name),
        # The tiny base is on no Hub: from a checkout of the toolkit it is there.
        base=json.dumps(
            "hrm_align/models/tiny" if publication.base_model == TINY else publication.base_model or "BASE"
        ),
        prompt=json.dumps(PROMPT),
        condition="direct" if source.condition is None else source.condition,
        scores=_scores(publication),
        limit=publication.max_new_tokens,
        match=publication.match,
        questions=publication.questions,
        began="this run began with" if is_result_of_a_run(source.base) else "before",
        guard=source.guard,
        parity=publication.parity,
        data=_datasets(source.data),
        settings=[
            (name, plain(source.settings[name])) for name in TOLD if _says_something(name, source.settings, adapter)
        ],
        versions=_versions(source.environment),
        adapter=adapter,
        tiny=publication.base_model == TINY,
        licence=plain(publication.licence),
        version=__version__,
        percent=percent,
        shown_name=shown_name,
    )
    return str(card)


def rename_card(folder: Path, name: str) -> None:
    """Make the card of an exported folder load another name: that of the repository it is pushed to.

    Raises:
        UserError: if its metadata cannot be read.
    """
    record = json.loads((folder / PUBLICATION).read_text(encoding="utf-8"))
    old = record["name"]
    if old == name:
        return
    try:
        card = ModelCard((folder / CARD).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise UserError(f"{folder / CARD}: its metadata is no YAML ({said}): mend it, or export again.") from None
    cast(ModelCardData, card.data).model_name = _title(name)
    text = str(card)
    for before, after in (
        (f"from_pretrained({json.dumps(old)}", f"from_pretrained({json.dumps(name)}"),
        (f"from_pretrained(base, {json.dumps(old)})", f"from_pretrained(base, {json.dumps(name)})"),
        (f"# {_title(old)}\n", f"# {_title(name)}\n"),
    ):
        text = text.replace(before, after)
    replace_file(folder / CARD, lambda file: file.write(text.encode()), keep=False)
    replace_json(folder / PUBLICATION, record | {"name": name}, keep=False)


def _title(name: str) -> str:
    return plain(name.split("/")[-1])


def plain(value: Any) -> str:
    """A value as text that cannot break out of a table: no line ends, bars, backticks or tags."""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return re.sub(r"[\r\n|`<>\[\]]", " ", text).strip()[:200]


def shown_name(path: str) -> str:
    """What may be told of a data set's place: a Hub id, or of a file its folder's name and its own."""
    return plain("/".join(Path(path).parts[-2:]).lstrip("/"))


def _metadata(publication: Publication) -> ModelCardData:
    base = publication.base_model if publication.base_model != TINY else None
    kinds = {"adapter": ["lora", "peft"], "merged": ["lora"], "full": []}[publication.form]
    data = [str(part["path"]) for part in _datasets(publication.source.data) if not part.get("local", True)]
    results = []
    if publication.after is not None:
        score = publication.after.score
        results = [
            EvalResult(
                task_type="text-generation",
                dataset_type=publication.rows,
                dataset_name=publication.rows,
                metric_type=publication.metric,
                metric_name=f"held-out answers, {publication.metric}",
                metric_value=round(score.rate, 4),
            )
        ]
    return ModelCardData(
        base_model=base,
        base_model_relation=("adapter" if publication.form == "adapter" else "finetune") if base else None,
        library_name="peft" if publication.form == "adapter" else "transformers",
        pipeline_tag="text-generation",
        license=publication.licence,
        datasets=data or None,
        tags=["hrm_text", "hrm_align", "prefix-lm", _method(publication.source)[0], *kinds],
        model_name=_title(publication.name),
        eval_results=results or None,
    )


def _method(source: Source) -> tuple[str, str]:
    """The tag and the words for how it was trained."""
    settings = source.settings
    how = "with a LoRA adapter" if source.adapter is not None else "in all its parameters"
    if settings.get("rewards"):
        names = ", ".join(
            str(entry.get("label") or entry.get("name") or "a reward of its own")
            if isinstance(entry, Mapping)
            else str(entry)
            for entry in settings["rewards"]
        )
        return "grpo", f"by reinforcement learning ({settings.get('algorithm', 'grpo')}; paid: {plain(names)}) {how}"
    return ("sft", f"by supervised fine-tuning {how}") if settings else ("hrm_text", "in a way that left no record")


def _summary(publication: Publication) -> str:
    began = publication.base_model
    if began == TINY:
        base = "the tiny base that ships with `hrm_align` (0.59 M parameters, for tests and demonstrations)"
    else:
        base = f"[{began}](https://huggingface.co/{began})" if began else "a local HRM-Text checkpoint"
    if is_result_of_a_run(publication.source.base):
        base = f"a checkpoint that an earlier run, not told of here, had made of {base}"
    kind = {
        "adapter": "A LoRA adapter for an HRM-Text",
        "merged": "An HRM-Text with its adapter merged",
        "full": "An HRM-Text",
    }
    source = publication.source
    averaged = " These are the averaged weights (EMA) of the run." if source.averaged else ""
    unfinished = f" This is its state at step {plain(source.step)}, before its end." if source.step else ""
    return f"{kind[publication.form]}, trained from {base} {_method(source)[1]}.{averaged}{unfinished}"


def _facts(publication: Publication) -> list[tuple[str, str]]:
    config, source = publication.config, publication.source
    recorded = source.settings or (source.adapter is not None and source.adapter.record)
    horizon = f"`L_bp_cycles` {list(config['L_bp_cycles'])}" if recorded else "not recorded"
    conditions = source.conditions or ({source.condition: 0} if source.condition is not None else {})
    told = ", ".join(
        f"{f'`{plain(name)}`' if name else 'none'}{f' ({count:,} rows)' if count else ''}"
        for name, count in conditions.items()
    )
    return [
        ("cycles", f"H {config['H_cycles']} x L {config['L_cycles']}"),
        ("horizon in training", horizon),
        ("mask", "prefix-LM: the prompt in both directions, the answer causally; one training row for each answer"),
        ("condition", told or "not recorded"),
        ("parameters in this folder", f"{publication.parameters:,}"),
        ("type that it is loaded in", publication.parity.dtype),
    ]


def _scores(publication: Publication) -> list[dict[str, Any]]:
    if publication.after is None:
        return []
    before = publication.before
    rows = (
        [(plain(name), name) for name in sorted(publication.after.groups)] if len(publication.after.groups) > 1 else []
    )
    table = [
        {
            "name": shown,
            "n": publication.after.groups[name].n,
            "before": before and percent(before.groups[name].to_dict()),
            "after": percent(publication.after.groups[name].to_dict()),
        }
        for shown, name in rows
    ]
    whole = {"before": before and percent(before.score.to_dict()), "after": percent(publication.after.score.to_dict())}
    return [*table, {"name": publication.rows, "n": publication.after.score.n, **whole}]


def _datasets(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [part for name in ("train", "replay") for part in data.get(name, {}).get("datasets", [])]


def _says_something(name: str, settings: Mapping[str, Any], adapter: bool) -> bool:
    lora = name.startswith(_ADAPTER_ONLY) and not settings.get("use_peft")
    value = settings.get(name)
    return value is not None and value is not False and value not in ([], "") and not lora


def _versions(environment: Mapping[str, Any]) -> str:
    names = ("hrm_align", "torch", "transformers", "trl", "peft")
    told = ", ".join(f"{name} {plain(environment[name])}" for name in names if name in environment)
    return f"Trained with {told}." if told else ""
