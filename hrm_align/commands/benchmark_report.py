"""Reports of `hrm-align benchmark`: scores beside the published ones, and what changed between two folders of --out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hrm_align.commands.common import print_warnings
from hrm_align.errors import UserError
from hrm_align.evaluation.benchmark_scoring import FIRST_NAMED, compare
from hrm_align.evaluation.chunk_files import card_path
from hrm_align.output import emit, results


def report(cards: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print the scores of all tasks and conditions."""
    if as_json:
        emit(json.dumps({"results": list(cards)}))
        return
    console = Console(file=results())
    table = _table("task", "condition", "score", "95 %", "official", "published", "n", "tokens", "time")
    for card in cards:
        low, high = card["interval"]
        table.add_row(
            escape(card["title"]),
            card["condition"],
            f"{100 * card['score']:.1f}",
            f"{100 * low:.1f}-{100 * high:.1f}",
            "-" if card["official"] is None else f"{100 * card['official']:.1f}",
            "-" if card["published"] is None else f"{card['published']:.1f}",
            f"{card['n']:,}",
            _short(card["prompt_tokens"] + card["tokens"]),
            f"{card['seconds']:,.0f} s",
        )
    console.print(table)
    for line in _notes(cards):
        console.print(line, markup=False, highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < 2 else "right")
    return table


def _short(number: int) -> str:
    return f"{number / 1e6:.1f}M" if number >= 1e6 else f"{number / 1e3:.1f}k" if number >= 1e3 else str(number)


def _notes(cards: Sequence[Mapping[str, Any]]) -> list[str]:
    first = cards[0]
    lines = [
        f"model {first['model']}, {first['revision']}; engine {first['engine']} on {first['device']}; hrm_align {first['hrm_align']}",
        "score: share of correct answers by hrm_align's graders. official: the rule of the official evaluation, which made the published "
        "scores of HRM-Text-1B.",
    ]
    sources: dict[str, list[str]] = {}
    for card in cards:
        if card["published_in"]:
            sources.setdefault(card["published_in"], []).append(card["title"])
    lines += [f"published ({where}): {', '.join(dict.fromkeys(titles))}" for where, titles in sources.items()]
    for card in cards:
        facts = [
            (card["prompts"] != "official", f"not as in the official evaluation ({card['prompts']})"),
            (
                card["too_long"],
                f"{card['too_long']:,} prompts leave no room for an answer and count as wrong (first {', '.join(card['first_too_long'])})",
            ),
            (card["unfinished"], f"{card['unfinished']:,} answers did not end, and were graded as they are"),
            (card["invalid"], f"{card['invalid']:,} answers state nothing that the official rule reads"),
        ]
        if shown := [text for is_so, text in facts if is_so]:
            lines.append(f"{card['title']}, {card['condition']}: {'; '.join(shown)}.")
    return lines


def compare_folders(before: str, after: str, as_json: bool) -> None:
    """Print what changed between two folders of --out, task by task."""
    old_cards, new_cards = _read_cards(Path(before)), _read_cards(Path(after))
    shared = [cell for cell in old_cards if cell in new_cards]
    if not shared:
        raise UserError(f"{before} and {after} have no task under the same condition in common.")
    alone = [
        f"{task} ({condition})"
        for task, condition in dict.fromkeys([*old_cards, *new_cards])
        if (task, condition) not in shared
    ]
    if alone:
        print_warnings([f"Warning: {', '.join(alone)} stands in one of the folders only, and is left out."])
    cells = []
    for task, condition in shared:
        old, new = old_cards[task, condition], new_cards[task, condition]
        if old["settings"]["questions"] != new["settings"]["questions"]:
            raise UserError(
                f"{task} ({condition}) was run on other questions: {old['settings']['questions']} and {new['settings']['questions']}. Run "
                "both with the same --data and --limit."
            )
        changes = compare(_read_rows(old["path"]), _read_rows(new["path"]))
        cells.append({"task": task, "title": old["title"], "condition": condition, **changes})
    if as_json:
        emit(json.dumps({"before": before, "after": after, "results": cells}))
        return
    console = Console(file=results())
    table = _table("task", "condition", "before", "after", "change", "95 %", "learned", "forgotten", "n")
    for cell in cells:
        low, high = cell["interval"]
        table.add_row(
            cell["title"],
            cell["condition"],
            f"{100 * cell['before']:.1f}",
            f"{100 * cell['after']:.1f}",
            f"{100 * cell['difference']:+.1f}",
            f"{100 * low:+.1f} to {100 * high:+.1f}",
            f"{cell['learned']:,}",
            f"{cell['forgotten']:,}",
            f"{cell['n']:,}",
        )
    console.print(table)
    for cell in cells:
        if cell["forgotten"]:
            first = ", ".join(cell["forgotten_rows"][:FIRST_NAMED])
            console.print(f"{cell['title']}, forgotten: first {first}", markup=False, highlight=False)


def _read_cards(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the cards of a folder of --out by task and condition, each with the `path` of its rows."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}. Name a folder of --out.")
    cards: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        try:
            card = json.loads(card_path(path).read_text(encoding="utf-8"))
            cards[card["task"], card["condition"]] = {**card, "path": path}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    if not cards:
        raise UserError(
            f"{folder} has no finished task. Name a folder of --out, or run the command that fills it again."
        )
    return cards


def _read_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
