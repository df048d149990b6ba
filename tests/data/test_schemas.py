"""Every schema gives the same examples for the same content, and refuses a row it would have to guess about."""

import json

import pytest

from hrm_align.data.examples import Example
from hrm_align.data.schemas import SCHEMAS, RowError, detect_format
from hrm_align.data.specs import rename_columns
from hrm_align.errors import UserError
from hrm_align.rendering import Message

USER, ANSWER = Message("user", "Add 2 and 3.\n\nIn words."), Message("assistant", "five")
CALL = {"name": "add", "arguments": {"a": 2, "b": 3}}
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Sčítá"}}]


def examples(row, columns=None):
    row = rename_columns(row, columns or {})
    return SCHEMAS[detect_format(set(row))].read(row, "file:1", "direct")


def talk(*messages, **columns):
    return {"messages": [{"role": role, "content": content} for role, content in messages], **columns}


SAME = [
    talk(("user", USER.content), ("assistant", ANSWER.content)),
    {"prompt": USER.content, "completion": ANSWER.content},
    {
        "prompt": [{"role": "user", "content": USER.content}],
        "completion": [{"role": "assistant", "content": ANSWER.content}],
    },
    {"prompt": USER.content, "completion": [{"role": "assistant", "content": ANSWER.content}]},
    {"prompt": USER.content, "response": ANSWER.content},
    {"instruction": USER.content, "response": ANSWER.content},
    {"instruction": "Add 2 and 3.", "input": "In words.", "output": ANSWER.content},
    {"instruction": USER.content, "input": "", "output": ANSWER.content},
    {"instruction": USER.content, "output": ANSWER.content},
    {"conversations": [{"from": "human", "value": USER.content}, {"from": "gpt", "value": ANSWER.content}]},
    {"conversations": [{"from": "user", "value": USER.content}, {"from": "chatgpt", "value": ANSWER.content}]},
]


@pytest.mark.parametrize("row", SAME)
def test_every_schema_gives_the_same_example_for_the_same_content(row):
    assert examples(row) == [Example((USER,), ANSWER, "direct", "file:1")]
    labelled = {**row, "condition": "synth, cot", "system": "Be brief.", "task": "sums", "id": 7, "tools": []}
    expected = Example((Message("system", "Be brief."), USER), ANSWER, "synth,cot", "file:1", "sums")
    assert examples(labelled) == [expected]
    assert examples({**labelled, "group": "hard"})[0].group == "hard"


def test_named_columns_make_any_table_a_schema():
    row = {"question": USER.content, "answer": ANSWER.content, "level": "1", "condition": "not ours"}
    columns = {"prompt": "question", "response": "answer", "group": "level", "condition": "tag"}
    assert examples(row, columns) == [Example((USER,), ANSWER, "direct", "file:1", "1")]
    with pytest.raises(RowError, match=r"column `question` is missing: did you mean `questions`\?"):
        examples({"questions": "a", "answer": "b"}, columns)


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_an_optional_column_without_a_value_is_absent(empty):
    row = dict.fromkeys(("condition", "system", "group", "task", "tools", "input"), empty)
    row |= {"instruction": USER.content, "output": ANSWER.content}
    assert examples(row) == [Example((USER,), ANSWER, "direct", "file:1")]


def test_texts_are_taken_verbatim_and_an_empty_answer_is_kept():
    row = {"instruction": "  a \n", "response": " \n"}
    assert examples(row) == [Example((Message("user", "  a \n"),), Message("assistant", " \n"), "direct", "file:1")]


def test_a_conversation_gives_one_example_per_learnt_answer_with_its_history():
    row = talk(("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    row["messages"][2]["weight"] = 0
    row["messages"] += [
        {"role": "user", "content": "e", "weight": None},
        {"role": "assistant", "content": "f", "weight": 1},
    ]
    messages = tuple(Message(message["role"], message["content"]) for message in row["messages"])
    assert examples(row) == [
        Example(messages[:4], messages[4], "direct", "file:1"),
        Example(messages[:6], messages[6], "direct", "file:1"),
    ]


def test_only_the_completion_of_a_prompt_is_learnt():
    prompt, completion = talk(("user", "a"), ("assistant", "b"), ("user", "c")), talk(("assistant", "d"))
    (example,) = examples({"prompt": prompt["messages"], "completion": completion["messages"]})
    assert (example.answer.content, [message.content for message in example.messages]) == ("d", ["a", "b", "c"])


def test_tools_follow_the_system_text_and_tool_calls_are_the_same_in_every_form():
    openai = {
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "2 + 3?"},
            {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": CALL}]},
            {"role": "tool", "content": "5"},
            {"role": "assistant", "content": "five"},
        ],
        "tools": TOOLS,
    }
    in_text = json.loads(json.dumps(openai))
    in_text["messages"][2]["tool_calls"][0]["function"]["arguments"] = json.dumps(CALL["arguments"])
    in_text["tools"] = json.dumps(TOOLS)
    sharegpt = {
        "conversations": [
            {"from": "system", "value": "S"},
            {"from": "human", "value": "2 + 3?"},
            {"from": "function_call", "value": json.dumps(CALL)},
            {"from": "observation", "value": "5"},
            {"from": "gpt", "value": "five"},
        ],
        "tools": TOOLS,
    }
    first, second = examples(openai)
    assert first.messages == (
        Message("system", "S"),
        Message("system", json.dumps(TOOLS, ensure_ascii=False)),
        Message("user", "2 + 3?"),
    )
    assert first.answer == Message("assistant", "", (CALL,))
    assert second.messages == (*first.messages, first.answer, Message("tool", "5"))
    assert examples(in_text) == examples(sharegpt) == [first, second]


def calls(arguments):
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": arguments}]}
    return {"messages": [{"role": "user", "content": "a"}, call]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": None, "response": "b"}, "`prompt` must be text: got null"),
        ({"prompt": 3, "response": "b"}, "`prompt` must be text: got int"),
        ({"prompt": ["a"], "response": "b"}, "`prompt` must be text: got list"),
        ({"prompt": " \n", "response": "b"}, "`prompt` is empty"),
        ({"prompt": "a", "response": None}, "`response` must be text: got null"),
        ({"prompt": "a\ud800", "response": "b"}, "lone surrogate: `prompt` has half a character at position 1"),
        ({"prompt": "a", "response": "b", "condition": "cott"}, "unknown condition 'cott' in 'cott'"),
        ({"prompt": "a", "response": "b", "condition": "cot,cot"}, "condition 'cot,cot' has a repeated tag"),
        ({"prompt": "a", "response": "b", "condition": 1}, "`condition` must be text: got int"),
        ({"prompt": "a", "response": "b", "system": ["s"]}, "`system` must be text: got list"),
        ({"prompt": "a", "response": "b", "group": 3}, "`group` must be text: got int"),
        ({"prompt": "a", "response": "b", "tools": "[{]"}, "`tools` is not valid JSON: invalid JSON"),
        ({"prompt": "a", "response": "b", "tools": {"name": "f"}}, "`tools` must be a list of objects"),
        ({"prompt": "a", "response": "b", "tools": [{"max": float("nan")}]}, "`tools` cannot be written as JSON"),
        ({"prompt": [], "completion": "b"}, "`prompt` is empty"),
        ({"prompt": "a", "completion": [{"role": "user", "content": "b"}]}, "no assistant message"),
        ({"instruction": "", "input": "x", "output": "b"}, "`instruction` is empty"),
        ({"instruction": "a", "input": 5, "output": "b"}, "`input` must be text: got int"),
        ({"messages": "a"}, "`messages` must be a list of objects: got 'a'"),
        ({"messages": ["a"]}, "`messages` must be a list of objects"),
        ({"messages": []}, "`messages` is empty"),
        (talk(("user", "a")), "no assistant message"),
        (talk(("user", "a"), ("assistant", "b"), ("user", "c")), "the conversation ends with a user message"),
        (talk(("user", "a"), ("assistant", "b"), ("tool", "c")), "the conversation ends with a tool message"),
        (talk(("system", " "), ("assistant", "b")), "the conversation opens with an assistant message"),
        (talk(("user", ""), ("assistant", "b")), "a user message is empty: message 1 of `messages`"),
        (talk(("user", "a"), ("bot", "b")), "unknown role 'bot': use one of .* .message 2 of `messages`."),
        (talk(("user", "a"), ("assistant", None)), "the content of a assistant message must be text, got NoneType"),
        (talk(("user", ["a"]), ("assistant", "b")), "the content of a user message must be text, got list"),
        (talk(("user", "a"), ("assistant", "b\udfff")), "lone surrogate: `content`"),
        ({"messages": [{"role": "user", "content": "a"}, {"content": "b"}]}, "unknown role None"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]},
            "no assistant message to learn: each has weight 0",
        ),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0.5}]},
            "`weight` must be 0 or 1: got 0.5",
        ),
        ({"messages": [{"role": "user", "content": "a", "tool_calls": [CALL]}]}, "a user message has tool_calls"),
        (calls("{"), "broken tool call: the arguments of 'f' are not valid JSON"),
        (calls("[" * 100_000), "broken tool call: the arguments of 'f' are not valid JSON .nested too deep"),
        (calls([1]), "the arguments of a tool call must be an object: got .1."),
        (calls({"a": float("inf")}), "`tool_calls` cannot be written as JSON"),
        ({"messages": [{"role": "assistant", "content": "", "tool_calls": "f()"}]}, "`tool_calls` must be a list"),
        ({"conversations": [{"role": "user", "content": "a"}]}, "a turn has no `from`: message 1 .* set columns"),
        ({"conversations": [{"from": "alien", "value": "a"}]}, "unknown `from` 'alien': use one of human, user"),
        ({"conversations": [{"from": ["gpt"], "value": "a"}]}, "unknown `from`"),
        ({"conversations": [{"from": "human", "value": None}]}, "`value` must be text: got null"),
        (
            {"conversations": [{"from": "function_call", "value": "add(2)"}]},
            "`value of a function_call` is not valid",
        ),
        ({"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}]}, "the conversation opens"),
    ],
)
def test_a_row_that_its_schema_does_not_allow_is_refused_with_the_reason(row, reason):
    with pytest.raises(RowError, match=reason):
        examples(row)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_row_without_a_column_of_its_schema_names_that_column(schema):
    *others, last = SCHEMAS[schema].required
    row = {**dict.fromkeys(others, "a"), last[:-1]: "b"}
    with pytest.raises(RowError, match=f"column `{last}` is missing: did you mean `{last[:-1]}`?"):
        SCHEMAS[schema].read(row, "file:1", "direct")


def test_columns_that_fit_no_schema_are_listed_with_the_nearest_names_and_all_schemas():
    with pytest.raises(UserError) as caught:
        detect_format({"promt", "Response", "id"})
    message = str(caught.value)
    assert "the columns Response, id, promt fit no known schema" in message
    assert "Did you mean `prompt` for `promt` and `response` for `Response`?" in message
    assert """Use --columns '{"prompt": "promt", "response": "Response"}'""" in message
    assert all(f"{name} ({', '.join(schema.required)})" in message for name, schema in SCHEMAS.items())


@pytest.mark.parametrize("prompt", [USER.content, [{"role": "user", "content": USER.content}]])
def test_a_prompt_alone_is_a_row_without_an_answer(prompt):
    row = {"prompt": prompt, "condition": "cot", "grading": {"tests": []}}
    (example,) = examples(row)
    assert (example.messages, example.reference, example.condition) == ((USER,), "", "cot")
    with pytest.raises(UserError, match="Did you mean `response` for `respons`"):
        detect_format({"prompt", "respons"})
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    with pytest.raises(RowError, match="ends with an assistant message"):
        examples({"prompt": said})


def test_columns_that_fit_two_schemas_are_not_guessed():
    with pytest.raises(UserError, match=r"prompt_completion and prompt_response\. Set `format`"):
        detect_format({"prompt", "completion", "response"})
