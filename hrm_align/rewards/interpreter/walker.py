"""What statements and expressions share: steps from node to node, calls, the items of a value, bindings."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any

from .limits import Budget, Fault
from .natives import BUILTINS
from .syntax import bound_names
from .values import ORDERED, Scope, _Builtin, _Function, _Stream


class Walker:
    """Walks the tree. An expression `_<Node>(node, scope)` gives its value; a statement None, or how it leaves its block."""

    def __init__(self, budget: Budget):
        self.budget = budget

    def run(self, body: Sequence[ast.stmt], scope: Scope) -> tuple[str, Any] | None:
        """Statements in order, up to a `return`, `break` or `continue`, which is given to the caller."""
        for statement in body:
            left = self.do(statement, scope)
            if left is not None:
                return left
        return None

    def do(self, node: ast.AST, scope: Scope) -> Any:
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
            result = self.budget.fit(BUILTINS[function.name](self, *arguments, **named))
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
            return self.do(function.node.body, Scope(set(names), function.scope, values))
        own = {*names, *bound_names(*function.node.body)}
        left = self.run(function.node.body, Scope(own, function.scope, values))
        return None if left is None else left[1]

    def iterate(self, value: Any, ordered: bool = True) -> Iterator[Any]:
        """The items of a value, a step each. What needs no order may have those of a set."""
        if type(value) not in (*ORDERED, _Stream) and (ordered or type(value) is not set):
            raise Fault(f"the items of a {type(value).__name__}")

        def items() -> Iterator[Any]:
            for item in value:
                self.budget.spend()
                yield item

        return items()

    def items(self, value: Any, ordered: bool = True) -> list[Any]:
        """All of them."""
        return self.budget.fit(list(self.iterate(value, ordered)))

    def _function(self, name: str, node: ast.FunctionDef | ast.Lambda, scope: Scope) -> _Function:
        return _Function(name, node, [self.do(default, scope) for default in node.args.defaults], scope)

    def assign(self, target: ast.expr, value: Any, scope: Scope) -> None:
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
