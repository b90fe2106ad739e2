"""The simulated American Housing Survey: sampling and the National Public Use File of a vintage.

Belongs here: the donor's design, and the codes of the official files (Census Bureau, AHS codebook), quotes included.
Does not belong here: what is true of homes (`quality.py`), who lives in them (`population.py`).

The archive also holds vacant units, which are no households. A few answers are missing, and only half of the sample is
asked about food.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.randomness import stream
from fusion_pipeline.registry import SurveyVintage
from fusion_pipeline.simulate.acs_columns import utilities
from fusion_pipeline.simulate.completing import complete
from fusion_pipeline.simulate.energy import Energy, draw_energy
from fusion_pipeline.simulate.people import SCHOOLING_CUTS
from fusion_pipeline.simulate.place import Places
from fusion_pipeline.simulate.population import SUBFAMILY, Households, draw_households
from fusion_pipeline.simulate.quality import Quality, draw_quality
from fusion_pipeline.simulate.sampling import calibrate, draw_places, draw_urban, fay, pseudo_strata
from fusion_pipeline.simulate.text import ZipMembers
from fusion_pipeline.simulate.truth import TruthWriter, true_places, true_quality
from fusion_pipeline.surveys.codebook import load_codebook

log = logging.getLogger(__name__)
Array = np.ndarray
Columns = dict[str, Array]

HOUSEHOLDS = {2015: 118_290_000, 2017: 121_560_000, 2019: 124_135_000, 2021: 128_504_000}
"""What the weights of the real surveys' occupied units add up to."""
FIRST_CONTROL = 11_000_001
REPLICATES, PSEUDO_STRATA = 160, 150
UNANSWERED, VACANT_RATE = 0.02, 0.14
_RACE = np.array(["01", "02", "03", "04", "05", "20", "06"])
_GRAD = np.array([37, 39, 40, 44, 45])
_FUEL = np.array(["02", "03", "01", "04", "06", "07", "08", "09", "10"])
_RELATION = {1: "03", 2: "04", 6: "06", 10: "08", 12: "13", 13: "11"}
_CITIZEN = np.array(["1", "5"])


@dataclass(frozen=True)
class Sample:
    """The occupied units of one vintage."""

    control: Array
    weight: Array
    replicates: Array
    """(n, 160)."""
    homes: Households
    energy: Energy
    quality: Quality


def write_ahs(places: Places, seed: int, survey: SurveyVintage, size: int, folder: Path, truth: Path) -> None:
    """Write a vintage's archive and the truth about its households."""
    codebook = load_codebook(survey.codebook)
    sample = draw_sample(places, seed, survey.year, size)
    rng = stream(seed, "simulate", "ahs", survey.year, "answers")
    assert codebook.persons is not None and codebook.households.replicates is not None
    columns = _household_columns(places, sample, survey.year, rng)
    columns |= _further_columns(sample.homes, stream(seed, "simulate", "ahs", survey.year, "further"))
    households = complete(columns, codebook.households, codebook)
    households |= {
        name: pa.array(np.round(sample.replicates[:, r], 4))
        for r, name in enumerate(codebook.households.replicates.columns)
    }
    persons = complete(_person_columns(sample, rng), codebook.persons, codebook)
    with ZipMembers(str(folder / survey.files["households"].name)) as members:
        members.write("household.csv", _with_vacant(_quoted(households), size))
        members.write("person.csv", _quoted(persons))
    with TruthWriter(truth) as table:
        columns = true_places(places, sample.control, sample.homes.place) | true_quality(sample.quality)
        table.append(pa.table(columns))
    log.info("AHS %d: %d households", survey.year, size)


def draw_sample(places: Places, seed: int, year: int, size: int) -> Sample:
    """Draw the sample, stratified by census division, with replicate weights of Fay's method."""
    rng = stream(seed, "simulate", "ahs", year, "sample")
    division = places.states["division"].to_numpy()[places.state] - 1
    place, stratum = draw_places(size, division, places.households, rng)
    urban, relative = draw_urban(places.urban[place], rng)
    shares = np.bincount(division, places.households)
    totals = shares / shares.sum() * HOUSEHOLDS[year]
    factors = fay(*pseudo_strata(stratum, min(PSEUDO_STRATA, size // 2)), REPLICATES)
    homes = draw_households(places, place, urban, year, rng)
    energy = draw_energy(places, homes, rng)
    return Sample(
        control=FIRST_CONTROL + np.arange(size),
        weight=calibrate(relative, stratum, totals),
        replicates=calibrate(relative[:, None] * factors, stratum, totals),
        homes=homes,
        energy=energy,
        quality=draw_quality(places, homes, energy, rng),
    )


def _household_columns(places: Places, sample: Sample, year: int, rng: np.random.Generator) -> Columns:
    homes, quality, n = sample.homes, sample.quality, len(sample.homes)
    people = homes.people
    count = {name: np.bincount(people.household, who, minlength=n).astype(int) for name, who in (
        ("NUMADULTS", people.age >= 18),
        ("NUMELDERS", people.age >= 65),
        ("NUMOLDKIDS", (people.age >= 6) & (people.age < 18)),
        ("NUMYNGKIDS", people.age < 6),
        ("NUMNONREL", np.isin(people.relation, (12, 13))),
    )}  # fmt: skip
    owner, rented, single = homes.tenure <= 1, homes.tenure == 2, homes.dwelling <= 2
    elep, gasp, _ = utilities(homes, sample.energy, rng)
    income = np.round(homes.income, -2).astype(int)
    half = 1 + (rng.random(n) < 0.5)
    built = np.where(homes.built >= 2010, homes.built, homes.built // 10 * 10)
    partners = np.where(homes.couple == 2, np.where(homes.of_reference("female"), 4, 2), 0)

    def answered(values: Array) -> Array:
        return np.where(rng.random(n) < UNANSWERED, "-9", values.astype(str))

    return {
        "CONTROL": sample.control,
        "WEIGHT": np.round(sample.weight, 7),
        "INTSTATUS": np.full(n, "1"),
        "DIVISION": places.states["division"].to_numpy()[places.state[homes.place]].astype(str),
        "OMB13CBSA": np.where(homes.urban == 0, "99998", "99999"),
        "SPLITSAMP": half.astype(str),
        "BLD": _two(homes.dwelling + 1),
        "YRBUILT": np.maximum(built, 1919),
        "TENURE": np.array(["1", "1", "2", "3"])[homes.tenure],
        "BEDROOMS": homes.bedrooms,
        "TOTROOMS": homes.rooms,
        "UNITSIZE": answered(quality.unitsize + 1),
        "LOTSIZE": np.where(single, np.where(homes.urban == 2, "5", "2"), "-6"),
        "HEATFUEL": _FUEL[homes.fuel],
        "FRIDGE": np.where(homes.refrigerators > 0, "1", "2"),
        "COLD": answered(2 - quality.cold),
        "HMRENEFF": np.where(owner, answered(2 - quality.hmrenew), "-6"),
        "FSSTATUS": np.where(half == 1, (quality.fsstatus + 1).astype(str), "-6"),
        "RATINGHS": answered(quality.ratinghs),
        "NUMPEOPLE": homes.size,
        **count,
        "PARTNER": partners.astype(str),
        "MULTIGEN": np.where(homes.children > 0, "2", "1"),
        "HHAGE": homes.of_reference("age"),
        "HHSEX": (1 + homes.of_reference("female")).astype(str),
        "HHRACE": _RACE[homes.of_reference("race")],
        "HHSPAN": (2 - homes.of_reference("hispanic")).astype(str),
        "HHCITSHP": _CITIZEN[homes.of_reference("immigrant").astype(int)],
        "HHGRAD": _grade(homes.of_reference("schooling")).astype(str),
        "HHMOVE": (year - homes.moved).astype(int),
        "HINCP": income,
        "FINCP": np.where(homes.relatives | (homes.size == 1), income, income // 2),
        "FS": (2 - homes.food_stamps).astype(str),
        "ELECAMT": np.select([elep == 1, elep == 2], [2, 3], elep),
        "GASAMT": np.select([gasp == 3, gasp <= 2], [0, 2], gasp),
        "MARKETVAL": np.where(owner, np.round(homes.value), -6).astype(int),
        "PROTAXAMT": np.where(owner, np.round(homes.value * 0.011 / 12), -6).astype(int),
        "RENT": np.where(rented, np.round(homes.rent, -1), -6).astype(int),
        "TOTHCAMT": np.round(np.where(rented, homes.rent, homes.value * 0.004) + elep).astype(int),
    }


def _further_columns(homes: Households, rng: np.random.Generator) -> Columns:
    """What follows from who lives in a home and how old it is."""
    lacks_sink = 0.003 + 0.02 * (homes.built < 1940) + 0.01 * (homes.dwelling == 0)
    return {
        "GRANDHH": (2 - homes.grandparents).astype(str),
        "NUMSUBFAM": rng.binomial(homes.grown_relatives, SUBFAMILY),
        "KITCHSINK": (1 + (rng.random(len(homes)) < lacks_sink)).astype(str),
    }


def _person_columns(sample: Sample, rng: np.random.Generator) -> Columns:
    homes, people = sample.homes, sample.homes.people
    m, of = len(people.household), people.household
    relation = np.array([_RELATION.get(code, "17") for code in range(14)])[people.relation]
    alone = np.where(homes.relatives[of], "01", "02")
    hours = np.maximum(np.bincount(of, people.hours, minlength=len(homes)), 1)
    works = np.bincount(of, people.hours, minlength=len(homes)) > 0
    income = np.maximum(np.round(homes.income, -2), 0)
    wages = np.where(works[of], income[of] * people.hours / hours[of], 0)
    pension = np.where(~works[of] & (people.order == 1), income[of], 0)
    adult = people.age >= 16

    def money(dollars: Array) -> Array:
        return np.where(adult, np.round(dollars), -6).astype(int)

    widowed = np.where(people.age >= 65, 3, np.where(people.age >= 35, 4, 6))
    # Line numbers are kept between survey years, so that the reference person need not be the first.
    line = np.where(np.isin(homes.size[of], (2, 3)), homes.size[of] + 1 - people.order, people.order)
    return {
        "CONTROL": sample.control[of],
        "PLINE": line,
        "REL": np.where(people.order == 1, alone, relation),
        "AGE": people.age,
        "SEX": (1 + people.female).astype(str),
        "MAR": np.where(people.age < 15, "-6", np.where(people.married, 1, widowed).astype(str)),
        "RACE": _RACE[people.race],
        "SPAN": (2 - people.hispanic).astype(str),
        "CITSHP": _CITIZEN[people.immigrant.astype(int)],
        "GRAD": np.where(people.age > 17, _grade(people.schooling).astype(str), "-6"),
        "PCARE": np.where(people.age < 5, "-6", (2 - (rng.random(m) < 0.03)).astype(str)),
        "PHEAR": (2 - (rng.random(m) < 0.002 * people.age)).astype(str),
        "WAGP": money(wages),
        "RETP": money(np.where(people.age < 62, 0, pension * 0.4)),
        "SSP": money(np.where(people.age < 62, 0, pension * 0.6)),
        "INTP": money(np.where(people.age < 62, pension, 0)),
        "SEMP": money(np.zeros(m)),
        "SSIP": money(np.zeros(m)),
        "PAP": money(np.zeros(m)),
        "OIP": money(np.zeros(m)),
    }


def _quoted(columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """Put codes and keys, not numbers, in single quotes, as the publisher does."""

    def written(name: str, values: pa.Array) -> pa.Array:
        if not pa.types.is_string(values.type) and name != "CONTROL":
            return values
        return pc.binary_join_element_wise("'", values.cast(pa.string()), "'", "")

    return {name: written(name, values) for name, values in columns.items()}


def _with_vacant(columns: dict[str, pa.Array], size: int) -> dict[str, pa.Array]:
    """Append vacant units: copies of the first records, without household."""
    vacant = round(size * VACANT_RATE)
    more = {name: values.slice(0, vacant) for name, values in columns.items()}
    more["CONTROL"] = pa.array([f"'{FIRST_CONTROL + size + k}'" for k in range(vacant)])
    more["INTSTATUS"] = pa.array(["'3'"] * vacant)
    more["TENURE"] = pa.array(["'-6'"] * vacant)
    return {name: pa.concat_arrays([values, more[name]]) for name, values in columns.items()}


def _grade(schooling: Array) -> Array:
    return _GRAD[np.digitize(schooling, SCHOOLING_CUTS)]


def _two(values: Array) -> Array:
    return np.char.zfill(values.astype(int).astype(str), 2)
