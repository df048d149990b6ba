"""Tool calls and answers written as text become control tokens, once each; a call that cannot be read is refused by file:line."""

import json

import pytest

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.errors import UserError
from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import Message, get_renderer
from tests.command_line import run

TAGS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
CALL = {"name": "f", "arguments": {"a": 1}}
TEXT = json.dumps(CALL)


@pytest.fixture
def read(tmp_path):
    """Read rows from a file `rows.jsonl` through the loader of training data."""

    def load(*rows, **spec):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_examples([DatasetSpec(str(path), **spec)])[0]

    return load


def hermes(*values, **columns):
    """A conversation in ShareGPT's form: (speaker, text), ..."""
    return {"conversations": [{"from": speaker, "value": value} for speaker, value in values], **columns}


def asked(answer):
    return hermes(("human", "call f"), ("gpt", answer))


def test_tags_in_text_become_control_tokens_once_each(tmp_path, capsys):
    system = 'You call functions. <tools>[{"name":"f"}]</tools> Write <tool_call>\n{"name": <name>}\n</tool_call>.'
    row = hermes(
        ("system", system),
        ("human", "call f"),
        ("gpt", f"I look.\n<tool_call>\n{TEXT}\n</tool_call>"),
        ("tool", '<tool_response>\n{"ok": true}\n</tool_response>'),
        ("gpt", "Done."),
    )
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    code, out, err = run(capsys, "inspect", path, "--model", "tiny", "--json")
    assert code == 0, err
    tokenizer = load_tokenizer("tiny")
    plain, ids = get_renderer(tokenizer).plain, dict(zip(TAGS, tokenizer.convert_tokens_to_ids(TAGS), strict=True))
    first, second = (json.loads(line) for line in out.splitlines())
    call = [ids["<tool_call>"], *plain(TEXT), ids["</tool_call>"]]
    opening = [6, 8, *plain(system), 6, *plain("call f")]
    answer = [*plain("I look."), *call, 11]
    assert first["input_ids"] == [*opening, 7, *answer]
    response = [6, ids["<tool_response>"], *plain('{"ok": true}'), ids["</tool_response>"]]
    assert second["input_ids"] == [*opening, 10, *answer, *response, 7, *plain("Done."), 11]


SAME = [
    f"<tool_call>{TEXT}</tool_call>",
    f"\n<tool_call>\n  {TEXT}\n</tool_call>\n",
    f"<tool_call>[{TEXT}]</tool_call>",
    "<tool_call>\n{'arguments': {'a': 1}, 'name': 'f'}\n</tool_call>",
    '<tool_call>{"name": "f", "parameters": {"a": 1}}</tool_call>',
    '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>',
    f'<tool_call>{{"id": "c1", "type": "function", "function": {TEXT}}}</tool_call>',
    f"<functioncall> {TEXT} <|endoftext|>",
    '<functioncall> {"name": "f", "arguments": \'{"a": 1}\'} <|endoftext|>',
    '<functioncall>{"name": "f", "arguments": \'{\n"a": 1\n}\'}</functioncall>',
]


@pytest.mark.parametrize("text", SAME)
def test_a_call_is_the_same_in_every_spelling(read, text):
    columns = [
        asked(text),
        {"messages": [{"role": "user", "content": "call f"}, {"role": "assistant", "content": text}]},
        {"messages": [{"role": "user", "content": "call f"}, {"role": "assistant", "content": text, "tool_calls": [CALL]}]},
        {"prompt": "call f", "completion": text},
        {"prompt": "call f", "response": text},
        {"instruction": "call f", "output": text},
    ]  # fmt: skip
    for row in columns:
        (example,) = read(row)
        assert example.messages == (Message("user", "call f"),)
        assert example.answer == Message("assistant", "", (CALL,))


def test_several_calls_and_answers_keep_their_order(read):
    calls = [{"name": "f", "arguments": {"a": n}} for n in range(3)]
    in_tags = "\n".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in calls)
    by_line = "<tool_call>\n" + "\n".join(json.dumps(call) for call in calls) + "\n</tool_call>"
    answers = "<tool_response>\n1\n</tool_response>\n<tool_response>\n</tool_response><tool_response>3</tool_response>"
    for text in (in_tags, by_line):
        for speaker in ("tool", "human"):  # templates such as Qwen's write answers of tools as the user
            _, last = read(hermes(("human", "call f"), ("gpt", text), (speaker, answers), ("gpt", "Done.")))
            assert last.messages[1].tool_calls == tuple(calls)
            assert last.messages[2:] == (Message("tool", "1"), Message("tool", ""), Message("tool", "3"))


@pytest.mark.parametrize(
    "text",
    [
        "Write `<tool_call>` before a call.",
        f"For example:\n```xml\n<tool_call>{TEXT}</tool_call>\n```\nand no more",
        "an open fence ```\n<tool_call>",
        "a tool call, a tool_call, and a < tool_call >",
    ],
)
def test_tags_in_code_are_text(read, text):
    assert read(asked(text))[0].answer == Message("assistant", text)
    (example,) = read(hermes(("human", "What is <tool_response>?"), ("gpt", text)))
    assert example.messages[0] == Message("user", "What is <tool_response>?")


def test_tags_in_thoughts_are_text(read):
    thought = "<think>\nFirst <tool_call> f, then\n</tool_call> g.\n</think>"
    assert read(asked(f"{thought}\n{SAME[0]}"))[0].answer == Message("assistant", thought, (CALL,))
    assert read(asked(f"{thought}\nDone."))[0].answer == Message("assistant", f"{thought}\nDone.")


def test_a_message_of_an_unknown_role_is_not_read_as_an_answer_of_a_tool(read):
    content = "<tool_response>1</tool_response>"
    for message in ({"content": content}, {"role": ["tool"], "content": content}):
        with pytest.raises(UserError, match=r"rows\.jsonl:1: unknown role"):
            read({"messages": [{"role": "user", "content": "a"}, message, {"role": "assistant", "content": "b"}]})


def test_the_first_of_several_right_answers_may_be_a_call(read):
    (example,) = read({"prompt": "call f", "response": [SAME[1], "f(a=1)"]})
    assert example.answer == Message("assistant", "", (CALL,))
    assert example.grading["references"] == [SAME[1], "f(a=1)"]


def test_backticks_and_tags_inside_of_a_call_belong_to_the_call(read):
    calls = [{"name": "f", "arguments": {"text": text}} for text in ("one `", "two ```", "<tool_call>", "'`'")]
    text = "Now `x`: " + "".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in calls)
    assert read(asked(text))[0].answer == Message("assistant", "Now `x`:", tuple(calls))


BROKEN = [
    ('<tool_call>{"name": "f", "arguments": {"a": 1}</tool_call>', "broken tool call: invalid JSON"),
    ("<tool_call>f(a=1)</tool_call>", "broken tool call: invalid JSON"),
    ("<tool_call></tool_call>", "broken tool call: invalid JSON"),
    ("<tool_call>[]</tool_call>", "broken tool call: the list of calls is empty"),
    ("<tool_call>[1]</tool_call>", "broken tool call: a call needs a `name`"),
    (f"<tool_call>{TEXT}", "broken tool call: `<tool_call>` has no `</tool_call>`"),
    (f"{TEXT}</tool_call>", "broken tool call: `</tool_call>` has no `<tool_call>`"),
    (f"<tool_call>{TEXT}</tool_call> I called f.", "text behind a tool call: 'I called f.'"),
    (f"<tool_call>{TEXT}</tool_call> and <tool_call>{TEXT}</tool_call>", "text behind a tool call: 'and'"),
    ('<tool_call>{"name": "f", "arguments": {"a": 1, "a": 2}}</tool_call>', "duplicate key: 'a'"),
    ("<tool_call>{'name': 'f', 'arguments': {'a': 1, 'a': 2}}</tool_call>", "broken tool call: invalid JSON"),
    ("<tool_call>{'name': 'f', 'arguments': {'a': (1, 2)}}</tool_call>", "broken tool call: invalid JSON"),
    ("<tool_call>{'name': 'f', 'arguments': {1: 2, '1': 3}}</tool_call>", "broken tool call: invalid JSON"),
    ("<tool_call>{'name': 'f', 'arguments': {'a': 1e999}}</tool_call>", "broken tool call: invalid JSON"),
    ('<tool_call>{"name": "f", "arguments": {"a": NaN}}</tool_call>', "not a finite number: NaN"),
    ('<tool_call>{"name": "f", "arguments": {"a": "\\ud83d"}}</tool_call>', "lone surrogate"),
    ('<tool_call>{"name": "f", "arguments": {"a": "x\ty"}}</tool_call>', "broken tool call: invalid JSON"),
    ('<tool_call>{"name": "f", "arguments": {"a": "x\\u0000\0"}}</tool_call>', "NUL byte"),
    (f'<tool_call>{{"name": "f", "arguments": {"[" * 300}{"]" * 300}}}</tool_call>', "nested too deep"),
    ('<tool_call>{"name": "f", "arguments": {}, "parameters": {"a": 1}}</tool_call>', "both `arguments` and `parameters`"),
    ('<tool_call>{"name": "f", "arguments": {}, "result": 5}</tool_call>', "unknown key `result` in a call of 'f'"),
    ('<tool_call>{"name": "f", "arguments": [1]}</tool_call>', "the arguments of a tool call must be an object"),
    ('<functioncall> {"name": "f", "arguments": \'{"a": 1, "a": 2}\'} <|endoftext|>', "duplicate key: 'a'"),
    ('<functioncall> {"name": "f", "arguments": \'{"a": \'} <|endoftext|>', "the arguments of 'f' are not valid JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), BROKEN)
def test_a_broken_call_is_refused_by_file_and_line(read, text, reason):
    with pytest.raises(UserError) as caught:
        read(asked("fine"), asked(text))
    assert "1 of 2 rows cannot be used" in str(caught.value)
    assert "rows.jsonl:2: " in str(caught.value) and reason in str(caught.value)
    with pytest.raises(UserError, match=r"rows\.jsonl:1: "):
        read({"prompt": "call f", "response": text})


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ('{"a": 1, "a": 2}', "duplicate key: 'a' occurs twice"),
        ('{"a": {"b": 1, "b": 1}}', "duplicate key: 'b' occurs twice"),
        ('{"a": NaN}', "not a finite number: NaN"),
        ('{"a": 1e999}', "not a finite number: 1e999"),
        ('{"a": "\\ud83d"}', "lone surrogate"),
        ('{"a": "x\ny"}', "Invalid control character"),
        ('{"a": "x\0"}', "NUL byte"),
        ('{"a": %s}' % ("7" * 5000), "number too long"),
        ("{'a': 1}", "invalid JSON"),
        ("", "invalid JSON"),
    ],
)
def test_arguments_as_text_are_read_as_strictly_as_rows(read, arguments, reason):
    function = {"name": "f", "arguments": arguments}
    for call in (function, {"type": "function", "function": function}):
        row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]}]}
        with pytest.raises(UserError, match=r"rows\.jsonl:1: broken tool call: the arguments of 'f'") as caught:
            read(row)
        assert reason in str(caught.value)


def test_calls_in_the_text_must_be_those_of_the_message(read):
    other = {"name": "f", "arguments": {"a": 2}}
    message = {"role": "assistant", "content": SAME[0], "tool_calls": [other]}
    with pytest.raises(UserError, match="two kinds of tool calls"):
        read({"messages": [{"role": "user", "content": "a"}, message]})


@pytest.mark.parametrize("answer", ["<tool_response>1", "<tool_response>1</tool_response> more", "a <tool_response>"])
def test_a_broken_answer_of_a_tool_is_refused(read, answer):
    with pytest.raises(UserError, match=r"rows\.jsonl:1: broken tool answer"):
        read(hermes(("human", "call f"), ("gpt", SAME[0]), ("tool", answer), ("gpt", "Done.")))


@pytest.mark.parametrize("wrap", [lambda tool: tool, lambda tool: {"type": "function", "function": tool}])
def test_tools_are_the_same_as_a_list_as_texts_and_as_one_text(read, wrap):
    tools = [wrap(TOOL), wrap({**TOOL, "name": "g"})]
    for column in (tools, json.dumps(tools), [json.dumps(tool) for tool in tools]):
        (example,) = read({"prompt": "call f", "response": SAME[0], "tools": column})
        assert example.messages == (Message("system", json.dumps(tools)), Message("user", "call f"))
    with pytest.raises(UserError, match=r"rows\.jsonl:1: `tools` is not valid JSON: duplicate key: 'a'"):
        read({"prompt": "call f", "response": SAME[0], "tools": ['{"a": 1, "a": 2}']})


TOOL = {"name": "f", "description": "Add", "parameters": {"a": {"type": "int", "description": "number"}}}


@pytest.mark.parametrize(
    ("listed", "column", "repeated"),
    [
        (json.dumps([TOOL]), [TOOL], True),
        (json.dumps([TOOL]), json.dumps([{"type": "function", "function": TOOL}]), True),
        (json.dumps({"type": "function", "function": TOOL}) + "\n", [TOOL], True),
        (str([TOOL]), [TOOL], True),
        (json.dumps([TOOL]), [{**TOOL, "name": "g"}], False),
        ("", [TOOL], False),
        ("[{", [TOOL], False),
    ],
)
def test_tools_stand_once_in_the_prompt(read, listed, column, repeated):
    system = f"Signatures are within <tools></tools> tags: <tools>{listed}</tools>"
    row = hermes(("system", system), ("human", "call f"), ("gpt", SAME[0]), tools=column)
    (example,) = read(row)
    texts = [message.content for message in example.messages if message.role == "system"]
    tools = json.loads(column) if isinstance(column, str) else column
    assert texts == [system] if repeated else [system, json.dumps(tools)]
