"""Export a run to a folder that stock Transformers loads, with checks and a model card; optionally push it to the Hub.

    hrm-align export RUN --to DIR --data HELD_OUT.jsonl [--push OWNER/NAME]
    hrm-align export DIR --push OWNER/NAME      (a folder that was exported before)

The run of an adapter is exported as the adapter (`--adapter`, the default) or merged with its base (`--merged`). The export fails
unless stock Transformers, in a new process, reproduces the run's greedy answers; the scores of that process go into the model card.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hrm_align.cli import exit_code_of
from hrm_align.commands.common import PathParser, at_least
from hrm_align.errors import UserError
from hrm_align.evaluation.report import percent
from hrm_align.export.folder import SHARD
from hrm_align.export.hub import check_repo_id, push
from hrm_align.export.pipeline import ExportOptions, export
from hrm_align.models.loading import DTYPES
from hrm_align.output import emit
from hrm_align.rewards.base import check_match, match_names


def main(argv: Sequence[str]) -> None:
    """Export a run, or push a folder that was exported before."""
    arguments = parser().parse_args(argv)
    if arguments.push is not None:
        check_repo_id(arguments.push)  # before the export, which takes minutes
    report: dict[str, object] = {}
    if arguments.to:
        folder = Path(arguments.to).expanduser()
        report = export(build_options(arguments, folder))
    else:
        folder = exported_before(arguments, argv)
    if arguments.push:
        report["commit"] = push(folder, arguments.push, arguments.private, arguments.force == "parity")
    if arguments.json:
        emit(json.dumps({"folder": str(folder), **report}))
        return
    lines = [f"exported to {folder}"] if arguments.to else []
    emit("\n".join(lines + [f"{name}: {words(name, value)}" for name, value in report.items()]))


def words(name: str, value: Any) -> str:
    """Format an entry of the export's report as text; `--json` prints the numbers instead."""
    if name in ("before", "after"):
        return f"{percent(value)} of {value['n']} rows right"
    if name == "parity":
        return (
            f"{value['other_answers']} of {value['rows']} greedy answers differ from the run's; log-probabilities of "
            f"{value['tokens']:,} tokens, computed in float32, differ by {value['mean_difference']:.1e} on average and "
            f"{value['largest_difference']:.1e} at most ({value['dtype']})"
        )
    if name == "merge":
        return (
            f"{value['other_answers']} of {value['prompts']} greedy answers differ from those of the adapter on its base; logits "
            f"of {value['tokens']:,} tokens differ by at most {value['largest_difference']:.1e} of the largest"
        )
    return str(value)


def exported_before(arguments: argparse.Namespace, argv: Sequence[str]) -> Path:
    """Return the exported folder to push. Raises UserError for options that apply only to an export."""
    if not arguments.push:
        raise UserError(
            "nothing to do: give --to DIR to export a run, or --push OWNER/NAME to push an exported folder."
        )
    known = ("--push", "--private", "--force", "--json")
    late = [word for word in argv if word.startswith("--") and word.split("=")[0] not in known]
    if late:
        raise UserError(
            f"{late[0]} has no effect when an exported folder is pushed: add --to DIR to export, or leave it out."
        )
    return Path(arguments.run).expanduser()


def parser() -> PathParser:
    """Return the parser of the command's options."""
    options = PathParser("export", "Export a run to a folder that others can use, check it, and push it to the Hub.")
    options.add_argument(
        "run", help="output_dir of a run, a checkpoint of it, or (with --push alone) an exported folder"
    )
    options.add_argument("--to", metavar="DIR", help="new folder")
    form = options.add_mutually_exclusive_group()
    form.add_argument("--adapter", action="store_true", help="the adapter alone (default for the run of an adapter)")
    form.add_argument("--merged", action="store_true", help="the adapter merged into its base, in float32")
    options.add_argument("--ema", action="store_true", help="export the averaged weights of the run")
    options.add_argument(
        "--dtype", choices=DTYPES, help="dtype of the weights (default float32, as trained; an adapter keeps its own)"
    )
    options.add_argument(
        "--data", action="append", default=[], metavar="FILE", help="held-out rows (default: the run's own)"
    )
    options.add_argument(
        "--limit", type=int, default=300, help="use only the first so many rows of a file (default 300)"
    )
    options.add_argument("--match", help=f"grader: {', '.join(match_names())} (default: as the run did)")
    options.add_argument("--max_new_tokens", type=int, default=256, help="longest answer, in tokens (default 256)")
    options.add_argument(
        "--base", help="path of the adapter's base, or of the model before training (default: as recorded)"
    )
    options.add_argument(
        "--base_model", metavar="OWNER/NAME", help="name of the base in the card (default: as recorded)"
    )
    options.add_argument("--license", default="apache-2.0", help="license in the card (default apache-2.0)")
    options.add_argument("--max_shard_size", default=SHARD, help=f"size of the largest weight file (default {SHARD})")
    options.add_argument("--force", choices=["parity"], help="publish even if its answers differ from the run's")
    options.add_argument(
        "--push", metavar="OWNER/NAME", help="upload to the Hub, with the token of `hf auth login` or HF_TOKEN"
    )
    options.add_argument("--private", action="store_true", help="make the repository private")
    return options


def build_options(arguments: argparse.Namespace, folder: Path) -> ExportOptions:
    """Check the arguments and convert them to export options."""
    return ExportOptions(
        run=arguments.run,
        to=folder,
        merged=arguments.merged,
        adapter=arguments.adapter,
        averaged=arguments.ema,
        dtype=arguments.dtype,
        data=arguments.data,
        limit=at_least(arguments.limit, 1, "--limit"),
        match=check_match(arguments.match, "--match") if arguments.match else None,
        max_new_tokens=at_least(arguments.max_new_tokens, 1, "--max_new_tokens"),
        base=arguments.base,
        base_model=check_repo_id(arguments.base_model, "--base_model") if arguments.base_model else None,
        name=arguments.push,
        licence=licence(arguments.license),
        shard=shard_size(arguments.max_shard_size),
        force=arguments.force == "parity",
    )


def shard_size(text: str) -> str:
    """Check a size in the form that `save_pretrained` takes: 500MB, 4GB."""
    if not re.fullmatch(r"[1-9][0-9]*[KMGT]B", text):
        raise UserError(f"invalid value for --max_shard_size: {text!r}. Use a number and a unit, such as 500MB or 4GB.")
    return text


def licence(name: str) -> str:
    """Check a license identifier of the Hub: mit, apache-2.0, other."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise UserError(
            f"invalid value for --license: {name!r}. Use an identifier of the Hub, such as mit, apache-2.0 or other."
        )
    return name


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
