"""`hrm-align runs list|compare`: list the runs in folders, or compare two or more runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from rich.console import Console

from hrm_align.commands.common import PathParser
from hrm_align.errors import UserError
from hrm_align.output import emit, results
from hrm_align.run_history.comparison import (
    compare_data,
    compare_environments,
    compare_settings,
    curve_names,
    curves,
    held_out_scores,
    to_json,
)
from hrm_align.run_history.picture import check_picture, draw_curves
from hrm_align.run_history.reading import SETTINGS, RunHistory, find_runs, is_run, read_run
from hrm_align.run_history.tables import curve_tables, difference_table, legend_table, list_table, score_table

SUBCOMMANDS = ("list", "compare")
RUNS = "runs"  # folder to list by default: the recipes write there

NO_INTERVAL = (
    "A dash: no interval is known. Means over tokens have none; other scores have one where the run recorded the number of "
    "answers and, for rewards, their spread."
)


def usage() -> str:
    """Return the text of `hrm-align runs --help`."""
    return f"{__doc__}\n\n" + "\n".join(f"  hrm-align runs {name} --help" for name in SUBCOMMANDS)


def main(argv: Sequence[str]) -> None:
    """Run the subcommand that the first argument names."""
    commands = dict(zip(SUBCOMMANDS, (list_runs, compare_runs), strict=True))
    if not argv or argv[0] not in commands:
        if argv and argv[0] in ("-h", "--help"):
            emit(usage())
            return
        problem = f"unknown subcommand {argv[0]!r} of runs" if argv else "runs needs a subcommand"
        raise UserError(f"{problem}: use list or compare (see hrm-align runs --help).")
    commands[argv[0]](argv[1:])


def list_runs(argv: Sequence[str]) -> None:
    """Print a table of the runs in folders, the newest first."""
    parser = PathParser("runs list", "List the runs in folders: steps, state, last loss or reward, and held-out score.")
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help=f"folders that contain runs (default: {RUNS})")
    arguments = parser.parse_args(argv)
    sizes: dict[Path, int] = {}
    others: list[Path] = []
    for name in arguments.folders or [RUNS]:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise UserError(f"there is no folder {name}. Name a folder that contains runs.")
        matches = find_runs(folder)
        listed = {run.resolve() for run in sizes}
        sizes |= {run: size for run, size in matches.sizes.items() if run.resolve() not in listed}
        others += [other for other in matches.others if other not in others]
    runs = sorted(map(read_run, sizes), key=lambda run: run.changed, reverse=True)
    if arguments.json:
        described = [to_json(describe(run) | {"bytes": sizes[run.folder]}) for run in runs]
        emit(json.dumps({"runs": described, "other_folders": [str(folder) for folder in others]}))
        return
    console = _console()
    if runs:
        console.print(list_table(runs, sizes))
    else:
        console.print(f"no runs in {', '.join(arguments.folders or [RUNS])}", markup=False)
    for line in [problem for run in runs for problem in run.problems]:
        console.print(f"{line}.", markup=False, overflow="fold")
    for folder in others:
        console.print(f"{folder} contains no run ({SETTINGS} is missing).", markup=False, overflow="fold")


def describe(run: RunHistory) -> dict[str, Any]:
    """Return what `runs list --json` shows of a run, except its size."""
    last, score = run.last(run.main_metric), run.held_out_score()
    return {
        "folder": str(run.folder),
        "kind": run.kind,
        "trained": run.trained_part,
        "state": run.state,
        "step": run.step,
        "planned": run.planned,
        "last": last and last._asdict(),
        "held_out": score and score._asdict(),
        "date": datetime.fromtimestamp(run.changed).astimezone().isoformat(timespec="seconds"),
        "problems": run.problems,
    }


def _console() -> Console:
    return Console(file=results(), highlight=False, soft_wrap=False)


def compare_runs(argv: Sequence[str]) -> None:
    """Print what differs between runs, their scores on held-out rows, and their curves."""
    parser = PathParser(
        "runs compare",
        "Compare runs: settings, data and machine that differ, held-out scores with 95 % intervals, curves.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="output_dir of a run; two or more")
    parser.add_argument("--png", metavar="FILE", help="also draw the curves into this new file (.png, .svg or .pdf)")
    arguments = parser.parse_args(argv)
    folders = [_check_run(name) for name in arguments.runs]
    if not 2 <= len(folders) <= len(ascii_uppercase):
        raise UserError(f"runs compare takes 2 to {len(ascii_uppercase)} runs: got {len(folders)}.")
    if same := [
        str(folder) for index, folder in enumerate(folders) if folder.resolve() in map(Path.resolve, folders[:index])
    ]:
        raise UserError(f"{same[0]} is named twice. Name each run once.")
    picture = Path(arguments.png).expanduser() if arguments.png else None
    if picture is not None:
        check_picture(picture)
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        if not run.settings:
            raise UserError(f"{run.folder / SETTINGS} is damaged: restore it from a backup, or leave this run out.")
    if picture is not None:
        _draw(runs, picture)
    if arguments.json:
        emit(json.dumps(to_json(_report(runs)), default=str))
    else:
        _show(runs, picture)


def _check_run(name: str) -> Path:
    """Return the folder of a run. Raises UserError for anything else, with a hint where a run is near."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise UserError(f"there is no folder {name}. Name the output_dir of a run; `hrm-align runs list` shows them.")
    if (folder / SETTINGS).is_file():
        return folder
    if is_run(folder):
        raise UserError(f"{name} is a run that has not written {SETTINGS} yet. Compare it when it trains.")
    if is_run(folder.absolute().parent):
        raise UserError(
            f"{name} is a part of the run {folder.parent}, and only whole runs are compared: name {folder.parent}."
        )
    raise UserError(
        f"{name} is not the output_dir of a run: it has no {SETTINGS}. `hrm-align runs list {name}` shows runs in it."
    )


def _by_run(runs: Sequence[RunHistory], values: Sequence[Any]) -> dict[str, Any]:
    return {str(run.folder): value for run, value in zip(runs, values, strict=True)}


def _report(runs: Sequence[RunHistory]) -> dict[str, Any]:
    """Return the whole comparison for programs; each value is a mapping from the folder of a run."""
    differences = {
        "settings": compare_settings(runs),
        "data": compare_data(runs),
        "environment": compare_environments(runs),
    }
    scores: dict[str, dict[str, Any]] = {}
    for run in runs:
        for score in held_out_scores(run):
            fields = {"value": score.value, "interval": score.interval, "n": score.n, "step": score.step}
            scores.setdefault(score.name, {})[str(run.folder)] = fields
    return {
        "runs": [describe(run) for run in runs],
        **{part: {name: _by_run(runs, row) for name, row in known.items()} for part, known in differences.items()},
        "scores": scores,
        "curves": {name: _by_run(runs, curves(runs, name)) for name in curve_names(runs)},
    }


def _draw(runs: Sequence[RunHistory], picture: Path) -> None:
    names = curve_names(runs)
    if not names:
        raise UserError("--png: none of these runs has logged a loss, a reward or a score yet. Leave --png out.")
    labels = [f"{letter}  {run.folder}" for letter, run in zip(ascii_uppercase, runs, strict=False)]
    lines = {name: dict(zip(labels, curves(runs, name), strict=True)) for name in names}
    draw_curves(lines, picture)


def _show(runs: Sequence[RunHistory], picture: Path | None) -> None:
    """Print the comparison as tables; the runs are called A, B, C and so on."""
    console, letters = _console(), ascii_uppercase[: len(runs)]
    console.print(legend_table(letters, runs))
    for title, differences in (
        ("settings", compare_settings(runs)),
        ("data", compare_data(runs)),
        ("versions and machine", compare_environments(runs)),
    ):
        console.print(f"\n[bold]{title} that differ[/]" if differences else f"\n{title}: no differences")
        if differences:
            console.print(difference_table(differences, letters))
    if len({run.kind for run in runs}) > 1:
        console.print("The recipes differ, so only settings that both have are compared.")
    scores = {letter: held_out_scores(run) for letter, run in zip(letters, runs, strict=True)}
    console.print("\n[bold]scores on held-out rows[/]" if any(scores.values()) else "\nno scores on held-out rows")
    if any(scores.values()):
        console.print(score_table(scores))
        if any(score.interval is None for row in scores.values() for score in row):
            console.print(NO_INTERVAL)
    for name in curve_names(runs):
        points = {letter: curve for letter, curve in zip(letters, curves(runs, name), strict=True) if curve}
        console.print(f"\n[bold]{name}[/]")
        for table in curve_tables(points, console.width):
            console.print(table)
    for line in [problem for run in runs for problem in run.problems]:
        console.print(f"{line}.", markup=False, overflow="fold")
    if picture is not None:
        console.print(f"\npicture: {picture}", markup=False)
