"""What a statement does: the last part of the machine that evaluates programs."""

from __future__ import annotations

import ast
from typing import Any

from .expressions import Expressions
from .operations import binary
from .values import Scope


# Its name shows in the fault of what only Python's compiler would refuse, such as `x = *x`.
class _Machine(Expressions):
    """Walks all of the tree. A statement `_<Node>(node, scope)` gives None, or how it leaves its block."""

    def _Expr(self, node: ast.Expr, scope: Scope) -> None:
        self.do(node.value, scope)

    def _Pass(self, node: ast.Pass, scope: Scope) -> None:
        pass

    def _Return(self, node: ast.Return, scope: Scope) -> tuple[str, Any]:
        return "return", None if node.value is None else self.do(node.value, scope)

    def _Break(self, node: ast.Break, scope: Scope) -> tuple[str, Any]:
        return "break", None

    def _Continue(self, node: ast.Continue, scope: Scope) -> tuple[str, Any]:
        return "continue", None

    def _If(self, node: ast.If, scope: Scope) -> tuple[str, Any] | None:
        return self.run(node.body if self.do(node.test, scope) else node.orelse, scope)

    def _While(self, node: ast.While, scope: Scope) -> tuple[str, Any] | None:
        while self.do(node.test, scope):
            left = self.run(node.body, scope)
            if left is not None and left[0] != "continue":
                return left if left[0] == "return" else None
        return None

    def _For(self, node: ast.For, scope: Scope) -> tuple[str, Any] | None:
        for item in self.iterate(self.do(node.iter, scope)):
            self.assign(node.target, item, scope)
            left = self.run(node.body, scope)
            if left is not None and left[0] != "continue":
                return left if left[0] == "return" else None
        return None

    def _Assign(self, node: ast.Assign, scope: Scope) -> None:
        value = self.do(node.value, scope)
        for target in node.targets:
            self.assign(target, value, scope)

    def _AugAssign(self, node: ast.AugAssign, scope: Scope) -> None:
        if isinstance(node.target, ast.Subscript):
            container, key = self.do(node.target.value, scope), self.do(node.target.slice, scope)
            old = self._subscript(container, key)
        elif isinstance(node.target, ast.Name):
            old = self.find(node.target.id, scope)
        right = self.do(node.value, scope)
        if type(old) is list and isinstance(node.op, ast.Add):
            right = self.items(right)
        new = binary(self.budget, type(node.op), old, right, change=True)
        if isinstance(node.target, ast.Subscript):
            self._store(container, key, new)
        elif isinstance(node.target, ast.Name):
            scope.values[node.target.id] = new

    def _FunctionDef(self, node: ast.FunctionDef, scope: Scope) -> None:
        scope.values[node.name] = self._function(node.name, node, scope)
