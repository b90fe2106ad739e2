"""What a harmony is, for one vintage of the donor and one of the recipient.

Belongs here: the data model that is applied to tables, and its rules. Does not belong here: how harmonies are
written for ranges of vintages (`documents.py`), applying them (`tables.py`).
"""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

HarmonySet = Literal["current", "paper"]
Aggregator = Literal["reference", "sum", "min", "max", "mean", "median", "count"]
Interval = tuple[float | None, float | None]
# An unordered group has neither a mean nor a largest value.
_OF_GROUPS: dict[bool, tuple[Aggregator, ...]] = {True: ("reference", "min", "max"), False: ("reference",)}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Side(_Model):
    """The donor's or the recipient's half of a harmony."""

    var: str
    level: Literal["household", "person"]
    agg: Aggregator | None = None
    """How persons become their household; required for a person variable, not allowed for a household's."""
    count: str | None = None
    """Condition that the counted members meet, with agg `count`; see `surveys.derive`."""
    expr: str | None = None
    """Evaluated instead of taking the column `var`, see `surveys.derive`."""
    map: dict[int, tuple[str, ...]] | None = None
    """Group -> levels; `*` in a level stands for any text."""
    bins: dict[int, tuple[Interval, ...]] | None = None
    """Group -> half-open intervals `[low, high)`; None is unbounded."""

    @property
    def groups(self) -> list[int]:
        """Group numbers this side can give, ascending; none for a number."""
        return sorted(self.map or self.bins or {})

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns it is made from."""
        expression = self.count or self.expr
        return expression_names(expression) if expression else (self.var,)

    @model_validator(mode="after")
    def _consistent(self) -> Side:
        if not self.columns:
            raise ValueError(f"{self.var}: {(self.count or self.expr)!r} names no variable")
        if self.level == "person" and self.agg is None:
            raise ValueError(
                f"{self.var} is a person variable without an aggregator; add agg: reference, sum, min, max, mean,"
                " median, or {count: condition}"
            )
        if self.level == "household" and self.agg is not None:
            raise ValueError(f"{self.var} is a household variable; agg is for persons only")
        if (self.agg == "count") != (self.count is not None):
            raise ValueError(f"{self.var}: agg count needs a condition, and a condition agg count")
        if self.count is not None and (self.groups or self.expr):
            raise ValueError(f"{self.var}: a count has no groups and no expr")
        if self.map is not None and self.bins is not None:
            raise ValueError(f"{self.var}: has both levels and intervals")
        if self.map is not None and self.expr is not None:
            raise ValueError(f"{self.var}: expr gives a number, which needs intervals instead of levels")
        levels = [level.casefold() for group in (self.map or {}).values() for level in group]
        if repeated := sorted({level for level in levels if levels.count(level) > 1}):
            raise ValueError(f"{self.var}: level {repeated[0]!r} is in two groups")
        intervals = bin_edges(self.bins or {})
        for low, high, group in intervals:
            if not low < high:
                raise ValueError(f"{self.var}: interval [{low}, {high}) of group {group} is empty")
        for (_, high, first), (low, _, second) in pairwise(intervals):
            if low < high:
                raise ValueError(f"{self.var}: intervals of groups {first} and {second} overlap at {low}")
        return self

    def groups_of(self, levels: Iterable[str]) -> dict[str, int]:
        """Group of every level that has one; a level written out goes before a pattern. Capitals do not matter."""
        exact = {label.casefold(): group for group, labels in (self.map or {}).items() for label in labels}
        patterns = [(label, group) for label, group in exact.items() if "*" in label]
        found: dict[str, int] = {}
        for level in levels:
            if level.casefold() in exact:
                found[level] = exact[level.casefold()]
                continue
            for pattern, group in patterns:
                if matches(level, pattern):
                    found[level] = group
                    break
        return found


class Entry(_Model):
    """One harmony: a pair of variables and the groups they have in common."""

    ordered: bool | None = None
    """Whether the order of the groups means anything; None for a number."""
    names: tuple[str, ...] = ()
    """What the groups 1, 2, ... stand for."""
    donor: Side
    recipient: Side

    @property
    def is_categorical(self) -> bool:
        """Whether the harmonized predictor is categorical; else it is a number."""
        return bool(self.names)

    @property
    def groups(self) -> list[int]:
        """Groups of a categorical predictor, the same on both sides: its levels."""
        return self.donor.groups

    @model_validator(mode="after")
    def _consistent(self) -> Entry:
        sides = (self.donor, self.recipient)
        if self.is_categorical != (self.ordered is not None):
            raise ValueError("ordered has to be declared for a harmony with groups, and only for one")
        numbers = list(range(1, len(self.names) + 1))
        for role, side in (("donor", self.donor), ("recipient", self.recipient)):
            if empty := [self.names[g - 1] for g in numbers if g not in side.groups]:
                raise ValueError(f"group {empty[0]!r} is empty: it has no level or interval of the {role}")
            if side.groups != numbers:
                raise ValueError(f"the {role} has groups {side.groups}, which are not {numbers}")
        if self.is_categorical:
            for side in sides:
                allowed = _OF_GROUPS[bool(self.ordered)]
                if side.agg is not None and side.agg not in allowed:
                    raise ValueError(f"{side.var}: agg {side.agg} is not one of {', '.join(allowed)}")
        return self


class Survey(_Model):
    """A survey and its vintage."""

    survey: str
    vintage: str

    @property
    def label(self) -> str:
        """Such as `RECS 2015`."""
        return f"{self.survey} {self.vintage}"

    @property
    def codebook(self) -> str:
        """Name of its codebook, such as `recs_2015`."""
        return f"{self.survey}_{self.vintage}".lower()


class KnownDefect(_Model):
    """Something wrong in published definitions that are kept as they were, and why nothing is done about it."""

    harmony: str
    what: str
    """What `checking.check` finds, with `*` for any text."""
    why: str


class Harmony(_Model):
    """All harmonies of a donor survey and a recipient, by the name of their predictor."""

    set: HarmonySet = "current"
    donor: Survey
    recipient: Survey
    entries: dict[str, Entry]
    defects: tuple[KnownDefect, ...] = ()
    """What is known to be wrong with them."""

    @property
    def name(self) -> str:
        """Such as ``RECS_2015__ACS_2015``."""
        sides = (self.donor, self.recipient)
        return "__".join(f"{side.survey}_{side.vintage}" for side in sides)

    @property
    def file(self) -> str:
        """Path inside the project, for messages."""
        return f"fusion_pipeline/harmonies/{self.donor.survey}.yaml"


def matches(level: str, pattern: str) -> bool:
    """Whether a level fits a pattern, in which only `*` is special and capitals do not matter."""
    escaped = "".join(f"[{c}]" if c in "?[" else c for c in pattern.casefold())
    return fnmatch.fnmatchcase(level.casefold(), escaped)


def expression_names(expression: str) -> tuple[str, ...]:
    """Names of the variables in an expression, in order of appearance.

    Raises
    ------
    ValueError
        If it does not parse.
    """
    try:
        tree = ast.parse(expression, mode="eval")
    except SyntaxError as error:
        raise ValueError(f"{expression!r} is not an expression ({error.msg})") from error
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions)
    return tuple(dict.fromkeys(names))


def bin_edges(bins: dict[int, tuple[Interval, ...]]) -> list[tuple[float, float, int]]:
    """Every interval as (low, high, group), ascending, with infinite ends for unbounded ones."""
    return sorted(
        (float("-inf") if low is None else low, float("inf") if high is None else high, group)
        for group, intervals in bins.items()
        for low, high in intervals
    )
