"""The simulated Residential Energy Consumption Survey 2020: sampling and the public-use file.

Belongs here: the donor's design, and the codes of the official file (EIA, RECS 2020 codebook). Unlike 2015 the survey
discloses the state. Does not belong here: the households (`population.py`) and what they use (`energy.py`).
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa

from fusion_pipeline.randomness import stream
from fusion_pipeline.registry import SurveyVintage
from fusion_pipeline.simulate.completing import complete
from fusion_pipeline.simulate.energy import Energy, draw_energy
from fusion_pipeline.simulate.people import SCHOOLING_CUTS
from fusion_pipeline.simulate.place import URBAN_TYPES, ZONES, Places
from fusion_pipeline.simulate.population import Households, draw_households
from fusion_pipeline.simulate.sampling import calibrate, draw_places, draw_urban, jackknife
from fusion_pipeline.simulate.text import csv_bytes
from fusion_pipeline.simulate.truth import TruthWriter, truth_table
from fusion_pipeline.surveys.codebook import load_codebook

log = logging.getLogger(__name__)
Array = np.ndarray

HOUSEHOLDS = 123_529_025
"""What the weights of the real survey add up to."""
FIRST_ID, GROUPS = 100_001, 60
_REGIONS = np.array(["", "NORTHEAST", "MIDWEST", "SOUTH", "WEST"])
_DIVISIONS = np.array(
    ["", "New England", "Middle Atlantic", "East North Central", "West North Central", "South Atlantic",
     "East South Central", "West South Central", "Mountain North", "Mountain South", "Pacific"]
)  # fmt: skip
_TYPEHUQ = np.array([1, 2, 3, 4, 4, 5, 5, 5, 5])
_FUELHEAT = np.array([1, 2, 5, 3, 99, 7, 99, 99, -2])
_RACE = np.array([1, 2, 3, 4, 5, 6, 6])
_DECADES = (1950, 1960, 1970, 1980, 1990, 2000, 2010, 2016)
_INCOME = np.array([5, 7.5, 10, 12.5, 15, 20, 25, 30, 35, 40, 50, 60, 75, 100, 150]) * 1000


def write_recs_2020(
    places: Places, seed: int, survey: SurveyVintage, size: int, folder: Path, truth: Path
) -> None:
    """Write the public-use file and the truth about its households."""
    codebook = load_codebook(survey.codebook)
    rng = stream(seed, "simulate", "recs", survey.year, "sample")
    place, stratum = draw_places(size, places.state, places.households, rng)
    urban, relative = draw_urban(places.urban[place], rng)
    shares = np.bincount(places.state, places.households)
    totals = shares / shares.sum() * HOUSEHOLDS
    homes = draw_households(places, place, urban, survey.year, rng)
    energy = draw_energy(places, homes, rng)
    hid = FIRST_ID + np.arange(size)
    weights = np.column_stack([np.ones(size), jackknife(size, 1, GROUPS)])
    weights = np.round(calibrate(relative[:, None] * weights, stratum, totals), 4)
    answers = _answers(places, homes, energy, stream(seed, "simulate", "recs", survey.year, "answers"))
    columns = complete({"DOEID": hid, "NWEIGHT": weights[:, 0], **answers}, codebook.households, codebook)
    assert codebook.households.replicates is not None
    columns |= {
        name: pa.array(weights[:, r + 1]) for r, name in enumerate(codebook.households.replicates.columns)
    }
    (folder / survey.files["households"].name).write_bytes(csv_bytes(columns, header=True))
    with TruthWriter(truth) as table:
        table.append(truth_table(places, hid, place, energy))
    log.info("RECS %d: %d households", survey.year, size)


def _answers(places: Places, homes: Households, energy: Energy, rng: np.random.Generator) -> dict[str, Array]:
    n, place = len(homes), homes.place
    state = places.states.iloc[places.state[place]]
    people = homes.people
    heated, cooled = homes.fuel != 8, energy.cooling > 0
    old = np.bincount(people.household, people.age >= 65, minlength=n).astype(int)
    desktop = np.minimum(rng.binomial(homes.computers, 0.35), homes.computers)
    age, hours = homes.of_reference("age"), homes.of_reference("hours")
    iecc = np.array([f"{number}{regime.removesuffix('N/A') or 'A'}" for number, regime, _ in ZONES])
    zone = np.array([zone for _, _, zone in ZONES])
    area = np.round(homes.area * np.exp(0.05 * rng.normal(size=n)))
    columns = {
        "REGIONC": _REGIONS[state["region"].to_numpy()],
        "DIVISION": _DIVISIONS[places.recs_division[place]],
        "STATE_FIPS": state["fips"].to_numpy(),
        "BA_CLIMATE": zone[places.iecc[place]],
        "IECC_CLIMATE_CODE": iecc[places.iecc[place]],
        "UATYP10": np.array(URBAN_TYPES)[homes.urban],
        "HDD65": np.rint(0.93 * places.hdd[place]),
        "CDD65": np.rint(1.12 * places.cdd[place]),
        "HDD30YR_PUB": np.rint(places.hdd[place]),
        "CDD30YR_PUB": np.rint(places.cdd[place]),
        "TYPEHUQ": _TYPEHUQ[homes.dwelling],
        "KOWNRENT": np.array([1, 1, 2, 3])[homes.tenure],
        "YEARMADERANGE": 1 + np.digitize(homes.built, _DECADES),
        "BEDROOMS": homes.bedrooms,
        "TOTROOMS": homes.rooms,
        "TOTSQFT_EN": area,
        "NUMFRIG": homes.refrigerators,
        "RANGE": homes.stoves,
        "COOKTOP": rng.random(n) < 0.13,
        "DESKTOP": desktop,
        "NUMLAPTOP": homes.computers - desktop,
        "NUMTABLET": homes.tablets,
        "INTERNET": homes.internet,
        "HEATHOME": heated,
        "FUELHEAT": _FUELHEAT[homes.fuel],
        "AIRCOND": cooled,
        "ACEQUIPM_PUB": np.array([-2, 1, 4, 1])[energy.cooling],
        "ELPAY": np.array([1, 2, 1, 99])[homes.electricity_payer],
        "NGPAY": np.array([1, 2, 1, -2])[homes.gas_payer],
        "FOPAY": np.where(homes.fuel == 3, 1, -2),
        "HHAGE": np.minimum(age, 90),
        "HHSEX": 2 - homes.of_reference("female"),
        "EMPLOYHH": np.select([hours >= 30, hours > 0, age >= 62], [1, 2, 3], default=4),
        "EDUCATION": 1 + np.digitize(homes.of_reference("schooling"), SCHOOLING_CUTS),
        "SDESCENT": homes.of_reference("hispanic"),
        "HOUSEHOLDER_RACE": _RACE[homes.of_reference("race")],
        "NHSLDMEM": homes.size,
        "NUMCHILD": homes.children,
        "NUMADULT1": homes.size - homes.children - old,
        "NUMADULT2": old,
        "MONEYPY": 1 + np.digitize(homes.income * np.exp(0.05 * rng.normal(size=n)), _INCOME),
    }
    for name in ("scaleb", "scaleg", "scalee", "noheatbroke", "noheatel", "noheatng", "noheatbulk", "noacbroke",
                 "noacel"):  # fmt: skip
        columns[name.upper()] = getattr(energy, name)
    found = {
        name: values if values.dtype.kind in "OUST" else values.astype(int)
        for name, values in columns.items()
    }
    for fuel in ("el", "ng", "lp", "fo"):
        found[f"BTU{fuel.upper()}"] = np.round(getattr(energy, f"btu{fuel}"), 2)
        found[f"DOLLAR{fuel.upper()}"] = np.round(getattr(energy, f"dollar{fuel}"), 2)
    found["TOTALBTU"] = np.round(energy.btuel + energy.btung + energy.btulp + energy.btufo, 2)
    found["TOTALDOL"] = np.round(energy.dollarel + energy.dollarng + energy.dollarlp + energy.dollarfo, 2)
    return found
