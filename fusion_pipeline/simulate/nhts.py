"""The simulated National Household Travel Survey, 2017 and 2022: sampling and the public-use files.

Belongs here: the donor's design, and the codes of the official files (the publisher's codebooks). Does not belong here:
how much households travel and what they think of it (`travel.py`), who they are (`population.py`).

Columns of the codebook for which the simulated world has no counterpart hold a constant, valid code.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from fusion_pipeline.randomness import stream
from fusion_pipeline.registry import SurveyVintage
from fusion_pipeline.simulate.completing import complete
from fusion_pipeline.simulate.people import SCHOOLING_CUTS
from fusion_pipeline.simulate.place import Places
from fusion_pipeline.simulate.population import Households, draw_households
from fusion_pipeline.simulate.sampling import calibrate, draw_places, draw_urban, jackknife
from fusion_pipeline.simulate.text import ZipMembers
from fusion_pipeline.simulate.travel import Travel, draw_travel
from fusion_pipeline.simulate.truth import TruthWriter, true_places
from fusion_pipeline.simulate.work import draw_occupations, draw_ways
from fusion_pipeline.storage.tables import categorical
from fusion_pipeline.surveys.codebook import load_codebook

log = logging.getLogger(__name__)
Array = np.ndarray

HOUSEHOLDS = {2017: 118_208_251, 2022: 127_544_707}
"""What the weights of the real surveys add up to."""
FIRST_ID = {2017: 30_000_007, 2022: 9_000_013_002}
VARIANCE_STRATA, GROUPS = 14, 7
MOST = {
    2017: {"YOUNGCHILD": 5, "PPT517": 13, "WRKCOUNT": 7},
    2022: {"YOUNGCHILD": 4, "PPT517": 6, "WRKCOUNT": 6},
}
"""Largest counts of persons of a kind in a household (publisher's codebooks)."""
UNANSWERED = 0.025
BUSINESS = 0.07
"""Share of vehicles that earn money."""
TRANSIT_DAYS = 30 * np.array([0.02, 0.5])
"""In a month, of those who took no public transit on the travel day, and of those who did."""
LIKERT = ("Strongly disagree", "Disagree", "Neither Agree or Disagree", "Agree", "Strongly agree")
_INCOME = np.array([10, 15, 25, 35, 50, 75, 100, 125, 150, 200]) * 1000
_RACE = np.array([1, 2, 4, 3, 5, 97, 6])
_VEHICLE = np.array([1, 2, 3, 4, 5, 6, 7, 97])
_PURPOSE = np.array([1, 10, 20, 30, 40, 50, 70, 80, 97])
_RELATION = {0: 1, 1: 2, 13: 2, 2: 3, 6: 4, 10: 6, 12: 7}
_MODE = {2017: np.array([1, 2, 3, 11, 17, 97]), 2022: np.array([20, 18, 1, 8, 16, 97])}
_OCCUPATION = np.array([3, 1, 2, 4, 97])
_WAY = {
    2017: np.array([-1, 1, 2, 3, 4, 5, 6, 8, 11, 15, 16, 17]),
    2022: np.array([-1, 20, 18, 1, 3, 2, 4, 7, 8, 12, 11, 15]),
}
Columns = dict[str, Array]


@dataclass(frozen=True)
class Sample:
    """The households of one survey-year, and what they do."""

    hid: Array
    weight: Array
    homes: Households
    travel: Travel
    replicates: Array
    """(n, 98)."""


def write_nhts(
    places: Places, seed: int, survey: SurveyVintage, size: int, folder: Path, truth: Path
) -> None:
    """Write a vintage's archives and the truth about its households."""
    codebook = load_codebook(survey.codebook)
    sample = draw_sample(places, seed, survey.year, size)
    rng = stream(seed, "simulate", "nhts", survey.year, "answers")
    contents = {
        "households": _household_columns(places, sample, survey.year, rng),
        "persons": _person_columns(sample, survey.year, rng)
        | _work_columns(sample, survey.year, stream(seed, "simulate", "nhts", survey.year, "work")),
        "vehicles": _vehicle_columns(sample, survey.year, rng),
        "trips": _trip_columns(sample, survey.year),
    }
    files = {role: complete(columns, codebook.kinds[role], codebook) for role, columns in contents.items()}
    if replicates := codebook.households.replicates:
        weights = {name: pa.array(sample.replicates[:, r]) for r, name in enumerate(replicates.columns)}
        files["replicates"] = {codebook.households.id.hid: pa.array(sample.hid), **weights}
    for archive in dict.fromkeys(file.name for file in survey.files.values()):
        with ZipMembers(str(folder / archive)) as members:
            for role, file in survey.files.items():
                if file.name == archive:
                    members.write(file.member.replace("*", ""), files[role])
    with TruthWriter(truth) as table:
        table.append(_truth(places, sample))
    log.info("NHTS %d: %d households", survey.year, size)


def draw_sample(places: Places, seed: int, year: int, size: int) -> Sample:
    """Draw the sample, stratified by census division, with replicate weights of a stratified jackknife."""
    rng = stream(seed, "simulate", "nhts", year, "sample")
    division = places.states["division"].to_numpy()[places.state] - 1
    place, stratum = draw_places(size, division, places.households, rng)
    urban, relative = draw_urban(places.urban[place], rng)
    shares = np.bincount(division, places.households)
    totals = shares / shares.sum() * HOUSEHOLDS[year]
    homes = draw_households(places, place, urban, year, rng)
    factors = jackknife(size, VARIANCE_STRATA, GROUPS)
    return Sample(
        hid=FIRST_ID[year] + np.arange(size),
        weight=calibrate(relative, stratum, totals),
        homes=homes,
        travel=draw_travel(places, homes, rng),
        replicates=calibrate(relative[:, None] * factors, stratum, totals),
    )


def _count(household: np.ndarray, which: np.ndarray, n: int, most: int) -> np.ndarray:
    """Number of persons of a kind in each household, no larger than the survey ever found; (n,)."""
    return np.minimum(np.bincount(household, which, minlength=n).astype(int), most)


def _household_columns(places: Places, sample: Sample, year: int, rng: np.random.Generator) -> Columns:
    homes, travel = sample.homes, sample.travel
    people, n = homes.people, len(homes)
    state = places.states.iloc[places.state[homes.place]]
    youngest = np.full(n, 99)
    np.minimum.at(youngest, people.household, people.age)
    adults = np.bincount(people.household, people.age >= 18, minlength=n).astype(int)
    retired = np.bincount(people.household, people.hours, minlength=n) == 0
    retired &= homes.of_reference("age") >= 60
    stage = np.select([youngest < 6, youngest < 16, youngest < 22, retired], [3, 5, 7, 9], default=1)
    columns: Columns = {
        "HOUSEID": sample.hid,
        "WTHHFIN": np.round(sample.weight, 5),
        "HHSTFIPS": state["fips"].to_numpy(),
        "HHSTATE": state["usps"].to_numpy(),
        "CENSUS_D": state["division"].to_numpy(),
        "CENSUS_R": state["region"].to_numpy(),
        "HHSIZE": homes.size,
        "NUMADLT": adults,
        "YOUNGCHILD": _count(people.household, people.age < 5, n, MOST[year]["YOUNGCHILD"]),
        "PPT517": _count(people.household, (people.age >= 5) & (people.age < 18), n, MOST[year]["PPT517"]),
        "RESP_CNT": np.bincount(people.household, people.age >= 5, minlength=n).astype(int),
        "WRKCOUNT": _count(people.household, people.hours > 0, n, MOST[year]["WRKCOUNT"]),
        "DRVRCNT": np.minimum(adults, adults * (homes.vehicles > 0)),
        "HHVEHCNT": homes.vehicles,
        "CNTTDHH": np.bincount(people.household[travel.trips.person], minlength=n),
        "HHFAMINC": 1 + np.digitize(homes.income, _INCOME),
        "HHFAMINC_IMP": 1 + np.digitize(homes.income, _INCOME),
        "HH_RACE": _RACE[homes.of_reference("race")],
        "HH_HISP": 2 - homes.of_reference("hispanic"),
        "HHRELATD": 2 - homes.relatives,
        "LIF_CYC": stage + (adults > 1),
        "URBRUR": 1 + (homes.urban == 2),
        "URBRUR_2010": 1 + (homes.urban == 2),
        "TRAVDAY": rng.integers(1, 8, n),
    }
    if year == 2017:
        columns["HOMEOWN"] = np.array([1, 1, 2, 97])[homes.tenure]
        columns["HH_CBSA"] = np.full(n, "XXXXX")
        for name, answer in travel.answers.items():
            columns[name.upper()] = np.where(rng.random(n) < UNANSWERED, -9, 5 - answer)
        for name, has in (("PC", homes.computers > 0), ("TAB", homes.tablets > 0)):
            columns[name] = np.where(has & homes.internet, rng.choice([1, 1, 1, 2, 2, 3, 4], n), 5)
        columns["WEBUSE17"] = np.where(homes.internet, rng.choice([1, 1, 1, 1, 2, 3], n), 5)
    else:
        columns["HOMEOWN"] = homes.tenure + 1
        columns["HOMETYPE"] = np.array([4, 1, 2, 3, 3, 3, 3, 3, 3])[homes.dwelling]
    return columns


def _person_columns(sample: Sample, year: int, rng: np.random.Generator) -> Columns:
    people = sample.homes.people
    asked = people.age >= 5
    age, hours, m = people.age[asked], people.hours[asked], int(asked.sum())
    schooling = np.digitize(people.schooling[asked], SCHOOLING_CUTS)
    adult = age >= 18
    relation = np.array([_RELATION.get(code, 7) for code in range(14)])[people.relation[asked]]
    if year == 2022:
        relation = np.array([0, 7, 1, 2, 3, 4, 5, 6])[relation]
    codes = np.arange(1, 6) if year == 2017 else np.array([1, 3, 4, 6, 7])
    weight = np.round(sample.weight[people.household[asked]] * np.exp(0.1 * rng.normal(size=m)), 5)
    trips = sample.travel.trips
    rides = np.bincount(trips.person, trips.mode == 3, minlength=len(asked))[asked] > 0
    days = np.minimum(rng.poisson(TRANSIT_DAYS[rides.astype(int)]), 30)
    return {
        "HOUSEID": sample.hid[people.household[asked]],
        "PERSONID": people.order[asked],
        "WTPERFIN": weight,
        "R_AGE": age,
        "R_AGE_IMP": age,
        "R_SEX": 1 + people.female[asked],
        "R_SEX_IMP": 1 + people.female[asked],
        "R_RACE": _RACE[people.race[asked]],
        "R_RACE_IMP": _RACE[people.race[asked]],
        "R_HISP": 2 - people.hispanic[asked],
        "R_RELAT": relation,
        "EDUC": np.where(adult, codes[schooling], -1),
        "WORKER": np.where(age >= 16, np.where(hours > 0, 1, 2), -1),
        "WKFTPT": np.where(hours > 0, np.where(hours >= 35, 1, 2), -1),
        "EMPLOYMENT2": np.where(hours > 0, hours, -1),
        "TIMETOWK": np.where(hours > 0, np.round(rng.gamma(2, 13, m)), -1).astype(int),
        "BORNINUS": 1 + people.immigrant[asked],
        "HEALTH": np.clip(np.round(2.2 + 0.012 * (age - 40) + 0.8 * rng.normal(size=m)), 1, 5).astype(int),
        "DELIVER": np.where(adult, rng.poisson(2.5, m), -1),
        "CNTTDTR": np.bincount(trips.person, minlength=len(asked))[asked],
        "PTUSED": np.where(age >= 16, days, 0 if year == 2017 else -1),
    }


def _work_columns(sample: Sample, year: int, rng: np.random.Generator) -> Columns:
    people = sample.homes.people
    asked = people.age >= 5
    works = people.hours[asked] > 0
    occupation = draw_occupations(people.schooling[asked], rng)
    way = draw_ways(sample.homes.vehicles[people.household[asked]] > 0, rng)
    return {
        "OCCAT": np.where(works, _OCCUPATION[occupation], -1),
        "WRKTRANS": np.where(works, _WAY[year][way], -1),
    }


def _vehicle_columns(sample: Sample, year: int, rng: np.random.Generator) -> Columns:
    vehicles = sample.travel.vehicles
    price = sample.travel.price_of_fuel[vehicles.household]
    columns: Columns = {
        "HOUSEID": sample.hid[vehicles.household],
        "VEHID": vehicles.order,
        "WTHHFIN": np.round(sample.weight[vehicles.household], 5),
        "VEHTYPE": _VEHICLE[vehicles.kind],
        "VEHAGE": vehicles.age,
        "VEHYEAR": year - vehicles.age,
        "ANNMILES": (100 * np.round(vehicles.miles / 100)).astype(int),
        "BESTMILE": vehicles.miles,
        "HYBRID": 2 - (vehicles.fuel == 2),
        "FUELTYPE": np.array([1, 2, 3, 97])[vehicles.fuel],
        "HFUEL": np.where(vehicles.fuel == 2, np.where(vehicles.plugs_in, 2, 4), -1),
        "VEHFUEL": np.where(vehicles.plugs_in, 5, np.array([1, 2, 6, 97])[vehicles.fuel]),
        "GSYRGAL": vehicles.gallons,
        "GSCOST": np.round(price, 4),
        "GSTOTCST": np.round(vehicles.gallons * price, 2),
        "VEHCOMMERCIAL": 2 - (rng.random(len(price)) < BUSINESS),
    }
    return columns


def _trip_columns(sample: Sample, year: int) -> Columns:
    trips, people = sample.travel.trips, sample.homes.people
    household = people.household[trips.person]
    drives = (trips.mode == 2) & (people.age[trips.person] >= 16)
    return {
        "HOUSEID": sample.hid[household],
        "PERSONID": people.order[trips.person],
        "TDTRPNUM": trips.order,
        "TRIPID": trips.order,
        "WTTRDFIN": np.round(sample.weight[household] * 365, 5),
        "WHYTRP1S": _PURPOSE[trips.purpose],
        "TRPTRANS": _MODE[year][trips.mode],
        "TRPMILES": trips.miles,
        "TRPMILAD": np.round(1.1 * trips.miles, 2),
        "VMT_MILE": np.where(drives, trips.miles, -1),
        "TRVLCMIN": trips.minutes.astype(int),
        "TRWAITTM": np.where(trips.mode == 3, 6, -1),
        "TREGRTM": np.where(trips.mode == 3, 5, -1),
        "NUMTRANS": np.where(trips.mode == 3, 0, -1),
    }


def _truth(places: Places, sample: Sample) -> pa.Table:
    travel, n = sample.travel, len(sample.hid)
    columns = true_places(places, sample.hid, sample.homes.place)
    columns |= {name: categorical(answer, LIKERT, ordered=True) for name, answer in travel.answers.items()}
    columns["travel"] = categorical(np.where(travel.travel_insecure, 0, 1), ("Yes", "No"))
    columns["gstotcst"] = pa.array(travel.cost)
    columns["vehicles"] = pa.array(sample.homes.vehicles.astype(np.int64))
    columns["miles"] = pa.array(np.bincount(travel.vehicles.household, travel.vehicles.miles, minlength=n))
    columns["plugin"] = pa.array(
        np.bincount(travel.vehicles.household, travel.vehicles.plugs_in, minlength=n).astype(np.int64)
    )
    return pa.table(columns)
