"""Expressions over columns: derived variables, filters and groups, checked before anything runs.

Belongs here: reading an expression, what it may contain, and which columns it names. Does not belong here:
running it (`microdata.py`).

An expression is written as in DuckDB's SQL (`dollarel / income`, `hincp < 30000 AND tenure = 'Rented'`). DuckDB's
own parser turns it into a tree, the tree is held against a list of what is allowed, and what runs is the tree
written out again, never the user's text: no table, subquery, window, parameter or function outside the list
can be reached.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fusion_pipeline.errors import AnalysisError, choose_among

_CLASSES = {
    "COLUMN_REF",
    "CONSTANT",
    "FUNCTION",
    "COMPARISON",
    "CONJUNCTION",
    "OPERATOR",
    "BETWEEN",
    "CASE",
    "CAST",
    "TYPE",
}
_OPERATORS = {"+", "-", "*", "/", "//", "%", "**", "^", "~~", "!~~", "~~*", "!~~*", "||"}
FUNCTIONS = frozenset(
    [
        "abs",
        "ceil",
        "ceiling",
        "coalesce",
        "concat",
        "contains",
        "ends_with",
        "exp",
        "floor",
        "greatest",
        "ifnull",
        "isfinite",
        "isnan",
        "least",
        "left",
        "length",
        "ln",
        "log",
        "log10",
        "log2",
        "lower",
        "nullif",
        "pow",
        "power",
        "replace",
        "right",
        "round",
        "sign",
        "sqrt",
        "starts_with",
        "substr",
        "substring",
        "trim",
        "trunc",
        "upper",
    ]
)
"""Functions of single values that give the same answer every time."""
_TYPES = {
    "double", "float", "real", "integer", "int", "bigint", "smallint", "tinyint", "varchar", "text", "boolean", "bool",
}  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """A checked expression."""

    text: str
    """As it was written."""
    sql: str
    """As it runs."""
    columns: tuple[str, ...]
    """Columns it names, in order of appearance."""


def read_expression(text: str, columns: Mapping[str, object] | Sequence[str], purpose: str) -> Expression:
    """Check an expression.

    Parameters
    ----------
    text : str
        A column's name as it is, or an expression in which names with other than letters, digits and _ stand
        in double quotes.
    columns : mapping or sequence of str
        What it may name. Names are told apart by upper and lower case only if both exist.
    purpose : str
        For the message, such as ``by`` or ``where``.

    Raises
    ------
    AnalysisError
        If it cannot be read, names another column, or holds something that is not allowed.
    """
    name = text.strip()
    if name in columns:
        return Expression(text, _quoted(name), (name,))
    where = f"{purpose} {text.strip()}"
    tree, sql = _parse(text, where)
    folded = {column.lower(): column for column in columns}
    found: list[str] = []
    for node in _nodes(tree):
        _check(node, where)
        if node["class"] != "COLUMN_REF":
            continue
        path = node["column_names"]
        column = path[0] if path[0] in columns else folded.get(path[0].lower())
        if len(path) > 1 or column is None:
            raise AnalysisError(
                f"{purpose} {'.'.join(path)}",
                "is neither in the implicates nor in the static table"
                + (f" (in {text.strip()!r})." if ".".join(path) != name else "."),
                f"{choose_among(path[-1], columns)} Text stands in single quotes.",
            )
        found.append(column)
    return Expression(text, sql, tuple(dict.fromkeys(found)))


def _parse(text: str, where: str) -> tuple[dict[str, Any], str]:
    import duckdb

    remedy = "Write one expression over columns, such as income < 30000 or dollarel / income."
    # A connection of its own, in memory: nothing can be read or changed here.
    with duckdb.connect() as connection:
        row = connection.execute(
            "SELECT json_serialize_sql(?::VARCHAR)", [f"SELECT ({text}\n) AS e"]
        ).fetchone()
        assert row is not None
        answer = json.loads(row[0])
        if answer["error"]:
            raise AnalysisError(
                where, f"is not an expression ({answer.get('error_message', 'syntax')}).", remedy
            )
        if len(answer["statements"]) != 1:
            raise AnalysisError(where, "is more than one statement.", remedy)
        node = answer["statements"][0]["node"]
        plain = (
            node.get("type") == "SELECT_NODE"
            and len(node["select_list"]) == 1
            and node["select_list"][0].get("alias") == "e"
            and node["from_table"]["type"] == "EMPTY"
            and not any(
                node.get(key)
                for key in ("modifiers", "where_clause", "group_expressions", "having", "qualify", "sample")
            )
            and not node["cte_map"]["map"]
        )  # fmt: skip
        if not plain:
            raise AnalysisError(where, "is more than one expression.", remedy)
        tree = node["select_list"][0]
        tree["alias"] = ""
        again = connection.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(answer)]).fetchone()
        assert again is not None
    return tree, again[0].removeprefix("SELECT ")


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "class" in value:
            yield value
        for part in value.values():
            yield from _nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _nodes(part)


def _check(node: dict[str, Any], where: str) -> None:
    kind = node["class"]
    name = ""
    if kind == "FUNCTION":
        name = node["function_name"].lower()
        allowed = name in _OPERATORS if node["is_operator"] else name in FUNCTIONS
        allowed = allowed and not any(node.get(key) for key in ("filter", "distinct", "schema", "catalog"))
    elif kind == "TYPE":
        name = node["type_name"].lower()
        allowed = name in _TYPES
    else:
        allowed = kind in _CLASSES
    if not allowed:
        raise AnalysisError(
            where,
            f"holds {name or kind.lower()}, which is not allowed here.",
            f"Use operators, CASE, CAST, and these functions: {', '.join(sorted(FUNCTIONS))}.",
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
