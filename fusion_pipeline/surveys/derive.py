"""Derived variables: a small language over the columns of one table.

Belongs here: checking and evaluating the expressions of codebooks. Nothing is ever executed: an expression is
parsed into a syntax tree and only the nodes below are accepted.

    any(...)  all(...)                of comparisons
    ==  !=  <  <=  >  >=              of a column with a label or number, or of two numeric terms
    +  -  *  /                        of numeric columns and numbers

Missing values follow three-valued logic: `any` is true as soon as one term is true, and otherwise missing
when a term is; anything computed from a missing number, and any quotient by zero, is missing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

_COMPARISONS: dict[type[ast.cmpop], Callable[..., Any]] = {
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
}
_EQUALITIES = (ast.Eq, ast.NotEq)
_ARITHMETIC: dict[type[ast.operator], Callable[..., Any]] = {
    ast.Add: pc.add,
    ast.Sub: pc.subtract,
    ast.Mult: pc.multiply,
    ast.Div: lambda a, b: pc.divide(a, pc.if_else(pc.equal(b, 0.0), pa.scalar(None, pa.float64()), b)),
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"any": pc.or_kleene, "all": pc.and_kleene}


def check_expression(
    expression: str,
    columns: Mapping[str, Sequence[str]],
    kind: Literal["boolean", "number"] | None = None,
) -> tuple[str, ...]:
    """Check an expression against the columns there are.

    Parameters
    ----------
    expression : str
    columns : mapping
        Column name to levels; no levels means a number.
    kind : "boolean" or "number", optional
        What it must give.

    Returns
    -------
    Names of the columns it uses, in order of appearance.

    Raises
    ------
    ValueError
        Saying which part is not accepted, or which column or label does not exist.
    """
    tree = _parse(expression)
    given = _check(tree, columns)
    if kind not in (None, given):
        raise ValueError(f"{expression!r} gives a {given}, not a {kind}")
    found = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id not in _FUNCTIONS]
    return tuple(dict.fromkeys(found))


def evaluate(expression: str, table: pa.Table) -> pa.ChunkedArray | pa.Array:
    """Evaluate a checked expression.

    Returns
    -------
    Boolean or float64 column with as many rows as the table.
    """
    return _evaluate(_parse(expression), table)


def _parse(expression: str) -> ast.expr:
    try:
        return ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{expression!r} is not an expression ({error.msg})") from error


def _check(node: ast.expr, columns: Mapping[str, Sequence[str]]) -> Literal["boolean", "number"]:
    """Return the kind of a node."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as terms, keywords=[]) if name in _FUNCTIONS:
            for term in terms:
                if _check(term, columns) != "boolean":
                    raise ValueError(f"{ast.unparse(term)!r} is not a comparison")
            return "boolean"
        case ast.Compare(
            left=ast.Name(id=name), ops=[operator], comparators=[ast.Constant(value=str(label))]
        ):
            if type(operator) not in _EQUALITIES or label not in columns.get(name, ()):
                raise ValueError(f"{ast.unparse(node)!r}: {name!r} has no level {label!r} to be equal to")
            return "boolean"
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in _COMPARISONS:
            _check_number(left, columns)
            _check_number(right, columns)
            return "boolean"
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _ARITHMETIC:
            _check_number(left, columns)
            _check_number(right, columns)
            return "number"
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check_number(operand, columns)
            return "number"
        case ast.Constant(value=value) if type(value) in (int, float):
            return "number"
        case ast.Name(id=name):
            if name not in columns:
                raise ValueError(f"there is no variable {name!r}")
            if columns[name]:
                raise ValueError(f"{name!r} has levels; compare it with one of them")
            return "number"
    raise ValueError(f"{ast.unparse(node)!r} is not accepted")


def _check_number(node: ast.expr, columns: Mapping[str, Sequence[str]]) -> None:
    if _check(node, columns) != "number":
        raise ValueError(f"{ast.unparse(node)!r} is not a number")


def _evaluate(node: ast.expr, table: pa.Table) -> Any:
    match node:
        case ast.Call(func=ast.Name(id=name), args=terms):
            return reduce(_FUNCTIONS[name], [_evaluate(term, table) for term in terms])
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return _COMPARISONS[type(operator)](_evaluate(left, table), _evaluate(right, table))
        case ast.BinOp(left=left, op=operator, right=right):
            return _ARITHMETIC[type(operator)](_evaluate(left, table), _evaluate(right, table))
        case ast.UnaryOp(operand=operand):
            return pc.negate(_evaluate(operand, table))
        case ast.Constant(value=str(label)):
            return pa.scalar(label)
        case ast.Constant(value=int() | float() as number):
            return pa.scalar(float(number))
        case ast.Name(id=name):
            column = table[name]
            return column.cast(pa.string() if pa.types.is_dictionary(column.type) else pa.float64())
    raise ValueError(f"{ast.unparse(node)!r} is not accepted")
