"""Text of an answer while its tokens arrive: whole characters only, and nothing at or after a stop text."""

from __future__ import annotations

from collections.abc import Sequence

from hrm_align.rendering import Renderer

_INCOMPLETE = "\ufffd"  # what the decoder writes for bytes that are no whole character yet


class TextStream:
    """Decoder of one answer, token by token. The returned pieces together are the text of `Renderer.decode_response`.

    A piece is held back while its last character is incomplete, or while it may be the beginning of a stop text.

    Args:
        renderer: renderer of the model's tokenizer.
        stop: texts that end the answer; the answer does not contain them.
    """

    def __init__(self, renderer: Renderer, stop: Sequence[str] = ()):
        self._renderer, self._stop = renderer, [text for text in stop if text]
        self._ids: list[int] = []  # tokens of which no text has been made yet
        self._text = ""  # text that may be the beginning of a stop text
        self._ended = False
        self.stopped = False  # whether a stop text has ended the answer

    def push(self, token: int) -> str:
        """Return the text that has become certain with this token; an empty text after the end."""
        if self._ended or token in (self._renderer.response_end_id, self._renderer.pad_id):
            self._ended = True
            return ""
        self._ids.append(token)
        text = self._renderer.encoder.decode(self._ids, skip_special_tokens=False)
        if text.endswith(_INCOMPLETE):
            return ""
        self._ids = []
        return self._release(text)

    def finish(self) -> str:
        """Return the text that is still held back, once no more tokens come."""
        if self.stopped:
            return ""
        self._ended = True
        last = self._renderer.encoder.decode(self._ids, skip_special_tokens=False) if self._ids else ""
        self._ids = []
        text = self._release(last)
        held, self._text = self._text, ""
        return text + held

    def _release(self, text: str) -> str:
        """Add text, and return what cannot become part of a stop text."""
        self._text += text
        places = [place for stop in self._stop if (place := self._text.find(stop)) >= 0]
        if places:
            certain, self._text = self._text[: min(places)], ""
            self.stopped = self._ended = True
            return certain
        held = max((_overlap(self._text, stop) for stop in self._stop), default=0)
        certain = self._text[: len(self._text) - held]
        self._text = self._text[len(certain) :]
        return certain


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that is a beginning of `stop`, shorter than the whole of it."""
    longest = min(len(text), len(stop) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(stop[:length])), 0)
