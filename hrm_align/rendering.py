"""One renderer: every token id that a prompt or a document consists of comes from this file.

The grammar (`<|im_end|>` stands exactly once: it is where the model begins to write):

    prefix   := <|im_start|> condition* text ( <|im_start|> text | <|box_start|> text <|box_end|> )* <|im_end|>
    document := prefix response <|box_end|>

Read messages (system, user, tool) open with `<|im_start|>`; the first of them carries the condition. Answers already
given stand between `<|box_start|>` and `<|box_end|>`. A single turn without a system text is, id for id, the layout
HRM-Text was pretrained on. Text is encoded by a tokenizer that knows no control tokens, so no content can forge one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from hrm_align.errors import UserError

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
BOX_START, BOX_END = "<|box_start|>", "<|box_end|>"
TOOL_CALL, TOOL_CALL_END = "<tool_call>", "</tool_call>"
TOOL_RESPONSE, TOOL_RESPONSE_END = "<tool_response>", "</tool_response>"
PAD = "<|endoftext|>"

# Legacy names: the official pipeline gave its four conditions to these tokens, not to `<|direct|>` and its like.
CONDITION_TOKENS = {
    "direct": "<|object_ref_start|>",
    "cot": "<|object_ref_end|>",
    "noisy": "<|quad_start|>",
    "synth": "<|quad_end|>",
}
DEFAULT_CONDITION = "direct"

ROLES = ("system", "user", "assistant", "tool")


class Layout(NamedTuple):
    """Token ids of the control tokens that mask, samplers and checks know, by role.

    A checkpoint whose vocabulary has other ids carries them in its config as `<role>_token_id`, because reference models
    that a trainer loads by path come without their tokenizer.
    """

    message_start: int  # <|im_start|>
    prefix_end: int  # <|im_end|>
    answer_start: int  # <|box_start|>
    answer_end: int  # <|box_end|>

    @classmethod
    def of(cls, config: Any) -> Layout:
        """The layout of a model's config: what it names, and the published ids for what it does not name."""
        named = (getattr(config, f"{role}_token_id", None) for role in cls._fields)
        return cls(*(default if id is None else id for id, default in zip(named, PUBLISHED, strict=True)))

    def store(self, config: Any) -> None:
        """Name in a model's config the ids that are not the published ones."""
        for role, id, default in zip(self._fields, self, PUBLISHED, strict=True):
            if id != default or hasattr(config, f"{role}_token_id"):
                setattr(config, f"{role}_token_id", id)


PUBLISHED = Layout(message_start=6, prefix_end=7, answer_start=10, answer_end=11)  # of HRM-Text-1B's tokenizer


def parse_condition(condition: str) -> tuple[str, ...]:
    """Split a condition into its tags, in the order given: `"synth,cot"` is `("synth", "cot")`.

    Args:
        condition: one tag, a comma-separated composite, or `""` for none.

    Raises:
        UserError: for an unknown or repeated tag.
    """
    tags = tuple(tag.strip() for tag in condition.split(",")) if condition.strip() else ()
    for tag in tags:
        if tag not in CONDITION_TOKENS:
            raise UserError(
                f"unknown condition {tag!r} in {condition!r}: the tags are {', '.join(CONDITION_TOKENS)}, "
                "alone or joined by commas in the order they should stand (synth,cot)."
            )
    if len(set(tags)) != len(tags):
        raise UserError(f"condition {condition!r} names a tag twice: name each tag once.")
    return tags


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Args:
        role: `system`, `user`, `assistant` or `tool`.
        content: the text, encoded as plain text whatever it contains.
        tool_calls: for an assistant, the calls it makes: mappings with `name` and `arguments`.
    """

    role: str
    content: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, message: Message | Mapping[str, Any]) -> Message:
        """Read a message of the OpenAI/TRL form: `{"role", "content", "tool_calls"?}`."""
        if isinstance(message, Message):
            return message
        role = message.get("role")
        if role not in ROLES:
            raise UserError(f"unknown role {role!r}: use one of {', '.join(ROLES)}.")
        content = message.get("content")
        if content is None and message.get("tool_calls"):
            content = ""
        if not isinstance(content, str):
            raise UserError(f"the content of a {role} message must be text, got {type(content).__name__}.")
        calls = tuple(_tool_call(call) for call in message.get("tool_calls") or ())
        if calls and role != "assistant":
            raise UserError(f"a {role} message has tool_calls: only the assistant calls tools.")
        return cls(role, content, calls)


def _tool_call(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function", call)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise UserError(f"a tool call needs a `name` and `arguments`, got {json.dumps(call, default=str)[:80]}.")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):  # OpenAI sends the arguments as a JSON text
        try:
            arguments = json.loads(arguments)
        except ValueError as error:
            raise UserError(f"the arguments of tool call {function['name']!r} are not JSON: {error}.") from None
    return {"name": function["name"], "arguments": arguments}


@dataclass(frozen=True, slots=True)
class Document:
    """A rendered training document.

    Args:
        input_ids: prefix, response and `<|box_end|>`.
        prefix_length: how many of the ids the model only reads, `<|im_end|>` included.
    """

    input_ids: list[int]
    prefix_length: int


class Renderer:
    """Messages to token ids, for one tokenizer. Immutable after construction, so safe to share between threads.

    Args:
        tokenizer: a fast tokenizer that holds HRM-Text's control tokens.

    Raises:
        UserError: if a control token is missing, or if plain text could still produce one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        vocabulary = tokenizer.get_vocab()
        needed = [IM_START, IM_END, BOX_START, BOX_END, *CONDITION_TOKENS.values()]
        missing = [name for name in needed if name not in vocabulary]
        if missing:
            raise UserError(_foreign(tokenizer, missing))
        self._vocabulary = vocabulary
        self._plain = _plain_tokenizer(tokenizer)
        self.pad_id: int = vocabulary.get(PAD, tokenizer.pad_token_id)
        self.layout = Layout(*(vocabulary[name] for name in (IM_START, IM_END, BOX_START, BOX_END)))
        self.prefix_end_id: int = self.layout.prefix_end
        self.response_end_id: int = self.layout.answer_end

    def plain(self, text: str) -> list[int]:
        """Encode text as text: nothing in it becomes a control token."""
        return self._plain.encode(text, add_special_tokens=False).ids

    def prompt(self, messages: str | Iterable[Message | Mapping[str, Any]], condition: str) -> list[int]:
        """The prefix that the model reads before it writes; see `render_prompt`."""
        turns = _as_messages(messages)
        if not any(turn.content.strip() for turn in turns if turn.role != "assistant"):
            raise UserError("a prompt needs at least one message to read (system, user or tool) that is not empty.")
        ids: list[int] = []
        opening = [self._id(CONDITION_TOKENS[tag]) for tag in parse_condition(condition)]
        for turn in turns:
            if turn.role == "assistant":
                ids += [self._id(BOX_START), *self._answer(turn), self.response_end_id]
                continue
            ids += [self._id(IM_START), *opening, *self._read(turn)]
            opening = []
        if turns[0].role == "assistant":
            raise UserError("a conversation must open with a message that is read: put a system or user message first.")
        return [*ids, self.prefix_end_id]

    def response(self, answer: str | Message | Mapping[str, Any]) -> list[int]:
        """The ids that the model writes: the answer and `<|box_end|>`."""
        message = Message("assistant", answer) if isinstance(answer, str) else Message.of(answer)
        return [*self._answer(message), self.response_end_id]

    def document(
        self,
        messages: str | Iterable[Message | Mapping[str, Any]],
        answer: str | Message | Mapping[str, Any],
        condition: str = DEFAULT_CONDITION,
    ) -> Document:
        """A prompt with the answer that belongs to it."""
        prefix = self.prompt(messages, condition)
        return Document(prefix + self.response(answer), len(prefix))

    def decode_response(self, ids: Sequence[int]) -> str:
        """The text of a generated answer: everything before the end token, tool tags kept, padding dropped."""
        ids = list(ids)
        for stop in (self.response_end_id, self.pad_id):
            ids = ids[: ids.index(stop)] if stop in ids else ids
        return self._plain.decode(ids, skip_special_tokens=False)

    def _read(self, message: Message) -> list[int]:
        if message.role != "tool":
            return self.plain(message.content)
        return [self._id(TOOL_RESPONSE), *self.plain(message.content), self._id(TOOL_RESPONSE_END)]

    def _answer(self, message: Message) -> list[int]:
        ids = self.plain(message.content)
        for call in message.tool_calls:
            ids += [self._id(TOOL_CALL), *self.plain(tool_call_text(call)), self._id(TOOL_CALL_END)]
        return ids

    def _id(self, name: str) -> int:
        try:
            return self._vocabulary[name]
        except KeyError:
            raise UserError(f"the tokenizer has no {name} token, which tool messages need.") from None


def tool_call_text(call: Mapping[str, Any]) -> str:
    """The text between the tool-call tags, as Jinja's `tojson` writes it, so that the chat template agrees."""
    return json.dumps({"name": call["name"], "arguments": call["arguments"]}, ensure_ascii=False)


def _as_messages(messages: str | Iterable[Message | Mapping[str, Any]]) -> list[Message]:
    if isinstance(messages, str):
        return [Message("user", messages)]
    return [Message.of(message) for message in messages]


def _foreign(tokenizer: PreTrainedTokenizerFast, missing: Sequence[str]) -> str:
    """What to say of a tokenizer without HRM-Text's control tokens: most of them missing means another layout."""
    name = tokenizer.name_or_path or "this model"
    if IM_START not in missing and BOX_END not in missing:
        return (
            f"the tokenizer of {name} lacks {', '.join(missing)}: it is no HRM-Text tokenizer. Use the one that was published "
            "with the checkpoint."
        )
    own = [str(token) for token in tokenizer.added_tokens_decoder.values() if "turn" in str(token)]
    marks = f" (it has {', '.join(own[:3])})" if own else ""
    return (
        f"{name} has another prompt layout than HRM-Text's{marks}: its tokenizer lacks {', '.join(missing[:3])}, which mark "
        "where the prompt ends and the answer begins. hrm_align trains checkpoints in the published layout only."
    )


def _plain_tokenizer(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """A copy of the tokenizer for which control tokens are ordinary text.

    A copy, because the flag is shared state: set on the user's tokenizer it would persist into the saved files and
    race between threads. Tokens that are added but not `special` would escape the flag, so all of them are made special.
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
            f"text can forge the control tokens {', '.join(control[i] for i in forged)} in this tokenizer: "
            "training on it is unsafe. Use the tokenizer.json that was published with HRM-Text."
        )
    return plain


_RENDERERS: WeakKeyDictionary[PreTrainedTokenizerFast, Renderer] = WeakKeyDictionary()


def renderer_of(tokenizer: PreTrainedTokenizerFast) -> Renderer:
    """The renderer of a tokenizer, made once."""
    if tokenizer not in _RENDERERS:
        _RENDERERS[tokenizer] = Renderer(tokenizer)
    return _RENDERERS[tokenizer]


def render_prompt(
    tokenizer: PreTrainedTokenizerFast,
    prompt: str | Iterable[Message | Mapping[str, Any]],
    condition: str = DEFAULT_CONDITION,
) -> list[int]:
    """Token ids of a prompt, ready to be continued by the model.

    Args:
        tokenizer: HRM-Text's fast tokenizer.
        prompt: one user text, or messages `{"role", "content"}` of which the last need not be the user's.
        condition: condition tag or composite (`"direct"`, `"synth,cot"`), or `""` for none.

    Returns:
        The prefix, from `<|im_start|>` to `<|im_end|>`.

    Raises:
        UserError: for an unknown condition, role, or an empty prompt.
    """
    return renderer_of(tokenizer).prompt(prompt, condition)


def render_conversation(
    tokenizer: PreTrainedTokenizerFast,
    messages: Iterable[Message | Mapping[str, Any]],
    condition: str = DEFAULT_CONDITION,
) -> list[Document]:
    """One training document per assistant turn, the whole history inside its prefix.

    One row with alternating masks would let an early answer attend to later questions; this is what inference sees.

    Args:
        tokenizer: HRM-Text's fast tokenizer.
        messages: the conversation, assistant turns included.
        condition: condition tag or composite for every document.

    Returns:
        As many documents as there are assistant messages, in order.

    Raises:
        UserError: for an unknown condition or role, or a conversation that opens with an answer.
    """
    turns = _as_messages(messages)
    render = renderer_of(tokenizer)
    return [
        render.document(turns[:index], turn, condition) for index, turn in enumerate(turns) if turn.role == "assistant"
    ]


def chat_template(tokenizer: PreTrainedTokenizerFast) -> str:
    """The Jinja chat template that gives the same ids as `render_prompt` and `render_conversation` for clean text.

    It takes `condition="synth,cot"` as a template variable and raises on content that holds a control token.

    Args:
        tokenizer: whose control tokens the template looks out for.
    """
    template = files("hrm_align").joinpath("chat_template.jinja").read_text(encoding="utf-8")
    control = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    return template.replace("CONTROL_TOKENS", json.dumps(control))
