"""Streamed text equals the text of the whole answer, whatever the tokens."""

import random

import pytest

from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.serve.text import TextStream

TEXTS = [
    "",
    "naïve café",
    "a 👩‍👩‍👧 b",
    "日本語 \ufffd end",
    "x <|im_end|> y",
    "one STOP two",
    "SSTSTOPOP",
    "\n\n  tabs\t",
]


@pytest.fixture(scope="module")
def renderer():
    return get_renderer(load_tokenizer("tiny"))


def streamed(renderer, ids, stop=()):
    stream = TextStream(renderer, stop)
    pieces = [stream.push(token) for token in ids]
    return pieces, "".join(pieces) + stream.finish()


@pytest.mark.parametrize("text", TEXTS)
def test_equals_the_whole(renderer, text):
    ids = renderer.response(text)
    pieces, whole = streamed(renderer, ids)
    assert whole == renderer.decode_response(ids) == text
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in text


def test_equals_the_whole_for_any_tokens(renderer):
    draw = random.Random(0)
    size = renderer.encoder.get_vocab_size()
    for _ in range(300):
        ids = [draw.randrange(size) for _ in range(draw.randrange(1, 12))]
        assert streamed(renderer, ids)[1] == renderer.decode_response(ids), ids


@pytest.mark.parametrize(
    "stop", [("STOP",), ("two", "STOP"), ("TOPO", "STST"), ("zzz",), ("",), ("e STO", "one"), ("endX", "yZ", "\tq")]
)
@pytest.mark.parametrize("text", TEXTS)
def test_nothing_at_or_after_a_stop_text(renderer, text, stop):
    ends = [text.find(one) for one in stop if one and one in text]
    pieces, whole = streamed(renderer, renderer.response(text), stop)
    assert whole == (text[: min(ends)] if ends else text)
    assert whole.startswith("".join(pieces))


def test_text_is_not_held_back_without_reason(renderer):
    pieces, _ = streamed(renderer, renderer.response("plain words here"), ("STOP",))
    assert "".join(pieces) == "plain words here"
