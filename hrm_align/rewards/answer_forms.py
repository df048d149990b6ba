r"""Forms of answers that a prompt may request, and whether the references have them: for the preflight.

| form | the prompt requests it with | the reference has it with |
| --- | --- | --- |
| `\boxed{}` | `\boxed` or `\fbox` | a complete box |
| `<answer>` | `<answer>` | `<answer>` |
| `####` | `####` before a word, a number or the end | a last line that starts with `####` |
| `The answer is` | `answer is` or `answer:` before a placeholder: `[`, `<`, `{`, `$`, `...`, X, or the end of a quotation | `answer is` or `answer:` |
| JSON | `JSON` after `as`, `in`, `return`, `valid` and the like | a JSON value (`reading.read_json`) |
| a letter | `letter` after `answer with`, `only the`, `the option's` and the like | a single letter, alone, boxed or after a marker |
| a code block | `code block` or `code fence` | three backticks at the start of a line |

A form that a prompt requests and its reference lacks is a warning, unless the reference is a bare answer and every
reward gives 1 to that answer in the requested form. A form that a reference has and its prompt does not request is a
warning only if a reward gives 0 to the bare answer, since a model cannot know the form then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from hrm_align.data.strict_json import parse_value
from hrm_align.rewards.reading import boxed_answers, read_answer, read_json

if TYPE_CHECKING:
    from hrm_align.data.examples import Example

GRADED_ROWS = 16  # rows of each form whose answers are graded in, or without, the form
BARE_CHARACTERS = 200  # a longer reference is not a bare answer
PROMPT_CHARACTERS = 100_000  # of a prompt, in which requests are looked up


class Form(NamedTuple):
    """A form of answers.

    Args:
        name: as in messages.
        requested: finds a request in a prompt.
        has: whether a reference has the form.
        template: a text in the form, with `{}` for the answer; empty for a form that is not just put around an answer.
        takes_all: whether the form stands around the whole reference and not around its final answer.
    """

    name: str
    requested: re.Pattern[str]
    has: Callable[[str], bool]
    template: str = ""
    takes_all: bool = False


def _finds(pattern: str) -> Callable[[str], bool]:
    regex = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    return lambda text: regex.search(text) is not None


def _has_json(text: str) -> bool:
    try:
        parse_value(read_json(text).encode("utf-8"))
    except ValueError:
        return False
    return True


def _has_letter(text: str) -> bool:
    return re.fullmatch(r"\(?(?:\\text\{)?\(?[A-Za-z]\)?\}?[.:)]?", read_answer(text).answer or "") is not None


FORMS = (
    Form(r"\boxed{}", re.compile(r"\\(?:boxed|fbox)\b"), lambda text: bool(boxed_answers(text)), r"\boxed{{{}}}"),
    Form("<answer>", re.compile(r"<answer>", re.IGNORECASE), _finds(r"<answer>"), "<answer>{}</answer>"),
    Form("####", re.compile(r"(?<!#)####(?!#)(?=\s*(?:[\w\[<{($'\"`.]|\Z))"), _finds(r"^#### *\S[^\n]*\Z"), "#### {}"),
    Form(
        "The answer is",
        re.compile(
            r"\banswer(?:\s+is\b\s*:?|\s*:)\s*(?:\*\*)?\s*(?:[\[<{$(_]|\\boxed|\.\.\.|…|X\b|[\"'”’`])", re.IGNORECASE
        ),
        _finds(r"\banswer(?: is\b| *\*{0,2} *:)"),
        "The answer is {}.",
    ),
    Form(
        "JSON",
        re.compile(
            r"\b(?:as|in|into|to|valid|return|output|write|give|respond with|reply with|answer with|produce|only)\s+"
            r"(?:(?:a|an|the|valid|one|single|only|strict|raw|just)\s+)*JSON\b",
            re.IGNORECASE,
        ),
        _has_json,
    ),
    Form(
        "a letter",
        re.compile(
            r"\b(?:answer|respond|reply)\s+(?:with|by|using)\s+(?:\w+\s+){0,4}?letters?\b"
            r"|\bonly\s+the\s+(?:\w+\s+)?letter\b|\bletter\s+of\s+(?:the|your)\s+(?:\w+\s+)?(?:option|choice|answer)\b",
            re.IGNORECASE,
        ),
        _has_letter,
    ),
    Form("a code block", re.compile(r"\bcode[ -]?(?:block|fence)s?\b", re.IGNORECASE), _finds(r"^ {0,3}```"), "```\n{}\n```", True),
)  # fmt: skip


@dataclass
class FormReport:
    """Counts of rows for one form of answers.

    Args:
        form: name of the form.
        requested: number of rows whose prompt requests the form.
        has: number of rows whose reference has the form.
        missing: number of rows whose prompt requests the form and whose reference lacks it.
        bare: number of rows among `missing` whose reference is a bare answer.
        unrequested: number of rows whose reference has the form and whose prompt does not request it.
        graded: number of rows among `missing` whose answer was graded in the form.
        refused: number of rows among `graded` to which a reward gave less than 1.
        bare_graded: number of rows among `unrequested` whose answer was graded without the form.
        bare_refused: number of rows among `bare_graded` to which a reward gave less than 1.
        first_missing, first_refused, first_bare_refused: the first such row, as `file:line`, for the last two with
            the name of the reward and the graded text; empty if there is none.
    """

    form: str
    requested: int = 0
    has: int = 0
    missing: int = 0
    bare: int = 0
    unrequested: int = 0
    graded: int = 0
    refused: int = 0
    bare_graded: int = 0
    bare_refused: int = 0
    first_missing: str = ""
    first_refused: str = ""
    first_bare_refused: str = ""

    def describe_warnings(self) -> Iterator[str]:
        """Yield a sentence for each way in which prompts and references differ and something should be done."""
        differ = f"{self.missing:,} of {self.requested:,} prompts that request {self.form} have a reference without it"
        if self.refused:
            yield (
                f"{differ}, and of {self.graded:,} references graded in that form, {self.refused:,} get less than 1 "
                f"(first {self.first_refused}). Use a reward that reads {self.form}, or correct the prompts."
            )
        elif self.missing > self.bare:
            yield (
                f"{differ} (first {self.first_missing}). Write the references in the form that the prompts request, or "
                "correct the prompts."
            )
        if self.bare_refused:
            yield (
                f"references with {self.form} whose prompts do not request it: {self.unrequested:,}. Without {self.form}, "
                f"{self.bare_refused:,} of {self.bare_graded:,} graded get less than 1 (first {self.first_bare_refused}). "
                f"Request {self.form} in the prompts, or use a reward that reads the answer without it."
            )

    def describe_notes(self) -> Iterator[str]:
        """Yield a sentence if the references are bare answers and get 1 in the requested form."""
        if self.missing and self.missing == self.bare and not self.refused:
            graded = f"; {self.graded:,} of them were graded in that form and get 1" if self.graded else ""
            yield f"{self.bare:,} prompts request {self.form}, and their references are bare answers{graded}"


class FormText(NamedTuple):
    """A text that should get the value of its reference: an answer in a requested form, or without a form.

    Args:
        form: name of the form.
        requested: whether the text has the form, since the prompt requests it; else the text is the bare answer.
        text: the text to grade.
    """

    form: str
    requested: bool
    text: str


class FormCheck:
    """Count the forms in prompts and references, row by row."""

    def __init__(self) -> None:
        self.reports = {form.name: FormReport(form.name) for form in FORMS}

    def add_row(self, example: Example) -> list[FormText]:
        """Count the forms of a row, and return texts to grade, for the first `GRADED_ROWS` such rows of each form."""
        prompt = "\n".join(message.content for message in example.messages)[-PROMPT_CHARACTERS:]
        reference = example.reference.strip()
        answer = read_answer(reference).answer or reference
        texts = []
        for form in FORMS:
            report = self.reports[form.name]
            requested, has = form.requested.search(prompt) is not None, bool(reference) and form.has(reference)
            report.requested += requested
            report.has += has
            if requested and not has and reference:
                report.missing += 1
                report.bare += bool(form.template) and (form.takes_all or is_bare(reference))
                report.first_missing = report.first_missing or example.source
                if form.template and report.missing <= GRADED_ROWS:
                    texts.append(
                        FormText(form.name, True, form.template.format(reference if form.takes_all else answer))
                    )
            elif has and not requested:
                report.unrequested += 1
                if form.template and not form.takes_all and report.unrequested <= GRADED_ROWS:
                    texts.append(FormText(form.name, False, answer))
        return texts

    def add_values(self, text: FormText, example: Example, values: Mapping[str, float | None]) -> None:
        """Count the values of a text by the rewards that gave 1 to the reference: name of the reward -> value."""
        report = self.reports[text.form]
        refusing = [f"{name} gives {value or 0:g} to" for name, value in values.items() if value != 1]
        described = f"{example.source}: {refusing[0]} {text.text!r:.60}" if refusing else ""
        if text.requested:
            report.graded += 1
            report.refused += bool(refusing)
            report.first_refused = report.first_refused or described
        else:
            report.bare_graded += 1
            report.bare_refused += bool(refusing)
            report.first_bare_refused = report.first_bare_refused or described


def is_bare(reference: str) -> bool:
    """Return whether a reference is an answer and nothing else: one short line, without a mark or a closing word."""
    return len(reference) <= BARE_CHARACTERS and "\n" not in reference and read_answer(reference).rule == "whole text"
