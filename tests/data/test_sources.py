"""Every row of a file comes out as it stands, or with its place and the reason why not."""

import csv
import gzip
import json
import re
import tracemalloc

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from hrm_align.data.readers import MAX_LINE_BYTES, BadRow, Row
from hrm_align.data.sources import read_rows
from hrm_align.errors import UserError

ROWS = [
    {"prompt": "What is 2 + 2?", "response": "4"},
    {"prompt": 'He said "hi",\nthen left.', "response": ""},
    {"prompt": "Žluťoučký kůň 🐎 \u2028", "response": "  a\ttab, [brackets] and {braces}\\"},
]


def write(path, text):
    with (gzip.open if path.name.endswith(".gz") else open)(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return str(path)


def json_lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def bad(path, **options):
    return [
        (row.source.removeprefix(str(path)), row.reason)
        for row in read_rows(path, **options)
        if isinstance(row, BadRow)
    ]


def write_table(path, delimiter):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["prompt", "response"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("rows.jsonl", [":1", ":2", ":3"]),
        ("rows.NDJSON", [":1", ":2", ":3"]),
        ("rows.jsonl.gz", [":1", ":2", ":3"]),
        ("list.json", [":2", ":6", ":10"]),
        ("nested.json", [":1", ":1[1]", ":1[2]"]),  # no two rows have the same place
        ("rows.csv", [":2", ":3", ":5"]),
        ("rows.tsv", [":2", ":3", ":5"]),
        ("rows.parquet", ["[0]", "[1]", "[2]"]),
    ],
)
def test_every_file_format_gives_the_same_rows_and_their_places(tmp_path, name, places):
    path = tmp_path / name
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    elif path.suffix in (".csv", ".tsv"):
        write_table(path, "," if path.suffix == ".csv" else "\t")
    elif name == "nested.json":
        write(path, json.dumps({"version": {"of": "today"}, "data": ROWS, "licence": "CC0"}))
    elif name == "list.json":
        write(path, json.dumps(ROWS, indent=2))
    else:
        write(path, json_lines(ROWS))
    assert list(read_rows(path)) == [Row(row, f"{path}{place}") for row, place in zip(ROWS, places, strict=True)]


def test_blank_lines_count_as_lines_and_a_byte_order_mark_is_no_text(tmp_path):
    path = write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n\n   \r\n{"a": 2}')
    assert list(read_rows(path)) == [Row({"a": 1}, f"{path}:1"), Row({"a": 2}, f"{path}:4")]
    path = write(tmp_path / "a.csv", b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3,4\r\n")
    assert [row.data for row in read_rows(path)] == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_a_large_integer_and_an_escaped_pair_of_surrogates_are_valid(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"n": 1%s, "s": "\\ud83d\\udc0e", "nul": "\\u0000"}\n' % ("0" * 400))
    assert [row.data for row in read_rows(path)] == [{"n": 10**400, "s": "🐎", "nul": "\0"}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1,}', "invalid JSON: Illegal trailing comma|invalid JSON: Expecting property name .* at column 9"),
        (b'{"a": 1} {"a": 2}', "invalid JSON: Extra data at column 10"),
        (b'{"a": "x', r"invalid JSON: Unterminated string starting at column 7"),
        (b'{"a": "\t"}', "invalid JSON: Invalid control character at column 8"),
        (b'{"a": 1, "a": 2}', "duplicate key: 'a'"),
        (b'{"b": [{"a": 1, "a": 1}]}', "duplicate key: 'a'"),
        (b'{"a": NaN}', "not a finite number: NaN"),
        (b'{"a": -Infinity}', "not a finite number: -Infinity"),
        (b'{"a": 1e999}', "not a finite number: 1e999"),
        (b'{"a": %s}' % (b"9" * 4301), "number too long: 4,301 digits"),
        (b'{"a": "\xff"}', "invalid UTF-8: byte 0xff at byte 8"),
        (b'{"a": "\xed\xa0\x80"}', "invalid UTF-8: byte 0xed at byte 8"),
        (b'{"a": "\\ud83d"}', r"lone surrogate: \\ud83d"),
        (b'{"\\udc0e": 1}', r"lone surrogate: \\udc0e"),
        (b'{"a": "\0"}', "NUL byte: at byte 8"),
        (b'{"a": %s%s}' % (b"[" * 100_000, b"]" * 100_000), "nested too deep: more than 200 levels"),
        (b'{"a": %s' % (b"[" * 100_000), "nested too deep: more than 200 levels"),
        (b'[{"a": 1}]', "not an object: the row is a list"),
        (b"null", "not an object: the row is null"),
        (b"true", "not an object: the row is a boolean"),
        (b'\xef\xbb\xbf{"a": 1}', "invalid JSON: "),
    ],
)
def test_a_faulty_line_costs_itself_and_says_why(tmp_path, line, reason):
    path = write(tmp_path / "a.jsonl", b'{"a": 0}\n' + line + b'\n{"a": 2}\n')
    first, row, last = read_rows(path)
    assert (first.data, last) == ({"a": 0}, Row({"a": 2}, f"{path}:3"))
    assert row.source == f"{path}:2"
    assert re.match(reason, row.reason), row.reason
    assert len(row.text) <= 200


def test_a_file_that_ends_inside_a_row_says_so(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"a": 1}\n{"a": "cut o')
    assert bad(path) == [
        (":2", "invalid JSON: Unterminated string starting at column 7 (the file ends inside this row)")
    ]


def test_a_faulty_element_of_a_list_leaves_the_others(tmp_path):
    text = '[\n{"a": "[ \\" ,"},\n{"a": 1, "a": 2},\n7,\n{"a": NaN},\n{"a": [1, {"b": "]"}]}\n]\n'
    path = write(tmp_path / "a.json", text)
    assert [row.data for row in read_rows(path) if isinstance(row, Row)] == [{"a": '[ " ,'}, {"a": [1, {"b": "]"}]}]
    assert [(source, reason.split(":")[0]) for source, reason in bad(path)] == [
        (":3", "duplicate key"),
        (":4", "not an object"),
        (":5", "not a finite number"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}, {"a": [2}, {"a": 3}]', "brackets do not match from the element at line 1"),
        ('[{"a": 1},\n{"a": "2}, {"a": "3"}]', "at column 14 of the row at line 2"),
        ('[{"a": 1},\n{"a": 2,}]', "of the row at line 2"),
        ('[{"a": 1},]', "of the row at line 1"),
        ('[{"a": 1}}, {{"a": 2}]', "of the row at line 1"),
        ('[{"a": 1}}, {"a": 2}]', "brackets do not match"),
        ('[{"a": 1}] []', "outside the list of rows"),
        ('{"a":\n1}\n{"a":\n2}\n', "write one object a line"),
        ('{"a": [1], "b": [2]}', "single list"),
        ('{"prompt": "a"}', "single list"),
        ('{"a": ' + '{"b":' * 90_000 + "1" + "}" * 90_000 + ', "rows": []}', "outside the list"),
        ("[]", "has no rows"),
    ],
)
def test_a_json_file_whose_rows_cannot_be_told_apart_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        list(read_rows(write(tmp_path / "a.json", text)))


def test_a_faulty_record_of_a_table_costs_its_first_line_alone(tmp_path):
    lines = [b"prompt,response", b"a,b", b'"never closed,x', b"c,d", b'e,"two', b'lines"', b"f", b"g,h,i"]
    lines += [b'"j"k,l', b"\xff,m", b"n\0,o", b'p,"' + b"q" * 200_000 + b'"']
    path = write(tmp_path / "a.csv", b"\n".join(lines))
    good = [(row.data["prompt"], row.data["response"][:10]) for row in read_rows(path) if isinstance(row, Row)]
    assert good == [("a", "b"), ("c", "d"), ("e", "two\nlines"), ("p", "q" * 10)]
    assert [(source, reason.split(":")[0]) for source, reason in bad(path)] == [
        (":3", "invalid quoting"),
        (":7", "wrong number of cells"),
        (":8", "wrong number of cells"),
        (":9", "invalid quoting"),
        (":10", "invalid UTF-8"),
        (":11", "NUL byte"),
    ]


@pytest.mark.parametrize("header", ["a,a", "a,", '"a"b,c', "a,\0"])
def test_a_table_without_a_proper_header_is_refused(tmp_path, header):
    with pytest.raises(UserError, match=r"a\.csv:1 is no valid header"):
        list(read_rows(write(tmp_path / "a.csv", f"{header}\n1,2\n")))


def test_parquet_text_that_is_no_utf8_is_a_bad_row(tmp_path):
    column = pyarrow.array([b"fine", b"\xff\xfe", b"too"]).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"prompt": column}), tmp_path / "a.parquet")
    assert bad(tmp_path / "a.parquet") == [("[1]", "invalid UTF-8: byte 0xff")]


def test_a_line_of_100_megabytes_is_skipped_without_being_held(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b'{"a": 1}\n{"a": "')
        for _ in range(100):
            file.write(b"x" * 10**6)
        file.write(b'"}\n{"a": 3}\n')
    tracemalloc.start()
    rows = list(read_rows(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row.source for row in rows] == [f"{path}:{number}" for number in (1, 2, 3)]
    assert [row.data for row in (rows[0], rows[2])] == [{"a": 1}, {"a": 3}]
    assert rows[1].reason == f"line too long: 100,000,010 bytes, at most {MAX_LINE_BYTES:,} are read"
    assert rows[1].text == '{"a": "' + 193 * "x"
    assert peak < 3 * MAX_LINE_BYTES  # 2.0 of them measured: what has been read, and the copy that joins it


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("trian.jsonl", r"did you mean .*/train\.jsonl\?\)"),
        ("nowhere/train.jsonl", "the directory .*/nowhere does not exist"),
        ("notes.txt", "unknown file suffix: .*notes.txt. Use .jsonl"),
        ("empty.jsonl", "has no rows"),
        ("blank.jsonl", "has no rows"),
        ("header.csv", "has no rows"),
        ("empty.json", "has no rows"),
        ("cut.jsonl.gz", "cannot be read: Compressed file ended"),
        ("plain.jsonl.gz", "cannot be read: Not a gzipped file"),
        ("plain.parquet", "cannot be read from row 0 on"),
        ("sheet.xlsx", "Save the sheet as CSV UTF-8"),
        ("renamed.jsonl", r"is not a .jsonl file: it is compressed with gzip. Add .gz"),
        ("none", "no data file in the directory"),
        ("*.tsv", "no file matches .*tsv"),
        ("t*", r"notes\.txt|unknown file suffix"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_remedy(tmp_path, name, message):
    (tmp_path / "none").mkdir()
    for file, text in {
        "train.jsonl": '{"a": 1}\n',
        "notes.txt": "a",
        "table.txt": "a",
        "empty.jsonl": "",
        "blank.jsonl": "\n \n",
        "header.csv": "a,b\n",
        "empty.json": " ",
        "cut.jsonl.gz": '{"a": 1}\n' * 1000,
        "sheet.xlsx": "PK",
        "renamed.jsonl": gzip.compress(b"{}"),
        "plain.parquet": "a",
    }.items():
        write(tmp_path / file, text)
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(cut.read_bytes()[:-20])
    (tmp_path / "plain.jsonl.gz").write_bytes(b'{"a": 1}\n')
    with pytest.raises(UserError, match=message):
        list(read_rows(tmp_path / name))


def test_a_pattern_and_a_directory_stand_for_their_files_in_sorted_order(tmp_path):
    for name in ("b.jsonl", "a.jsonl", "c.csv", "README.md"):
        write(tmp_path / name, "a,b\n1,2\n" if name == "c.csv" else f'{{"of": "{name}"}}\n')
    sources = [f"{tmp_path}/{place}" for place in ("a.jsonl:1", "b.jsonl:1", "c.csv:2")]
    assert [row.source for row in read_rows(tmp_path)] == sources
    assert [row.source for row in read_rows(f"{tmp_path}/*.jsonl")] == sources[:2]
    assert [row.source for row in read_rows(tmp_path, data_files="b.jsonl")] == sources[1:2]
    assert [row.source for row in read_rows("json", data_files={"train": f"{tmp_path}/a*"})] == sources[:1]


def test_a_directory_never_mixes_its_test_set_into_its_training_set(tmp_path):
    for name in ("train-00.jsonl", "train-01.jsonl", "test.jsonl", "more.jsonl"):
        write(tmp_path / name, '{"a": 1}\n')
    assert [row.source.rsplit("/")[-1] for row in read_rows(tmp_path)] == ["train-00.jsonl:1", "train-01.jsonl:1"]
    assert [row.source.rsplit("/")[-1] for row in read_rows(tmp_path, split="test")] == ["test.jsonl:1"]
    with pytest.raises(UserError, match=r"no split 'validation' .* Set `split` to test, train"):
        read_rows(tmp_path, split="validation")
    (tmp_path / "train-00.jsonl").rename(tmp_path / "data.jsonl")
    (tmp_path / "train-01.jsonl").rename(tmp_path / "val.jsonl")
    assert [row.source.rsplit("/")[-1] for row in read_rows(tmp_path)] == ["data.jsonl:1", "more.jsonl:1"]
    with pytest.raises(UserError, match=r"`split` 'test' .* Leave them out"):
        read_rows(tmp_path / "more.jsonl", split="test")
    with pytest.raises(UserError, match="`split` 'test' does not apply to"):
        read_rows(f"{tmp_path}/*.jsonl", split="test")


def test_a_name_with_the_signs_of_a_pattern_is_a_file_where_it_exists(tmp_path):
    path = write(tmp_path / "a[1].jsonl", '{"a": 1}\n')
    for rows in (read_rows(path), read_rows(tmp_path, data_files="a[1].jsonl")):
        assert [row.source for row in rows] == [f"{path}:1"]


def test_a_hub_id_is_loaded_with_its_options_and_says_where_each_row_stands(monkeypatch, tmp_path):
    asked = []

    def load_dataset(*args, **options):
        asked.append((args, options))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    rows = list(read_rows("owner/name", name="main", split="test", data_files="a.jsonl", revision="v1"))
    assert rows == [Row(row, f"owner/name[test][{index}]") for index, row in enumerate(ROWS)]
    assert asked == [(("owner/name", "main"), {"split": "test", "data_files": "a.jsonl", "revision": "v1"})]


def test_what_lies_on_disk_wins_over_the_hub(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    write(tmp_path / "owner" / "name" / "a.jsonl", '{"a": 1}\n')
    assert list(read_rows("owner/name")) == [Row({"a": 1}, "owner/name/a.jsonl:1")]
    with pytest.raises(UserError, match="`name` and `revision` apply to Hub data sets"):
        read_rows("owner/name", revision="v1")


def test_a_hub_that_cannot_be_reached_is_named_in_one_message(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^no local path owner/name .* Check the name and the network") as caught:
        read_rows("owner/name")
    assert "\n" not in str(caught.value)
