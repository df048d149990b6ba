"""Programs that try to get out, a part of them; `scripts/sandbox_campaign.py` runs all. They run in namespaces of their own."""

import fcntl
import os
import random

import pytest

from hrm_align.sandbox import Sandbox
from scripts.sandbox_cases.hostile import CASES
from scripts.sandbox_cases.hostile_part import LIMITS, run_hostile
from scripts.sandbox_cases.leftovers import run_mixed
from scripts.sandbox_cases.namespaces import in_namespaces, why_not
from scripts.sandbox_cases.watch import Watch
from scripts.sandbox_cases.weak import Subprocess

SIGNS = {
    "files.opens": "secret",
    "files.writes_a_file": "file",
    "network.connects_through_c": "connection",
    "processes.kills_another": "sentinel",
    "processes.becomes_a_daemon": "process",
    "kernel.names_the_machine": "system",
    "kernel.makes_a_pipe": "claim",
}


@pytest.fixture(autouse=True)
def _namespaces():
    refusal = why_not()
    if refusal:
        pytest.skip(f"{refusal}, and hostile programs must not run outside of them")


def some_cases():
    """Every ninth, from all themes, and those whose escape a test below sees."""
    return [case for index, case in enumerate(CASES) if index % 9 == 0 or case.name in SIGNS]


def test_hostile_programs_do_not_get_out(backend):
    def attack():
        with Sandbox(LIMITS, backend, workers=1) as sandbox:
            result = run_hostile(sandbox, some_cases())
            return result, sandbox.replaced

    result, replaced = in_namespaces(attack)
    assert result.escaped == {}
    assert replaced == 0
    assert sum(result.ends.values()) >= 30
    assert len({case.theme for case in some_cases()}) == 7


def test_they_do_get_out_of_a_plain_subprocess():
    """Or not getting out would mean nothing: every kind of sign is seen."""
    cases = [case for case in CASES if case.name in SIGNS]
    result = in_namespaces(lambda: run_hostile(Subprocess(LIMITS), cases))
    assert {name: sign in result.escaped.get(name, []) for name, sign in SIGNS.items()} == dict.fromkeys(SIGNS, True)
    assert result.broken == []


def test_targets_leave_open_files_as_they_are():
    """A pipe for the result at the number of a target was closed, in a process with so many files open."""
    source, sink = os.pipe()
    pipes = [fcntl.fcntl(sink, fcntl.F_DUPFD, number) for number in range(38, 48)]

    def watched():
        with Watch(LIMITS):
            return [os.path.sameopenfile(pipe, sink) for pipe in pipes]

    try:
        same = in_namespaces(watched)
    finally:
        for descriptor in (source, sink, *pipes):
            os.close(descriptor)
    assert same == [True] * len(pipes)


def test_nothing_is_left_after_hundreds_of_runs(one_backend):
    figures = in_namespaces(lambda: run_mixed(one_backend, 300, random.Random(0)))
    assert figures["wrong"] == []
    assert figures["runs"] == 300
