"""Wrong programs, made from references, that the preflight of the grader `code` uses."""

from __future__ import annotations

from collections.abc import Sequence

# Runs the reference in a namespace of its own, so that a recursive function calls its correct version, and hands
# copies of the arguments on, so that a function that changes its arguments is wrong, too.
_WRONG = """
def _make_wrong(function, copy=__import__("copy").deepcopy):
    def wrong(*arguments, **named):
        try:
            result = function(*copy(arguments), **copy(named))
        except Exception:
            return "corrupted"
        if isinstance(result, bool):
            return not result
        for kind, change in ((int, 1), (float, 1), (complex, 1), (str, "1"), (list, [1]), (tuple, (1,))):
            if isinstance(result, kind):
                return result + change
        return "corrupted" if result is None else None
    return wrong


def _load_wrong(source, names):
    space = dict(globals())
    exec(source, space)
    for name, value in space.items():
        if name in names and isinstance(value, type):
            for method, function in list(vars(value).items()):
                if callable(function) and (not method.startswith("__") or method == "__call__"):
                    setattr(value, method, _make_wrong(function))
            globals()[name] = value
        elif name in names and callable(value):
            globals()[name] = _make_wrong(value)
"""


def corrupt_functions(reference: str, names: Sequence[str]) -> str:
    """Return a program whose functions and methods give wrong results.

    A truth value is inverted; numbers, texts, lists and tuples are changed by 1; all else becomes None.

    Args:
        reference: a correct program; "" if there is none.
        names: names of the functions and classes.
    """
    if not reference.strip():
        return "\n".join(f"def {name}(*arguments, **named): return None" for name in names)
    return f"{_WRONG}\n\n_load_wrong({reference!r}, {list(names)!r})"
