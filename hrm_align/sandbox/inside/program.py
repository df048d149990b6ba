"""A program is run, and what its functions return is written as JSON.

This is the side that a program can take over: it may tamper with all that is here, and then answers for itself, wrongly
or rightly. So nothing here is relied upon; the answer is read with suspicion (`hrm_align.sandbox.jobs`) and
compared elsewhere.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import types
import warnings
from typing import Any

MAX_NESTING = 100  # lists within lists, in an answer
MAX_DIGITS = 4300  # of an int: what Python itself writes and reads, since 3.11
MAX_MESSAGE = 200  # characters

# What a program can import: no file can be opened any more when it runs. A text, to be split.
MODULES = (
    "abc array ast base64 binascii bisect builtins calendar cmath codecs collections collections.abc contextlib copy csv "
    "ctypes dataclasses datetime decimal difflib encodings.ascii encodings.idna encodings.latin_1 encodings.utf_16 enum "
    "errno fractions functools gc graphlib hashlib heapq hmac html html.parser inspect io itertools json keyword "
    "linecache locale logging math numbers operator os os.path pprint queue random re secrets select signal stat "
    "statistics string struct sys textwrap threading time timeit token tokenize traceback types typing unicodedata "
    "urllib.parse uuid warnings weakref zlib _strptime"
)


def load_modules() -> None:
    """Import what programs can import, once for all of them. A Python built without one of them goes without it."""
    for name in MODULES.split():
        try:
            importlib.import_module(name)
        except ImportError:
            continue


def answer(request: bytes) -> bytes:
    """The answer to `{"source", "call", "arguments"}`: `{"kind", "message", "values"}`, of `Outcome`."""
    try:
        values = _values(**json.loads(request))
        return json.dumps({"kind": "returned", "message": "", "values": values}, allow_nan=False).encode()
    except _Refused as refusal:
        kind, message = "refused", str(refusal)
    except MemoryError:
        kind, message = "memory", "it takes more memory than it may"
    except BaseException as error:  # SystemExit too
        kind, message = "raised", _described(error)
    return json.dumps({"kind": kind, "message": message[:MAX_MESSAGE], "values": []}).encode()


class _Refused(Exception):
    pass


def _values(source: str, call: str, arguments: list[list[Any]]) -> list[Any]:
    """What each call returns. Every call has a module of its own, which the program fills anew."""
    warnings.simplefilter("ignore")
    try:
        code = compile(source, "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise _Refused(f"no Python: {_described(error)}") from None
    values = []
    for given in arguments:
        module = types.ModuleType("program")
        sys.modules["program"] = module  # dataclasses, enum and typing look there
        exec(code, module.__dict__)
        if call not in module.__dict__:
            raise _Refused(f"the program does not define {call}")
        value = module.__dict__[call](*given)
        _check(value)
        values.append(value)
    return values


def _check(value: Any, depth: int = 0) -> None:
    """Refuse what JSON would not give back as it is: a tuple, a set, a subclass, a key that is no string, NaN."""
    kind = type(value)
    if depth > MAX_NESTING:
        raise _Refused(f"it returns more than {MAX_NESTING} lists within lists")
    if kind is list:
        for item in value:
            _check(item, depth + 1)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise _Refused(f"it returns a dict with the key {key!r:.50}, and JSON has only strings")
            _check(item, depth + 1)
    elif kind is float:
        if not math.isfinite(value):
            raise _Refused(f"it returns {value}, which JSON has not")
    elif kind is int:
        if abs(value) >= 10**MAX_DIGITS:
            raise _Refused(f"it returns an int of more than {MAX_DIGITS} digits")
    elif value is not None and kind not in (bool, str):
        raise _Refused(f"it returns a {kind.__name__}, which JSON has not")


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # of its own __str__
        return type(error).__name__
