"""Graders of JSON decide as the standard of the schema's own draft says, offline, whatever the schema and the answer are."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from hrm_align.errors import UserError
from hrm_align.evaluation.grading import grade_with
from hrm_align.rewards import json_schema
from hrm_align.rewards.base import RewardSpec, create_grader
from hrm_align.rewards.json_rewards import grade_fields
from hrm_align.rewards.json_schema import JsonSchema
from hrm_align.rewards.preflight import preflight
from hrm_align.rewards.suite import RewardSuite
from tests.command_line import run
from tests.rewards.rows import row

URIS = {
    "3": "http://json-schema.org/draft-03/schema#",
    "4": "http://json-schema.org/draft-04/schema#",
    "6": "http://json-schema.org/draft-06/schema#",
    "7": "http://json-schema.org/draft-07/schema#",
    "2019-09": "https://json-schema.org/draft/2019-09/schema",
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
}
OLD, NEW = ("4", "6", "7"), ("2019-09", "2020-12")
LIST = [{"type": "integer"}, {"type": "string"}]
TREE = {"type": "object", "properties": {"data": True, "children": {"type": "array"}}}

# Drafts, a schema, the instances that it allows, and those that it does not.
CASES: list[tuple[tuple[str, ...], Any, list[str], list[str]]] = [
    # Numbers. Draft 4, 3.5: an integer is a number without a fraction part; draft 6 and later: 1.0 is an integer.
    (("3", "4"), {"type": "integer"}, ["1", "-7", "100000000000000000000"], ["1.0", "true", '"1"']),
    (("6", "7", *NEW), {"type": "integer"}, ["1", "1.0", "1e2", "-0.0"], ["1.5", "true", '"1"']),
    (("4", "6", "7", *NEW), {"type": "number"}, ["1", "1.5"], ["true", "false", "null"]),
    (("4",), {"minimum": 3, "exclusiveMinimum": True}, ["3.1"], ["3", "2"]),
    (("6", "7", *NEW), {"exclusiveMinimum": 3}, ["3.1", "4"], ["3", "3.0"]),
    (("6", "7", *NEW), {"maximum": 9, "exclusiveMaximum": 3}, ["2"], ["3", "8"]),
    (OLD + NEW, {"multipleOf": 0.01}, ["4.35", "19.99", "0.3", "7"], ["4.355"]),
    (OLD + NEW, {"multipleOf": 0.0001}, ["0.0075"], ["0.00751"]),
    (OLD + NEW, {"multipleOf": 0.5}, ["1" + "0" * 400, "1e308"], ["1.2"]),
    # Arrays: `items` as a list of schemas up to 2019-09, `prefixItems` since 2020-12.
    ((*OLD, "2019-09"), {"items": LIST}, ['[1, "a"]', '[1, "a", null]', "[]", "[1]"], ['["a"]', "[1, 1]"]),
    ((*OLD, "2019-09"), {"items": LIST, "additionalItems": False}, ['[1, "a"]'], ['[1, "a", null]']),
    (("2020-12",), {"prefixItems": LIST, "items": False}, ['[1, "a"]', "[]"], ['[1, "a", null]', '["a"]']),
    (("2020-12",), {"prefixItems": LIST, "items": {"type": "null"}}, ['[1, "a", null]'], ['[1, "a", 1]']),
    (("2020-12",), {"additionalItems": False, "items": True}, ["[1]"], []),
    (OLD, {"prefixItems": LIST}, ['["a", 1]'], []),
    (("6", "7"), {"contains": {"minimum": 5}}, ["[1, 5]", '"no array"'], ["[]", "[1]"]),
    (NEW, {"contains": {"minimum": 5}, "minContains": 2, "maxContains": 3}, ["[5, 6]", "[1, 5, 6, 7]"], ["[5]", "[5, 6, 7, 8]"]),
    (NEW, {"contains": {"minimum": 5}, "minContains": 0}, ["[]", "[1]"], []),
    (("7",), {"contains": {"minimum": 5}, "minContains": 2}, ["[5]"], []),
    (("4",), {"contains": {"minimum": 5}}, ["[1]"], []),
    (OLD + NEW, {"uniqueItems": True}, ["[1, true]", "[0, false]", '[1, "1"]', '[{"a": 1}, {"a": true}]'], ["[1, 1.0]", '[{"a": 1, "b": 2}, {"b": 2, "a": 1}]']),
    # Values.
    (("6", "7", *NEW), {"const": 2}, ["2", "2.0"], ["5", '"2"']),
    (("6", "7", *NEW), {"const": {"a": False}}, ['{"a": false}'], ['{"a": 0}']),
    (("4",), {"const": 2}, ["5"], []),
    (OLD + NEW, {"enum": [1, [False]]}, ["1", "1.0", "[false]"], ["true", "[0]"]),
    (OLD + NEW, {"maxLength": 2}, ['"\\ud83d\\udca9\\ud83d\\udca9"', "100"], ['"foo"']),
    (OLD + NEW, {"pattern": "^a+$"}, ['"aa"', "5"], ['"b"', '"a\\n"']),
    (OLD + NEW, {"pattern": "es"}, ['"test"'], ['"tst"']),
    (OLD + NEW, {"format": "date"}, ['"2020-02-30"', '"no date"'], []),
    # Objects.
    (("3",), {"properties": {"a": {"required": True}}}, ['{"a": 1}'], ["{}"]),
    (OLD + NEW, {"required": ["a"]}, ['{"a": 1}', "[]"], ["{}"]),
    (OLD + NEW, {"properties": {"a": {"type": "string"}}, "patternProperties": {"^x-": {}}, "additionalProperties": False}, ['{"a": "", "x-b": 1}'], ['{"b": 1}', '{"a": 1}']),
    (("6", "7", *NEW), {"propertyNames": {"maxLength": 3}}, ['{"abc": 1}', "[]"], ['{"abcd": 1}']),
    (("4",), {"propertyNames": {"maxLength": 3}}, ['{"abcd": 1}'], []),
    (OLD, {"dependencies": {"a": ["b"]}}, ['{"b": 1}', '{"a": 1, "b": 1}'], ['{"a": 1}']),
    (NEW, {"dependentRequired": {"a": ["b"]}}, ['{"b": 1}', '{"a": 1, "b": 1}'], ['{"a": 1}']),
    (NEW, {"dependentSchemas": {"a": {"maxProperties": 1}}}, ['{"a": 1}', '{"b": 1, "c": 1}'], ['{"a": 1, "b": 1}']),
    (("7",), {"dependentRequired": {"a": ["b"]}}, ['{"a": 1}'], []),
    (NEW, {"allOf": [{"properties": {"a": True}}], "unevaluatedProperties": False}, ['{"a": 1}'], ['{"a": 1, "b": 1}']),
    (("7",), {"unevaluatedProperties": False}, ['{"b": 1}'], []),
    (("2019-09",), {"items": [True], "unevaluatedItems": False}, ["[1]"], ["[1, 2]"]),
    (("2020-12",), {"prefixItems": [True], "unevaluatedItems": False}, ["[1]"], ["[1, 2]"]),
    (("2020-12",), {"contains": {"type": "string"}, "unevaluatedItems": False}, ['["a"]'], ['["a", 1]']),
    # Conditions.
    (("7", *NEW), {"if": {"minimum": 5}, "then": {"multipleOf": 2}, "else": {"const": 1}}, ["6", "1"], ["7", "2"]),
    (("6",), {"if": {"minimum": 5}, "then": {"multipleOf": 2}}, ["7"], []),
    (OLD + NEW, {"oneOf": [{"type": "integer"}, {"minimum": 2}]}, ["1", "2.5"], ["3", "1.5"]),
    (OLD + NEW, {"not": {"type": "integer"}}, ['"a"'], ["1"]),
    (("6", "7", *NEW), {"properties": {"a": True, "b": False}}, ["{}", '{"a": 1}'], ['{"b": 1}']),
    # References: their siblings are ignored up to draft 7.
    (OLD, {"properties": {"a": {"$ref": "#/definitions/s", "maxLength": 1}}, "definitions": {"s": {"type": "string"}}}, ['{"a": "abc"}'], ['{"a": 1}']),
    (NEW, {"properties": {"a": {"$ref": "#/$defs/s", "maxLength": 1}}, "$defs": {"s": {"type": "string"}}}, ['{"a": "a"}'], ['{"a": "abc"}', '{"a": 1}']),
    (NEW, {"$ref": "#/definitions/s", "definitions": {"s": {"type": "string"}}}, ['"a"'], ["1"]),
    (OLD + NEW, {"properties": {"a": {"$ref": "#"}}, "additionalProperties": False}, ['{"a": {"a": {}}}'], ['{"a": {"b": {}}}']),
    (OLD + NEW, {"properties": {"$ref": {"type": "string"}}}, ['{"$ref": "a"}'], ['{"$ref": 1}']),
    (OLD + NEW, {"items": {"$ref": "#/x~1y/p%25q"}, "x/y": {"p%q": {"type": "integer"}}}, ["[1]"], ['["a"]']),
    (OLD, {"$ref": "http://json-schema.org/draft-07/schema#"}, ['{"minLength": 1}'], ['{"minLength": -1}']),
    (NEW, {"$ref": "https://json-schema.org/draft/2020-12/schema"}, ['{"minLength": 1}'], ['{"minLength": -1}']),
    (("4",), {"id": "http://a.example/root", "items": {"$ref": "part"}, "definitions": {"p": {"id": "part", "type": "integer"}}}, ["[1]"], ['["a"]']),
    (("6", "7"), {"$id": "http://a.example/root", "items": {"$ref": "part"}, "definitions": {"p": {"$id": "part", "type": "integer"}}}, ["[1]"], ['["a"]']),
    (("6", "7"), {"items": {"$ref": "#p"}, "definitions": {"p": {"$id": "#p", "type": "integer"}}}, ["[1]"], ['["a"]']),
    (NEW, {"$id": "http://a.example/root", "items": {"$ref": "part"}, "$defs": {"p": {"$id": "part", "type": "integer"}}}, ["[1]"], ['["a"]']),
    (NEW, {"items": {"$ref": "#p"}, "$defs": {"p": {"$anchor": "p", "type": "integer"}}}, ["[1]"], ['["a"]']),
    # Extending a recursive schema, as the examples of the two drafts do.
    (
        ("2019-09",),
        {"$id": "http://a.example/strict", "$recursiveAnchor": True, "$ref": "tree", "unevaluatedProperties": False,
         "$defs": {"t": {**TREE, "$id": "tree", "$recursiveAnchor": True, "properties": {"data": True, "children": {"items": {"$recursiveRef": "#"}}}}}},
        ['{"children": [{"data": 1}]}'],
        ['{"children": [{"daat": 1}]}', '{"daat": 1}'],
    ),
    (
        ("2020-12",),
        {"$id": "http://a.example/strict", "$dynamicAnchor": "node", "$ref": "tree", "unevaluatedProperties": False,
         "$defs": {"t": {**TREE, "$id": "tree", "$dynamicAnchor": "node", "properties": {"data": True, "children": {"items": {"$dynamicRef": "#node"}}}}}},
        ['{"children": [{"data": 1}]}'],
        ['{"children": [{"daat": 1}]}', '{"daat": 1}'],
    ),
]  # fmt: skip


def test_instances_are_valid_as_the_draft_of_the_schema_says(tmp_path: Path):
    wrong, count = [], 0
    for drafts, schema, valid, invalid in CASES:
        for draft in drafts:
            for instance in valid + invalid:
                graded = row("", schema={"$schema": URIS[draft], **schema})
                count += 1
                if create_grader("json_schema", {}).grade(instance, graded) != float(instance in valid):
                    wrong.append((draft, schema, instance))
    assert count >= 350 and not wrong


def test_without_a_named_draft_a_schema_is_2020_12_and_true_and_false_are_schemas():
    for schema, instance, value in (
        ({"prefixItems": [{"type": "null"}]}, "[1]", 0.0),
        (True, "{}", 1.0),
        (False, "{}", 0.0),
        ({}, "0", 1.0),
        ('{"type": "string"}', '"a"', 1.0),
        ("true", "1", 1.0),
    ):
        for name in ("json", "json_fields", "json_schema"):
            assert create_grader(name, {}).grade(instance, row("", schema=schema)) == value, (name, schema)


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 1}', "NaN", '{"a": Infinity}', "1e999", "{'a': 1}", "[1] [2]", "", "[" * 500]
)
def test_what_is_not_json_is_valid_under_no_schema(text: str):
    assert create_grader("json_schema", {}).grade(text, row("", schema=True)) == 0.0


@pytest.fixture
def no_network():
    """A socket that must never be connected, to which the schemas of a test refer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_remote_reference_costs_its_row_and_is_never_loaded(
    no_network: str, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    remote = [
        {"$ref": no_network},
        {"properties": {"a": {"items": {"$ref": f"{no_network}#/definitions/x"}}}},
        {"$schema": URIS["4"], "definitions": {"a": {"not": {"$ref": no_network}}}},
        {"$id": no_network, "$ref": "other.json"},
        {"$dynamicRef": no_network},
        {"anyOf": [True, {"$ref": no_network}]},
    ]
    examples = [row("1", f"rows.jsonl:{line}", schema=schema) for line, schema in enumerate(remote, start=1)]
    for name in ("json", "json_fields", "json_schema"):
        with RewardSuite([RewardSpec(name)], workers=1) as suite:
            scores = suite.score(["1", '{"a": [1]}', "1", "1", "1", "1"], examples)
        assert scores.values[name] == [None] * len(remote) and not scores.faults
        for index, why in scores.why[name].items():
            assert (
                why.startswith(f"rows.jsonl:{index + 1}: `grading.schema`: $") and "which is not in the schema" in why
            )
    monkeypatch.setattr(json_schema, "_check_references", lambda schema, draft: None)  # a second line of defence
    with pytest.raises(UserError):
        JsonSchema({"$ref": no_network})
    monkeypatch.undo()
    (tmp_path / "schema.json").write_text(json.dumps(remote[0]))
    words = ("rewards", "json_schema", "--data", "none.jsonl", "--option", f"schema={tmp_path}/schema.json")
    code, _, err = run(capsys, *words)
    assert code == 2 and f"schema.json: $ref refers to '{no_network}', which is not in the schema" in err


@pytest.mark.parametrize(
    "schema, sentence",
    [
        ({"$schema": "https://json-schema.org/draft-07/schema#"}, r"has an unknown `\$schema`: 'https://json-schema.org/draft-07"),
        ({"$schema": 7}, r"has an unknown `\$schema`: 7"),
        ({"type": "text"}, "is not a JSON schema .*'text'"),
        ({"$schema": URIS["4"], "exclusiveMinimum": 3}, "is not a JSON schema"),
        ({"$schema": URIS["7"], "exclusiveMinimum": True}, "is not a JSON schema"),
        ({"$schema": URIS["4"], "items": {"items": {"patternProperties": {"(": {}}}}}, "is not a JSON schema .*unterminated"),
        ({"$schema": URIS["4"], "$ref": 5}, r"\$ref refers to 5, which is not in the schema"),
        ({"$ref": "#/$defs/none"}, "which is not in the schema"),
        ({"allOf": [{"$ref": "#"}]}, "refers to itself without end"),
        ('{"type": "integer"', "is not a JSON schema .*invalid JSON"),
        (5, "is not a JSON schema"),
        ([], "is not a JSON schema"),
    ],
)  # fmt: skip
def test_a_row_with_a_wrong_schema_is_ungradable_with_its_reason(schema: Any, sentence: str):
    for name in ("json", "json_fields", "json_schema"):
        with pytest.raises(UserError, match=f"^rows.jsonl:1: `grading.schema`.*{sentence}"):
            create_grader(name, {}).grade("1", row("1", schema=schema))


def test_a_row_without_a_schema_is_ungradable_by_json_schema_alone():
    with pytest.raises(UserError, match=r"rows\.jsonl:1: no schema is given"):
        create_grader("json_schema", {}).grade("1", row("1"))
    assert create_grader("json", {}).grade("1", row("1", schema=None)) == 1.0


def test_the_schema_of_a_row_takes_precedence_over_the_option(tmp_path: Path):
    (tmp_path / "schema.json").write_text('{"type": "string"}')
    for name in ("json", "json_fields", "json_schema"):
        grader = create_grader(name, {"schema": str(tmp_path / "schema.json")})
        assert [grader.grade(text, row("")) for text in ("5", '"a"')] == [0.0, 1.0]
        assert [grader.grade(text, row("", schema={"type": "integer"})) for text in ("5", '"a"')] == [1.0, 0.0]


def test_an_equal_value_must_be_valid_too_and_the_fields_of_an_array_are_its_positions():
    schema = {"items": {"type": "integer"}}
    assert create_grader("json", {}).grade("[1, 2]", row("[1, 2]", schema=schema)) == 1.0
    assert create_grader("json", {}).grade("[1, 3]", row("[1, 2]", schema=schema)) == 0.0
    assert create_grader("json", {}).grade('["a"]', row('["a"]', schema=schema)) == 0.0
    fields = create_grader("json_fields", {})
    answers = ("[1, 2]", "[1, 3]", "[1]", "[1, 2, 3, 4]", '[1, "2"]', '{"0": 1}', "[]")
    assert [fields.grade(text, row("[1, 2]", schema=schema)) for text in answers] == [1.0, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0]
    assert [fields.grade("1", row(reference, schema=True)) for reference in ("5", "[]", "{}", "no")] == [None] * 4


HANGING = {"pattern": "^(a+)+$", "type": "string"}


def test_a_pattern_without_end_costs_its_row_only():
    examples = [row("", f"rows.jsonl:{line}", schema=HANGING) for line in (1, 2, 3)]
    completions = ['"aaa"', json.dumps("a" * 60 + "!"), '"a"']
    start = time.monotonic()
    with RewardSuite([RewardSpec("json_schema")], workers=1, row_seconds=0.5) as suite:
        scores = suite.score(completions, examples)
    assert scores.values["json_schema"] == [1.0, 0.0, 1.0] and time.monotonic() - start < 10
    assert [(fault.kind, fault.source) for fault in scores.faults] == [("timeout", "rows.jsonl:2")]


def test_nesting_up_to_the_limit_of_json_is_validated_and_not_a_fault():
    tree = JsonSchema(
        {"properties": {"a": {"anyOf": [{"$ref": "#"}]}}, "items": {"$ref": "#"}, "type": ["object", "array"]}
    )
    deep: Any = {}
    for _ in range(99):
        deep = {"a": [deep]}
    assert tree.allows(deep)
    innermost = deep
    while innermost:
        innermost = innermost["a"][0]
    innermost["a"] = 5
    assert not tree.allows(deep)


def test_an_evaluation_counts_valid_answers_in_a_worker(tmp_path: Path):
    (tmp_path / "schema.json").write_text(json.dumps({"$schema": URIS["4"], "properties": {"a": {"type": "integer"}}}))
    reward = RewardSpec.of({"name": "json_schema", "schema": str(tmp_path / "schema.json")})
    answers = ['{"a": 1}', '{"a": 1.0}', '{"a": 1, "a": 1}', "no"]
    valid = grade_with(reward, answers, [row('{"a": 1}')] * 4)
    report = grade_fields([(answer, '{"a": 1}') for answer in answers], [value == 1 for value in valid]).to_dict()
    assert report == {"n": 4, "parsed": 2, "schema_valid": 1, "fields": {"a": {"correct": 1, "n": 4}}}


def test_the_preflight_names_a_schema_that_refuses_nothing(tmp_path: Path):
    schemas = [
        {"type": "integer"},
        {},
        {"propertis": {"a": {"type": "integer"}}},
        {"required": ["a"], "type": "object"},
    ]
    examples = [row("", f"rows.jsonl:{line}", schema=schema) for line, schema in enumerate(schemas, start=1)]
    examples += [row("5", f"rows.jsonl:{line}", schema=schema) for line, schema in enumerate(schemas, start=5)]
    with RewardSuite([RewardSpec("json_schema"), RewardSpec("json")], workers=1) as suite:
        report = preflight(suite, examples)
    for name in ("json_schema", "json"):
        lines = report.rewards[name].doubts["any_value"]
        assert [line.partition(": ")[0] for line in lines] == [f"rows.jsonl:{line}" for line in (2, 3, 6, 7)]
        assert report.rewards[name].counts == {"gold_fails": 1}  # 5 is no object
    assert report.failing == 1
