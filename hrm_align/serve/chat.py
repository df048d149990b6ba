"""A conversation with a model: each answer has a fresh prefix, rendered from the whole history as training renders it.

    chat = Chat(ServedModels(model), tokenizer)
    for piece in chat.ask("My name is Lumo."):
        print(piece, end="")
    print(chat.latest.finish)

Nothing is printed here; `hrm_align.commands.chat` is the terminal, and `hrm_align.serve.chat_commands` has the commands.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from transformers import PreTrainedTokenizerFast

from hrm_align.data.examples import Example, to_rows
from hrm_align.data.schemas import from_messages, text_answer
from hrm_align.data.strict_json import RowError
from hrm_align.errors import RunError, UserError
from hrm_align.rendering import DEFAULT_CONDITION, TOOL_CALL, TOOL_CALL_END, Message, Parts, get_renderer
from hrm_align.rollouts.engine import Decoding, Event, Request
from hrm_align.rollouts.local import draw_seeds
from hrm_align.serve.models import ServedModels, StepFault
from hrm_align.serve.text import TextStream

End = Literal["stop", "length", "interrupted"]
INTERRUPTED: End = "interrupted"


@dataclass
class ChatSettings:
    """Settings of the next answers.

    Args:
        max_new_tokens: longest answer, in tokens.
        temperature: 0 for greedy decoding, above 0 for sampling.
        top_p: sample from the most probable tokens that together have this probability; 1 for all.
        seed: seed of the sampling; each answer takes the next random stream of this seed. A random one by default.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.seed is None:
            self.seed = secrets.randbits(32)


@dataclass(frozen=True)
class Exchange:
    """A user text and its answer, with what the answer was given under.

    Args:
        user: the user text.
        answer: the answer as the history has it: its tool calls are those of the message.
        text: the decoded answer.
        ids: token ids of the answer, the end token included if there is one.
        finish: `stop` for the end token, `length` for a cut answer, `interrupted` for an answer that `Chat.interrupt` ended.
        prompt_ids: token ids of the prefix.
        system: system text, or an empty text.
        condition: condition tags.
        adapter: name of the model.
        decoding: sampling settings; its `max_new_tokens` is at most the room that the prompt left.
    """

    user: str
    answer: Message
    text: str
    ids: list[int]
    finish: End
    prompt_ids: list[int]
    system: str
    condition: str
    adapter: str
    decoding: Decoding

    def to_dict(self) -> dict[str, Any]:
        """Return the answer for programs."""
        return {
            "text": self.text,
            "token_ids": self.ids,
            "finish_reason": self.finish,
            "prompt_tokens": len(self.prompt_ids),
            "condition": self.condition,
            "adapter": self.adapter,
        }


class Chat:
    """A conversation of several turns.

    Args:
        models: the base with its adapters, in eval mode.
        tokenizer: the model's tokenizer.
        system: system text, or an empty text.
        condition: condition tags, joined by commas.
        settings: settings of the answers.

    Attributes:
        exchanges: the history.
        latest: the exchange of the last `ask` or `retry`; None before the first one, and while one runs or after it has failed.
        adapter: name of the model that answers; at first the first adapter, or the base without adapters.
        context: largest number of tokens of a prompt and its answer.
        is_saved: whether nothing would be lost now.
    """

    def __init__(
        self,
        models: ServedModels,
        tokenizer: PreTrainedTokenizerFast,
        *,
        system: str = "",
        condition: str = DEFAULT_CONDITION,
        settings: ChatSettings | None = None,
    ):
        self.models, self.renderer = models, get_renderer(tokenizer)
        self.system, self.condition, self.settings = system, condition, settings or ChatSettings()
        self.adapter = models.names[min(1, len(models.names) - 1)]
        self.exchanges: list[Exchange] = []
        self.latest: Exchange | None = None
        self.context: int = models.model.config.max_position_embeddings
        self.is_saved = True
        self.draws = 0  # answers that were sampled with this seed
        self._names = {id: str(token) for id, token in tokenizer.added_tokens_decoder.items()}
        self._is_interrupted = False

    # Answers ----------------------------------------------------------------------------------------------------------

    def ask(self, text: str) -> Iterator[str]:
        """Answer a user text: yields pieces of the answer, and adds the exchange to the history at the end.

        Raises:
            UserError: if the conversation does not fit into the context. The history is unchanged then.
        """
        yield from self._answer(text, len(self.exchanges))

    def retry(self) -> Iterator[str]:
        """Answer the last user text anew, in place of the last answer, as `ask` does."""
        yield from self._answer(self._last().user, len(self.exchanges) - 1)

    def answers_alike(self) -> bool:
        """Return whether `retry` would give the same answer: greedy decoding of the same prompt by the same model."""
        last, turn = self._last(), len(self.exchanges) - 1
        prompt, decoding = self._prepare(last.user, turn)
        same = (prompt, decoding, self.adapter) == (last.prompt_ids, last.decoding, last.adapter)
        return decoding.greedy and same and last.finish != INTERRUPTED

    def interrupt(self) -> None:
        """End the running answer after its current token. What is there by then is kept. May be called by a signal handler."""
        self._is_interrupted = True

    def undo(self) -> Exchange:
        """Remove the last exchange from the history, and return it."""
        last = self._last()
        del self.exchanges[-1]
        self.is_saved = not self.exchanges
        return last

    def clear(self) -> None:
        """Begin a new conversation with the same system text and settings."""
        self.exchanges, self.latest, self.is_saved = [], None, True

    def _answer(self, text: str, turn: int) -> Iterator[str]:
        """Answer a user text with the history before a turn, which the new exchange replaces if it exists."""
        self.latest, self._is_interrupted = None, False
        prompt, decoding = self._prepare(text, turn)
        seed = 0
        if not decoding.greedy:
            self.draws += 1
            seed = draw_seeds(self.draws, self.settings.seed)[-1]
        under = self.system, self.condition, self.adapter
        stream, ids = TextStream(self.renderer), list[int]()
        finish: End | None = None
        handle = self.models.submit(self.adapter, Request(prompt, (seed,), decoding))
        try:
            while finish is None:
                (event,) = self._step()
                ids.append(event.token)
                yield stream.push(event.token)
                finish = event.finish or (INTERRUPTED if self._is_interrupted else None)
            yield stream.finish()
        finally:
            self.models.cancel(handle)
        answer = self.renderer.decode_response(ids)
        self.latest = Exchange(text, _read_answer(answer), answer, ids, finish, prompt, *under, decoding)
        self.exchanges[turn:] = [self.latest]
        self.is_saved = False

    def _step(self) -> list[Event]:
        """Make one token. Raises RunError if the engine fails, after which the conversation is as it was before the text."""
        try:
            return self.models.step()
        except StepFault as fault:
            reason = " ".join(str(fault.__cause__).split())[:160] or type(fault.__cause__).__name__
            raise RunError(
                f"the engine failed ({reason}), and the text is not in the conversation. Send it again; if memory is short, take turns "
                "back with /undo first."
            ) from fault

    def _prepare(self, text: str, turn: int) -> tuple[list[int], Decoding]:
        """Render the prompt of a turn, and limit the answer to the room that it leaves."""
        messages = [*self._history(turn, self.system), Message("user", text)]
        prompt = self.renderer.prompt(messages, self.condition)
        room = self.context - len(prompt)
        if room < 1:
            raise UserError(
                f"the conversation has {len(prompt):,} tokens with this text, and the model takes at most {self.context:,}, answer "
                "included. The text was not sent: take turns back with /undo, or begin anew with /clear."
            )
        limit, settings = min(self.settings.max_new_tokens, room), self.settings
        if settings.temperature == 0:
            return prompt, Decoding(limit, greedy=True)
        return prompt, Decoding(limit, settings.temperature, top_p=settings.top_p)

    def _history(self, turn: int, system: str) -> list[Message]:
        """Return the messages before a turn."""
        messages = [Message("system", system)] if system else []
        for exchange in self.exchanges[:turn]:
            messages += [Message("user", exchange.user), exchange.answer]
        return messages

    def _last(self) -> Exchange:
        if not self.exchanges:
            raise UserError("there is no answer yet. Write a text first.")
        return self.exchanges[-1]

    # What the model reads -----------------------------------------------------------------------------------------------

    def describe_prompt(self) -> list[str]:
        """Describe the last prompt and its answer, a line for each message: control tokens stand bare, texts in quotes.

        Without an answer yet, only the room is described.
        """
        lines = []
        if self.exchanges:
            last, turn = self.exchanges[-1], len(self.exchanges) - 1
            parts = self.renderer.prompt_parts(
                [*self._history(turn, last.system), Message("user", last.user)], last.condition
            )
            lines = [f"prefix, {len(last.prompt_ids):,} tokens that all see each other:", *self._lines_of(parts)]
            lines.append(f"answer, {len(last.ids):,} tokens that see what is before them:")
            lines += self._lines_of(self._parts_of(last.ids))
        read = self._history(len(self.exchanges), self.system)
        used = len(self.renderer.prompt(read, self.condition)) if read else 0
        return [
            *lines,
            f"The next prompt has {used:,} tokens before your text; {max(0, self.context - used):,} of {self.context:,} are left.",
        ]

    def _parts_of(self, ids: Sequence[int]) -> Parts:
        """Return tokens of an answer as control ids and the texts between them."""
        parts: Parts = []
        for is_control, run in groupby(ids, self._names.__contains__):
            tokens = [*run]
            parts += tokens if is_control else [self.renderer.encoder.decode(tokens, skip_special_tokens=False)]
        return parts

    def _lines_of(self, parts: Parts) -> list[str]:
        layout = self.renderer.layout
        lines: list[list[str]] = [[]]
        for part in parts:
            if part in (layout.message_start, layout.answer_start, layout.prefix_end) and lines[-1]:
                lines.append([])
            lines[-1].append(json.dumps(part, ensure_ascii=False) if isinstance(part, str) else self._names[part])
        return ["  " + " ".join(line) for line in lines]

    # Rows -----------------------------------------------------------------------------------------------------------------

    def to_rows(self) -> tuple[list[dict[str, Any]], int]:
        """Return the conversation as rows of the schema `messages`, one for each condition and system text in it.

        Each answer is trained on in the row with its own condition and system text, and has weight 0 in the others.

        Returns:
            The rows, and the number of answers that none of them trains on: those that are cut, interrupted or blank, or
            have a control token inside.

        Raises:
            UserError: without an answer to train on, or if a row would not be read back as it is.
        """
        examples = [
            Example(
                (*self._history(turn, one.system), Message("user", one.user)),
                one.answer,
                one.condition,
                json.dumps([one.condition, one.system]),
            )
            for turn, one in enumerate(self.exchanges)
            if self._is_complete(one)
        ]
        if not examples:
            raise UserError("there is no complete answer to save. Write a text first, or /retry the last one.")
        rows = []
        for row in to_rows(examples):
            condition, _ = json.loads(row.pop("source"))
            rows.append({**row, "condition": condition})
        read = [example for row in rows for example in _read_back(row)]
        if sorted(map(_compared, read)) != sorted(map(_compared, examples)):
            raise UserError("a text of this conversation would be read back in another form. Take it back with /undo.")
        return rows, len(self.exchanges) - len(examples)

    def _is_complete(self, exchange: Exchange) -> bool:
        calls = {TOOL_CALL, TOOL_CALL_END} if exchange.answer.tool_calls else set()
        control = [id for id in exchange.ids[:-1] if id in self._names and self._names[id] not in calls]
        return exchange.finish == "stop" and bool(exchange.text.strip()) and not control


def _read_answer(text: str) -> Message:
    """Make a message from a decoded answer; tool calls that cannot be read stay text."""
    try:
        return text_answer(text, "answer")
    except RowError:
        return Message("assistant", text)


def _read_back(row: dict[str, Any]) -> list[Example]:
    try:
        return from_messages(row, "", "")  # a row cannot state that it has no condition
    except (RowError, UserError) as error:
        raise UserError(
            f"the conversation would not be read as training data ({error}). Take that turn back with /undo."
        ) from None


def _compared(example: Example) -> str:
    return repr((example.messages, example.answer, example.condition))
