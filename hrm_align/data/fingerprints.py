"""Values of a row in a form that does not depend on its file format, for the fingerprint of a data set.

JSON Lines, Parquet, Arrow and CSV differ in nulls (a column or key that is null in one is absent in another), in whole
numbers (Arrow stores 1 as 1.0 beside 2.5), and in objects (CSV holds them as JSON text).
"""

from __future__ import annotations

import re
from typing import Any

from hrm_align.data.strict_json import JsonFault, parse_value

# In the JSON of a row: a null, or a whole float. Rows without them are alike in all formats.
FORMAT_DEPENDENT = re.compile(r"null[,}\]]"), re.compile(r"\.0[,}\]]")


def same_in_all_formats(value: Any, keep: bool = False) -> Any:
    """Return a value without null keys, but for those of a call's arguments (`keep`), and with whole numbers as integers."""
    if isinstance(value, dict):
        return {
            key: same_in_all_formats(part, keep or key == "arguments")
            for key, part in value.items()
            if part is not None or keep
        }
    if isinstance(value, list):
        return [same_in_all_formats(part, keep) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def parse_cell(value: Any) -> Any:
    """Return the value of a text that is JSON; any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        return parse_value(value.encode("utf-8", "surrogatepass"))
    except JsonFault:
        return value
