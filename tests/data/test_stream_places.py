"""Files are read from a place on, to the row, without the rows before it."""

import csv
import json
import shutil

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest

from hrm_align.data import arrow_files, stream_sources
from hrm_align.data.dataset import DatasetSpec
from hrm_align.data.readers import BadRow
from tests.data.test_streaming import made_rows


def table_rows(count):
    """Rows whose cells have quotes, separators and line breaks of both kinds, and letters of two bytes."""
    return [
        {"prompt": f'say "{n}",\r\nor\n{"né" * (n % 5)}', "response": f"red {n}" if n % 7 else "a\n\nb"}
        for n in range(count)
    ]


def damaged(path, begin, end):
    """Overwrite bytes of a file with open quotes and letters of another encoding."""
    with open(path, "r+b") as file:
        file.seek(begin)
        file.write((b'"\xc3\xa9\n' * (end - begin))[: end - begin])


def resumed_rows(path, read, damage=None):
    """Read some rows and take the place as a checkpoint does; damage what is behind it; and read from the place on."""
    source = stream_sources.open_source(DatasetSpec(str(path)))
    source.take(read)
    place = json.loads(json.dumps(source.place()))
    if damage is not None:
        damaged(path, *damage(place))
    again = stream_sources.open_source(DatasetSpec(str(path)))
    again.seek(place)
    return again.take(999)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_a_table_continues_at_its_byte(tmp_path, encoding):
    path, whole = tmp_path / "rows.csv", tmp_path / "whole.csv"
    with open(whole, "w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, ["prompt", "response"])
        writer.writeheader()
        writer.writerows(table_rows(60))
    expected = [(row.data, row.source) for row in stream_sources.open_source(DatasetSpec(str(whole))).take(999)]
    assert [data for data, _ in expected] == table_rows(60)
    header = len("prompt,response\r\n")
    for read in (1, 23, 60):
        shutil.copy(whole, path)
        is_damaged = encoding in ("utf-8", "cp1252") and read == 23
        rows = resumed_rows(path, read, (lambda place: (header, place["offset"])) if is_damaged else None)
        assert [(row.data, row.source.replace("rows.csv", "whole.csv")) for row in rows] == expected[read:], read


def test_a_table_continues_behind_a_row_with_a_stray_quote(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('prompt,response\na,1\n"b" c,2\nd,"3\n3"\n\n"open,4\ne,5\nf,6\n')
    source = stream_sources.open_source(DatasetSpec(str(path)))
    places, rows = [source.place()], []
    while taken := source.take(1):
        rows += taken
        places.append(source.place())
    assert [row.source for row in rows if isinstance(row, BadRow)] == [f"{path}:3", f"{path}:7"]
    for number, place in enumerate(places):
        source.seek(place)
        assert source.take(99) == rows[number:], place


@pytest.mark.parametrize("read", [5, 20, 47, 60])
def test_row_groups_before_a_place_are_not_read(tmp_path, read):
    table = pyarrow.Table.from_pylist(made_rows(60))
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(table, path, row_group_size=10, compression="none")
    column = pyarrow.parquet.read_metadata(path).row_group(read // 10 - 1).column(1) if read >= 10 else None
    rows = resumed_rows(
        path,
        read,
        None if column is None else lambda _: (4, column.dictionary_page_offset + column.total_compressed_size),
    )
    assert [row.data for row in rows] == made_rows(60)[read:]
    assert not rows or rows[0].source == f"{path}[{read}]"


@pytest.mark.parametrize("form", ["file", "stream"])
def test_rows_of_arrow_files_before_a_place_are_not_converted(tmp_path, form, monkeypatch):
    path, table = tmp_path / "rows.arrow", pyarrow.Table.from_pylist(made_rows(60))
    with (pyarrow.ipc.new_file if form == "file" else pyarrow.ipc.new_stream)(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=10)
    converted, stock = [], arrow_files.restore_row
    rows = stream_sources.open_source(DatasetSpec(str(path)))
    rows.take(47)
    monkeypatch.setattr(arrow_files, "restore_row", lambda *args: converted.append(args[1]) or stock(*args))
    again = stream_sources.open_source(DatasetSpec(str(path)))
    again.seek(rows.place())
    assert [row.data for row in again.take(999)] == made_rows(60)[47:]
    assert converted == [f"{path}[{number}]" for number in range(47, 60)]


def test_a_place_in_a_table_that_has_no_byte_counts_rows(tmp_path):
    """Checkpoints of earlier versions hold the number of rows alone."""
    path = tmp_path / "rows.csv"
    path.write_text("prompt,response\n" + "".join(f'"say\n{n}",{n}\n' for n in range(9)))
    source = stream_sources.open_source(DatasetSpec(str(path)))
    source.seek({"file": 0, "offset": 0, "number": 4})
    assert [row.data["response"] for row in source.take(2)] == ["4", "5"]
    place = source.place()
    source.seek(place)
    assert [row.data["response"] for row in source.take(9)] == ["6", "7", "8"]
