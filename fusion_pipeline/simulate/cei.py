"""The simulated Consumer Expenditure Interview Survey: a rotating panel, and the archives of its survey-years.

Belongs here: the panel's design, and the codes of the official files (the publisher's data dictionary). Does not belong
here: what households spend (`spending.py`), who they are (`population.py`).

The panel is one for all survey-years, drawn again for each from the same streams: a consumer unit is asked in up to
four quarters in a row, some of them in the archive of the next survey-year. Some interviews do not take place, others
lie before or after the survey-years. Columns for which the simulated world has no counterpart hold a constant, valid
code.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.randomness import stream
from fusion_pipeline.registry import SurveyVintage
from fusion_pipeline.simulate.completing import complete
from fusion_pipeline.simulate.energy import Energy, draw_energy
from fusion_pipeline.simulate.people import SCHOOLING_CUTS
from fusion_pipeline.simulate.place import Places
from fusion_pipeline.simulate.population import (
    HEAT_FUELS,
    MOST_SECURITY,
    Households,
    draw_households,
)
from fusion_pipeline.simulate.sampling import calibrate, draw_places, draw_urban, fay, pseudo_strata
from fusion_pipeline.simulate.spending import QUARTERS, draw_spending
from fusion_pipeline.simulate.text import ZipMembers
from fusion_pipeline.simulate.truth import TruthWriter, true_places
from fusion_pipeline.storage.tables import categorical
from fusion_pipeline.surveys.allocating import load_shares
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.derive import LOOKUPS

log = logging.getLogger(__name__)
Array = np.ndarray
Columns = dict[str, Array]

YEARS = (2015, 2019)
"""Survey-years of the panel. Each has the interviews from April on, and those until March of the next year."""
HOUSEHOLDS = 129_500_000
FIRST_UNIT = 281_001
REPLICATES = 44
ANSWERS, UNANSWERED = 0.88, 0.02
"""Share of interviews that take place, and of answers that are missing."""
DISCLOSED_STATES = 40
_BOOKED_NEGATIVE = ("mrtgpp", "mrtgps", "vehprn")
_BUILDING = np.array(["09", "01", "03", "04", "05", "06", "06", "08", "07"])
_RELATION = {0: 1, 1: 2, 2: 3, 6: 7, 10: 8, 12: 9, 13: 0}
_EDUCATION = np.array(["11", "12", "13", "15", "16"])
_SINGLE = np.array([2, 3, 3, 4, 5, 5])
_RACE = np.array([1, 2, 3, 4, 5, 6, 6])
HEATING = {"gas": "Natural gas", "propane": "LPG", "electricity": "Electricity", "oil": "Fuel oil"}


@dataclass(frozen=True)
class Panel:
    """Consumer units (n,), and their interviews (m,)."""

    weight: Array
    replicates: Array
    """(n, 44)."""
    homes: Households
    energy: Energy
    incomes: Mapping[str, Array]
    """Kind of income -> dollars a year of every member."""
    spending: Mapping[str, Array]
    """Category -> (n, 4) dollars of 2019, by the unit's own quarters."""
    unit: Array
    """Row of the consumer unit of each interview."""
    number: Array
    """1 to 4."""
    quarter: Array
    """0: the second quarter of the first survey-year."""


def write_cei(places: Places, seed: int, survey: SurveyVintage, size: int, folder: Path, truth: Path) -> None:
    """Write a survey-year's archive and the truth about the consumer units whose last interview it holds."""
    codebook = load_codebook(survey.codebook)
    panel = draw_panel(places, seed, size)
    here = panel.quarter // QUARTERS == survey.year - YEARS[0]
    unit, number, quarter = panel.unit[here], panel.number[here], panel.quarter[here]
    newid = (FIRST_UNIT + unit) * 10 + number
    rng = stream(seed, "simulate", "cei", survey.year, "answers")
    contents = {
        "households": (_unit_columns(places, panel, unit, newid, quarter, rng), quarter),
        "persons": _member_columns(panel, unit, newid, quarter),
        "expenditures": _account_columns(panel, unit, number, newid, quarter),
        **_detailed(panel, unit, newid, survey.year),
    }
    with ZipMembers(str(folder / survey.files["households"].name)) as members:
        for role, file in survey.files.items():
            columns, of_quarter = contents[role]
            done = complete(columns, codebook.kinds[role], codebook)
            if role == "households":
                done |= _weights(panel, unit)
            names = file.member.split(";")
            for position, name in enumerate(names):
                rows = (
                    np.ones(of_quarter.size, dtype=bool)
                    if len(names) == 1
                    else of_quarter % QUARTERS == position
                )
                members.write(
                    f"intrvw{survey.year % 100}/{name.replace('*', '')}",
                    {raw: values.filter(pa.array(rows)) for raw, values in done.items()},
                )
    last = np.zeros(len(panel.homes), dtype=int)
    np.maximum.at(last, panel.unit, panel.quarter)
    with TruthWriter(truth) as table:
        table.append(_truth(places, panel, np.unique(unit[last[unit] == quarter])))
    log.info("CEI %d: %d interviews", survey.year, unit.size)


def draw_panel(places: Places, seed: int, size: int) -> Panel:
    """Draw the consumer units, their quarters of spending, and the interviews that take place."""
    rng = stream(seed, "simulate", "cei", "panel")
    division = places.states["division"].to_numpy()[places.state] - 1
    place, stratum = draw_places(size, division, places.households, rng)
    urban, relative = draw_urban(places.urban[place], rng)
    totals = np.bincount(division, places.households)
    totals = totals / totals.sum() * HOUSEHOLDS
    homes = draw_households(places, place, urban, YEARS[1], rng)
    energy = draw_energy(places, homes, rng)
    spending = draw_spending(homes, energy, rng)
    quarters = QUARTERS * (YEARS[1] - YEARS[0] + 1)
    quarter = rng.integers(1 - QUARTERS, quarters, size)[:, None] + np.arange(QUARTERS)
    asked = (quarter >= 0) & (quarter < quarters) & (rng.random(quarter.shape) < ANSWERS)
    unit, position = np.nonzero(asked)
    # Every quarter stands for all households.
    scale = size * quarters / unit.size
    factors = fay(*pseudo_strata(stratum, min(REPLICATES - 1, size // 2)), REPLICATES, epsilon=0.0)
    return Panel(
        weight=calibrate(relative, stratum, totals) * scale,
        replicates=calibrate(relative[:, None] * factors, stratum, totals) * scale,
        homes=homes,
        energy=energy,
        incomes=_incomes(homes, rng),
        spending=spending,
        unit=unit,
        number=position + 1,
        quarter=quarter[unit, position],
    )


def _unit_columns(
    places: Places, panel: Panel, unit: Array, newid: Array, quarter: Array, rng: np.random.Generator
) -> Columns:
    homes, n = panel.homes, len(panel.homes)
    people = homes.people
    state = places.states.iloc[places.state[homes.place]]
    disclosed = places.states["households"].rank(ascending=False).to_numpy() <= DISCLOSED_STATES
    age, female = people.age, people.female.astype(bool)

    def count(who: Array) -> Array:
        return np.bincount(people.household, who, minlength=n).astype(int)

    works = homes.of_reference("hours") > 0
    of_unit = {
        kind: np.bincount(people.household, dollars, n).astype(int) for kind, dollars in panel.incomes.items()
    }
    income = np.round(homes.income).astype(int)
    tax = np.round(np.maximum(income, 0) * np.clip(0.04 * np.log(np.maximum(income, 1) / 25_000), -0.03, 0.3))
    single = np.where(homes.of_reference("age") < 30, 5, _SINGLE[np.arange(n) % len(_SINGLE)])
    columns: Columns = {
        "FINLWT21": np.round(panel.weight, 3),
        "ST_HOUS": np.full(n, 2),
        "CUTENURE": np.array([1, 2, 4, 5])[homes.tenure],
        "REGION": state["region"].to_numpy(),
        "DIVISION": state["division"].to_numpy(),
        "STATE": np.where(disclosed[places.state[homes.place]], state["fips"].to_numpy(), ""),
        "BLS_URBN": np.where(homes.urban == 2, 2, 1),
        "PSU": np.full(n, ""),
        "HH_CU_Q": np.ones(n, dtype=int),
        "UNISTRQ": np.char.zfill((homes.dwelling + 2).astype(str), 2),
        "BUILDING": _BUILDING[homes.dwelling],
        "ROOMSQ": homes.rooms,
        "BEDROOMQ": homes.bedrooms,
        "BATHRMQ": 1 + (homes.rooms > 5),
        "HLFBATHQ": ((homes.dwelling <= 2) & (homes.rooms > 6)).astype(int),
        "BUILT": homes.built,
        "CNTRALAC": np.where(np.isin(panel.energy.cooling, (1, 3)), "05", ""),
        "WINDOWAC": np.where(np.isin(panel.energy.cooling, (2, 3)), "06", ""),
        "RENTEQVX": np.where(homes.tenure <= 1, np.round(homes.rent, -1).astype(int).astype(str), ""),
        "VEHQ": homes.vehicles,
        "VEHQL": np.zeros(n, dtype=int),
        "FAM_SIZE": homes.size,
        "AGE_REF": homes.of_reference("age"),
        "AS_COMP1": count((age >= 16) & ~female),
        "AS_COMP2": count((age >= 16) & female),
        "AS_COMP3": count((age >= 2) & (age < 16) & ~female),
        "AS_COMP4": count((age >= 2) & (age < 16) & female),
        "AS_COMP5": count(age < 2),
        "PERSLT18": count(age < 18),
        "PERSOT64": count(age > 64),
        "NO_EARNR": count(people.hours > 0),
        "SEX_REF": 1 + homes.of_reference("female"),
        "REF_RACE": _RACE[homes.of_reference("race")],
        "HISP_REF": 2 - homes.of_reference("hispanic"),
        "EDUC_REF": _EDUCATION[np.digitize(homes.of_reference("schooling"), SCHOOLING_CUTS)],
        "MARITAL1": np.where(homes.of_reference("married"), 1, single),
        "OCCUCOD1": np.where(works, _two(1 + people.household[people.order == 1] % 15), ""),
        "INCOMEY1": np.where(works, "1", ""),
        "INCNONW1": np.where(works, "", "1"),
        "INCWEEK1": np.where(works, 52, 0),
        "FINCBTXM": income,
        "FINATXEM": income - tax.astype(int),
        "FSALARYM": of_unit["salary"],
        "FSMPFRXM": of_unit["own"],
        "FRRETIRM": of_unit["security"],
        "RETSURVM": of_unit["pension"],
        "INTRDVXM": of_unit["interest"],
        "FSSIXM": of_unit["supplement"],
        "WELFAREM": of_unit["assistance"],
        "OTHREGXM": of_unit["other"],
        "JFS_AMTM": np.where(homes.food_stamps, 2400, 0),
        "STUDFINX": np.where(
            homes.of_reference("age") < 40, np.round(25 + 0.0005 * np.abs(income)), 0
        ).astype(int),
        "CREDFINX": np.round(0.0004 * np.maximum(income, 0)).astype(int),
        "LIQUIDX": np.round(np.maximum(income, 0) * 0.2).astype(int),
    }
    columns = {raw: values[unit] for raw, values in columns.items()}
    columns["STUDFINX"] = np.where(newid % 10 == QUARTERS, columns["STUDFINX"].astype(str), "")
    columns["NEWID"] = newid
    year, month = _interviewed(quarter)
    columns["QINTRVYR"], columns["QINTRVMO"] = year, month
    factor = _indices()[year].to_numpy() / _base()
    dollars = [
        variable.raw
        for variable in load_codebook("cei_2015").households.variables.values()
        if variable.adjust
    ]
    for raw in set(dollars) & columns.keys():
        amount = pd.to_numeric(columns[raw], errors="coerce") * factor
        columns[raw] = np.where(np.isnan(amount), "", np.char.mod("%.0f", amount))
    unanswered = rng.random(unit.size) < UNANSWERED
    blank = columns["CNTRALAC"] == ""
    columns["CNTRALAC"] = np.where(unanswered, "", columns["CNTRALAC"])
    columns["CNTR_LAC"] = np.where(unanswered, "C", np.where(blank, "A", "D"))
    return columns


def _weights(panel: Panel, unit: Array) -> dict[str, pa.Array]:
    """Half-samples: blank outside."""
    weights = np.round(panel.replicates[unit], 3)
    return {
        f"WTREP{r + 1:02d}": pa.array(weights[:, r], mask=weights[:, r] == 0).cast(pa.string())
        for r in range(REPLICATES)
    }


def _member_columns(panel: Panel, unit: Array, newid: Array, quarter: Array) -> tuple[Columns, Array]:
    people = panel.homes.people
    row, who = _expand(people.household, unit, len(panel.homes))
    adult, works = people.age >= 14, people.hours > 0
    # The one who answers is listed first, and is not always the reference person.
    line = np.where(np.isin(panel.homes.size[people.household], (2, 3)), -people.order, people.order)
    line = line + np.where(line < 0, panel.homes.size[people.household] + 1, 0)
    columns = {
        "MEMBNO": line,
        "CU_CODE": np.array([_RELATION.get(code, 8) for code in range(14)])[people.relation],
        "AGE": people.age,
        "SEX": 1 + people.female,
        "MARITAL": np.where(people.married, 1, 5),
        "MEMBRACE": _RACE[people.race],
        "HORIGIN": 2 - people.hispanic,
        "EDUCA": np.where(adult, np.array([3, 4, 5, 7, 8])[np.digitize(people.schooling, SCHOOLING_CUTS)], 2),
        "IN_COLL": np.where(adult & (people.age < 23), "1", np.where(adult, "3", "")),
        "ARM_FORC": np.where(adult, "2", ""),
        "EARNER": np.where(works, 1, 2),
        "OCCUCODE": np.where(works, "03", ""),
        "INCOMEY": np.where(works, "1", ""),
        "INCNONWK": np.where(works | ~adult, "", "1"),
        "INC_HRSQ": people.hours.astype(int),
        "INCWEEKQ": np.where(works, 52, 0),
        "SALARYXM": panel.incomes["salary"],
        "SEMPFRMM": panel.incomes["own"],
        "SOCRRXM": panel.incomes["security"],
        "SSIXM": panel.incomes["supplement"],
        "TAX_UNIT": np.ones(len(people.household), dtype=int),
    }
    return {raw: values[who] for raw, values in columns.items()} | {"NEWID": newid[row]}, quarter[row]


def _account_columns(
    panel: Panel, unit: Array, number: Array, newid: Array, quarter: Array
) -> tuple[Columns, Array]:
    """One entry for every category with any spending, in the month before the interview's, at that month's prices."""
    year, month = _interviewed(quarter)
    index = year * 12 + month - 2
    prices = _prices()
    factor = np.array([prices[divmod(i, 12)] for i in index]) / _base()
    parts: list[Columns] = []
    for category, amounts in panel.spending.items():
        spent = amounts[unit, number - 1]
        some = np.flatnonzero(spent)
        sign = -1 if category in _BOOKED_NEGATIVE else 1
        parts.append(
            {
                "NEWID": newid[some],
                "UCC": np.full(some.size, _item(category)),
                "COST": np.round(sign * spent[some] * factor[some], 4),
                "REF_YR": index[some] // 12,
                "REF_MO": index[some] % 12 + 1,
                "quarter": quarter[some],
            }
        )
    columns = {raw: np.concatenate([part[raw] for part in parts]) for raw in parts[0]}
    return columns, columns.pop("quarter")


def _detailed(panel: Panel, unit: Array, newid: Array, year: int) -> dict[str, tuple[Columns, Array]]:
    """Files of detailed questions: vehicles, leases, rentals, appliances; one member a survey-year."""
    homes = panel.homes
    owned = np.repeat(np.arange(len(homes)), homes.vehicles)
    row, vehicle = _expand(owned, unit, len(homes))
    age = (np.arange(owned.size) * 7) % 15
    price = np.round(9_000 + 4_000 * ((np.arange(owned.size) * 3) % 5), -2)
    rents = np.flatnonzero(homes.tenure[unit] == 2)

    def included(payer: Array) -> Array:
        return np.where(payer[unit[rents]] == 1, 1, 2)

    some = np.arange(0, unit.size, 10)
    appliance = {"NEWID": newid[some]}
    contents: dict[str, Columns] = {
        "vehicles": {
            "NEWID": newid[row],
            "FUELTYPE": np.ones(row.size, dtype=int),
            "NETPURX": price[vehicle].astype(int),
            "TRADEX": np.full(row.size, ""),
            "VEHPURYR": 2015 - age[vehicle],
        },
        "leases": appliance | {"PAYEXPX": np.full(some.size, 310), "NUMPAY": np.full(some.size, 3)},
        "rentals": {
            "NEWID": newid[rents],
            "SAMP_UN": np.ones(rents.size, dtype=int),
            "RTWATER": included(homes.electricity_payer),
            "RTELECT": included(homes.electricity_payer),
            "RTGAS": included(homes.gas_payer),
        },
        "major_appliances": appliance
        | {
            "GFTC_MAJ": np.ones(some.size, dtype=int),
            "MAJAPPLY": np.full(some.size, 140),
            "MAJPURX": np.full(some.size, 640),
        },
        "minor_appliances": appliance
        | {
            "GFTCMIN": np.ones(some.size, dtype=int),
            "MINAPPLY": np.full(some.size, 230),
            "MINPURX": np.full(some.size, 55),
        },
    }
    return {role: (columns, np.zeros(columns["NEWID"].size, dtype=int)) for role, columns in contents.items()}


def _truth(places: Places, panel: Panel, unit: Array) -> pa.Table:
    """Consumer units with their year of spending, whether or not all quarters were asked."""
    columns = true_places(places, FIRST_UNIT + np.arange(len(panel.homes)), panel.homes.place)
    columns |= {category: pa.array(amounts.sum(axis=1)) for category, amounts in panel.spending.items()}
    fuel = np.array([HEATING.get(name, "Other") for name in HEAT_FUELS])[panel.homes.fuel]
    levels = [*HEATING.values(), "Other"]
    columns["hfl"] = categorical(np.array([levels.index(name) for name in fuel]), levels)
    columns["interviews"] = pa.array(np.bincount(panel.unit, minlength=len(panel.homes)))
    return pa.table(columns).take(pa.array(unit))


def _incomes(homes: Households, rng: np.random.Generator) -> dict[str, Array]:
    """Give a unit's income to its members, by hours or else to the first, in the kinds that the ACS has."""
    people, n = homes.people, len(homes)
    of, old = people.household, people.age >= 62
    hours = np.bincount(of, people.hours, minlength=n)[of]
    share = np.where(hours > 0, people.hours / np.maximum(hours, 1), people.order == 1)
    income = np.round(np.maximum(homes.income, 0)[of] * share)
    chance = rng.random(len(of))
    works = people.hours > 0
    own, idle = works & (chance < 0.1), ~works & ~old
    pension = np.where(old & ~works, np.round(0.4 * income), 0)
    security = np.minimum(income - pension, MOST_SECURITY) * (old & ~works)
    kinds = {
        "salary": income * (works & ~own),
        "own": income * own,
        "pension": pension,
        "security": security,
        "interest": (income - pension - security) * (old & ~works),
        "supplement": np.minimum(income, 30_000) * (idle & (chance < 0.3)),
        "assistance": np.minimum(income, 30_000) * (idle & (chance >= 0.3) & (chance < 0.4)),
        "other": income * (idle & (chance >= 0.4)),
    }
    return {kind: dollars.astype(int) for kind, dollars in kinds.items()}


def _interviewed(quarter: Array) -> tuple[Array, Array]:
    """Year and month of the interview: the first month of the quarter."""
    index = YEARS[0] * 12 + 3 + 3 * quarter
    return index // 12, index % 12 + 1


def _expand(owner: Array, unit: Array, size: int) -> tuple[Array, Array]:
    """Repeat what units own (sorted by unit) for each interview: row of the interview, row of the thing."""
    count = np.bincount(owner, minlength=size)
    start = np.cumsum(count) - count
    row = np.repeat(np.arange(unit.size), count[unit])
    within = np.arange(row.size) - np.repeat(np.cumsum(count[unit]) - count[unit], count[unit])
    return row, start[unit[row]] + within


@cache
def _prices() -> dict[tuple[int, int], float]:
    """Consumer price index by year and month, counted from 0."""
    table = pd.read_csv(LOOKUPS / "cpi_u_monthly.csv", comment="#")
    return {(int(y), int(m) - 1): index for y, m, index in table.itertuples(index=False)}


@cache
def _base() -> float:
    return float(_indices()[YEARS[1]])


@cache
def _indices() -> pd.Series:
    """Consumer price index by year."""
    return pd.read_csv(LOOKUPS / "cpi_u.csv", comment="#").set_index("year")["index"]


@cache
def _item(category: str) -> str:
    """An item of the accounts that falls to the category alone."""
    shares = load_shares("cei_ucc")
    elsewhere = {label for name, labels in shares.items() if name != category for label in labels}
    return next(label for label, share in shares[category].items() if share == 1 and label not in elsewhere)[
        :6
    ]


def _two(values: Array) -> Array:
    return np.char.zfill(values.astype(int).astype(str), 2)
