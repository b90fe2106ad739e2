"""Facts about states: energy prices, energy use and degree-day normals.

Belongs here: the layouts of EIA's `pr_all.csv` and `use_all_btu.csv` (State Energy Data System) and NOAA's 1981-2010
annual normals. Does not belong here: the places themselves (`place.py`), facts about smaller areas
(`neighbourhoods.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fusion_pipeline.randomness import stream
from fusion_pipeline.simulate.energy import draw_energy
from fusion_pipeline.simulate.place import Places
from fusion_pipeline.simulate.population import draw_households
from fusion_pipeline.simulate.sampling import calibrate, draw_urban

Array = np.ndarray

SEDS_YEARS = range(1970, 2020)
SEDS_BASE_YEAR = 2015
SERIES = {"el": "ESRCD", "ng": "NGRCD", "lp": "PQRCD", "fo": "DFRCD"}
"""Residential-sector price series, dollars per million Btu."""
USE_YEARS = range(1960, 2020)
USE_SERIES = {"btuel": "ESRCB", "btung": "NGRCB", "btulp": "PQRCB", "btufo": "DFRCB"}
"""Residential-sector consumption series, billion Btu."""
USE_HOUSEHOLDS = 100
"""Households drawn in every PUMA to tell what states use."""
PROPANE_SINCE = 2010
"""Before, the real file has blanks in the propane series."""
_TREND = {"el": 0.022, "ng": 0.015, "lp": 0.030, "fo": 0.035}
_STATION_FLAGS = np.array(list("SRQPC"))
_BETWEEN_ZERO_AND_HALF = -7777
"""NOAA's value for a normal that is not zero but rounds to it."""


def write_prices(places: Places, seed: int, file: Path) -> None:
    """Write the price series of four fuels for every state and the nation, 1970 to 2019."""
    rng = stream(seed, "simulate", "seds")
    states = places.states
    years = np.array(SEDS_YEARS)
    series: dict[tuple[str, str], Array] = {}
    for fuel, name in SERIES.items():
        wander = np.cumsum(rng.normal(0, 0.03, (len(states), len(years))), axis=1)
        level = _TREND[fuel] * (years - SEDS_BASE_YEAR) + wander
        level -= level[:, [SEDS_BASE_YEAR - years[0]]]
        prices = states[f"price_{fuel}"].to_numpy()[:, None] * np.exp(level)
        for row, usps in enumerate(states["usps"]):
            series[usps, name] = prices[row]
        series["US", name] = np.average(prices, axis=0, weights=states["households"])
    known = {name: (years >= PROPANE_SINCE) | (name != SERIES["lp"]) for name in SERIES.values()}
    _write_series(
        years,
        {
            (usps, name): [f"{p:.2f}" if k else "" for p, k in zip(prices, known[name], strict=True)]
            for (usps, name), prices in series.items()
        },
        file,
    )


def write_use(places: Places, seed: int, file: Path) -> None:
    """Write the residential use of four fuels in every state and the nation, 1960 to 2019: the truth.

    Households of every PUMA are drawn anew, in no survey's sample, and count for those there are. Years are alike, as
    they are for the households of this world.
    """
    rng = stream(seed, "simulate", "seds use")
    place = np.repeat(np.arange(len(places)), USE_HOUSEHOLDS)
    urban, relative = draw_urban(places.urban[place], rng)
    weight = calibrate(relative, place, places.households)
    energy = draw_energy(places, draw_households(places, place, urban, SEDS_BASE_YEAR, rng), rng)
    series: dict[tuple[str, str], list[str]] = {}
    for variable, name in USE_SERIES.items():
        total = np.bincount(places.state[place], weights=weight * getattr(energy, variable)) / 1e6
        for usps, value in [*zip(places.states["usps"], total, strict=True), ("US", total.sum())]:
            series[usps, name] = [f"{value:.0f}"] * len(USE_YEARS)
    _write_series(np.array(USE_YEARS), series, file)


def _write_series(years: Array, series: Mapping[tuple[str, str], Sequence[str]], file: Path) -> None:
    lines = [",".join(f'"{name}"' for name in ("Data_Status", "State", "MSN", *map(str, years)))]
    for (usps, name), cells in sorted(series.items()):
        lines.append(f'"2019F","{usps}","{name}",' + ",".join(cells))
    file.write_text("\n".join(lines) + "\n")


def write_degree_days(places: Places, seed: int, kind: str, file: Path) -> None:
    """Write annual normals of cooperative stations, two in each PUMA; `kind` is `hdd` or `cdd`."""
    rng = stream(seed, "simulate", "normals", kind)
    number = cooperative_numbers(places)
    value = np.repeat(getattr(places, kind), 2) * np.exp(rng.normal(0, 0.03, 2 * len(places)))
    written = np.where((value > 0) & (value < 0.5), _BETWEEN_ZERO_AND_HALF, np.rint(value)).astype(int)
    flags = rng.choice(_STATION_FLAGS, len(value), p=[0.34, 0.48, 0.15, 0.01, 0.02])
    state = np.repeat(number[places.state], 2)
    station = np.zeros(len(value), dtype=int)
    for code in np.unique(state):
        station[state == code] = 100 + 7 * np.arange((state == code).sum())
    lines = [
        f"USC00{s:02d}{i:04d}{v:>12d}{flag}"
        for s, i, v, flag in zip(state, station, written, flags, strict=True)
    ]
    file.write_text("\n".join(sorted(lines)) + "\n")


def cooperative_numbers(places: Places) -> Array:
    """Return NOAA's number of each state: 01 to 48 by name, Alaska 50, Hawaii 51; DC goes with Maryland."""
    states = places.states
    contiguous = sorted(states.loc[~states["usps"].isin(["AK", "HI", "DC"]), "name"])
    numbers = {name: number for number, name in enumerate(contiguous, start=1)}
    numbers |= {"Alaska": 50, "Hawaii": 51, "District of Columbia": numbers["Maryland"]}
    return states["name"].map(numbers).to_numpy()
