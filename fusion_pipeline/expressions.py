"""Row-wise expressions in data files, such as `desktop + numlaptop`: parsed here, never passed to `eval`.

Belongs here: the grammar and its evaluation on columns. Does not belong here: which expressions there are
(`harmonies/`).

Grammar, loosest first, as in R: `|`, `&`, comparisons, `+ -`, `* /`, unary minus, parentheses, numbers, strings,
names and `ifelse(condition, yes, no)`. A missing operand makes the result missing.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z_][A-Za-z_0-9.]*)"""
    r"""|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<sign>==|!=|<=|>=|[-+*/<>&|(),]))"""
)
_STRENGTH = {"|": 1, "&": 2} | dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), 3)
_STRENGTH |= {"+": 4, "-": 4, "*": 5, "/": 5}
_ARITHMETIC: dict[str, Callable[[Array, Array], Array]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_COMPARISON: dict[str, Callable[[Array, Array], Array]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class ExpressionError(ValueError):
    """An expression cannot be parsed, or not be evaluated on the columns it names."""


@dataclass(frozen=True)
class Labels:
    """A categorical column inside an expression; it can only be compared with a string."""

    codes: Array
    levels: tuple[str, ...]


@dataclass(frozen=True)
class _Node:
    kind: str
    value: str
    arguments: tuple[_Node, ...] = ()


@dataclass(frozen=True)
class Expression:
    """A parsed expression and the column names in it."""

    text: str
    names: tuple[str, ...]
    root: _Node

    def __call__(self, columns: Mapping[str, Array | Labels]) -> Array:
        """Evaluate on columns of equal length.

        Parameters
        ----------
        columns : name -> (n,) numbers with NaN for missing, or `Labels`

        Returns
        -------
        (n,) float64, NaN for missing; conditions are 0 and 1.

        Raises
        ------
        ExpressionError
            If labels meet arithmetic, or numbers a string.
        """
        length = max(len(c.codes) if isinstance(c, Labels) else len(c) for c in columns.values())
        return np.broadcast_to(_number(_evaluate(self.root, columns), self.root), (length,)).copy()


def parse(text: str) -> Expression:
    """Parse an expression.

    Raises
    ------
    ExpressionError
        Naming the position and what was found there.
    """
    tokens, start = [], 0
    while text[start:].strip():
        match = _TOKEN.match(text, start)
        if match is None:
            raise ExpressionError(f"{text!r} has an unexpected character at position {start + 1}.")
        kind = match.lastgroup or ""
        tokens.append(("string" if kind in ("double", "single") else kind, match.group(kind)))
        start = match.end()
    parser = _Parser(text, tokens)
    root = parser.operation(0)
    parser.expect("end", "")
    names = dict.fromkeys(parser.names)
    if not names:
        raise ExpressionError(f"{text!r} names no column.")
    return Expression(text, tuple(names), root)


class _Parser:
    """Precedence climbing over a list of (kind, value) tokens."""

    def __init__(self, text: str, tokens: list[tuple[str, str]]) -> None:
        self.text, self.tokens, self.position = text, [*tokens, ("end", "")], 0
        self.names: list[str] = []

    def take(self) -> tuple[str, str]:
        token = self.tokens[self.position]
        self.position += 1
        return token

    def expect(self, kind: str, value: str) -> None:
        found = self.take()
        if found != (kind, value):
            raise ExpressionError(
                f"{self.text!r} has {found[1] or 'its end'!r} where {value or 'its end'!r} is expected."
            )

    def operation(self, weakest: int) -> _Node:
        left = self.operand()
        while True:
            kind, sign = self.tokens[self.position]
            strength = _STRENGTH.get(sign, 0) if kind == "sign" else 0
            if strength <= weakest:
                return left
            self.position += 1
            left = _Node("operation", sign, (left, self.operation(strength)))

    def operand(self) -> _Node:
        kind, value = self.take()
        if kind in ("number", "string"):
            return _Node(kind, value)
        if (kind, value) == ("sign", "-"):
            zero = _Node("number", "0")
            return _Node("operation", "-", (zero, self.operation(_STRENGTH["*"])))
        if (kind, value) == ("sign", "("):
            inner = self.operation(0)
            self.expect("sign", ")")
            return inner
        if kind == "name" and self.tokens[self.position] == ("sign", "("):
            return self.call(value)
        if kind == "name":
            self.names.append(value)
            return _Node(kind, value)
        raise ExpressionError(f"{self.text!r} has {value or 'its end'!r} where a value is expected.")

    def call(self, function: str) -> _Node:
        if function != "ifelse":
            raise ExpressionError(f"{self.text!r} calls {function}(); only ifelse() is known.")
        self.expect("sign", "(")
        condition = self.operation(0)
        self.expect("sign", ",")
        yes = self.operation(0)
        self.expect("sign", ",")
        no = self.operation(0)
        self.expect("sign", ")")
        return _Node("ifelse", function, (condition, yes, no))


def _evaluate(node: _Node, columns: Mapping[str, Array | Labels]) -> Array | Labels | str:
    if node.kind == "number":
        return np.array(float(node.value))
    if node.kind == "string":
        return node.value
    if node.kind == "name":
        return columns[node.value]
    if node.kind == "ifelse":
        condition, yes, no = (_number(_evaluate(a, columns), a) for a in node.arguments)
        return np.where(np.isnan(condition), np.nan, np.where(condition != 0, yes, no))
    left, right = (_evaluate(a, columns) for a in node.arguments)
    if isinstance(left, str) and isinstance(right, Labels):
        left, right = right, left
    if isinstance(left, Labels) and isinstance(right, str) and node.value in ("==", "!="):
        return _compare_labels(left, right, equal=node.value == "==")
    first, second = _number(left, node.arguments[0]), _number(right, node.arguments[1])
    if node.value in _ARITHMETIC:
        with np.errstate(divide="ignore", invalid="ignore"):
            return _ARITHMETIC[node.value](first, second)
    missing = np.isnan(first) | np.isnan(second)
    if node.value in _COMPARISON:
        result = _COMPARISON[node.value](first, second)
    elif node.value == "&":
        result = (first != 0) & (second != 0)
    else:
        result = (first != 0) | (second != 0)
    return np.where(missing, np.nan, result)


def _compare_labels(column: Labels, label: str, *, equal: bool) -> Array:
    if label not in column.levels:
        raise ExpressionError(f"level {label!r} is not among {', '.join(column.levels)}.")
    same = column.codes == column.levels.index(label)
    return np.where(column.codes < 0, np.nan, same if equal else ~same)


def _number(value: Array | Labels | str, node: _Node) -> Array:
    if isinstance(value, Labels | str):
        raise ExpressionError(f"{node.value!r} is not a number; levels can only be compared by == and !=.")
    return value
