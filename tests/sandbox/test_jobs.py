"""Whatever a job's process writes, reading it raises nothing, and only an answer is an answer."""

import json
import random

import pytest

from hrm_align.sandbox.jobs import parse_outcome

ENDED = {"end": "exited", "status": 0, "seconds": 0.5, "reason": ""}


def read(written, calls=1, **end):
    return parse_outcome({**ENDED, **end}, written, calls)


def answer(**changed):
    return json.dumps({"kind": "returned", "message": "", "values": [1], **changed}).encode()


def test_an_answer_is_read():
    assert read(answer(values=[[1, {"a": 1.5}], None]), 2).values == [[1, {"a": 1.5}], None]


@pytest.mark.parametrize(
    "written",
    [
        b"{",
        b"[]",
        b"null",
        b'"returned"',
        b"\xff\xfe",
        answer() + answer(),
        answer() + b"\n{}",
        answer(kind="lost", values=[]),  # which would not be graded
        answer(kind="timeout", values=[]),
        answer(kind=["returned"], values=[]),
        answer(kind="passed"),
        answer(message=None),
        answer(values={"0": 1}),
        answer(values=[]),
        answer(values=[1, 2]),
        answer(kind="raised"),
        answer(extra=1),
        b'{"kind": "returned", "values": [1]}',
        b'{"kind": "returned", "message": "", "values": [NaN]}',
        b'{"kind": "returned", "message": "", "values": [-Infinity]}',
        b'{"kind": "returned", "message": "", "values": [1e999]}',
        b'{"kind": "returned", "message": "", "values": [' + b"9" * 5000 + b"]}",
        b'{"kind": "returned", "message": "", "values": [' + b"[" * 150 + b"]" * 150 + b"]}",
        b'{"kind": "returned", "message": "", "values": ' + b"[" * 400_000 + b"]" * 400_000 + b"}",
        b'{"kind": "returned", "message": "", "values": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    ],
    ids=lambda written: written[:40].decode(errors="replace"),
)
def test_what_is_no_answer_is_refused(written):
    outcome = read(written)
    assert (outcome.kind, outcome.values) == ("refused", [])


def test_noise_is_refused():
    rng = random.Random(0)
    for _ in range(300):
        noise = bytearray(answer(values=[[1, "x", {"k": None}]]))
        for _ in range(rng.randrange(1, 6)):
            noise[rng.randrange(len(noise))] = rng.randrange(256)
        assert read(bytes(noise)).kind in ("refused", "returned", "raised", "memory")


@pytest.mark.parametrize("status, words", [(1, "exit code 1"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-63, "signal 63")])
def test_an_answer_of_a_process_that_failed_does_not_count(status, words):
    outcome = read(answer(), status=status)
    assert (outcome.kind, outcome.values) == ("died", [])
    assert words in outcome.message


def test_an_answer_after_the_deadline_does_not_count():
    assert read(answer(), end="timeout", status=None).kind == "timeout"
    assert read(answer(), end="output", status=-9).kind == "output"


def test_a_message_cannot_write_to_a_terminal():
    message = read(answer(kind="raised", message="\x1b[2J\x00\ud800\u202eevil\n" + "x" * 10_000, values=[])).message
    assert message.isprintable()
    assert len(message) == 200
    message.encode()
