"""The simulated Residential Energy Consumption Survey 2015: sampling and the public-use file.

Belongs here: the donor's design, and the codes of the official file (EIA, codebook_publicv4.xlsx). The survey
discloses region, division, climate and urban type, not the state or PUMA. Does not belong here: the
households (`population.py`) and what they use (`energy.py`).

Respondents answer as they would answer the ACS, in the categories of RECS and with slight response error.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa

from fusion_pipeline.randomness import stream
from fusion_pipeline.simulate.completing import complete
from fusion_pipeline.simulate.energy import Energy, draw_energy
from fusion_pipeline.simulate.people import SCHOOLING_CUTS, pick
from fusion_pipeline.simulate.place import BUILDING_AMERICA, IECC, URBAN_TYPES, Places
from fusion_pipeline.simulate.population import Households, draw_households
from fusion_pipeline.simulate.recs_layout import in_official_layout
from fusion_pipeline.simulate.sampling import calibrate, draw_places, draw_urban, fay, pseudo_strata
from fusion_pipeline.simulate.text import csv_bytes, digits
from fusion_pipeline.simulate.truth import TruthWriter, truth_table
from fusion_pipeline.surveys.codebook import load_codebook

log = logging.getLogger(__name__)
Array = np.ndarray

HOUSEHOLDS = 118_208_250
"""What the weights of the real survey add up to."""
YEAR = 2015
FIRST_ID = 10_001
PSEUDO_STRATA = 95
RESPONSE_ERROR = 0.02
KBTU_PER_KWH = 3.412
_TYPEHUQ = np.array([1, 2, 3, 4, 4, 5, 5, 5, 5])
_FUELHEAT = np.array([1, 2, 5, 3, 21, 7, 21, 21, -2])
_RACE = np.array([1, 2, 3, 4, 5, 7, 7])
_DECADES = (1950, 1960, 1970, 1980, 1990, 2000, 2010)
_KOWNRENT = np.array([1, 1, 2, 3])
_WINDOWS = np.array([10, 20, 30, 41, 42, 50, 60])
_AGE_OF_EQUIPMENT = np.array([1, 2, 3, 41, 42, 5])
_INCOME = np.arange(20_000, 160_000, 20_000)
_UNCONDITIONED = ("TOTUCSQFT", "TOTUSQFT")
"""Columns that the codebook does not read."""


def write_recs(places: Places, seed: int, donors: int, file: Path, truth: Path) -> None:
    """Write the public-use file and the truth about its households."""
    file.parent.mkdir(parents=True, exist_ok=True)
    place, weight, replicates, homes, energy = draw_sample(places, seed, donors)
    hid = FIRST_ID + np.arange(donors)
    modelled: dict[str, pa.Array] = {"DOEID": digits(hid), "NWEIGHT": _decimals(weight, 5)}
    modelled |= _answers(places, homes, energy, stream(seed, "simulate", "recs", "answers"))
    modelled |= _climate(places, place, stream(seed, "simulate", "recs", "climate"))
    modelled |= _consumption(energy)
    codebook = load_codebook("recs_2015")
    columns = complete(modelled, codebook.households, codebook)
    columns |= {f"BRRWT{r + 1}": _decimals(replicates[:, r], 5) for r in range(replicates.shape[1])}
    columns |= {name: modelled[name] for name in _UNCONDITIONED}
    columns = in_official_layout(columns, stream(seed, "simulate", "recs", "flags"))
    file.write_bytes(csv_bytes(columns, header=True))
    with TruthWriter(truth) as table:
        table.append(truth_table(places, hid, place, energy))
    log.info("RECS %d: %d households", YEAR, donors)


def draw_sample(places: Places, seed: int, donors: int) -> tuple[Array, Array, Array, Households, Energy]:
    """Draw the sample, stratified by division.

    Returns
    -------
    place (n,), weight (n,), replicate weights (n, 96), households, energy.
    """
    rng = stream(seed, "simulate", "recs", "sample")
    division = places.recs_division - 1
    size = np.bincount(division, places.households)
    place, stratum = draw_places(donors, division, places.households, rng)
    urban, relative = draw_urban(places.urban[place], rng)
    totals = size / size.sum() * HOUSEHOLDS
    factors = fay(*pseudo_strata(stratum, PSEUDO_STRATA))
    homes = draw_households(places, place, urban, YEAR, rng)
    energy = draw_energy(places, homes, rng)
    return (
        place,
        calibrate(relative, stratum, totals),
        calibrate(relative[:, None] * factors, stratum, totals),
        homes,
        energy,
    )


def _answers(
    places: Places, homes: Households, energy: Energy, rng: np.random.Generator
) -> dict[str, pa.Array]:
    n, place = len(homes), homes.place
    state = places.states.iloc[places.state[place]]

    def misheard(codes: Array) -> Array:
        """Let a few respondents land in a neighbouring category."""
        moved = codes + rng.choice([-1, 1], n) * (rng.random(n) < RESPONSE_ERROR)
        return np.clip(moved, codes.min(), codes.max())

    owner, flat = homes.tenure <= 1, homes.dwelling >= 3
    heated, cooled = homes.fuel != 8, energy.cooling > 0
    central = (energy.cooling == 1) | (energy.cooling == 3)
    hours = homes.of_reference("hours")
    income = homes.income * np.exp(0.05 * rng.normal(size=n))
    desktop = np.minimum(rng.binomial(homes.computers, 0.35), homes.computers)
    partly = np.where(rng.random(n) < 0.1, 3, 2)
    metro = pick(rng, np.array([[0.93, 0.05, 0.02], [0.35, 0.45, 0.20], [0.45, 0.25, 0.30]])[homes.urban])
    area = np.round(homes.area * np.exp(0.05 * rng.normal(size=n)))
    warmed = np.where(heated, np.round(area * np.where(owner & ~flat, 0.95, 1.0)), 0)
    chilled = np.where(cooled, np.round(area * np.where(central, 0.95, 0.5)), 0)
    age_of_unit = np.clip((YEAR - homes.built) // 5 + rng.integers(-1, 2, n), 0, 5)
    columns: dict[str, Array] = {
        "REGIONC": state["region"].to_numpy(),
        "DIVISION": places.recs_division[place],
        "METROMICRO": np.array(["METRO", "MICRO", "NONE"])[metro],
        "UATYP10": np.array(URBAN_TYPES)[homes.urban],
        "TYPEHUQ": _TYPEHUQ[homes.dwelling],
        "KOWNRENT": _KOWNRENT[homes.tenure],
        "YEARMADERANGE": misheard(1 + np.digitize(homes.built, _DECADES)),
        "OCCUPYYRANGE": np.maximum(1 + np.digitize(YEAR - homes.moved, _DECADES), 1),
        "BEDROOMS": homes.bedrooms,
        "TOTROOMS": np.clip(homes.rooms + rng.choice([-1, 0, 0, 0, 0, 0, 0, 0, 0, 1], n), 1, 19),
        "WINDOWS": _WINDOWS[np.clip(np.round(homes.rooms / 2 - 1 + rng.normal(0, 0.8, n)), 0, 6).astype(int)],
        "ADQINSUL": 1 + np.digitize((1990 - homes.built) / 40 + rng.normal(0, 0.8, n), [-0.5, 0.8, 2.6]),
        "NUMFRIG": homes.refrigerators,
        "STOVEN": homes.stoves,
        "STOVE": (rng.random(n) < 0.13).astype(int),
        "OVEN": (rng.random(n) < 0.14).astype(int),
        "TVCOLOR": np.clip(rng.poisson(1.4 + 0.35 * homes.size), 0, 9),
        "DESKTOP": desktop,
        "NUMLAPTOP": homes.computers - desktop,
        "NUMTABLET": homes.tablets,
        "INTERNET": homes.internet,
        "HEATHOME": heated,
        "FUELHEAT": _FUELHEAT[homes.fuel],
        "EQUIPMUSE": np.where(heated, rng.choice([1, 1, 1, 1, 2, 2, 3, 4, 5], n), -2),
        **_thermostat("", heated, 69, rng),
        "AIRCOND": cooled,
        "COOLTYPE": np.where(cooled, energy.cooling, -2),
        "AGECENAC": np.where(central, _AGE_OF_EQUIPMENT[age_of_unit], -2),
        **_thermostat("AC", cooled, 73, rng),
        "SCALEB": energy.scaleb,
        "SCALEG": energy.scaleg,
        "SCALEE": energy.scalee,
        "NOHEATBROKE": energy.noheatbroke,
        "NOHEATEL": energy.noheatel,
        "NOHEATNG": energy.noheatng,
        "NOHEATBULK": energy.noheatbulk,
        "NOACBROKE": energy.noacbroke,
        "NOACEL": energy.noacel,
        "HHAGE": np.minimum(homes.of_reference("age"), 85),
        "HHSEX": 2 - homes.of_reference("female"),
        "EMPLOYHH": np.where(hours >= 20, 1, np.where(hours > 0, 2, 0)),
        "SDESCENT": homes.of_reference("hispanic"),
        "HOUSEHOLDER_RACE": _RACE[homes.of_reference("race")],
        "EDUCATION": misheard(1 + np.digitize(homes.of_reference("schooling"), SCHOOLING_CUTS)),
        "NHSLDMEM": homes.size,
        "NUMADULT": homes.size - homes.children,
        "NUMCHILD": homes.children,
        "MONEYPY": 1 + np.digitize(income, _INCOME),
        "ELPAY": np.array([1, 2, 1, 9])[homes.electricity_payer]
        + (homes.electricity_payer == 1) * (partly - 2),
        "NGPAY": np.array([1, 2, 1, -2])[homes.gas_payer] + (homes.gas_payer == 1) * (partly - 2),
        "USENG": homes.uses_gas,
        "TOTSQFT_EN": area,
        "TOTHSQFT": warmed,
        "TOTCSQFT": chilled,
        "TOTUSQFT": area - warmed,
        "TOTUCSQFT": area - chilled,
    }
    return {
        name: pa.array(v) if v.dtype.kind == "U" else digits(v.astype(int)) for name, v in columns.items()
    }


def _thermostat(suffix: str, used: Array, level: int, rng: np.random.Generator) -> dict[str, Array]:
    """TEMPHOME, TEMPGONE and TEMPNITE, or their air-conditioning counterparts."""
    home = np.clip(np.round(rng.normal(level, 3, len(used))), 50, 90)
    away = 1 if suffix else -1
    gone = np.clip(home + away * rng.integers(0, 7, len(used)), 50, 90)
    night = np.clip(home + away * rng.integers(-2, 4, len(used)), 50, 90)
    named = {"TEMPHOME": home, "TEMPGONE": gone, "TEMPNITE": night}
    return {name + suffix: np.where(used, value, -2) for name, value in named.items()}


def _climate(places: Places, place: Array, rng: np.random.Generator) -> dict[str, pa.Array]:
    """Degree days near the household's PUMA, blurred as the publisher blurs them, and its climate zones."""
    blur = 1 + 0.03 * rng.normal(size=(4, len(place)))
    hdd, cdd = places.hdd[place], places.cdd[place]
    return {
        "CDD30YR": digits(np.rint(np.abs(cdd * blur[0]))),
        "CDD65": digits(np.rint(np.abs(1.12 * cdd * blur[1]))),
        "CLIMATE_REGION_PUB": pa.array(np.array(BUILDING_AMERICA)[places.building_america[place]]),
        "IECC_CLIMATE_PUB": pa.array(np.array(IECC)[places.iecc[place]]),
        "HDD30YR": digits(np.rint(np.abs(hdd * blur[2]))),
        "HDD65": digits(np.rint(np.abs(0.93 * hdd * blur[3]))),
    }


def _consumption(energy: Energy) -> dict[str, pa.Array]:
    columns = {"KWH": _decimals(energy.btuel / KBTU_PER_KWH, 0)}
    for fuel in ("el", "ng", "lp", "fo"):
        columns[f"BTU{fuel.upper()}"] = _decimals(getattr(energy, f"btu{fuel}"), 3)
        columns[f"DOLLAR{fuel.upper()}"] = _decimals(getattr(energy, f"dollar{fuel}"), 2)
    columns["TOTALBTU"] = _decimals(energy.btuel + energy.btung + energy.btulp + energy.btufo, 3)
    columns["TOTALDOL"] = _decimals(energy.dollarel + energy.dollarng + energy.dollarlp + energy.dollarfo, 2)
    return columns


def _decimals(values: Array, places: int) -> pa.Array:
    return digits(np.rint(values)) if places == 0 else pa.array(np.round(values, places))
