"""From a run to a folder that others load in one line, checked, with its model card; and to the Hub.

    hrm-align export RUN --to DIR --data HELD_OUT.jsonl [--push OWNER/NAME]
    hrm-align export DIR --push OWNER/NAME      (a folder that was exported before)

An adapter's run gives its adapter (`--adapter`, the default) or the merge with its base (`--merged`). The folder is asked by
stock Transformers in a fresh process, and must answer as the run does; what it scores there goes into its card.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hrm_align.cli import exit_code_of
from hrm_align.commands.common import PathParser, add_options, options_from
from hrm_align.errors import UserError
from hrm_align.evaluation.evaluate import percent
from hrm_align.export.hub import check_repo_id, push
from hrm_align.export.pipeline import ExportOptions, export
from hrm_align.output import emit


def main(argv: Sequence[str]) -> None:
    """Export, or push what was exported."""
    arguments = parser().parse_args(argv)
    for option in ("push", "base_model"):  # before the work
        if getattr(arguments, option) is not None:
            check_repo_id(getattr(arguments, option), f"--{option}")
    told: dict[str, object] = {}
    if arguments.to:
        folder = arguments.to.expanduser()
        told = export(options_from(arguments, ExportOptions))
    else:
        folder = exported_before(arguments, argv)
    if arguments.push:
        told["commit"] = push(folder, arguments.push, arguments.private, arguments.force == "parity")
    if arguments.json:
        emit(json.dumps({"folder": str(folder), **told}))
        return
    lines = [f"exported to {folder}"] if arguments.to else []
    emit("\n".join(lines + [f"{name}: {words(name, value)}" for name, value in told.items()]))


def words(name: str, value: Any) -> str:
    """What `export` tells under a name, for people; `--json` has the numbers."""
    if name in ("before", "after"):
        return f"{percent(value)} of {value['n']} rows right"
    if name == "parity":
        return (
            f"{value['other_answers']} of {value['rows']} greedy answers are not the run's; log-probabilities of "
            f"{value['tokens']:,} tokens, computed in float32, differ by {value['mean_difference']:.1e} on average and "
            f"{value['largest_difference']:.1e} at most ({value['dtype']})"
        )
    if name == "merge":
        return (
            f"{value['other_answers']} of {value['prompts']} greedy answers are not those of the adapter on its base; logits "
            f"of {value['tokens']:,} tokens differ by at most {value['largest_difference']:.1e} of the largest"
        )
    return str(value)


def exported_before(arguments: argparse.Namespace, argv: Sequence[str]) -> Path:
    """The folder to push. Raises UserError for options that it cannot honour any more."""
    if not arguments.push:
        raise UserError("give --to DIR to export to; or, to push a folder that was exported before, that and --push.")
    known = ("--push", "--private", "--force", "--json")
    late = [word for word in argv if word.startswith("--") and word.split("=")[0] not in known]
    if late:
        raise UserError(f"{late[0]} is for the export, which is done: give --to DIR to export anew, or leave it out.")
    return Path(arguments.run).expanduser()


def parser() -> PathParser:
    """The options."""
    told = PathParser("export", "Make a folder of a run that others can use, prove it, and push it to the Hub.")
    told.add_argument("run", help="output_dir of a run, a checkpoint of it, or (with --push alone) an exported folder")
    told.add_argument("--to", type=Path, metavar="DIR", help="new folder")
    add_options(told, ExportOptions)
    told.add_argument("--private", action="store_true", help="make the repository private")
    return told


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
