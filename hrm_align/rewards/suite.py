"""Rewards that cannot hurt a run: each is computed in worker processes, within a deadline, and its failures are counted.

    with RewardSuite([RewardSpec.of("math"), RewardSpec.of({"name": "format", "weight": 0.2, "tags": ["think"]})]) as suite:
        scores = suite.score(completions, examples)
        totals = scores.totals(suite.weights)

The toolkit's own rewards share workers and are asked row by row. A completion that makes one of them crash or hang gets 0
like any wrong one, since None would let it escape its punishment.

A user's own reward is a function in a file, close to what TRL takes. Each argument is a list with one entry for each
completion, and only those that the function names are passed, or all with `**columns`:

    def reward(prompts, completions, reference, **columns):  # also: messages, condition, group, grading, source
        return [1.0 if right in text else 0.0 for text, right in zip(completions, reference)]

`prompts` holds the last message of each prompt, `messages` all of them as `{"role", "content"}`, `source` `file:line`. It
returns a list (or an array) of finite numbers, and None for what it cannot grade. It has a process of its own, keeps its
state from call to call, may import what lies beside its file, and what it prints is lost. It is called once for all rows;
if that fails, for each row alone, and a row that fails alone gets None.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hrm_align.errors import UserError
from hrm_align.rewards.base import RewardSpec
from hrm_align.rewards.workers import Crew, Pool, Reply, Request, StartError

if TYPE_CHECKING:
    from hrm_align.data.examples import Example

logger = logging.getLogger(__name__)

MARGIN_SECONDS = 1.0  # by which a call may pass its deadline: workers are killed and started without waiting for them
BATCH_SHARE = 0.5  # of the deadline, for a user's function on all rows; the rest is for the rows by themselves
ROW_SHARE = 0.1  # of the deadline, for a user's function on a single row
OWN_ROW_SHARE, OWN_ROW_SECONDS = 0.3, 3.0  # of the deadline, and at most, for a row of the toolkit's own rewards

KINDS = {
    "raised": "an exception, or sys.exit",
    "timeout": "no reply within its limit; the worker was killed",
    "died": "the worker ended: os._exit, a crash, no memory",
    "garbled": "something else came where the reply should be",
    "wrong_length": "not one value for each completion",
    "not_a_number": "a value that is neither a finite number nor None",
    "skipped": "not reached, or cut short, because the deadline of all rewards had passed",
}


@dataclass(frozen=True)
class Fault:
    """A failure of a reward.

    Args:
        reward: its name.
        kind: one of `KINDS`.
        source: of the row that it failed on (`file:line`); None for a failure that no row by itself shows.
        detail: for people.
        row: its place in the call.
    """

    reward: str
    kind: str
    source: str | None
    detail: str
    row: int | None = None


@dataclass
class Scores:
    """The values of every reward for a batch of completions.

    Args:
        values: by the name of the reward, one for each completion; None where it cannot be graded.
        faults: failures; each has cost at most the value of its row.
        why: by the name of the reward and the place of a row, why it cannot be graded, where the reward knows.
        extracted: if requested, by the name of each of the toolkit's own rewards what it read of each completion, for
            people; None where it read nothing or failed.
        seconds: it took, by the clock.
    """

    values: dict[str, list[float | None]]
    faults: list[Fault] = field(default_factory=list)
    why: dict[str, dict[int, str]] = field(default_factory=dict)
    extracted: dict[str, list[str | None]] = field(default_factory=dict)
    seconds: float = 0.0

    def totals(self, weights: Sequence[float]) -> list[float | None]:
        """The weighted sum for each completion, over the rewards that gave it a number; None if none did.

        A reward of weight 0 is only looked at: its number makes no total.

        Args:
            weights: one for each reward, in their order.
        """
        weighted = [(weight, values) for weight, values in zip(weights, self.values.values(), strict=True) if weight]
        totals: list[float | None] = []
        for row in range(max(map(len, self.values.values()), default=0)):
            given = [weight * value for weight, values in weighted if (value := values[row]) is not None]
            totals.append(sum(given) if given else None)
        return totals

    def fault_counts(self) -> dict[str, dict[str, int]]:
        """How often each reward failed, by kind."""
        counts: dict[str, Any] = {}
        for fault in self.faults:
            counts.setdefault(fault.reward, Counter())[fault.kind] += 1
        return {reward: dict(kinds) for reward, kinds in counts.items()}


class RewardSuite:
    """Weighted rewards and the processes that compute them. One call at a time.

    Args:
        specs: the rewards.
        workers: processes that share the toolkit's own rewards; each user's file has one more.
        deadline: seconds that `score` may take, whatever happens; up to `MARGIN_SECONDS` more on a busy machine.
        row_seconds: that a row of the toolkit's own rewards may take at most, and never more than `OWN_ROW_SHARE` of the
            deadline; a row that takes longer gets 0.

    Raises:
        UserError: for two rewards of one name, or a user's file that cannot be loaded.
    """

    def __init__(
        self,
        specs: Sequence[RewardSpec],
        *,
        workers: int = 2,
        deadline: float = 10.0,
        row_seconds: float = OWN_ROW_SECONDS,
    ):
        self.specs = list(specs)
        self.names = [spec.label for spec in specs]
        self.weights = [spec.weight for spec in specs]
        self.deadline = deadline
        self.row_seconds = min(row_seconds, OWN_ROW_SHARE * deadline)
        self._check(workers)
        self._crews, self._places = _crews_of(self.specs, workers)
        try:
            self._pool = Pool(self._crews)
        except StartError as error:
            raise UserError(self._start_failed(error)) from None
        for note in self._pool.notes:
            logger.warning(note)

    @classmethod
    def of(cls, rewards: Any) -> RewardSuite:
        """The suite of a recipe's keys: `rewards`, `reward_workers` and `reward_deadline`."""
        specs = [RewardSpec.of(entry) for entry in rewards.rewards]
        return cls(specs, workers=rewards.reward_workers, deadline=rewards.reward_deadline)

    def __enter__(self) -> RewardSuite:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        self._pool.close()

    def score(
        self,
        completions: Sequence[str],
        examples: Sequence[Example],
        *,
        only: Collection[str] | None = None,
        extract: bool = False,
    ) -> Scores:
        """Grade completions. It never fails, and never takes much longer than the deadline.

        Args:
            completions: the generated texts.
            examples: of the prompt of each.
            only: names of the rewards to ask; the others give None.
            extract: give `Scores.extracted`, too.

        Returns:
            The values and faults; see `Scores`.
        """
        start = time.monotonic()
        rows = [_row(text, example) for text, example in zip(completions, examples, strict=True)]
        scores = Scores({name: [None] * len(rows) for name in self.names})
        if extract:
            scores.extracted = {spec.label: [None] * len(rows) for spec in self.specs if spec.file is None}
        call = _Call(self, rows, scores)
        if rows:
            asked = [index for index, name in enumerate(self.names) if only is None or name in only]
            self._pool.run(call.requests(asked), self.deadline, call.answered)
        for crew, lost in self._pool.strays:
            scores.faults.append(Fault(self._names_of(crew)[0], lost.kind, None, f"between two calls: {lost.detail}"))
        self._pool.strays.clear()
        scores.seconds = time.monotonic() - start
        return scores

    def place_of(self, index: int) -> tuple[int, int]:
        """The crew of a reward, and its place there."""
        return self._places[index]

    def _check(self, workers: int) -> None:
        if not self.specs:
            raise UserError("there is no reward: name at least one, such as math or exact.")
        for name in self.names:
            if self.names.count(name) > 1:
                raise UserError(f"two rewards are called {name}: give one of them a `label` of its own.")
        if workers < 1:
            raise UserError(f"`workers` is {workers}: the rewards need 1 or more.")
        if not 0 < self.deadline < math.inf:
            raise UserError(f"`deadline` is {self.deadline}: give the seconds that all rewards of a batch may take.")
        if not hasattr(os, "fork"):
            raise UserError("rewards run in forked processes, which this system does not have: use Linux or macOS.")

    def _names_of(self, crew: int) -> list[str]:
        return [name for name, place in zip(self.names, self._places, strict=True) if place[0] == crew]

    def _start_failed(self, error: StartError) -> str:
        spec = next(spec for spec, place in zip(self.specs, self._places, strict=True) if place[0] == error.crew)
        if spec.file is not None:
            return f"the reward {spec.label} of {spec.file} cannot be loaded: {error.detail}. Mend the file."
        return f"the rewards {', '.join(self._names_of(error.crew))} cannot be loaded: {error.detail.rstrip('.')}."


def _crews_of(specs: Sequence[RewardSpec], workers: int) -> tuple[list[Crew], list[tuple[int, int]]]:
    """One crew for the toolkit's rewards, one for each user's; and for each reward its crew and its place there."""
    own = [(spec.name, dict(spec.options)) for spec in specs if spec.file is None]
    crews = [Crew({"rewards": own}, workers)] if own else []
    places, used = [], 0
    for spec in specs:
        if spec.file is None:
            places.append((0, used))
            used += 1
        else:
            places.append((len(crews), 0))
            crews.append(Crew({"file": os.path.abspath(spec.file), "function": spec.name}))
    return crews, places


def _row(completion: str, example: Example) -> dict[str, Any]:
    """What a worker reads of a completion and its example: plain JSON."""
    return {
        "completion": completion,
        "messages": [{"role": message.role, "content": message.content} for message in example.messages],
        "reference": example.reference,
        "condition": example.condition,
        "group": example.group,
        "grading": dict(example.grading),
        "source": example.source,
    }


class _Call:
    """One call of `RewardSuite.score`: what is asked, and what comes of the replies. A tag is (reward, rows, failed batch)."""

    def __init__(self, suite: RewardSuite, rows: list[dict[str, Any]], scores: Scores):
        self._suite, self._rows, self._scores = suite, rows, scores
        self._retried: dict[int, tuple[Reply, int]] = {}  # by reward: its failed batch, and rows not yet back

    def requests(self, rewards: Iterable[int]) -> list[Request]:
        """All rows to each reward: one by one, or together to a user's function."""
        rows, requests = range(len(self._rows)), []
        for index in rewards:
            if self._suite.specs[index].file is None:
                requests += [self._request(index, [row], self._suite.row_seconds) for row in rows]
            else:
                requests.append(self._request(index, rows, BATCH_SHARE * self._suite.deadline))
        return requests

    def answered(self, request: Request, reply: Reply) -> list[Request]:
        """Take the values; ask for the rows of a batch that failed, one by one."""
        index, rows = request.tag
        reply = self._sound(reply, len(rows), request.extract)
        user = self._suite.specs[index].file is not None
        if reply.kind and user and reply.kind != "skipped" and len(rows) > 1:
            self._retried[index] = (reply, len(rows))
            return [self._request(index, [row], ROW_SHARE * self._suite.deadline) for row in rows]
        name = self._suite.names[index]
        if reply.kind:
            floor = 0.0 if not user and reply.kind != "skipped" else None
            for row in rows:
                self._fault(index, reply.kind, row, reply.detail)
                self._scores.values[name][row] = floor
        else:
            self._take(index, rows, reply.body)
        self._settle(index)
        return []

    def _request(self, index: int, rows: Sequence[int], seconds: float) -> Request:
        crew, place = self._suite.place_of(index)
        extract = self._suite.names[index] in self._scores.extracted
        return Request(crew, place, [self._rows[row] for row in rows], seconds, (index, rows), extract)

    def _take(self, index: int, rows: Sequence[int], body: Mapping[str, Any]) -> None:
        name = self._suite.names[index]
        for place, row in enumerate(rows):
            self._scores.values[name][row] = body["values"][place]
            if str(place) in body["bad"]:
                self._fault(index, "not_a_number", row, str(body["bad"][str(place)]))
            if str(place) in body["why"]:
                self._scores.why.setdefault(name, {})[row] = str(body["why"][str(place)])
            if name in self._scores.extracted:
                self._scores.extracted[name][row] = body["extracted"][place]

    def _settle(self, index: int) -> None:
        """Once all rows of a failed batch are back: if none of them failed, the batch itself was the fault."""
        if index not in self._retried:
            return
        batch, left = self._retried[index]
        self._retried[index] = (batch, left - 1)
        name = self._suite.names[index]
        if left == 1 and not any(fault.reward == name and fault.kind == batch.kind for fault in self._scores.faults):
            detail = f"{batch.detail} (all {len(self._rows)} completions together; then row by row)"
            self._scores.faults.append(Fault(name, batch.kind, None, detail))

    def _fault(self, index: int, kind: str, row: int, detail: str) -> None:
        self._scores.faults.append(Fault(self._suite.names[index], kind, self._rows[row]["source"], detail, row))

    @staticmethod
    def _sound(reply: Reply, n: int, extract: bool) -> Reply:
        """The reply, if it is what a worker of ours would send. A user's code can write what it likes."""
        body = reply.body
        if reply.kind:
            return reply if reply.kind in KINDS else Reply(kind="garbled", detail="it sent a kind that does not exist")
        values, told = body.get("values"), (body.get("bad"), body.get("why"))
        right = isinstance(values, list) and len(values) == n and all(map(_is_value, values))
        read = body.get("extracted") if extract else [None] * n
        right = (
            right
            and isinstance(read, list)
            and len(read) == n
            and all(text is None or type(text) is str for text in read)
        )
        if right and all(isinstance(by_row, dict) for by_row in told):
            return reply
        return Reply(kind="garbled", detail="it sent something else than the values of the rows")


def _is_value(value: object) -> bool:
    return value is None or (type(value) is float and math.isfinite(value))
