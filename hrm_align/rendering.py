"""Prompt rendering: the only code that makes the token ids of prompts and documents, for training, sampling and evaluation.

The grammar (`<|im_end|>` occurs exactly once, at the end of the prefix, where generation begins):

    prefix   := <|im_start|> condition* text ( <|im_start|> text | <|box_start|> text <|box_end|> )* <|im_end|>
    document := prefix response <|box_end|>

System, user and tool messages open with `<|im_start|>`; the first of them has the condition tokens. Earlier answers are
enclosed in `<|box_start|>` and `<|box_end|>`. A single turn without a system text gives exactly the token ids of
HRM-Text's pretraining layout. Text is encoded by a tokenizer without control tokens, so that no content can produce a
control token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from hrm_align.errors import UserError
from hrm_align.messages import Message, is_trained

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
BOX_START, BOX_END = "<|box_start|>", "<|box_end|>"
TOOL_CALL, TOOL_CALL_END = "<tool_call>", "</tool_call>"
TOOL_RESPONSE, TOOL_RESPONSE_END = "<tool_response>", "</tool_response>"
PAD = "<|endoftext|>"

# Legacy names: the official pipeline uses these tokens for its four conditions, instead of tokens such as `<|direct|>`.
CONDITION_TOKENS = {
    "direct": "<|object_ref_start|>",
    "cot": "<|object_ref_end|>",
    "noisy": "<|quad_start|>",
    "synth": "<|quad_end|>",
}
DEFAULT_CONDITION = "direct"


class Layout(NamedTuple):
    """Token ids of the control tokens that the prefix mask, samplers and checks use, by role.

    A checkpoint whose vocabulary has other ids stores them in its config as `<role>_token_id`, because trainers load
    reference models by path without their tokenizer.
    """

    message_start: int  # <|im_start|>
    prefix_end: int  # <|im_end|>
    answer_start: int  # <|box_start|>
    answer_end: int  # <|box_end|>

    @classmethod
    def of(cls, config: Any) -> Layout:
        """Return the layout of a model's config: its `<role>_token_id`s, and the published ids for roles without one."""
        configured = (getattr(config, f"{role}_token_id", None) for role in cls._fields)
        return cls(*(default if id is None else id for id, default in zip(configured, PUBLISHED, strict=True)))

    def store(self, config: Any) -> None:
        """Write the ids that differ from the published ones into a model's config."""
        for role, id, default in zip(self._fields, self, PUBLISHED, strict=True):
            if id != default or hasattr(config, f"{role}_token_id"):
                setattr(config, f"{role}_token_id", id)


PUBLISHED = Layout(message_start=6, prefix_end=7, answer_start=10, answer_end=11)  # of HRM-Text-1B's tokenizer


def parse_condition(condition: str) -> tuple[str, ...]:
    """Split a condition into its tags, in the order given: `"synth,cot"` is `("synth", "cot")`.

    Args:
        condition: one tag, a comma-separated composite, or `""` for no condition.

    Raises:
        UserError: for an unknown or repeated tag.
    """
    tags = tuple(tag.strip() for tag in condition.split(",")) if condition.strip() else ()
    for tag in tags:
        if tag not in CONDITION_TOKENS:
            raise UserError(
                f"unknown condition {tag!r} in {condition!r}: use {', '.join(CONDITION_TOKENS)}, or several of them in order, "
                "joined by commas (synth,cot)."
            )
    if len(set(tags)) != len(tags):
        raise UserError(f"condition {condition!r} has a repeated tag: use each tag once.")
    return tags


Parts = list[int | str]  # a rendered prompt or answer: control ids, and the texts between them


@dataclass(frozen=True, slots=True)
class Document:
    """A rendered training document.

    Args:
        input_ids: token ids of prefix, response and `<|box_end|>`.
        prefix_length: number of token ids in the prefix, `<|im_end|>` included.
    """

    input_ids: list[int]
    prefix_length: int


class Renderer:
    """Renderer of messages to token ids, for one tokenizer. Immutable after construction, so safe to share between threads.

    Args:
        tokenizer: fast tokenizer with HRM-Text's control tokens.

    Raises:
        UserError: if a control token is missing, or if plain text could produce a control token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        vocabulary = tokenizer.get_vocab()
        required = [IM_START, IM_END, BOX_START, BOX_END, *CONDITION_TOKENS.values()]
        missing = [name for name in required if name not in vocabulary]
        if missing:
            raise UserError(_describe_missing_tokens(tokenizer, missing))
        self._vocabulary = vocabulary
        self.encoder = _plain_tokenizer(tokenizer)
        self.pad_id: int = vocabulary.get(PAD, tokenizer.pad_token_id)
        self.layout = Layout(*(vocabulary[name] for name in (IM_START, IM_END, BOX_START, BOX_END)))
        self.prefix_end_id: int = self.layout.prefix_end
        self.response_end_id: int = self.layout.answer_end

    def plain(self, text: str) -> list[int]:
        """Encode text without ever producing a control token."""
        return self.encoder.encode(text, add_special_tokens=False).ids

    def prompt(self, messages: str | Iterable[Message | Mapping[str, Any]], condition: str) -> list[int]:
        """Render the prefix, from `<|im_start|>` to `<|im_end|>`. Arguments and errors are those of `render_prompt`."""
        return self._ids(self.prompt_parts(messages, condition))

    def prompt_parts(self, messages: str | Iterable[Message | Mapping[str, Any]], condition: str) -> Parts:
        """Return the prefix as control ids and texts, which `plain` encodes one by one. Arguments are those of `prompt`."""
        turns = _as_messages(messages)
        if not any(turn.content.strip() for turn in turns if turn.role != "assistant"):
            raise UserError("empty prompt. Add a system, user or tool message that is not empty.")
        parts: Parts = []
        opening = [self._id(CONDITION_TOKENS[tag]) for tag in parse_condition(condition)]
        for turn in turns:
            if turn.role == "assistant":
                parts += [self.layout.answer_start, *self.response_parts(turn)]
                continue
            tags = (self._id(TOOL_RESPONSE), self._id(TOOL_RESPONSE_END)) if turn.role == "tool" else None
            parts += [
                self.layout.message_start,
                *opening,
                *((tags[0], turn.content, tags[1]) if tags else (turn.content,)),
            ]
            opening = []
        if turns[0].role == "assistant":
            raise UserError("the conversation opens with an assistant message. Put a system or user message first.")
        return [*parts, self.prefix_end_id]

    def response(self, answer: str | Message | Mapping[str, Any]) -> list[int]:
        """Render an answer and `<|box_end|>`: the token ids that the model generates."""
        message = Message("assistant", answer) if isinstance(answer, str) else answer
        return self._ids(self.response_parts(message))

    def response_parts(self, answer: Message | Mapping[str, Any]) -> Parts:
        """Return an answer and `<|box_end|>` as control ids and texts, which `encoder` encodes one by one."""
        message = answer if isinstance(answer, Message) else Message.of(answer)
        parts: Parts = [message.content]
        for call in message.tool_calls:
            parts += [self._id(TOOL_CALL), tool_call_text(call), self._id(TOOL_CALL_END)]
        return [*parts, self.response_end_id]

    def document(
        self,
        messages: str | Iterable[Message | Mapping[str, Any]],
        answer: str | Message | Mapping[str, Any],
        condition: str = DEFAULT_CONDITION,
    ) -> Document:
        """Render a prompt with its answer."""
        prefix = self.prompt(messages, condition)
        return Document(prefix + self.response(answer), len(prefix))

    def decode_response(self, ids: Sequence[int]) -> str:
        """Decode a generated answer: the text before the end token or padding, tool tags included."""
        ids = list(ids)
        for stop in (self.response_end_id, self.pad_id):
            ids = ids[: ids.index(stop)] if stop in ids else ids
        return self.encoder.decode(ids, skip_special_tokens=False)

    def _ids(self, parts: Parts) -> list[int]:
        return [id for part in parts for id in (self.plain(part) if isinstance(part, str) else (part,))]

    def _id(self, name: str) -> int:
        try:
            return self._vocabulary[name]
        except KeyError:
            raise UserError(
                f"the tokenizer has no {name} token, which tool messages need. Use HRM-Text's tokenizer, or leave out the rows "
                "with tools."
            ) from None


def tool_call_text(call: Mapping[str, Any]) -> str:
    """Return the text between the tool-call tags, identical to Jinja's `tojson` in the chat template."""
    return json.dumps({"name": call["name"], "arguments": call["arguments"]}, ensure_ascii=False)


def _as_messages(messages: str | Iterable[Message | Mapping[str, Any]]) -> list[Message]:
    if isinstance(messages, str):
        return [Message("user", messages)]
    return [message if isinstance(message, Message) else Message.of(message) for message in messages]


def _describe_missing_tokens(tokenizer: PreTrainedTokenizerFast, missing: Sequence[str]) -> str:
    """Describe a tokenizer without HRM-Text's control tokens; without both start and end token it has another layout."""
    name = tokenizer.name_or_path or "this model"
    if IM_START not in missing and BOX_END not in missing:
        return (
            f"the tokenizer of {name} lacks {', '.join(missing)}, so it is not HRM-Text's. Use the tokenizer that was "
            "published with the checkpoint."
        )
    own = [str(token) for token in tokenizer.added_tokens_decoder.values() if "turn" in str(token)]
    marks = f" (it has {', '.join(own[:3])})" if own else ""
    return (
        f"{name} has another prompt layout than HRM-Text's{marks}: its tokenizer lacks {', '.join(missing[:3])}, which mark "
        "where the prompt ends and the answer begins. Use a checkpoint in the published layout; hrm_align supports no other."
    )


def _plain_tokenizer(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """Copy the tokenizer so that the copy encodes control tokens as ordinary text.

    The flag `encode_special_tokens` is shared state: set on the user's tokenizer, the flag would be saved with it and
    race between threads. The flag does not apply to added tokens that are not `special`, so the copy makes all of them
    special.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    for token in state["added_tokens"]:
        token["special"] = True
    state["post_processor"] = state["truncation"] = state["padding"] = None
    plain = Tokenizer.from_str(json.dumps(state))
    plain.encode_special_tokens = True
    control = {token["id"]: token["content"] for token in state["added_tokens"]}
    forged = control.keys() & plain.encode(" ".join(control.values()) + "".join(control.values())).ids
    if forged:
        raise UserError(
            f"unsafe tokenizer: plain text can produce its control tokens {', '.join(control[i] for i in forged)}. "
            "Use the tokenizer.json that was published with HRM-Text."
        )
    return plain


_RENDERERS: WeakKeyDictionary[PreTrainedTokenizerFast, Renderer] = WeakKeyDictionary()


def get_renderer(tokenizer: PreTrainedTokenizerFast) -> Renderer:
    """Return the renderer of a tokenizer, from a cache if the tokenizer was used before."""
    if tokenizer not in _RENDERERS:
        _RENDERERS[tokenizer] = Renderer(tokenizer)
    return _RENDERERS[tokenizer]


def render_prompt(
    tokenizer: PreTrainedTokenizerFast,
    prompt: str | Iterable[Message | Mapping[str, Any]],
    condition: str = DEFAULT_CONDITION,
) -> list[int]:
    """Render a prompt to token ids, ready for generation.

    Args:
        tokenizer: HRM-Text's fast tokenizer.
        prompt: one user text, or a list of messages in the forms of `hrm_align.messages`; the last may have any role.
        condition: condition tag or composite (`"direct"`, `"synth,cot"`), or `""` for no condition.

    Returns:
        Token ids of the prefix, from `<|im_start|>` to `<|im_end|>`.

    Raises:
        UserError: for an unknown condition or role, or an empty prompt.
    """
    return get_renderer(tokenizer).prompt(prompt, condition)


def render_conversation(
    tokenizer: PreTrainedTokenizerFast,
    messages: Iterable[Message | Mapping[str, Any]],
    condition: str = DEFAULT_CONDITION,
) -> list[Document]:
    """Render a conversation to one training document per assistant turn, with the history before the turn as its prefix.

    A single row with alternating masks would let an early answer attend to later questions. Separate documents have the
    mask of inference.

    Args:
        tokenizer: HRM-Text's fast tokenizer.
        messages: the conversation, assistant turns included; those with `weight` 0 are history (`hrm_align.messages`).
        condition: condition tag or composite for every document.

    Returns:
        One document per trained assistant message, in order.

    Raises:
        UserError: for an unknown condition or role, or a conversation that opens with an answer.
    """
    given = [*messages]
    turns, trained = _as_messages(given), [isinstance(message, Message) or is_trained(message) for message in given]
    render = get_renderer(tokenizer)
    return [
        render.document(turns[:index], turn, condition)
        for index, turn in enumerate(turns)
        if turn.role == "assistant" and trained[index]
    ]


def chat_template(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return the Jinja chat template, which renders the same ids as `render_prompt` for content without control tokens.

    The template takes the variable `condition` (`"synth,cot"`) and raises on content that contains a control token. It marks the
    last answer and its end token with `{% generation %}`, so that `return_assistant_tokens_mask` gives the trained tokens;
    earlier answers stand in the prefix, and other documents train them.

    Args:
        tokenizer: tokenizer whose control tokens the template rejects in content.
    """
    template = files("hrm_align").joinpath("chat_template.jinja").read_text(encoding="utf-8")
    control = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    return template.replace("CONTROL_TOKENS", json.dumps(control))


# Parts of the template, and what stood in their place in earlier releases: those dropped thoughts (`reasoning_content`), and the first of
# them did not mark the answer of the last document.
_ANSWER = re.compile(r"(?<=\{%- macro answer\(message\) -%\}\n).*?(?=  \{%- for call in)", re.DOTALL)
_WITHOUT_THOUGHTS = """\
  {{- plain(message.content or "") -}}
"""
_MARKED = """\
      {{- "<|im_end|>" -}}
      {%- generation -%}
        {{- answer(message) ~ "<|box_end|>" -}}
      {%- endgeneration -%}
"""
_UNMARKED = """\
      {{- "<|im_end|>" ~ answer(message) ~ "<|box_end|>" -}}
"""


def is_earlier(template: str | None, ours: str) -> bool:
    """Return whether a chat template is that of an earlier release.

    Args:
        template: a saved chat template.
        ours: `chat_template` of the same tokenizer.
    """
    without_thoughts = _ANSWER.sub(lambda _: _WITHOUT_THOUGHTS, ours)
    return template in (without_thoughts, without_thoughts.replace(_MARKED, _UNMARKED))


def current_template(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return the tokenizer's own chat template, or hrm_align's if it has none or that of an earlier release."""
    ours, saved = chat_template(tokenizer), tokenizer.chat_template
    return ours if not saved or is_earlier(saved, ours) else saved
