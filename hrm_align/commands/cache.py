"""`hrm-align cache list | clear [KEY ...]`: the rows and token ids that runs have prepared and keep on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from hrm_align.commands.common import PathParser
from hrm_align.data.cache import Entry, cache_folder, clear, entries
from hrm_align.errors import UserError
from hrm_align.output import emit

ACTIONS = ("list", "clear")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = PathParser("cache", "List the rows and token ids that runs have prepared, or remove them.")
    parser.add_argument("action", metavar="ACTION", help="list; clear [KEY ...]")
    parser.add_argument("keys", nargs="*", metavar="KEY", help="entries to remove, as `list` names them (default all)")
    parser.add_argument("--unused_days", type=float, help="clear only what was not used for so many days")
    arguments = parser.parse_args(argv)
    if arguments.action not in ACTIONS:
        raise UserError(f"there is no action {arguments.action!r}. Use list, or clear [KEY ...].")
    known = entries()
    if arguments.action == "list":
        show_list(known, arguments.json)
        return
    clear(chosen := _choose(known, arguments.keys, arguments.unused_days))
    removed = [entry for entry in chosen if not entry.folder.exists()]
    size = sum(entry.size for entry in removed)
    if arguments.json:
        emit(json.dumps({"removed": [entry.folder.name for entry in removed], "bytes": size}))
        return
    busy = f"; {len(chosen) - len(removed)} are being written and stay" if len(removed) < len(chosen) else ""
    emit(f"removed {len(removed)} entries, {size / 1e6:,.1f} MB{busy}")


def _choose(known: Sequence[Entry], keys: Sequence[str], days: float | None) -> list[Entry]:
    names = [entry.folder.name for entry in known]
    for key in keys:
        if key not in names:
            raise UserError(f"no entry {key!r} in {cache_folder()}. `hrm-align cache list` names them.")
    before = time.time() - 86400 * (days or 0)
    return [
        entry for entry in known if (not keys or entry.folder.name in keys) and (days is None or entry.used < before)
    ]


def show_list(known: Sequence[Entry], as_json: bool) -> None:
    """Print key, size, last use and content of each entry, the last used first."""
    if as_json:
        emit(json.dumps([_to_dict(entry) for entry in known]))
        return
    lines = [f"{cache_folder()}: {len(known)} entries, {sum(entry.size for entry in known) / 1e6:,.1f} MB"]
    for entry in known:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        lines.append(f"{entry.folder.name}  {entry.size / 1e6:>10,.1f} MB  {used}  {entry.what}")
    emit("\n".join(lines))


def _to_dict(entry: Entry) -> dict[str, object]:
    return {"key": entry.folder.name, "what": entry.what, "bytes": entry.size, "used": entry.used, "whole": entry.whole}
