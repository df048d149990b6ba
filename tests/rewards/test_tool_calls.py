"""Tool calls: read in every written form, compared by name and value, in any order; and a call that must not be made."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hrm_align.rewards.base import create_grader
from hrm_align.rewards.suite import RewardSpec, RewardSuite
from hrm_align.rewards.tool_reading import Unreadable, read_tool_calls
from tests.command_line import run
from tests.rewards.rows import row

CITIES = ["Graz", "Cork", "Pisa", "Brno", "Lviv"]
TOOL = {
    "type": "function",
    "function": {"name": "weather.at", "description": "Weather", "parameters": {"type": "object"}},
}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def expected(number: int) -> dict[str, Any]:
    """Return the correct call of a row: texts, numbers, a truth value, lists and objects."""
    return call(
        "weather.at",
        city=CITIES[number % 5],
        days=number + 1,
        height=number + 0.5,
        metric=number % 2 == 0,
        hours=[number, 12],
        place={"country": "AT", "lat": 47.5},
    )


def possible(number: int) -> list[dict[str, Any]]:
    """Return `grading.possible` of a row: other correct values, and arguments that may be left out."""
    arguments = expected(number)["arguments"]
    listed = {name: [value] for name, value in arguments.items()}
    listed["city"] = [f"{arguments['city']}, Europe", arguments["city"]]
    listed["metric"] += [""]
    listed["place"] = [{"country": ["AT", "Austria"], "lat": [47.5, ""]}]
    listed["unit"] = ["", "celsius"]
    return [{"weather.at": listed}]


def tagged(*calls: dict[str, Any]) -> str:
    return "".join(f"<tool_call>{json.dumps(made)}</tool_call>" for made in calls)


def in_python(made: dict[str, Any]) -> str:
    return f"{made['name']}({', '.join(f'{name}={value!r}' for name, value in made['arguments'].items())})"


FORMS = {
    "control tokens": tagged,
    "tags with lines": lambda made: (
        f"I look it up.\n<tool_call>\n{json.dumps(made, indent=1)}\n</tool_call>\nDone: {{}}"
    ),
    "an open tag": lambda made: f"<tool_call>{json.dumps(made)}",
    "a fence": lambda made: f"This is the call:\n\n```json\n{json.dumps(made, indent=2)}\n```\n\nI hope [1] helps.",
    "a fence without a language": lambda made: f"```\n[{json.dumps(made)}]\n```",
    "bare JSON": json.dumps,
    "a list": lambda made: json.dumps([made]),
    "JSON in a sentence": lambda made: f"I call {json.dumps(made)} for [you] {{now}}.",
    "after thinking": lambda made: f"<think>{json.dumps(call('other'))}</think>{tagged(made)}",
    "OpenAI": lambda made: json.dumps(
        {"id": "1", "type": "function", "function": {**made, "arguments": json.dumps(made["arguments"])}}
    ),
    "an OpenAI message": lambda made: json.dumps(
        {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": made}]}
    ),
    "parameters": lambda made: json.dumps({"type": "function", "name": made["name"], "parameters": made["arguments"]}),
    "Python": lambda made: f"[{in_python(made)}]",
    "Python alone": in_python,
    "Python in a fence": lambda made: f"The call is\n```tool_code\n{in_python(made)}\n```\nand that is all.",
    "Python on a line": lambda made: f"The call is\n[{in_python(made)}]",
}

WRONG = {
    "another name": lambda made: tagged({**made, "name": "weather_at"}),
    "a changed text": lambda made: tagged(call(made["name"], **{**made["arguments"], "city": "Oslo"})),
    "a changed number": lambda made: tagged(call(made["name"], **{**made["arguments"], "days": 99})),
    "a number as text": lambda made: tagged(
        call(made["name"], **{**made["arguments"], "days": str(made["arguments"]["days"])})
    ),
    "true as 1": lambda made: tagged(
        call(made["name"], **{**made["arguments"], "metric": int(made["arguments"]["metric"])})
    ),
    "a list in another order": lambda made: tagged(
        call(made["name"], **{**made["arguments"], "hours": made["arguments"]["hours"][::-1]})
    ),
    "a changed key of an object": lambda made: tagged(
        call(made["name"], **{**made["arguments"], "place": {"country": "AT", "lat": 48}})
    ),
    "an unknown key of an object": lambda made: tagged(
        call(made["name"], **{**made["arguments"], "place": {**made["arguments"]["place"], "lon": 1}})
    ),
    "a dropped argument": lambda made: tagged(
        call(made["name"], **{name: value for name, value in made["arguments"].items() if name != "days"})
    ),
    "an unknown argument": lambda made: tagged(call(made["name"], **made["arguments"], extra=1)),
    "the call twice": lambda made: tagged(made, made),
    "another call beside it": lambda made: tagged(made, call("stop")),
    "no call": lambda made: "It is sunny.",
    "no text": lambda made: "",
    "a broken call": lambda made: tagged(made)[:-14],
    "a broken call beside it": lambda made: tagged(made) + "<tool_call>{</tool_call>",
    "two kinds of arguments": lambda made: json.dumps({**made, "parameters": {}}),
}


def data_row(number: int, with_possible: bool) -> dict[str, Any]:
    function = {"type": "function", "function": expected(number)}
    messages = [
        {"role": "user", "content": f"Weather in {CITIES[number % 5]}?"},
        {"role": "assistant", "content": None, "tool_calls": [function]},
    ]
    return {
        "messages": messages,
        "tools": [TOOL],
        **({"grading": {"possible": possible(number)}} if with_possible else {}),
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(data) + "\n" for data in rows))
    return path


def values(rows: list[Any], completions: list[str]) -> list[float | None]:
    with RewardSuite([RewardSpec("tool_calls")], workers=1) as suite:
        scores = suite.score(completions, rows)
    assert not scores.faults
    return scores.values["tool_calls"]


@pytest.mark.parametrize("with_possible", [True, False])
def test_every_written_form_gets_1_and_every_wrong_call_0_through_the_command(
    capsys, tmp_path: Path, with_possible: bool
):
    rows, completions, wanted = [], [], []
    for number in range(4):
        for value, forms in ((1, FORMS), (0, WRONG)):
            for form in forms.values():
                rows.append(data_row(number, with_possible))
                completions.append({"completion": form(expected(number))})
                wanted.append(value)
    data, answers = write(tmp_path / "rows.jsonl", rows), write(tmp_path / "answers.jsonl", completions)
    for part in (1, 0):
        chosen = [index for index, value in enumerate(wanted) if value == part]
        write(data, [rows[index] for index in chosen])
        write(answers, [completions[index] for index in chosen])
        code, out, err = run(capsys, "rewards", "tool_calls", "--data", data, "--completions", answers, "--json")
        assert code == 0, err
        assert json.loads(out)["values"] == {str(part): len(chosen)} and not json.loads(out)["faults"]


def test_the_preflight_accepts_references_and_each_kind_of_corruption_occurs(capsys, tmp_path: Path):
    rows = [data_row(number, number % 2 == 0) for number in range(24)]
    plain = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    data = write(
        tmp_path / "rows.jsonl", [*rows, {"messages": plain}, {"messages": plain, "grading": {"possible": []}}]
    )
    code, out, err = run(capsys, "rewards", "tool_calls", "--data", data, "--preflight", "--json")
    report = json.loads(out)["rewards"]["tool_calls"]
    assert (code, report["gradable"], report["mean"], report["counts"]) == (0, 26, 1.0, {}), err
    grader = create_grader("tool_calls", {})
    made = [expected(0), call("stop", now=True)]
    kinds = set()
    for line in range(40):
        text = grader.corrupt_reference(row(tagged(*made), f"rows.jsonl:{line}"))  # type: ignore[attr-defined]
        changed = read_tool_calls(text)
        names = [item.name for item in changed] == [item["name"] for item in made]
        kinds.add("dropped" if len(changed) < 2 else "value" if names else "name")
    assert kinds == {"name", "value", "dropped"}
    added = grader.corrupt_reference(row("Hello."))  # type: ignore[attr-defined]
    assert added.startswith("Hello.") and len(read_tool_calls(added)) == 1


def test_correct_values_and_optional_arguments_are_those_of_possible():
    graded = row("", possible=possible(0))
    right = expected(0)["arguments"]
    accepted = [
        {"city": "graz, EUROPE"},
        {"days": 1.0},
        {"unit": "Celsius"},
        {"metric": None},
        {"place": {"country": "Austria"}},
        {"place": {"lat": 47.50, "country": "austria"}},
    ]
    refused = [
        {"unit": "kelvin"},
        {"city": None},
        {"place": {"lat": 47.5}},
        {"place": {"country": ["AT"]}},
        {"hours": [0]},
    ]
    completions = []
    for change in accepted + refused:
        changed = {name: value for name, value in {**right, **change}.items() if value is not None}
        completions.append(tagged(call("weather.at", **changed)))
    assert values([graded] * len(completions), completions) == [1.0] * len(accepted) + [0.0] * len(refused)


def test_nulls_that_arrow_has_filled_in_are_no_tools_and_no_arguments():
    graded = row("", possible=[{"f": {"a": [1], "b": None}, "g": None}])
    assert values([graded, graded], [tagged(call("f", a=1)), tagged(call("f", a=1, b=None))]) == [1.0, 0.0]


def test_nested_lists_of_objects_are_compared_item_by_item():
    graded = row(
        "",
        possible=[{"f": {"where": [[{"field": ["age"], "value": [25, "25"]}, {"field": ["job"]}]], "n": [[1, [2]]]}}],
    )
    right = {"where": [{"field": "Age", "value": 25}, {"field": "job"}], "n": [1, [2]]}
    changes = [{}, {"where": right["where"][::-1]}, {"where": right["where"][:1]}, {"n": [1, 2]}, {"n": [1.0, [2]]}]
    completions = [tagged(call("f", **{**right, **change})) for change in changes]
    assert values([graded] * 5, completions) == [1.0, 0.0, 0.0, 0.0, 1.0]


def test_several_calls_are_a_multiset_and_are_paired_as_a_whole():
    """The first call fits both lists, so that pairing in order would leave the second call without a partner."""
    graded = row("", possible=[{"f": {"a": [1, 2]}}, {"f": {"a": [1]}}])
    reference = row(tagged(call("f", a=1), call("g"), call("g")))
    pairs = [
        (graded, tagged(call("f", a=1), call("f", a=2)), 1.0),
        (graded, tagged(call("f", a=2), call("f", a=1)), 1.0),
        (graded, tagged(call("f", a=2), call("f", a=2)), 0.0),
        (graded, tagged(call("f", a=1)), 0.0),
        (reference, json.dumps([call("g"), call("f", a=1), call("g")]), 1.0),
        (reference, "g()\nf(a=1)\ng()", 1.0),
        (reference, tagged(call("g"), call("f", a=1)), 0.0),
        (reference, tagged(call("g"), call("f", a=1), call("f", a=1)), 0.0),
    ]
    assert values([graded for graded, _, _ in pairs], [text for _, text, _ in pairs]) == [value for *_, value in pairs]


PLAIN = [
    "I cannot help with that.",
    "[]",
    'The row is {"name": "Ada", "age": 36} [1].',
    '```json\n{"a": 1}\n```',
    "```python\nprint('hi')\n```\nUse `f(a)` for it.",
    f"There is {json.dumps([TOOL])}, but it does not fit.",
]
CALLING = [
    "",
    "<think>No tool is needed.",
    tagged(call("f")),
    "I try " + json.dumps(call("f", a=1)),
    json.dumps(call("f", a=1))[:-2],
    '{"name": "f", "arguments": {"a": 1,}}',
    "{'name': 'f', 'arguments': {}}",
    '{"name": "f", "name": "g", "arguments": {}}',
    "<tool_call></tool_call>",
    "[f(a=1)]",
    "[f(a=1), ",
    "Well:\n[f(a=g(1))]",
]


def test_a_row_without_a_call_accepts_plain_text_and_no_call_whole_or_broken():
    rows = [row("Hello.", possible=[]), row("Hello.")]
    for graded in rows:
        assert values([graded] * len(PLAIN), PLAIN) == [1.0] * len(PLAIN)
        assert values([graded] * len(CALLING), CALLING) == [0.0] * len(CALLING)
    assert values([row(""), row("<tool_call>{</tool_call>")], ["Hello.", "Hello."]) == [None, None]


@pytest.mark.parametrize(
    "given, listed, equal",
    [
        ("new york NY", "New York, NY", True),
        ("sci fi", "Sci-Fi", True),
        ("it's", 'it"s', True),
        ("July 4 2022", "july 4, 2022", True),
        ("x ** 2 + 3*x", "x^2 + 3x", True),
        ("No 5", "no. 5", True),
        ("15", "1.5", False),
        ("5", "-5", False),
        ("x2", "x^2", False),
        ("x", "-x", False),
        ("34", "3/4", False),
        ("56", "5 6", False),
        ("20220102", "2022-01-02", False),
        ("...", "", False),
    ],
)
def test_texts_of_possible_are_compared_loosely_and_texts_of_a_reference_exactly(given: str, listed: str, equal: bool):
    grade = create_grader("tool_calls", {}).grade
    assert grade(tagged(call("f", a=given)), row("", possible=[{"f": {"a": [listed]}}])) == float(equal)
    assert grade(tagged(call("f", a=given)), row(tagged(call("f", a=listed)))) == 0.0
    assert grade(tagged(call("f", a=given)), row(tagged(call("f", a=given)))) == 1.0


@pytest.mark.parametrize(
    "listed", [{"f": {}}, ["f"], [{"f": {"a": 1}}], [{"f": [1]}], [{"f": {}, "g": {}}], '[{"f": {}}]', 0]
)
def test_an_invalid_list_of_correct_calls_is_named_with_its_row(capsys, tmp_path: Path, listed: Any):
    data = write(tmp_path / "rows.jsonl", [{"prompt": "?", "response": "Hi", "grading": {"possible": listed}}])
    code, _, err = run(capsys, "rewards", "tool_calls", "--data", data, "--preflight")
    assert code == 2 and f"{data}:1: invalid value in grading.possible: " in err and "Use a list with one object" in err


def test_the_calls_that_were_read_are_shown_as_canonical_json():
    extract = create_grader("tool_calls", {}).extract_answer
    shown = '[{"arguments": {"a": "ü", "b": [1, null]}, "name": "f"}]'
    assert extract('f(b=(1, None), a="ü")') == extract(tagged(call("f", b=[1, None], a="ü"))) == shown
    assert extract("Hello.") == "[]" and extract("<tool_call>") is None


PIECES = [
    "{",
    "[",
    '{"',
    '{"a":',
    '{"name":',
    "[f(",
    "f(a=",
    "-",
    "(",
    "a.",
    "[f()]\n",
    "[1,",
    "f(a=1)\n",
    "```\n",
    "<tool_call>",
]


@pytest.mark.parametrize("start", ["", '<tool_call>{"name": "f", "arguments": {"a": ', "f(a="])
def test_a_hostile_text_takes_linear_time(start: str):
    for piece in PIECES:
        for characters in (15_000, 120_000):
            begin = time.process_time()
            with suppress(Unreadable):
                read_tool_calls(start + piece * (characters // len(piece)))
            assert time.process_time() - begin < 2.0, piece
