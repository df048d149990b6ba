"""Run a program in a confined process, and write the return values of its function as JSON.

The program shares this process, can change everything in this module, and can forge its answer. Therefore no check here
is trusted: `hrm_align.sandbox.jobs` validates the answer outside, and the trainer compares the values.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import types
import warnings
from typing import Any

MAX_NESTING = 100  # nesting levels of a return value
MAX_DIGITS = 4300  # digits of an int: the limit of Python's own conversions since 3.11
MAX_MESSAGE = 200  # characters of a message

# Modules that a program can import. They are loaded before the program starts, since files cannot be opened after that.
MODULES = (
    "abc array ast base64 binascii bisect builtins calendar cmath codecs collections collections.abc contextlib copy csv "
    "ctypes dataclasses datetime decimal difflib encodings.ascii encodings.idna encodings.latin_1 encodings.utf_16 enum "
    "errno fractions functools gc graphlib hashlib heapq hmac html html.parser inspect io itertools json keyword "
    "linecache locale logging math numbers operator os os.path pprint queue random re secrets select signal stat "
    "statistics string struct sys textwrap threading time timeit token tokenize traceback types typing unicodedata "
    "urllib.parse uuid warnings weakref zlib _strptime"
)


def load_modules() -> None:
    """Import the modules for programs, once for all jobs. Modules that this Python was built without are skipped."""
    for name in MODULES.split():
        try:
            importlib.import_module(name)
        except ImportError:
            continue


def answer(request: bytes) -> bytes:
    """Run a job and return its answer.

    Args:
        request: JSON `{"source", "call", "arguments"}`, as in `Job`.

    Returns:
        JSON `{"kind", "message", "values"}`, as in `Outcome`.
    """
    try:
        values = _run_calls(**json.loads(request))
        return json.dumps({"kind": "returned", "message": "", "values": values}, allow_nan=False).encode()
    except _Refused as refusal:
        kind, message = "refused", str(refusal)
    except MemoryError:
        kind, message = "memory", "the program exceeds its memory limit"
    except BaseException as error:  # also SystemExit
        kind, message = "raised", _describe_error(error)
    return json.dumps({"kind": kind, "message": message[:MAX_MESSAGE], "values": []}).encode()


class _Refused(Exception):
    """The program is not valid, or returns a value that JSON cannot represent."""


def _run_calls(source: str, call: str, arguments: list[list[Any]]) -> list[Any]:
    """Execute the program and call its function once for each list of arguments, each time in a new module.

    Returns:
        The return value of each call.

    Raises:
        _Refused: if the program is not valid Python or does not define the function, or for a value that is not JSON.
    """
    warnings.simplefilter("ignore")
    try:
        code = compile(source, "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise _Refused(f"not valid Python: {_describe_error(error)}") from None
    values = []
    for call_arguments in arguments:
        module = types.ModuleType("program")
        sys.modules["program"] = module  # dataclasses, enum and typing look modules up by name
        exec(code, module.__dict__)
        if call not in module.__dict__:
            raise _Refused(f"the program does not define {call}")
        value = module.__dict__[call](*call_arguments)
        _reject_non_json(value)
        values.append(value)
    return values


def _reject_non_json(value: Any, depth: int = 0) -> None:
    """Reject values that JSON does not preserve: tuples, sets, subclasses, keys that are not strings, NaN.

    Raises:
        _Refused: for such a value.
    """
    kind = type(value)
    if depth > MAX_NESTING:
        raise _Refused(f"the function returns more than {MAX_NESTING} lists within lists")
    if kind is list:
        for item in value:
            _reject_non_json(item, depth + 1)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise _Refused(f"the function returns a dict with the key {key!r:.50}, which is not a string")
            _reject_non_json(item, depth + 1)
    elif kind is float:
        if not math.isfinite(value):
            raise _Refused(f"the function returns {value}, which is not a JSON value")
    elif kind is int:
        if abs(value) >= 10**MAX_DIGITS:
            raise _Refused(f"the function returns an int of more than {MAX_DIGITS} digits")
    elif value is not None and kind not in (bool, str):
        raise _Refused(f"the function returns a {kind.__name__}, which is not a JSON type")


def _describe_error(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # raised by the __str__ of the program's own exception class
        return type(error).__name__
