"""Readers of Parquet and Arrow files, which undo what Arrow does to rows whose objects have different keys.

    {"arguments": {"x": 1}}, {"arguments": {"y": 2}}  in Arrow: {"x": 1, "y": null}, {"x": null, "y": 2}

Arrow stores objects with all keys of all rows, and null for a key that a row lacks. Read back:

- A null in an object is left out: keys of messages, schemas of `tools`, `grading`.
- A null in the arguments of a tool call is left out if the schema of the tool does not know the key. If it does, the row
  is refused, because the null may be the row's own. Arguments that are stored as JSON text have no such nulls.
- A number whose tool wants an integer is an integer: Arrow stores 1 as 1.0 beside 2.5.
- A map is an object, and the type `Json` of `datasets` the value that it holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from hrm_align.data.data_file import DataFile
from hrm_align.data.rows import BadRow, Row, make_bad_row
from hrm_align.data.strict_json import JsonFault, parse_value
from hrm_align.data.tables import conversation
from hrm_align.errors import UserError

BATCH_ROWS = 256
_PARAMETERS = ("parameters", "input_schema", "inputSchema")  # keys of a tool's schema: OpenAI, Anthropic, MCP
_PANDAS_INDEX = "__index_level_"  # columns in which pandas stores its index


class _Fault(ValueError):
    """A row that cannot be restored. The message is `kind: detail`."""


def read_parquet(file: DataFile, first: int) -> Iterator[Row | BadRow]:
    """Read a Parquet file from a row on; row groups before it are not read.

    Raises UserError, while reading, if the file is damaged or two columns have one name.
    """

    def batches(opened: ExitStack) -> tuple[pa.Schema, Iterator[pa.RecordBatch], int]:
        source = file.path if _is_plain(file) else opened.enter_context(file.open_seekable())
        parquet = opened.enter_context(pyarrow.parquet.ParquetFile(source))
        group, passed = 0, 0
        while group < parquet.num_row_groups and passed + parquet.metadata.row_group(group).num_rows <= first:
            passed += parquet.metadata.row_group(group).num_rows
            group += 1
        groups = range(group, parquet.num_row_groups)
        return parquet.schema_arrow, parquet.iter_batches(batch_size=BATCH_ROWS, row_groups=groups), passed

    return _read(file, batches, first)


def read_arrow(file: DataFile, first: int) -> Iterator[Row | BadRow]:
    """Read an Arrow IPC file or stream, which Feather files and files of `datasets` are, from a row on.

    Rows before it are mapped into memory or unpacked, and not converted. Errors are those of `read_parquet`.
    """

    def batches(opened: ExitStack) -> tuple[pa.Schema, Iterator[pa.RecordBatch], int]:
        if _is_plain(file):
            stream = opened.enter_context(pa.memory_map(file.path))
        else:
            stream = opened.enter_context(pa.PythonFile(opened.enter_context(file.open_seekable())))
        is_file = stream.read(6) == b"ARROW1"
        stream.seek(0)
        if not is_file:
            reader = opened.enter_context(pa.ipc.open_stream(stream))
            return reader.schema, iter(reader), 0
        table = opened.enter_context(pa.ipc.open_file(stream))
        return table.schema, (table.get_batch(number) for number in range(table.num_record_batches)), 0

    return _read(file, batches, first)


def _is_plain(file: DataFile) -> bool:
    return file.member is None and file.path.lower().endswith(file.suffix)


def _read(file: DataFile, open_batches: Any, first: int) -> Iterator[Row | BadRow]:
    number = 0
    try:
        with ExitStack() as opened:
            schema, batches, number = open_batches(opened)
            if len(set(schema.names)) != len(schema.names):
                names = ", ".join(schema.names)
                raise UserError(f"{file.name} has two columns of one name ({names}). Rename one of them.")
            for batch in batches:
                passed = min(max(first - number, 0), batch.num_rows)
                number += passed
                for start in range(passed, batch.num_rows, BATCH_ROWS):
                    for values in _values(batch.slice(start, BATCH_ROWS)):
                        source = f"{file.name}[{number}]"
                        yield values(source) if callable(values) else restore_row(values, source, schema)
                        number += 1
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{file.name} cannot be read from row {number} on: {error}. Write or copy the file again."
        ) from None


def _values(batch: pa.RecordBatch) -> Iterator[Any]:
    """Yield the values of each row by column; for a row with values that Python cannot have, a function to a BadRow."""
    names = [name for name in batch.schema.names if not name.startswith(_PANDAS_INDEX)]
    try:
        columns = [batch.column(name).to_pylist() for name in names]
        yield from (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
        return
    except (ValueError, OverflowError):  # of any of the rows
        pass
    for index in range(batch.num_rows):
        try:
            yield {name: batch.column(name)[index].as_py() for name in names}
        except UnicodeDecodeError as error:
            reason, text = f"invalid UTF-8: byte 0x{error.object[error.start]:02x}", error.object
            yield lambda source, reason=reason, text=text: make_bad_row(source, reason, text)
        except (ValueError, OverflowError) as error:  # dates before the year 1 and their like
            reason = f"unreadable value: {error}"
            yield lambda source, reason=reason: make_bad_row(source, reason, "")


@dataclass(slots=True)
class _Walk:
    """A walk over the values of a row: the tool calls in it, and whether values of the type `Json` have been parsed."""

    parsed: bool
    calls: list[dict[str, Any]] = field(default_factory=list)


def restore_row(values: Mapping[str, Any], source: str, schema: pa.Schema, parsed: bool = False) -> Row | BadRow:
    """Make a row from the values of an Arrow table's row, without what Arrow has added.

    Args:
        values: values by column name, as `to_pylist` gives them.
        source: place of the row.
        schema: schema of the table.
        parsed: whether values of the type `Json` have been parsed, as `datasets` does.
    """
    walk = _Walk(parsed)
    try:
        data = {name: _restore(value, schema.field(name).type, walk) for name, value in values.items()}
        data = {name: conversation(value) if isinstance(value, str) else value for name, value in data.items()}
        if any(map(_is_uncertain, walk.calls)):
            tools: dict[str, Any] = {}
            _collect_tools(data, tools)
            for call in walk.calls:
                call["arguments"] = _fit(
                    call["arguments"], tools.get(call["name"]), tools.get(call["name"]), call["name"]
                )
    except _Fault as fault:
        return make_bad_row(source, fault, json.dumps(values, ensure_ascii=False, default=str))
    return Row(data, source)


def _restore(value: Any, kind: pa.DataType, walk: _Walk, keep: bool = False) -> Any:
    """Return a value of an Arrow type as its row had it; nulls in the arguments of calls stay, and the calls are listed."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        restored = {}
        for key in kind:
            is_call = key.name == "arguments" and isinstance(value.get("name"), str)
            part = _restore(value.get(key.name), key.type, walk, keep or is_call)
            if part is not None or keep:
                restored[key.name] = part
        if not keep and isinstance(restored.get("name"), str) and isinstance(restored.get("arguments"), dict):
            walk.calls.append(restored)
        return restored
    if pa.types.is_map(kind):
        return {key: _restore(item, kind.item_type, walk, keep) for key, item in value}
    if pa.types.is_nested(kind) and hasattr(kind, "value_type"):
        return [_restore(item, kind.value_type, walk, keep) for item in value]
    if walk.parsed or getattr(kind, "extension_name", "") != "arrow.json":
        return value
    try:
        return parse_value(value.encode("utf-8", "surrogatepass"))
    except JsonFault as fault:
        raise _Fault(fault) from None


def _is_uncertain(value: Any) -> bool:
    """Return whether a value has a null or a whole float, which Arrow may have made."""
    if isinstance(value, dict):
        return any(part is None or _is_uncertain(part) for part in value.values())
    if isinstance(value, list):
        return any(map(_is_uncertain, value))
    return isinstance(value, float) and value.is_integer()


def _collect_tools(value: Any, tools: dict[str, Any]) -> None:
    """Collect the schemas of parameters by the name of their tool, wherever in a row they are; texts may be JSON."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = parse_value(value.encode("utf-8", "surrogatepass"))
        except JsonFault:
            return
    if isinstance(value, list):
        for part in value:
            _collect_tools(part, tools)
    elif isinstance(value, dict):
        schema = next((value[key] for key in _PARAMETERS if isinstance(value.get(key), dict)), None)
        if isinstance(value.get("name"), str) and schema is not None:
            is_flat = "properties" not in schema and all(isinstance(part, dict) for part in schema.values())
            tools[value["name"]] = {"properties": schema} if is_flat else schema
        for part in value.values():
            _collect_tools(part, tools)


def _fit(value: Any, schema: Any, root: Any, place: str) -> Any:
    """Return a part of a call's arguments as its schema, which may be unknown, lets it be. Raises _Fault for a doubtful null."""
    schemas = list(_expand(schema, root, 0))
    if isinstance(value, dict):
        known = [part["properties"] for part in schemas if isinstance(part.get("properties"), dict)]
        fitted = {}
        for key, part in value.items():
            own = [properties[key] for properties in known if key in properties]
            if part is not None:
                fitted[key] = _fit(part, {"allOf": own}, root, f"{place}.{key}")
            elif own:
                raise _Fault(
                    f"doubtful null: {place}.{key} of a tool call, which Arrow also writes for a key that is absent; "
                    "store arguments as JSON text"
                )
        return fitted
    if isinstance(value, list):
        items = {"allOf": [part["items"] for part in schemas if isinstance(part.get("items"), dict)]}
        return [_fit(part, items, root, f"{place}[]") for part in value]
    wants_integer = any(part.get("type") in ("integer", "int") for part in schemas)
    return int(value) if wants_integer and isinstance(value, float) and value.is_integer() else value


def _expand(schema: Any, root: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and those that it is made of."""
    if not isinstance(schema, dict) or depth > 8:
        return
    yield schema
    for key in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(key) or ():
            yield from _expand(part, root, depth + 1)
    target, reference = root, schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        for step in reference[2:].split("/"):
            target = target.get(step) if isinstance(target, dict) else None
        yield from _expand(target, root, depth + 1)
