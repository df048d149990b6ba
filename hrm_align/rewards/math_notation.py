r"""Bring mathematical notation into one spelling, and read plain numbers and units.

`normalize` changes only notation that never changes the meaning: typesetting, synonyms of commands, Unicode signs.

>>> normalize(r"$\left( \dfrac{1}{2},\, 12{,}000 \right)$.")
'(\\frac{1}{2}, 12000)'

A quantity is a number or a formula with a unit. Units are units of measurement (`UNITS`), currencies, `%`, `°`, and
the nouns that the caller allows; `5 million` is a number, and the words of `5 squared` are no unit.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

_UNICODE = str.maketrans({
    "−": "-", "–": "-", "×": r"\cdot ", "·": r"\cdot ", "÷": "/", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ",
    "∞": r"\infty ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ", "∓": r"\mp ", "√": r"\sqrt ", "π": r"\pi ",
    "θ": r"\theta ", "∅": r"\emptyset ", "²": "^{2}", "³": "^{3}", "′": "'", "’": "'", "½": r"\frac{1}{2}", "º": "°",
})  # fmt: skip
_SYNONYMS = {
    **dict.fromkeys(("\\dfrac", "\\tfrac", "\\cfrac"), "\\frac"),
    **dict.fromkeys(("\\dbinom", "\\tbinom"), "\\binom"),
    **dict.fromkeys(("\\leq", "\\leqslant", "\\leqq"), "\\le"),
    **dict.fromkeys(("\\geq", "\\geqslant", "\\geqq"), "\\ge"),
    **dict.fromkeys(("\\times", "\\ast", "\\cdotp"), "\\cdot"),
    **dict.fromkeys(("\\lvert", "\\rvert", "\\vert", "\\mid"), "|"),
    **dict.fromkeys(("\\varnothing", "\\empty"), "\\emptyset"),
    "\\lt": "<", "\\gt": ">", "\\neq": "\\ne", "\\div": "/", "\\lbrace": "\\{", "\\rbrace": "\\}", "\\colon": ":",
    "\\lparen": "(", "\\rparen": ")", "\\lbrack": "[", "\\rbrack": "]", "\\degree": "°", "\\prime": "'", "\\%": "%",
    "\\infin": "\\infty", "\\land": " and ", "\\lor": " or ", "\\wedge": " and ", "\\vee": " or ", "\\arctg": "\\arctan",
    "\\tg": "\\tan", "\\&": "&", "\\_": "_", "\\#": "", "*": "\\cdot", "~": " ", "\\bigcup": "\\cup",
}  # fmt: skip
# Typesetting. `\!` joins; the others are spaces.
_JOINING = {"\\!", "\\left", "\\right", "\\bigl", "\\bigr", "\\Bigl", "\\Bigr", "\\big", "\\Big", "\\bigg", "\\Bigg",
            "\\displaystyle", "\\textstyle", "\\limits", "\\nolimits", "\\mleft", "\\mright"}  # fmt: skip
_SPACES = {
    "\\,",
    "\\;",
    "\\:",
    "\\ ",
    "\\>",
    "\\quad",
    "\\qquad",
    "\\enspace",
    "\\thinspace",
    "\\\n",
    "\\(",
    "\\)",
    "\\[",
    "\\]",
}
_PHRASES = {"all real numbers": r"\mathbb{R}", "all reals": r"\mathbb{R}", "empty set": r"\emptyset"}
_NAMES = {"sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "ln",
          "exp", "pi", "infty"}  # fmt: skip
_TOKEN = re.compile(r"\\\\(?:\s*\[[^\]]*\])?|\\[A-Za-z]+|\\.|[A-Za-z]+|\s+|.", re.DOTALL)
_WRAPPED = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf)?|math(?:rm|bf|it|sf|normal)|operatorname\*?|boxed|fbox|mbox|hbox|boldsymbol|bm)\s*\{([^{}]*)\}"
)
_THOUSANDS = re.compile(r"(?<=[0-9])(?:\{,\}|\\,|,\\!)(?=[0-9]{3}(?![0-9]))")
_DEGREE = re.compile(r"\s*\^\s*(?:\{\s*(?:\\circ|°|o)\s*\}|\\circ(?![A-Za-z])|°)")
_BLACKBOARD = re.compile(r"\\(?:mathbb|Bbb) ?\{?([CNQRZ])(?:\}|(?![A-Za-z]))|\\([NQRZ])(?![A-Za-z])")
_BRACKETED_NUMERAL = re.compile(r"\(([0-9A-F]+)\)_")  # (101)_2
_PRIME = re.compile(r"\^\s*(?:\{((?:\s*(?:\\prime|'))+)\s*\}|\\prime(?![A-Za-z]))")


def normalize(text: str) -> str:
    """Return the text without typesetting and with one spelling for each symbol."""
    text = text.strip().translate(_UNICODE)
    dollars = len(re.findall(r"(?<!\\)\$", text))
    if dollars % 2 == 0:
        text = re.sub(r"(?<!\\)\$", " ", text)  # `$` in pairs delimits formulas; a single one is a currency
    text = _THOUSANDS.sub("", text)
    for _ in range(3):  # text within text
        text = _WRAPPED.sub(r" \1 ", text)
    text = _PRIME.sub(lambda match: "'" * max(1, (match[1] or "").count("prime") + (match[1] or "").count("'")), text)
    text = _DEGREE.sub("°", text)
    text = _BRACKETED_NUMERAL.sub(r"\1_", text)
    text = _BLACKBOARD.sub(lambda match: rf"\mathbb{{{match[1] or match[2]}}}", text)
    tokens: list[str] = []
    for token in _TOKEN.findall(text):
        token = _spell(token)
        if token.isspace():
            token = " "
        tokens.append(token)
    text = " ".join("".join(_space_commands(tokens)).split())
    text = re.sub(r"(?<![A-Za-z0-9,;]) | (?![A-Za-z0-9])", "", text)  # spaces only separate words and parts
    text = text.rstrip(".,;").removeprefix("=").strip()
    return _PHRASES.get(text.lower(), text)


def _spell(token: str) -> str:
    if token in _JOINING:
        return ""
    if token in _SPACES:
        return " "
    if token.startswith("\\\\"):
        return "\\\\"
    if token == "$":
        return "\\$"
    return "\\" + token if token in _NAMES else _SYNONYMS.get(token, token)


def _space_commands(tokens: list[str]) -> list[str]:
    """Put a space between a command and a letter that would continue its name."""
    spaced: list[str] = []
    for token in tokens:
        if token and token[0].isalpha() and spaced and re.match(r"\\[A-Za-z]", spaced[-1]):
            spaced.append(" ")
        if token:
            spaced.append(token)
    return spaced


# --- Plain numbers

_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_WHOLE = r"[0-9]{1,300}"
_DECIMAL = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,300})(?:\.[0-9]{0,300})?|\.[0-9]{1,300}"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)(?:(?P<mixed>{_WHOLE}(?=\\frac|\s[0-9]+/))?\s?"
    rf"(?:\\frac\s?(?:\{{(?P<n1>-?{_WHOLE})\}}|(?P<n2>[0-9]))\s?(?:\{{(?P<d1>-?{_WHOLE})\}}|(?P<d2>[0-9]))"
    rf"|(?P<n3>{_WHOLE})/(?P<d3>{_WHOLE}))"
    rf"|(?P<decimal>{_DECIMAL})(?:\\overline\{{(?P<period>[0-9]{{1,30}})\}}|(?:[eE](?P<e>[-+]?[0-9]{{1,3}})"
    rf"|\\cdot ?10\^(?P<power>\{{-?[0-9]{{1,3}}\}}|[0-9]+))?)"
    rf"(?:\s(?P<scale>{'|'.join(_SCALES)}))?)",
)


def parse_number(text: str) -> Fraction | None:
    r"""Parse a normalized text that is one plain number: an integer, decimal, fraction, mixed number or scaled number.

    An expression such as `2+3` or `\sqrt{25}` is not a plain number, and neither is a fraction with the denominator 0.

    >>> parse_number("1.5"), parse_number(r"1\frac{1}{2}"), parse_number("2 million"), parse_number("2+3")
    (Fraction(3, 2), Fraction(3, 2), Fraction(2000000, 1), None)
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    if match["decimal"] is not None:
        digits = match["decimal"].replace(",", "")
        value = Fraction(digits.rstrip(".") or "0")
        if match["period"]:
            places = len(digits.partition(".")[2])
            value += Fraction(int(match["period"]), (10 ** len(match["period"]) - 1) * 10**places)
        value *= Fraction(10) ** int((match["power"] or match["e"] or "0").strip("{}")[:4])
        value *= _SCALES.get(match["scale"], 1)
    else:
        denominator = int(match["d1"] or match["d2"] or match["d3"])
        if denominator == 0:
            return None
        value = int(match["mixed"] or 0) + Fraction(int(match["n1"] or match["n2"] or match["n3"]), denominator)
    return -value if match["sign"] == "-" else value


# --- Units

UNITS = {
    "mm": "millimeter millimetre", "cm": "centimeter centimetre", "m": "meter metre", "km": "kilometer kilometre",
    "in": "inch", "ft": "foot feet", "yd": "yard", "mi": "mile", "mg": "milligram", "g": "gram gm", "kg": "kilogram",
    "oz": "ounce", "lb": "pound", "ton": "tonne", "ml": "milliliter millilitre mL", "l": "liter litre L", "gal": "gallon",
    "qt": "quart", "pt": "pint", "cup": "", "ms": "millisecond", "s": "second sec", "min": "minute", "h": "hour hr",
    "day": "", "week": "", "month": "", "year": "yr", "N": "newton", "J": "joule", "W": "watt", "kW": "kilowatt",
    "volt": "", "ampere": "amp", "kelvin": "", "Pa": "pascal", "Hz": "hertz", "mol": "mole", "kWh": "", "acre": "",
    "unit": "", "°": "degree deg", "°C": "celsius", "°F": "fahrenheit", "rad": "radian", "%": "percent pct",
    "$": "dollar USD buck", "¢": "cent", "€": "euro EUR", "£": "GBP", "¥": "yen",
}  # fmt: skip
_PLURALS = ("", "s", "es")
_UNIT_NAMES = {alias + end: unit for unit, aliases in UNITS.items() for alias in aliases.split() for end in _PLURALS}
_UNIT_NAMES |= {unit + end: unit for unit in UNITS for end in (_PLURALS if len(unit) > 2 else ("",))}
_UNIT_NAMES |= {"mph": "mi/h", "kph": "km/h", "kmh": "km/h"}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_NOT_NOUNS = {*_SCALES, "squared", "cubed", "half", "halves", "third", "quarter", "percent", "times", "factorial", "plus",
              "minus", "over", "mod", "not", "less", "more", "than", "other", "wrong", "incorrect"}  # fmt: skip
_ANGLE_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_QUANTITY = re.compile(
    r"(?P<body>.*?(?:[0-9.)}!\]]|\\[a-z]+(?![a-z]))) ?(?P<tail>[A-Za-z%°¢€£¥][A-Za-z0-9%°^{}\-/. ]*|\\\$)", re.DOTALL
)
_UNIT_FACTOR = re.compile(r"(?:(square|cubic|sq|cu)\.? )?([A-Za-z]+|[%¢€£¥]|°[CF]?)\.?(?:\^\{?(-?[1-9])\}?)?")


@dataclass(frozen=True)
class Quantity:
    """The text of a number or a formula, and its unit; the unit is `""` if there is none."""

    body: str
    unit: str

    @property
    def number(self) -> Fraction | None:
        """The value of the body if it is a plain number."""
        return parse_number(self.body)


def split_unit(text: str, nouns: Collection[str] = ()) -> Quantity:
    """Split a normalized text into a number or formula and its unit.

    Args:
        text: the normalized text.
        nouns: lower-case words that count as units of what is counted, in the singular: `apple`.
    """
    sign = text[:1] if text[:1] in ("-", "+") else ""
    for symbol, unit in (("\\$", "$"), ("€", "€"), ("£", "£"), ("¥", "¥")):
        if text.removeprefix(sign).startswith(symbol):
            amount = split_unit(sign + text.removeprefix(sign).removeprefix(symbol).strip(), nouns)
            return Quantity(amount.body, unit) if amount.unit in ("", unit) else Quantity(text, "")
    if parse_number(text) is not None:
        return Quantity(text, "")
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return Quantity(text, "")
    body, tail = match["body"], match["tail"]
    # 5m may be a variable times 5, while 5 m is a length.
    if len(tail) == 1 and tail.isalpha() and text == body + tail:
        return Quantity(text, "")
    scale = tail.partition(" ")[0].lower()
    if scale in _SCALES:
        body, tail = f"{body} {scale}", tail[len(scale) :].strip()
        if not tail:
            return Quantity(body, "")
    unit = "$" if tail == "\\$" else _read_unit(tail, nouns, spaced=text != match["body"] + match["tail"])
    if unit == "°" and _ANGLE_FUNCTION.search(body):
        return Quantity(text, "")  # \sin 30° is no angle
    return Quantity(body, unit) if unit else Quantity(text, "")


def _read_unit(text: str, nouns: Collection[str], spaced: bool) -> str:
    """Return the canonical spelling of a unit, as `cm^2` for `square centimeters`; empty if the text is no unit.

    Args:
        text: the text after a number.
        nouns: words that count as units.
        spaced: whether a space separates the text from the number; the nouns need one.
    """
    factors = re.split(r" ?/ ?| per ", text.strip())
    read = []
    for factor in factors:
        match = _UNIT_FACTOR.fullmatch(factor)
        name = match and (_UNIT_NAMES.get(match[2]) or (len(match[2]) > 2 and _UNIT_NAMES.get(match[2].lower())))
        if match and name:
            power = int(match[3] or _POWERS.get(match[1] or "", 1))
            read.append(name if power == 1 else f"{name}^{power}")
        elif is_noun_phrase(factor, nouns) and spaced:
            read.append(singular(factor.lower()))
        else:
            return ""
    return "/".join(read)


def is_noun_phrase(text: str, nouns: Collection[str]) -> bool:
    """Return whether a text consists of at most four words that are all among the nouns (`of` is allowed)."""
    words = text.lower().split()
    counted = [word for word in words if word != "of"]
    allowed = all(singular(word) in nouns and word not in _NOT_NOUNS and len(word) > 2 for word in counted)
    return 0 < len(words) <= 4 and bool(counted) and allowed


def singular(word: str) -> str:
    """Return a word without a plural `s`, which is enough to compare two words."""
    return word[:-1] if word.endswith("s") and len(word) > 3 else word
