"""Select drawn answers for training: correct ones, the best ones, all, or pairs; every answer and prompt that is left out is counted.

right  ->  {"messages": [..., {"role": "assistant", "content": "5"}], "condition": "direct", "score": 1.0, "source": "a.jsonl:3"}
pairs  ->  {"prompt": [...], "chosen": [{...}], "rejected": [{...}], "score_chosen": 1.0, "score_rejected": 0.0, ...}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.evaluation.drawing import Answer, Draws, training_row
from hrm_align.evaluation.scores import Score
from hrm_align.rollouts.groups import ALIKE

RIGHT, BEST, ALL = "right", "best", "all"
NAMED_ROWS = 5  # prompts without rows that are listed by reason


@dataclass(frozen=True)
class Selection:
    """Which answers become rows.

    Args:
        keep: `right`: the answers that the grader accepts; `best`: those with the highest reward; `all`: every answer.
        pairs: write preference rows: with `best` the best answer against the worst, with `right` a correct one against a wrong one.
        distinct: leave out answers that equal an earlier answer to the prompt.
        max_per_prompt: most rows of a prompt; None for 1 with `best` or `pairs`, else for all. `right` and `all` take the
            first drawn, `best` those with the highest rewards, the first drawn among equals.
        min_reward: lowest reward of an answer, in pairs of the chosen one.
        min_score_gap: the rewards of a pair differ by more than this, as in `DatasetSpec`.
        match_lengths: take the pairs whose lengths in tokens are closest, instead of those whose rewards differ most.

    Raises:
        UserError: for settings that contradict each other.
    """

    keep: str = RIGHT
    pairs: bool = False
    distinct: bool = False
    max_per_prompt: int | None = None
    min_reward: float | None = None
    min_score_gap: float | None = None
    match_lengths: bool = False

    def __post_init__(self) -> None:
        if self.pairs and self.keep == ALL:
            raise UserError(
                "--pairs with --keep all has no order of answers. Use --keep best (best against worst) or --keep right."
            )
        for name, value in (("min_score_gap", self.min_score_gap), ("match_lengths", self.match_lengths)):
            if value not in (None, False) and not self.pairs:
                raise UserError(f"--{name} has no effect without --pairs. Add --pairs, or leave it out.")

    @property
    def needs_rewards(self) -> bool:
        """Whether answers must be graded."""
        return self.keep != ALL or self.min_reward is not None


@dataclass
class Tally:
    """Counts of drawn answers and of the rows made of them. Every answer is used or dropped; every prompt has rows or a reason.

    Args:
        prompts: number of prompts.
        prompts_with_rows: number of prompts with at least one row.
        prompts_without_rows: number of the other prompts by reason: `too_long`, `no_usable_answer`, `no_correct_answer`,
            `all_correct`, `equal_rewards`, `below_limits`.
        first_without_rows: the first places of these prompts by reason.
        answers: number of answers.
        answers_used: number of answers in rows; a pair has two.
        dropped: number of the other answers by reason: the faults of `Answer`, `ungraded`, `duplicate`, `wrong`,
            `below_min_reward`, `not_best`, `over_max_per_prompt`, `not_paired`.
        rows: number of rows.
        correct: number of correct answers.
        graded, reward_sum: number of graded answers, and the sum of their rewards.
        correct_by_prompt: number of correct answers of each prompt; None if not all of its answers were graded.
        tokens: number of tokens of prompts and answers.
        pair_tokens: number of tokens of the chosen and of the rejected answers.
        chosen_longer, rejected_longer: number of pairs by the longer answer.
        seconds: time of sampling and of grading.
        faults: number of failures of rewards, by reward and kind.
        usage: what judges used.
    """

    prompts: int = 0
    prompts_with_rows: int = 0
    prompts_without_rows: dict[str, int] = field(default_factory=dict)
    first_without_rows: dict[str, list[str]] = field(default_factory=dict)
    answers: int = 0
    answers_used: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    correct: int = 0
    graded: int = 0
    reward_sum: float = 0.0
    correct_by_prompt: list[int | None] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=dict)
    pair_tokens: dict[str, int] = field(default_factory=dict)
    chosen_longer: int = 0
    rejected_longer: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    usage: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, other: Mapping[str, Any]) -> None:
        """Add the counts of another tally, given as a mapping."""
        for item in fields(self):
            setattr(self, item.name, _sum(getattr(self, item.name), other[item.name]))

    def drop(self, reason: str, count: int = 1) -> None:
        """Count answers that are not used."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def leave_out(self, reason: str, source: str) -> None:
        """Count a prompt without rows."""
        self.prompts_without_rows[reason] = self.prompts_without_rows.get(reason, 0) + 1
        places = self.first_without_rows.setdefault(reason, [])
        if len(places) < NAMED_ROWS:
            places.append(source)

    def pass_rate(self, n: int) -> Score:
        """Score of pass@1: the mean share of correct answers of a prompt. Its interval counts prompts, not answers.

        Answers to one prompt are not independent, and an interval over answers would be too narrow.
        """
        score = Score(grader="pass@1")
        for correct in self.correct_by_prompt:
            if correct is not None:
                score.add(correct / n)
        return score

    def solved(self) -> Score:
        """Score of the share of prompts with at least one correct answer."""
        score = Score(grader="solved")
        for correct in self.correct_by_prompt:
            if correct is not None:
                score.add(float(correct > 0))
        return score


def _sum(one: Any, other: Any) -> Any:
    """Return the sum of numbers, the concatenation of lists, and the same for each key of mappings."""
    if isinstance(one, Mapping):
        return {
            key: _sum(one[key], other[key]) if key in one and key in other else (one if key in one else other)[key]
            for key in (*one, *(key for key in other if key not in one))
        }
    return one + other


def select_rows(
    examples: Sequence[Example], draws: Draws, selection: Selection, is_graded: bool
) -> tuple[list[dict[str, Any]], Tally]:
    """Make rows of drawn answers.

    Args:
        examples: the prompts.
        draws: their answers.
        selection: which answers become rows.
        is_graded: whether the answers have rewards.

    Returns:
        The rows in the order of the prompts, and the counts.
    """
    rows: list[dict[str, Any]] = []
    tally = Tally(
        prompts=len(examples),
        tokens={"prompts": draws.prompt_tokens},
        seconds={"sampling": draws.sampling_seconds, "grading": draws.grading_seconds},
        faults=dict(draws.faults),
        usage={judge: dict(used) for judge, used in draws.usage.items()},
    )
    for example, answers in zip(examples, draws.answers, strict=True):
        if answers is None:
            tally.leave_out("too_long", example.source)
            continue
        _count(answers, tally, is_graded)
        usable = _usable(answers, selection, tally, is_graded)
        made = (
            _pair_rows(example, usable, selection, tally)
            if selection.pairs
            else _rows(example, usable, selection, tally)
        )
        rows += made
        tally.prompts_with_rows += bool(made)
        if not made:
            tally.leave_out(_describe_none(usable, selection), example.source)
    tally.rows = len(rows)
    return rows, tally


def _count(answers: Sequence[Answer], tally: Tally, is_graded: bool) -> None:
    rewards = [answer.reward for answer in answers if answer.reward is not None]
    correct = sum(answer.is_correct for answer in answers)
    tally.answers += len(answers)
    tally.correct += correct
    tally.graded += len(rewards)
    tally.reward_sum += sum(rewards)
    tally.tokens["answers"] = tally.tokens.get("answers", 0) + sum(answer.tokens for answer in answers)
    if is_graded:
        tally.correct_by_prompt.append(correct if len(rewards) == len(answers) else None)


def _usable(answers: Sequence[Answer], selection: Selection, tally: Tally, is_graded: bool) -> list[Answer]:
    """Return the answers that could be trained on; the others are counted as dropped."""
    usable: list[Answer] = []
    texts = set()
    for answer in answers:
        if answer.fault is not None:
            tally.drop(answer.fault)
        elif is_graded and answer.reward is None:
            tally.drop("ungraded")
        elif selection.distinct and answer.text.strip() in texts:
            tally.drop("duplicate")
        else:
            usable.append(answer)
            texts.add(answer.text.strip())
    return usable


def _rows(example: Example, usable: Sequence[Answer], selection: Selection, tally: Tally) -> list[dict[str, Any]]:
    """Make a row of each selected answer."""
    accepted = [answer for answer in usable if answer.is_correct] if selection.keep == RIGHT else [*usable]
    tally.drop("wrong", len(usable) - len(accepted))
    high_enough = [answer for answer in accepted if _reaches(answer, selection)]
    tally.drop("below_min_reward", len(accepted) - len(high_enough))
    limit, reason = selection.max_per_prompt, "over_max_per_prompt"
    if selection.keep == BEST:
        high_enough.sort(key=lambda answer: -(answer.reward or 0.0))  # stable: the first drawn among equals
        limit, reason = limit or 1, "not_best"
    chosen = high_enough[:limit]
    tally.drop(reason, len(high_enough) - len(chosen))
    tally.answers_used += len(chosen)
    return [_with_scores(training_row(example, _message(answer)), score=answer.reward) for answer in chosen]


def _pair_rows(example: Example, usable: Sequence[Answer], selection: Selection, tally: Tally) -> list[dict[str, Any]]:
    """Make a preference row of each selected pair."""
    rows = []
    for chosen, rejected in choose_pairs(usable, selection):
        row = training_row(example, _message(chosen))
        *prompt, answer = row.pop("messages")
        prompt = [{key: value for key, value in message.items() if key != "weight"} for message in prompt]
        other = training_row(example, _message(rejected))["messages"][-1]
        sides = {"prompt": prompt, "chosen": [answer], "rejected": [other]}
        rows.append(_with_scores({**sides, **row}, score_chosen=chosen.reward, score_rejected=rejected.reward))
        for side, one in (("chosen", chosen), ("rejected", rejected)):
            tally.pair_tokens[side] = tally.pair_tokens.get(side, 0) + one.length
        tally.chosen_longer += chosen.length > rejected.length
        tally.rejected_longer += chosen.length < rejected.length
    tally.answers_used += 2 * len(rows)
    tally.drop("not_paired", len(usable) - 2 * len(rows))
    return rows


def choose_pairs(answers: Sequence[Answer], selection: Selection) -> list[tuple[Answer, Answer]]:
    """Choose pairs of a chosen and a rejected answer; each answer is in one pair at most.

    Possible pairs have different rewards, more than `min_score_gap` apart; with `right` the chosen answer is correct and the
    rejected one is not. The pair with the largest gap is taken first, with `match_lengths` that with the closest lengths, and
    the first drawn among equals.
    """
    possible = []
    for i, chosen in enumerate(answers):
        for j, rejected in enumerate(answers):
            gap = (chosen.reward or 0.0) - (rejected.reward or 0.0)
            fits = selection.keep != RIGHT or (chosen.is_correct and not rejected.is_correct)
            fits = fits and chosen.message != rejected.message  # the same answer may get two rewards
            if fits and gap > max(ALIKE, selection.min_score_gap or 0.0) and _reaches(chosen, selection):
                distance = abs(chosen.length - rejected.length) if selection.match_lengths else 0
                possible.append((distance, -gap, i, j))
    pairs: list[tuple[Answer, Answer]] = []
    used: set[int] = set()
    for _, _, i, j in sorted(possible):
        if len(pairs) < (selection.max_per_prompt or 1) and not used & {i, j}:
            pairs.append((answers[i], answers[j]))
            used |= {i, j}
    return pairs


def _describe_none(usable: Sequence[Answer], selection: Selection) -> str:
    """Return the reason why a prompt has no row."""
    if not usable:
        return "no_usable_answer"
    if selection.keep == RIGHT and not any(answer.is_correct for answer in usable):
        return "no_correct_answer"
    if selection.pairs and all(answer.is_correct for answer in usable):
        return "all_correct"
    rewards = [answer.reward or 0.0 for answer in usable]
    if selection.pairs and max(rewards) - min(rewards) < ALIKE:
        return "equal_rewards"
    return "below_limits"


def _reaches(answer: Answer, selection: Selection) -> bool:
    return selection.min_reward is None or (answer.reward is not None and answer.reward >= selection.min_reward)


def _message(answer: Answer) -> Any:
    assert answer.message is not None, "answers with a fault are not usable"
    return answer.message


def _with_scores(row: dict[str, Any], **scores: float | None) -> dict[str, Any]:
    """Add scores to a row, before its source; without rewards there is none."""
    source = row.pop("source")
    return {**row, **{name: value for name, value in scores.items() if value is not None}, "source": source}
