"""Reports of damaged rows: counts by kind, and the first rows of each kind with their place.

damage = DamageReport()
for examples in rows:            # the examples of one row; nothing of a row is kept but counts and first places
    damage.add(examples)
damage.to_dict()["lost_backslash"]
    -> {"rows": 2, "first": ["rows.jsonl:1: \\\\boxed (backspace, then oxed)", ...]}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hrm_align.data.text_damage import KINDS, find_damage

if TYPE_CHECKING:
    from hrm_align.data.examples import Example

NAMED_ROWS = 5  # rows of each kind that a report names
DETAIL_CHARACTERS = 160

BACKSLASH_REMEDY = (
    "Write each backslash twice in JSON (\\\\boxed), or write the file with a JSON library. Until then the characters "
    "above are learnt and graded as they are."
)
Damage = Mapping[str, Mapping[str, Any]]  # kind -> {"rows": number, "first": descriptions}


@dataclass
class DamageReport:
    """Damage of the rows that were added.

    Args:
        rows: number of rows.
        damaged: number of rows with damage of any kind.
        counts: number of rows by kind.
        first: the first rows of each kind, `file:line: what was found`.
    """

    rows: int = 0
    damaged: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[str]] = field(default_factory=dict)

    def add(self, examples: Sequence[Example]) -> None:
        """Check one row, given as its examples."""
        self.rows += 1
        damage = find_damage(examples)
        self.damaged += bool(damage)
        for kind, detail in damage.items():
            self.counts[kind] += 1
            named = self.first.setdefault(kind, [])
            if len(named) < NAMED_ROWS:
                named.append(f"{examples[-1].source}: {detail[:DETAIL_CHARACTERS]}")

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the number of rows and the first rows by kind, as plain JSON values; empty if no row is damaged."""
        return {kind: {"rows": self.counts[kind], "first": self.first[kind]} for kind in KINDS if self.counts[kind]}


def check_rows(examples: Iterable[Example]) -> dict[str, dict[str, Any]]:
    """Return the damage of rows of one example each, as `DamageReport.to_dict`."""
    report = DamageReport()
    for example in examples:
        report.add([example])
    return report.to_dict()


def describe_damage(damage: Damage, rows: int, whole: bool = True) -> list[str]:
    """Return a warning for each kind of damage and, indented, its first rows and the remedy; an empty list without damage.

    Args:
        damage: as from `DamageReport.to_dict`.
        rows: number of rows that were checked.
        whole: whether to name the first rows of every kind. Otherwise they are named for lost backslashes only, and one
            warning has the counts of all other kinds.
    """
    lines, others = [], []
    for kind, part in damage.items():
        if not whole and kind != "lost_backslash":
            others.append(f"{part['rows']:,} with {KINDS[kind]}")
            continue
        lines.append(f"Warning: {part['rows']:,} of {rows:,} rows have {KINDS[kind]}:")
        lines += [f"  {named}" for named in part["first"]]
        lines += [f"  and {part['rows'] - len(part['first']):,} more"] if part["rows"] > len(part["first"]) else []
        lines += [f"  {BACKSLASH_REMEDY}"] if kind == "lost_backslash" else []
    if others:
        lines.append(f"Warning: rows with damaged text: {', '.join(others)}. `hrm-align inspect` names the rows.")
    return lines
