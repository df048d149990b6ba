r"""Find the answer in the text of a chat model; completions and references are read by the same rules.

`final_answer` finds a stated answer. The first rule that finds something decides, and its last statement counts:

    1. the option `pattern` of the grader, if it is set; then no other rule applies
    2. the last complete \boxed{...}
    3. the text after the last marker: `the answer is`, `answer:`, a heading or line `Answer`, `A:` at the start of a line, `####`,
       `<answer>`
    4. the last line, or else the last line with a digit: the text after its last `so`, `thus`, `hence` or `therefore`, and
       the number or formula that its sentence states, as in `the total is 5`, if no other number stands before it
    5. the only code fence without a language or with `text`, or else the whole text

Text in `<think>...</think>` never counts. `**bold**` and code fences are removed. An answer ends with its sentence or
line, and before `because`, `since`, `, which` and `, so`. A list of boxes or of equal markers with nothing but `or`, `and`
and punctuation between them states several answers, and counts as no answer; so guessing in a list is never rewarded
more than stating the last guess alone.

`read_program`, `read_json` and `read_query` find a program, a JSON value and a query, with or without a code fence and
prose around it. Everything here takes time linear in the length of the text, except a user's own pattern.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection, Sequence
from typing import NamedTuple

from hrm_align.data.strict_json import parse_value

# Rules that read an answer which is not marked as one, and their words in a report.
FALLBACKS = {
    "last line": "from the last line, such as `so 5`",
    "last number": "as the last number of the text",
    "part": "from the part that looks like code, JSON or a query",
    "whole text": "as a whole",
}


class Reading(NamedTuple):
    """An answer, or None; and the rule that found it: `pattern`, `box`, `marker`, `last line` or `whole text`.

    `block_rule` names the rules for programs, JSON and queries, and `numeric` has the rule `last number`.
    """

    answer: str | None
    rule: str


def visible(text: str) -> str:
    """Return the text after the last `</think>`, without whitespace around it; empty if a `<think>` is not closed."""
    return text.rpartition("</think>")[2].partition("<think>")[0].strip()


# --- Final answers

_BOX_OR_BRACE = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_BOLD = re.compile(r"(?<![\w)*])(\*\*|__)(?=\S)([^*\n]{1,400}?)(?<=\S)\1(?![\w(*])")  # but not the power 2**3
_DROPPED = re.compile(r"^ {0,3}```[^`\n]*$|</answer>", re.MULTILINE)
_MARKER = re.compile(
    r"(?:\#{1,6}[ \t]*)?(?:\bthe\s+)?(?:\b(?:final|correct)\s+)?\banswer(?:\s+(?:to\s[^.:\n]{1,60}?\s)?is\b\s*[:：]?|\s*[:：=])"
    r"|^[ \t>]*(?:\#{1,6}[ \t]*)?(?:the[ \t]+)?(?:final[ \t]+)?answer[ \t]*$"
    r"|^[ \t>]*(?-i:A|Ans)[ \t]*[:：]|\#{4}|<answer>",
    re.IGNORECASE | re.MULTILINE,
)
_CLOSING = re.compile(r"\b(?:so|thus|hence|therefore)\b[,:]?", re.IGNORECASE)
_STATEMENT = re.compile(
    r"[^\d\n\\$]{0,200}?\b(?:is|are|was|were|be|equals?|gets?|has|have|obtain|makes?|gives?|costs?)\b(?:\s+(?:equal\s+to|exactly))?"
    r"\s*:?\s+(?=[-+]?\.?\d|[-+]?[$\\(\[{€£])",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"\.(?=\s|$)|\n")
_REASON = re.compile(r"[,;]?\s+\(?(?:because|since)\b|[,;]\s*(?:as|which|so)\b", re.IGNORECASE)
_DELIMITERS = {"$$": "$$", "$": "$", r"\[": r"\]", r"\(": r"\)"}
_OPENING = re.compile(r"\$\$|\$|\\\[|\\\(")
_CONNECTIVE = re.compile(r"\b(?:or|and)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]")
_QUOTES = ("`", "*", "_", '"')


def final_answer(text: str, pattern: str | None = None) -> str | None:
    """Return the final answer of a text, or None if the text states no answer or several different ones."""
    return read_answer(text, pattern).answer


def read_answer(text: str, pattern: str | None = None) -> Reading:
    """Find the final answer of a text by the rules of this module.

    Args:
        text: the whole completion or reference.
        pattern: regular expression with one group.
    """
    if pattern is not None:
        return Reading(single_answer(re.findall(pattern, visible(text), re.DOTALL)), "pattern")
    stated = stated_answer(text)
    if stated is not None:
        return stated
    plain = plain_text(text)
    lines = plain.split("\n")
    last_number = next((line for line in reversed(lines) if re.search(r"\d", line)), "")
    for line in (lines[-1], last_number):  # a line such as "I hope that helps!" may follow
        value = _value_of_line(line)
        if value is not None:
            return Reading(unquoted(value) or None, "last line")
    blocks = [match[2] for match in _FENCE.finditer(visible(text)) if match[1].lower() in _ANSWER_BLOCKS]
    whole = plain_text(blocks[0]) if len(blocks) == 1 else plain
    return Reading(unquoted(whole) or None, "whole text")


def _value_of_line(line: str) -> str | None:
    """Return what a line states after `so` or as in `the total is 5`; None if the line states nothing."""
    closing = [*_CLOSING.finditer(line)]
    sentence = line[closing[-1].end() :] if closing else _SENTENCE_END.split(line.rstrip(". "))[-1]
    stated_value = _STATEMENT.match(sentence)
    if not closing and not stated_value:
        return None
    return _first_sentence(sentence[stated_value.end() :] if stated_value else sentence)


def stated_answer(text: str) -> Reading | None:
    """Return the answer in the last box or after the last marker; None for a text without boxes and markers."""
    text = plain_text(text)
    boxes = _boxes(text)
    if boxes:
        between = text[boxes[-2][1] : boxes[-1][0]] if len(boxes) > 1 else ""
        contents = [unquoted(text[start:end].strip()) for start, end in boxes[-2:]]
        # The gap holds the brace that closes one box and the command that opens the next.
        listed = _is_list_gap(_BOX_OR_BRACE.sub(" ", between))
        return Reading(single_answer(contents if listed else contents[-1:]), "box")
    marked = _marked(text)
    if marked:
        (kind, answer, _), before = marked[-1], marked[-2:-1]
        listed = bool(before) and before[0][0] == kind and _is_list_gap(before[0][2])
        return Reading(single_answer([before[0][1], answer] if listed else [answer]), "marker")
    return None


def text_after_answer(text: str) -> str:
    """Return the text after the answer that `stated_answer` finds; empty for a text without boxes and markers."""
    text = plain_text(text)
    boxes = _boxes(text)
    if boxes:
        return text[boxes[-1][1] + 1 :]
    marked = _marked(text)
    return marked[-1][2] if marked else ""


def boxed_answers(text: str) -> list[str]:
    r"""Return the content of every outermost `\boxed{...}` with balanced braces.

    >>> boxed_answers(r"so \boxed{\frac{1}{2}}")
    ['\\frac{1}{2}']
    """
    return [text[start:end].strip() for start, end in _boxes(text)]


def _boxes(text: str) -> list[tuple[int, int]]:
    """Return where the content of every outermost complete box starts and ends."""
    spans: list[tuple[int, int]] = []
    # One entry for each open brace: the position where the content of its box starts; None for other braces.
    open_at: list[int | None] = []
    open_boxes = 0
    for token in _BOX_OR_BRACE.finditer(text):
        if token[0] == "}":
            start = open_at.pop() if open_at else None
            open_boxes -= start is not None
            if start is not None and not open_boxes:
                spans.append((start, token.start()))
        elif token[0].endswith("{") and token[0] != r"\{":
            start = token.end() if token[0] != "{" else None
            open_at.append(start)
            open_boxes += start is not None
    return spans


def _marked(text: str) -> list[tuple[str, str, str]]:
    """Return the kind of each marker, the answer after it, and the text between that answer and the next marker."""
    marks = [*_MARKER.finditer(text)]
    ends = [*(mark.start() for mark in marks), len(text)][1:]
    marked = []
    for mark, end in zip(marks, ends, strict=True):
        region = text[mark.end() : end].strip()
        answer = _first_sentence(region)
        # `#### Explanation` is a heading, unless it is the last line.
        heading = mark[0] == "####" and not re.search(r"\d", answer) and (end < len(text) or "\n" in region)
        if answer and not heading:
            kind = "".join(_WORD.findall(mark[0].lower()))
            marked.append((kind, unquoted(answer), region[len(answer) :]))
    return marked


def _is_list_gap(gap: str) -> bool:
    """Return whether nothing but `or`, `and` and punctuation stands between two statements of an answer."""
    return not _WORD.search(_CONNECTIVE.sub(" ", gap))


def single_answer(answers: Sequence[str]) -> str | None:
    """Return the only distinct answer of a list; None for several distinct answers, none, or an empty one."""
    different = {" ".join(answer.split()): answer.strip() for answer in answers}
    return next(iter(different.values())) or None if len(different) == 1 else None


def plain_text(text: str) -> str:
    """Return the visible text without bold and code fences; `</answer>` ends a line."""
    return _BOLD.sub(r"\2", _DROPPED.sub("\n", visible(text))).strip()


def unquoted(answer: str) -> str:
    """Return an answer without `code` quotes, emphasis or quotation marks around it."""
    while len(answer) > 2 and answer[0] == answer[-1] and answer[0] in _QUOTES:
        answer = answer[1:-1].strip()
    return answer


def _first_sentence(text: str) -> str:
    """Return the start of a text up to the end of its sentence, line or displayed formula."""
    text = text.strip()
    start = 0
    if opening := _OPENING.match(text):
        closing = _DELIMITERS[opening[0]]
        end = text.find(closing, opening.end())
        start = end + len(closing) if end >= 0 else 0  # a formula may have several lines
    tail = _SENTENCE_END.split(text[start:], maxsplit=1)[0]
    return text[:start] + _REASON.split(tail, maxsplit=1)[0].rstrip()


# --- Code fences

_ANSWER_BLOCKS = ("", "text", "txt", "plaintext", "math", "latex")  # languages of a fence that may hold a final answer
_FENCE = re.compile(r"^ {0,3}```[ \t]*([\w+#.-]*)[^`\n]*\n(.*?)(?:^ {0,3}```[ \t\r]*$|\Z)", re.MULTILINE | re.DOTALL)
_CODE_LINE = re.compile(r"^(?:(?:async[ ]+)?def|class|import|from)[ ]|^@\w", re.MULTILINE)
_QUERY_START = re.compile(r"(?:\A|:[ \t]*\n|\n[ \t]*\n)\s*(?=(?:SELECT|WITH)\b)", re.IGNORECASE)
_QUERY_END = re.compile(r";[ \t]*\n[ \t]*\n")


def fenced_blocks(text: str, languages: Collection[str]) -> list[str]:
    """Return the fenced blocks of a language; or else those without a language; or else the only block there is.

    A last fence that is not closed extends to the end of the text.
    """
    blocks = [(match[1].lower(), match[2].strip("\n")) for match in _FENCE.finditer(text)]
    named = [body for language, body in blocks if language in languages]
    unnamed = [body for language, body in blocks if not language]
    return named or unnamed or ([blocks[0][1]] if len(blocks) == 1 else [])


def block_rule(text: str, block: str) -> str:
    """Return the rule that found a program, a JSON value or a query: `all`, `fence` or `part` (of text without a fence)."""
    text = visible(text)
    if block.strip() == text:
        return "all"
    return "fence" if _FENCE.search(text) else "part"


def read_program(text: str) -> str:
    """Return the Python program of a text.

    A text that is a program as a whole is the program. Otherwise, the program consists of all fenced Python blocks in
    their order, since a second block often calls the first; or, without a fence, of the lines from the first `def`,
    `class` or import to the last indented line.
    """
    text = visible(text)
    if _is_python(text):
        return text
    blocks = fenced_blocks(text, ("python", "py", "python3"))
    if blocks:
        return "\n\n".join(blocks)
    start = _CODE_LINE.search(text)
    lines = text[start.start() :].split("\n") if start else []
    while lines and not lines[-1].startswith((" ", "\t")) and len(lines) > 1:
        lines.pop()
    program = "\n".join(lines)
    return program if lines and _is_python(program) else text


def read_json(text: str) -> str:
    """Return the JSON text of a text.

    A text that is JSON as a whole is returned as it is. Otherwise, the last fenced JSON block; or, without a fence, the
    part from the first `{` or `[` to the last `}` or `]`, so that two values in a row are not JSON.
    """
    text = visible(text)
    if _is_json(text):
        return text
    blocks = fenced_blocks(text, ("json", "jsonc", "json5"))
    if blocks:
        return blocks[-1]
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    end = max(text.rfind("}"), text.rfind("]")) + 1
    return text[min(starts) : end] if starts and end > min(starts) else text


def read_query(text: str) -> str:
    """Return the SQL query of a text.

    The last fenced SQL block; or, without a fence, the text from the first SELECT or WITH that starts the text, a
    paragraph, or a line after a colon. Such a query ends at a `;` before an empty line.
    """
    text = visible(text)
    blocks = fenced_blocks(text, ("sql", "sqlite"))
    if blocks:
        return blocks[-1]
    start = _QUERY_START.search(text)
    return _QUERY_END.split(text[start.end() :], maxsplit=1)[0] if start else text


def _is_python(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _is_json(text: str) -> bool:
    try:
        parse_value(text.encode("utf-8"))
    except ValueError:
        return False
    return True
