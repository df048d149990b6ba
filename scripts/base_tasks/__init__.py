"""The procedural tasks of the tiny base: `rows` generates rows, the other modules define the families of tasks."""

from base_tasks.rows import (
    CONDITIONS,
    FAMILIES,
    FIRST_FAMILIES,
    LEVELS,
    few_shot_rows,
    final_answer,
    test_rows,
    training_rows,
)
from base_tasks.words import CITIES, NAMES, WORDS

__all__ = [
    "CITIES",
    "CONDITIONS",
    "FAMILIES",
    "FIRST_FAMILIES",
    "LEVELS",
    "NAMES",
    "WORDS",
    "few_shot_rows",
    "final_answer",
    "test_rows",
    "training_rows",
]
