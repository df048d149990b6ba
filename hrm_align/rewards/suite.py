"""Compute rewards in worker processes within a deadline; failures of a reward are counted and never stop the run.

    with RewardSuite([RewardSpec.of("math"), RewardSpec.of({"name": "format", "weight": 0.2, "tags": ["think"]})]) as suite:
        scores = suite.score(completions, examples)
        totals = scores.totals(suite.weights)

Built-in rewards share a group of workers and grade row by row. A completion that makes a built-in reward crash or hang
gets 0, like any wrong completion; None would remove the completion from the comparison with its group.

A judge (`hrm_align.rewards.base.BatchGrader`) has a worker process and a deadline of its own, and gets all rows together.
A row without a verdict gets None, and if other rows of the call have one, the row has no total: the sum of its other
rewards could not be compared with theirs.

A reward model (`hrm_align.rewards.model_rewards`) scores all rows in this process, on its accelerator; no deadline applies. What
holds for rows without a verdict of a judge holds for answers that are too long for the model.

A user-defined reward is a function in a file, similar to a reward function of TRL. Each argument is a list with one
entry for each completion. The function receives the columns that its parameters name, or all columns with `**columns`:

    def reward(prompts, completions, reference, **columns):  # also: messages, condition, group, grading, source
        return [1.0 if expected in text else 0.0 for text, expected in zip(completions, reference)]

`prompts` holds the last message of each prompt, `messages` all messages as `{"role", "content"}`, and `source` holds
`file:line`. The function returns a list (or an array) of finite numbers, with None for each completion that it cannot
grade. The function runs in its own process, keeps its state between calls, and can import modules from the folder of
its file; its printed output is discarded. One call grades all rows. If that call fails, each row is graded in a call of
its own, and a row whose own call fails gets None.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hrm_align.errors import UserError
from hrm_align.rewards.base import BatchGrades, RewardSpec
from hrm_align.rewards.model_rewards import create_model_rewards
from hrm_align.rewards.scoring import KINDS, Fault, Scores
from hrm_align.rewards.worker_groups import batch_limit, build_worker_groups
from hrm_align.rewards.workers import Reply, Request, StartError, WorkerPool

if TYPE_CHECKING:
    from hrm_align.data.examples import Example

logger = logging.getLogger(__name__)

MARGIN_SECONDS = 1.0  # most time of a call beyond its deadline: killing and starting workers does not wait for them
BATCH_SHARE = 0.5  # share of the deadline for a user's function on all rows; the rest is for retries of single rows
ROW_SHARE = 0.1  # share of the deadline for a user's function on a single row
OWN_ROW_SHARE, OWN_ROW_SECONDS = 0.3, 3.0  # limits for a row of a built-in reward: share of the deadline, and seconds


class RewardSuite:
    """Weighted rewards and the worker processes that compute them. Only one call at a time is allowed.

    Args:
        specs: the rewards.
        workers: number of processes that share the built-in rewards; each user-defined reward has one process of its
            own.
        deadline: limit in seconds for a call of `score`; up to `MARGIN_SECONDS` more on a busy machine. The time in which a
            worker loads its rewards does not count: it has a limit of its own, `workers.START_SECONDS`.
        row_seconds: limit for one row of a built-in reward, and at most `OWN_ROW_SHARE` of the deadline. A row that
            takes longer gets 0.
        folder: folder of the run, where judges keep their verdicts; None to keep none.

    Raises:
        UserError: for an invalid setting, two rewards with the same name, or a reward that cannot be loaded.
    """

    def __init__(
        self,
        specs: Sequence[RewardSpec],
        *,
        workers: int = 2,
        deadline: float = 10.0,
        row_seconds: float = OWN_ROW_SECONDS,
        folder: str | os.PathLike[str] | None = None,
    ):
        self.specs = list(specs)
        self.names = [spec.label for spec in specs]
        self.weights = [spec.weight for spec in specs]
        self.deadline = deadline
        self.row_seconds = min(row_seconds, OWN_ROW_SHARE * deadline)
        self._check(workers)
        self.batch_seconds = {index: seconds for index, spec in enumerate(specs) if (seconds := batch_limit(spec))}
        self._models = create_model_rewards(self.specs)
        path = None if folder is None else os.path.abspath(folder)
        self._worker_groups, self._locations = build_worker_groups(
            self.specs, workers, self.batch_seconds, self._models, path
        )
        try:
            self._pool = WorkerPool(self._worker_groups)
        except StartError as error:
            raise UserError(self._describe_start_error(error)) from None
        for warning in self._pool.warnings:
            logger.warning(warning)

    @classmethod
    def of(cls, rewards: Any, folder: str | os.PathLike[str] | None = None) -> RewardSuite:
        """Build the suite from the recipe keys `rewards`, `reward_workers` and `reward_deadline`."""
        specs = [RewardSpec.of(entry) for entry in rewards.rewards]
        return cls(specs, workers=rewards.reward_workers, deadline=rewards.reward_deadline, folder=folder)

    def __enter__(self) -> RewardSuite:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop all worker processes."""
        self._pool.close()

    def score(
        self,
        completions: Sequence[str],
        examples: Sequence[Example],
        *,
        only: Collection[str] | None = None,
        extract: bool = False,
        doubt: bool = False,
    ) -> Scores:
        """Grade completions. Failures of rewards become `Scores.faults`, and the deadline limits the time of the call.

        Args:
            completions: the generated texts.
            examples: the example of each completion, in the same order.
            only: names of the rewards to compute; the values of the other rewards are None.
            extract: also fill `Scores.extracted`.
            doubt: fill `Scores.doubts` instead of the values; for built-in rewards only.

        Returns:
            The values and faults; see `Scores`.
        """
        start = time.monotonic()
        rows = [_row(text, example) for text, example in zip(completions, examples, strict=True)]
        scores = Scores({name: [None] * len(rows) for name in self.names})
        if extract:
            scores.extracted = {spec.label: [None] * len(rows) for spec in self.specs if spec.file is None}
        call = _Call(self, rows, scores, doubt)
        if rows:
            selected = [index for index, name in enumerate(self.names) if only is None or name in only]
            requests = call.build_requests(index for index in selected if index not in self._models)
            scores.loading_seconds = self._pool.run(requests, self.deadline, call.handle_reply)
            for index in self._models.keys() & {*selected} if not doubt else ():
                call.store_grades(index, self._models[index].grade_examples(completions, examples))
        for group, loss in self._pool.idle_losses:
            detail = f"between two calls: {loss.detail}"
            scores.faults.append(Fault(self._reward_names(group)[0], loss.kind, None, detail))
        self._pool.idle_losses.clear()
        scores.seconds = time.monotonic() - start
        return scores

    @property
    def checked_on_pairs(self) -> list[int]:
        """Indices of the rewards without a correct value, judges and reward models: the preflight checks them on pairs."""
        return [index for index in range(len(self.specs)) if index in self.batch_seconds or index in self._models]

    def locate_reward(self, index: int) -> tuple[int, int]:
        """Return the worker group of a reward, and the index of the reward in that group."""
        return self._locations[index]

    def _check(self, workers: int) -> None:
        if not self.specs:
            raise UserError("no reward is set. Name at least one reward, such as math or exact.")
        for name in self.names:
            if self.names.count(name) > 1:
                raise UserError(f"two rewards have the name {name}. Set a different `label` for one of them.")
        if workers < 1:
            raise UserError(f"invalid value for the number of reward workers: {workers}. Use 1 or more.")
        if not 0 < self.deadline < math.inf:
            raise UserError(
                f"invalid value for the deadline of the rewards: {self.deadline}. Use the number of seconds, above 0, "
                "that all rewards of a batch may take."
            )
        if not hasattr(os, "fork"):
            raise UserError("rewards run in forked processes, which this system does not support. Use Linux or macOS.")

    def _reward_names(self, group: int) -> list[str]:
        return [name for name, location in zip(self.names, self._locations, strict=True) if location[0] == group]

    def _describe_start_error(self, error: StartError) -> str:
        located = zip(self.specs, self._locations, strict=True)
        spec = next(spec for spec, location in located if location[0] == error.group)
        if spec.file is not None:
            return f"cannot load the reward {spec.label} of {spec.file}: {error.detail}. Correct the file."
        return f"cannot load the rewards {', '.join(self._reward_names(error.group))}: {error.detail.rstrip('.')}."


def _row(completion: str, example: Example) -> dict[str, Any]:
    """Return the JSON object that a worker receives for a completion and its example."""
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
    """State of one call of `RewardSuite.score`: builds the requests and stores the replies in `Scores`.

    The tag of a request is (index of the reward, indices of the rows).
    """

    def __init__(self, suite: RewardSuite, rows: list[dict[str, Any]], scores: Scores, doubt: bool = False):
        self._suite, self._rows, self._scores, self._doubt = suite, rows, scores, doubt
        # Index of a reward -> the reply of its failed batch, and the number of its rows that have no reply yet.
        self._retried: dict[int, tuple[Reply, int]] = {}

    def build_requests(self, rewards: Iterable[int]) -> list[Request]:
        """Build one request for each row of a built-in reward, and one for all rows of a user-defined reward."""
        rows, requests = range(len(self._rows)), []
        for index in rewards:
            if index in self._suite.batch_seconds:
                requests.append(self._request(index, rows, self._suite.batch_seconds[index]))
            elif self._suite.specs[index].file is None:
                requests += [self._request(index, [row], self._suite.row_seconds) for row in rows]
            else:
                requests.append(self._request(index, rows, BATCH_SHARE * self._suite.deadline))
        return requests

    def handle_reply(self, request: Request, reply: Reply) -> list[Request]:
        """Store the values or the failure of a reply. Return requests for single rows after a failed batch."""
        index, rows = request.tag
        reply = self._validated(reply, len(rows), request.extract)
        user_defined = self._suite.specs[index].file is not None
        if reply.kind and user_defined and reply.kind != "skipped" and len(rows) > 1:
            self._retried[index] = (reply, len(rows))
            return [self._request(index, [row], ROW_SHARE * self._suite.deadline) for row in rows]
        name = self._suite.names[index]
        if reply.kind:
            by_row = not user_defined and index not in self._suite.batch_seconds
            value = 0.0 if by_row and reply.kind != "skipped" else None
            for row in rows:
                self._add_fault(index, reply.kind, row, reply.detail)
                self._scores.values[name][row] = value
        else:
            self._store_values(index, rows, reply.body)
            if index in self._suite.batch_seconds:
                self._store_batch(index, reply.body)
        self._finish_retry(index)
        return []

    def _request(self, index: int, rows: Sequence[int], seconds: float) -> Request:
        group, reward = self._suite.locate_reward(index)
        extract = self._suite.names[index] in self._scores.extracted
        selected = [self._rows[row] for row in rows]
        return Request(group, reward, selected, seconds, (index, rows), extract, self._doubt)

    def _store_values(self, index: int, rows: Sequence[int], body: Mapping[str, Any]) -> None:
        name = self._suite.names[index]
        for offset, row in enumerate(rows):
            self._scores.values[name][row] = body["values"][offset]
            if str(offset) in body["bad"]:
                self._add_fault(index, "not_a_number", row, str(body["bad"][str(offset)]))
            if str(offset) in body["why"]:
                self._scores.why.setdefault(name, {})[row] = str(body["why"][str(offset)])
            if self._doubt and str(offset) in body["doubts"]:
                kind, sentence = body["doubts"][str(offset)]
                self._scores.doubts.setdefault(name, {})[row] = (kind, sentence)
            if name in self._scores.extracted:
                self._scores.extracted[name][row] = body["extracted"][offset]

    def _store_batch(self, index: int, body: Mapping[str, Any]) -> None:
        """Store the faults and the usage that a `BatchGrader` reported."""
        name = self._suite.names[index]
        self._scores.usage[name] = body["usage"]
        for row, (kind, detail) in body["faults"].items():
            if int(row) < 0:
                self._scores.faults.append(Fault(name, kind, None, detail))
            else:
                self._add_fault(index, kind, int(row), detail)
        self._note_unanswered(name)

    def store_grades(self, index: int, grades: BatchGrades) -> None:
        """Store the values and faults of a reward that has graded all rows in this process."""
        name = self._suite.names[index]
        self._scores.values[name] = list(grades.values)
        for row, (kind, detail) in grades.faults.items():
            self._add_fault(index, kind, row, detail)
        self._note_unanswered(name)

    def _note_unanswered(self, name: str) -> None:
        """Remember the rows without a value, if other rows have one."""
        values = self._scores.values[name]
        if any(value is not None for value in values):
            self._scores.unanswered[name] = {row for row, value in enumerate(values) if value is None}

    def _finish_retry(self, index: int) -> None:
        """Count a reply to a row of a failed batch. After the last row, report the failure unless a row repeated it."""
        if index not in self._retried:
            return
        batch, left = self._retried[index]
        self._retried[index] = (batch, left - 1)
        name = self._suite.names[index]
        if left == 1 and not any(fault.reward == name and fault.kind == batch.kind for fault in self._scores.faults):
            detail = f"{batch.detail} (on all {len(self._rows)} completions together; each row was then graded alone)"
            self._scores.faults.append(Fault(name, batch.kind, None, detail))

    def _add_fault(self, index: int, kind: str, row: int, detail: str) -> None:
        self._scores.faults.append(Fault(self._suite.names[index], kind, self._rows[row]["source"], detail, row))

    @staticmethod
    def _validated(reply: Reply, n: int, extract: bool) -> Reply:
        """Return the reply if it is well-formed, else a "garbled" failure: user code may write anything to the channel.

        Args:
            reply: the reply of a worker.
            n: number of rows in the request.
            extract: whether the request has `extract` set.
        """
        body = reply.body
        if reply.kind:
            return (
                reply if reply.kind in KINDS else Reply(kind="garbled", detail="the reply has an unknown failure kind")
            )
        values, texts = body.get("values"), body.get("extracted") if extract else [None] * n
        valid_values = isinstance(values, list) and len(values) == n and all(map(_is_value, values))
        valid_texts = isinstance(texts, list) and len(texts) == n and all(map(_is_text, texts))
        if valid_values and valid_texts and all(isinstance(body.get(key), dict) for key in ("bad", "why")):
            return reply
        return Reply(kind="garbled", detail="the reply does not contain the values of the rows")


def _is_value(value: object) -> bool:
    return value is None or (type(value) is float and math.isfinite(value))


def _is_text(value: object) -> bool:
    return value is None or type(value) is str
