r"""Rewrite a formula in the part of LaTeX that math-verify's parser reads in full.

The parser drops the base of 101_2 and the prime of f'(x), reads 2(1/2) as 2 1/2, I as the imaginary unit, dx as one
variable, and decimals as floats. `rewrite_formula` writes each of these in a form that is read as it is meant, and
raises `Unreadable` for everything that is not known to be read.
"""

from __future__ import annotations

import re

MAX_BARS = 8  # the parser tries all ways to pair them
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[0-9]+(?:\.[0-9]+)?|\.[0-9]+|[A-Za-z]|\s+|.", re.DOTALL)
_FUNCTIONS = {
    r"\sin", r"\cos", r"\tan", r"\cot", r"\sec", r"\csc", r"\arcsin", r"\arccos", r"\arctan", r"\sinh",
    r"\cosh", r"\tanh", r"\log", r"\ln", r"\exp",
}  # fmt: skip
_GREEK = {
    r"\alpha", r"\beta", r"\delta", r"\epsilon", r"\varepsilon", r"\zeta", r"\eta", r"\theta", r"\kappa",
    r"\lambda", r"\mu", r"\nu", r"\xi", r"\rho", r"\sigma", r"\tau", r"\phi", r"\varphi", r"\chi", r"\psi",
    r"\omega", r"\Delta", r"\Theta", r"\Lambda", r"\Sigma", r"\Phi", r"\Psi", r"\Omega", r"\ell",
}  # fmt: skip
_CONSTANTS = {r"\pi", r"\infty"}
_GROUPS = {r"\lfloor", r"\rfloor", r"\lceil", r"\rceil"}
_NAMED = {r"\gamma": "gammasymbol", r"\Gamma": "Gammasymbol"}  # the parser takes both for Euler's constant
_PRODUCTS = {("number", "open"), ("close", "open"), ("close", "number"), ("group", "number"), ("close", "group")}
_ACCENTS = {r"\overline", r"\bar", r"\vec", r"\hat"}


class Unreadable(ValueError):
    """A formula with something that math-verify's parser would drop or misread."""


def rewrite_formula(formula: str) -> str:
    r"""Return a normalized formula in the part of LaTeX that the parser reads in full.

    >>> rewrite_formula(r"\frac12 x^10 - 0.5(2)")
    '\\frac{1}{2}x^{10}-\\frac{5}{10}\\cdot (2)'

    Raises:
        Unreadable: for anything that the parser would drop, misread or does not know.
    """
    if formula.count("|") > MAX_BARS:
        raise Unreadable("more absolute values than the parser reads in a second")
    written = _Rewriter(_TOKEN.findall(formula)).write()
    return "I" if written == "{I}" else written


class _Rewriter:
    """Rewrite the tokens of one formula. Scripts, fractions and roots get braces, and products get their sign."""

    def __init__(self, tokens: list[str]):
        self._tokens = tokens
        self._at = 0

    def write(self, until: str | None = None) -> str:
        """Rewrite up to a closing token, which is consumed, or to the end."""
        written: list[str] = []
        last = ""  # kind of the last token: number, close, name, function, script
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            if token == until:
                return "".join(written)
            if token.isspace():
                continue
            text, kind = self._write_token(token, last)
            # The parser adds the numbers in (2)(3) and 2(1/2): it takes them for a mixed number.
            joined = (last, kind) in _PRODUCTS
            if (last, kind) == ("number", "number"):
                raise Unreadable("two numbers side by side")
            written.append(f"\\cdot {text}" if joined else text)
            last = "close" if kind == "open" else kind
        if until is not None:
            raise Unreadable(f"no {until}")
        return "".join(written)

    def _write_token(self, token: str, last: str) -> tuple[str, str]:
        """Return the rewritten text of a token with its arguments, and its kind."""
        if token[-1].isdigit() and token[0] in ".0123456789":
            return self._write_number(token, last), "number"
        if token in ("^", "_"):
            if last in ("", "operator"):
                raise Unreadable("a script without a base")
            if token == "_" and last not in ("name", "log"):
                raise Unreadable("a subscript of a number, such as a base")
            kind = "function" if last in ("function", "log") else "script"
            return token + self._argument(one_digit=last == "log"), kind
        if token in ("(", "{"):
            closing = {"(": ")", "{": "}"}[token]
            inner = self.write(closing)
            if not inner:
                raise Unreadable("empty brackets")
            return f"({inner})", "open"
        if token in ("+", "-", "/", r"\cdot"):
            return {r"\cdot": r"\cdot "}.get(token, token), "operator"
        if token in ("!", "|"):
            if token == "!" and self._peek() == "!":
                raise Unreadable("!!")
            return token, "close" if token == "!" else "bar"
        if token.isalpha() and token.isascii():
            return self._write_letter(token), "name"
        return self._write_command(token)

    def _write_command(self, token: str) -> tuple[str, str]:
        if token in (r"\frac", r"\binom"):
            arguments = self._argument(one_digit=True) + self._argument(one_digit=True)
            if token == r"\binom" and re.search(r"[0-9]{5}", arguments):
                raise Unreadable("a binomial coefficient that takes long to compute")
            return token + arguments, "group"
        if token == r"\sqrt":
            root = ""
            if self._peek() == "[":
                self._skip()
                root = f"[{self.write(']')}]"
            return token + root + self._argument(), "group"
        if token in _FUNCTIONS:
            return token + " ", "log" if token == r"\log" else "function"
        if token in _CONSTANTS or token in _GREEK:
            return token + " ", "name"
        if token in _NAMED:
            return rf"\text{{{_NAMED[token]}}}", "name"
        if token in _GROUPS:
            return token + " ", "close" if token.startswith(r"\r") else "operator"
        if token in _ACCENTS and self._peek() == "{":
            self._skip()
            name = self.write("}").strip()
            if re.fullmatch(r"[A-Za-z]{1,3}", name):
                return f"{token}{{{name}}}", "name"
        raise Unreadable(token)

    def _write_number(self, token: str, last: str) -> str:
        number = _as_fraction(token)
        if self._peek() == "°":
            self._skip()
            return rf"(\frac{{{token.replace('.', '')}\pi }}{{{180 * 10 ** len(token.partition('.')[2])}}})"
        rest = [other for other in self._tokens[self._at : self._at + 6] if not other.isspace()][:3]
        # 1/2x is one half of x; the parser would read 1/(2x).
        divided = last not in ("script", "number") and len(rest) == 3 and rest[0] == "/" and rest[1].isdigit()
        if divided and (rest[2][0].isalpha() or rest[2] in (*_CONSTANTS, *_GREEK, r"\sqrt", "(")):
            self._skip()
            return rf"(\frac{{{number}}}{{{self._tokens[self._skip()]}}})"
        return number

    def _write_letter(self, token: str) -> str:
        """Return a letter and its primes. The parser would take `d` for a differential and `I` for the imaginary unit.

        `{I}` is in braces since the parser drops the exponent of I^2.
        """
        primes = 0
        while self._peek() == "'":
            self._skip()
            primes += 1
        if primes:
            if self._peek() in ("_", "^"):
                raise Unreadable("a script after a prime")
            return f"{token}_{{{'p' * primes}}}"
        if token in "dI" and self._peek() != "_":
            return f"{token}_{{{token}}}"
        return "{I}" if token == "i" and self._peek() != "_" else token

    def _argument(self, one_digit: bool = False) -> str:
        """Return the next argument in braces: a group, a signed number, a command with its arguments, or a letter."""
        self._spaces()
        if self._at >= len(self._tokens):
            raise Unreadable("a missing argument")
        token = self._tokens[self._at]
        self._at += 1
        if token == "{":
            inner = self.write("}")
            if not inner:
                raise Unreadable("an empty argument")
            return f"{{{inner}}}"
        if token == "(" and not one_digit:
            return f"{{({self.write(')')})}}"
        if token in ("-", "+") and not one_digit:
            return f"{{{token}{self._argument()[1:-1]}}}"
        if token[0].isdigit():
            if one_digit and len(token) > 1:
                self._at -= 1
                self._tokens[self._at] = token[1:]
                return f"{{{token[0]}}}"
            return f"{{{_as_fraction(token)}}}"
        if token.isalpha() or token.startswith("\\"):
            return f"{{{self._write_token(token, '')[0]}}}"
        raise Unreadable(token)

    def _peek(self) -> str:
        self._spaces()
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _spaces(self) -> None:
        while self._at < len(self._tokens) and self._tokens[self._at].isspace():
            self._at += 1

    def _skip(self) -> int:
        """Pass over the next token that is not a space, and return its position."""
        self._spaces()
        self._at += 1
        return self._at - 1


def _as_fraction(number: str) -> str:
    """Return a decimal as a fraction, since the parser would round it to a float."""
    whole, point, places = number.partition(".")
    return rf"\frac{{{int(whole + places)}}}{{{10 ** len(places)}}}" if point else str(int(number))
