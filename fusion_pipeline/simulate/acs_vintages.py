"""Vintages of the simulated ACS files: which columns they have, what their keys look like, and their factors.

Belongs here: what tells one vintage's layout from another's. Does not belong here: what is in the columns
(`acs_columns.py`, `acs_items.py`, `acs_further.py`).

Source: the Census Bureau's PUMS data dictionaries of 2013 to 2024, one-year and five-year.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.surveys.codebook import Respondent, load_codebook
from fusion_pipeline.surveys.derive import LOOKUPS

Array = np.ndarray

_SPANS: dict[str, tuple[int, int]] = {
    "ACCESS": (2013, 2019),
    "ACCESSINET": (2021, 9999),
    "HANDHELD": (2013, 2015),
    "SMARTPHONE": (2016, 9999),
    "TABLET": (2016, 9999),
    "YBL": (0, 2019),
    "YRBLT": (2021, 9999),
    "TAXP": (0, 2017),
    "TAXAMT": (2018, 9999),
    "ELEFP": (2018, 9999),
    "GASFP": (2018, 9999),
    "FULFP": (2018, 9999),
    "WATFP": (2018, 9999),
    "TYPE": (0, 2019),
    "TYPEHUGQ": (2021, 9999),
    "ST": (0, 2022),
    "STATE": (2023, 9999),
    "RELP": (0, 2018),
    "RELSHIPP": (2019, 9999),
    "WKW": (0, 2018),
    "WKWN": (2019, 9999),
    "JWTR": (0, 2018),
    "JWTRNS": (2019, 9999),
}
"""First and last end year of the files that have a column; the others are in all."""
_COMPUTERS = ("ACCESS", "HANDHELD", "LAPTOP", "SMARTPHONE", "TABLET")
"""Asked since 2013: five-year files that reach further back leave them out."""
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

    @property
    def households(self) -> Respondent:
        """The households of its codebook."""
        return _households(self.name)

    @property
    def persons(self) -> Respondent:
        """The persons of its codebook."""
        return _persons(self.name)

    @property
    def puma(self) -> str:
        """The PUMA's column of its codebook: PUMAs of 2010 or of 2020."""
        return puma_column(_households(self.name).locations, f"codebook acs_{self.name}")

    def member(self, kind: str, letter: str) -> str:
        """Name of an archive's member: `kind` is h or p."""
        prefix = "psam_" if self.year >= 2017 else f"ss{self.year % 100:02d}"
        return f"{prefix}{kind}us{letter}.csv"

    def serial_numbers(self, number: Array, quarters: Array, interviewed: int) -> pa.Array:
        """Write SERIALNO; since 2018 with letters, in five-year files and 2017 with the year before it."""
        if interviewed >= 2018:
            kinds = np.where(quarters, "GQ", "HU")
            return pa.array([f"{interviewed}{kind}{n:07d}" for kind, n in zip(kinds, number, strict=True)])
        if self.five or interviewed == 2017:
            return pa.array([f"{interviewed}{n:09d}" for n in number])
        return pa.array(number).cast(pa.string())

    def factors(self, interviewed: int) -> dict[str, str]:
        """Return ADJINC and ADJHSG of the records of a year, as text."""
        prices = _consumer_prices()
        ratio = prices[self.year] / prices[interviewed]
        own = _INCOME_FACTORS.get(interviewed) or _one_year_income_factor(interviewed)
        return {"ADJINC": str(round(own * ratio)), "ADJHSG": str(round(1_000_000 * ratio))}

    def arrange(self, columns: Mapping[str, pa.Array], interviewed: int) -> dict[str, pa.Array]:
        """Name and code columns as this vintage has them, and leave out those that it has not."""
        arranged = {**columns, **{new: columns[old] for old, new in _NEW_NAMES.items() if old in columns}}
        if self.year >= 2018:
            for amount, (flag, highest) in _BILLS.items():
                if amount in arranged:
                    arranged |= _split(arranged[amount], amount, flag, highest)
        for name, text in self.factors(interviewed).items():
            if name in arranged:
                arranged[name] = _constant(text, arranged[name])
        if self.five and self.year < 2016:
            arranged = _two_pumas(arranged, interviewed)
        return {name: values for name, values in arranged.items() if self._has(name)}

    def _has(self, column: str) -> bool:
        if self.five and self.year < 2017 and column in _COMPUTERS:
            return False
        first, last = _SPANS.get(column, (0, 9999))
        return first <= self.year <= last


@cache
def _households(vintage: str) -> Respondent:
    return load_codebook(f"acs_{vintage}").households


@cache
def _persons(vintage: str) -> Respondent:
    return load_codebook(f"acs_{vintage}").respondent("persons")


@cache
def _consumer_prices() -> dict[int, float]:
    table = pd.read_csv(LOOKUPS / "cpi_u.csv", comment="#")
    return dict(zip(table["year"].tolist(), table["index"].tolist(), strict=True))


@cache
def _one_year_income_factor(year: int) -> float:
    published = load_codebook(f"acs_{year}").households.adjustments["income"].published
    assert published is not None
    return published


def _split(codes: pa.Array, amount: str, flag: str, highest: int) -> dict[str, pa.Array]:
    """Part codes from amounts."""
    number = pc.cast(codes, pa.int64())
    coded = pc.less_equal(number, highest)
    flags = pc.if_else(coded, number, highest + 1)
    return {amount: pc.if_else(coded, None, codes), flag: pc.cast(flags, pa.string())}


def _two_pumas(columns: dict[str, pa.Array], interviewed: int) -> dict[str, pa.Array]:
    """Put the PUMA into the column of its census; the other says that it does not apply."""
    puma = columns["PUMA"]
    nothing = _constant("-0009", puma)
    old, new = (puma, nothing) if interviewed < 2012 else (nothing, puma)
    arranged: dict[str, pa.Array] = {}
    for name, values in columns.items():
        arranged |= {"PUMA00": old, "PUMA10": new} if name == "PUMA" else {name: values}
    return arranged


def _constant(text: str, like: pa.Array) -> pa.Array:
    return pa.array(np.full(len(like), text))
