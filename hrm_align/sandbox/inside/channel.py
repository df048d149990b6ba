"""Calls between the process of a program and the process of its tests: lines of JSON over two pipes.

    {"id": 1, "do": "call", "arguments": [...], "named": {}}  ->  {"id": 1, "value": 3} or {"id": 1, "raises": [...]}

Each side can call the other while it answers a call, so that tests can pass functions to the program. A reply also has
the `"arguments"` if the call changed them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .values import MUTABLE, encode

PROGRAM_ENDED = "the program ended before the end of its tests"
_PART = 1 << 16  # bytes of one read


class ChannelLost(BaseException):
    """The other process ended, or wrote something that is not a valid message."""


class Channel:
    """Messages to and from the other process.

    Args:
        source: descriptor to read from.
        sink: descriptor to write to.
        max_bytes: largest message that is read.
    """

    def __init__(self, source: int, sink: int, max_bytes: int):
        self._source, self._sink, self._max_bytes = source, sink, max_bytes
        self._buffer = bytearray()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write a message."""
        view = memoryview(json.dumps(message).encode("ascii") + b"\n")
        try:
            while view:
                view = view[os.write(self._sink, view) :]
        except OSError:
            raise ChannelLost(PROGRAM_ENDED) from None

    def receive(self) -> dict[str, Any]:
        """Wait for a message.

        Raises:
            ChannelLost: if the other process closed its end, or wrote something else.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > self._max_bytes:
                raise ChannelLost("the program returns a value that exceeds the size limit")
            part = os.read(self._source, _PART)
            if not part:
                raise ChannelLost(PROGRAM_ENDED)
            self._buffer += part
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise ChannelLost("the program wrote something else than a value")
        return message


class Peer:
    """One side of a channel: call the other side, and answer its calls.

    Instances of `shared` classes, which both sides define, cross the channel by their attributes.

    Args:
        channel: the channel.
        namespace: global names, among them the shared classes.
        shared: names of the shared classes.
        step: 1 or -1: sign of the numbers that this side gives to instances.
    """

    def __init__(self, channel: Channel, namespace: Mapping[str, Any], shared: Sequence[str], step: int):
        self._channel, self._namespace, self._shared, self._step = channel, namespace, shared, step
        self._calls = 0
        self._objects: dict[int, Any] = {}  # number -> instance of a shared class
        self._numbers: dict[int, int] = {}  # identity of such an instance -> number
        self._written: set[int] = set()  # numbers of the instances in the message that is being built

    def call(self, do: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Call the other side.

        Returns:
            The encoded arguments, and the reply.

        Raises:
            ChannelLost: if the reply is not valid.
        """
        self._calls += 1
        number = self._calls
        encoded = self.encode_all([*arguments, dict(named)])
        self._channel.send({"id": number, "do": do, "arguments": encoded[:-1], "named": encoded[-1]})
        while True:
            message = self._channel.receive()
            if "do" in message:
                self.answer(message)
            elif message.get("id") == number and ("value" in message) ^ ("raises" in message):
                return encoded, message
            else:
                raise ChannelLost("the program wrote an answer to another call")

    def answer(self, message: dict[str, Any]) -> None:
        """Answer a call of the other side."""
        arguments = [*map(self.decode, message["arguments"]), self.decode(message["named"])]
        reply: dict[str, Any] = {"id": message["id"]}
        before = self._encode_mutable(arguments)
        try:
            value = self.perform(message["do"], arguments[:-1], arguments[-1])
            reply["value"] = self.encode_all([value])[0]
            after = self._encode_mutable(arguments)
            if after != before:
                reply["arguments"] = after
        except ChannelLost:
            raise
        except BaseException as error:
            reply = {"id": message["id"], "raises": self.describe(error)}
        self._channel.send(reply)

    def _encode_mutable(self, arguments: list[Any]) -> list[Any]:
        """Encode the arguments that a call can change; None for the others."""
        changeable = [isinstance(item, (*MUTABLE, tuple)) or id(item) in self._numbers for item in arguments]
        encoded = iter(self.encode_all([item for item, change in zip(arguments, changeable, strict=True) if change]))
        return [next(encoded) if change else None for change in changeable]

    def perform(self, do: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Perform a call of the other side, and return its value."""
        raise NotImplementedError

    def describe(self, error: BaseException) -> list[str]:
        """Return name, built-in base class and text of an exception."""
        try:
            text = str(error)[:200]
        except BaseException:  # raised by the __str__ of the program's own exception class
            text = ""
        return [*self.describe_class(type(error)), text]

    def describe_class(self, kind: type) -> list[str]:
        """Return the name of an exception class, and of its first built-in base class."""
        return [kind.__name__, next(base.__name__ for base in kind.__mro__ if base.__module__ == "builtins")]

    # values

    def encode_all(self, values: Sequence[Any]) -> list[Any]:
        """Encode values as parts of one message."""
        self._written = set()
        return [encode(value, self._encode_object) for value in values]

    def _encode_object(self, value: Any, level: int) -> Any:
        name = type(value).__name__
        if name not in self._shared or self._namespace.get(name) is not type(value) or not hasattr(value, "__dict__"):
            return self.encode_other(value)
        number = self._numbers.get(id(value))
        if number is None:
            number = self._step * (len(self._objects) + 1)
            self._objects[number], self._numbers[id(value)] = value, number
        if number in self._written:
            return {"object": [number]}
        self._written.add(number)
        state = {key: encode(item, self._encode_object, level + 1) for key, item in vars(value).items()}
        return {"object": [number, name, state]}

    def decode_object(self, content: list[Any]) -> Any:
        """Decode an instance of a shared class: a new one, or an instance of this side, which gets the new attributes."""
        number = content[0]
        if len(content) == 1:
            return self._objects[number]
        _, name, state = content
        if number not in self._objects:
            if name not in self._shared:
                raise ValueError(f"{name} is not a shared class")
            value = object.__new__(self._namespace[name])
            self._objects[number], self._numbers[id(value)] = value, number
        value = self._objects[number]
        attributes = {key: self.decode(item) for key, item in state.items()}
        vars(value).clear()
        vars(value).update(attributes)
        return value

    def encode_other(self, value: Any) -> Any:
        """Encode a value that is neither built in nor shared."""
        raise NotImplementedError

    def decode(self, value: Any) -> Any:
        """Decode a value of the other side."""
        raise NotImplementedError
