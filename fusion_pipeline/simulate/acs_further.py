"""Columns of the simulated ACS that no model makes: valid codes, drawn for those of whom the question is asked.

Belongs here: the schema of `acs_further.yaml` and the draws. Does not belong here: columns that follow from the
simulated households and persons (`acs_columns.py`, `acs_items.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fusion_pipeline.declared import read_declared
from fusion_pipeline.simulate.text import digits
from fusion_pipeline.surveys.coding import within
from fusion_pipeline.surveys.variables import Span, Variable

Array = np.ndarray
PATH = Path(__file__).with_name("acs_further.yaml")
ALLOCATED = 0.05
"""Share of answers that the publisher allocated, every item's alike."""
PUERTO_RICO = frozenset({"FHOTWATP", "FPLMPRP", "FRWATPRP"})
"""Flags of what is asked in Puerto Rico only."""


def _span(text: object) -> object:
    """Read a range, or a single code as one."""
    if isinstance(text, Span):
        return text
    return Span.parse(str(text)) or Span(low=float(str(text)), high=float(str(text)))


_Range = Annotated[Span, BeforeValidator(_span)]
_Code = Annotated[str, BeforeValidator(str)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Recode(_Model):
    """Codes that follow those of another column."""

    column: str
    codes: dict[int, _Code]


class Rule(_Model):
    """Who gets which codes."""

    where: dict[str, _Range]
    codes: tuple[_Code, ...] = ()
    shares: tuple[float, ...] = ()
    numbers: _Range | None = None
    zero: float = 0.0
    sum: tuple[str, ...] = ()
    same_as: str | None = None
    recode: Recode | None = None

    @property
    def writes(self) -> bool:
        """Whether it writes numbers or another column's text, and draws no code."""
        return self.numbers is not None or bool(self.sum or self.same_as)


class Further(_Model):
    """The rules of every column, in the order in which they are drawn."""

    households: dict[str, tuple[Rule, ...]] = Field(min_length=1)
    persons: dict[str, tuple[Rule, ...]] = Field(min_length=1)
    retired: dict[str, tuple[_Code, ...]]
    """Codes that lists of 2019 have and later ones have not."""


@cache
def load_further() -> Further:
    """Read and validate the rules."""
    return read_declared(Further, PATH)


@dataclass(frozen=True)
class _Draw:
    """How a rule's codes are drawn; positions count from the first code of the column's rules."""

    rule: Rule
    start: int
    count: int
    steps: Array | None
    """Cumulated shares; codes are equally likely without."""
    follows: Array | None
    """Position for each code of the column that is recoded."""

    def positions(
        self, asked: Array, number: Callable[[str], Array], rng: np.random.Generator
    ) -> Array | int:
        """Return the positions of the codes of those asked."""
        if self.follows is not None and self.rule.recode is not None:
            return self.start + self.follows[number(self.rule.recode.column)[asked].astype(np.int64)]
        if self.count == 1:
            return self.start
        rows = np.count_nonzero(asked)
        if self.steps is None:
            return self.start + rng.integers(0, self.count, rows)
        return self.start + np.searchsorted(self.steps, rng.random(rows), side="right")


@dataclass(frozen=True)
class Step:
    """A column to draw: the codes of all its rules, as text and as numbers, and how each rule draws."""

    name: str
    texts: pa.Array
    numbers: Array
    draws: tuple[_Draw, ...]


def plan(
    rules: Mapping[str, tuple[Rule, ...]], wanted: Collection[str], variables: Mapping[str, Variable]
) -> tuple[Step, ...]:
    """Prepare once what `further_columns` does for every block.

    Parameters
    ----------
    rules : of `load_further`
    wanted : of the vintage's layout
    variables : by raw column, for the levels of columns whose rules list no codes
    """
    return tuple(_step(name, of_it, variables) for name, of_it in rules.items() if name in wanted)


def _step(name: str, rules: tuple[Rule, ...], variables: Mapping[str, Variable]) -> Step:
    texts: list[str] = []
    draws = []
    for rule in rules:
        codes, follows = list(rule.codes), None
        if rule.recode is not None:
            codes = list(rule.recode.codes.values())
            follows = np.zeros(max(rule.recode.codes) + 1, dtype=np.int64)
            follows[list(rule.recode.codes)] = np.arange(len(codes))
        elif not codes and not rule.writes:
            codes = _codes(variables[name])
        steps = np.cumsum(rule.shares) / sum(rule.shares) if rule.shares else None
        draws.append(_Draw(rule, len(texts), len(codes), steps, follows))
        texts += codes
    return Step(name, pa.array(texts, pa.string()), _as_numbers(texts), tuple(draws))


def _as_numbers(codes: list[str]) -> Array:
    """Return codes as numbers, NaN where they have letters."""
    return np.array([float(code) if code.isdecimal() else np.nan for code in codes])


def further_columns(
    columns: Mapping[str, pa.Array], steps: Collection[Step], year: int, rng: np.random.Generator
) -> dict[str, pa.Array]:
    """Draw the columns that no model makes.

    Parameters
    ----------
    columns : those made so far; rules name them
    steps : of `plan`
    year : int
        Of the interview; rules name it `YEAR`.
    """
    rows = len(next(iter(columns.values())))
    made: dict[str, pa.Array] = {}
    numbers: dict[str, Array] = {"YEAR": np.full(rows, float(year))}
    masks: dict[tuple[str, float | None, float | None], Array] = {}

    def number(name: str) -> Array:
        if name not in numbers:
            text = made[name] if name in made else columns.get(name)
            # What this vintage does not ask is blank for everybody.
            numbers[name] = (
                np.full(rows, np.nan)
                if text is None
                else pc.cast(text, pa.float64()).to_numpy(zero_copy_only=False)
            )
        return numbers[name]

    def holds(name: str, span: Span) -> Array:
        key = (name, span.low, span.high)
        if key not in masks:
            masks[key] = within(number(name), span)
        return masks[key]

    for step in steps:
        left, coded = np.ones(rows, dtype=bool), np.zeros(rows, dtype=bool)
        position = np.zeros(rows, dtype=np.int64)
        written = []
        for draw in step.draws:
            asked = left
            for name, span in draw.rule.where.items():
                asked = asked & holds(name, span)
            left = left & ~asked
            if draw.rule.writes:
                written.append((asked, _texts(draw.rule, number, columns, rng)))
            else:
                position[asked] = draw.positions(asked, number, rng)
                coded |= asked
        values = (
            step.texts.take(pa.array(position, mask=~coded))
            if len(step.texts)
            else pa.nulls(rows, pa.string())
        )
        if not written:
            numbers[step.name] = np.where(coded, step.numbers[position], np.nan)
        for asked, texts in written:
            values = pc.if_else(pa.array(asked), texts, values)
        made[step.name] = values
    return made


def allocation_flags(flags: Sequence[str], asked: Array, rng: np.random.Generator) -> dict[str, pa.Array]:
    """Return allocation flags: 1 if the publisher allocated the item, 0 if not.

    Parameters
    ----------
    flags : names of the vintage's flags
    asked : (n,)
        Housing units and persons; flags of group quarters are blank in the housing file.
    """
    one = rng.integers(0, 256, (len(flags), len(asked)), dtype=np.uint8) < ALLOCATED * 256
    one[[name in PUERTO_RICO for name in flags]] = False
    text = digits(one.ravel(), 1, np.tile(~asked, len(flags)))
    return {name: text.slice(row * len(asked), len(asked)) for row, name in enumerate(flags)}


def _texts(
    rule: Rule, number: Callable[[str], Array], columns: Mapping[str, pa.Array], rng: np.random.Generator
) -> pa.Array:
    """Return what a rule without codes gives everybody; only those asked keep it."""
    if rule.same_as:
        return columns[rule.same_as]
    rows = len(number("YEAR"))
    if rule.sum:
        return digits(sum(np.nan_to_num(number(name)) for name in rule.sum).astype(np.int64))
    assert rule.numbers is not None
    low, high = int(rule.numbers.low or 0), int(rule.numbers.high or 0)
    return digits(np.where(rng.random(rows) < rule.zero, 0, rng.integers(low, high + 1, rows)))


def _codes(variable: Variable) -> list[str]:
    """List a variable's codes; a range stands for the first of its numbers, or the last if it has no first."""
    codes = []
    for code in variable.levels:
        span = Span.parse(code)
        end = None if span is None else span.high if span.low is None else span.low
        codes.append(code if end is None else f"{end:.0f}")
    return codes
