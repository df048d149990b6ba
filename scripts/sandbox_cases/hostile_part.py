"""Run the hostile programs and count the escapes."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hrm_align.sandbox import Job, Limits, Outcome, Sandbox

from .hostile import CASES, Case
from .watch import Watch
from .weak import Subprocess

LIMITS = Limits(cpu_seconds=1, wall_seconds=2.0, memory_bytes=256 * 2**20)
# Messages which show that a case itself is faulty, as opposed to an operation that the sandbox refused.
_BROKEN = ("NameError", "UnboundLocalError", "no Python")


@dataclass
class Hostile:
    """The results of hostile programs.

    Attributes:
        escaped: the signs of an escape, by the name of the case.
        ends: how many cases ended in each kind of outcome.
        broken: cases that are themselves faulty, with their message.
        outcomes: the outcome of each case, by name.
    """

    escaped: dict[str, list[str]] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)


def run_hostile(sandbox: Sandbox | Subprocess, cases: Sequence[Case]) -> Hostile:
    """Run each case and an honest job after it, and collect the signs of an escape."""
    result = Hostile()
    with Watch(sandbox.limits) as watch:
        for case in cases:
            watch.before(sandbox.pids)
            try:
                (outcome,) = sandbox.run([case.job(watch.targets)])
            except Exception as error:  # a hostile program must not make the sandbox raise
                outcome, signs = Outcome("lost", message=repr(error)), ["exception"]
            else:
                signs = []
            word = secrets.token_hex(8)
            control = Job("def echo(word): return word", "echo", [[word]])
            signs += watch.signs(outcome, sandbox.pids, (control, sandbox.run([control])[0]))
            result.ends[outcome.kind] += 1
            result.outcomes[case.name] = outcome
            if outcome.kind == "lost" and not signs:
                signs = ["lost"]
            if any(word in outcome.message for word in _BROKEN):
                result.broken.append(f"{case.name}: {outcome.message}")
            if signs:
                result.escaped[case.name] = signs
                watch.restore()
    return result


__all__ = ["CASES", "LIMITS", "Hostile", "run_hostile"]
