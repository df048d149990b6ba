"""Run a program in a confined process, and write the return values of its function as JSON.

The program shares this process, can change everything in this module, and can forge its answer. Therefore no check here
is trusted: `hrm_align.sandbox.jobs` validates the answer outside, and the trainer compares the values.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import io
import json
import math
import os
import sys
import threading
import types
import warnings
from collections import Counter, OrderedDict, defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .serving import find_function

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


_DICTIONARIES = (dict, OrderedDict, defaultdict, Counter)  # types whose instances may equal a JSON object
_NUMBERS = (complex, Decimal, Fraction)  # types whose instances may equal a JSON number


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
        try:
            function = find_function(module.__dict__, call)
        except KeyError:
            raise _Refused(f"the program does not define {call}") from None
        values.append(_to_json(function(*call_arguments)))
    return values


def _to_json(value: Any, depth: int = 0) -> Any:
    """Return the JSON value that equals a value: a list for a tuple, a number for a `Fraction` or `Decimal`.

    Raises:
        _Refused: for a value that equals no JSON value, such as a set, a dict with keys that are not strings, or NaN.
    """
    kind = type(value)
    if depth > MAX_NESTING:
        raise _Refused(f"the function returns more than {MAX_NESTING} lists within lists")
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        if abs(value) >= 10**MAX_DIGITS:
            raise _Refused(f"the function returns an int of more than {MAX_DIGITS} digits")
        return value
    if kind is float:
        if not math.isfinite(value):
            raise _Refused(f"the function returns {value}, which is not a JSON value")
        return value
    if kind is list or kind is tuple or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return [_to_json(item, depth + 1) for item in value]
    if kind in _DICTIONARIES:
        for key in value:
            if type(key) is not str:
                raise _Refused(f"the function returns a dict with the key {key!r:.50}, which is not a string")
        return {key: _to_json(item, depth + 1) for key, item in value.items()}
    if kind in _NUMBERS:
        for number in (int, float):
            with contextlib.suppress(TypeError, ValueError, OverflowError):
                same = number(value.real) if kind is complex else number(value)
                if same == value:
                    return _to_json(same)
    raise _Refused(f"the function returns a {kind.__name__}, which equals no JSON value")


def run_program(request: bytes) -> None:
    """Run a program that reads standard input and writes standard output, as `python program.py` does.

    After an exception, the last line of the output describes it, and the process exits with 1.

    Args:
        request: JSON `{"source"}`.
    """
    source = json.loads(request)["source"]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = io.StringIO()
    sys.argv = ["program.py"]
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # defined by the module `site`, which is not loaded
    # No thread can start here. Programs start one for its larger stack, and wait for its end.
    threading.Thread.start, threading.Thread.join = threading.Thread.run, lambda *_: None  # type: ignore[method-assign]
    warnings.simplefilter("ignore")
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    status, message = 0, ""
    try:
        exec(compile(source, "program.py", "exec", dont_inherit=True), module.__dict__)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else error.code is not None
    except BaseException as error:
        status, message = 1, _describe_error(error)
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
    if status:
        with contextlib.suppress(OSError, ValueError):
            os.write(1, f"\n{message[:MAX_MESSAGE]}".encode(errors="replace"))
        os._exit(status % 256 or 1)


def _describe_error(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # raised by the __str__ of the program's own exception class
        return type(error).__name__
