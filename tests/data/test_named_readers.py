"""Published data sets are read by `format: NAME` as they are published; other columns get a mapping that can be pasted."""

import json
import re
import shlex

import pytest

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.named_readers import NAMED_READERS, files_beside
from hrm_align.data.schemas import OPTIONAL
from hrm_align.errors import UserError
from hrm_align.rendering import Message
from hrm_align.rewards.base import create_grader
from hrm_align.rewards.references import grade_row
from tests.command_line import run

USER, ANSWER = Message("user", "How many legs do six bees have?"), Message("assistant", "They have 36.")
CHAT = [{"role": "user", "content": USER.content}, {"role": "assistant", "content": ANSWER.content}]
SHAREGPT = [{"from": "human", "value": USER.content}, {"from": "gpt", "value": ANSWER.content}]
BE_BRIEF = Message("system", "Be brief.")
PARAMETERS = {
    "city": {"description": "Name of the city", "type": "str", "default": "Rome"}
}  # no JSON Schema around them
XLAM_TOOL = {"name": "weather", "description": "Weather of a city", "parameters": PARAMETERS}
CALL = {"name": "weather", "arguments": {"city": "Oslo"}}
TRUTH = [
    {
        "weather": {
            "city": ["Oslo", "Oslo, Norway"],
            "unit": ["C", ""],
            "days": [[1, 2]],
            "at": [{"hour": [7], "zone": [""]}],
        }
    }
]
TRUTH_CALL = {"name": "weather", "arguments": {"city": "Oslo", "days": [1, 2], "at": {"hour": 7}}}
GLAIVE_SYSTEM = "You are a helpful assistant with access to the following functions. Use them if required -"
GLAIVE_TOOLS = [
    {"name": "weather", "description": "Get {it}", "parameters": {"type": "object", "properties": {}}},
    {"name": "g"},
]
GLAIVE_CHAT = (
    "USER: Weather in Oslo?\n\n\nASSISTANT: Which day,\nUSER: today? <|endoftext|>\n\n\nUSER: Today.\n\nPlease.\n\n\n"
    'ASSISTANT: <functioncall> {"name": "weather", "arguments": \'{\n  "city": "Oslo",\n  "note": "it\\\'s \\"now\\""\n}\'} <|endoftext|>'
    '\n\n\nFUNCTION RESPONSE: {"sky": "clear"}\n\n\nASSISTANT: It is clear. <|endoftext|>\n\n\n'
)
SLIM = [
    {"from": "system", "value": BE_BRIEF.content, "weight": None},
    {"from": "human", "value": USER.content, "weight": 0.0},
    {"from": "gpt", "value": ANSWER.content, "weight": 1.0},
]

# Rows in their published form, and the prompt, answer, group and grading of the last example of each.
ROWS = {
    "smol_smoltalk": [({"messages": CHAT, "source": "smol-magpie-ultra"}, [USER], ANSWER, "smol-magpie-ultra", {})],
    "ultrachat": [({"prompt": USER.content, "prompt_id": "f1", "messages": CHAT}, [USER], ANSWER, None, {})],
    "no_robots": [({"prompt": USER.content, "prompt_id": "f1", "messages": CHAT, "category": "Open QA"}, [USER], ANSWER, "Open QA", {})],
    "tulu3": [({"id": "a_1", "messages": CHAT, "source": "ai2-adapt-dev/flan"}, [USER], ANSWER, "ai2-adapt-dev/flan", {})],
    "openorca": [
        ({"id": "niv.1", "system_prompt": "Be brief.", "question": USER.content, "response": ANSWER.content}, [BE_BRIEF, USER], ANSWER, None, {}),
        ({"id": "t0.1", "system_prompt": "", "question": USER.content, "response": ANSWER.content}, [USER], ANSWER, None, {}),
    ],
    "slimorca": [({"conversations": SLIM}, [BE_BRIEF, USER], ANSWER, None, {})],
    "openhermes": [
        (dict.fromkeys(NAMED_READERS["openhermes"].labels) | {"conversations": SHAREGPT, "source": "glaive"}, [USER], ANSWER, None, {}),
        ({"conversations": SHAREGPT, "system_prompt": "Be brief.", "skip_prompt_formatting": False}, [BE_BRIEF, USER], ANSWER, None, {}),
        ({"conversations": SLIM, "system_prompt": "Be brief.", "category": "orca"}, [BE_BRIEF, USER], ANSWER, None, {}),
    ],
    "dolly": [
        (
            {"instruction": "Legs?", "context": "Bees.", "response": ANSWER.content, "category": "closed_qa"},
            [Message("user", "Bees.\n\nLegs?")],
            ANSWER,
            "closed_qa",
            {},
        ),
        ({"instruction": USER.content, "context": "", "response": ANSWER.content, "category": "open_qa"}, [USER], ANSWER, "open_qa", {}),
    ],
    "numinamath": [
        ({"source": "cn_k12", "problem": USER.content, "solution": ANSWER.content, "messages": CHAT}, [USER], ANSWER, "cn_k12", {}),
    ],
    "gsm8k": [
        (
            {"question": USER.content, "answer": "They have 6*6=<<6*6=36>>36 legs.\n#### 36"},
            [USER],
            Message("assistant", "They have 6*6=<<6*6=36>>36 legs.\n#### 36"),
            None,
            {"references": ["36"]},
        ),
        ({"question": USER.content, "answer": "#### 1,080 "}, [USER], Message("assistant", "#### 1,080 "), None, {"references": ["1080"]}),
    ],
    "trivia_qa": [
        (
            {
                "question": USER.content, "question_id": "tc_1", "question_source": "http://a", "entity_pages": {"title": []},
                "search_results": {"rank": []},
                "answer": {"value": "36", "aliases": ["36", "Thirty-six"], "normalized_aliases": ["36"], "type": "Numerical"},
            },
            [USER],
            Message("assistant", "36"),
            None,
            {"references": ["36", "Thirty-six"]},
        ),
    ],
    "squad": [
        (
            {"id": "5733", "title": "Bees", "context": "Bees.", "question": "Legs?", "answers": {"text": ["6", "six", "6"], "answer_start": [1, 2, 1]}},
            [Message("user", "Bees.\n\nLegs?")],
            Message("assistant", "6"),
            "Bees",
            {"references": ["6", "six"]},
        ),
    ],
    "nq_open": [
        ({"question": USER.content, "answer": ["36", "thirty-six"]}, [USER], Message("assistant", "36"), None, {"references": ["36", "thirty-six"]}),
    ],
    "magicoder": [
        (
            {"lang": "python", "raw_index": 1, "index": 2, "seed": "x = 1", "openai_fingerprint": "fp", "problem": USER.content, "solution": ANSWER.content},
            [USER],
            ANSWER,
            "python",
            {},
        ),
        ({"problem": None, "instruction": USER.content, "response": ANSWER.content}, [USER], ANSWER, None, {}),
    ],
    "xlam": [
        (
            {"id": 7, "query": USER.content, "answers": json.dumps([CALL]), "tools": json.dumps([XLAM_TOOL])},
            [Message("system", json.dumps([XLAM_TOOL])), USER],
            Message("assistant", "", (CALL,)),
            None,
            {},
        ),
        ({"id": 8, "query": USER.content, "answers": "[]", "tools": "[]"}, [USER], Message("assistant", ""), None, {"possible": []}),
    ],
    "bfcl": [
        (
            {"id": "live_simple_1-2-0", "question": [CHAT[:1]], "function": [XLAM_TOOL], "ground_truth": TRUTH},
            [Message("system", json.dumps([XLAM_TOOL])), USER],
            Message("assistant", "", (TRUTH_CALL,)),
            "live_simple",
            {"possible": TRUTH},
        ),
        (
            {"id": "irrelevance_0", "question": [CHAT[:1]], "function": [XLAM_TOOL]},
            [Message("system", json.dumps([XLAM_TOOL])), USER],
            Message("assistant", ""),
            "irrelevance",
            {"possible": []},
        ),
        (
            {"question": USER.content, "function": XLAM_TOOL, "ground_truth": TRUTH},
            [Message("system", json.dumps([XLAM_TOOL])), USER],
            Message("assistant", "", (TRUTH_CALL,)),
            None,
            {"possible": TRUTH},
        ),
    ],
    "hermes_function_calling": [
        (
            {
                "id": "a", "tools": json.dumps([XLAM_TOOL]), "category": "Weather", "subcategory": "City", "task": "Forecast",
                "conversations": [
                    {"from": "system", "value": f"Tools: <tools> {[XLAM_TOOL]} </tools>"},
                    {"from": "human", "value": USER.content},
                    {"from": "gpt", "value": f"<tool_call>\n{CALL}\n</tool_call>\n"},
                ],
            },
            [Message("system", f"Tools: <tools> {[XLAM_TOOL]} </tools>"), USER],
            Message("assistant", "", (CALL,)),
            "Weather",
            {},
        ),
    ],
    "glaive": [
        (
            {"system": "SYSTEM: " + GLAIVE_SYSTEM + "\n" + "\n\n".join(json.dumps(tool, indent=4) for tool in GLAIVE_TOOLS) + "\n", "chat": GLAIVE_CHAT},
            [
                Message("system", GLAIVE_SYSTEM),
                Message("system", json.dumps(GLAIVE_TOOLS)),
                Message("user", "Weather in Oslo?"),
                Message("assistant", "Which day,\nUSER: today?"),
                Message("user", "Today.\n\nPlease."),
                Message("assistant", "", ({"name": "weather", "arguments": {"city": "Oslo", "note": 'it\'s "now"'}},)),
                Message("tool", '{"sky": "clear"}'),
            ],
            Message("assistant", "It is clear."),
            None,
            {},
        ),
        (
            {"system": "SYSTEM: You are a helpful assistant, with no access to external functions.", "chat": f"USER: {USER.content}\nASSISTANT: {ANSWER.content}"},
            [Message("system", "You are a helpful assistant, with no access to external functions."), USER],
            ANSWER,
            None,
            {},
        ),
    ],
}  # fmt: skip


def write(path, *rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", NAMED_READERS)
def test_a_published_data_set_is_read_by_name_with_every_column_accounted_for(tmp_path, name):
    path = write(tmp_path / "rows.jsonl", *(row for row, *_ in ROWS[name]))
    examples, counts = load_examples([DatasetSpec(str(path), format=name)])
    last = {example.source: example for example in examples}
    for example, (_, prompt, answer, group, grading) in zip(last.values(), ROWS[name], strict=True):
        assert list(example.messages) == prompt
        assert (example.answer, example.group, example.grading) == (answer, group, grading)
    published = {column for row, *_ in ROWS[name] for column in row}
    assert counts.datasets[0].unused_columns == sorted(published.intersection(NAMED_READERS[name].labels))
    spare = write(tmp_path / "spare.jsonl", *({**row, "unknown": 1} for row, *_ in ROWS[name]))
    with pytest.raises(UserError, match=r"(?s)`unknown` \(.*spare\.jsonl:1, .*--ignore_columns unknown"):
        load_examples([DatasetSpec(str(spare), format=name)])


@pytest.mark.parametrize("name", NAMED_READERS)
def test_a_row_without_a_published_column_is_refused_by_name(tmp_path, name):
    row, *_ = ROWS[name][0]
    columns = {
        *NAMED_READERS[name].required,
        *({"problem", "solution"} & row.keys()),
        *({"system", "function"} & row.keys()),
    }
    for missing in columns:
        path = write(tmp_path / "rows.jsonl", {key: value for key, value in row.items() if key != missing})
        with pytest.raises(UserError, match=rf"rows\.jsonl:1: column `({missing}|instruction)` is missing"):
            load_examples([DatasetSpec(str(path), format=name)])


BAD = [
    ("gsm8k", {"question": "a", "answer": "36"}, "`answer` does not end in `#### number`"),
    ("gsm8k", {"question": "a", "answer": 36}, "`answer` must be text: got int"),
    ("xlam", {"query": "a", "answers": '[{"name": "f", "arguments": {"a": 1, "a": 2}}]', "tools": "[]"}, "duplicate key: 'a'"),
    ("xlam", {"query": "a", "answers": '{"name": "f"}', "tools": "[]"}, "`answers` must be a list of calls"),
    ("xlam", {"query": "a", "answers": '["f"]', "tools": "[]"}, "broken tool call: a call needs a `name`"),
    ("xlam", {"query": "a", "answers": "[]", "tools": "[{]"}, "`tools` is not valid JSON"),
    ("bfcl", {"id": "multi_turn_base_0", "question": [CHAT[:1], CHAT[:1]], "function": []}, "several turns: `question` has 2"),
    ("bfcl", {"id": "simple_0", "question": [CHAT[:1]], "function": []}, "no file possible_answer/rows.jsonl beside it"),
    ("bfcl", {"id": "exec_simple_0", "question": [CHAT[:1]], "function": [], "ground_truth": ["f(a=1)"]}, "`ground_truth` must be"),
    ("glaive", {"system": "SYSTEM: a -\n{\"name\": }", "chat": "USER: a\n\n\nASSISTANT: b"}, "broken tools: invalid JSON"),
    ("glaive", {"system": "SYSTEM: a", "chat": "USER: a"}, "no assistant message"),
    ("glaive", {"system": "SYSTEM: a", "chat": "Hi USER: a\n\n\nASSISTANT: b"}, "`chat` must begin with `USER:`"),
    ("glaive", {"system": "SYSTEM: a", "chat": "USER: a\n\n\nASSISTANT: <functioncall> {\"name\": <|endoftext|>"}, "broken tool call"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "row", "reason"), BAD)
def test_a_row_in_another_form_is_refused_by_file_and_line(tmp_path, name, row, reason):
    path = write(tmp_path / "rows.jsonl", row)
    with pytest.raises(UserError) as caught:
        load_examples([DatasetSpec(str(path), format=name)])
    assert "rows.jsonl:1: " in str(caught.value) and reason in str(caught.value)


def test_answers_of_bfcl_are_found_in_their_own_file(tmp_path):
    question = {"id": "simple_0", "question": [CHAT[:1]], "function": [XLAM_TOOL]}
    path = write(tmp_path / "BFCL_v3_simple.jsonl", question, {**question, "id": "simple_1"})
    answers = tmp_path / "possible_answer" / path.name
    write(answers, {"id": "simple_1", "ground_truth": []}, {"id": "simple_0", "ground_truth": TRUTH})
    first, second = load_examples([DatasetSpec(str(path), format="bfcl")])[0]
    assert (first.answer.tool_calls, first.grading["possible"]) == ((TRUTH_CALL,), TRUTH)
    assert (second.answer.tool_calls, second.grading["possible"]) == ((), [])
    assert files_beside("bfcl", [str(path)]) == [str(answers)]
    assert files_beside("gsm8k", [str(path)]) == files_beside(None, [str(path)]) == []
    path = write(tmp_path / "BFCL_v3_java.jsonl", question)
    assert files_beside("bfcl", [str(path)]) == []
    write(tmp_path / "possible_answer" / path.name, {"id": "java_1", "ground_truth": TRUTH})
    with pytest.raises(UserError, match=r"possible_answer/BFCL_v3_java\.jsonl has no row with the id 'simple_0'"):
        load_examples([DatasetSpec(str(path), format="bfcl")])
    path = write(tmp_path / "BFCL_v3_sql.jsonl", question)
    (tmp_path / "possible_answer" / path.name).write_text('{"id": "simple_0", "id": "simple_0", "ground_truth": []}')
    with pytest.raises(UserError, match=r"possible_answer/BFCL_v3_sql\.jsonl:1: duplicate key: 'id'"):
        load_examples([DatasetSpec(str(path), format="bfcl")])


@pytest.mark.parametrize(
    ("name", "grader", "right", "wrong"),
    [
        ("gsm8k", "exact", "36", "37"),
        ("gsm8k", "math", "so 36 legs", "so 37 legs"),
        ("trivia_qa", "exact", "Thirty-six", "35"),
        ("squad", "exact", "six", "five"),
        ("nq_open", "exact", "thirty-six", "35"),
        ("xlam", "tool_calls", f"<tool_call>{json.dumps(CALL)}</tool_call>", "Oslo"),
        (
            "bfcl",
            "tool_calls",
            json.dumps({**TRUTH_CALL, "arguments": TRUTH_CALL["arguments"] | {"city": "Oslo, Norway"}}),
            "{}",
        ),
    ],
)
def test_graders_take_what_the_reader_states(tmp_path, name, grader, right, wrong):
    path = write(tmp_path / "rows.jsonl", ROWS[name][0][0])
    (example,) = load_examples([DatasetSpec(str(path), format=name)])[0]
    grade = create_grader(grader, {})
    assert grade_row(grade, right, example)[0] == 1
    assert grade_row(grade, wrong, example)[0] == 0
    assert grade_row(grade, example.reference, example)[0] == 1


def test_rows_on_which_no_tool_may_be_called_are_evaluated(tmp_path, capsys):
    path = write(tmp_path / "rows.jsonl", *(row for row, *_ in ROWS["bfcl"][:2]))
    flags = ("--model", "tiny", "--max_new_tokens", 4, "--match", "tool_calls", "--json")
    code, out, err = run(capsys, "evaluate", "--data", path, "--format", "bfcl", *flags)
    assert code == 0, err
    assert {name: score["n"] for name, score in json.loads(out)["groups"].items()} == {
        "live_simple": 1,
        "irrelevance": 1,
    }
    code, _, err = run(capsys, "evaluate", "--data", write(tmp_path / "rows.jsonl", {"prompt": "a"}), *flags)
    assert code == 2 and "the row has no reference answer" in " ".join(err.split())


def test_columns_of_a_recipe_label_published_rows(tmp_path):
    path = write(tmp_path / "rows.jsonl", {**ROWS["gsm8k"][0][0], "level": "easy"})
    (example,) = load_examples([DatasetSpec(str(path), format="gsm8k", columns={"group": "level"})])[0]
    assert (example.group, example.grading) == ("easy", {"references": ["36"]})


# Columns that fit no schema, and the mapping that the error proposes.
GUESSES = [
    ({"Question": "a", "Answer": "b"}, {"prompt": "Question", "response": "Answer"}),
    ({"question": "a", "answer": "b", "rating": 3}, {"prompt": "question", "response": "answer"}),
    ({"instruction": "a", "answer": "b"}, {"prompt": "instruction", "response": "answer"}),
    ({"query": "a", "response": "b"}, {"prompt": "query"}),
    ({"problem": "a", "solution": "b", "answer": "c"}, {"prompt": "problem", "response": "solution"}),
    ({"input": "a", "output": "b"}, {"prompt": "input", "response": "output"}),
    ({"Instruction": "a", "Input": "x", "Output": "b"}, {"instruction": "Instruction", "input": "Input", "output": "Output"}),
    ({"instruction": "a", "input": "x", "answer": "b"}, {"output": "answer"}),
    ({"User Input": "a", "expectedOutput": "b"}, {"prompt": "User Input", "response": "expectedOutput"}),
    ({"system_prompt": "s", "Query": "a", "Reply": "b"}, {"prompt": "Query", "response": "Reply", "system": "system_prompt"}),
    ({"promt": "a", "response": "b"}, {"prompt": "promt"}),
    ({"text": "a", "label": "b"}, {"prompt": "text", "response": "label"}),
    ({"prompt_id": "1", "instruction_id": "2", "text": "a", "reply": "b"}, {"prompt": "text", "response": "reply"}),
    ({"inputs": "a", "targets": "b", "language": "English"}, {"prompt": "inputs", "response": "targets"}),
    ({"db_id": "d", "query": "SELECT 1", "question": "a"}, {"prompt": "question", "response": "query"}),
    ({"id": "1", "dialogue": "A: hi", "summary": "b"}, {"prompt": "dialogue", "response": "summary"}),
    ({"Question": "a", "Context": "c", "Answer": "b"}, {"prompt": "Question", "response": "Answer", "context": "Context"}),
    ({"Context": "a", "Response": "b"}, {"prompt": "Context", "response": "Response"}),
    ({"task_id": 1, "text": "a", "code": "b"}, {"prompt": "text", "response": "code"}),
    ({"dialog": CHAT}, {"messages": "dialog"}),
    ({"Conversation": CHAT}, {"messages": "Conversation"}),
]  # fmt: skip


@pytest.mark.parametrize(("row", "mapping"), GUESSES)
def test_the_proposed_mapping_can_be_pasted(tmp_path, capsys, row, mapping):
    path = write(tmp_path / "rows.jsonl", row)
    code, _, err = run(capsys, "inspect", path, "--model", "tiny", "--json")
    flat = " ".join(err.split())
    written = json.dumps(mapping)
    assert code == 2 and f"--columns '{written}'" in flat and f"set `columns` of the data set to {written}" in flat
    assert "grading`" not in flat
    pasted = shlex.split(re.search(r"(--columns '.*?'.*?), or", flat)[1])
    assert run(capsys, "inspect", path, "--model", "tiny", "--json", *pasted)[0] == 0


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"text": "a"}, "A text alone has no prompt and no answer"),
        ({"prompt": "a", "id": 1}, "--format prompt_only"),
        ({"prompt": "a", "rating": 5}, "--format prompt_only"),
        ({"rating": 5, "title": "a"}, "Rename the columns"),
    ],
)
def test_without_a_guess_the_error_says_what_can_be_done(tmp_path, row, sentence):
    path = write(tmp_path / "rows.jsonl", row)
    with pytest.raises(UserError) as caught:
        load_examples([DatasetSpec(str(path))])
    assert sentence in str(caught.value) and "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("name", ["openorca", "gsm8k", "xlam", "bfcl", "glaive"])
def test_published_rows_without_a_format_are_told_their_reader(tmp_path, name):
    path = write(tmp_path / "rows.jsonl", ROWS[name][0][0])
    with pytest.raises(UserError, match=f"The rows look like those of {name}, which --format {name} reads"):
        load_examples([DatasetSpec(str(path))])


def test_an_ordinary_table_is_not_taken_for_a_published_one(tmp_path):
    path = write(tmp_path / "rows.jsonl", {"question": "a", "answer": "b"})
    with pytest.raises(UserError) as caught:
        load_examples([DatasetSpec(str(path))])
    assert "look like" not in str(caught.value)


def test_every_published_column_is_read_or_a_label():
    for reader in NAMED_READERS.values():
        assert not {*reader.labels} & ({*OPTIONAL, *reader.reads, *reader.columns.values()} - {"task"})
