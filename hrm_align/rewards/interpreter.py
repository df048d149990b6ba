"""An interpreter of a small part of Python: short programs can be graded, and none of their text is ever run.

    >>> Program("def double(a): return a * 2").call("double", [21])
    42

The text is parsed by `ast`, and the tree is walked here, without `eval`, `exec` or `compile`. What this file does not name
does not exist for a program: there is no import, class, attribute, exception, global, generator function, file or clock.
Methods are called by names listed for each type. Formats (`%`, `.format`, those of f-strings) are left out, and so is
whatever would show the order of a set, which differs from run to run.

All work is counted and every size is known before the value is made. Nothing is measured by a clock, so a verdict is the
same on every machine, and an endless loop, `10 ** 10 ** 10` or `'a' * 10 ** 9` is a `Fault` within milliseconds.
That keeps a trainer safe from the programs of its own model. It is no sandbox for other people's code.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any


class Fault(Exception):
    """The program is refused, has failed, or has passed a limit."""


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Args:
        characters: length of its text.
        nodes: of its tree.
        steps: one for every node that is evaluated, and one for every item that an operation reads.
        depth: expressions, statements and calls within each other. Python's own stack holds more.
        bits: of an integer.
        items: characters of a text; items of a list, tuple or range.
        keys: of a dictionary or a set. Few: a program can choose keys that collide.
        nesting: lists within lists, for an operation that looks into them.
    """

    characters: int = 2_000
    nodes: int = 500
    steps: int = 20_000
    depth: int = 200
    bits: int = 4_096
    items: int = 10_000
    keys: int = 1_000
    nesting: int = 20


class Program:
    """A text that defines functions.

    Args:
        text: all of it.
        limits: what it may use; each call has them anew.

    Raises:
        Fault: if it is no Python, too long, or has what is not supported.
    """

    def __init__(self, text: str, limits: Limits | None = None):
        self._limits = limits or Limits()
        if len(text) > self._limits.characters:
            raise Fault(f"the program has more than {self._limits.characters} characters")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about an escape such as "\d"
                tree = ast.parse(text)
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:  # the last two: nested too deeply
            raise Fault(f"no Python: {type(error).__name__}: {error}") from error
        _check(tree, self._limits)
        self._body = tree.body

    def call(self, name: str, arguments: Sequence[Any]) -> Any:
        """Run the program from its start, then a function of it, with copies of the arguments.

        Raises:
            Fault: for whatever goes wrong.
        """
        machine, scope = _Machine(_Budget(self._limits)), _Scope()
        try:
            machine.run(self._body, scope)
            if name not in scope.values:
                raise Fault(f"the program does not define {name}")
            return machine.call(scope.values[name], [deepcopy(argument) for argument in arguments], {})
        except Fault:
            raise
        except Exception as error:  # the program's own, such as a TypeError; a bug here shows when right answers fail
            raise Fault(f"{type(error).__name__}: {error}"[:200]) from error


# --- Syntax

_OPERATORS = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
}
_COMPARISONS = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.Lambda)
_SYNTAX = {
    *_OPERATORS,
    *_COMPARISONS,
    *_UNARY,
    *_COMPREHENSIONS,
    *_FUNCTIONS,
    *(ast.Module, ast.Expr, ast.Assign, ast.AugAssign, ast.Return, ast.Pass),
    *(ast.If, ast.For, ast.While, ast.Break, ast.Continue),
    *(ast.arguments, ast.arg, ast.keyword, ast.Starred, ast.comprehension, ast.Load, ast.Store),
    *(ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.And, ast.Or, ast.IfExp),
    *(ast.Compare, ast.In, ast.NotIn, ast.Is, ast.IsNot, ast.Call, ast.Attribute, ast.Subscript, ast.Slice),
    *(ast.List, ast.Tuple, ast.Dict, ast.Set, ast.JoinedStr, ast.FormattedValue),
}


def _check(tree: ast.Module, limits: Limits) -> None:
    """Refuse, before anything runs, what is not supported and what only Python's compiler would refuse."""
    waiting: list[tuple[ast.AST, bool, bool]] = [(tree, False, False)]  # a node, whether in a function, in a loop
    methods: set[ast.AST] = set()
    count = 0
    while waiting:
        node, function, loop = waiting.pop()
        count += 1
        if count > limits.nodes:
            raise Fault(f"the program has more than {limits.nodes} nodes")
        kind = type(node).__name__
        names = [value for name in ("id", "attr", "arg", "name") if isinstance(value := getattr(node, name, None), str)]
        if isinstance(node, ast.Call):
            methods.add(node.func)
        refused = (
            type(node) not in _SYNTAX
            or any("__" in name for name in names)
            or (isinstance(node, ast.Attribute) and node not in methods)
            or (isinstance(node, ast.Return) and not function)
            or (isinstance(node, ast.Break | ast.Continue) and not loop)
            or (isinstance(node, ast.For | ast.While) and node.orelse)
            or (isinstance(node, ast.FunctionDef) and (node.decorator_list or node.returns))
            or (isinstance(node, ast.arg) and node.annotation)
            or (isinstance(node, ast.arguments) and _unusual(node))
            or (isinstance(node, ast.comprehension) and node.is_async)
            or (isinstance(node, _COMPREHENSIONS) and len(node.generators) > 3)
            or (isinstance(node, ast.Constant) and type(node.value) not in _CONSTANTS)
            or (isinstance(node, ast.FormattedValue) and (node.format_spec or node.conversion == ord("a")))
        )
        if refused:
            raise Fault(f"{kind} {' '.join(names)} is not supported here".replace("  ", " "))
        loop = isinstance(node, ast.For | ast.While) or (loop and not isinstance(node, _FUNCTIONS))
        function = function or isinstance(node, ast.FunctionDef)
        waiting += [(child, function, loop) for child in ast.iter_child_nodes(node)]


def _unusual(arguments: ast.arguments) -> bool:
    """Whether parameters are more than names, each once, with or without a default."""
    names = {argument.arg for argument in arguments.args}
    others = (arguments.vararg, arguments.kwarg, *arguments.posonlyargs, *arguments.kwonlyargs)
    return any(others) or len(names) < len(arguments.args)


def _bound_names(*roots: ast.AST) -> set[str]:
    """The names that statements or targets assign: local to their function, wherever in it they stand."""
    names, waiting = set[str](), list(roots)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif not isinstance(node, (ast.Lambda, *_COMPREHENSIONS)):
            waiting += ast.iter_child_nodes(node)
    return names


# --- Values: None and what the tuples below list

_NUMBERS = (int, float, bool)
_CONSTANTS = (*_NUMBERS, str, type(None))
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_ORDERED = (str, list, tuple, range, dict, *_VIEWS)


@dataclass
class _Scope:
    """The names of a function or comprehension: `own` are those that it assigns, bound or not yet."""

    own: set[str] = field(default_factory=set)
    outer: _Scope | None = None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Function:
    name: str
    node: ast.FunctionDef | ast.Lambda
    defaults: list[Any]
    scope: _Scope


@dataclass(frozen=True)
class _Builtin:
    name: str


class _Stream:
    """An iterator: of `map`, `zip`, a generator expression. Its items come one at a time, once."""

    def __init__(self, budget: _Budget, items: Iterator[Any]):
        self._budget, self._items = budget, items

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> Any:
        self._budget.enter(2)  # Python's stack holds twice as much of it
        try:
            return next(self._items)
        finally:
            self._budget.leave(2)


_KINDS = (*_CONSTANTS, *_ORDERED, set, _Function, _Builtin, _Stream)


class _Budget:
    """What is left of the limits. Only a program that ends passes one: it has no way to go on after a Fault."""

    def __init__(self, limits: Limits):
        self.limits, self._steps, self._depth = limits, limits.steps, 0

    def spend(self, steps: int = 1) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise Fault(f"it takes more than {self.limits.steps} steps")

    def enter(self, levels: int = 1) -> None:
        self._depth += levels
        if self._depth > self.limits.depth:
            raise Fault(f"it goes deeper than {self.limits.depth} levels")

    def leave(self, levels: int = 1) -> None:
        self._depth -= levels

    def weigh(self, *values: Any) -> None:
        """Spend a step for every item that an operation may look at, shared ones as often as it meets them."""
        level: list[Any] = list(values)
        self.spend(len(level))
        for _ in range(self.limits.nesting):
            inner: list[Any] = []
            for value in level:
                if type(value) is str:
                    self.spend(len(value) // 8)
                elif type(value) in (list, tuple, set, dict, *_VIEWS):
                    self.spend(len(value))
                    inner += value.items() if type(value) is dict else value
            if not inner:
                return
            level = inner
        raise Fault(f"lists are nested more than {self.limits.nesting} deep")

    def room(self, size: int) -> None:
        """Refuse a text or list before it is made, or pay for it."""
        self.items(size)
        self.spend(max(0, size) // 8)

    def items(self, size: int) -> None:
        """Refuse a text or list of this size."""
        if size > self.limits.items:
            raise Fault(f"a value has more than {self.limits.items} items")

    def bits(self, size: int) -> None:
        """Refuse an integer before it is made."""
        if size > self.limits.bits:
            raise Fault(f"an integer has more than {self.limits.bits} bits")

    def keys(self, size: int) -> None:
        """Refuse a dictionary or set before it is made."""
        if size > self.limits.keys:
            raise Fault(f"a dictionary or set has more than {self.limits.keys} keys")

    def fit(self, value: Any) -> Any:
        """The value, if it is of a kind and size that may exist."""
        if type(value) not in _KINDS:
            raise Fault(f"a value of type {type(value).__name__}")
        if type(value) is int:
            self.bits(value.bit_length())
        elif type(value) in (dict, set):
            self.keys(len(value))
        elif type(value) in _ORDERED:
            self.items(len(value))
        return value


def _binary(budget: _Budget, kind: type[ast.operator], left: Any, right: Any, change: bool = False) -> Any:
    """`left + right` and its like, or, with `change`, `left += right`."""
    budget.weigh(left, right)
    kinds = {type(left), type(right)}
    times = next((value for value in (left, right) if type(value) in (int, bool)), None)
    sequence = next((value for value in (left, right) if type(value) in (str, list, tuple)), None)
    if kinds <= {int, bool} and kind is ast.Pow:
        budget.bits(left.bit_length() * right)
    elif kinds <= {int, bool} and kind is ast.LShift:
        budget.bits(left.bit_length() + right)
    elif sequence is not None and kind is ast.Mult and times is not None:
        budget.room(len(sequence) * times)
    elif not (
        kinds <= set(_NUMBERS)
        or (sequence is not None and kind is ast.Add and len(kinds) == 1)
        or (kinds == {set} and kind in (ast.BitAnd, ast.BitOr, ast.BitXor, ast.Sub))
        or (kinds == {dict} and kind is ast.BitOr)
    ):
        raise Fault(f"{kind.__name__} of {type(left).__name__} and {type(right).__name__}")
    return budget.fit(getattr(operator, f"__{'i' if change else ''}{_OPERATORS[kind]}__")(left, right))


def _text(budget: _Budget, value: Any, write: Callable[[Any], str] = str) -> str:
    """`str(value)` or `repr(value)`, of what is written the same way in every run."""
    budget.weigh(value)
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if type(inner) in (list, tuple):
            waiting += inner
        elif type(inner) is dict:
            waiting += [*inner.keys(), *inner.values()]
        elif type(inner) not in (*_CONSTANTS, range):
            raise Fault(f"the text of a {type(inner).__name__}")
    return budget.fit(write(value))


# --- Evaluation


class _Machine:
    """Walks the tree. An expression `_<Node>(node, scope)` gives its value; a statement None, or how it leaves its block."""

    def __init__(self, budget: _Budget):
        self.budget = budget

    def run(self, body: Sequence[ast.stmt], scope: _Scope) -> tuple[str, Any] | None:
        """Statements in order, up to a `return`, `break` or `continue`, which is given to the caller."""
        for statement in body:
            left = self.do(statement, scope)
            if left is not None:
                return left
        return None

    def do(self, node: ast.AST, scope: _Scope) -> Any:
        """A statement or an expression."""
        self.budget.spend()
        self.budget.enter()
        result = getattr(self, f"_{type(node).__name__}")(node, scope)
        self.budget.leave()
        return result

    def call(self, function: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Call a value."""
        self.budget.spend()
        self.budget.enter()
        if type(function) is _Builtin:
            result = self.budget.fit(_BUILTINS[function.name](self, *arguments, **named))
        elif type(function) is _Function:
            result = self._call(function, arguments, named)
        else:
            raise Fault(f"a {type(function).__name__} is called")
        self.budget.leave()
        return result

    def _call(self, function: _Function, arguments: list[Any], named: dict[str, Any]) -> Any:
        names = [argument.arg for argument in function.node.args.args]
        defaults = dict(zip(names[len(names) - len(function.defaults) :], function.defaults, strict=True))
        given = dict(zip(names, arguments, strict=False))
        if len(arguments) > len(names) or given.keys() & named.keys():
            raise Fault(f"{function.name} gets too many arguments")
        values = {**defaults, **given, **named}
        if values.keys() != set(names):
            raise Fault(f"{function.name} gets other arguments than its own")
        if isinstance(function.node, ast.Lambda):
            return self.do(function.node.body, _Scope(set(names), function.scope, values))
        own = {*names, *_bound_names(*function.node.body)}
        left = self.run(function.node.body, _Scope(own, function.scope, values))
        return None if left is None else left[1]

    def iterate(self, value: Any, ordered: bool = True) -> Iterator[Any]:
        """The items of a value, a step each. What needs no order may have those of a set."""
        if type(value) not in (*_ORDERED, _Stream) and (ordered or type(value) is not set):
            raise Fault(f"the items of a {type(value).__name__}")

        def items() -> Iterator[Any]:
            for item in value:
                self.budget.spend()
                yield item

        return items()

    def items(self, value: Any, ordered: bool = True) -> list[Any]:
        """All of them."""
        return self.budget.fit(list(self.iterate(value, ordered)))

    # Statements

    def _Expr(self, node: ast.Expr, scope: _Scope) -> None:
        self.do(node.value, scope)

    def _Pass(self, node: ast.Pass, scope: _Scope) -> None:
        pass

    def _Return(self, node: ast.Return, scope: _Scope) -> tuple[str, Any]:
        return "return", None if node.value is None else self.do(node.value, scope)

    def _Break(self, node: ast.Break, scope: _Scope) -> tuple[str, Any]:
        return "break", None

    def _Continue(self, node: ast.Continue, scope: _Scope) -> tuple[str, Any]:
        return "continue", None

    def _If(self, node: ast.If, scope: _Scope) -> tuple[str, Any] | None:
        return self.run(node.body if self.do(node.test, scope) else node.orelse, scope)

    def _While(self, node: ast.While, scope: _Scope) -> tuple[str, Any] | None:
        while self.do(node.test, scope):
            left = self.run(node.body, scope)
            if left is not None and left[0] != "continue":
                return left if left[0] == "return" else None
        return None

    def _For(self, node: ast.For, scope: _Scope) -> tuple[str, Any] | None:
        for item in self.iterate(self.do(node.iter, scope)):
            self.assign(node.target, item, scope)
            left = self.run(node.body, scope)
            if left is not None and left[0] != "continue":
                return left if left[0] == "return" else None
        return None

    def _Assign(self, node: ast.Assign, scope: _Scope) -> None:
        value = self.do(node.value, scope)
        for target in node.targets:
            self.assign(target, value, scope)

    def _AugAssign(self, node: ast.AugAssign, scope: _Scope) -> None:
        if isinstance(node.target, ast.Subscript):
            container, key = self.do(node.target.value, scope), self.do(node.target.slice, scope)
            old = self._subscript(container, key)
        elif isinstance(node.target, ast.Name):
            old = self.find(node.target.id, scope)
        right = self.do(node.value, scope)
        if type(old) is list and isinstance(node.op, ast.Add):
            right = self.items(right)
        new = _binary(self.budget, type(node.op), old, right, change=True)
        if isinstance(node.target, ast.Subscript):
            self._store(container, key, new)
        elif isinstance(node.target, ast.Name):
            scope.values[node.target.id] = new

    def _FunctionDef(self, node: ast.FunctionDef, scope: _Scope) -> None:
        scope.values[node.name] = self._function(node.name, node, scope)

    def _function(self, name: str, node: ast.FunctionDef | ast.Lambda, scope: _Scope) -> _Function:
        return _Function(name, node, [self.do(default, scope) for default in node.args.defaults], scope)

    def assign(self, target: ast.expr, value: Any, scope: _Scope) -> None:
        """Bind a name, an item of a list or dictionary, or several of them."""
        if isinstance(target, ast.Name):
            scope.values[target.id] = value
        elif isinstance(target, ast.Subscript):
            self._store(self.do(target.value, scope), self.do(target.slice, scope), value)
        elif isinstance(target, ast.Tuple | ast.List):
            values = self.items(value)
            if len(values) != len(target.elts):
                raise Fault(f"{len(values)} values for {len(target.elts)} names")
            for inner, item in zip(target.elts, values, strict=True):
                self.assign(inner, item, scope)
        else:
            raise Fault(f"{type(target).__name__} is assigned")

    def _store(self, container: Any, key: Any, value: Any) -> None:
        if type(container) not in (list, dict) or type(key) is slice:
            raise Fault(f"an item of a {type(container).__name__} is assigned")
        self.budget.weigh(key)
        container[key] = value
        self.budget.fit(container)

    # Expressions

    def _Constant(self, node: ast.Constant, scope: _Scope) -> Any:
        return self.budget.fit(node.value)

    def _Name(self, node: ast.Name, scope: _Scope) -> Any:
        return self.find(node.id, scope)

    def find(self, name: str, scope: _Scope | None) -> Any:
        """What a name stands for: in its scope, in those around it, or among the functions below."""
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            if name in scope.own:
                raise Fault(f"{name} is used before it is assigned")
            scope = scope.outer
        if name not in _BUILTINS:
            raise Fault(f"{name} is not defined")
        return _Builtin(name)

    def _BinOp(self, node: ast.BinOp, scope: _Scope) -> Any:
        return _binary(self.budget, type(node.op), self.do(node.left, scope), self.do(node.right, scope))

    def _UnaryOp(self, node: ast.UnaryOp, scope: _Scope) -> Any:
        value = self.do(node.operand, scope)
        return _UNARY[type(node.op)](value)

    def _BoolOp(self, node: ast.BoolOp, scope: _Scope) -> Any:
        for operand in node.values:
            value = self.do(operand, scope)
            if bool(value) == isinstance(node.op, ast.Or):
                break
        return value

    def _IfExp(self, node: ast.IfExp, scope: _Scope) -> Any:
        return self.do(node.body if self.do(node.test, scope) else node.orelse, scope)

    def _Compare(self, node: ast.Compare, scope: _Scope) -> bool:
        left = self.do(node.left, scope)
        for kind, operand in zip(node.ops, node.comparators, strict=True):
            right = self.do(operand, scope)
            if not self._compare(kind, left, right):
                return False
            left = right
        return True

    def _compare(self, kind: ast.cmpop, left: Any, right: Any) -> bool:
        if isinstance(kind, ast.Is | ast.IsNot):
            if not any(value is None or type(value) is bool for value in (left, right)):
                raise Fault("`is` compares more than None, True and False")
            return (left is right) == isinstance(kind, ast.Is)
        if isinstance(kind, ast.In | ast.NotIn):
            return self._contains(right, left) == isinstance(kind, ast.In)
        self.budget.weigh(left, right)
        return getattr(operator, _COMPARISONS[type(kind)])(left, right)

    def _contains(self, container: Any, value: Any) -> bool:
        if type(container) in (str, range, dict, set):
            self.budget.weigh(value, container if type(container) is str else None)
            return value in container
        for item in self.iterate(container):
            self.budget.weigh(value, item)
            if value is item or value == item:
                return True
        return False

    def _Subscript(self, node: ast.Subscript, scope: _Scope) -> Any:
        return self._subscript(self.do(node.value, scope), self.do(node.slice, scope))

    def _subscript(self, container: Any, key: Any) -> Any:
        if type(container) not in (str, list, tuple, range, dict):
            raise Fault(f"an item of a {type(container).__name__}")
        self.budget.weigh(container if type(key) is slice else key)
        return container[key]

    def _Slice(self, node: ast.Slice, scope: _Scope) -> slice:
        return slice(*(part and self.do(part, scope) for part in (node.lower, node.upper, node.step)))

    def _List(self, node: ast.List, scope: _Scope) -> list[Any]:
        return self._elements(node.elts, scope)

    def _Tuple(self, node: ast.Tuple, scope: _Scope) -> tuple[Any, ...]:
        return tuple(self._elements(node.elts, scope))

    def _Set(self, node: ast.Set, scope: _Scope) -> set[Any]:
        return _set(self, self._elements(node.elts, scope))

    def _Dict(self, node: ast.Dict, scope: _Scope) -> dict[Any, Any]:
        made = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise Fault("** is not supported")
            name = self.do(key, scope)
            self.budget.weigh(name)
            made[name] = self.do(value, scope)
        return made

    def _elements(self, nodes: Sequence[ast.expr], scope: _Scope) -> list[Any]:
        """Values side by side, with those that `*` spreads."""
        values: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                values += self.items(self.do(node.value, scope))
            else:
                values.append(self.do(node, scope))
        return self.budget.fit(values)

    def _JoinedStr(self, node: ast.JoinedStr, scope: _Scope) -> str:
        parts = [self.do(part, scope) for part in node.values]
        self.budget.room(sum(map(len, parts)))
        return "".join(parts)

    def _FormattedValue(self, node: ast.FormattedValue, scope: _Scope) -> str:
        return _text(self.budget, self.do(node.value, scope), repr if node.conversion == ord("r") else str)

    def _Lambda(self, node: ast.Lambda, scope: _Scope) -> _Function:
        return self._function("lambda", node, scope)

    def _ListComp(self, node: ast.ListComp, scope: _Scope) -> list[Any]:
        return self.items(self._GeneratorExp(node, scope))

    def _SetComp(self, node: ast.SetComp, scope: _Scope) -> set[Any]:
        return _set(self, self._GeneratorExp(node, scope))

    def _DictComp(self, node: ast.DictComp, scope: _Scope) -> dict[Any, Any]:
        return _dict(self, self._GeneratorExp(node, scope))

    def _GeneratorExp(self, node: Any, scope: _Scope) -> _Stream:
        inner = _Scope(_bound_names(*(clause.target for clause in node.generators)), scope)
        first = self.iterate(self.do(node.generators[0].iter, scope))

        def items() -> Iterator[Any]:
            for _ in self._clauses(node.generators, first, inner):
                if isinstance(node, ast.DictComp):
                    yield self.do(node.key, inner), self.do(node.value, inner)
                else:
                    yield self.do(node.elt, inner)

        return _Stream(self.budget, items())

    def _clauses(self, clauses: list[ast.comprehension], items: Iterator[Any], scope: _Scope) -> Iterator[None]:
        """Once for every round of the innermost `for` whose conditions hold."""
        clause, *others = clauses
        for item in items:
            self.assign(clause.target, item, scope)
            if all(self.do(condition, scope) for condition in clause.ifs):
                if others:
                    yield from self._clauses(others, self.iterate(self.do(others[0].iter, scope)), scope)
                else:
                    yield

    def _Call(self, node: ast.Call, scope: _Scope) -> Any:
        method = node.func.attr if isinstance(node.func, ast.Attribute) else None
        called = self.do(node.func.value if isinstance(node.func, ast.Attribute) else node.func, scope)
        arguments, named = self._elements(node.args, scope), dict[str, Any]()
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in named:
                raise Fault("** is not supported, and a keyword stands once")
            named[keyword.arg] = self.do(keyword.value, scope)
        return self._method(called, method, arguments, named) if method else self.call(called, arguments, named)

    # Methods

    def _method(self, value: Any, name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        if name not in _METHODS.get(type(value), ()):
            raise Fault(f"the method .{name} of a {type(value).__name__}")
        self.budget.weigh(*arguments, *named.values(), *([] if name in _CHEAP else [value]))
        if type(value) is list and name == "sort":
            value[:] = _sorted(self, value, *arguments, **named)
            return None
        if name in _OF_ITEMS:
            arguments = [self._given(value, argument) for argument in arguments]
        if type(value) is str:
            self._text_room(value, name, arguments)
        result = getattr(value, name)(*arguments, **named)
        self.budget.fit(value)
        return self.budget.fit(result)

    def _given(self, value: Any, argument: Any) -> list[Any]:
        """What a method takes from its argument: items, or the pairs of a dictionary that updates another."""
        pairs = type(value) is dict and type(argument) is dict
        return self.items(argument.items() if pairs else argument, ordered=type(value) is not set)

    def _text_room(self, value: str, name: str, arguments: list[Any]) -> None:
        """Refuse a method whose text would be too long, before it makes it."""
        if name == "join":
            (parts,) = arguments
            self.budget.room(sum(len(part) for part in parts) + len(value) * len(parts))
        elif name == "replace":
            old, new = arguments[:2]
            self.budget.room(len(value) + value.count(old) * max(0, len(new) - len(old)))
        elif name in ("center", "ljust", "rjust", "zfill"):
            self.budget.room(arguments[0])


_METHODS: dict[type, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in (
        (
            str,
            "capitalize center count endswith find index isalnum isalpha isdigit islower isspace istitle isupper join ljust "
            "lower lstrip partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split "
            "splitlines startswith strip swapcase title upper zfill",
        ),
        (list, "append clear copy count extend index insert pop remove reverse sort"),
        (tuple, "count index"),
        (dict, "clear copy get items keys pop setdefault update values"),
        (
            set,
            "add clear copy difference discard intersection isdisjoint issubset issuperset remove symmetric_difference "
            "union update",
        ),
    )
}
_CHEAP = {"append", "extend", "insert", "pop", "get", "setdefault", "keys", "values", "items", "add", "discard"}
_OF_ITEMS = {"join", "extend", "update", "union", "difference", "intersection", "symmetric_difference"}
_OF_ITEMS |= {"issubset", "issuperset", "isdisjoint"}


# --- Functions that a program may call by name: the machine, then what the program gives


def _native(function: Callable[..., Any]) -> Callable[..., Any]:
    """Python's own, where its work grows with what it is given and no further."""

    def call(machine: _Machine, /, *arguments: Any, **named: Any) -> Any:
        machine.budget.weigh(*([] if function is len else arguments))
        return function(*arguments, **named)

    return call


def _round(machine: _Machine, value: Any, digits: Any = None, /) -> Any:
    if digits is not None and abs(digits) > 100:
        raise Fault("round to more than 100 digits")  # round(1, -10 ** 9) makes that power
    return round(value, digits)


def _pow(machine: _Machine, left: Any, right: Any, /) -> Any:
    return _binary(machine.budget, ast.Pow, left, right)


def _str(machine: _Machine, value: Any = "", /) -> str:
    return _text(machine.budget, value)


def _repr(machine: _Machine, value: Any, /) -> str:
    return _text(machine.budget, value, repr)


def _list(machine: _Machine, values: Any = (), /) -> list[Any]:
    return machine.items(values)


def _tuple(machine: _Machine, values: Any = (), /) -> tuple[Any, ...]:
    return tuple(machine.items(values))


def _set(machine: _Machine, values: Any = (), /) -> set[Any]:
    items = machine.items(values, ordered=False)
    machine.budget.keys(len(items))
    machine.budget.weigh(items)
    return set(items)


def _dict(machine: _Machine, pairs: Any = (), /, **named: Any) -> dict[Any, Any]:
    items = list(pairs.items()) if type(pairs) is dict else machine.items(pairs)
    machine.budget.keys(len(items))
    machine.budget.weigh(items)
    return dict(items, **named)


def _range(machine: _Machine, /, *bounds: Any) -> range:
    return range(*bounds)


def _sum(machine: _Machine, values: Any, /, start: Any = 0) -> Any:
    items = machine.items(values, ordered=False)
    if all(type(item) in _NUMBERS for item in (start, *items)):
        return sum(items, start)  # Python 3.12 and later round floats better than a loop of additions
    if type(start) is str:
        raise Fault("sum of texts")
    for item in items:
        start = _binary(machine.budget, ast.Add, start, item)
    return start


def _keys(machine: _Machine, items: list[Any], key: Any) -> list[Any]:
    """What items are ordered by, all comparisons paid for."""
    keys = items if key is None else [machine.call(key, [item], {}) for item in items]
    for _ in range(len(keys).bit_length()):
        machine.budget.weigh(keys)
    return keys


def _sorted(machine: _Machine, values: Any, /, *, key: Any = None, reverse: Any = False) -> list[Any]:
    items = machine.items(values, ordered=key is not None)
    keys = _keys(machine, items, key)
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)]


def _extreme(choose: Callable[..., int]) -> Callable[..., Any]:
    def extreme(machine: _Machine, /, *values: Any, key: Any = None, **default: Any) -> Any:
        if default.keys() - {"default"} or (default and len(values) > 1):
            raise Fault("unknown arguments of max or min")
        items = machine.items(values[0], ordered=key is not None) if len(values) == 1 else list(values)
        if not items and default:
            return default["default"]
        keys = _keys(machine, items, key)
        return items[choose(range(len(items)), key=keys.__getitem__)]

    return extreme


def _any(machine: _Machine, values: Any, /) -> bool:
    return any(machine.iterate(values, ordered=False))


def _all(machine: _Machine, values: Any, /) -> bool:
    return all(machine.iterate(values, ordered=False))


def _map(machine: _Machine, function: Any, /, *values: Any) -> _Stream:
    sources = [machine.iterate(value) for value in values]
    if not sources:
        raise Fault("map without values")
    return _Stream(machine.budget, (machine.call(function, list(items), {}) for items in zip(*sources, strict=False)))


def _filter(machine: _Machine, function: Any, values: Any, /) -> _Stream:
    source = machine.iterate(values)
    kept = (item for item in source if (item if function is None else machine.call(function, [item], {})))
    return _Stream(machine.budget, kept)


def _zip(machine: _Machine, /, *values: Any) -> _Stream:
    return _Stream(machine.budget, zip(*(machine.iterate(value) for value in values), strict=False))


def _enumerate(machine: _Machine, values: Any, /, start: Any = 0) -> _Stream:
    return _Stream(machine.budget, enumerate(machine.iterate(values), start))


def _reversed(machine: _Machine, values: Any, /) -> _Stream:
    return _Stream(machine.budget, reversed(values))


def _next(machine: _Machine, stream: Any, /, *default: Any) -> Any:
    if type(stream) is not _Stream or len(default) > 1:
        raise Fault("next takes an iterator, and what to give at its end")
    for item in stream:
        return item
    if not default:
        raise Fault("next has come to the end")
    return default[0]


_BUILTINS: dict[str, Callable[..., Any]] = {
    **{native.__name__: _native(native) for native in (abs, bool, chr, divmod, float, int, len, ord)},
    **{
        function.__name__[1:]: function
        for function in (
            *(_round, _pow, _str, _repr, _list, _tuple, _set, _dict, _range, _sum, _sorted, _any, _all),
            *(_map, _filter, _zip, _enumerate, _reversed, _next),
        )
    },
    "max": _extreme(max),
    "min": _extreme(min),
}
