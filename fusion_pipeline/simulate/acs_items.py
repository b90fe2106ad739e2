"""Further items of the simulated ACS: families, mortgages and taxes of households; work, income and health of persons.

Belongs here: what follows from a household and its members once the core columns (`acs_columns.py`) are drawn, for all
vintages at once. Does not belong here: which of them a vintage has, and under what name (`acs_vintages.py`).

Codes are those of the Census Bureau's PUMS data dictionaries; where a question was put anew, both columns are made.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.simulate.acs_columns import Sample
from fusion_pipeline.simulate.population import MOST_SECURITY, SUBFAMILY
from fusion_pipeline.simulate.text import digits
from fusion_pipeline.surveys.variables import Variable

Array = np.ndarray
CODE_LISTS = ("INDP", "OCCP", "POBP")
"""Variables whose codes are drawn from the vintage's own list."""
_TAX_BANDS = np.array(
    [1, *range(50, 1000, 50), *range(1000, 5000, 100), 5000, 5500, *range(6000, 11000, 1000)]
)
"""Lowest dollar of the bands 02 to 68 of TAXP; 01 is no tax."""
_RELATIONSHIP = np.array([20, 21, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 34, 22, 35, 36, 37, 38])
"""RELSHIPP of each RELP, couples taken as of opposite sex."""
_RIDE = np.array([0, 1, 2, 5, 3, 4, 6, 7, 8, 9, 10, 11, 12])
"""JWTRNS of each JWTR."""
_INSURED = (0.55, 0.13, 0.18, 0.2, 0.03, 0.02, 0.01)
_RIDE_SHARES = np.array([0.0, 0.85, 0.03, 0.001, 0.02, 0.005, 0.001, 0.003, 0.002, 0.008, 0.03, 0.04, 0.01])
_LEAST_WEEKS = np.array([53, 50, 48, 40, 27, 14, 1])


def household_items(sample: Sample, year: int, rng: np.random.Generator) -> dict[str, pa.Array]:
    """Return further housing columns, blank for vacant units and group quarters; years as of the interview's."""
    homes, people = sample.homes, sample.homes.people
    n, occupied = len(homes), sample.kind == 0

    def home(values: Array, width: int, blank: Array | bool = False) -> pa.Array:
        full, empty = np.zeros(len(occupied), dtype=np.int64), np.ones(len(occupied), dtype=bool)
        full[occupied], empty[occupied] = values, blank
        return digits(full, width, empty)

    def members(condition: Array) -> Array:
        return np.bincount(people.household, condition, minlength=n)

    def ages(young: Array, old: Array, none: int) -> Array:
        return np.select([(young > 0) & (old > 0), young > 0, old > 0], [3, 1, 2], none)

    child = people.age < 18
    under_5, under_6 = members(child & (people.age < 5)), members(child & (people.age < 6))
    from_5, from_6 = members(child & (people.age >= 5)), members(child & (people.age >= 6))
    over_60, grandchild = members(people.age >= 60), members(people.relation == 7)
    unrelated = members(np.isin(people.relation, (12, 13)))
    by_age = ages(under_6, from_6, 4)
    partner = people.order == 2
    female, other = homes.of_reference("female"), np.zeros(n, dtype=bool)
    other[people.household[partner]] = people.female[partner]
    pairing = np.where(female, np.where(other, 3, 4), np.where(other, 2, 1))
    mortgage, owner = homes.tenure == 0, homes.tenure <= 1
    tax = np.clip(np.round(homes.value * rng.uniform(0.004, 0.02, n), -1), 0, 22500).astype(int)
    second = mortgage & (rng.random(n) < 0.15)
    built = np.where(homes.built < 2020, homes.built // 10 * 10, np.minimum(homes.built, year))
    built = np.where(homes.built < 1940, 1939, built)
    seldom = 1 + (rng.random(len(occupied)) < 0.004)
    units = sample.kind < 2
    return {
        "BATH": digits(seldom, 1, ~units),
        "FPARC": home(ages(under_5, from_5, 4), 1, ~homes.relatives),
        "HUPAC": home(by_age, 1),
        "HUPAOC": home(by_age, 1),
        "HUPARC": home(by_age, 1),
        "HUGCL": home(grandchild > 0, 1),
        "R60": home(np.minimum(over_60, 2), 1),
        "MRGI": home(1 + (rng.random(n) < 0.4), 1, ~mortgage),
        "MRGT": home(1 + (rng.random(n) < 0.35), 1, ~mortgage),
        "MULTG": home(1 + ((members(people.relation == 6) > 0) & (from_5 + under_5 > 0)), 1),
        "NPF": home(homes.size - unrelated, 2, ~homes.relatives),
        "NPP": home(homes.grandparents, 1),
        "NR": home(unrelated > 0, 1),
        "NRC": home(homes.children, 2),
        "PARTNER": home(np.where(homes.couple == 2, pairing, 0), 1),
        "PSF": home(rng.random(n) >= (1 - SUBFAMILY) ** homes.grown_relatives, 1),
        "SMARTPHONE": home(2 - (homes.tablets + homes.computers > 0), 1),
        "SMP": home(np.round(rng.uniform(50, 900, n), -1), 5, ~second),
        "TABLET": home(2 - (homes.tablets > 0), 1),
        "TAXAMT": home(tax, 0, ~owner),
        "TAXP": home(1 + np.digitize(tax, _TAX_BANDS), 2, ~owner),
        "YRBLT": home(built, 4),
    }


def householder_items(people: Mapping[str, pa.Array], occupied: Array) -> dict[str, pa.Array]:
    """Return the housing columns that repeat what the reference persons say of themselves."""
    reference = pc.equal(people["RELP"], "00")
    row = pa.array(np.cumsum(occupied) - 1, mask=~occupied)
    return {f"HHLDR{name}": people[name].filter(reference).take(row) for name in ("AGEP", "HISP", "RAC1P")}


def person_items(
    core: Mapping[str, pa.Array], year: int, variables: Mapping[str, Variable], rng: np.random.Generator
) -> dict[str, pa.Array]:
    """Return further person columns.

    Parameters
    ----------
    core : columns of `person_columns`
    year : int
        Of the interview.
    variables : by raw column, for the codes of `CODE_LISTS`
    """
    age, hours, income = (_numbers(core[name]) for name in ("AGEP", "WKHP", "PINCP"))
    female, status, foreign = _numbers(core["SEX"]) == 2, _numbers(core["ESR"]), _numbers(core["CIT"]) >= 4
    relation = _numbers(core["RELP"])
    n, adult, works = len(age), age >= 16, hours > 0
    chance = rng.random((4, n))
    ride = np.where(works, rng.choice(13, n, p=_RIDE_SHARES), 0)
    travels = (ride > 0) & (ride != 11)
    weeks_code = np.where(works, rng.choice([1, 1, 1, 1, 1, 2, 3, 4, 5, 6], n), 0)
    old = age >= 62
    idle = ~works & ~old
    own = works & (chance[0] < 0.1)
    pension = np.where(old & ~works, np.round(income * 0.4, -1), 0).astype(int)
    security = np.minimum(income - pension, MOST_SECURITY) * (old & ~works)
    aided, assisted = idle & (chance[1] < 0.3), idle & (chance[1] >= 0.3) & (chance[1] < 0.4)
    amounts = {
        "WAGP": income * (works & ~own),
        "SEMP": income * own,
        "INTP": (income - pension - security) * (old & ~works),
        "RETP": pension,
        "SSP": security,
        "SSIP": np.minimum(income, 30_000) * aided,
        "PAP": np.minimum(income, 30_000) * assisted,
        "OIP": np.minimum(income, 99_999) * (idle & ~aided & ~assisted),
    }
    worker = adult & ((status != 6) | (chance[2] < 0.3))
    entered = np.where(foreign, year - rng.integers(0, 30, n), 0)
    minor = age < 16
    # Residents of group quarters are nobody's children; they are so in blank since 2017.
    nobodys = (relation >= 16) & (year >= 2017)
    rare = rng.random((11, n))
    items = {
        name: digits(np.clip(values, 0, 999_999).astype(int), 0, age < 15) for name, values in amounts.items()
    }
    items |= {
        "COW": digits(np.where(own, 6, rng.choice([1, 1, 1, 1, 2, 3, 4, 5], n)), 1, ~worker),
        "WKL": digits(np.where(works, 1, np.where(chance[3] < 0.3, 2, 3)), 1, minor),
        "WKW": digits(weeks_code, 1, ~works),
        # Asked since 2019; before, five-year files have the bands only.
        "WKWN": digits(
            np.minimum(_LEAST_WEEKS[weeks_code] + rng.integers(0, 2, n), 52), 0, ~works | (year < 2019)
        ),
        "JWTR": digits(ride, 2, ride == 0),
        "JWTRNS": digits(_RIDE[ride], 2, ride == 0),
        "JWAP": digits(rng.integers(70, 140, n), 3, ~travels),
        "JWMNP": digits(rng.integers(1, 90, n), 3, ~travels),
        "RELSHIPP": digits(_RELATIONSHIP[relation], 2),
        "NATIVITY": digits(1 + foreign, 1),
        "YOEP": digits(entered, 4, ~foreign),
        "MIL": digits(np.where(chance[2] < 0.07, 2, 4), 1, age < 17),
        "OC": digits((relation >= 2) & (relation <= 4) & (age < 18), 1, nobodys),
        "RC": digits(np.isin(relation, (2, 3, 4, 7)) & (age < 18), 1, nobodys),
        "PAOC": digits(np.where(chance[3] < 0.25, 2, 4), 1, ~female | minor | (relation >= 16)),
        "PRIVCOV": digits(1 + (rare[10] < 0.33), 1),
    }
    items |= {
        name: digits(
            2 - (rare[i] < 0.001 * np.maximum(age - 10, 5)), 1, (age < 5) if name[1] in "DP" else None
        )
        for i, name in enumerate(("DDRS", "DEAR", "DEYE", "DPHY"))
    }
    items |= {f"HINS{i + 1}": digits(2 - (rare[3 + i] < share), 1) for i, share in enumerate(_INSURED)}
    for name in CODE_LISTS:
        codes = np.array(list(variables[name].levels))
        text = pa.array(codes[rng.integers(0, len(codes), n)])
        asked = worker if variables[name].not_applicable else np.ones(n, dtype=bool)
        items[name] = pc.if_else(pa.array(asked), text, None)
    return items


def _numbers(column: pa.Array) -> Array:
    return pc.cast(pc.fill_null(column, "0"), pa.int64()).to_numpy(zero_copy_only=False)
