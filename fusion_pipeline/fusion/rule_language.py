"""The language of rules: what must be true of a fused record, as the text that a plan carries.

Belongs here: reading rules and conditions. Nothing is ever executed: a text is parsed into a syntax tree, and only the
forms below are accepted. Does not belong here: what rules mean for columns (`rules.py`).

    fuel == 0 unless has_gas            a structural rule: nothing is used where there is none
    rooms >= 1                          a bound
    spent <= income                     a bound for each record, from a column of the recipient or fused before
    cool in ["no", "room"] if climate == "cold"

A rule is ``variable OP operand``, then perhaps ``if`` or ``unless`` and a condition. OP is ``== < <= > >=``, or
``==`` and ``in`` with levels for a category. A condition is a column (a truth value, or a quantity that is to be
positive), ``not`` a column, a comparison of a column with constants, or several of these joined by ``and``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from fusion_pipeline.errors import TrainingError, choose_among
from fusion_pipeline.fusion.rules import Condition, Constant, Rule, Term

_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
_REMEDY = (
    'Write it like `fuel == 0 unless has_gas`, `spent <= income` or `cool in ["no"] if climate == "cold"`.'
)


def parse_rule(text: str) -> Rule:
    """Read a rule.

    Raises
    ------
    TrainingError
        If the text is not in the language; the message quotes it.

    Examples
    --------
    >>> rule = parse_rule("fuel == 0 unless has_gas")
    >>> rule.variable, rule.operator, rule.operand, rule.columns
    ('fuel', '==', (0,), ('has_gas',))
    """
    parts = re.split(r"\s+(if|unless)\s+", text.strip())
    if len(parts) not in (1, 3):
        raise _unreadable(f"rule `{text}`")
    match _parse(parts[0], text):
        case ast.Compare(left=ast.Name(id=variable), ops=[operator], comparators=[right]) if not isinstance(
            operator, ast.NotEq | ast.NotIn
        ):
            sign = _OPERATORS.get(type(operator), "")
            operand = right.id if isinstance(right, ast.Name) else _constants(right, text)
        case _:
            raise _unreadable(f"rule `{text}`")
    if not sign or (sign == "in") != isinstance(right, ast.List | ast.Tuple):
        raise _unreadable(f"rule `{text}`")
    condition = parse_condition(parts[2]) if len(parts) == 3 else None
    return Rule(text, variable, sign, operand, condition, len(parts) == 3 and parts[1] == "unless")


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises
    ------
    TrainingError
        If the text is not in the language; the message quotes it.
    """
    tree = _parse(text, text)
    terms = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    return Condition(text, tuple(_term(term, text) for term in terms))


def with_levels(text: str, levels: Mapping[str, Mapping[str, str]]) -> str:
    """Write a rule with levels as the tables have them.

    Parameters
    ----------
    text : str
        A rule.
    levels : mapping
        Column -> name of a level in the rule -> level in the tables; other columns and levels stay.

    Raises
    ------
    TrainingError
        If the text is not in the language, or a level of one of these columns has no name there.

    Examples
    --------
    >>> with_levels('fuel > 0 if heat == "Gas"', {"heat": {"None": "1", "Gas": "2"}})
    "fuel > 0 if heat == '2'"
    """
    parse_rule(text)
    parts = re.split(r"(\s+(?:if|unless)\s+)", text.strip())
    for place in range(0, len(parts), 2):
        tree = _parse(parts[place], text)
        for node in ast.walk(tree):
            if not (
                isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id in levels
            ):
                continue
            named = levels[node.left.id]
            for constant in (n for n in ast.walk(node) if isinstance(n, ast.Constant)):
                if str(constant.value) not in named:
                    raise TrainingError(
                        f"rule `{text}`",
                        f"names {constant.value!r}, which is no level of {node.left.id}.",
                        choose_among(str(constant.value), named),
                    )
                constant.value = named[str(constant.value)]
        parts[place] = ast.unparse(tree)
    return "".join(parts)


def _term(node: ast.expr, text: str) -> Term:
    match node:
        case ast.Name(id=column):
            return Term(column)
        case ast.UnaryOp(op=ast.Not(), operand=ast.Name(id=column)):
            return Term(column, negated=True)
        case ast.Compare(left=ast.Name(id=column), ops=[operator], comparators=[right]) if type(
            operator
        ) in _OPERATORS and isinstance(operator, ast.In | ast.NotIn) == isinstance(
            right, ast.List | ast.Tuple
        ):
            return Term(column, _OPERATORS[type(operator)], _constants(right, text))
    raise _unreadable(f"condition `{text}`")


def _constants(node: ast.expr, text: str) -> tuple[Constant, ...]:
    try:
        value = ast.literal_eval(node)
    except ValueError as error:
        raise _unreadable(f"rule `{text}`") from error
    found = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not found or not all(isinstance(constant, str | int | float) for constant in found):
        raise _unreadable(f"rule `{text}`")
    return found


def _parse(part: str, text: str) -> ast.expr:
    try:
        return ast.parse(part.strip(), mode="eval").body
    except SyntaxError as error:
        raise _unreadable(f"rule `{text}`") from error


def _unreadable(where: str) -> TrainingError:
    return TrainingError(where, "is not in the language of rules.", _REMEDY)
