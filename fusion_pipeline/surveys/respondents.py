"""Kinds of records as codebooks describe them: households, persons, vehicles, trips, ...

Belongs here: the schema of one kind of record: keys, weights, which rows are kept, its variables, and how it
hangs together with households. Does not belong here: single variables (`variables.py`), what holds a survey's
kinds of records together (`codebook.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import takewhile
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from fusion_pipeline.surveys.derive import Kind, check_expression
from fusion_pipeline.surveys.predicting import Predicted
from fusion_pipeline.surveys.variables import Derived, Entry, Name, SpanText, Summary, Text, Variable

RESERVED = ("hid", "pid", "rid", "year", "weight")
NUMBERS_OF_EVERY_RECORD = ("year",)
"""Reserved columns that an expression may name."""

Ratio = Annotated[float, BeforeValidator(lambda text: float(Fraction(text)))]


class Identifier(Entry):
    """Raw columns of the keys."""

    hid: Text
    pid: Text | None = None
    rid: Text | None = None
    """Number of the record within its household, or within its person if there is a `pid`."""
    first: dict[Text, SpanText] = Field(default_factory=dict)
    """The reference person is where each of these raw columns is in its range, and becomes person 1; the others of the
    household are numbered from 2 on in the order of `pid`. Unset: `pid` is 1 for the reference person."""
    letters: dict[str, str] = Field(default_factory=dict)
    """Letters inside an otherwise numeric household key, and the digits that replace them."""

    @property
    def columns(self) -> dict[str, str]:
        """Raw column of each key that there is."""
        named = {"hid": self.hid, "pid": self.pid, "rid": self.rid}
        return {key: raw for key, raw in named.items() if raw is not None}


class Replicates(Entry):
    """Replicate weights, and the variance they are made for: scale x sum of squared deviations."""

    raw: Text
    """Column name with {} for the number, from 1."""
    count: int = Field(ge=2)
    method: Text
    scale: Ratio = Field(gt=0)
    file: Name | None = None
    """Role of a file of their own, one row a household; unset: they are in the households' file."""
    blank: float | None = None
    """What a blank weight means, such as 0 outside the half-sample; unset: none may be blank."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Raw columns in order."""
        return tuple(self.raw.format(number) for number in range(1, self.count + 1))

    @model_validator(mode="after")
    def _blanks_are_in_the_households_file(self) -> Replicates:
        if self.file is not None and self.blank is not None:
            raise ValueError("blank belongs to replicate weights in the households' file")
        return self


class Adjustment(Entry):
    """Factor column that amounts are multiplied by."""

    raw: Text
    divisor: float = Field(default=1, gt=0)
    factor: Text | None = None
    """Number that the column's number stands for, where it is no factor itself: an expression (`derive.py`) of `value`,
    such as a price index of the year that the column tells."""
    published: float | None = None
    """The one factor of the vintage, as the publisher's codebook prints it; stands in for a column that is absent."""

    @model_validator(mode="after")
    def _factor_can_be_evaluated(self) -> Adjustment:
        if self.factor is not None:
            check_expression(self.factor, {"value": ()}, kind="number")
        return self


class Respondent(Entry):
    """One kind of record."""

    id: Identifier
    weight: Text | None = None
    """Raw column; records without a weight of their own have their household's."""
    replicates: Replicates | None = None
    keep: dict[Text, SpanText] = Field(default_factory=dict)
    """Rows are kept where each of these raw columns is in its range."""
    adjustments: dict[Name, Adjustment] = Field(default_factory=dict)
    locations: tuple[Name, ...] = ()
    """Variables that disclose where the household lives, named as the concordance names them."""
    outside: Literal["drop", "refuse"] = "drop"
    """What becomes of records whose household is not among those kept: counted and dropped, or an error."""
    expect: Literal["reference person", "record"] | None = None
    """What every household must have: a person 1, at least one such record, or nothing."""
    repeats: bool = False
    """Whether several records may share all their keys, as items of one household that nothing numbers do."""
    counted_by: Name | None = None
    """Household variable that says how many such records a household has; differences are counted."""
    counted_within: float = Field(default=0.0, ge=0, lt=1)
    """Share of the households that may differ from it; beyond, the file is not that of these households, or a part."""
    variables: dict[Name, Variable] = Field(min_length=1)
    summaries: dict[Name, Summary] = Field(default_factory=dict)
    """Variables of households made from their other records, after splits are opened."""
    derived: dict[Name, Derived] = Field(default_factory=dict)
    predicted: dict[Name, Predicted] = Field(default_factory=dict)
    """Variables that are not asked, learnt from another survey; of a pooled donor only."""

    @model_validator(mode="after")
    def _tolerance_is_of_a_count(self) -> Respondent:
        if self.counted_within and self.counted_by is None:
            raise ValueError("counted_within needs counted_by")
        return self

    @property
    def required(self) -> tuple[str, ...]:
        """Raw columns that no file may lack: keys, weight and those that decide which rows are kept."""
        keys = (*self.id.columns.values(), self.weight, *self.keep, *self.id.first)
        return tuple(dict.fromkeys(name for name in keys if name))

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """Every raw column that is read from its own file, once."""
        own = self.replicates is not None and self.replicates.file is None
        columns = [*self.required, *(self.replicates.columns if self.replicates and own else ())]
        columns += [adjustment.raw for adjustment in self.adjustments.values()]
        columns += [raw for variable in self.variables.values() for raw in variable.columns]
        return tuple(spellings(columns).values())

    @property
    def everything(self) -> dict[str, Variable | Summary | Derived | Predicted]:
        """Variables, summaries, derived and predicted variables by name."""
        return {**self.variables, **self.summaries, **self.derived, **self.predicted}

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """What a summary of these records may be made of: key numbers, variables, derived variables."""
        keys: dict[str, tuple[str, ...]] = {key: () for key in self.id.columns if key != "hid"}
        return {**keys, **{name: entry.labels for name, entry in self.everything.items()}}

    @property
    def asked(self) -> dict[str, tuple[str, ...]]:
        """What a predicted variable may be predicted from: name to levels, none for numbers."""
        return {n: entry.labels for n, entry in self.everything.items() if n not in self.predicted}

    def terms(self, derived: str) -> dict[str, tuple[str, ...]]:
        """What a derived variable may be made of: name to levels, none for numbers. Derived ones before it count."""
        earlier = takewhile(lambda name: name != derived, self.everything)
        own = {name: self.everything[name].labels for name in earlier}
        return own | dict.fromkeys(NUMBERS_OF_EVERY_RECORD, ())

    def parts(self, derived: str) -> tuple[str, ...]:
        """Variables that a derived variable's expressions name."""
        texts = self.derived[derived].expressions
        found = [check_expression(text, self.terms(derived)) for text in texts]
        return tuple(dict.fromkeys(name for names in found for name in names))

    def behind(self, derived: str) -> frozenset[str]:
        """Variables that a derived variable is made of, directly or through others."""
        own = self.parts(derived)
        return frozenset(own).union(*(self.behind(name) for name in own if name in self.derived))

    def never_predicts(self, variable: str) -> frozenset[str]:
        """Name what must not predict a variable where it is missing: what it is derived from, and what is declared."""
        if variable not in self.derived:
            return frozenset()
        declared = [
            self.derived[n].imputed_without for n in (variable, *self.behind(variable)) if n in self.derived
        ]
        return self.behind(variable).union(*declared)

    @field_validator("summaries", mode="before")
    @classmethod
    def _open_splits(cls, summaries: Any) -> Any:
        """Open summaries that stand for several.

        With `split` into one more for every part: `miles` into `miles`, `miles_work`, ... With `allocate` (by, table,
        to: category -> description, absolute: categories) into one for every category of an allocation table, which
        is its name.
        """
        if not isinstance(summaries, Mapping):
            return summaries
        opened: dict[str, Any] = {}
        for name, summary in summaries.items():
            if isinstance(summary, Mapping) and isinstance(allocation := summary.get("allocate"), Mapping):
                whole = {key: value for key, value in summary.items() if key != "allocate"}
                share = {key: allocation.get(key) for key in ("by", "table")}
                for category, description in allocation.get("to", {}).items():
                    absolute = category in allocation.get("absolute", ())
                    own = {**share, "category": category, "absolute": absolute}
                    opened[category] = {**whole, "description": description, "share": own}
                continue
            parts = summary.get("split") if isinstance(summary, Mapping) else None
            if not isinstance(parts, Mapping):
                opened[name] = summary
                continue
            whole = {key: value for key, value in summary.items() if key != "split"}
            opened[name] = whole
            for part, condition in parts.items():
                where = f"all({whole['where']}, {condition})" if "where" in whole else condition
                description = f"{whole.get('description', name)}: {part.replace('_', ' ')}"
                opened[f"{name}_{part}"] = {**whole, "where": where, "description": description}
        return opened

    @model_validator(mode="after")
    def _references_exist(self) -> Respondent:
        names = [*self.variables, *self.summaries, *self.derived, *self.predicted]
        if clash := [n for n in names if n in RESERVED or n.startswith("rep_") or names.count(n) > 1]:
            raise ValueError(f"{clash[0]} is a reserved name, or is used twice")
        for name, variable in self.variables.items():
            if variable.adjust and variable.adjust not in self.adjustments:
                raise ValueError(f"{name}: there is no adjustment {variable.adjust}")
        if unknown := set(self.locations) - set(self.variables):
            raise ValueError(f"locations: {sorted(unknown)} are not among the variables")
        for name, derived in self.derived.items():
            try:
                kind: Kind = "number" if derived.type == "number" else "boolean"
                for text in derived.expressions:
                    check_expression(text, self.terms(name), kind)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            if unknown := set(derived.imputed_without) - set(names):
                raise ValueError(f"{name}: imputed_without names {sorted(unknown)}, which do not exist")
        for name, predicted in self.predicted.items():
            try:
                predicted.parts(self.asked)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return self


def spellings(columns: Iterable[str]) -> dict[str, str]:
    """Name each raw column once, as first spelt, by its lower-case name."""
    named: dict[str, str] = {}
    for column in columns:
        named.setdefault(column.lower(), column)
    return named
