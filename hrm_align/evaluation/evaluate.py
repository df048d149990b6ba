"""Held-out evaluation: generate greedy answers to the prompts of training's renderer, grade them, and score them by group.

evaluate(model, tokenizer, examples, match="numeric").score.to_dict()
    -> {"score": 0.87, "numeric_match": 0.87, "n": 100, "correct": 87, "interval": [0.79, 0.92]}
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.evaluation.best_of import Answered, Chooser, Sampling, answer_questions
from hrm_align.evaluation.calibration import Calibration
from hrm_align.evaluation.grading import grade_answers
from hrm_align.evaluation.scores import NO_GROUP, Score, label_group
from hrm_align.evaluation.voting import measure_confidence
from hrm_align.rendering import Message, get_renderer, parse_condition
from hrm_align.rewards.base import check_match
from hrm_align.rollouts.distributed import call_on_all

FEW_SHOT = (0, *range(2, 9))
CONFIDENCES = ("probability", "token_probability", "agreement")


@dataclass
class Evaluation:
    """Scores of a data set.

    Args:
        score: score over all rows.
        groups: scores by the rows' group, as `label_group` names it; empty if no row has a group.
        samples: one entry per row: source, prompt, expected, the row's grading if any, generated, value, correct, and if
            requested extracted and confidence (`voting.measure_confidence`).
        unfinished: number of answers without an end token within the limit.
        calibration: if requested, the calibration of each of `CONFIDENCES` that the answers have.
    """

    score: Score = field(default_factory=Score)
    groups: dict[str, Score] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    unfinished: int = 0
    calibration: dict[str, Calibration] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return `grader`, the entries of `Score.to_dict` over all rows, `unfinished`, `groups` (a score per group), and `calibration`."""
        groups = {name: score.to_dict() for name, score in sorted(self.groups.items())}
        total = {"grader": self.score.grader, **self.score.to_dict()}
        calibration = {name: one.to_dict() for name, one in self.calibration.items()}
        more = {"calibration": calibration} if calibration else {}
        return {**total, "unfinished": self.unfinished, "groups": groups, **more}


def last_turns(examples: Sequence[Example]) -> list[Example]:
    """Select the example of the last answer of each row, so that a conversation is graded once, with its given history."""
    return list({example.source: example for example in examples}.values())


def few_shot(examples: Sequence[Example], pool: Sequence[Example], shots: int) -> list[Example]:
    """Put `shots` solved examples of the same group before each question, separated by blank lines.

    Args:
        examples: single-turn examples.
        pool: examples to draw the solved ones from; a question is never drawn for itself.
        shots: number of solved examples, 0 or 2 to 8. The base model scores best with them under the condition
            `direct`.

    Raises:
        UserError: for a number outside the range, a conversation, or a pool with too few examples.
    """
    if shots not in FEW_SHOT:
        raise UserError(f"invalid value for few_shot: {shots}. Use 0, or 2 to 8 examples.")
    if not shots:
        return list(examples)
    pools: dict[str | None, list[Example]] = {}
    for example in pool:
        if len(example.messages) == 1:
            pools.setdefault(example.group, []).append(example)
    rng = random.Random(0)
    return [_with_shots(example, pools.get(example.group, []), shots, rng) for example in examples]


def _with_shots(example: Example, pool: list[Example], shots: int, rng: random.Random) -> Example:
    if len(example.messages) != 1:
        raise UserError(
            f"{example.source}: few_shot needs single-turn rows without a system text. Leave the row out, or set few_shot to 0."
        )
    question = example.messages[0].content
    others = [other for other in pool if other.messages[0].content != question]
    if len(others) < shots:
        raise UserError(
            f"{example.source}: few_shot {shots} needs {shots} rows {_of_group(example)} with other questions, and "
            f"there are {len(others)}. Use a larger --few_shot_data."
        )
    return show_solved(example, rng.sample(others, shots))


def show_solved(example: Example, solved: Sequence[Example]) -> Example:
    """Put solved single-turn examples before the question of a single-turn example, separated by blank lines."""
    question = example.messages[0]
    shown = [f"{other.messages[0].content}\n{other.reference}" for other in solved]
    return replace(example, messages=(Message(question.role, "\n\n".join([*shown, question.content])),))


def _of_group(example: Example) -> str:
    return f"of group {example.group!r}" if example.group else "without a group"


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    *,
    condition: str | None = None,
    max_new_tokens: int = 256,
    batch_size: int = 64,
    match: str = "exact",
    share: bool = False,
    extract: bool = False,
    sampling: Sampling | None = None,
    chooser: Chooser | None = None,
    calibrate: bool = False,
) -> Evaluation:
    """Generate a greedy answer to every example, or choose one of several sampled ones, and grade the answers.

    Args:
        model: an HRM-Text, with or without an adapter.
        tokenizer: the model's tokenizer.
        examples: prompts and references.
        condition: condition for all prompts, instead of the examples' own.
        max_new_tokens: longest answer in tokens; an answer without an end token within them gets 0 and counts as
            unfinished.
        batch_size: prompts per batch.
        match: name of the grader, one of `hrm_align.rewards.base.match_names`.
        share: whether all processes of the run call this function; each of them then generates a part of the answers.
        extract: whether to add the part of the answer that the grader compared to each sample.
        sampling: how several answers to each prompt are sampled, for the chooser or for the agreement of `calibrate`.
        chooser: chooses one of the sampled answers; None grades the greedy answer.
        calibrate: whether to measure confidences and their calibration. An answer with a value below 1 counts as wrong.

    Raises:
        UserError: for an unknown condition or grader, a row that cannot be graded, or a prompt that leaves no room for
            an answer.
        RunError: as in `hrm_align.evaluation.grading.grade_answers`.
    """
    check_match(match)
    if condition is not None:
        parse_condition(condition)
    renderer = get_renderer(tokenizer)
    room = model.config.max_position_embeddings - max_new_tokens
    prompts = []
    for example in examples:
        if not example.reference.strip() and "possible" not in example.grading:
            raise UserError(f"{example.source}: the row has no reference answer. Add one, or leave the row out.")
        prompts.append(renderer.prompt(example.messages, example.condition if condition is None else condition))
        if len(prompts[-1]) > room:
            raise UserError(
                f"{example.source}: the prompt has {len(prompts[-1])} tokens, and {max_new_tokens} new ones exceed the model's "
                f"{model.config.max_position_embeddings} positions. Lower --max_new_tokens, or shorten the prompt."
            )

    answered = answer_questions(
        model,
        tokenizer,
        examples if condition is None else [replace(example, condition=condition) for example in examples],
        prompts,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        sampling=sampling,
        chooser=chooser,
        share=share,
    )

    def grade() -> Evaluation:
        result = graded(examples, [best.ids for best, _ in answered], tokenizer, match, extract=extract)
        if calibrate:
            _calibrate(result, examples, answered)
        return result

    return call_on_all(grade) if share else grade()


def _calibrate(result: Evaluation, examples: Sequence[Example], answered: Sequence[Answered]) -> None:
    """Add the confidences to the samples, and their calibration to the result."""
    confidences = measure_confidence(result.score.grader, examples, answered)
    correct = [bool(sample["correct"]) for sample in result.samples]
    for sample, confidence in zip(result.samples, confidences, strict=True):
        sample["confidence"] = confidence
    for name in CONFIDENCES if confidences else ():
        if name in confidences[0]:
            result.calibration[name] = Calibration.of([confidence[name] for confidence in confidences], correct)


def graded(
    examples: Sequence[Example],
    answers: Sequence[Sequence[int]],
    tokenizer: PreTrainedTokenizerFast,
    match: str = "exact",
    *,
    extract: bool = False,
) -> Evaluation:
    """Grade generated answers; an answer without an end token gets 0.

    Args:
        examples: prompts and references.
        answers: token ids, one list per example.
        tokenizer: tokenizer of the model.
        match: name of the grader, one of `hrm_align.rewards.base.match_names`.
        extract: whether to add the part of the answer that the grader compared to each sample.

    Raises:
        UserError, RunError: as in `hrm_align.evaluation.grading.grade_answers`.
    """
    renderer, result = get_renderer(tokenizer), Evaluation(Score(grader=match))
    texts = [renderer.decode_response(ids) for ids in answers]
    grades = grade_answers(match, texts, examples, extract=extract)
    groups = [label_group(example.group) for example in examples]
    is_grouped = {*groups} != {NO_GROUP}
    for example, group, ids, text, grade in zip(examples, groups, answers, texts, grades, strict=True):
        finished = renderer.response_end_id in ids
        value = grade.value if finished else 0.0
        result.score.add(value)
        if is_grouped:
            result.groups.setdefault(group, Score(grader=match)).add(value)
        result.unfinished += not finished
        result.samples.append(
            {
                "source": example.source,
                "prompt": example.messages[-1].content,
                "expected": example.reference,
                **({"grading": dict(example.grading)} if example.grading else {}),
                "generated": text,
                **({"extracted": grade.extracted} if extract else {}),
                "value": value,
                "correct": value == 1,
            }
        )
    return result
