"""Process of the tests of a program: run the tests, and call the program in its own process (`serving`).

The program cannot read or change this process. Of the program, the tests use *proxies*, which send calls over a channel;
what comes back is a copy that consists of built-in types, an exception, or another proxy. Rules for proxies:

- A result that is neither built in nor an instance of a class that the tests name is opaque: no attributes, and equal
  to nothing.
- Operators with a value of the tests run in the program only for an instance that the tests created by calling a class
  of the program. So no class of the program takes part in `f(x) == 3` or `abs(f(x) - 3) < 1e-6`.
- A name that is built in, a module, or defined by the tests or their set-up code is never looked up in the program,
  unless it is the name of the function under test.
"""

from __future__ import annotations

import builtins
import json
import linecache
import sys
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .channel import Channel, ChannelLost, Peer
from .proxies import Opaque, Remote, RemoteClass, RemoteFunction, RemoteIterator, RemoteObject
from .values import NotRepresentable, decode, update

_TESTS = "<tests>"
_MAX_MESSAGE = 200


def check(payload: bytes, source: int, sink: int, max_bytes: int) -> bytes:
    """Run the tests of a program.

    Args:
        payload: JSON `{"code", "setup", "entry", "names", "modules", "shared"}`, as in `jobs.CheckJob`.
        source: descriptor with the answers of the program.
        sink: descriptor for calls of the program.
        max_bytes: largest answer of the program.

    Returns:
        JSON `{"kind", "message", "values"}`, as in `Outcome`: the value is true if the program passes all tests.
    """
    passed, message = _run(json.loads(payload), Channel(source, sink, max_bytes))
    return json.dumps({"kind": "returned", "message": message[:_MAX_MESSAGE], "values": [passed]}).encode()


def _run(job: dict[str, Any], channel: Channel) -> tuple[bool, str]:
    warnings.simplefilter("ignore")
    names = _Names(job)
    tests = Tests(channel, names, job["shared"], 1, job["classes"])
    names.tests = tests
    linecache.cache[_TESTS] = (len(job["code"]), None, job["code"].splitlines(keepends=True), _TESTS)
    try:
        tests.start()
        exec(compile(job["setup"], "<setup>", "exec", dont_inherit=True), names)
        for name in job["names"]:  # the set-up code may hold another version of the function under test
            names.pop(name, None)
        exec(compile(job["code"], _TESTS, "exec", dont_inherit=True), names)
        _call_test_functions(names, job["entry"])
    except BaseException as error:  # also SystemExit
        return False, tests.lost or _describe_failure(error)
    return not tests.lost, tests.lost


def _call_test_functions(names: _Names, entry: str | None) -> None:
    """Call `check(candidate)` with the function under test, and functions without parameters named `test...`."""
    for name, value in list(names.items()):
        if isinstance(value, types.FunctionType) and value.__code__.co_filename == _TESTS:
            if name == "check" and value.__code__.co_argcount == 1 and entry:
                value(names.tests.find_entry(entry))
            elif name.startswith("test") and not value.__code__.co_argcount:
                value()


def _describe_failure(error: BaseException) -> str:
    line, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _TESTS:
            line = linecache.getline(_TESTS, trace.tb_lineno).strip()
        trace = trace.tb_next
    try:
        text = f": {error}" if str(error) else ""
    except BaseException:
        text = ""
    if isinstance(error, AssertionError):
        return f"the test `{line:.120}` fails{text}"
    return f"{type(error).__name__}{text}" + (f", in the test `{line:.120}`" if line else "")


class _Names(dict[str, Any]):
    """Global names of the tests; the names that nothing else defines are those of the program."""

    tests: Tests

    def __init__(self, job: dict[str, Any]):
        super().__init__(__name__="tests", __builtins__=builtins)
        self._program, self._modules, self._entry = job["names"], job["modules"], job["entry"]

    def __missing__(self, name: str) -> Any:
        if name in self._program:
            return self.tests.find_entry(
                name
            )  # raises NameError, since Python's own `sum` must not pass for the program's
        if hasattr(builtins, name):
            raise KeyError(name)
        if name in self._modules:
            return sys.modules[name]
        if name == "candidate" and self._entry:
            return self.tests.find_entry(self._entry)
        return self.tests.find(name)


class Tests(Peer):
    """The tests' side of the channel, and the proxies."""

    def __init__(
        self, channel: Channel, namespace: Mapping[str, Any], shared: Sequence[str], step: int, classes: Sequence[str]
    ):
        super().__init__(channel, namespace, shared, step)
        self.lost = ""  # why the channel cannot be used any more; the program fails, even if a test catches the error
        self._callbacks: list[Callable[..., Any]] = []
        self._proxies: dict[int, Any] = {}  # index in the program -> proxy
        self._classes = classes  # names that may be classes of the program
        self._named: set[str] = set()  # classes of the program that the tests have named
        self._exceptions: dict[str, type[BaseException]] = {}

    def start(self) -> None:
        """Wait until the program has been executed. Raises the exception of the program, if there is one."""
        sys.modules["solution"] = _Solution("solution")
        _Solution.tests = self
        reply = self._guard(self._channel.receive)
        if "raises" in reply:
            raise self._exception(reply["raises"])

    def find(self, name: str) -> Any:
        """Return a global name of the program.

        Raises:
            KeyError: if the program does not define the name.
        """
        _, reply = self._guard(lambda: self.call("name", [name], {}))
        if "raises" in reply:
            raise KeyError(name)
        if name in self._classes:
            self._named.add(name)
            return self._guard(lambda: self._decode(reply["value"], live=True))
        value = self._guard(lambda: self._decode(reply["value"], live=False))
        # The program may present its function as a class, or as a method of an instance of the tests.
        return RemoteFunction(self, value._index) if isinstance(value, (RemoteClass, RemoteFunction)) else value

    def find_entry(self, path: str) -> Any:
        """Return the function under test: a name, or an expression such as `Solution().solve`."""
        if not path.isidentifier():
            return self.request("path", [path])
        try:
            return self.find(path)
        except KeyError:
            raise NameError(f"the program does not define {path}") from None

    def request(self, do: str, arguments: Sequence[Any], named: Mapping[str, Any] = {}, live: bool = False) -> Any:
        """Perform an operation in the program, and return a copy or a proxy of the result.

        Args:
            do: key of an operation of the program's side.
            arguments: values and proxies.
            named: named arguments.
            live: whether the tests can use an instance of a class that they do not name.

        Raises:
            ChannelLost: if the program ended or its answer is not valid.
            Exception: the exception that the operation raised in the program.
        """
        _, reply = self._guard(lambda: self.call(do, arguments, named))
        if "arguments" in reply:
            self._guard(lambda: self._update([*arguments, named], reply["arguments"]))
        if "raises" in reply:
            error = self._guard(lambda: self._exception(reply["raises"]))
            # Inside `all(map(...))` of the tests, this exception would end the loop as if all results were right.
            raise RuntimeError("StopIteration") if isinstance(error, StopIteration) and do != "next" else error
        return self._guard(lambda: self._decode(reply["value"], live))

    def _guard(self, function: Callable[[], Any]) -> Any:
        """Call a function that handles an answer. After any exception the program has failed its tests."""
        if self.lost:
            raise ChannelLost(self.lost)
        try:
            return function()
        except NotRepresentable:
            raise
        except BaseException as error:
            self.lost = (
                f"{error}" if isinstance(error, ChannelLost) else f"the program's answer is invalid: {error!r:.80}"
            )
            raise ChannelLost(self.lost) from None

    def _update(self, arguments: list[Any], changed: list[Any]) -> None:
        for old, new in zip(arguments, [self._decode(item, False) for item in changed], strict=True):
            if new is not None and new is not old:
                update(old, new)

    def perform(self, do: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        if do != "callback" or type(arguments[0]) is not int:
            raise ChannelLost("the program wrote something else than a value")
        return self._callbacks[arguments[0]](*arguments[1:], **named)

    # values

    def encode_other(self, value: Any) -> Any:
        if isinstance(value, Remote):
            return {"value": value._index}
        name = getattr(value, "__name__", None)
        if isinstance(name, str) and getattr(builtins, name, None) is value:
            return {"builtin": name}
        if not callable(value):
            raise NotRepresentable(
                f"a {type(value).__name__} cannot be passed to the program. Define its class in `setup`"
            )
        if value not in self._callbacks:
            self._callbacks.append(value)
        return {"callback": self._callbacks.index(value)}

    def decode(self, value: Any) -> Any:
        return self._decode(value, live=False)

    def _decode(self, value: Any, live: bool) -> Any:
        return decode(value, lambda name, content: self._decode_other(name, content, live))

    def _decode_other(self, name: str, content: Any, live: bool) -> Any:
        if name == "object":
            return self.decode_object(content)
        if name == "builtin":
            value = getattr(builtins, content)
            return value if isinstance(value, type) else Opaque()
        if name == "exception":
            return self._exception_class(*content)
        index = content if name in ("function", "iterator") else content[0]
        if type(index) is not int:
            raise ValueError("invalid index")
        if index not in self._proxies:
            usable = live or name in ("function", "iterator") or content[1] in self._named
            if not usable and name == "instance":
                return Opaque()
            proxy = (_PROXIES[name] if usable else RemoteFunction)(self, index)
            proxy.__dict__["_live"] = live
            self._proxies[index] = proxy
        return self._proxies[index]

    def _exception_class(self, name: str, base: str) -> type[BaseException]:
        parent = getattr(builtins, base)
        if not issubclass(parent, Exception | SystemExit):
            raise ValueError(f"invalid exception {base}")
        if name == base:
            return parent
        return self._exceptions.setdefault(name, type(str(name), (parent,), {}))

    def _exception(self, raises: list[str]) -> BaseException:
        name, base, text = raises
        kind = self._exception_class(name, base)
        try:
            return kind(text)
        except TypeError:  # UnicodeDecodeError, say
            return Exception(text)


_PROXIES: dict[str, type[Remote]] = {
    "class": RemoteClass,
    "function": RemoteFunction,
    "iterator": RemoteIterator,
    "instance": RemoteObject,
}


class _Solution(types.ModuleType):
    """Module `solution`, from which some data sets import the program."""

    tests: Tests

    def __getattr__(self, name: str) -> Any:
        try:
            return self.tests.find(name)
        except KeyError:
            raise AttributeError(name) from None
