"""Token ids of many examples at once, as Arrow batches. Text repeats its words, and a word is encoded once where that is exact."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from hrm_align.data.examples import Example
from hrm_align.rendering import Message, Parts, Renderer, tool_call_text

# Patterns of pre-tokenizers that begin a word at each single space between two characters that are not white space:
# no alternative has a space except as its first character, and only runs of white space look ahead.
_PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
WORD_PATTERNS = tuple(_PATTERN.format(number) for number in (r"\p{N}", r"\p{N}{1,3}"))  # of Qwen 2 and Llama 3
_WORD_START = re.compile(r" (?<=\S )(?=\S)")  # white space here includes all that the patterns call white space
_PROBE = "It's 3.14 x 1,000 = 3140!  two\t spaces \n\n line \xa0end ' 's 12345 \"q\" a\u0301 \u0301b 日本 語 don'T \x1f x\x85 y (z) --w"
REMEMBERED = 200_000  # words whose ids are remembered, about 50 MB
REMEMBERED_CHARACTERS = 16_000_000
TOO_LONG = 2**31 - 1  # length of a document whose tokens were not counted
CHUNK_ROWS, CHUNK_CHARACTERS = 512, 4_000_000


class Encoder(Protocol):
    """Encoder of many examples at once into a batch with the columns `length`, `condition`, `source` and others.

    Attributes:
        name: name of its batches in the cache.
        schema: Arrow schema of the batches.
    """

    name: ClassVar[str]
    schema: pa.Schema

    def __init__(self, renderer: Renderer, longest: float = math.inf): ...
    def encode(self, examples: Sequence[Example]) -> pa.RecordBatch:
        """Render examples."""


class DocumentEncoder:
    """Encoder of many examples at once, with the token ids of `Renderer.document`.

    Text repeats its words. Where the tokenizer encodes each word by itself, a word is encoded once, and its ids are
    remembered; this is ten times as fast as encoding all text. Other tokenizers encode the texts in batches.

    Args:
        renderer: renderer of the model's tokenizer.
        longest: characters above which an example has certainly too many tokens. It is not encoded: it has no ids, and the
            length `TOO_LONG`.

    Attributes:
        schema: Arrow schema of the batches; ids are uint16, or uint32 in a vocabulary of more than 65,536 entries.
    """

    name: ClassVar[str] = "tokens"

    def __init__(self, renderer: Renderer, longest: float = math.inf):
        self._renderer, self._longest = renderer, longest
        self._type: Any = np.uint16 if max(renderer.encoder.get_vocab().values()) < 2**16 else np.uint32
        ids = pa.uint16() if self._type is np.uint16 else pa.uint32()
        number, text = pa.int32(), pa.string()
        columns = {
            "input_ids": pa.list_(ids),
            "prefix_length": number,
            "length": number,
            "condition": text,
            "source": text,
        }
        self.schema = pa.schema(list(columns.items()))
        self._first: dict[str, bytes] = {}  # ids of words at the start of a text
        self._words: dict[str, bytes] = {}  # ids of words after a space, which is part of the word
        self._characters = 0
        self._by_word = splits_at_spaces(renderer.encoder)
        self._by_word = self._by_word and self._encode_words([_PROBE]) == self._encode_whole([_PROBE])

    def encode(self, examples: Sequence[Example]) -> pa.RecordBatch:
        """Render examples; one without an answer becomes an empty document (length 0), one above `longest` an empty one, too."""
        render = self._renderer
        prompts: list[Parts] = []
        answers: list[Parts] = []
        too_long: list[int] = []
        for number, example in enumerate(examples):
            blank = not example.answer.content.strip() and not example.answer.tool_calls
            if not blank and count_characters((*example.messages, example.answer)) > self._longest:
                too_long.append(number)
                blank = True
            prompts.append([] if blank else render.prompt_parts(example.messages, example.condition))
            answers.append([] if blank else render.response_parts(example.answer))
        parts = {part for document in (*prompts, *answers) for part in document}
        texts = [part for part in parts if isinstance(part, str)]
        encoded = self._encode_words(texts) if self._by_word else self._encode_whole(texts)
        ids: dict[int | str, bytes] = {part: self._type(part).tobytes() for part in parts if isinstance(part, int)}
        ids.update(zip(texts, encoded, strict=True))
        prefixes = [b"".join([ids[part] for part in parts]) for parts in prompts]
        documents = [
            prefix + b"".join([ids[part] for part in parts]) for prefix, parts in zip(prefixes, answers, strict=True)
        ]
        size = np.dtype(self._type).itemsize
        prefix_lengths, lengths = (
            np.array([len(part) // size for part in list_], np.int32) for list_ in (prefixes, documents)
        )
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
        values = np.frombuffer(b"".join(documents), self._type)
        lengths[too_long] = TOO_LONG
        columns = [
            pa.ListArray.from_arrays(pa.array(offsets), pa.array(values)),
            pa.array(prefix_lengths),
            pa.array(lengths),
            pa.array([example.condition for example in examples], pa.string()),
            pa.array([example.source for example in examples], pa.string()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _encode_whole(self, texts: Sequence[str]) -> list[bytes]:
        encodings = self._renderer.encoder.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, self._type).tobytes() for encoding in encodings]

    def _encode_words(self, texts: Sequence[str]) -> list[bytes]:
        if len(self._first) + len(self._words) > REMEMBERED or self._characters > REMEMBERED_CHARACTERS:
            self._first, self._words, self._characters = {}, {}, 0
        first, words = self._first, self._words
        split = [_WORD_START.split(text) for text in texts]
        new_first = {text[0] for text in split}.difference(first)
        new_words = {word for text in split for word in text[1:]}.difference(words)
        first.update(zip(new_first, self._encode_whole([*new_first]), strict=True))
        words.update(zip(new_words, self._encode_whole([" " + word for word in new_words]), strict=True))
        self._characters += sum(map(len, new_first)) + sum(map(len, new_words))
        return [first[text[0]] + b"".join([words[word] for word in text[1:]]) for text in split]


def splits_at_spaces(encoder: Tokenizer) -> bool:
    """Return whether a tokenizer is known to begin a word at each single space between two other characters.

    The ids of a text are then the ids of its parts, split there. Known are byte-level BPE models with the patterns of GPT-2
    and of `WORD_PATTERNS`.
    """
    state = json.loads(encoder.to_str())
    model, first = state["model"], state["pre_tokenizer"] or {}
    steps = first.get("pretokenizers", []) if first.get("type") == "Sequence" else [first]
    kinds = [(step.get("type"), _is_known(step)) for step in steps]
    plain = not any(model.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"))
    normal = (state["normalizer"] or {}).get("type") in (None, "NFC")
    splits = any(kind == "Split" or step.get("use_regex") for step, (kind, _) in zip(steps, kinds, strict=True))
    return plain and normal and model["type"] == "BPE" and splits and all(known for _, known in kinds)


def _is_known(step: dict[str, Any]) -> bool:
    if step.get("type") == "Split":
        pattern = step["pattern"].get("Regex")
        return pattern in WORD_PATTERNS and step["behavior"] == "Isolated" and not step["invert"]
    return step.get("type") == "Digits" or (step.get("type") == "ByteLevel" and not step["add_prefix_space"])


def chunks(examples: Iterable[Example]) -> Iterator[list[Example]]:
    """Yield the examples in lists of at most `CHUNK_ROWS` examples and about `CHUNK_CHARACTERS` characters."""
    chunk: list[Example] = []
    characters = 0
    for example in examples:
        chunk.append(example)
        characters += len(example.answer.content) + sum([len(message.content) for message in example.messages])
        if len(chunk) == CHUNK_ROWS or characters > CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def count_characters(messages: Iterable[Message]) -> int:
    """Return the number of characters of messages, tool calls included."""
    characters = 0
    for message in messages:
        characters += len(message.content)
        for call in message.tool_calls:
            characters += len(tool_call_text(call))
    return characters
