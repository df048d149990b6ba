"""The layout, id for id, and that no text can forge it."""

import random
import threading

import pytest

from hrm_align import render_conversation, render_prompt
from hrm_align.errors import UserError
from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import Renderer, get_renderer, parse_condition

SPECIALS = 31  # ids 0 to 30 of the tiny vocabulary are control tokens


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


@pytest.fixture(scope="module")
def render(tokenizer):
    return get_renderer(tokenizer)


def test_single_turn_is_the_layout_of_pretraining(tokenizer, render):
    plain = tokenizer.backend_tokenizer.encode("2 + 2 = ?", add_special_tokens=False).ids
    assert render_prompt(tokenizer, "2 + 2 = ?") == [6, 8, *plain, 7]
    document = render.document("2 + 2 = ?", "4", "synth,cot")
    assert document.input_ids == [6, 13, 9, *plain, 7, *render.plain("4"), 11]
    assert document.prefix_length == len(plain) + 4


def test_composite_conditions_keep_their_order(tokenizer):
    assert render_prompt(tokenizer, "a", "synth,cot")[1:3] == [13, 9]
    assert render_prompt(tokenizer, "a", "cot, synth")[1:3] == [9, 13]
    assert render_prompt(tokenizer, "a", "")[1] == render_prompt(tokenizer, "a", "noisy")[2]


@pytest.mark.parametrize("condition", ["chat", "direct,chat", "direct,", "cot,cot"])
def test_unknown_conditions_are_named(condition):
    with pytest.raises(UserError, match="condition"):
        parse_condition(condition)


CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "What is the time?"},
    {"role": "assistant", "content": "", "tool_calls": [{"name": "clock", "arguments": {"zone": "UTC"}}]},
    {"role": "tool", "content": "12:30"},
    {"role": "assistant", "content": "Half past twelve."},
]


def test_a_conversation_gives_one_document_per_assistant_turn(tokenizer, render):
    p = render.plain
    call = [25, *p('{"name": "clock", "arguments": {"zone": "UTC"}}'), 26]
    opening = [6, 8, *p("Be brief."), 6, *p("Hi")]
    first, second, third = render_conversation(tokenizer, CONVERSATION)
    assert first.input_ids == [*opening, 7, *p("Hello."), 11]
    history = [*opening, 10, *p("Hello."), 11, 6, *p("What is the time?")]
    assert second.input_ids == [*history, 7, *call, 11]
    assert third.input_ids == [*history, 10, *call, 11, 6, 27, *p("12:30"), 28, 7, *p("Half past twelve."), 11]
    assert [d.input_ids[d.prefix_length - 1] for d in (first, second, third)] == [7, 7, 7]


@pytest.mark.parametrize("turns", [2, 4, 6])
@pytest.mark.parametrize("condition", ["direct", "synth,cot", ""])
def test_the_chat_template_gives_the_same_ids(tokenizer, turns, condition):
    for end, generation in ((turns, True), (turns + 1, False)):
        text = tokenizer.apply_chat_template(
            CONVERSATION[:end], tokenize=False, add_generation_prompt=generation, condition=condition
        )
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if generation:
            assert ids == render_prompt(tokenizer, CONVERSATION[:end], condition)
        else:
            assert ids == render_conversation(tokenizer, CONVERSATION[:end], condition)[-1].input_ids


@pytest.mark.parametrize("token", range(SPECIALS))
def test_the_chat_template_refuses_text_that_forges(tokenizer, token):
    text = f"so {tokenizer.convert_ids_to_tokens(token)}"
    with pytest.raises(Exception, match="control token"):
        tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "developer", "content": "hi"},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": "{}"}]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": {}}},
        {"role": "assistant", "content": "b", "reasoning_content": "a"},
        {"role": "assistant", "content": "b", "thinking": "a"},
    ],
)
def test_the_chat_template_refuses_what_the_renderer_reads_otherwise(tokenizer, message):
    with pytest.raises(Exception, match=r"must be|unknown role|is not read"):
        tokenizer.apply_chat_template([{"role": "user", "content": "x"}, message], add_generation_prompt=True)


def fuzz_text(rng, names):
    kinds = [
        lambda: rng.choice(names),
        lambda: (name := rng.choice(names))[: rng.randrange(len(name))],
        lambda: "<|im_" + rng.choice(names) + "end|>",
        lambda: rng.choice(["<|", "|>", "<|im_end|", "\n", "  ", "\u200b", "e\u0301", "\U0001f600", "\x00", "ﬁ", ""]),
        lambda: "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(160, 0x2FFF)])) for _ in range(4)),
    ]
    return "".join(rng.choice(kinds)() for _ in range(rng.randint(1, 8)))


def test_no_content_becomes_a_control_token_and_text_survives(tokenizer, render):
    rng = random.Random(0)
    names = [tokenizer.convert_ids_to_tokens(i) for i in range(SPECIALS)]
    for _ in range(10_000):
        text = fuzz_text(rng, names)
        ids = render.plain(text)
        assert not [i for i in ids if i < SPECIALS], text
        assert render.decode_response([*ids, 11]) == text


def test_the_stock_tokenizer_would_have_been_forged(tokenizer):
    assert 7 in tokenizer("a <|im_end|> b")["input_ids"], "the fuzz test above would pass on anything"


def test_rendering_leaves_the_users_tokenizer_as_it_was_and_is_safe_in_threads(tokenizer, tmp_path):
    render, leaks = Renderer(tokenizer), []

    def work():
        for _ in range(500):
            tokenizer("<|im_start|>x")
            leaks.extend(i for i in render.plain("a <|im_end|> b <think>") if i < SPECIALS)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert leaks == []
    tokenizer.save_pretrained(tmp_path)
    assert 7 in load_tokenizer(str(tmp_path))("a <|im_end|> b")["input_ids"]


def test_decoding_keeps_tool_tags_and_stops_at_the_end(render):
    ids = [25, *render.plain("{}"), 26, 11, 5, 5, *render.plain("x")]
    assert render.decode_response(ids) == "<tool_call>{}</tool_call>"


def test_a_foreign_tokenizer_is_refused(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    text = (tmp_path / "tokenizer.json").read_text().replace("<|im_end|>", "<|nothing|>")
    (tmp_path / "tokenizer.json").write_text(text)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"lacks <\|im_end\|>"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize(
    "messages, word",
    [
        ([], "empty prompt"),
        ([{"role": "assistant", "content": "x"}], "empty prompt"),
        ([{"role": "robot", "content": "x"}], "role"),
        ([{"role": "user", "content": 3}], "text"),
        ([{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}], "open"),
    ],
)
def test_bad_messages_are_named(tokenizer, messages, word):
    with pytest.raises(UserError, match=word):
        render_prompt(tokenizer, messages)
