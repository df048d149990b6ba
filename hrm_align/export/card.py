"""Write the model card (README.md) of an exported folder: metadata, scores, training settings and a quickstart.

The text of the card stands in `model_card.md.jinja`; this module computes the values that the template fills in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hrm_align._version import __version__
from hrm_align.config.checks import kind_of
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import Evaluation
from hrm_align.evaluation.scores import percent
from hrm_align.export.eval_set import Questions
from hrm_align.export.folder import CARD, PUBLICATION
from hrm_align.export.gguf_proof import GgufFile
from hrm_align.export.parity import ParityReport
from hrm_align.files import json_text, replace_text
from hrm_align.models.loading import TINY
from hrm_align.rewards.base import metric_name
from hrm_align.run_folder import Source, is_run_result

PROMPT = "Hello."  # prompt of the quickstart; the prompts of the run are not used because they may be private

# Settings that are published in the card. Other settings (names, folders, trackers) may be private and are left out.
PUBLISHED_SETTINGS = (
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
    """The content of a model card.

    Args:
        name: Hub repository (`OWNER/NAME`), or name of the exported folder.
        source: the run that was exported.
        form: `full`, `merged` or `adapter`.
        config: `H_cycles`, `L_cycles`, `L_bp_cycles` and `max_position_embeddings` of the model.
        parameters: number of parameters in the folder.
        parity: comparison of the folder with the run.
        questions: the rows that were scored.
        match: name of the grader.
        max_new_tokens: longest answer, in tokens.
        after: scores of the exported folder; None if there were no rows to score.
        before: scores of the model that the run started from; None if they were not measured.
        base_model: Hub id, `tiny`, or None for a base that is not published.
        licence: SPDX identifier as the Hub writes it, such as `apache-2.0`.
        gguf: the GGUF files in the folder.
        nfc: whether the tokenizer normalises texts to NFC.
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
    gguf: Sequence[GgufFile] = ()
    nfc: bool = False

    @property
    def rows(self) -> str:
        """Return the names of the scored data sets, joined by commas, for display."""
        return ", ".join(map(shown_name, self.questions.paths))

    @property
    def metric(self) -> str:
        """Return the name of the metric, such as `exact_match`."""
        return metric_name(self.match)


def write_card(publication: Publication) -> str:
    """Return the text of README.md, which begins with the YAML metadata block."""
    source, adapter = publication.source, publication.form == "adapter"
    card = ModelCard.from_template(
        _metadata(publication),
        template_str=files("hrm_align.export").joinpath("model_card.md.jinja").read_text(encoding="utf-8"),
        title=_title(publication.name),
        summary=_summary(publication),
        facts=_facts(publication),
        name=json.dumps(publication.name),
        # The tiny base is not on the Hub; the path works in a checkout of the toolkit.
        base=json.dumps(
            "hrm_align/models/tiny" if publication.base_model == TINY else publication.base_model or "BASE"
        ),
        prompt=json.dumps(PROMPT),
        condition="direct" if source.condition is None else source.condition,
        scores=_scores(publication),
        limit=publication.max_new_tokens,
        match=publication.match,
        questions=publication.questions,
        start_column="start of this run" if is_run_result(source.base) else "before training",
        guard=source.guard,
        parity=publication.parity,
        gguf=publication.gguf,
        gguf_name=json.dumps(publication.gguf[0].name if publication.gguf else ""),
        gguf_file=publication.gguf[0].name if publication.gguf else "",
        positions=publication.config["max_position_embeddings"],
        nfc=publication.nfc,
        data=_datasets(source.data),
        settings=[
            (name, plain(source.settings[name]))
            for name in PUBLISHED_SETTINGS
            if _is_informative(name, source.settings)
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
    """Replace the name in the card of an exported folder, so that the quickstart loads the repository it is pushed to.

    Args:
        folder: exported folder; its README.md and export.json are rewritten.
        name: `OWNER/NAME` of the repository.

    Raises:
        UserError: if the metadata of the card is not valid YAML.
    """
    for file, text in named_card(folder, name).items():
        replace_text(folder / file, text, keep=False)


def named_card(folder: Path, name: str) -> dict[str, str]:
    """Return the text of README.md and export.json of an exported folder under another name; empty if it has that name.

    Args:
        folder: exported folder.
        name: `OWNER/NAME` of the repository.

    Raises:
        UserError: if the metadata of the card is not valid YAML.
    """
    record = json.loads((folder / PUBLICATION).read_text(encoding="utf-8"))
    old = record["name"]
    if old == name:
        return {}
    try:
        card = ModelCard((folder / CARD).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{folder / CARD}: the metadata block is not valid YAML ({reason}). Fix the block, or export again."
        ) from None
    cast(ModelCardData, card.data).model_name = _title(name)
    text = str(card)
    for before, after in (
        (f"from_pretrained({json.dumps(old)}", f"from_pretrained({json.dumps(name)}"),
        (f"from_pretrained(base, {json.dumps(old)})", f"from_pretrained(base, {json.dumps(name)})"),
        (f"# {_title(old)}\n", f"# {_title(name)}\n"),
    ):
        text = text.replace(before, after)
    return {CARD: text, PUBLICATION: json_text(record | {"name": name})}


def _title(name: str) -> str:
    """Return the card's title: the name without its owner."""
    return plain(name.split("/")[-1])


def plain(value: Any) -> str:
    """Return a value as text that is safe in a Markdown table: at most 200 characters, no line breaks, bars, backticks or tags."""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return re.sub(r"[\r\n|`<>\[\]]", " ", text).strip()[:200]


def shown_name(path: str) -> str:
    """Return a data set's name for publication: a Hub id as it is, of a file path only the last folder and the file name."""
    return plain("/".join(Path(path).parts[-2:]).lstrip("/"))


def _metadata(publication: Publication) -> ModelCardData:
    """Return the metadata that the Hub reads: base model, license, tags and scores."""
    base = publication.base_model if publication.base_model != TINY else None
    adapter_tags = {"adapter": ["lora", "peft"], "merged": ["lora"], "full": []}[publication.form]
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
                metric_name=f"{publication.metric} on held-out rows",
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
        tags=["hrm_text", "hrm_align", "prefix-lm", _method(publication.source)[0], *adapter_tags],
        model_name=_title(publication.name),
        eval_results=results or None,
    )


# Training methods by kind of recipe, in words.
_METHODS = {
    "sft": "supervised fine-tuning",
    "dpo": "preference training on pairs of answers (DPO)",
    "kto": "preference training on labelled answers (KTO)",
    "distill": "on-policy distillation",
}


def _method(source: Source) -> tuple[str, str]:
    """Return the card's tag for the training method, and a phrase that describes the method."""
    settings = source.settings
    trained_part = " with a LoRA adapter" if source.adapter is not None else ", updating all parameters"
    if settings.get("rewards"):
        names = ", ".join(
            str(entry.get("label") or entry.get("name") or "a custom reward")
            if isinstance(entry, Mapping)
            else str(entry)
            for entry in settings["rewards"]
        )
        algorithm = settings.get("algorithm", "grpo")
        return "grpo", f"by reinforcement learning ({algorithm}; rewards: {plain(names)}){trained_part}"
    if settings:
        kind = kind_of(settings)
        return kind, f"by {_METHODS[kind]}{trained_part}"
    return "hrm_text", "by a method that was not recorded"


def _summary(publication: Publication) -> str:
    """Return the first sentences of the card: what was trained, from which base and by which method."""
    base_model = publication.base_model
    if base_model == TINY:
        base = "the tiny base model that ships with `hrm_align` (0.59 M parameters, for tests and demonstrations)"
    elif base_model:
        base = f"[{base_model}](https://huggingface.co/{base_model})"
    else:
        base = "a local HRM-Text checkpoint"
    if is_run_result(publication.source.base):
        base = f"a checkpoint derived from {base} by an earlier run that this card does not describe"
    kind = {
        "adapter": "This is a LoRA adapter for an HRM-Text model",
        "merged": "This is an HRM-Text model with a LoRA adapter merged into its weights",
        "full": "This is an HRM-Text model",
    }
    source = publication.source
    averaged = " The weights are the averaged weights (EMA) of the run." if source.averaged else ""
    unfinished = f" The weights were saved at step {plain(source.step)}, before the run ended." if source.step else ""
    return f"{kind[publication.form]}, trained from {base} {_method(source)[1]}.{averaged}{unfinished}"


def _facts(publication: Publication) -> list[tuple[str, str]]:
    """Return the rows (name, value) of the first table of the card."""
    config, source = publication.config, publication.source
    high, low = config["H_cycles"], config["L_cycles"]
    is_recorded = source.settings or (source.adapter is not None and source.adapter.record)
    horizon = f"`L_bp_cycles` {list(config['L_bp_cycles'])} (L passes with gradient in each H cycle)"
    conditions = source.conditions or ({source.condition: 0} if source.condition is not None else {})
    counts = ", ".join(
        f"{f'`{plain(name)}`' if name else 'none'}{f' ({count:,} rows)' if count else ''}"
        for name, count in conditions.items()
    )
    return [
        ("recurrent cycles", f"H {high} x L {low} (per forward pass: {high * low} passes of L, {high} of H)"),
        ("gradient horizon in training", horizon if is_recorded else "not recorded"),
        ("attention mask", "prefix LM: bidirectional over the prompt, causal over the answer"),
        ("condition in training", counts or "not recorded"),
        ("parameters in this folder", f"{publication.parameters:,}"),
        ("dtype when loaded", publication.parity.dtype),
    ]


def _scores(publication: Publication) -> list[dict[str, Any]]:
    """Return the rows of the score table: each group where there are several, then all rows together."""
    if publication.after is None:
        return []
    before, after = publication.before, publication.after
    names = sorted(after.groups) if len(after.groups) > 1 else []
    table = [
        {
            "name": plain(name),
            "n": after.groups[name].n,
            "before": before and percent(before.groups[name].to_dict()),
            "after": percent(after.groups[name].to_dict()),
        }
        for name in names
    ]
    total = {"before": before and percent(before.score.to_dict()), "after": percent(after.score.to_dict())}
    return [*table, {"name": publication.rows, "n": after.score.n, **total}]


def _datasets(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the recorded training and replay data sets."""
    return [part for name in ("train", "replay") for part in data.get(name, {}).get("datasets", [])]


def _is_informative(name: str, settings: Mapping[str, Any]) -> bool:
    """Return whether a setting has a value that had an effect: not unset or off, and not an adapter's setting in a full run."""
    value = settings.get(name)
    is_unset = value is None or value is False or value in ([], "")
    is_unused = name.startswith(_ADAPTER_ONLY) and not settings.get("use_peft")
    return not is_unset and not is_unused


def _versions(environment: Mapping[str, Any]) -> str:
    """Return a sentence with the versions of the libraries that trained the model; empty if they were not recorded."""
    names = ("hrm_align", "torch", "transformers", "trl", "peft")
    versions = ", ".join(f"{name} {plain(environment[name])}" for name in names if name in environment)
    return f"Trained with {versions}." if versions else ""
