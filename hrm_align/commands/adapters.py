"""`hrm-align adapters list|merge|compare`: what adapters are, one merged into its base, two set side by side."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from transformers import PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from hrm_align.commands.common import PathParser, add_schema_options, at_least, read_examples, schema_of
from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import evaluate, last_turns
from hrm_align.export.merging import PROMPTS, merge, save_merged
from hrm_align.models.adapters import CONFIG, WEIGHTS, Adapter, alike, base_of, load_adapted, named, open_adapter
from hrm_align.models.layers import preset_of
from hrm_align.models.rounding import FACTOR
from hrm_align.output import emit, results
from hrm_align.rendering import DEFAULT_CONDITION, Message, renderer_of

ROWS = 200


SUBCOMMANDS = ("list", "merge", "compare")


def usage() -> str:
    """What `hrm-align adapters --help` prints."""
    return f"{__doc__}\n\n" + "\n".join(f"  hrm-align adapters {name} --help" for name in SUBCOMMANDS)


def main(argv: Sequence[str]) -> None:
    """Run the subcommand that the first word names."""
    commands = dict(zip(SUBCOMMANDS, (list_adapters, merge_adapter, compare_adapters), strict=True))
    if not argv or argv[0] not in commands:
        if argv and argv[0] in ("-h", "--help"):
            emit(usage())
            return
        raise UserError(
            f"adapters {argv[0] if argv else ''}: use list, merge or compare (see hrm-align adapters --help)"
        )
    commands[argv[0]](argv[1:])


def list_adapters(argv: Sequence[str]) -> None:
    """Every adapter in the folders."""
    parser = PathParser("adapters list", "The adapters in folders, with their bases and settings.")
    parser.add_argument("folders", nargs="+", help="adapters, or folders that hold some at any depth")
    arguments = parser.parse_args(argv)
    adapters = [open_adapter(str(path.parent)) for folder in arguments.folders for path in _configs(Path(folder))]
    if arguments.json:
        emit(json.dumps([_described(adapter) for adapter in adapters]))
        return
    # A path that is cut says nothing: all of them begin alike.
    paths = [Column(name, overflow="fold") for name in ("adapter", "base")]
    table = Table(*paths, "layers", "r", "alpha", "parameters", "MB")
    for adapter in adapters:
        told = _described(adapter)
        numbers = (str(told["r"]), told["alpha"], f"{told['parameters']:,}", f"{told['bytes'] / 1e6:.1f}")
        table.add_row(escape(str(adapter.folder)), escape(str(told["base"])), told["layers"], *numbers)
    Console(file=results()).print(table)


def _configs(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: name an adapter, or a folder that holds some.")
    found = sorted(folder.rglob(CONFIG), key=str)
    # The checkpoints of a run that has ended are no adapters of their own.
    found = [path for path in found if path.parent == folder or not (path.parent.parent / CONFIG).is_file()]
    if not found:
        raise UserError(f"{folder} holds no adapter: a run leaves one in its output_dir if it had use_peft.")
    return found


def _described(adapter: Adapter) -> dict[str, Any]:
    config, shapes = adapter.config, adapter.shapes()
    divided = " / applications" if config.get("alpha_pattern") else ""
    return {
        "folder": str(adapter.folder),
        "base": adapter.base,
        "layers": preset_of(shapes),
        "r": config["r"],
        "alpha": f"{config['lora_alpha']:g}{divided}",
        "parameters": sum(math.prod(shape) for shape in shapes.values()),
        "bytes": (adapter.folder / WEIGHTS).stat().st_size,
        "record": adapter.record,
    }


def merge_adapter(argv: Sequence[str]) -> None:
    """Merge in float32, compare, and write what is the same."""
    parser = PathParser("adapters merge", "Merge an adapter into its base, and prove that nothing else changes.")
    parser.add_argument("adapter", help="folder or Hub id")
    parser.add_argument("--to", required=True, metavar="DIR", help="new folder for the merged checkpoint")
    parser.add_argument("--base", help="checkpoint folder, Hub id, or `tiny` (default: what the adapter says)")
    _add_data_options(parser)
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="SHARE",
        help="difference allowed, as a share of the largest logit (default: what rounding gives on this model, times "
        f"{FACTOR})",
    )
    arguments = parser.parse_args(argv)
    adapter = open_adapter(arguments.adapter)
    base = arguments.base or base_of(adapter)
    disable_progress_bar()
    model, tokenizer = load_adapted(base, {"adapter": adapter})
    merged, report = merge(
        model,
        _prompts(arguments, tokenizer),
        max_new_tokens=at_least(arguments.max_new_tokens, 1, "--max_new_tokens"),
        tolerance=arguments.tolerance,
    )
    target = Path(arguments.to)
    save_merged(merged, tokenizer, target, report, base=base, adapter=str(arguments.adapter))
    if arguments.json:
        emit(json.dumps({"folder": str(target), **vars(report)}))
        return
    emit(
        f"{target}: {base} with {arguments.adapter} merged. On {report.prompts} prompts and their answers "
        f"({report.tokens:,} tokens) logits differ by at most {report.largest_difference:.1e} of the largest (rounding alone "
        f"gives {report.floor:.1e} on this model; {report.tolerance:.1e} is allowed), and {report.other_answers} greedy answers."
    )


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", help="rows to compare on (default: a few built-in prompts)")
    add_schema_options(parser)
    parser.add_argument("--limit", type=int, default=ROWS, help=f"only the first so many rows (default {ROWS})")
    parser.add_argument("--max_new_tokens", type=int, default=64, help="longest answer, in tokens (default 64)")


def _prompts(arguments: argparse.Namespace, tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    prompt = renderer_of(tokenizer).prompt
    if not arguments.data:
        return [prompt([Message("user", text)], DEFAULT_CONDITION) for text in PROMPTS]
    rows = _rows(arguments)
    return [prompt(row.messages, row.condition) for row in rows]


def _rows(arguments: argparse.Namespace) -> list[Example]:
    return last_turns(read_examples(arguments.data, **schema_of(arguments)))[: at_least(arguments.limit, 1, "--limit")]


def compare_adapters(argv: Sequence[str]) -> None:
    """Settings, sizes of the changes, and with --data the answers of two adapters."""
    parser = PathParser("adapters compare", "Two adapters: their settings, their changes and their answers.")
    parser.add_argument("a")
    parser.add_argument("b")
    _add_data_options(parser)
    arguments = parser.parse_args(argv)
    pair = named([f"a={arguments.a}", f"b={arguments.b}"])
    told: dict[str, Any] = {"settings": _differences(pair["a"], pair["b"]), "changes": alike(pair["a"], pair["b"])}
    if arguments.data:
        told["answers"] = _answers(pair, arguments)
    if arguments.json:
        emit(json.dumps(told))
        return
    console = Console(file=results())
    sides = [Column(name, overflow="fold") for name in ("a", "b")]  # paths among them
    settings = Table("setting", *sides, title="what differs", title_justify="left")
    for key, (one, other) in told["settings"].items():
        settings.add_row(key, escape(str(one)), escape(str(other)))
    changes = Table("layers", "norm of a", "norm of b", "cosine", title="changes to the weights", title_justify="left")
    for kind, part in told["changes"].items():
        changes.add_row(kind, f"{part['norm_a']:.3g}", f"{part['norm_b']:.3g}", f"{part['cosine']:+.3f}")
    console.print(settings, changes)
    if arguments.data:
        part = told["answers"]
        console.print(
            f"{part['n']} prompts: a right {part['a']}, b right {part['b']}, the same answer {part['same']}.",
            highlight=False,
        )


def _differences(a: Adapter, b: Adapter) -> dict[str, tuple[Any, Any]]:
    # PEFT writes a set of names in any order, and one alpha for each: both are told in a word.
    ours, theirs = ({**x.record, **x.config, **_described(x), "target_modules": 0, "alpha_pattern": 0} for x in (a, b))
    keys = sorted((ours.keys() | theirs.keys()) - {"record", "lora_alpha"})
    return {key: (ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)}


def _answers(pair: dict[str, Adapter], arguments: argparse.Namespace) -> dict[str, int]:
    rows = _rows(arguments)
    disable_progress_bar()
    model, tokenizer = load_adapted(base_of(pair["a"]), pair)
    samples = {}
    for name in pair:
        model.set_adapter(name)
        samples[name] = evaluate(model, tokenizer, rows, max_new_tokens=arguments.max_new_tokens).samples
    right = {name: sum(sample["correct"] for sample in samples[name]) for name in pair}
    same = sum(one["generated"] == other["generated"] for one, other in zip(samples["a"], samples["b"], strict=True))
    return {"n": len(rows), **right, "same": same}
