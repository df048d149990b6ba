"""Answers to the questions of a benchmark, their grades, and what changed between two models.

Each answer gets a value, 0 or 1, under one of our graders, and for the benchmarks of the paper the value of the official rule,
which is what published scores are made of:

| benchmark | value | official |
| --- | --- | --- |
| GSM8K | `numeric` | the box, or else the whole text, is a number whose integer part is the answer |
| MATH | `math` | `official_math` |
| DROP | exact match of DROP; several spans as a list | F1 of DROP; the answer counts as one span |
| letters | the letter | the letter; any other text counts as a guess: one over the number of options |
"""

from __future__ import annotations

import math
import re
import string
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.errors import RunError, UserError
from hrm_align.evaluation.benchmarks import BENCHMARKS, Benchmark, Question
from hrm_align.evaluation.grading import DEADLINE_SECONDS, ROW_SECONDS, grade_answers
from hrm_align.evaluation.scores import Score
from hrm_align.rendering import get_renderer
from hrm_align.rewards.base import RewardSpec
from hrm_align.rewards.pairs import Z
from hrm_align.rewards.reading import boxed_answers
from hrm_align.rewards.scoring import score_all
from hrm_align.rewards.suite import RewardSuite
from hrm_align.rollouts.engine import Completion, Decoding, Request, run
from hrm_align.rollouts.local import LocalEngine

FIRST_NAMED = 3  # rows that a report names


class Grade(NamedTuple):
    """Value of an answer, 0 or 1; its value under the official rule, None without one; and whether it states no answer."""

    value: float
    official: float | None = None
    invalid: bool = False


# --- Graders


def grade(name: str, texts: Sequence[str], questions: Sequence[Question]) -> list[Grade]:
    """Grade answers to questions of a benchmark.

    Args:
        name: one of `BENCHMARKS`.
        texts: the answers.
        questions: the question of each answer.

    Raises:
        UserError: for a row that cannot be graded, or if the grader needs a package that is not installed.
        RunError: as in `hrm_align.evaluation.grading.grade_answers`.
    """
    benchmark = BENCHMARKS[name]
    if benchmark.grader in RULES:
        return [RULES[benchmark.grader](text, question) for text, question in zip(texts, questions, strict=True)]
    if (
        benchmark.grader == "code"
    ):  # the published tests decide, also where the published program is too slow for the sandbox
        questions = [replace(question, reference="") for question in questions]
    examples = [question.example(benchmark.condition) for question in questions]
    values = [float(given.value == 1) for given in grade_answers(benchmark.grader, texts, examples)]
    if name == "gsm8k":
        return [
            _official_number(value, text, question)
            for value, text, question in zip(values, texts, questions, strict=True)
        ]
    if name == "math":
        return _official_math(values, texts, questions)
    return [Grade(value) for value in values]


def _last_box(text: str) -> str | None:
    boxes = boxed_answers(text.replace("\\fbox", "\\boxed"))
    return boxes[-1].strip() if boxes else None


def _official_number(value: float, text: str, question: Question) -> Grade:
    stated = (_last_box(text) or text).replace(",", "").replace("$", "").strip()
    try:
        number = int(float(stated))
    except (ValueError, OverflowError):
        return Grade(value, 0.0, invalid=True)
    return Grade(value, float(number == int(question.reference)))


def _official_math(values: Sequence[float], texts: Sequence[str], questions: Sequence[Question]) -> list[Grade]:
    boxes = [_last_box(text) for text in texts]
    stated = [text if box is None else box for box, text in zip(boxes, texts, strict=True)]
    rows = [replace(question, grading={"official": question.official}).example("") for question in questions]
    spec = RewardSpec("reward", file=str(Path(__file__).with_name("official_math.py")), label="official_math")
    with RewardSuite([spec], workers=1, deadline=DEADLINE_SECONDS, row_seconds=ROW_SECONDS) as suite:
        scores = score_all(suite, stated, rows)
    if missed := [fault for fault in scores.faults if fault.kind == "skipped"]:
        raise RunError(f"answers were not graded by math-verify ({missed[0].detail}). Run the same command again.")
    official = [value or 0.0 for value in scores.values[spec.label]]  # no value: math-verify failed, or took too long
    graded = zip(values, official, boxes, strict=True)
    return [Grade(value, by_rule, invalid=box is None) for value, by_rule, box in graded]


def _grade_letter(text: str, question: Question) -> Grade:
    letter = text.strip().upper()
    if letter not in string.ascii_uppercase[: question.options] or len(letter) != 1:
        return Grade(0.0, 1 / question.options, invalid=True)
    return Grade(float(letter == question.reference), float(letter == (question.official or question.reference)))


def _grade_drop(text: str, question: Question) -> Grade:
    answers: list[list[str]] = question.grading["answers"]
    words = _drop_words(text)
    spans = sorted(filter(None, map(_drop_words, re.split(r"[,;\n]| and ", text))))
    value, f1 = 0.0, 0.0
    for answer in answers:
        if not answer[0].strip():
            continue
        gold = [_drop_words(span) for span in answer]
        if [words] == gold or (len(gold) > 1 and spans == sorted(gold)):
            value = 1.0
        best = max(_drop_f1({*words.split()}, {*span.split()}) for span in gold)
        f1 = max(f1, round(best / len(gold), 2))
    return Grade(value, f1)


def _drop_words(text: str) -> str:
    """Return a span as DROP compares it: lower-case words without articles and punctuation, numbers as floats."""
    words = []
    for word in re.split(r" |-", text.lower()):
        if not _is_number(word):
            word = "".join(letter for letter in word if letter not in string.punctuation)
        word = str(float(word)) if _is_number(word) else word
        words += re.sub(r"\b(a|an|the)\b", " ", word).split()
    return " ".join(words)


def _drop_f1(words: set[str], gold: set[str]) -> float:
    """Return the F1 of two sets of words; 0 if the gold words have numbers and the answer has none of them."""
    numbers = {word for word in gold if _is_number(word)}
    if numbers and not numbers & words:
        return 0.0
    both = len(words & gold)
    precision, recall = both / len(words) if words else 1.0, both / len(gold) if gold else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _grade_ifeval(text: str, question: Question) -> Grade:
    """1 if the answer follows all instructions, by the strict rule of IFEval."""
    try:
        return Grade(float(_ifeval_rule()(dict(question.grading), [text])["prompt_level_strict_acc"]))
    except LookupError as error:  # a table of nltk, or an instruction that this lm_eval does not know
        reason = str(error).strip(" *\n").splitlines()[0]
        raise UserError(
            f"{question.source}: lm_eval cannot check the instructions ({reason}). Install its data with python -m nltk.downloader "
            "punkt_tab, or correct the row."
        ) from None


@lru_cache(maxsize=1)
def _ifeval_rule() -> Callable[..., Mapping[str, Any]]:
    try:
        from lm_eval.tasks.ifeval.utils import process_results
    except (ImportError, LookupError) as error:
        raise UserError(
            f"ifeval needs lm_eval and its extra `ifeval` ({error}): pip install 'hrm_align[eval]' 'lm_eval[ifeval]'. Or leave ifeval "
            "out of --tasks."
        ) from None
    return process_results


RULES: dict[str, Callable[[str, Question], Grade]] = {
    "letter": _grade_letter,
    "drop": _grade_drop,
    "ifeval": _grade_ifeval,
}


def check_grader(name: str) -> None:
    """Raise UserError if the grader of a benchmark needs a package that is not installed."""
    if BENCHMARKS[name].grader == "ifeval":
        _ifeval_rule()


# --- Answers


class Answerer:
    """Generates greedy answers to the questions of a benchmark under a condition, and grades them.

    Args:
        model: an HRM-Text, with or without an adapter.
        tokenizer: the model's tokenizer.
        batch_size: prompts per batch.
        max_new_tokens: longest answer in tokens, where the benchmark's is longer; None for the benchmark's.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        batch_size: int = 16,
        max_new_tokens: int | None = None,
    ):
        self._engine, self._batch_size, self._longest = (
            LocalEngine(model, max_running=batch_size),
            batch_size,
            max_new_tokens,
        )
        self._renderer, self._positions = get_renderer(tokenizer), model.config.max_position_embeddings

    def answer(
        self,
        name: str,
        questions: Sequence[Question],
        condition: str,
        on_finish: Callable[[], object] = lambda: None,
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Answer questions.

        A prompt that leaves no room for an answer in the benchmark's context is not cut: its row has `too_long`, and counts as a
        blank answer, as in the official evaluation.

        Returns:
            One row per question, and the counts of all rows, which `describe` adds up.
        """
        start, benchmark = time.perf_counter(), BENCHMARKS[name]
        prompts = [self._renderer.prompt(question.example(condition).messages, condition) for question in questions]
        answers = self._generate(benchmark, prompts, on_finish)
        texts = [self._renderer.decode_response(answer.ids) if answer else "" for answer in answers]
        seconds = time.perf_counter() - start
        grades = grade(name, texts, questions)
        rows: list[dict[str, Any]] = []
        for question, prompt, answer, text, given in zip(questions, prompts, answers, texts, grades, strict=True):
            row = {
                "source": question.source,
                "group": question.group,
                "prompt_tokens": len(prompt),
                "tokens": len(answer.ids) if answer else 0,
                "expected": question.reference,
                "generated": text,
                **given._asdict(),
                "too_long": answer is None,
                "unfinished": answer is not None and answer.finish == "length" and benchmark.max_new_tokens is None,
            }
            rows.append(row)
        return rows, count(rows, seconds)

    def _generate(
        self, benchmark: Benchmark, prompts: Sequence[Sequence[int]], on_finish: Callable[[], object]
    ) -> list[Completion | None]:
        """Return the completion of each prompt; None for a prompt that is too long."""
        context = min(benchmark.context, self._positions)
        limits = [limit for limit in (benchmark.max_new_tokens, self._longest) if limit is not None]
        order = sorted((i for i, prompt in enumerate(prompts) if len(prompt) < context), key=lambda i: len(prompts[i]))
        requests = [
            Request(prompts[i], (0,), Decoding(min([context - len(prompts[i]), *limits]), greedy=True)) for i in order
        ]
        drawn = run(self._engine, requests, batch_size=self._batch_size, on_finish=on_finish)
        answers: list[Completion | None] = [None] * len(prompts)
        for place, (completion,) in zip(order, drawn, strict=True):
            answers[place] = completion
        return answers


# --- Scores


def count(rows: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    """Return what a report needs of the rows of a chunk."""
    counts: dict[str, Any] = {
        "n": len(rows),
        "correct": sum(row["value"] == 1 for row in rows),
        "seconds": seconds,
        "groups": {},
        **{
            name: sum(row[name] for row in rows)
            for name in ("prompt_tokens", "tokens", "invalid", "too_long", "unfinished")
        },
        "first_too_long": [row["source"] for row in rows if row["too_long"]][:FIRST_NAMED],
    }
    for row in rows:
        group = counts["groups"].setdefault(row["group"] or "", {"n": 0, "correct": 0, "official": 0.0})
        group["n"] += 1
        group["correct"] += row["value"] == 1
        group["official"] = None if row["official"] is None else group["official"] + row["official"]
    return counts


def describe(name: str, parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the result of a benchmark: its score with a Wilson interval, the official score, and the counts of all chunks.

    Args:
        name: one of `BENCHMARKS`.
        parts: the counts of the chunks, as from `count`.
    """
    total: dict[str, Any] = {}
    for part in parts:
        total = _add(total, part)
    score = Score(total["correct"], total["n"], grader=BENCHMARKS[name].grader)
    groups = total.pop("groups")
    total["first_too_long"] = total["first_too_long"][:FIRST_NAMED]
    return {
        **total,
        **score.to_dict(),
        "official": _official(groups, BENCHMARKS[name].by_group),
        "groups": {
            group: Score(counts["correct"], counts["n"], grader=BENCHMARKS[name].grader).to_dict()
            for group, counts in sorted(groups.items())
            if group
        },
    }


def _add(total: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(total)
    for name, value in part.items():
        before = result.get(name)
        if before is None or value is None:
            result[name] = value
        else:
            result[name] = _add(before, value) if isinstance(value, Mapping) else before + value
    return result


def _official(groups: Mapping[str, Mapping[str, Any]], by_group: bool) -> float | None:
    """Return the score of the official rule: the mean over rows, or over groups; None without a rule."""
    if any(counts["official"] is None for counts in groups.values()):
        return None
    if by_group:
        return sum(counts["official"] / counts["n"] for counts in groups.values()) / len(groups)
    return sum(counts["official"] for counts in groups.values()) / sum(counts["n"] for counts in groups.values())


def compare(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare two models on the same questions, row by row.

    Returns:
        `before` and `after`, the scores; `difference`, after minus before, with its 95 % `interval` for paired shares (Agresti and
        Min 2005: half a row is added to each of the four outcomes); `learned` and `forgotten`, the number of rows that became
        right or wrong; and `forgotten_rows`, their places.
    """
    pairs = [(old["value"] == 1, new["value"] == 1, new["source"]) for old, new in zip(before, after, strict=True)]
    n, learned = len(pairs), sum(new and not old for old, new, _ in pairs)
    forgotten = [source for old, new, source in pairs if old and not new]
    gained, lost, m = learned + 0.5, len(forgotten) + 0.5, n + 2
    centre = (gained - lost) / m
    spread = Z * math.sqrt(gained + lost - (gained - lost) ** 2 / m) / m
    return {
        "n": n,
        "before": sum(old for old, _, _ in pairs) / n,
        "after": sum(new for _, new, _ in pairs) / n,
        "difference": (learned - len(forgotten)) / n,
        "interval": [max(-1.0, centre - spread), min(1.0, centre + spread)],
        "learned": learned,
        "forgotten": len(forgotten),
        "forgotten_rows": forgotten,
    }
