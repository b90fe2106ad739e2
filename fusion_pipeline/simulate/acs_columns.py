"""Columns of the simulated ACS files, housing and persons: codes, widths and blanks of the official ones.

Belongs here: what the questionnaire makes of a household (Census Bureau, PUMS data dictionaries 2013 and
2015). Does not belong here: sampling (`acs.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fusion_pipeline.simulate.energy import Energy
from fusion_pipeline.simulate.people import SCHOOLING_CUTS
from fusion_pipeline.simulate.place import HOUSEHOLDS, Places
from fusion_pipeline.simulate.population import Households
from fusion_pipeline.simulate.text import digits, numbered

Array = np.ndarray

GROUP_QUARTERS_POPULATION = 8_000_000
_RACE = np.array([1, 2, 3, 6, 7, 8, 9])
_HISPANIC = np.array([2, 2, 2, 2, 2, 2, 3, 4, 5, 11, 24, 24, 16, 23])
_SCHOOLING = ((8, 12, 13, 14, 15), (16, 16, 16, 17), (18, 19, 19, 20), (21,), (22, 22, 22, 23, 24))
"""SCHL codes from less than high school to graduate degrees."""
_TYPE = np.array([1, 1, 2, 3])


@dataclass(frozen=True)
class Sample:
    """A block's part of a year's sample; rows are housing units and group-quarters residents by SERIALNO."""

    place: Array
    """Row of `Places`, in order."""
    serial: Array
    kind: Array
    """0 occupied, 1 vacant, 2 institution, 3 other group quarters."""
    weight: Array
    replicates: Array
    """(rows, 80) integers."""
    factors: Array
    """(rows, 80) replicate factors before calibration."""
    homes: Households
    energy: Energy
    share: float = 1.0
    """Of the population that the sample stands for."""


def housing_columns(
    places: Places, sample: Sample, year: int, rng: np.random.Generator
) -> dict[str, pa.Array]:
    """Return the housing file's columns."""
    homes, kind = sample.homes, sample.kind
    rows, n, occupied = len(kind), len(homes), kind == 0

    def home(values: Array, width: int, blank: Array | bool = False) -> pa.Array:
        """Spread occupied units' values over all rows; other rows are blank."""
        full, empty = np.zeros(rows, dtype=np.int64), np.ones(rows, dtype=bool)
        full[occupied], empty[occupied] = values, blank
        return digits(full, width, empty)

    def unit(values: Array, width: int, if_vacant: Array | tuple[int, ...]) -> pa.Array:
        """Like `home`, with the values of vacant units drawn from those given."""
        full = np.zeros(rows, dtype=np.int64)
        full[occupied] = values
        full[kind == 1] = rng.choice(np.asarray(if_vacant), int((kind == 1).sum()))
        return digits(full, width, kind >= 2)

    people = homes.people
    mortgage, owner, cash, single = (
        homes.tenure == 0,
        homes.tenure <= 1,
        homes.tenure == 2,
        homes.dwelling <= 2,
    )
    elep, gasp, fulp = utilities(homes, sample.energy, rng)
    bills = np.where(elep > 2, elep, 0) + np.where(gasp > 3, gasp, 0)
    rent = np.clip(np.round(homes.rent, -1), 10, 4000).astype(int)
    insurance = np.clip(np.round(homes.value * 0.0038, -1), 10, 9000).astype(int)
    payment = np.clip(np.round(homes.value * 0.0042, -1), 50, 6000).astype(int)
    water = np.where(
        cash & ~single, rng.integers(1, 3, n), np.clip(np.round(180 + 110 * homes.size, -1), 10, 4000)
    )
    income = _dollars(homes.income)
    workers = np.bincount(people.household, people.hours > 0, minlength=n)
    elders = np.bincount(people.household, people.age >= 65, minlength=n)
    no_kitchen = (homes.refrigerators == 0) | (homes.stoves == 0)
    owner_costs = payment * mortgage + insurance // 12 + bills
    no_income = income <= 0
    lot = np.where(homes.urban == 2, rng.integers(1, 4, n), 1)
    size = np.where(kind >= 2, 1, 0)
    size[occupied] = homes.size
    mostly = (1, 1, 1, 1, 1, 1, 1, 1, 2)
    columns = {
        "RT": pa.array(np.full(rows, "H")),
        "SERIALNO": digits(sample.serial),
        **_location(places, sample.place, housing=True),
        "WGTP": digits(sample.weight, 5),
        "NP": digits(size, 2),
        "TYPE": digits(_TYPE[kind], 1),
        "ACCESS": home(np.where(homes.internet, np.where(homes.income < 9000, 2, 1), 3), 1),
        "ACR": home(lot, 1, ~single),
        "BDSP": unit(homes.bedrooms, 2, (1, 2, 2, 3, 3, 4)),
        "BLD": unit(_building(homes.dwelling, rng), 2, (1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 9)),
        "ELEP": home(elep, 3),
        "FS": home(2 - homes.food_stamps, 1),
        "FULP": home(fulp, 4),
        "GASP": home(gasp, 3),
        "HANDHELD": home(2 - (homes.tablets > 0), 1),
        "HFL": home(homes.fuel + 1, 1),
        "INSP": home(insurance, 4, ~owner),
        "LAPTOP": home(2 - (homes.computers > 0), 1),
        "MRGP": home(payment, 5, ~mortgage),
        "REFR": unit(2 - (homes.refrigerators > 0), 1, mostly),
        "RMSP": unit(homes.rooms, 2, (2, 3, 4, 5, 5, 6, 7, 8)),
        "RNTP": home(rent, 5, ~cash),
        "SINK": unit(np.where(rng.random(n) < 0.003, 2, 1), 1, mostly),
        "STOV": unit(2 - homes.stoves, 1, mostly),
        "TEL": home(np.where(rng.random(n) < 0.02, 2, 1), 1),
        "TEN": home(homes.tenure + 1, 1),
        "VACS": digits(rng.integers(1, 8, rows), 1, kind != 1),
        "VALP": home(np.clip(np.round(homes.value, -3), 1000, 5_000_000), 7, ~owner),
        "VEH": home(homes.vehicles, 1),
        "WATP": home(water, 4),
        "YBL": unit(year_built(homes.built, year), 0, (1, 2, 3, 4, 5, 6, 7, 8)),
        "FINCP": home(income, 9, ~homes.relatives),
        "GRNTP": home(rent + bills, 4, ~cash),
        "GRPIP": home(_burden(rent + bills, income), 3, ~cash | no_income),
        "HHT": home(household_type(homes), 1),
        "HINCP": home(income, 9),
        "KIT": unit(1 + no_kitchen, 1, mostly),
        "MV": home(1 + np.digitize(homes.moved, [1, 2, 5, 10, 20, 30]), 1),
        "NOC": home(homes.children, 2),
        "PLM": unit(np.where(rng.random(n) < 0.004, 2, 1), 1, mostly),
        "R18": home(homes.children > 0, 1),
        "R65": home(np.minimum(elders, 2), 1),
        "OCPIP": home(_burden(owner_costs, income), 3, ~owner | no_income),
        "SMOCP": home(owner_costs, 5, ~owner),
        "WIF": home(np.minimum(workers, 3), 1, ~homes.relatives),
    }
    return columns | numbered("wgtp", sample.replicates, 5)


def person_columns(places: Places, sample: Sample, rng: np.random.Generator) -> dict[str, pa.Array]:
    """Return the person file's columns."""
    homes, kind = sample.homes, sample.kind
    people = homes.people
    quarters = np.flatnonzero(kind >= 2)
    q = len(quarters)
    row = np.concatenate([np.flatnonzero(kind == 0)[people.household], quarters])
    order = np.argsort(row, kind="stable")
    row = row[order]

    def with_quarters(members: Array, residents: Array) -> Array:
        return np.concatenate([members, residents])[order]

    school = with_quarters(people.schooling, rng.normal(-0.4, 1, q))
    age = with_quarters(
        people.age, np.where(rng.random(q) < 0.4, rng.integers(18, 24, q), rng.integers(18, 95, q))
    )
    hours = with_quarters(people.hours, np.where(rng.random(q) < 0.3, rng.integers(5, 45, q), 0))
    hours = np.where(age >= 16, hours, 0)
    total_hours = np.maximum(np.bincount(people.household, people.hours, minlength=len(homes)), 1)
    pay = np.where(
        total_hours[people.household] > 1,
        homes.income[people.household] * people.hours / total_hours[people.household],
        np.where(people.order == 1, homes.income[people.household], 0),
    )
    weight, replicates = _person_weights(places, sample, row, with_quarters(people.order, np.ones(q)), rng)
    m = len(row)
    immigrant = with_quarters(people.immigrant, rng.random(q) < 0.1).astype(bool)
    hispanic = with_quarters(people.hispanic, rng.random(q) < places.hispanic[sample.place[quarters]]).astype(
        bool
    )
    married = with_quarters(people.married, np.zeros(q)).astype(bool)
    married &= age >= 18
    single_status = np.where(age < 30, 5, rng.choice([2, 3, 3, 4, 5, 5], m))
    columns = {
        "RT": pa.array(np.full(m, "P")),
        "SERIALNO": digits(sample.serial[row]),
        "SPORDER": digits(with_quarters(people.order, np.ones(q)), 2),
        **_location(places, sample.place[row], housing=False),
        "PWGTP": digits(weight, 5),
        "AGEP": digits(age, 2),
        "CIT": digits(np.where(immigrant, rng.integers(4, 6, m), 1), 1),
        "MAR": digits(np.where(age < 15, 5, np.where(married, 1, single_status)), 1),
        "RELP": digits(with_quarters(people.relation, 14 + kind[quarters]), 2),
        "SCH": digits(np.where((age >= 5) & (age < 18) | (rng.random(m) < 0.05), 2, 1), 1, age < 3),
        "SCHL": digits(_schooling_code(school, age, rng), 2, age < 3),
        "SEX": digits(1 + with_quarters(people.female, rng.random(q) < 0.4), 1),
        "WKHP": digits(hours, 2, hours == 0),
        "DIS": digits(2 - (rng.random(m) < 0.04 + 0.004 * np.maximum(age - 20, 0)), 1),
        "ESR": digits(np.where(hours > 0, 1, np.where(rng.random(m) < 0.07, 3, 6)), 1, age < 16),
        "HICOV": digits(1 + (rng.random(m) < np.where(age >= 65, 0.01, 0.11)), 1),
        "HISP": digits(np.where(hispanic, rng.choice(_HISPANIC, m), 1), 2),
        "PINCP": digits(_dollars(with_quarters(pay, rng.exponential(9000, q))), 7, age < 15),
        "RAC1P": digits(_RACE[with_quarters(people.race, rng.choice([0, 0, 1], q)).astype(int)], 1),
    }
    return columns | numbered("pwgtp", replicates, 5)


def utilities(homes: Households, energy: Energy, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Return ELEP and GASP (dollars a month) and FULP (dollars a year), or the codes of who else pays."""

    def monthly(dollars: Array, least: int) -> Array:
        return np.clip(np.round(dollars / 12 * np.exp(rng.normal(0, 0.15, len(homes))), -1), least, 640)

    combined = homes.gas_payer == 2
    bill = monthly(energy.dollarel + combined * energy.dollarng, 4)
    elep = np.select([homes.electricity_payer == 1, homes.electricity_payer == 3], [1, 2], bill)
    gasp = np.select(
        [homes.gas_payer == 1, combined, homes.gas_payer == 3], [1, 2, 3], monthly(energy.dollarng, 4)
    )
    bulk = energy.dollarlp + energy.dollarfo + 300 * (homes.fuel == 5)
    bulk = np.clip(np.round(bulk, -1), 10, 7800) * (bulk > 0)
    fulp = np.select([bulk == 0, homes.electricity_payer == 1], [2, 1], bulk)
    return elep.astype(int), gasp.astype(int), fulp.astype(int)


def _burden(monthly: Array, income: Array) -> Array:
    """Monthly costs in percent of a year's income, 101 if more; of no use where there is none."""
    return np.clip(np.rint(1200 * monthly / np.maximum(income, 1)), 1, 101).astype(int)


def household_type(homes: Households) -> Array:
    """HHT: married couple, other family by sex of householder, living alone or not by sex."""
    female = homes.of_reference("female").astype(int)
    alone = homes.size == 1
    return np.select(
        [homes.couple == 1, homes.relatives, alone], [1, 2 + female, 4 + 2 * female], 5 + 2 * female
    )


def year_built(built: Array, year: int) -> Array:
    """YBL: decades before 2000, five years to 2004, then single years."""
    decade = 1 + np.digitize(built, [1940, 1950, 1960, 1970, 1980, 1990, 2000])
    return np.where(built < 2005, decade, 9 + np.minimum(built, year) - 2005)


def _building(dwelling: Array, rng: np.random.Generator) -> Array:
    """BLD; one mobile home in a hundred is a boat, RV or van."""
    return np.where((dwelling == 0) & (rng.random(len(dwelling)) < 0.01), 10, dwelling + 1)


def _schooling_code(index: Array, age: Array, rng: np.random.Generator) -> Array:
    group = np.digitize(index, SCHOOLING_CUTS)
    codes = np.choose(group, [rng.choice(codes, len(index)) for codes in _SCHOOLING])
    codes = np.where(age < 22, np.minimum(codes, 19), codes)
    # Grade 1 is code 04 and begins at 6; nursery school and kindergarten come before.
    return np.where(age < 18, np.where(age < 6, np.maximum(age - 2, 1), age - 2), codes)


def _person_weights(
    places: Places, sample: Sample, row: Array, order: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Reference persons have the household's weight; others vary about it. Group quarters have their own."""
    quarters, place = sample.kind[row] >= 2, sample.place[row]
    residents = np.maximum(np.bincount(place[quarters], minlength=len(places)), 1)
    population = sample.share * GROUP_QUARTERS_POPULATION * places.households / HOUSEHOLDS
    base = np.where(quarters, (population / residents)[place], sample.weight[row])
    jitter = np.where((order == 1) & ~quarters, 1.0, np.exp(rng.normal(0, 0.1, len(row))))
    weight = np.maximum(np.rint(base * jitter), 1).astype(np.int64)
    own = sample.replicates[row] / np.maximum(sample.weight[row], 1)[:, None]
    factor = np.where(quarters[:, None], sample.factors[row], own)
    return weight, np.rint(weight[:, None] * factor).astype(np.int64)


def _location(places: Places, place: Array, *, housing: bool) -> dict[str, pa.Array]:
    states = places.states[["division", "region", "fips"]].astype(str).iloc[places.state]
    of_place = {
        "DIVISION": states["division"],
        "PUMA": places.puma,
        "REGION": states["region"],
        "ST": states["fips"],
    }
    row = pa.array(place)
    columns = {name: pa.array(np.asarray(codes, dtype=str)).take(row) for name, codes in of_place.items()}
    # As a vintage has them: see `acs_vintages.py`.
    factors = ("ADJHSG", "ADJINC") if housing else ("ADJINC",)
    return columns | {name: pa.repeat("1000000", len(place)) for name in factors}


def _dollars(amount: Array) -> Array:
    """Round as respondents do: to tens from 1,000 on."""
    return np.where(np.abs(amount) >= 1000, np.round(amount, -1), np.rint(amount)).astype(np.int64)
