"""What a program may contain, and which names it binds."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from .limits import Fault, Limits
from .values import CONSTANTS

OPERATORS = {
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
COMPARISONS = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.Lambda)
_SYNTAX = {
    *OPERATORS,
    *COMPARISONS,
    *UNARY,
    *COMPREHENSIONS,
    *_FUNCTIONS,
    *(ast.Module, ast.Expr, ast.Assign, ast.AugAssign, ast.Return, ast.Pass),
    *(ast.If, ast.For, ast.While, ast.Break, ast.Continue),
    *(ast.arguments, ast.arg, ast.keyword, ast.Starred, ast.comprehension, ast.Load, ast.Store),
    *(ast.Constant, ast.Name, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.And, ast.Or, ast.IfExp),
    *(ast.Compare, ast.In, ast.NotIn, ast.Is, ast.IsNot, ast.Call, ast.Attribute, ast.Subscript, ast.Slice),
    *(ast.List, ast.Tuple, ast.Dict, ast.Set, ast.JoinedStr, ast.FormattedValue),
}


def check(tree: ast.Module, limits: Limits) -> None:
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
            or (isinstance(node, COMPREHENSIONS) and len(node.generators) > 3)
            or (isinstance(node, ast.Constant) and type(node.value) not in CONSTANTS)
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


def bound_names(*roots: ast.AST) -> set[str]:
    """The names that statements or targets assign: local to their function, wherever in it they stand."""
    names, waiting = set[str](), list(roots)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif not isinstance(node, (ast.Lambda, *COMPREHENSIONS)):
            waiting += ast.iter_child_nodes(node)
    return names
