"""Variables as codebooks describe them: codes, labels, ranges, skips.

Belongs here: the schema of one variable, and how codes are compared. Does not belong here: what holds a
survey together (`codebook.py`), or the application to data (`coding.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from fusion_pipeline.surveys.allocating import load_shares
from fusion_pipeline.surveys.derive import check_expression

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
OTHERWISE = "otherwise"
_WHOLE = re.compile(r"([+-]?)(\d+)(\.0*)?", re.ASCII)


class Entry(BaseModel):
    """Anything in a codebook: what is not in the schema is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(Entry):
    """A range of numbers, both ends included; None is unbounded."""

    low: float | None
    high: float | None

    @classmethod
    def parse(cls, text: str) -> Span | None:
        """Read `3..`, `..5` or `1..19`; None if the text is no range."""
        low, dots, high = text.partition("..")
        if not dots:
            return None
        return cls(low=float(low) if low.strip() else None, high=float(high) if high.strip() else None)

    def __str__(self) -> str:
        """Write the range as a codebook does."""
        return "..".join("" if end is None else f"{end:.15g}" for end in (self.low, self.high))


SpanText = Annotated[Span, BeforeValidator(lambda text: Span.parse(text) if isinstance(text, str) else text)]


class Variable(Entry):
    """One variable of the processed survey, made from one raw column."""

    raw: Text
    """Raw column; its case does not matter."""
    flag: Text | None = None
    """Raw column that says why a cell is blank: a blank cell counts as the flag's text."""
    description: Text
    universe: Text | None = None
    """Whom the question is put to; everybody if unset."""
    unit: Text | None = None
    type: Literal["integer", "number", "factor", "ordered", "place"]
    """A `place` is a zero-padded area code whose levels are those that occur."""
    levels: dict[str, Text] = Field(default_factory=dict)
    """Label of each code, in the order of the levels; several codes may share a label."""
    width: int | None = Field(default=None, ge=1)
    """Digits of a `place`."""
    not_applicable: Text | None = None
    """Label (then the first level, unless listed) or number that stands for a valid skip."""
    not_applicable_codes: tuple[str, ...] | None = None
    """Codes of a valid skip, where the survey's default does not hold."""
    missing_codes: tuple[str, ...] | None = None
    """Codes of a missing answer, where the survey's default does not hold."""
    values: dict[str, float] = Field(default_factory=dict)
    """Codes among the numbers, and the number that each means."""
    range: SpanText | None = None
    """Numbers that the raw column may hold, special codes aside."""
    adjust: Name | None = None
    """Adjustment that turns the raw amount into dollars of the survey year."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Raw columns it is read from."""
        return (self.raw,) if self.flag is None else (self.raw, self.flag)

    @property
    def categorical(self) -> bool:
        """Whether the values are labels."""
        return self.type in ("factor", "ordered", "place")

    @property
    def labels(self) -> tuple[str, ...]:
        """All levels in order; empty for numbers and places."""
        if self.type not in ("factor", "ordered"):
            return ()
        listed = tuple(dict.fromkeys(self.levels.values()))
        skip = self.not_applicable
        return listed if skip is None or skip in listed else (skip, *listed)

    @model_validator(mode="after")
    def _fields_fit_the_type(self) -> Variable:
        coded = self.type in ("factor", "ordered")
        if coded != bool(self.levels):
            raise ValueError(f"type {self.type} {'needs' if coded else 'takes no'} levels")
        if (self.type == "place") != (self.width is not None):
            raise ValueError("width belongs to type place, and to no other")
        if self.categorical and (self.values or self.range or self.adjust or self.unit):
            raise ValueError("values, range, adjust and unit belong to numbers")
        if self.type == "place" and self.not_applicable is not None:
            raise ValueError("a place always applies")
        if not self.categorical and self.not_applicable is not None:
            float(self.not_applicable)
        return self


class Derived(Entry):
    """A variable computed from others of the same respondent."""

    description: Text
    universe: Text | None = None
    unit: Text | None = None
    type: Literal["number", "factor", "ordered"]
    expression: Text | None = None
    """See `derive.py`."""
    levels: dict[Literal["true", "false"], Text] = Field(default_factory=dict)
    """Labels of what the expression gives, in the order of the levels."""
    cases: dict[Text, Text] = Field(default_factory=dict)
    """In place of expression and levels: each label, in their order, and the expression that it stands for.
    A record has the first that holds; `otherwise`, of the last, always does."""
    imputed_without: tuple[Name, ...] = ()
    """Variables that must not predict it where it is missing, because they hold for other records by design. Those
    of the expression never do."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All levels in order; empty for numbers."""
        return tuple(self.cases) or tuple(self.levels.values())

    @property
    def expressions(self) -> tuple[str, ...]:
        """Every expression, the closing `otherwise` of cases aside."""
        conditions = tuple(c for c in self.cases.values() if c != OTHERWISE)
        return conditions if self.expression is None else (self.expression, *conditions)

    @model_validator(mode="after")
    def _fields_fit_the_type(self) -> Derived:
        if bool(self.expression) == bool(self.cases):
            raise ValueError("give an expression or cases")
        two = self.type == "factor" and not self.cases
        if (self.type == "number" and self.cases) or len(self.levels) != (2 if two else 0):
            raise ValueError("a factor needs the levels true and false, or cases; a number neither")
        if self.type == "ordered" and not self.cases:
            raise ValueError("an ordered variable needs cases")
        if OTHERWISE in list(self.cases.values())[:-1]:
            raise ValueError(f"{OTHERWISE} belongs to the last case")
        return self


Statistic = Literal["count", "sum", "mean", "min", "max", "share", "shared"]


class Share(Entry):
    """The part of a record's value that falls to one category; see `allocating.py`."""

    by: Name
    """Coded variable of the records."""
    table: Name
    """Allocation table of its codes."""
    category: Name
    absolute: bool = False
    """Whether values count without their sign, as repayments do that are booked as reductions of a debt."""


class Summary(Entry):
    """A variable of households made from their persons, vehicles, trips, ...; see `summaries.py`."""

    description: Text
    universe: Text | None = None
    unit: Text | None = None
    type: Literal["integer", "number", "factor"]
    of: Name
    """Kind of record that is summarised."""
    statistic: Statistic
    value: Text | None = None
    """What is summed, averaged, ...: a number (`derive.py`); for `share` a condition; for `shared` a variable."""
    where: Text | None = None
    """Condition of the records that count; all if unset."""
    share: Share | None = None
    """For `sum`: the part of each value that counts."""
    none: Text | None = None
    """Value of a household without such records; 0 for counts and sums; missing for `shared` if unset."""
    several: Text | None = None
    """Label of `shared` where the records differ; missing if unset."""
    levels: tuple[Text, ...] = ()
    """Levels of `shared` that its records may have, in order."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All levels in order; empty for numbers."""
        return (
            tuple(dict.fromkeys(x for x in (self.none, *self.levels, self.several) if x))
            if self.levels
            else ()
        )

    def uses(self, columns: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """Check the expressions against the columns of the records, name to levels, and name those used.

        Raises
        ------
        ValueError
            Saying what is not accepted.
        """
        used = [] if self.where is None else [*check_expression(self.where, columns, kind="boolean")]
        if self.share is not None:
            shares = load_shares(self.share.table)
            if not columns.get(self.share.by) or self.share.category not in shares:
                raise ValueError(f"{self.share.by} has no levels, or none falls to {self.share.category}")
            used.append(self.share.by)
        if self.statistic == "shared":
            if (
                self.value is None
                or self.value not in columns
                or not set(columns[self.value]) <= set(self.levels)
            ):
                raise ValueError(f"{self.value} has not the levels listed")
            used.append(self.value)
        elif self.value is not None:
            kind: Literal["boolean", "number"] = "boolean" if self.statistic == "share" else "number"
            terms = check_expression(self.value, columns, kind=kind)
            if not terms:
                raise ValueError(f"{self.value!r} is the same for all records")
            used += terms
        return tuple(dict.fromkeys(used))

    @model_validator(mode="after")
    def _fields_fit_the_statistic(self) -> Summary:
        if (self.value is None) != (self.statistic == "count"):
            raise ValueError(f"{self.statistic} {'takes no' if self.value else 'needs a'} value")
        shared = self.statistic == "shared"
        if not shared == (self.type == "factor") == bool(self.levels) or (self.several and not shared):
            raise ValueError("shared, and no other statistic, has type factor, levels and several")
        if self.share and self.statistic != "sum":
            raise ValueError("share belongs to sum")
        if not shared and (self.none is None) != (self.statistic in ("count", "sum")):
            raise ValueError("say what `none` is; for counts and sums it is 0")
        if self.none is not None and not shared:
            float(self.none)
        return self


def canonical(code: str) -> str:
    """Write whole numbers one way (`01`, `1.0` and ` 1` are `1`); other text is only stripped."""
    code = code.strip()
    if (whole := _WHOLE.fullmatch(code)) is None:
        return code
    digits = whole[2].lstrip("0") or "0"
    return f"-{digits}" if whole[1] == "-" and digits != "0" else digits


def is_whole(code: str) -> bool:
    """Say whether a code is a whole number."""
    return _WHOLE.fullmatch(code.strip()) is not None
