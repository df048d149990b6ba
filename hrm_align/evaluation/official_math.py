r"""The rule by which the official evaluation grades MATH, as a user-defined reward that runs in a process of its own.

The text of the last box (the whole text without one) and that of the reference go to math-verify's `parse` as they are. Outside
`$` or a box, `parse` reads numbers and simple fractions only: `\sqrt{2}`, `x^2+1` and `(1,2)` give nothing and count as wrong,
also where both sides are equal, and of `2\sqrt{3}` only the 2 is compared.

Source: github.com/sapientinc/HRM-Text, commit 00b4fe5, `evaluation/benchmarks.py`; the readings with math-verify 0.9.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def reward(completions: Sequence[str], grading: Sequence[Any], **columns: Any) -> list[float]:
    """Return 1 for each text that math-verify finds equal to `grading["official"]`, else 0."""
    from math_verify import parse, verify

    return [float(verify(parse(row["official"]), parse(text))) for text, row in zip(completions, grading, strict=True)]
