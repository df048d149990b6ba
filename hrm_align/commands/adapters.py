"""`hrm-align adapters list|merge|compare`: list adapters, merge one into its base, or compare two."""

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

from hrm_align.commands.common import PathParser, add_schema_options, read_examples, read_schema_options
from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import evaluate, last_turns
from hrm_align.export.merging import PROMPTS, merge, save_merged
from hrm_align.models.adapters import CONFIG, WEIGHTS, Adapter, alike, base_name, load_adapted, named, open_adapter
from hrm_align.models.layers import summarize_layers
from hrm_align.models.rounding import FACTOR
from hrm_align.output import emit, results
from hrm_align.rendering import DEFAULT_CONDITION, Message, get_renderer

ROWS = 200


SUBCOMMANDS = ("list", "merge", "compare")


def usage() -> str:
    """Return the text of `hrm-align adapters --help`."""
    return f"{__doc__}\n\n" + "\n".join(f"  hrm-align adapters {name} --help" for name in SUBCOMMANDS)


def main(argv: Sequence[str]) -> None:
    """Run the subcommand that the first argument names."""
    commands = dict(zip(SUBCOMMANDS, (list_adapters, merge_adapter, compare_adapters), strict=True))
    if not argv or argv[0] not in commands:
        if argv and argv[0] in ("-h", "--help"):
            emit(usage())
            return
        problem = f"unknown subcommand {argv[0]!r} of adapters" if argv else "adapters needs a subcommand"
        raise UserError(f"{problem}: use list, merge or compare (see hrm-align adapters --help).")
    commands[argv[0]](argv[1:])


def list_adapters(argv: Sequence[str]) -> None:
    """Print a table of every adapter in the folders."""
    parser = PathParser("adapters list", "List the adapters in folders, with their bases and settings.")
    parser.add_argument("folders", nargs="+", help="folders of adapters, or folders that contain them at any depth")
    arguments = parser.parse_args(argv)
    adapters = [open_adapter(str(path.parent)) for folder in arguments.folders for path in _list_configs(Path(folder))]
    if arguments.json:
        emit(json.dumps([_describe(adapter) for adapter in adapters]))
        return
    # Fold long paths rather than cut them: their ends are what differs.
    paths = [Column(name, overflow="fold") for name in ("adapter", "base")]
    table = Table(*paths, "layers", "r", "alpha", "parameters", "MB")
    for adapter in adapters:
        fields = _describe(adapter)
        numbers = (str(fields["r"]), fields["alpha"], f"{fields['parameters']:,}", f"{fields['bytes'] / 1e6:.1f}")
        table.add_row(escape(str(adapter.folder)), escape(str(fields["base"])), fields["layers"], *numbers)
    Console(file=results()).print(table)


def _list_configs(folder: Path) -> list[Path]:
    """Return the config files of all adapters below a folder. Raises UserError if there are none."""
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}. Name the folder of an adapter, or a folder that contains adapters."
        )
    paths = sorted(folder.rglob(CONFIG), key=str)
    # Leave out the checkpoints of a finished run, whose output_dir holds the adapter itself.
    paths = [path for path in paths if path.parent == folder or not (path.parent.parent / CONFIG).is_file()]
    if not paths:
        raise UserError(f"{folder} contains no adapter. Name the output_dir of a run that was trained with use_peft.")
    return paths


def _describe(adapter: Adapter) -> dict[str, Any]:
    """Return what `adapters list` shows of an adapter."""
    config, shapes = adapter.config, adapter.shapes()
    divided = " / applications" if config.get("alpha_pattern") else ""
    return {
        "folder": str(adapter.folder),
        "base": adapter.base,
        "layers": summarize_layers(shapes),
        "r": config["r"],
        "alpha": f"{config['lora_alpha']:g}{divided}",
        "parameters": sum(math.prod(shape) for shape in shapes.values()),
        "bytes": (adapter.folder / WEIGHTS).stat().st_size,
        "record": adapter.record,
    }


def merge_adapter(argv: Sequence[str]) -> None:
    """Merge an adapter into its base in float32, and write the result if it matches the unmerged model."""
    parser = PathParser("adapters merge", "Merge an adapter into its base, and verify that the answers stay the same.")
    parser.add_argument("adapter", help="folder or Hub id")
    parser.add_argument("--to", required=True, metavar="DIR", help="new folder for the merged checkpoint")
    parser.add_argument("--base", help="checkpoint folder, Hub id, or `tiny` (default: as the adapter records)")
    _add_data_options(parser)
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="SHARE",
        help="largest difference allowed, as a share of the largest logit (default: the rounding floor of this model times "
        f"{FACTOR})",
    )
    arguments = parser.parse_args(argv)
    adapter = open_adapter(arguments.adapter)
    base = arguments.base or base_name(adapter)
    disable_progress_bar()
    model, tokenizer = load_adapted(base, {"adapter": adapter})
    merged, report = merge(
        model,
        _read_prompts(arguments, tokenizer),
        max_new_tokens=arguments.max_new_tokens,
        tolerance=arguments.tolerance,
    )
    target = Path(arguments.to)
    save_merged(merged, tokenizer, target, report, base=base, adapter=str(arguments.adapter))
    if arguments.json:
        emit(json.dumps({"folder": str(target), **vars(report)}))
        return
    emit(
        f"{target}: merged {arguments.adapter} into {base}. On {report.prompts} prompts and their answers ({report.tokens:,} "
        f"tokens), logits differ by at most {report.largest_difference:.1e} of the largest logit (rounding alone gives "
        f"{report.floor:.1e} on this model; {report.tolerance:.1e} is allowed), and {report.other_answers} greedy answers differ."
    )


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the rows that two models are compared on."""
    parser.add_argument("--data", help="rows to compare on (default: a few built-in prompts)")
    add_schema_options(parser)
    parser.add_argument("--limit", type=int, default=ROWS, help=f"use at most this many rows (default {ROWS})")
    parser.add_argument("--max_new_tokens", type=int, default=64, help="longest answer, in tokens (default 64)")


def _read_prompts(arguments: argparse.Namespace, tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Return the token ids of the prompts to compare on: those of --data, or the built-in ones."""
    prompt = get_renderer(tokenizer).prompt
    if not arguments.data:
        return [prompt([Message("user", text)], DEFAULT_CONDITION) for text in PROMPTS]
    rows = _read_rows(arguments)
    return [prompt(row.messages, row.condition) for row in rows]


def _read_rows(arguments: argparse.Namespace) -> list[Example]:
    """Read the rows of --data, one for the last turn of each conversation, at most --limit."""
    return last_turns(read_examples(arguments.data, **read_schema_options(arguments)))[: arguments.limit]


def compare_adapters(argv: Sequence[str]) -> None:
    """Compare the settings and weight changes of two adapters, and with --data their answers."""
    parser = PathParser("adapters compare", "Compare two adapters: settings, weight changes and answers.")
    parser.add_argument("a", help="folder or Hub id of the first adapter")
    parser.add_argument("b", help="folder or Hub id of the second adapter")
    _add_data_options(parser)
    arguments = parser.parse_args(argv)
    pair = named([f"a={arguments.a}", f"b={arguments.b}"])
    comparison: dict[str, Any] = {
        "settings": _compare_settings(pair["a"], pair["b"]),
        "changes": alike(pair["a"], pair["b"]),
    }
    if arguments.data:
        comparison["answers"] = _compare_answers(pair, arguments)
    if arguments.json:
        emit(json.dumps(comparison))
        return
    console = Console(file=results())
    sides = [Column(name, overflow="fold") for name in ("a", "b")]  # some values are long paths
    settings = Table("setting", *sides, title="different settings", title_justify="left")
    for key, (one, other) in comparison["settings"].items():
        settings.add_row(key, escape(str(one)), escape(str(other)))
    changes = Table("layers", "norm of a", "norm of b", "cosine", title="changes to the weights", title_justify="left")
    for kind, part in comparison["changes"].items():
        changes.add_row(kind, f"{part['norm_a']:.3g}", f"{part['norm_b']:.3g}", f"{part['cosine']:+.3f}")
    console.print(settings, changes)
    if arguments.data:
        part = comparison["answers"]
        console.print(
            f"{part['n']} prompts: correct answers of a {part['a']}, of b {part['b']}; identical answers {part['same']}.",
            highlight=False,
        )


def _compare_settings(a: Adapter, b: Adapter) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ, with both values."""
    # `layers` and `alpha` sum up target_modules, which PEFT writes in any order, and alpha_pattern, which has an entry per module.
    summed_up = {"target_modules": 0, "alpha_pattern": 0}
    ours, theirs = ({**x.record, **x.config, **_describe(x), **summed_up} for x in (a, b))
    keys = sorted((ours.keys() | theirs.keys()) - {"record", "lora_alpha"})
    return {key: (ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)}


def _compare_answers(pair: dict[str, Adapter], arguments: argparse.Namespace) -> dict[str, int]:
    """Return `n` and how many answers are correct (`a`, `b`) and identical (`same`)."""
    rows = _read_rows(arguments)
    disable_progress_bar()
    model, tokenizer = load_adapted(base_name(pair["a"]), pair)
    samples = {}
    for name in pair:
        model.set_adapter(name)
        samples[name] = evaluate(model, tokenizer, rows, max_new_tokens=arguments.max_new_tokens).samples
    correct = {name: sum(sample["correct"] for sample in samples[name]) for name in pair}
    same = sum(one["generated"] == other["generated"] for one, other in zip(samples["a"], samples["b"], strict=True))
    return {"n": len(rows), **correct, "same": same}
