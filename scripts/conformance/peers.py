"""Other graders, run on the same texts: those of the data sets' owners, and libraries.

A peer takes cases and texts and returns 1.0, 0.0, or None where it has no verdict. Programs run only in the sandbox.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import NamedTuple

from conformance.cases import Case
from hrm_align.rewards.reading import fenced_blocks
from hrm_align.sandbox import Job, Limits, Sandbox
from hrm_align.sandbox.jobs import RETURNED

Grade = Callable[[Sequence[Case], Sequence[str]], list[float | None]]
LIMITS = Limits(cpu_seconds=5, wall_seconds=15.0)
GSM8K_ANSWER = re.compile(r"#### (\-?[0-9\.\,]+)")  # of openai/grade-school-math


class Peer(NamedTuple):
    """Another grader: its function, or None with the reason why it is not run."""

    grade: Grade | None
    reason: str = ""


def grade_by_gsm8k(cases: Sequence[Case], texts: Sequence[str]) -> list[float | None]:
    """Compare what the data set's own expression finds in the text and in the reference."""

    def find(text: str) -> str | None:
        match = GSM8K_ANSWER.search(text)
        return match[1].strip().replace(",", "") if match else None

    return [float(find(text) == find(case.example.reference)) for case, text in zip(cases, texts, strict=True)]


def grade_by_math_verify(cases: Sequence[Case], texts: Sequence[str]) -> list[float | None]:
    """Compare the text with the gold, as the library parses both."""
    from math_verify import parse, verify

    return [
        float(verify(parse(f"${case.facts['gold']}$"), parse(text))) for case, text in zip(cases, texts, strict=True)
    ]


def grade_by_python(cases: Sequence[Case], texts: Sequence[str]) -> list[float | None]:
    """Run the program and the data set's own asserts in the sandbox, by Python's own comparison."""
    end = "\n\ndef all_asserts_hold():\n    return True\n"
    jobs = []
    for case, text in zip(cases, texts, strict=True):
        program = next(iter(fenced_blocks(text, ("python",))), text)
        jobs.append(Job(f"{program}\n\n{case.facts['test']}{end}", "all_asserts_hold", [[]]))
    with Sandbox(LIMITS, workers=2) as sandbox:
        outcomes = sandbox.run(jobs)
    return [float(outcome.kind == RETURNED and outcome.values == [True]) for outcome in outcomes]


def grade_by_jsonschema(cases: Sequence[Case], texts: Sequence[str]) -> list[float | None]:
    """Validate by the library, with the schema's own draft; None for a schema with a reference that it cannot resolve."""
    from jsonschema.validators import validator_for
    from referencing.exceptions import Unresolvable

    def validate(case: Case, text: str) -> float | None:
        schema = case.facts["schema"]
        try:
            return float(validator_for(schema)(schema).is_valid(json.loads(text)))
        except Unresolvable:
            return None

    return [validate(case, text) for case, text in zip(cases, texts, strict=True)]


@lru_cache(maxsize=1)
def _not_called(package: str) -> Peer:
    state = "is installed, and this script does not call it" if find_spec(package) else "is not installed"
    return Peer(None, f"the package {package} {state}")


PEERS: dict[str, Peer] = {
    "GSM8K's regex": Peer(grade_by_gsm8k),
    "math-verify": Peer(grade_by_math_verify),
    "plain Python": Peer(grade_by_python),
    "jsonschema": Peer(grade_by_jsonschema),
    "BFCL's own checker": _not_called("bfcl_eval"),
    "Spider's test suite": Peer(None, "it is not published as a package"),
}
