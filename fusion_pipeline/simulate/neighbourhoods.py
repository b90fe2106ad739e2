"""What publishers know of PUMAs, counties, block groups and ZIP codes of the simulated world.

Belongs here: stand-ins for the spatial datasets of the registry, in their official layouts: ACS medians, EPA's
Smart Location Database, tax returns, electricity rates. Does not belong here: states (`spatial.py`), tracts
(`tracts.py`).

Levels follow the place's income, density, stock and prices, with noise; they are plausible and no estimates.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fusion_pipeline.randomness import stream
from fusion_pipeline.simulate.place import Places
from fusion_pipeline.simulate.tracts import Tracts, zcta_parts

Array = np.ndarray

MEDIAN_YEARS = (2013, 2015, 2017, 2019, 2021, 2022, 2023)
TAX_YEARS = (2015, 2018)
RATE_YEARS = (2019, 2020)
_GROWTH = 0.03
_BASE = 2015
# Shares of returns by class of adjusted gross income at the nation's mean income, and the mean income of each.
_CLASSES = np.array([0.36, 0.24, 0.14, 0.09, 0.13, 0.04])
_CLASS_INCOME = np.array([12.0, 36.0, 61.0, 86.0, 134.0, 480.0])
_SUPPRESSED = -666666666


def acs_medians(places: Places, seed: int, year: int) -> pd.DataFrame:
    """Medians of the ACS by PUMA: tables of the registry's `acs_sf`, in dollars of the year."""
    rng = stream(seed, "simulate", "medians", str(year))
    dollars = np.exp(_GROWTH * (year - _BASE))
    income = 56_000 * np.exp(1.5 * places.income)

    def noisy(level: Array, scale: float = 0.03) -> Array:
        return level * np.exp(rng.normal(0, scale, len(level)))

    value = 190_000 * np.exp(2.2 * places.income + 0.35 * places.density)
    rent = 920 * np.exp(1.0 * places.income + 0.2 * places.density)
    frame = pd.DataFrame(
        {
            "B01002_001E": noisy(38 - 1.5 * places.density, 0.02).round(1),
            "B06011_001E": noisy(0.5 * income * dollars),
            "B08121_001E": noisy(0.6 * income * dollars),
            "B19013_001E": noisy(income * dollars),
            "B19113_001E": noisy(1.2 * income * dollars),
            "B19202_001E": noisy(0.6 * income * dollars),
            "B25018_001E": noisy(5.5 - 0.4 * places.density, 0.02).round(1),
            "B25035_001E": 1975 + places.age_of_stock + rng.normal(0, 1, len(places)),
            "B25039_001E": year - 9 + rng.normal(0, 1, len(places)),
            "B25064_001E": noisy(rent * dollars),
            "B25071_001E": noisy(12 * rent / income * 190, 0.03).round(1),
            "B25077_001E": noisy(value * dollars),
            "B25088_001E": noisy(0.0062 * value * dollars),
            "B25092_001E": noisy(np.full(len(places), 18.0), 0.05).round(1),
            "B25105_001E": noisy(1.05 * rent * dollars),
        }
    )
    whole = [
        c
        for c in frame.columns.tolist()
        if c not in ("B01002_001E", "B25018_001E", "B25071_001E", "B25092_001E")
    ]
    frame[whole] = frame[whole].round().astype(int)
    # Too few observations for a median here and there.
    frame.loc[rng.random(len(frame)) < 0.02, "B25092_001E"] = _SUPPRESSED
    return frame


def write_puma_medians(places: Places, seed: int, year: int, file: Path) -> None:
    """Write the data API's answer: a list of lists, names first, numbers as text."""
    frame = acs_medians(places, seed, year)
    rows = [
        [*map(str, row), fips, puma]
        for row, fips, puma in zip(frame.itertuples(index=False), places.fips, places.puma, strict=True)
    ]
    names = [*frame.columns, "state", "public use microdata area"]
    file.write_text(json.dumps([names, *rows]))


def write_county_medians(
    places: Places, tracts: Tracts, seed: int, table: str, year: int, file: Path
) -> None:
    """Write one table of the ACS five-year summary file with its counties."""
    of_puma = acs_medians(places, seed, year)[f"{table}_001E"].to_numpy(dtype=float)
    values = pd.Series(of_puma[tracts.frame["place"]]).groupby(tracts.frame["county"]).mean()
    lines = [f"0500000US{county}|{value:.1f}|{value / 20:.1f}" for county, value in values.items()]
    file.write_text("\n".join([f"GEO_ID|{table}_E001|{table}_M001", *lines]) + "\n")


def write_built_environment(places: Places, tracts: Tracts, seed: int, file: Path) -> None:
    """Write some indicators of EPA's Smart Location Database, a block group a tract."""
    rng = stream(seed, "simulate", "smart location")
    frame = tracts.frame
    density = places.density[frame["place"]] + rng.normal(0, 0.5, len(frame)) + 1.5 * (frame["urban"] - 0.8)
    urban = frame["urban"].to_numpy() > 0.5
    columns = {
        "STATEFP": frame["tract"].str[:2].astype(int),
        "COUNTYFP": frame["tract"].str[2:5].astype(int),
        "TRACTCE": frame["tract"].str[5:].astype(int),
        "BLKGRPCE": 1,
        "CountHU": frame["units"].astype(int),
        "Pct_AO0": np.clip(0.08 + 0.05 * density, 0, 0.8).round(4),
        "R_PCTLOWWAGE": np.clip(0.25 - 0.1 * places.income[frame["place"]], 0.05, 0.6).round(4),
        "TotEmp": np.exp(6 + 0.5 * density).astype(int),
        "D1A": np.exp(0.5 + density).round(4),
        "D2A_JPHH": np.exp(rng.normal(0, 0.6, len(frame))).round(4),
        "D3B": np.exp(3 + 0.7 * density).round(4),
        # Distance to transit is known in regions with transit only.
        "D4A": np.where(urban, np.exp(6 - 0.4 * density).round(2), -99999),
        "D5AR": np.exp(9 + 0.8 * density).astype(int),
        "NatWalkInd": np.clip(9 + 3 * density, 1, 20).round(3),
        "VMT_per_worker": (28 - 4 * density).round(3),
    }
    pd.DataFrame(columns).to_csv(file, index=False)


def write_tax_returns(places: Places, tracts: Tracts, seed: int, year: int, file: Path) -> None:
    """Write returns and amounts (thousand dollars) of every ZIP code by class of income."""
    rng = stream(seed, "simulate", "tax returns", str(year))
    zctas = _zctas(tracts)
    n = len(zctas)
    place = zctas["place"].to_numpy()
    wealth = places.income[place] + rng.normal(0, 0.1, n)
    shares = _CLASSES * np.exp(np.outer(wealth, np.array([-1.2, -0.5, 0.1, 0.6, 1.0, 1.8])))
    shares /= shares.sum(axis=1, keepdims=True)
    returns = np.round(1.15 * zctas["units"].to_numpy()[:, None] * shares).astype(int).reshape(-1)
    income = np.round(returns * np.tile(_CLASS_INCOME, n) * np.exp(_GROWTH * (year - _BASE)))

    def part(share: Array | float) -> Array:
        return np.round(returns * share).astype(int)

    wide = np.repeat(wealth, 6)
    frame = {
        "STATEFIPS": np.repeat(places.fips[place], 6),
        "zipcode": np.repeat(zctas.index.to_numpy(), 6),
        "agi_stub": np.tile(np.arange(1, 7), n),
        "N1": returns,
        "mars1": part(np.tile([0.7, 0.5, 0.4, 0.3, 0.15, 0.1], n)),
        "MARS2": part(np.tile([0.15, 0.3, 0.45, 0.6, 0.8, 0.87], n)),
        "MARS4": part(np.tile([0.15, 0.2, 0.15, 0.1, 0.05, 0.03], n)),
        "PREP": part(np.clip(0.53 - 0.05 * wide, 0, 1)),
        "N2": part(np.tile([1.5, 1.9, 2.1, 2.4, 2.7, 2.8], n)),
        "TOTAL_VITA": part(np.tile([0.05, 0.03, 0.01, 0, 0, 0], n)),
        "ELDERLY": part(np.clip(0.2 - 0.03 * np.repeat(places.density[place], 6), 0, 1)),
        "A00100": income.astype(int),
        "A00200": (0.7 * income).astype(int),
        "SCHF": part(0.05 * np.repeat(places.urban[place, 2], 6)),
        "A02300": (0.002 * income).astype(int),
        "N59660": part(np.tile([0.4, 0.3, 0.02, 0, 0, 0], n)),
        "A10300": (income * np.tile([0.01, 0.05, 0.08, 0.1, 0.13, 0.22], n)).astype(int),
    }
    pd.DataFrame(frame).to_csv(file, index=False)


def write_rates(places: Places, tracts: Tracts, seed: int, kind: str, year: int, file: Path) -> None:
    """Write the utilities of ZIP codes with their rates in dollars per kWh; `kind` is `iou` or `non_iou`."""
    rng = stream(seed, "simulate", "rates", kind, str(year))
    zctas = _zctas(tracts)
    zctas = zctas[rng.random(len(zctas)) < (0.9 if kind == "iou" else 0.4)]
    # Dollars per thousand Btu to dollars per kWh.
    rate = places.price[zctas["place"], 0] * 3.412 * np.exp(rng.normal(0, 0.05, len(zctas)))
    columns = {
        "zip": zctas.index.astype(int),
        "eiaid": 10_000 + zctas["place"].to_numpy(),
        "utility_name": "A Utility",
        "state": places.states["usps"].to_numpy()[places.state[zctas["place"]]],
        "service_type": "Bundled",
        "ownership": "Investor Owned" if kind == "iou" else "Municipal",
        "comm_rate": (0.85 * rate).round(6),
        "ind_rate": (0.6 * rate).round(6),
        "res_rate": np.where(rng.random(len(zctas)) < 0.05, 0.0, rate.round(6)),
    }
    pd.DataFrame(columns).to_csv(file, index=False)


def writers(places: Places, tracts: Tracts, seed: int) -> dict[str, Callable[[Path], None]]:
    """Name the writer of every simulated file of the spatial datasets, by dataset and role in the registry."""
    known: dict[str, Callable[[Path], None]] = {
        "epa/indicators": partial(write_built_environment, places, tracts, seed)
    }
    for year in MEDIAN_YEARS:
        known[f"acs_sf/medians_{year}"] = partial(write_puma_medians, places, seed, year)
    for role, table in (("income", "B19013"), ("rent", "B25064"), ("value", "B25077"), ("age", "B01002")):
        known[f"acs_county/{role}"] = partial(write_county_medians, places, tracts, seed, table, 2022)
    for year in TAX_YEARS:
        known[f"irs/returns_{year}"] = partial(write_tax_returns, places, tracts, seed, year)
    for year in RATE_YEARS:
        known[f"nrel/investor_owned_{year}"] = partial(write_rates, places, tracts, seed, "iou", year)
        known[f"nrel/others_{year}"] = partial(write_rates, places, tracts, seed, "non_iou", year)
    return known


def _zctas(tracts: Tracts) -> pd.DataFrame:
    """ZIP code areas with their PUMA (most lie in one) and housing units."""
    parts = zcta_parts(tracts.frame)
    units = (parts["units"] * parts["share"]).groupby(parts["zcta"]).sum()
    return pd.DataFrame({"place": parts.groupby("zcta")["place"].first(), "units": units})
