"""Rules: what must be true of a fused record, in a small language that a plan carries as text.

Belongs here: parsing, checking and evaluating rules and conditions. Nothing is ever executed: a text is parsed into
a syntax tree, and only the forms below are accepted. Does not belong here: drawing values that obey (`enforcing.py`).

    fuel == 0 unless has_gas            a structural rule: nothing is used where there is none
    rooms >= 1                          a bound
    spent <= income                     a bound for each record, from a column of the recipient or fused before
    cool in ["no", "room"] if climate == "cold"

A rule is ``variable OP operand``, then perhaps ``if`` or ``unless`` and a condition. OP is ``== < <= > >=``, or
``==`` and ``in`` with levels for a category. A condition is a column (a truth value, or a quantity that is to be
positive), ``not`` a column, a comparison of a column with constants, or several of these joined by ``and``.

What is missing obliges to nothing: a rule whose bound or condition is unknown for a record does not apply to it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from fusion_pipeline.errors import FusionError, TrainingError
from fusion_pipeline.fusion import variables
from fusion_pipeline.fusion.variables import Variable

Values: TypeAlias = tuple[np.ndarray, Variable]
"""A column: (n, m) or (n, 1) codes (-1: missing) or numbers (NaN: missing), and what they are."""
Lookup: TypeAlias = Callable[[str], Values]
Constant: TypeAlias = str | float | bool

_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
_REMEDY = (
    'Write it like `fuel == 0 unless has_gas`, `spent <= income` or `cool in ["no"] if climate == "cold"`.'
)


@dataclass(frozen=True)
class Term:
    """A comparison of one column; without operator: it is true, or positive."""

    column: str
    operator: str = ""
    constants: tuple[Constant, ...] = ()
    negated: bool = False

    def truth(self, lookup: Lookup) -> tuple[np.ndarray, np.ndarray]:
        """Return where it is true, and where that is known."""
        values, variable = lookup(self.column)
        if variable.kind == "categorical":
            known = values >= 0
            wanted = [1] if not self.operator else [position(variable, c) for c in self.constants]
            hit = np.isin(values, wanted)
        else:
            known = ~np.isnan(values)
            with np.errstate(invalid="ignore"):
                hit = _compare(values, self.operator, self.constants)
        if self.operator in ("!=", "not in"):
            hit = ~hit
        return (hit ^ self.negated) & known, known

    def check(self, variable: Variable, where: str) -> None:
        """Refuse a comparison that the column does not allow."""
        if variable.kind != "categorical":
            if any(isinstance(c, str) for c in self.constants):
                raise TrainingError(
                    where, f"compares the number {self.column} with text.", "Compare numbers."
                )
            return
        if not self.operator:
            if variable.type != "bool":
                levels = ", ".join(variable.levels[:12])
                raise TrainingError(
                    f"{where}, column {self.column}", "is categorical and cannot be a universe or condition.",
                    f'Name levels, as in `{self.column} == "{variable.levels[0]}"` (it has {levels}).',
                )  # fmt: skip
            return
        if self.operator not in ("==", "!=", "in", "not in"):
            raise TrainingError(
                where, f"compares the levels of {self.column} by size.", "List them: `in [...]`."
            )
        for constant in self.constants:
            position(variable, constant, where)


@dataclass(frozen=True)
class Condition:
    """Terms that must all be true."""

    text: str
    terms: tuple[Term, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns it reads."""
        return tuple(dict.fromkeys(term.column for term in self.terms))

    def truth(self, lookup: Lookup) -> tuple[np.ndarray, np.ndarray]:
        """Return where it is true, and where it is known whether it is: one false term suffices."""
        parts = [term.truth(lookup) for term in self.terms]
        true, known = parts[0]
        false = known & ~true
        for hit, sure in parts[1:]:
            true, false = true & hit, false | (sure & ~hit)
        return true, true | false


@dataclass(frozen=True)
class Rule:
    """What a fusion variable may be.

    Parameters
    ----------
    text : str
        As written.
    variable : str
        The fusion variable.
    operator : str
        ``==``, ``<``, ``<=``, ``>``, ``>=`` or ``in``.
    operand : str or tuple
        The name of a column, or constants.
    condition : Condition, optional
    unless : bool
        Whether the rule applies where the condition is false.
    """

    text: str
    variable: str
    operator: str
    operand: str | tuple[Constant, ...]
    condition: Condition | None = None
    unless: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns it reads besides its variable."""
        own = (self.operand,) if isinstance(self.operand, str) else ()
        return tuple(dict.fromkeys((*own, *(self.condition.columns if self.condition else ()))))

    def applies(self, lookup: Lookup) -> np.ndarray:
        """Return where the rule obliges, (n, m) or (n, 1)."""
        if self.condition is None:
            return np.ones((1, 1), dtype=bool)
        true, known = self.condition.truth(lookup)
        return known & ~true if self.unless else true

    def bounds(self, lookup: Lookup, variable: Variable) -> tuple[np.ndarray, np.ndarray]:
        """Return the smallest and largest value that its variable may have, infinite where the rule does not oblige.

        Both are values of the variable's type. Equality asks for the value of that type next to the one named.
        """
        if isinstance(self.operand, str):
            limit = lookup(self.operand)[0].astype(np.float64)
        else:
            limit = np.full((1, 1), float(self.operand[0]))
        if self.operator == "==" and variable.dtype.kind == "f":
            limit = limit.astype(variable.dtype).astype(np.float64)
        obliged = self.applies(lookup) & ~np.isnan(limit)
        lower, upper = np.full(obliged.shape, -np.inf), np.full(obliged.shape, np.inf)
        limit = np.broadcast_to(limit, obliged.shape)
        if self.operator in ("==", ">", ">="):
            lower[obliged] = limit[obliged] if self.operator != ">" else np.nextafter(limit[obliged], np.inf)
        if self.operator in ("==", "<", "<="):
            upper[obliged] = limit[obliged] if self.operator != "<" else np.nextafter(limit[obliged], -np.inf)
        return variable.inward(lower, upper)

    def allowed(self, variable: Variable) -> np.ndarray:
        """Return, for a category, which of its classes the rule allows."""
        assert not isinstance(self.operand, str)
        allowed = np.zeros(variable.classes, dtype=bool)
        allowed[[position(variable, constant) for constant in self.operand]] = True
        return allowed

    def check(self, describe: Callable[[str], Variable]) -> None:
        """Refuse what the columns do not allow.

        Raises
        ------
        TrainingError
            Naming the rule, the column and what it has.
        """
        where = f"rule `{self.text}`"
        variable = describe(self.variable)
        for term in self.condition.terms if self.condition else ():
            term.check(describe(term.column), where)
        if variable.kind == "categorical":
            if isinstance(self.operand, str) or self.operator not in ("==", "in"):
                raise TrainingError(
                    where, f"bounds {self.variable}, which is categorical.", "List levels: `in [...]`."
                )
            for constant in self.operand:
                position(variable, constant, where)
        elif isinstance(self.operand, str):
            if describe(self.operand).kind == "categorical":
                raise TrainingError(where, f"uses the category {self.operand} as bound.", "Use a number.")
        elif self.operator == "in" or isinstance(self.operand[0], str):
            raise TrainingError(
                where, f"gives the number {self.variable} levels.", "Bound it by numbers or by a column."
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


def position(variable: Variable, constant: Constant, where: str = "rule") -> int:
    """Return the code of a level.

    Raises
    ------
    TrainingError
        If the variable has no such level.
    """
    levels = ("False", "True") if variable.type == "bool" else variable.levels
    if str(constant) not in levels:
        raise TrainingError(
            where,
            f"names {constant!r}, which is no level of {variable.name} (it has {', '.join(levels[:12])}).",
            "Correct the level.",
        )
    return levels.index(str(constant))


def table_lookup(table: pa.Table, where: str, error: type[FusionError]) -> Lookup:
    """Look columns up in a table, as (n, 1) values."""
    found: dict[str, Values] = {}

    def lookup(name: str) -> Values:
        if name not in found:
            variable = variables.describe(table[name], name, where, error)
            read = variables.codes(table[name], variable) if variable.kind == "categorical" else None
            found[name] = ((variables.numbers(table[name]) if read is None else read)[:, None], variable)
        return found[name]

    return lookup


def broken(rules: Iterable[Rule], lookup: Lookup) -> dict[str, int]:
    """Count the values that break each rule, by its text; missing values break none."""
    counts = {}
    for rule in rules:
        values, variable = lookup(rule.variable)
        if variable.kind == "categorical":
            wrong = (values >= 0) & ~rule.allowed(variable)[values] & rule.applies(lookup)
        else:
            lower, upper = rule.bounds(lookup, variable)
            wrong = (values < lower) | (values > upper)
        counts[rule.text] = int(wrong.sum())
    return counts


def _compare(values: np.ndarray, operator: str, constants: Sequence[Constant]) -> np.ndarray:
    if operator in ("==", "!=", "in", "not in"):
        return np.isin(values, [float(c) for c in constants])
    comparisons: Mapping[str, Callable[[np.ndarray, float], np.ndarray]] = {
        "": np.greater, ">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal,
    }  # fmt: skip
    return comparisons[operator](values, float(constants[0]) if constants else 0.0)


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
