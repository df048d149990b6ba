"""Draw several answers to each prompt and grade them, for data sets made of a model's own answers (`hrm-align sample`).

    Drawer(model, tokenizer, suite, Decoding(64), n=8).draw(examples, first=32).answers[0]  ->  [Answer("5", reward=1.0, ...), ...]

An answer depends on the model, the prompt, the seed, the number of its row and its own number, and not on how the rows are split
into calls or processes (but for the rounding of batches of another size).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hrm_align.data.examples import Example, to_rows
from hrm_align.data.schemas import from_messages, text_answer
from hrm_align.data.strict_json import JsonFault, RowError, parse_object
from hrm_align.errors import RunError, UserError
from hrm_align.evaluation.evaluate import show_solved
from hrm_align.rendering import TOOL_CALL, TOOL_CALL_END, Message, get_renderer
from hrm_align.rewards.scoring import score_all
from hrm_align.rewards.suite import RewardSuite
from hrm_align.rollouts.engine import MAX_RUNNING, Completion, Decoding
from hrm_align.rollouts.groups import completion_seed
from hrm_align.rollouts.local import LocalEngine, sample

SOLVED = 1.0 - 1e-6  # share of the highest possible weighted sum of rewards from which an answer counts as correct
CUT, CONTROL, BLANK, UNREADABLE = "cut", "control_token", "blank", "unreadable"  # faults of answers


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that a model has drawn.

    Args:
        text: the decoded text.
        tokens: number of drawn tokens, the end token included.
        message: the answer as rows hold it; None with a fault.
        length: number of tokens of the message, as training renders it, which may differ from those drawn; 0 with a fault.
        fault: reason why the answer cannot be trained on: `cut` at the longest answer, a control token in it, `blank`, or
            `unreadable`: a row with it would not be read back as it is, for example because of a broken tool call.
        reward: weighted sum of the rewards; None without rewards, or if the answer could not be graded.
        is_correct: whether the answer ended, and got the highest possible sum of rewards.
    """

    text: str
    tokens: int
    message: Message | None
    fault: str | None
    length: int = 0
    reward: float | None = None
    is_correct: bool = False


@dataclass
class Draws:
    """Answers to consecutive prompts.

    Args:
        answers: the answers to each prompt; None for a prompt that leaves no room for an answer.
        prompt_tokens: number of tokens of the prompts, each counted once.
        faults: number of failures by reward and kind, as `math/timeout`.
        usage: what judges used, by judge and name.
        sampling_seconds, grading_seconds: time of sampling and of grading.
    """

    answers: list[list[Answer] | None]
    prompt_tokens: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    usage: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sampling_seconds: float = 0.0
    grading_seconds: float = 0.0


@dataclass(frozen=True)
class Context:
    """What prompts have while answers are drawn, and rows do not have: training on the rows moves it into the weights.

    Args:
        system: system text before all messages.
        solved: solved examples before the question; the same ones for every row, but for a row's own question.
        shots: number of solved examples, at most those of `solved`.
        condition: condition to draw under, instead of the row's.
        prefix: what stands before the names of the options in errors: `--`, or `--teacher_`.
    """

    system: str | None = None
    solved: Sequence[Example] = ()
    shots: int = 0
    condition: str | None = None
    prefix: str = "--"

    def apply(self, example: Example) -> Example:
        """Return the example whose prompt the model answers.

        Raises:
            UserError: if solved examples are to stand before a conversation, or too few are left.
        """
        if self.shots:
            if len(example.messages) != 1:
                raise UserError(
                    f"{example.source}: {self.prefix}examples needs single-turn rows without a system text. Leave the row out, or use "
                    f"{self.prefix}system_file."
                )
            question = example.messages[0].content
            others = [other for other in self.solved if other.messages[0].content != question]
            if len(others) < self.shots:
                raise UserError(
                    f"{example.source}: {self.prefix}shots {self.shots} needs as many examples with other questions, and there are "
                    f"{len(others)}. Add rows to {self.prefix}examples, or lower {self.prefix}shots."
                )
            example = show_solved(example, others[: self.shots])
        if self.system is not None:
            example = replace(example, messages=(Message("system", self.system), *example.messages))
        return example if self.condition is None else replace(example, condition=self.condition)


class Drawer:
    """Draws and grades answers.

    Args:
        model: an HRM-Text, with or without an adapter.
        tokenizer: the model's tokenizer.
        suite: the rewards; None to draw without grading.
        decoding: sampling settings.
        n: answers per prompt, also an attribute.
        seed: seed of all draws.
        context: what the prompts have in addition to those of the rows.
        batch_size: answers that are drawn at the same time.

    Raises:
        UserError: if the longest answer leaves no room for a prompt.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        suite: RewardSuite | None,
        decoding: Decoding,
        *,
        n: int,
        seed: int = 0,
        context: Context | None = None,
        batch_size: int = MAX_RUNNING,
    ):
        self._engine, self._suite, self._decoding = LocalEngine(model, max_running=batch_size), suite, decoding
        self.n, self._seed, self._context, self._batch_size = n, seed, context or Context(), batch_size
        self._renderer = get_renderer(tokenizer)
        positions = model.config.max_position_embeddings
        self._room = positions - decoding.max_new_tokens
        if self._room < 1:
            raise UserError(
                f"invalid value for --max_new_tokens: {decoding.max_new_tokens}. The model has {positions} positions for prompt and "
                "answer together, so use less."
            )
        vocabulary = tokenizer.get_vocab()
        calls = {vocabulary.get(TOOL_CALL), vocabulary.get(TOOL_CALL_END)}  # these two become tool calls of the message
        self._control = {*tokenizer.added_tokens_decoder} - calls
        weights = [weight for weight in (suite.weights if suite else ()) if weight > 0]
        self._threshold = SOLVED * sum(weights)

    @property
    def is_graded(self) -> bool:
        """Whether answers have rewards."""
        return self._suite is not None

    def draw(self, examples: Sequence[Example], first: int, on_finish: Callable[[], object] = lambda: None) -> Draws:
        """Draw `n` answers to each prompt, and grade them.

        Args:
            examples: the prompts, with references and grading data.
            first: number of the first row; rows are counted from 0 over all calls.
            on_finish: called after each answer.

        Raises:
            UserError: for a row to which the context does not apply.
            RunError: if answers were never graded, because workers cannot be started or a judge does not answer.
        """
        asked = [self._context.apply(example) for example in examples]
        prompts = [self._renderer.prompt(example.messages, example.condition) for example in asked]
        places = [place for place, prompt in enumerate(prompts) if len(prompt) <= self._room]
        places.sort(key=lambda place: len(prompts[place]))  # prompts of similar length share a batch
        start = time.perf_counter()
        completions = sample(
            self._engine,
            [prompts[place] for place in places for _ in range(self.n)],
            [self._row_seed(first + place, number) for place in places for number in range(self.n)],
            self._decoding,
            batch_size=self._batch_size,
            on_finish=on_finish,
        )
        sampled = time.perf_counter()
        tokens = sum(len(prompts[place]) for place in places)
        draws = Draws([None] * len(examples), tokens, sampling_seconds=sampled - start)
        for number, place in enumerate(places):
            group = completions[number * self.n : (number + 1) * self.n]
            draws.answers[place] = [self._read(completion, examples[place]) for completion in group]
        self._grade(draws, examples)
        draws.grading_seconds = time.perf_counter() - sampled
        return draws

    def _row_seed(self, row: int, number: int) -> int:
        return completion_seed(f"{self._seed} sample {row} {number}")

    def _read(self, completion: Completion, example: Example) -> Answer:
        text, tokens = self._renderer.decode_response(completion.ids), len(completion.ids)
        if completion.finish != "stop":
            return Answer(text, tokens, None, CUT)
        if self._control.intersection(completion.ids[:-1]):
            return Answer(text, tokens, None, CONTROL)
        if not text.strip():
            return Answer(text, tokens, None, BLANK)
        message = read_answer(text, example)
        if message is None:
            return Answer(text, tokens, None, UNREADABLE)
        return Answer(text, tokens, message, None, len(self._renderer.response(message)))

    def _grade(self, draws: Draws, examples: Sequence[Example]) -> None:
        """Add the rewards to the answers. Cut answers are graded too, for the mean reward, and never count as correct."""
        groups = [(place, group) for place, group in enumerate(draws.answers) if group is not None]
        if self._suite is None or not groups:
            return
        texts = [answer.text for _, group in groups for answer in group]
        scores = score_all(self._suite, texts, [examples[place] for place, group in groups for _ in group])
        totals = scores.totals(self._suite.weights)
        has_none = all(total is None for total in totals)
        missed = [fault for fault in scores.faults if fault.kind == "skipped" or has_none]
        if missed:
            raise RunError(
                f"answers could not be graded (first {missed[0].source or 'all rows'}: {missed[0].detail}). Correct the cause, and run "
                "the same command again; the chunks that are done are saved."
            )
        rewards = iter(totals)
        for place, group in groups:
            draws.answers[place] = [self._with_reward(answer, next(rewards)) for answer in group]
        draws.faults = Counter(f"{fault.reward}/{fault.kind}" for fault in scores.faults)
        draws.usage = scores.usage

    def _with_reward(self, answer: Answer, reward: float | None) -> Answer:
        is_correct = reward is not None and reward >= self._threshold and answer.fault != CUT
        return replace(answer, reward=reward, is_correct=is_correct)


def read_answer(text: str, example: Example) -> Message | None:
    """Return an answer as rows hold it, its tool calls as calls; None if a row with it would not be read back as it is."""
    try:
        message = text_answer(text, "response")
        row = json.dumps(training_row(example, message), ensure_ascii=False).encode()
        (again,) = from_messages(parse_object(row), example.source, example.condition)
    except (RowError, JsonFault, UnicodeEncodeError):
        return None
    return message if (again.messages, again.answer) == (example.messages, message) else None


def training_row(example: Example, answer: Message) -> dict[str, Any]:
    """Return a row of the schema `messages` that trains on this answer to the example's prompt."""
    (row,) = to_rows([replace(example, answer=answer, rejected=None, desirable=None, margin=None)])
    return row
