r"""Split a mathematical answer into its parts, so that each part is compared by the rule for its kind.

math-verify takes the point (3, 4) for the set {3, 4}, forgets repeated items, and accepts any two equations without
real roots. Therefore only single formulas are passed to it, and the parts of an answer are compared here:

    2, -2        list        any order; each item as often          x = 2 or x = -2, \pm 2
    \{1, 2\}     set         any order; repeated items count once
    (3, 4)       tuple       in order, with the same brackets       x = 3, y = 4
    (1, 2] \cup [5, 6)       union: any order
    x < 3        relation    also the interval (-\infty, 3)
    x = 5        named       the name may be missing
    1:2:3        ratio       in order, up to a common factor
    a & b \\ c & d           matrix: row by row; a single row or column is also a tuple
    \frac{x}{2}  leaf        one formula, number or text
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

Compare = Callable[["Node", "Node"], bool]

MAX_PARTS = 30  # an answer with more parts counts as text
MAX_DEPTH = 8  # nesting of brackets

_TOKEN = re.compile(r"\\\\|\\[A-Za-z]+|\\.|[A-Za-z]+|[0-9]+|\s|.", re.DOTALL)
_OPEN = {
    "(": ")",
    "[": "]",
    "{": "}",
    r"\{": r"\}",
    r"\langle": r"\rangle",
    r"\lfloor": "",
    r"\lceil": "",
    r"\begin": "",
}
_CLOSE = {")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil", r"\end"}
_RELATIONS = {"=", "<", ">", r"\le", r"\ge", r"\ne", r"\in", r"\approx", r"\equiv", r"\subset", r"\to"}
_THOUSANDS = re.compile(r"(?<![0-9,.])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
_MATRIX = re.compile(r"\\begin\{([pbB]?matrix|smallmatrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\{\1\}", re.DOTALL)
_LETTER = r"(?:[A-Za-z]|\\(?:alpha|beta|gamma|delta|theta|lambda|mu|sigma|phi|omega))"
_SYMBOL = rf"{_LETTER}(?:_(?:\{{\w+\}}|\w))?'*"
_NAME = re.compile(
    rf"{_SYMBOL}(?:\^\{{?-1\}}?)?(?:\({_SYMBOL}(?:, ?{_SYMBOL})*\))?|m?\\(?:angle|triangle|overline) ?\{{?[A-Z]{{1,3}}\}}?"
    r"|[A-Z]{2,3}|(?!.*\bnot\b)[A-Za-z]{3,20}(?: [A-Za-z]+){0,3}"
)
_FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


@dataclass(frozen=True)
class Node:
    """An answer or a part of one.

    Args:
        kind: list, set, tuple, union, relation, named, assignment, ratio, matrix, row or leaf.
        parts: the parts.
        text: the formula of a leaf, the brackets of a tuple, the relations between the parts, the name or names.
    """

    kind: str
    parts: tuple[Node, ...] = ()
    text: str = ""


def parse_answer(text: str, depth: int = 0, outermost: bool = True) -> Node:
    """Split a normalized text into its parts.

    Args:
        text: the normalized text.
        depth: number of brackets around the text.
        outermost: whether `1,234` is a number. Within brackets, it is two numbers.
    """
    items, separators = split_text(text, {",", ";", "and", "or"}, outermost)
    if depth > MAX_DEPTH or len(items) > MAX_PARTS or not items[0] or not items[-1]:
        return Node("leaf", text=text)
    items = [item for item in items if item]  # nothing stands between the separators of `2, 3, and 5`
    parsed = [part for item in items for part in _parse_item(item, depth)]
    if len(parsed) == 1:
        return parsed[0]
    return _join_names(parsed, "or" if "or" in separators else ",")


def split_text(text: str, separators: set[str], thousands: bool = False) -> tuple[list[str], list[str]]:
    """Split a text at separators outside all brackets. Unbalanced brackets give a single part.

    Args:
        text: the normalized text.
        separators: tokens to split at.
        thousands: whether the commas of `1,234` belong to a number.

    Returns:
        The parts, without spaces around them, and the separators between them.
    """
    numbers = {at for match in _THOUSANDS.finditer(text) for at in range(*match.span())} if thousands else set()
    parts: list[str] = []
    splits: list[str] = []
    depth, start = 0, 0
    for token in _TOKEN.finditer(text):
        depth += (token[0] in _OPEN) - (token[0] in _CLOSE)
        if depth < 0:
            return [text.strip()], []
        if depth == 0 and token[0].lower() in separators and token.start() not in numbers:
            parts.append(text[start : token.start()].strip())
            splits.append(token[0].lower())
            start = token.end()
    parts.append(text[start:].strip())
    return (parts, splits) if depth == 0 else ([text.strip()], [])


def _parse_item(text: str, depth: int) -> list[Node]:
    r"""Parse one item of a list; `\pm` gives two."""
    signs = len(re.findall(r"\\(?:pm|mp)(?![A-Za-z])", text))
    if not signs:
        return [_parse_relation(text, depth)]
    if signs > 3:
        return [Node("leaf", text=text)]
    together = r"\mp" in text  # `\mp` refers to the sign of the other `\pm`
    choices = [("+",) * signs, ("-",) * signs] if together else [*product("+-", repeat=signs)]
    variants = []
    for choice in choices:
        left = iter(choice)
        flip = {"+": "-", "-": "+"}

        def sign(match: re.Match[str], left: Iterable[str] = left, flip: dict[str, str] = flip) -> str:
            chosen = next(iter(left))
            return chosen if match[1] == "pm" else flip[chosen]

        variants.append(re.sub(r"\\(pm|mp)(?![A-Za-z]) ?", sign, text))
    return [_parse_relation(variant, depth) for variant in variants]


def _parse_relation(text: str, depth: int) -> Node:
    sides, relations = split_text(text, _RELATIONS)
    if not relations:
        return _parse_value(text, depth)
    if r"\approx" in relations and sides[0] and not _NAME.fullmatch(sides[0]):
        # A rounded value after the exact one adds nothing: 1/3 \approx 0.333.
        return _parse_relation(sides[0], depth) if relations == [r"\approx"] else Node("leaf", text=text)
    parts = tuple(_parse_value(side, depth) for side in sides)
    if len(sides) == 2 and relations[0] in ("=", r"\in", r"\approx"):
        if _NAME.fullmatch(sides[0]):
            return Node("named", parts[1:], sides[0])
        names = [part.text for part in parts[0].parts]
        if parts[0].kind == parts[1].kind == "tuple" and all(map(_NAME.fullmatch, names)) and relations[0] == "=":
            return _assignment(names, parts[1].parts)
    return Node("relation", parts, " ".join(relations))


def _parse_value(text: str, depth: int) -> Node:
    """Parse a text without separators and relations."""
    text = text.strip()
    pieces, _ = split_text(text, {r"\cup"})
    if len(pieces) > 1 and all(pieces):
        return Node("union", tuple(_parse_value(piece, depth) for piece in pieces))
    if matrix := _MATRIX.fullmatch(text):
        return _parse_matrix(matrix[2], depth)
    if (bracketed := _parse_brackets(text, depth)) is not None:
        return bracketed
    pieces, _ = split_text(text, {":"})
    if len(pieces) > 1 and all(pieces) and not re.search(r"[A-Za-z]{3}", re.sub(r"\\[A-Za-z]+", "", text)):
        return Node("ratio", tuple(Node("leaf", text=piece) for piece in pieces))
    return Node("leaf", text=text.removeprefix("+"))


def _parse_matrix(content: str, depth: int) -> Node:
    rows = [row for row in split_text(content, {"\\\\"})[0] if row]
    cells = [tuple(_parse_value(cell, depth + 1) for cell in split_text(row, {"&"})[0]) for row in rows]
    return Node("matrix", tuple(Node("row", row) for row in cells))


def _parse_brackets(text: str, depth: int) -> Node | None:
    """Parse a text in brackets; None if no brackets enclose all of it."""
    opening = next((token for token in ("(", "[", "{", r"\{", r"\langle") if text.startswith(token)), None)
    closing = next((token for token in (")", "]", r"\}", "}", r"\rangle") if text.endswith(token)), None)
    if opening is None or closing is None or depth >= MAX_DEPTH:
        return None
    level, end = 0, 0
    for token in _TOKEN.finditer(text):
        level += (token[0] in _OPEN) - (token[0] in _CLOSE)
        if level == 0:
            end = token.end()
            break
    if end != len(text):
        return None
    content = text[len(opening) : -len(closing)].strip()
    if (opening, closing) == ("{", "}") and "," not in content:
        return parse_answer(content, depth + 1, outermost=False) if content else None
    if (opening, closing) in ((r"\{", r"\}"), ("{", "}")):  # {1, 2} is a set without LaTeX
        if not content:
            return Node("leaf", text=r"\emptyset")
        element, condition = [*split_text(content, {"|", ":"})[0], "", ""][:2]
        if condition and _NAME.fullmatch(split_text(element, {r"\in"})[0][0]):  # all x with a condition
            return parse_answer(condition, depth + 1, outermost=False)
        inner = parse_answer(content, depth + 1, outermost=False)
        return Node("set", inner.parts if inner.kind == "list" else (inner,))
    items, _ = split_text(content, {",", ";"})
    if len(items) > 1 and all(items):
        kinds = {r"\langle": "(", r"\rangle": ")"}
        parts = tuple(parse_answer(item, depth + 1, outermost=False) for item in items)
        if [part.text for part in parts] == [r"-\infty", r"\infty"] and (opening, closing) == ("(", ")"):
            return Node("leaf", text=r"\mathbb{R}")
        return Node("tuple", parts, kinds.get(opening, opening) + kinds.get(closing, closing))
    round_brackets = (opening, closing) == ("(", ")")
    inner = parse_answer(content, depth + 1, outermost=False)
    return inner if (round_brackets and content) or inner.kind == "matrix" else None


def _join_names(parts: Sequence[Node], separator: str) -> Node:
    """Join the items of a list: equal names are named once, and different names make an assignment."""
    names = [part.text for part in parts if part.kind == "named"]
    same = len(set(names)) == 1 and parts[0].kind == "named"
    if same and all(part.kind in ("named", "leaf") for part in parts):
        values = tuple(part.parts[0] if part.kind == "named" else part for part in parts)
        return Node("named", (Node("list", values, separator),), names[0])
    if len(names) == len(parts) == len(set(names)):
        return _assignment(names, [part.parts[0] for part in parts])
    return Node("list", tuple(parts), separator)


def _assignment(names: Sequence[str], values: Sequence[Node]) -> Node:
    pairs = sorted(zip(names, values, strict=False), key=lambda pair: pair[0])
    return Node("assignment", tuple(value for _, value in pairs), " ".join(name for name, _ in pairs))


def same_structure(given: Node, expected: Node, same_leaf: Compare, same_relation: Compare) -> bool:
    """Return whether two answers are equal.

    Args:
        given: the answer.
        expected: the reference.
        same_leaf: compares two leaves.
        same_relation: compares two relations with one relation sign.
    """

    def same(given: Node, expected: Node) -> bool:
        if "named" in (given.kind, expected.kind):
            other_name = given.kind == expected.kind and given.text != expected.text
            if other_name and not all(side.parts[0].kind == "leaf" for side in (given, expected)):
                return False
            if other_name or "relation" in (given.kind, expected.kind):
                given, expected = _as_equation(given), _as_equation(expected)
                return "named" not in (given.kind, expected.kind) and same(given, expected)
            return same(*(side.parts[0] if side.kind == "named" else side for side in (given, expected)))
        given, expected = _convert(given, expected), _convert(expected, given)
        if given.kind != expected.kind:
            return _same_across_kinds(given, expected, same)
        if given.kind == "leaf":
            return same_leaf(given, expected)
        if given.kind == "set":
            return _same_items(_distinct(given.parts, same), _distinct(expected.parts, same), same)
        if given.kind in ("list", "union"):
            return _same_items(given.parts, expected.parts, same)
        if given.kind == "relation":
            return _same_relations(given, expected, same, same_relation)
        if given.kind == "ratio":
            equal = _same_in_order(given.parts, expected.parts, same)
            return equal or _same_in_order(_reduced(given.parts), _reduced(expected.parts), same)
        return given.text == expected.text and _same_in_order(given.parts, expected.parts, same)

    return same(given, expected)


def _same_across_kinds(given: Node, expected: Node, same: Compare) -> bool:
    kinds = {given.kind, expected.kind}
    if kinds == {"list", "set"}:
        return _same_items(given.parts, expected.parts, same)
    if "assignment" in kinds and kinds & {"list", "set"}:
        names = (given if given.kind == "assignment" else expected).text.split()
        roots = len({name.partition("_")[0] for name in names}) == 1  # x_1 = 1, x_2 = 2
        return roots and _same_items(given.parts, expected.parts, same)
    if kinds == {"assignment", "tuple"}:
        brackets = given.text if given.kind == "tuple" else expected.text
        return brackets == "()" and _same_in_order(given.parts, expected.parts, same)
    if kinds in ({"set", "leaf"}, {"ratio", "leaf"}):
        given, expected = _as_leaf(given), _as_leaf(expected)
        return given.kind == expected.kind and same(given, expected)
    return False


def _as_leaf(answer: Node) -> Node:
    """Return the only item of a set, and the fraction of a ratio with two parts; any other answer as it is."""
    if answer.kind == "set" and len(answer.parts) == 1:
        return answer.parts[0]
    return _reduced(answer.parts[::-1])[0] if answer.kind == "ratio" and len(answer.parts) == 2 else answer


def _as_equation(answer: Node) -> Node:
    """Return `y = 2x + 3` as an equation that can be rearranged, and `x \\in [2, 5)` as the interval."""
    if answer.kind != "named":
        return answer
    value = answer.parts[0]
    return Node("relation", (Node("leaf", text=answer.text), value), "=") if value.kind == "leaf" else value


def _reduced(parts: Sequence[Node]) -> list[Node]:
    """Return the quotients of each part of a ratio and the first one."""
    return [Node("leaf", text=rf"\frac{{{part.text}}}{{{parts[0].text}}}") for part in parts[1:]]


def _convert(answer: Node, other: Node) -> Node:
    """Return an answer in the form of another one, if the two forms say the same."""
    if other.kind in ("tuple", "union"):
        if answer.kind == "relation":
            return _interval(answer) or answer
        if answer.kind == "list" and answer.text == "or":
            intervals = [_interval(part) for part in answer.parts]
            variables = {side.text for part in answer.parts for side in part.parts if re.fullmatch(_SYMBOL, side.text)}
            united = Node("union", tuple(interval for interval in intervals if interval))
            return united if all(intervals) and len(variables) == 1 else answer
        if answer.kind == "matrix" and other.kind == "tuple":
            column = [row.parts[0] for row in answer.parts if len(row.parts) == 1]
            row = answer.parts[0].parts if len(answer.parts) == 1 else ()
            vector = tuple(column) if len(column) == len(answer.parts) else row
            return Node("tuple", vector, "()") if vector else answer
    return answer


def _interval(relation: Node) -> Node | None:
    """Return the interval of an inequality in one variable, such as `2 \\le x < 5`; None for other relations."""
    relations, sides = relation.text.split(), list(relation.parts)
    if relation.kind != "relation":
        return None
    if not set(relations) <= {*_FLIPPED, r"\ne"} or any(side.kind != "leaf" for side in sides):
        return None
    if relations[0] in (">", r"\ge"):
        relations, sides = [_FLIPPED[sign] for sign in reversed(relations)], sides[::-1]
    if set(relations) & {">", r"\ge"}:
        return None
    if relations == [r"\ne"]:
        below, above = (_interval(Node("relation", relation.parts, sign)) for sign in ("<", ">"))
        return Node("union", (below, above)) if below and above else None
    variables = [at for at, side in enumerate(sides) if re.fullmatch(_SYMBOL, side.text)]
    if len(sides) == 2 and len(variables) == 1:
        infinity = Node("leaf", text=r"\infty")
        if variables == [0]:
            return Node("tuple", (Node("leaf", text=r"-\infty"), sides[1]), "(" + _bracket(relations[0], ")]"))
        return Node("tuple", (sides[0], infinity), _bracket(relations[0], "([") + ")")
    if len(sides) == 3 and variables == [1]:
        return Node("tuple", (sides[0], sides[2]), _bracket(relations[0], "([") + _bracket(relations[1], ")]"))
    return None


def _bracket(relation: str, brackets: str) -> str:
    return brackets[0] if relation == "<" else brackets[1]


def _same_relations(given: Node, expected: Node, same: Compare, same_relation: Compare) -> bool:
    given, expected = _ascending(given), _ascending(expected)
    if given.text != expected.text or len(given.parts) != len(expected.parts):
        return False
    in_order = _same_in_order(given.parts, expected.parts, same)
    leaves = all(part.kind == "leaf" for part in (*given.parts, *expected.parts))
    return in_order or (len(given.parts) == 2 and leaves and same_relation(given, expected))


def _ascending(relation: Node) -> Node:
    """Return a relation with `<` and `\\le` instead of `>` and `\\ge`."""
    relations = relation.text.split()
    if not set(relations) <= {">", r"\ge"}:
        return relation
    return Node("relation", relation.parts[::-1], " ".join(_FLIPPED[sign] for sign in reversed(relations)))


def _same_in_order(given: Sequence[Node], expected: Sequence[Node], same: Compare) -> bool:
    return len(given) == len(expected) and all(map(same, given, expected))


def _same_items(given: Sequence[Node], expected: Sequence[Node], same: Compare) -> bool:
    """Return whether two lists have the same items equally often, in any order."""
    left = list(given)
    if len(left) != len(expected):
        return False
    for item in expected:
        match = next((at for at, other in enumerate(left) if other.text == item.text and same(other, item)), None)
        if match is None:
            match = next((at for at, other in enumerate(left) if same(other, item)), None)
        if match is None:
            return False
        del left[match]
    return True


def _distinct(items: Sequence[Node], same: Compare) -> list[Node]:
    distinct: list[Node] = []
    for item in items:
        if not any(same(item, other) for other in distinct):
            distinct.append(item)
    return distinct
