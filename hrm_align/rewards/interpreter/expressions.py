"""The value of an expression."""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterator, Sequence
from typing import Any

from .limits import Fault
from .methods import call_method
from .natives import BUILTINS, _dict, _set
from .operations import binary, text
from .syntax import COMPARISONS, UNARY, bound_names
from .values import Scope, _Builtin, _Function, _Stream
from .walker import Walker


class Expressions(Walker):
    """An expression `_<Node>(node, scope)` gives its value."""

    def _Constant(self, node: ast.Constant, scope: Scope) -> Any:
        return self.budget.fit(node.value)

    def _Name(self, node: ast.Name, scope: Scope) -> Any:
        return self.find(node.id, scope)

    def find(self, name: str, scope: Scope | None) -> Any:
        """What a name stands for: in its scope, in those around it, or among the functions of `natives`."""
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            if name in scope.own:
                raise Fault(f"{name} is used before it is assigned")
            scope = scope.outer
        if name not in BUILTINS:
            raise Fault(f"{name} is not defined")
        return _Builtin(name)

    def _BinOp(self, node: ast.BinOp, scope: Scope) -> Any:
        return binary(self.budget, type(node.op), self.do(node.left, scope), self.do(node.right, scope))

    def _UnaryOp(self, node: ast.UnaryOp, scope: Scope) -> Any:
        value = self.do(node.operand, scope)
        return UNARY[type(node.op)](value)

    def _BoolOp(self, node: ast.BoolOp, scope: Scope) -> Any:
        for operand in node.values:
            value = self.do(operand, scope)
            if bool(value) == isinstance(node.op, ast.Or):
                break
        return value

    def _IfExp(self, node: ast.IfExp, scope: Scope) -> Any:
        return self.do(node.body if self.do(node.test, scope) else node.orelse, scope)

    def _Compare(self, node: ast.Compare, scope: Scope) -> bool:
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
        return getattr(operator, COMPARISONS[type(kind)])(left, right)

    def _contains(self, container: Any, value: Any) -> bool:
        if type(container) in (str, range, dict, set):
            self.budget.weigh(value, container if type(container) is str else None)
            return value in container
        for item in self.iterate(container):
            self.budget.weigh(value, item)
            if value is item or value == item:
                return True
        return False

    def _Subscript(self, node: ast.Subscript, scope: Scope) -> Any:
        return self._subscript(self.do(node.value, scope), self.do(node.slice, scope))

    def _subscript(self, container: Any, key: Any) -> Any:
        if type(container) not in (str, list, tuple, range, dict):
            raise Fault(f"an item of a {type(container).__name__}")
        self.budget.weigh(container if type(key) is slice else key)
        return container[key]

    def _Slice(self, node: ast.Slice, scope: Scope) -> slice:
        return slice(*(part and self.do(part, scope) for part in (node.lower, node.upper, node.step)))

    def _List(self, node: ast.List, scope: Scope) -> list[Any]:
        return self._elements(node.elts, scope)

    def _Tuple(self, node: ast.Tuple, scope: Scope) -> tuple[Any, ...]:
        return tuple(self._elements(node.elts, scope))

    def _Set(self, node: ast.Set, scope: Scope) -> set[Any]:
        return _set(self, self._elements(node.elts, scope))

    def _Dict(self, node: ast.Dict, scope: Scope) -> dict[Any, Any]:
        made = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise Fault("** is not supported")
            name = self.do(key, scope)
            self.budget.weigh(name)
            made[name] = self.do(value, scope)
        return made

    def _elements(self, nodes: Sequence[ast.expr], scope: Scope) -> list[Any]:
        """Values side by side, with those that `*` spreads."""
        values: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                values += self.items(self.do(node.value, scope))
            else:
                values.append(self.do(node, scope))
        return self.budget.fit(values)

    def _JoinedStr(self, node: ast.JoinedStr, scope: Scope) -> str:
        parts = [self.do(part, scope) for part in node.values]
        self.budget.room(sum(map(len, parts)))
        return "".join(parts)

    def _FormattedValue(self, node: ast.FormattedValue, scope: Scope) -> str:
        return text(self.budget, self.do(node.value, scope), repr if node.conversion == ord("r") else str)

    def _Lambda(self, node: ast.Lambda, scope: Scope) -> _Function:
        return self._function("lambda", node, scope)

    def _ListComp(self, node: ast.ListComp, scope: Scope) -> list[Any]:
        return self.items(self._GeneratorExp(node, scope))

    def _SetComp(self, node: ast.SetComp, scope: Scope) -> set[Any]:
        return _set(self, self._GeneratorExp(node, scope))

    def _DictComp(self, node: ast.DictComp, scope: Scope) -> dict[Any, Any]:
        return _dict(self, self._GeneratorExp(node, scope))

    def _GeneratorExp(self, node: Any, scope: Scope) -> _Stream:
        inner = Scope(bound_names(*(clause.target for clause in node.generators)), scope)
        first = self.iterate(self.do(node.generators[0].iter, scope))

        def items() -> Iterator[Any]:
            for _ in self._clauses(node.generators, first, inner):
                if isinstance(node, ast.DictComp):
                    yield self.do(node.key, inner), self.do(node.value, inner)
                else:
                    yield self.do(node.elt, inner)

        return _Stream(self.budget, items())

    def _clauses(self, clauses: list[ast.comprehension], items: Iterator[Any], scope: Scope) -> Iterator[None]:
        """Once for every round of the innermost `for` whose conditions hold."""
        clause, *others = clauses
        for item in items:
            self.assign(clause.target, item, scope)
            if all(self.do(condition, scope) for condition in clause.ifs):
                if others:
                    yield from self._clauses(others, self.iterate(self.do(others[0].iter, scope)), scope)
                else:
                    yield

    def _Call(self, node: ast.Call, scope: Scope) -> Any:
        method = node.func.attr if isinstance(node.func, ast.Attribute) else None
        called = self.do(node.func.value if isinstance(node.func, ast.Attribute) else node.func, scope)
        arguments, named = self._elements(node.args, scope), dict[str, Any]()
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in named:
                raise Fault("** is not supported, and a keyword stands once")
            named[keyword.arg] = self.do(keyword.value, scope)
        return call_method(self, called, method, arguments, named) if method else self.call(called, arguments, named)
