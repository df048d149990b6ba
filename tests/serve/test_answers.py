"""What is held back while it may be a stop text, a tool call or half a character leaves at the answer's end."""

import pytest

from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.rollouts.engine import Decoding, Event, Request
from hrm_align.serve.answers import Answer
from hrm_align.serve.requests import Plan


@pytest.mark.parametrize("stop", [(), ("onX",), ("n<", "<bX")])
@pytest.mark.parametrize("calls", [False, True])
@pytest.mark.parametrize("text", ["moon", "1 < 2 moon", "moon <b", "moon \n"])
@pytest.mark.parametrize("is_cut", [False, True])
def test_the_end_of_an_answer_is_whole(text, calls, stop, is_cut):
    renderer = get_renderer(load_tokenizer("tiny"))
    ids = renderer.response(text)[: -1 if is_cut else None]
    request = Request([6, 7], (0,), Decoding(len(ids), greedy=True))
    plan = Plan("tiny", [request], True, stop, False, False, True, False, calls, False, False)
    answer, finish = Answer(plan, 0, renderer), "length" if is_cut else "stop"
    events = [Event(0, 0, token, -1.0, finish if place == len(ids) - 1 else None) for place, token in enumerate(ids)]
    pieces = [piece for event in events if (piece := answer.push(event)) is not None]
    assert "".join(piece.text for piece in pieces) == text and pieces[-1].finish == finish
    assert [token for piece in pieces for token, _ in piece.tokens] == ids and answer.length == len(ids)
