r"""Decide whether two formulas are equal: math-verify's verdict, behind checks that remove its false positives.

math-verify (0.9) raises in threads, takes seconds or all memory for 10^{10^{10}}, and its parser drops what it does not
know: the base of 101_2, the prime of f'(x), degrees, and the multiplication in 2(1/2), which it reads as 2 1/2. It
rounds, so that 10^{-20} equals 10^{-21} and \sqrt{2} equals a decimal with enough digits. Therefore

- a formula is rewritten in the part of LaTeX that the parser reads in full, or is not passed to the parser at all
  (`hrm_align.rewards.math_latex`); decimals become fractions, primes and bases become parts of a name
- a formula that is too large to compute is not passed on (`TooLarge`)
- math-verify is asked only if both formulas agree to 30 digits at a point where they can be computed
- two equations are equal if the difference of the sides is the same up to a constant factor; math-verify compares their
  real solutions instead, and takes any two equations without solutions for equal

Grading happens only in the main thread of a worker process (`hrm_align.rewards.workers`), which may be killed.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from hrm_align.rewards.math_latex import Unreadable, rewrite_formula

SECONDS = 1.0  # processor time for parsing a formula, and for comparing two
MAX_CHARACTERS = 600  # of a formula
MAX_BITS = 20_000.0  # size of a number within a formula
MAX_DEGREE = 5_000  # exponent of a variable
POINTS = ((731, 1000), (-457, 500), (1213, 900))  # values of the variables start here


class TooLarge(ValueError):
    """A formula whose value cannot be computed."""


def equal_formulas(given: str, expected: str) -> bool:
    """Return whether math-verify proves two normalized formulas equal."""
    left, right = _parse(expected), _parse(given)
    return left is not None and right is not None and _proved_equal(left, right)


def equal_relations(given: tuple[str, str], expected: tuple[str, str], sign: str) -> bool:
    r"""Return whether two relations differ only by a constant factor, which is positive for an inequality.

    Args:
        given: the two sides of the answer, as normalized formulas.
        expected: the two sides of the reference.
        sign: the relation: `=`, `\ne`, `<` or `\le`.
    """
    sides = [_parse(side) for side in (*expected, *given)]
    if any(side is None for side in sides) or sign not in ("=", r"\ne", "<", r"\le"):
        return False
    return _proportional(sides[0] - sides[1], sides[2] - sides[3], positive=sign in ("<", r"\le"))


@lru_cache(maxsize=4096)  # completions of one group often state the same answer
def _proved_equal(left: Any, right: Any) -> bool:
    return bool(_within_time(_agree, left, right)) and _verified(left, right)


@lru_cache(maxsize=1024)
def _proportional(left: Any, right: Any, positive: bool) -> bool:
    factor = _within_time(_constant_factor, left, right)
    if factor is None or (positive and not factor.is_positive):
        return False
    return _verified(left, factor * right)


def _verified(left: Any, right: Any) -> bool:
    """Return math-verify's verdict; False if it takes too long."""
    verify = _math_verify().verify
    if left.is_Symbol or right.is_Symbol:  # math-verify compares a single variable by its name only
        left, right = left + 1, right + 1
    return bool(
        _within_time(lambda: verify(left, right, float_rounding=30, numeric_precision=30, timeout_seconds=None))
    )


class _OutOfTime(BaseException):
    """The time of a call is over. No `except Exception` of SymPy catches this class."""


def _within_time(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function; return None if it fails, or takes more than `SECONDS` of processor time.

    math-verify's own limits count wall-clock time, in which a busy machine may not finish a proof.
    """

    def stop(*_: object) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        return function(*arguments)
    except (_OutOfTime, Exception):  # SymPy raises exceptions of many kinds
        return None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _agree(left: Any, right: Any) -> bool:
    """Return whether two expressions agree to 30 digits at the first point where both have a value."""
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    for point in _points(symbols):
        values = [_value(side, point) for side in (left, right)]
        if values[0] is not None and values[1] is not None:
            return _close(*values)
        if not symbols:
            return left == right
    return left == right


def _constant_factor(left: Any, right: Any) -> Any:
    """Return the exact constant c with left = c x right at all points; None if there is none."""
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    if not symbols or left.free_symbols != right.free_symbols:
        return None
    pairs = [(_value(left, point), _value(right, point)) for point in _points(symbols)]
    ratios = [above / below for above, below in pairs if above and below]
    if len(ratios) < 2 or not all(_close(ratio, ratios[0]) for ratio in ratios):
        return None
    for start in (7, 10):
        point = {symbol: start + 4 * index for index, symbol in enumerate(symbols)}
        factor = left.subs(point) / right.subs(point)
        if factor.is_number and factor.is_finite and factor.is_zero is False:
            return factor
    return None


def _points(symbols: list[Any]) -> list[dict[Any, Any]]:
    """Return values for the variables; a single empty point without variables."""
    from sympy import Rational

    return [
        {symbol: Rational(*start) + Rational(index * 37, 101) for index, symbol in enumerate(symbols)}
        for start in (POINTS if symbols else POINTS[:1])
    ]


def _value(expression: Any, point: dict[Any, Any]) -> Any:
    """Return the value of an expression to 40 digits as a complex number; None where it has none."""
    from mpmath import mp, mpc, workdps

    value = expression.evalf(40, subs=point)
    parts = [0 if part._prec < 20 else part._mpf_ for part in _real_and_imaginary(value)]  # few digits: cancelled to 0
    with workdps(40):
        number = mpc(*[mp.make_mpf(part) if part else 0 for part in parts]) if parts else None
        return number if number is not None and mp.isfinite(number) else None


def _real_and_imaginary(value: Any) -> list[Any]:
    from sympy import Float

    parts = [part if part.is_Float else Float(part, 40) for part in value.as_real_imag() if part.is_Number]
    return parts if len(parts) == 2 else []


def _close(left: Any, right: Any) -> bool:
    return bool(abs(left - right) <= max(abs(left), abs(right)) * 1e-30)


# --- Parsing


@lru_cache(maxsize=2048)  # a reference is parsed once, not once for each completion
def _parse(formula: str) -> Any:
    """Return the SymPy expression of a normalized formula; None if the parser cannot read all of it."""
    library = _math_verify()
    if len(formula) > MAX_CHARACTERS:
        return None
    try:
        latex = rewrite_formula(formula)
    except (Unreadable, RecursionError):
        return None

    def read() -> Any:
        expression = library.parse(latex, is_real=True, normalization_config=None, conversion_config=library.config)
        _bits(expression)
        return expression if expression.is_commutative and not expression.is_Relational else None

    return _within_time(read)


def load() -> None:
    """Import math-verify and prove two formulas, so that no answer waits for the second that the first proofs take."""
    equal_formulas(r"\frac{x+1}{2}", r"\frac{1}{2}(1+x)")
    equal_relations(("x+y", "1"), ("2x+2y", "2"), "=")


class _MathVerify(NamedTuple):
    """The functions of math-verify, and of the parser that it uses."""

    parse: Callable[..., Any]
    verify: Callable[..., bool]
    config: Any


@lru_cache(maxsize=1)
def _math_verify() -> _MathVerify:
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # hides its warning about calls without a time limit
    from latex2sympy2_extended import latex2sympy
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig
    from math_verify import verify

    return _MathVerify(latex2sympy, verify, ConversionConfig(lowercase_symbols=False))


def _bits(expression: Any) -> float:
    """Return a bound on the size of an expression in bits.

    Raises:
        TooLarge: for a number of more than `MAX_BITS` bits, or a variable to a power above `MAX_DEGREE`.
    """
    if expression.is_Rational:
        size = float(max(int(expression.p).bit_length(), int(expression.q).bit_length()))
    elif not expression.args:
        size = 2.0
    elif expression.is_Pow:
        base, exponent = map(_bits, expression.args)
        if exponent > 20 or (expression.base.free_symbols and 2**exponent > 2 * MAX_DEGREE):
            raise TooLarge
        size = max(base, 1.0) * 2**exponent
    elif type(expression).__name__ in ("factorial", "gamma", "binomial", "exp", "subfactorial"):
        argument = max(map(_bits, expression.args))
        if argument > 12:
            raise TooLarge
        size = 2**argument * argument
    else:
        size = sum(map(_bits, expression.args))
    if size > MAX_BITS:
        raise TooLarge
    return size
