"""From a run to a folder that others load in one line, checked, with its model card; and to the Hub.

    hrm-align export RUN --to DIR --data HELD_OUT.jsonl [--push OWNER/NAME]
    hrm-align export DIR --push OWNER/NAME      (a folder that was exported before)

An adapter's run gives its adapter (`--adapter`, the default) or the merge with its base (`--merged`). The folder is asked by
stock Transformers in a fresh process, and must answer as the run does; what it scores there goes into its card.
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
    """Export, or push what was exported."""
    arguments = parser().parse_args(argv)
    if arguments.push is not None:
        check_repo_id(arguments.push)  # before the work
    told: dict[str, object] = {}
    if arguments.to:
        folder = Path(arguments.to).expanduser()
        told = export(options_of(arguments, folder))
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
    told.add_argument("--to", metavar="DIR", help="new folder")
    form = told.add_mutually_exclusive_group()
    form.add_argument("--adapter", action="store_true", help="the adapter alone (default for the run of an adapter)")
    form.add_argument("--merged", action="store_true", help="the adapter merged into its base, in float32")
    told.add_argument("--ema", action="store_true", help="the averaged weights of the run")
    told.add_argument(
        "--dtype", choices=DTYPES, help="type to publish in (default float32, as trained; an adapter keeps its own)"
    )
    told.add_argument(
        "--data", action="append", default=[], metavar="FILE", help="held-out rows (default: the run's own)"
    )
    told.add_argument("--limit", type=int, default=300, help="only the first so many rows of each file (default 300)")
    told.add_argument("--match", help=f"grader: {', '.join(match_names())} (default: as the run did)")
    told.add_argument("--max_new_tokens", type=int, default=256, help="longest answer, in tokens (default 256)")
    told.add_argument(
        "--base", help="where the base of an adapter, or the model before training, lies (default: as recorded)"
    )
    told.add_argument("--base_model", metavar="OWNER/NAME", help="what the card calls the base (default: as recorded)")
    told.add_argument("--license", default="apache-2.0", help="for the card (default apache-2.0)")
    told.add_argument("--max_shard_size", default=SHARD, help=f"largest weight file (default {SHARD})")
    told.add_argument("--force", choices=["parity"], help="publish although it answers otherwise than the run")
    told.add_argument(
        "--push", metavar="OWNER/NAME", help="upload to the Hub, with the token of `hf auth login` or HF_TOKEN"
    )
    told.add_argument("--private", action="store_true", help="make the repository private")
    return told


def options_of(arguments: argparse.Namespace, folder: Path) -> ExportOptions:
    """The arguments, checked."""
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
    """A size as `save_pretrained` takes it: 500MB, 4GB."""
    if not re.fullmatch(r"[1-9][0-9]*[KMGT]B", text):
        raise UserError(f"--max_shard_size {text!r} is no size: write a number and its unit, such as 500MB or 4GB.")
    return text


def licence(name: str) -> str:
    """An identifier as the Hub writes it: mit, apache-2.0, other."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise UserError(f"--license {name!r} is no identifier of the Hub: write it as mit, apache-2.0 or other.")
    return name


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
