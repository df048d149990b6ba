"""Whether an answer is the one that was asked for: plain functions, text in, verdict out."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from hrm_align.data.strict_json import parse_value
from hrm_align.errors import UserError
from hrm_align.rewards.base import Row
from hrm_align.rewards.code_rewards import match_code
from hrm_align.rewards.sql_rewards import match_sql

if TYPE_CHECKING:
    from hrm_align.data.examples import Example
    from hrm_align.rewards.suite import RewardSuite


def exact_match(completion: str, reference: str) -> bool:
    """The same text, but for space around it."""
    return completion.strip() == reference.strip()


def json_match(completion: str, reference: str) -> bool | None:
    """The same JSON value, however it is spaced or ordered; None if the reference itself is no JSON.

    What RFC 8259 does not allow is no JSON: two equal keys of which one is right, NaN, a number without end.
    """
    try:
        expected = parse_value(reference.encode("utf-8"))
    except ValueError:
        return None
    try:
        return _typed(parse_value(completion.encode("utf-8"))) == _typed(expected)
    except ValueError:
        return False


def _typed(value: object) -> object:
    """JSON's types are told apart, unlike Python's `True == 1 == 1.0`."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return (type(value), value)


# Answer and row in, verdict out. Raises UserError for a row that cannot be graded in this way.
Matcher = Callable[[str, "Example"], bool]


def _match_text(completion: str, example: Row) -> bool:
    return exact_match(completion, example.reference)


def _match_json(completion: str, example: Row) -> bool:
    verdict = json_match(completion, example.reference)
    if verdict is None:
        raise UserError(f"{example.source}: the expected answer is no JSON, so --match json cannot grade it.")
    return verdict


@lru_cache
def _suite(reward: str) -> RewardSuite:
    from hrm_align.rewards.suite import RewardSpec, RewardSuite

    return RewardSuite([RewardSpec(reward)], workers=1)


def _match_reward(reward: str, completion: str, example: Example) -> bool:
    """By a reward of the registry, in its worker process."""
    scores = _suite(reward).score([completion], [example])
    value = scores.values[reward][0]
    if value is None:
        why = scores.why.get(reward, {}).get(0) or f"{example.source}: the expected answer states none"
        raise UserError(f"{why.rstrip('.')}, so --match {reward} cannot grade it.")
    return value == 1


MATCHERS: dict[str, Matcher] = {
    "exact": _match_text,
    "json": _match_json,
    "sql": match_sql,
    "code": match_code,
    **{reward: partial(_match_reward, reward) for reward in ("math", "numeric", "answer")},
}
