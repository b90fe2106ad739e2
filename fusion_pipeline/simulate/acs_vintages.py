"""Vintages of the simulated ACS files: which columns they have, what their keys look like, and their factors.

Belongs here: what a vintage makes of the columns. Does not belong here: what is in them (`acs_columns.py`,
`acs_items.py`, `acs_further.py`), or which of them a file has, and where (`acs_layout.py`).

Source: the Census Bureau's PUMS data dictionaries of 2013 to 2024, one-year and five-year.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.simulate.acs_further import Step, load_further, plan
from fusion_pipeline.simulate.acs_layout import Record, official_columns
from fusion_pipeline.simulate.text import digits
from fusion_pipeline.surveys.codebook import Respondent, load_codebook
from fusion_pipeline.surveys.derive import LOOKUPS
from fusion_pipeline.surveys.variables import Variable

Array = np.ndarray

FULLEST = "2019"
"""The codebook whose lists of codes stand in for those that later codebooks, or five-year ones, do not have."""
_BILLS = {"ELEP": ("ELEFP", 2), "GASP": ("GASFP", 3), "FULP": ("FULFP", 2), "WATP": ("WATFP", 2)}
"""Amount: its flag since 2018, and the highest code before an amount."""
_NEW_NAMES = {"TYPE": "TYPEHUGQ", "ST": "STATE", "ACCESS": "ACCESSINET"}
_INCOME_FACTORS = {2009: 999_480, 2010: 1_007_624, 2011: 1_018_237, 2012: 1_010_207}
"""ADJINC of the one-year files for which there is no codebook."""


@dataclass(frozen=True)
class Vintage:
    """One file, one-year (`2019`) or five-year (`2018_5yr`)."""

    name: str

    @property
    def year(self) -> int:
        """Year of the file; the end of a five-year period."""
        return int(self.name[:4])

    @property
    def five(self) -> bool:
        """Whether it covers five years."""
        return self.name.endswith("_5yr")

    @property
    def years(self) -> tuple[int, ...]:
        """Years of interview."""
        return tuple(range(self.year - 4, self.year + 1)) if self.five else (self.year,)

    def columns(self, record: Record) -> tuple[str, ...]:
        """Return the header of its file."""
        return official_columns(record, self.year, self.five)

    def flags(self, record: Record) -> tuple[str, ...]:
        """Return the allocation flags of its file."""
        return official_columns(record, self.year, self.five, flags=True)

    def variables(self, record: Record) -> Mapping[str, Variable]:
        """Return what codebooks say of its columns: its own, or else the nearest that knows a column's codes."""
        return _variables(self.name, record)

    @property
    def puma(self) -> str:
        """The PUMA's column of its codebook: PUMAs of 2010 or of 2020."""
        return puma_column(_respondent(self.name, "households").locations, f"codebook acs_{self.name}")

    def member(self, kind: str, letter: str) -> str:
        """Name of an archive's member: `kind` is h or p."""
        prefix = "psam_" if self.year >= 2017 else f"ss{self.year % 100:02d}"
        return f"{prefix}{kind}us{letter}.csv"

    def serial_numbers(self, number: Array, quarters: Array, interviewed: int) -> pa.Array:
        """Write SERIALNO; since 2018 with letters, in five-year files and 2017 with the year before it."""
        if interviewed >= 2018:
            kinds = pc.if_else(pa.array(quarters), "GQ", "HU")
            return pc.binary_join_element_wise(str(interviewed), kinds, digits(number, 7), "")
        if self.five or interviewed == 2017:
            return pc.binary_join_element_wise(str(interviewed), digits(number, 9), "")
        return digits(number)

    def factors(self, interviewed: int) -> dict[str, str]:
        """Return ADJINC and ADJHSG of the records of a year, as text."""
        prices = _consumer_prices()
        ratio = prices[self.year] / prices[interviewed]
        own = _INCOME_FACTORS.get(interviewed) or _one_year_income_factor(interviewed)
        return {"ADJINC": str(round(own * ratio)), "ADJHSG": str(round(1_000_000 * ratio))}

    def plan(self, record: Record) -> tuple[Step, ...]:
        """Return how the columns are drawn that no model makes."""
        return _plan(self, record)

    def arrange(
        self, columns: Mapping[str, pa.Array], record: Record, interviewed: int
    ) -> dict[str, pa.Array]:
        """Name, code and order columns as this vintage has them, and leave out those that it has not."""
        arranged = {**columns, **{new: columns[old] for old, new in _NEW_NAMES.items() if old in columns}}
        if self.year >= 2018:
            for amount, (flag, highest) in _BILLS.items():
                if amount in arranged:
                    arranged |= _split(arranged[amount], amount, flag, highest)
        for name, text in self.factors(interviewed).items():
            if name in arranged:
                arranged[name] = _constant(text, arranged[name])
        if "PUMA00" in self.columns(record):
            arranged |= _two_pumas(arranged["PUMA"], interviewed)
        known = {name.lower(): values for name, values in arranged.items()}
        return {name: known[name.lower()] for name in self.columns(record)}


@cache
def _variables(vintage: str, record: Record) -> dict[str, Variable]:
    known = {
        variable.raw: variable
        for name in (FULLEST, vintage[:4], vintage)
        for variable in _respondent(name, record).variables.values()
    }
    retired = load_further().retired if int(vintage[:4]) > int(FULLEST) else {}
    return known | {raw: _without(known[raw], codes) for raw, codes in retired.items() if raw in known}


def _without(variable: Variable, codes: Collection[str]) -> Variable:
    levels = {code: label for code, label in variable.levels.items() if code not in codes}
    return variable.model_copy(update={"levels": levels})


@cache
def _plan(vintage: Vintage, record: Record) -> tuple[Step, ...]:
    further = load_further()
    rules = further.households if record == "households" else further.persons
    return plan(rules, vintage.columns(record), vintage.variables(record))


@cache
def _respondent(vintage: str, record: Record) -> Respondent:
    return load_codebook(f"acs_{vintage}").respondent(record)


@cache
def _consumer_prices() -> dict[int, float]:
    table = pd.read_csv(LOOKUPS / "cpi_u.csv", comment="#")
    return dict(zip(table["year"].tolist(), table["index"].tolist(), strict=True))


@cache
def _one_year_income_factor(year: int) -> float:
    published = _respondent(str(year), "households").adjustments["income"].published
    assert published is not None
    return published


def _split(codes: pa.Array, amount: str, flag: str, highest: int) -> dict[str, pa.Array]:
    """Part codes from amounts."""
    number = pc.cast(codes, pa.int64())
    coded = pc.less_equal(number, highest)
    flags = pc.if_else(coded, number, highest + 1)
    return {amount: pc.if_else(coded, None, codes), flag: pc.cast(flags, pa.string())}


def _two_pumas(puma: pa.Array, interviewed: int) -> dict[str, pa.Array]:
    """Put the PUMA into the column of its census; the other says that it does not apply."""
    nothing = _constant("-0009", puma)
    old, new = (puma, nothing) if interviewed < 2012 else (nothing, puma)
    return {"PUMA00": old, "PUMA10": new}


def _constant(text: str, like: pa.Array) -> pa.Array:
    return pa.repeat(text, len(like))
