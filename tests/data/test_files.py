"""Every form in which people publish files of rows is read, with the place of each row, or refused with the way out."""

import bz2
import codecs
import gzip
import json
import lzma
import sqlite3
import zipfile

import datasets
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from hrm_align.data import data_file
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.readers import BadRow, Row
from hrm_align.data.sources import read_rows
from hrm_align.errors import UserError

ROWS = [
    {"prompt": "What is 2 + 2?", "response": "4"},
    {"prompt": 'He said "hi",\nthen left; twice.', "response": "é"},
    {"prompt": "Žluťoučký kůň 🐎 \u2028", "response": "a\ttab, [brackets] and {braces}\\"},
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
PACKED = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda raw: pyarrow.compress(raw, "zstd", asbytes=True),
}


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch):
    monkeypatch.setattr(data_file, "_said", set())


def table(rows, separator, end="\r\n"):
    cells = [['"' + cell.replace('"', '""') + '"' for cell in row.values()] for row in rows]
    return end.join([separator.join(rows[0]), *(separator.join(row) for row in cells), ""])


def arrow_bytes(rows, kind):
    stream, rows = pyarrow.BufferOutputStream(), pyarrow.Table.from_pylist(rows)
    if kind == "parquet":
        pyarrow.parquet.write_table(rows, stream)
    elif kind == "feather":
        pyarrow.feather.write_feather(rows, stream)
    else:
        opened = pyarrow.ipc.new_file if kind == "file" else pyarrow.ipc.new_stream
        with opened(stream, rows.schema) as writer:
            writer.write_table(rows, max_chunksize=2)
    return stream.getvalue().to_pybytes()


def values(path, **options):
    rows = [*read_rows(path, **options)]
    assert all(isinstance(row, Row) for row in rows), rows
    return [row.data for row in rows]


def places(path, **options):
    return [row.source.removeprefix(f"{path}") for row in read_rows(path, **options)]


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.parquet", "rows.arrow"])
def test_packed_files_give_the_rows_and_places_of_the_file_in_them(tmp_path, name, packing):
    raw = {
        "rows.jsonl": LINES,
        "rows.json": json.dumps(ROWS, indent=1).encode(),
        "rows.csv": table(ROWS, ",").encode(),
        "rows.parquet": arrow_bytes(ROWS, "parquet"),
        "rows.arrow": arrow_bytes(ROWS, "stream"),
    }[name]
    plain, packed = tmp_path / name, tmp_path / f"{name}{packing}"
    plain.write_bytes(raw)
    packed.write_bytes(PACKED[packing](raw))
    assert values(packed) == values(plain) == ROWS
    assert places(packed) == places(plain)
    packed.write_bytes(PACKED[packing](raw * 50)[:-9])
    with pytest.raises(UserError, match=rf"{name}{packing}.* cannot be read"):
        values(packed)


def test_members_of_a_zip_archive_are_read_by_split_and_named(tmp_path):
    path = tmp_path / "rows.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.md", "# Rows")
        archive.writestr("__MACOSX/._train.jsonl", "x")
        archive.writestr("data/train-1.jsonl.gz", gzip.compress(b'{"a": 1\n' + LINES))
        archive.writestr("data/train-0.parquet", arrow_bytes(ROWS[:1], "parquet"))
        archive.writestr("data/test.csv", table(ROWS[2:], ";"))
    assert places(path) == [
        "/data/train-0.parquet[0]",
        *(f"/data/train-1.jsonl.gz:{line}" for line in (1, 2, 3, 4)),
    ]
    assert [row.source for row in read_rows(path) if isinstance(row, BadRow)] == [f"{path}/data/train-1.jsonl.gz:1"]
    assert values(path, split="test") == ROWS[2:]
    with pytest.raises(UserError, match=r"no split 'validation' in the archive .* `split` to test, train"):
        values(path, split="validation")
    (tmp_path / "more.jsonl").write_bytes(LINES)
    assert len(places(f"{tmp_path}/*")) == len(places(tmp_path)) == 8

    for name, content, message in (
        ("one.zip", {"test.jsonl": LINES}, None),
        ("none.zip", {"a.txt": "x"}, "no data file in the archive"),
        ("cut.zip", {"a.jsonl": LINES}, "cut.zip cannot be read"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member, text in content.items():
                archive.writestr(member, text)
        if message is None:
            assert values(tmp_path / name) == ROWS
            continue
        if name == "cut.zip":
            (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-30])
        with pytest.raises(UserError, match=message):
            values(tmp_path / name)


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_json_lines_and_a_json_list_are_told_apart_by_what_the_file_holds(tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    for text, expected in (
        (LINES.decode(), [":1", ":2", ":3"]),
        (f"\n{LINES.decode()}\n\n", [":2", ":3", ":4"]),
        (json.dumps(ROWS), [":1", ":1[1]", ":1[2]"]),
        (json.dumps(ROWS, indent=1), [":2", ":6", ":10"]),
        ("[" + LINES.decode().strip().replace("\n", ",\n") + "]", [":1", ":2", ":3"]),
    ):
        path.write_text(text, encoding="utf-8")
        assert (values(path), places(path)) == (ROWS, expected), text
    path.write_bytes(b'{"a": 1,}\n{"a": 1, "a": 2}\n' + LINES)  # a bad first row costs itself alone
    assert [row.reason.split(":")[0] for row in read_rows(path) if isinstance(row, BadRow)] == [
        "invalid JSON",
        "duplicate key",
    ]
    path.write_bytes(b"[" + LINES.replace(b"}\n", b"},\n") + b'{"a": 1, "a": 2}]')
    assert [row.source for row in read_rows(path) if isinstance(row, BadRow)] == [f"{path}:4"]


@pytest.mark.parametrize("kind", ["file", "stream", "feather"])
def test_arrow_files_are_read(tmp_path, kind):
    path = tmp_path / ("rows.feather" if kind == "feather" else "rows.arrow")
    path.write_bytes(arrow_bytes(ROWS, kind))
    assert (values(path), places(path)) == (ROWS, ["[0]", "[1]", "[2]"])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"cannot be read from row . on"):
        values(path)


def test_folders_that_datasets_has_saved_are_read_by_split(tmp_path):
    rows = datasets.Dataset.from_list(ROWS)
    rows.save_to_disk(tmp_path / "one", num_shards=2)
    datasets.DatasetDict({"train": rows.select([2, 0]), "test": rows.select([1])}).save_to_disk(tmp_path / "two")
    assert places(tmp_path / "one") == [
        "/data-00000-of-00002.arrow[0]",
        "/data-00000-of-00002.arrow[1]",
        "/data-00001-of-00002.arrow[0]",
    ]
    assert values(tmp_path / "one") == ROWS
    assert values(tmp_path / "two") == [ROWS[2], ROWS[0]]
    assert values(tmp_path / "two", split="test") == [ROWS[1]]
    with pytest.raises(UserError, match=r"no split 'validation' .* Set `split` to train, test"):
        values(tmp_path / "two", split="validation")
    with pytest.raises(UserError, match=r"no split 'test' .* has one split"):
        values(tmp_path / "one", split="test")
    (tmp_path / "one" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(UserError, match=r"data-00001-of-00002.arrow is missing"):
        values(tmp_path / "one")
    (tmp_path / "one" / "state.json").write_text("{")
    with pytest.raises(UserError, match="no whole folder of save_to_disk"):
        values(tmp_path / "one")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_the_separator_of_a_table_is_detected_and_said_once(tmp_path, caplog, suffix, separator):
    path = tmp_path / f"rows{suffix}"
    path.write_text(table(ROWS, separator, "\n"), encoding="utf-8")
    for _ in range(2):
        assert (values(path), places(path)) == (ROWS, [":2", ":3", ":5"])
    usual = separator == {".csv": ",", ".tsv": "\t"}[suffix]
    assert [f"{path} is read with" in record.message for record in caplog.records] == [True] * (not usual)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("prompt\na; b\nc; d\n", [{"prompt": "a; b"}, {"prompt": "c; d"}]),
        ("prompt;x,response\na,b\nc;d;e,f\n", [{"prompt;x": "a", "response": "b"}, {"prompt;x": "c;d;e", "response": "f"}]),
        ("prompt;response, long\na;b\nc;d, e\n", [{"prompt": "a", "response, long": "b"}, {"prompt": "c", "response, long": "d, e"}]),
        ("sep=|\nprompt|response\na,b;c|d\n", [{"prompt": "a,b;c", "response": "d"}]),
    ],
)  # fmt: skip
def test_other_separators_in_a_table_are_text(tmp_path, text, rows):
    (tmp_path / "rows.csv").write_text(text)
    assert values(tmp_path / "rows.csv") == rows


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.tsv.gz"])
def test_encodings_with_and_without_a_byte_order_mark_are_detected_and_said_once(tmp_path, caplog, name, encoding):
    text = {
        "rows.jsonl": LINES.decode(),
        "rows.json": json.dumps(ROWS, ensure_ascii=False),
        "rows.csv": table(ROWS, ";"),
        "rows.tsv.gz": table(ROWS, "\t"),
    }[name]
    path = tmp_path / name
    raw = text.encode(encoding)
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    assert values(path) == values(path) == ROWS
    said = [record.message for record in caplog.records if "is read as" in record.message]
    assert [f"{path} is read as {encoding.upper()[:6]}" in line for line in said] == [True] * (encoding != "utf-8-sig")


def test_text_in_utf_16_of_other_alphabets_and_half_characters_are_noticed(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("問題,回答\n一,二\n".encode("utf-16-le") * 3)
    assert values(path)[0] == {"問題": "一", "回答": "二"}
    path = tmp_path / "rows.jsonl"
    half = '{"a": "\ud83d"}\n'.encode("utf-16-le", "surrogatepass")
    path.write_bytes(codecs.BOM_UTF16_LE + half + '{"a": 1}\n'.encode("utf-16-le"))
    assert [(row.source, type(row)) for row in read_rows(path)] == [(f"{path}:1", BadRow), (f"{path}:2", Row)]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="ends inside a character"):
        values(path)


def test_a_table_in_cp1252_is_read_and_said_once(tmp_path, caplog):
    rows = [{"prompt": "Où est le café “Zoë” ?", "response": "À côté – 5 €"}, {"prompt": "Spaß?", "response": "ja"}]
    (tmp_path / "rows.csv").write_bytes(table(rows, ";").encode("cp1252"))
    assert values(tmp_path / "rows.csv") == values(tmp_path / "rows.csv") == rows
    assert [record.message.count("read as cp1252") for record in caplog.records] == [1, 0]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Привет, мир", "cp1251"),
        ("你好世界，你好", "gbk"),
        ("Καλημέρα κόσμε", "cp1253"),
        ("Można też, że są i będą rośliny", "cp1250"),
    ],
)
def test_a_table_in_another_encoding_is_refused_row_by_row(tmp_path, text, encoding):
    raw = table([{"prompt": text, "response": "x"}] * 3 + [{"prompt": "plain", "response": "x"}], ";").encode(encoding)
    (tmp_path / "rows.csv").write_bytes(raw)
    rows = [*read_rows(tmp_path / "rows.csv")]
    assert [getattr(row, "reason", "") for row in rows] == ["invalid UTF-8"] * 3 + [""]


def test_rows_in_two_encodings_are_not_guessed(tmp_path):
    lines = [b"prompt,response", "né,a".encode("cp1252"), "né,b".encode(), b"c,d"]
    (tmp_path / "rows.csv").write_bytes(b"\n".join(lines))
    assert [getattr(row, "reason", row.source[-1]) for row in read_rows(tmp_path / "rows.csv")] == [
        "invalid UTF-8",
        "3",
        "4",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rows.xlsx", "Save the sheet as CSV"),
        ("rows.pkl", r"can run programs .* pandas.read_pickle\(.*rows.pkl\)"),
        ("rows.sqlite", "sqlite3 -json .*rows.sqlite"),
        ("rows.tar", "Unpack it"),
        ("rows.yaml", "as JSON, one object a line"),
        ("rows.orc", "read_orc"),
        ("rows.bin", "unknown file suffix"),
        ("sheet.csv", "a zip archive or a spreadsheet"),
        ("database.jsonl", "an SQLite database. Write a table as JSON: sqlite3 -json"),
        ("pointer.jsonl", "git lfs pull"),
        ("pandas.csv", r"pandas writes its index so: use to_csv\(..., index=False\)"),
        ("python.csv", r"python.csv:2: a list of Python, not JSON: write such cells with json.dumps"),
    ],
)
def test_files_that_are_not_read_are_refused_with_the_way_out(tmp_path, name, message):
    path = tmp_path / name
    if name == "database.jsonl":
        sqlite3.connect(path).execute("create table t (a)").connection.close()
    else:
        path.write_bytes({
            "sheet.csv": b"PK\x03\x04...",
            "pointer.jsonl": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "pandas.csv": b",prompt,response\n0,a,b\n",
            "python.csv": b"messages\n\"[{'role': 'user', 'content': 'a'}]\"\n",
        }.get(name, b"x"))  # fmt: skip
    with pytest.raises(UserError, match=message):
        load_examples([DatasetSpec(str(path))])
