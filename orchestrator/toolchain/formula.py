"""Formulas of whole numbers in tool-chain data, such as ``2 * ((vocabulary + 1) // 2)``."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping

_OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


def value(formula: str, values: Mapping[str, int]) -> int:
    """What a formula gives.

    Raises:
        ValueError: It is no formula, names something else than ``values``, or divides by 0.
    """
    try:
        return _value(ast.parse(formula, mode="eval").body, values)
    except (SyntaxError, KeyError, ZeroDivisionError) as error:
        raise ValueError(f"{formula!r} is no formula of {', '.join(values)}: {error}") from error


def checked(*names: str) -> Callable[[str], str]:
    """A validator: the formula, if it is one of these names."""

    def check(formula: str) -> str:
        value(formula, dict.fromkeys(names, 1))
        return formula

    return check


def _value(node: ast.expr, values: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, values), _value(node.right, values)
        return _OPERATORS[type(node.op)](left, right)
    raise SyntaxError("only whole numbers, names, + - * // and brackets")
