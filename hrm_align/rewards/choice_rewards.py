"""Grader for multiple-choice questions: the chosen option must be that of the reference.

    {"prompt": "Capital of France?\\nA. Lyon\\nB. Paris", "response": "B", "grading": {"choices": ["Lyon", "Paris"]}}

The forms of `grading.choices` are those of `hrm_align.data.answers`, and `hrm_align.rewards.choice_reading` finds the choice.
A reference is a label, the text of an option, or the index of an option from 0: a number is an index if it is neither a
label nor the text of an option. Without `grading.choices`, labels are the letters from A.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_uppercase
from typing import ClassVar

from hrm_align.data.answers import read_choices
from hrm_align.errors import UserError
from hrm_align.rewards.base import Row, check_pattern, option
from hrm_align.rewards.choice_reading import Options, read_choice
from hrm_align.rewards.reading import final_answer

FEWEST_LETTERS = 10  # labels of a row without choices: A to J, as in MMLU-Pro, or to the letter of the reference


@dataclass(frozen=True)
class Choice:
    """1 if the text chooses the option of the reference: by its label (`C`, `(C)`, `C.`, `the answer is C`, a box), or by
    its text, with the options in `grading.choices`. A text that names several options, or rejects the right one, gets 0.
    The reference is a label, an index from 0, or the text of an option."""

    needs: ClassVar[str] = "one of the choices"
    pattern: str | None = option(None, "regular expression with one group, which contains the choice")

    def __post_init__(self) -> None:
        check_pattern(self.pattern, groups=1)

    def grade(self, completion: str, row: Row) -> float | None:
        """Return 0 or 1; None if the reference is not one of the choices.

        Raises:
            UserError: if `grading.choices` has no known form, or the reference is a number that may be two choices.
        """
        options = _options(row)
        right = self._right_choice(row, options)
        return None if right is None else float(read_choice(completion, options, self.pattern) == right)

    def extract_answer(self, completion: str) -> str | None:
        """Return the label of the choice if it is a letter, or else the final answer."""
        index = read_choice(completion, _LETTERS, self.pattern)
        return final_answer(completion, self.pattern) if index is None else ascii_uppercase[index]

    def corrupt_reference(self, row: Row) -> str:
        """Return the label of the option after the right one, as a stated answer."""
        options = _options(row)
        right = self._right_choice(row, options) or 0
        label = options[(right + 1) % len(options)][0]
        return (
            row.reference.replace(options[right][0], label) if self.pattern is not None else f"The answer is {label}."
        )

    def _right_choice(self, row: Row, options: Options) -> int | None:
        """Return the index of the option of a row's reference."""
        reference = row.reference.strip()
        for spelling in ([label for label, _ in options], [text for _, text in options]):
            same = [index for index, item in enumerate(spelling) if item and _plain(item) == _plain(reference)]
            if len(same) == 1:
                return self._unless_ambiguous(same[0], reference, row, options)
        if reference.isdecimal():
            return int(reference) if int(reference) < len(options) and "choices" in row.grading else None
        return read_choice(reference, options, self.pattern)

    def _unless_ambiguous(self, index: int, reference: str, row: Row, options: Options) -> int:
        is_label = _plain(options[index][0]) == _plain(reference)
        if reference.isdecimal() and not is_label and int(reference) < len(options) and int(reference) != index:
            raise UserError(
                f"{row.source}: the reference {reference} may be the text of choice {options[index][0]}, or the index of "
                f"choice {options[int(reference)][0]}. Write the label of the right choice."
            )
        return index


_LETTERS: Options = tuple((letter, "") for letter in ascii_uppercase[:FEWEST_LETTERS])


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".").casefold()


def _options(row: Row) -> Options:
    choices = row.grading.get("choices")
    if choices is None:
        last = max((ascii_uppercase.find(letter) for letter in row.reference if letter in ascii_uppercase), default=0)
        only_letter = len(row.reference.strip(" ().")) == 1
        return tuple((letter, "") for letter in ascii_uppercase[: max(FEWEST_LETTERS, only_letter * (last + 1))])
    try:
        return tuple(read_choices(choices))
    except ValueError as error:
        raise UserError(
            f'{row.source}: invalid value in grading.choices: {error}. Use a list of texts, or {{"label": [...], "text": [...]}}.'
        ) from None
