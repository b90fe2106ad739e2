"""Columns of the simulated ACS that no model makes: valid codes, drawn for those of whom the question is asked.

Belongs here: the schema of `acs_further.yaml` and the draws. Does not belong here: columns that follow from the
simulated households and persons (`acs_columns.py`, `acs_items.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fusion_pipeline.declared import read_declared
from fusion_pipeline.errors import RegistryError
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


class Further(_Model):
    """The rules of every column, in the order in which they are drawn."""

    households: dict[str, tuple[Rule, ...]] = Field(min_length=1)
    persons: dict[str, tuple[Rule, ...]] = Field(min_length=1)


@cache
def load_further() -> Further:
    """Read and validate the rules."""
    return read_declared(Further, PATH)


def further_columns(
    columns: Mapping[str, pa.Array],
    rules: Mapping[str, tuple[Rule, ...]],
    wanted: Collection[str],
    variables: Mapping[str, Variable],
    year: int,
    rng: np.random.Generator,
) -> dict[str, pa.Array]:
    """Draw the wanted columns that have rules.

    Parameters
    ----------
    columns : those made so far; rules name them
    rules : of `load_further`
    wanted : of the vintage's layout
    variables : by raw column, for the levels of columns whose rules list no codes
    year : int
        Of the interview; rules name it `YEAR`.
    """
    rows = len(next(iter(columns.values())))
    made: dict[str, pa.Array] = {}
    numbers: dict[str, Array] = {"YEAR": np.full(rows, float(year))}

    def number(name: str) -> Array:
        if name not in numbers:
            text = made[name] if name in made else columns.get(name)
            if text is None and name not in rules:
                raise RegistryError(PATH.name, f"{name} is no column of the simulation.", "Correct the rule.")
            # What this vintage does not ask is blank for everybody.
            numbers[name] = (
                np.full(rows, np.nan)
                if text is None
                else pc.cast(text, pa.float64()).to_numpy(zero_copy_only=False)
            )
        return numbers[name]

    for name, rules_of_it in rules.items():
        if name not in wanted or name in columns:
            continue
        values = pa.nulls(rows, pa.string())
        for rule in reversed(rules_of_it):
            asked = _asked(rule, number, rows)
            if asked.any():
                drawn = (
                    columns[rule.same_as] if rule.same_as else _drawn(rule, name, variables, number, rows, rng)
                )
                values = drawn if asked.all() else pc.if_else(pa.array(asked), drawn, values)
        made[name] = values
    return made


def allocation_flags(
    flags: Sequence[str], asked: Array, rng: np.random.Generator
) -> dict[str, pa.Array]:
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


def _asked(rule: Rule, number: Callable[[str], Array], rows: int) -> Array:
    """Say of whom the rule holds; blank cells lie in no range."""
    asked = np.ones(rows, dtype=bool)
    for name, span in rule.where.items():
        asked &= within(number(name), span)
    return asked


def _drawn(
    rule: Rule,
    name: str,
    variables: Mapping[str, Variable],
    number: Callable[[str], Array],
    rows: int,
    rng: np.random.Generator,
) -> pa.Array:
    """Return a code for everybody; only those asked keep it."""
    if rule.sum:
        return digits(sum(np.nan_to_num(number(name)) for name in rule.sum).astype(np.int64))
    if rule.numbers is not None:
        low, high = int(rule.numbers.low or 0), int(rule.numbers.high or 0)
        return digits(np.where(rng.random(rows) < rule.zero, 0, rng.integers(low, high + 1, rows)))
    if rule.recode is not None:
        follows = np.zeros(rows, dtype=np.int64)
        codes = list(rule.recode.codes.values())
        for position, code in enumerate(rule.recode.codes):
            follows[number(rule.recode.column) == code] = position
        return pa.array(codes).take(pa.array(follows))
    codes = list(rule.codes) or _codes(variables[name])
    if len(codes) == 1:
        return pa.array(np.full(rows, codes[0]))
    if not rule.shares:
        return pa.array(codes).take(pa.array(rng.integers(0, len(codes), rows)))
    steps = np.cumsum(rule.shares) / sum(rule.shares)
    return pa.array(codes).take(pa.array(np.searchsorted(steps, rng.random(rows), side="right")))


def _codes(variable: Variable) -> list[str]:
    """List a variable's codes; a range stands for the first of its numbers, or the last if it has no first."""
    codes = []
    for code in variable.levels:
        span = Span.parse(code)
        end = None if span is None else span.high if span.low is None else span.low
        codes.append(code if end is None else f"{end:.0f}")
    return codes
