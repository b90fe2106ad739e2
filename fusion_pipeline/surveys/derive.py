"""Derived variables: a small language over the columns of one table.

Belongs here: checking and evaluating the expressions of codebooks. Nothing is ever executed: an expression is
parsed into a syntax tree and only the nodes below are accepted.

    any(...)  all(...)                of comparisons
    ==  !=  <  <=  >  >=              of a column with a label or number, or of two numeric terms
    +  -  *  /  min(...)  max(...)    of numeric columns and numbers
    a if ... else b                   of numeric terms and a comparison, any(...) or all(...)
    missing                           no number
    lookup("table", a, b, ...)        last column of `codebooks/lookups/<table>.csv`, whose other columns are keys

Missing values follow three-valued logic: `any` is true as soon as one term is true, and otherwise missing
when a term is; anything computed from a missing number, any quotient by zero, any choice by a missing condition
and any look-up of a key that the table has not is missing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial, reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal["boolean", "number"]
"""What an expression gives."""

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
_LOGIC: dict[str, Callable[..., Any]] = {"any": pc.or_kleene, "all": pc.and_kleene}
_EXTREMES: dict[str, Callable[..., Any]] = {
    name: partial(function, options=pc.ElementWiseAggregateOptions(skip_nulls=False))
    for name, function in (("min", pc.min_element_wise), ("max", pc.max_element_wise))
}
_WORDS = frozenset({*_LOGIC, *_EXTREMES, "lookup", "missing"})
LOOKUPS = Path(__file__).parents[1] / "codebooks" / "lookups"


def check_expression(
    expression: str,
    columns: Mapping[str, Sequence[str]],
    kind: Kind | None = None,
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
    found = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id not in _WORDS]
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


def _check(node: ast.expr, columns: Mapping[str, Sequence[str]]) -> Kind:
    """Return the kind of a node."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as terms, keywords=[]) if name in _LOGIC:
            for term in terms:
                _check_comparison(term, columns)
            return "boolean"
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as terms, keywords=[]) if name in _EXTREMES:
            for term in terms:
                _check_number(term, columns)
            return "number"
        case ast.Call(func=ast.Name(id="lookup"), args=[ast.Constant(value=str(table)), *keys], keywords=[]):
            if len(keys) != len(_lookup_table(table).columns) - 1:
                raise ValueError(f"{ast.unparse(node)!r}: the table has other keys")
            for key in keys:
                _check_number(key, columns)
            return "number"
        case ast.Name(id="missing"):
            return "number"
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
        case ast.IfExp(test=test, body=body, orelse=orelse):
            _check_comparison(test, columns)
            _check_number(body, columns)
            _check_number(orelse, columns)
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


def _check_comparison(node: ast.expr, columns: Mapping[str, Sequence[str]]) -> None:
    if _check(node, columns) != "boolean":
        raise ValueError(f"{ast.unparse(node)!r} is not a comparison")


def _check_number(node: ast.expr, columns: Mapping[str, Sequence[str]]) -> None:
    if _check(node, columns) != "number":
        raise ValueError(f"{ast.unparse(node)!r} is not a number")


def _evaluate(node: ast.expr, table: pa.Table) -> Any:
    match node:
        case ast.Call(func=ast.Name(id="lookup"), args=[ast.Constant(value=str(name)), *keys]):
            return _look_up(_lookup_table(name), [_evaluate(key, table) for key in keys], table.num_rows)
        case ast.Call(func=ast.Name(id=name), args=terms) if name in _EXTREMES:
            return _EXTREMES[name](*(_evaluate(term, table) for term in terms))
        case ast.Call(func=ast.Name(id=name), args=terms):
            return reduce(_LOGIC[name], [_evaluate(term, table) for term in terms])
        case ast.Name(id="missing"):
            return pa.scalar(None, pa.float64())
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return _COMPARISONS[type(operator)](_evaluate(left, table), _evaluate(right, table))
        case ast.BinOp(left=left, op=operator, right=right):
            return _ARITHMETIC[type(operator)](_evaluate(left, table), _evaluate(right, table))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return pc.if_else(_evaluate(test, table), _evaluate(body, table), _evaluate(orelse, table))
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


@cache
def _lookup_table(name: str) -> pd.DataFrame:
    path = LOOKUPS / f"{name}.csv"
    if not path.is_file():
        raise ValueError(f"there is no table {path.name} among the look-ups")
    return pd.read_csv(path, dtype=np.float64, comment="#")


def _look_up(entries: pd.DataFrame, keys: Sequence[Any], rows: int) -> pa.Array:
    names = list(entries.columns)
    asked = pd.DataFrame(
        {
            name: np.full(rows, key.as_py(), dtype=np.float64)
            if isinstance(key, pa.Scalar)
            else key.to_pandas().to_numpy(dtype=np.float64, na_value=np.nan)
            for name, key in zip(names[:-1], keys, strict=True)
        }
    )
    found = asked.merge(entries, how="left", on=names[:-1], validate="many_to_one")
    return pa.array(found[names[-1]], from_pandas=True)
