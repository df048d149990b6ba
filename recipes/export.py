"""From a run to a folder that others load in one line, checked, with its model card; and to the Hub.

    hrm-align export RUN --to DIR --data HELD_OUT.jsonl [--push OWNER/NAME] [--dry_run]
    hrm-align export DIR --push OWNER/NAME      (a folder that was exported before)
    hrm-align export RUN --to DIR --gguf f16 q8_0 [--gguf_python PYTHON]      (with files for llama.cpp)

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

from hrm_align.cli import run_with_exit_code
from hrm_align.commands.common import PathParser, add_options, options_from
from hrm_align.errors import UserError
from hrm_align.evaluation.scores import percent
from hrm_align.export.hub import check_repo_id, describe_push, format_push, push
from hrm_align.export.pipeline import ExportOptions, export
from hrm_align.output import emit


def main(argv: Sequence[str]) -> None:
    """Export a run, or push a folder that was exported before."""
    arguments = parser().parse_args(argv)
    for option in ("push", "base_model"):  # before the work
        if getattr(arguments, option) is not None:
            check_repo_id(getattr(arguments, option), f"--{option}")
    if arguments.dry_run and not arguments.push:
        raise UserError("--dry_run shows what a push would upload, and --push is missing: add --push OWNER/NAME.")
    report: dict[str, object] = {}
    if arguments.to:
        folder = arguments.to.expanduser()
        report = export(options_from(arguments, ExportOptions))
    else:
        folder = exported_before(arguments, argv)
    plan = push_or_plan(arguments, folder, report)
    if arguments.json:
        emit(json.dumps({"folder": str(folder), **report, **({"dry_run": plan} if plan else {})}))
        return
    lines = [f"exported to {folder}"] if arguments.to else []
    lines += [f"{name}: {words(name, value)}" for name, value in report.items()]
    emit("\n".join(lines + (format_push(plan) if plan else [])))


def push_or_plan(arguments: argparse.Namespace, folder: Path, report: dict[str, object]) -> dict[str, Any] | None:
    """Push the folder if that is requested and add the commit to the report; for a dry run return what would be pushed."""
    private, forced = {"private": True, "public": False}.get(arguments.visibility), arguments.force == "parity"
    if arguments.dry_run:
        return describe_push(folder, arguments.push, private, forced)
    if arguments.push:
        pushed = push(folder, arguments.push, private, forced)
        report.update(commit=pushed.url, visibility=pushed.visibility)
    return None


def words(name: str, value: Any) -> str:
    """Return one entry of the report as text; `--json` has the numbers."""
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
    if name == "gguf":
        return "; ".join(f"{file['name']}: {proof_words(file['proof'])}" for file in value)
    return str(value)


def proof_words(proof: dict[str, Any] | None) -> str:
    """Return the comparison of a GGUF file with the run as text."""
    if proof is None:
        return "not tested, because llama.cpp is not installed (name an environment that has it with --gguf_python)"
    return (
        f"{proof['same']} of {proof['rows']} greedy answers of llama.cpp are the run's, {proof['causal']} where it reads the prompt "
        f"causally, as by default; {proof['other_texts']} of {proof['texts']} texts have other tokens"
    )


def exported_before(arguments: argparse.Namespace, argv: Sequence[str]) -> Path:
    """Return the folder to push. Raises UserError for options that only an export takes."""
    if not arguments.push:
        raise UserError(
            "--to is missing: give --to DIR to export; to push a folder that was exported before, give --push."
        )
    known = ("--push", "--private", "--public", "--dry_run", "--force", "--json")
    late = [word for word in argv if word.startswith("--") and word.split("=")[0] not in known]
    if late:
        raise UserError(
            f"{late[0]} applies to an export, and --push alone only uploads: add --to DIR to export again, or leave it out."
        )
    return Path(arguments.run).expanduser()


def parser() -> PathParser:
    """Return the parser of the command's options."""
    options = PathParser("export", "Export a run to a folder that others can use, check it, and push it to the Hub.")
    options.add_argument(
        "run", help="output_dir of a run, a checkpoint of it, or (with --push alone) an exported folder"
    )
    options.add_argument("--to", type=Path, metavar="DIR", help="new folder")
    add_options(options, ExportOptions)
    seen_by = options.add_mutually_exclusive_group()
    for name, help in (
        ("private", "refuse a repository that exists and is public (a new one is private anyway)"),
        ("public", "make a new repository public (default: private)"),
    ):
        seen_by.add_argument(f"--{name}", action="store_const", dest="visibility", const=name, help=help)
    options.add_argument(
        "--dry_run", action="store_true", help="with --push: show files, sizes, visibility and card, and upload nothing"
    )
    return options


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
