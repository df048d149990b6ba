"""The same rows from JSON Lines, Parquet of `datasets` and pandas, Arrow and CSV give the same token ids and fingerprint.

Arrow stores objects with all keys of all rows. The nulls that it adds are left out, or their row is refused by name.
"""

import csv
import json

import datasets
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.readers import BadRow
from hrm_align.data.sources import read_rows
from tests.command_line import run


def called(name, arguments, **more):
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": more.pop("content", None), "tool_calls": [call], **more}


def tool(name, **properties):
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


NUMBER, TEXT, INTEGER = {"type": "number"}, {"type": "string", "enum": ["é", "b"]}, {"type": "integer", "minimum": 1}
PAIRS = [
    {"prompt": "What is 2 + 2?", "response": "4", "id": 7, "score": 0.5, "quality": True, "group": "sums", "system": "Count."},
    {"prompt": 'He said "hi",\nthen left;\r\ntwice.', "response": "  é\n\n", "id": 8, "score": 1.0, "quality": False, "group": None, "system": None},
    {"prompt": "Žluťoučký kůň 🐎 \u2028", "response": "true", "id": None, "score": None, "quality": None, "group": "3", "system": "a\n\tb "},
    {"prompt": "null", "response": "007", "id": 9, "score": 1e-7, "quality": True, "group": "nan", "system": None},
]  # fmt: skip
CALLS = [
    {"messages": [{"role": "user", "content": "Line 1,\nline 2"}, called("f", {"x": 1, "ok": True})], "tools": [tool("f", x=INTEGER, ok={"type": "boolean"})], "condition": "cot"},
    {"messages": [{"role": "user", "content": "q"}, called("g", {"y": 0.25, "where": {"city": "Žilina"}, "list": [{"a": 1}, {"b": ["é", "b"]}]}), {"role": "tool", "content": "[1]"}, {"role": "assistant", "content": "done", "weight": 1}], "tools": [tool("g", y=NUMBER, s=TEXT)], "condition": None},
    {"messages": [{"role": "user", "content": "no tools"}, {"role": "assistant", "content": "yes"}], "tools": None, "condition": None},
    {"messages": [{"role": "user", "content": "none"}, called("h", {}, content="I call.")], "tools": [tool("h")], "condition": "direct"},
]  # fmt: skip
GRADED = [
    {"prompt": "a", "response": "1", "grading": {"tests": [{"input": "1\n", "output": "2"}], "limit": 2}},
    {"prompt": "b", "response": "2", "grading": {"references": ["2", "two"], "tolerance": 0.5, "strict": False}},
    {"prompt": "c", "response": "3", "grading": None},
]
TRL = [
    {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "[{b}]"}]},
    {
        "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}],
        "completion": [called("f", {"x": "1"})],
    },
]


def write_forms(folder, rows):
    """Write rows in each form, and return the paths."""
    lines = folder / "rows.jsonl"
    lines.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    datasets.Dataset.from_list(rows).to_parquet(folder / "datasets.parquet")
    pandas.DataFrame(rows, index=range(5, 5 + len(rows))).to_parquet(folder / "pandas.parquet")
    arrow = pyarrow.Table.from_pylist(rows)
    with pyarrow.ipc.new_file(folder / "rows.arrow", arrow.schema) as writer:
        writer.write_table(arrow)
    with open(folder / "rows.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(["" if v is None else v if isinstance(v, str) else json.dumps(v) for v in row.values()])
    return [lines, *(folder / name for name in ("datasets.parquet", "pandas.parquet", "rows.arrow", "rows.csv"))]


def inspected(capsys, path, *flags):
    code, out, err = run(capsys, "inspect", path, "--model", "tiny", "--json", *flags)
    assert code == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    return [(row["input_ids"], row["labels"], row["condition"]) for row in rows]


@pytest.mark.parametrize("rows", [PAIRS, CALLS, GRADED, TRL], ids=["pairs", "calls", "graded", "trl"])
def test_the_same_rows_give_the_same_ids_and_fingerprint_in_every_format(tmp_path, capsys, rows):
    ids, fingerprints, gradings = [], [], []
    for path in write_forms(tmp_path, rows):
        ids.append(inspected(capsys, path))
        examples, counts = load_examples([DatasetSpec(str(path))])
        fingerprints.append(counts.datasets[0].fingerprint)
        assert "__index_level_0__" not in counts.datasets[0].unused_columns  # of pandas
        gradings.append([example.grading for example in examples])
    assert ids == [ids[0]] * 5 and len(ids[0]) >= len(rows)
    assert gradings == [gradings[0]] * 5
    assert len({*fingerprints}) == 1
    rows = [*rows[1:], rows[0]]
    fingerprints += [
        load_examples([DatasetSpec(str(path))])[1].datasets[0].fingerprint for path in write_forms(tmp_path, rows)
    ]
    assert len({*fingerprints[5:]}) == 1 and fingerprints[5] != fingerprints[0]  # the order of the rows counts


def test_a_fingerprint_changes_with_what_is_read_and_not_with_unused_columns(tmp_path):
    def fingerprint(**row):
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps({"prompt": "a", "response": "b", **row}))
        return load_examples([DatasetSpec(str(path))])[1].datasets[0].fingerprint

    assert fingerprint() == fingerprint(id=3) == fingerprint(system=None) == fingerprint(system="")
    assert (
        len({fingerprint(), fingerprint(response="c"), fingerprint(system="s"), fingerprint(grading={"a": [None]})})
        == 4
    )


def pair(arguments, *tools, name="f"):
    row = {"messages": [{"role": "user", "content": "q"}, called(name, arguments)]}
    return {**row, "tools": [*tools]} if tools else row


KNOWN = tool("f", x=INTEGER, y=NUMBER)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([pair({"x": 1}), pair({"y": 2})], [{"x": 1}, {"y": 2}]),  # no schema knows the key
        ([pair({"x": 1}, tool("f", x=INTEGER)), pair({"y": 2}, tool("g", y=NUMBER), name="g")], [{"x": 1}, {"y": 2}]),
        ([pair({"x": 1}, KNOWN), pair({"x": 1, "y": 0.5}, KNOWN)], ["f.y", {"x": 1, "y": 0.5}]),
        ([pair({"x": None}, KNOWN)], ["f.x"]),
        ([pair({"x": 3}, KNOWN), pair({"x": 0.5}, tool("g", x=NUMBER), name="g")], [{"x": 3}, {"x": 0.5}]),  # no 3.0
        (
            [pair({"o": [{"a": 1}, {"b": 2}]}, tool("f", o={"type": "array", "items": {"properties": {"b": NUMBER}}}))],
            ["f.o[].b"],
        ),
        ([pair({"x": [1, None]})], [{"x": [1, None]}]),  # Arrow adds no items to lists
    ],
)
def test_nulls_in_arguments_are_left_out_or_refused_by_name(tmp_path, rows, expected):
    for path in write_forms(tmp_path, rows)[1:4]:
        got = []
        for row in read_rows(path):
            if isinstance(row, BadRow):
                assert row.reason.startswith("doubtful null: ") and "store arguments as JSON text" in row.reason
                got.append(row.reason.removeprefix("doubtful null: ").split()[0])
            else:
                got.append(row.data["messages"][1]["tool_calls"][0]["function"]["arguments"])
        assert got == expected and json.dumps(got) == json.dumps(expected)


def test_a_schema_is_known_in_all_its_forms(tmp_path):
    definition = {
        "name": "f",
        "parameters": {"$defs": {"p": {"properties": {"y": NUMBER}}}, "allOf": [{"$ref": "#/$defs/p"}]},
    }
    flat = {"name": "f", "description": "d", "parameters": {"y": {"type": "float"}}}
    mcp = {"name": "f", "inputSchema": {"properties": {"y": {"type": "number"}}}}
    for tools in (json.dumps([KNOWN]), json.dumps([definition]), json.dumps([flat]), json.dumps([mcp])):
        rows = [{**pair({"x": 1}), "tools": tools}, {**pair({"y": 0.5}), "tools": tools}]
        datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
        first, *_ = read_rows(tmp_path / "rows.parquet")
        assert isinstance(first, BadRow) and "f.y" in first.reason, tools


def test_no_null_of_arrow_reaches_the_schemas_of_tools(tmp_path, capsys):
    rows = [pair({"x": 1}, KNOWN), pair({"z": "b"}, tool("g", z=TEXT), name="g")]
    lines, *others = write_forms(tmp_path, rows)
    expected = inspected(capsys, lines)
    for path in others:  # in Arrow `x` has the key `enum`, and `g` the properties `x` and `y`, each with a null
        assert inspected(capsys, path) == expected
        assert all("null" not in json.dumps(row.data["tools"]) for row in read_rows(path))


def test_values_of_the_type_json_and_maps_are_what_they_hold(tmp_path):
    rows = [pair({"x": 1, "y": None}, KNOWN), pair({"x": "text", "z": [1, {"a": None}]}, KNOWN)]
    path = tmp_path / "rows.parquet"
    datasets.Dataset.from_list(rows, on_mixed_types="use_json").to_parquet(path)
    calls = [row.data["messages"][1]["tool_calls"][0]["function"]["arguments"] for row in read_rows(path)]
    assert calls == [{"x": 1, "y": None}, {"x": "text", "z": [1, {"a": None}]}]  # such nulls are the rows' own
    strings = pyarrow.map_(pyarrow.string(), pyarrow.string())
    table = pyarrow.table({"a": pyarrow.array([[("k", "v")], []], strings)})
    pyarrow.parquet.write_table(table, path)
    assert [row.data for row in read_rows(path)] == [{"a": {"k": "v"}}, {"a": {}}]


def test_rows_of_the_hub_are_restored_as_those_of_files(monkeypatch, tmp_path):
    rows = [pair({"x": 1}), pair({"y": 2})]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.Dataset.from_list(rows))
    calls = [row.data["messages"][1]["tool_calls"][0]["function"]["arguments"] for row in read_rows("owner/name")]
    assert calls == [{"x": 1}, {"y": 2}]


def test_values_that_python_cannot_hold_cost_their_row(tmp_path):
    days = pyarrow.array([0, 10**7, 1], pyarrow.int32()).cast(pyarrow.date32())
    pyarrow.parquet.write_table(pyarrow.table({"day": days}), tmp_path / "rows.parquet")
    assert [getattr(row, "reason", "good").split(":")[0] for row in read_rows(tmp_path / "rows.parquet")] == [
        "good",
        "unreadable value",
        "good",
    ]
