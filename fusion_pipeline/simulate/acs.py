"""The simulated American Community Survey: sampling, weights, and the archives of a year.

Belongs here: sampling of households, vacant units and group quarters, and the members of the official
archives. Does not belong here: the columns of the members (`acs_columns.py`), the households
(`population.py`).

A PUMA is the unit of generation: its households depend on the seed, the year and the PUMA alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fusion_pipeline.randomness import stream
from fusion_pipeline.simulate.acs_columns import Sample, housing_columns, person_columns
from fusion_pipeline.simulate.energy import draw_energy
from fusion_pipeline.simulate.place import Places
from fusion_pipeline.simulate.population import draw_households
from fusion_pipeline.simulate.quality import draw_quality
from fusion_pipeline.simulate.sampling import allocate, calibrate, draw_urban, successive_difference
from fusion_pipeline.simulate.text import ZipMembers
from fusion_pipeline.simulate.truth import TruthWriter, truth_table

log = logging.getLogger(__name__)
Array = np.ndarray

VACANT_RATE, GROUP_QUARTERS_RATE = 0.14, 0.08
"""Vacant units and group-quarters residents in the sample, per occupied unit."""
STATES_IN_FIRST_MEMBER = 25
"""How many states, by FIPS code, lie in member `a` of the archives; the others lie in `b`."""


def write_acs(
    places: Places, seed: int, year: int, households: int, housing: Path, persons: Path, truth: Path
) -> None:
    """Write a year's housing archive, person archive and truth, PUMA by PUMA."""
    housing.parent.mkdir(parents=True, exist_ok=True)
    yy = f"{year % 100:02d}"
    done = 0
    with ZipMembers(str(housing)) as h, ZipMembers(str(persons)) as p, TruthWriter(truth) as t:
        for puma, sample in draw_samples(places, seed, year, households):
            letter = "a" if places.state[puma] < STATES_IN_FIRST_MEMBER else "b"
            h.write(
                f"ss{yy}hus{letter}.csv",
                housing_columns(places, puma, year, sample, _rng(places, seed, year, puma, "h")),
            )
            p.write(
                f"ss{yy}pus{letter}.csv",
                person_columns(places, puma, year, sample, _rng(places, seed, year, puma, "p")),
            )
            hid = sample.serial[sample.kind == 0]
            quality = draw_quality(
                places, sample.homes, sample.energy, _rng(places, seed, year, puma, "quality")
            )
            t.append(truth_table(places, hid, sample.homes.place, sample.energy, quality))
            done += len(hid)
    log.info("ACS %d: %d households in %d PUMAs", year, done, len(places))


def draw_samples(places: Places, seed: int, year: int, households: int) -> Iterator[tuple[int, Sample]]:
    """Draw the sample PUMA by PUMA; `households` is the number of occupied units in all of them."""
    counts = allocate(households, places.households, 0.85)
    rows = (
        counts
        + np.round(counts * VACANT_RATE).astype(int)
        + np.round(counts * GROUP_QUARTERS_RATE).astype(int)
    )
    start = np.cumsum(rows) - rows
    for puma, count in enumerate(counts):
        yield puma, draw_sample(places, seed, year, puma, int(count), int(start[puma]))


def draw_sample(places: Places, seed: int, year: int, puma: int, count: int, start: int) -> Sample:
    """Draw one PUMA: `count` occupied units, and vacant units and group quarters in proportion.

    `start` is the number of rows in the PUMAs before it; it sets SERIALNO and the replicates' sequence.
    """
    rng = _rng(places, seed, year, puma, "sample")
    vacant, quarters = round(count * VACANT_RATE), round(count * GROUP_QUARTERS_RATE)
    kind = rng.permutation(np.repeat([0, 1, 4], [count, vacant, quarters]))
    kind[kind == 4] = rng.integers(2, 4, quarters)
    units = kind < 2
    urban, relative = draw_urban(np.repeat(places.urban[[puma]], units.sum(), axis=0), rng)
    group = kind[units]
    totals = places.households[puma] * np.array([1.0, VACANT_RATE])
    factors = successive_difference(start + np.arange(len(kind)))
    weight = calibrate(relative, group, totals)
    replicates = calibrate(relative[:, None] * factors[units], group, totals)

    homes = draw_households(places, np.full(count, puma), urban[group == 0], year, rng)
    full_weight = np.zeros(len(kind), dtype=np.int64)
    full_replicates = np.zeros((len(kind), 80), dtype=np.int64)
    full_weight[units] = np.maximum(_round_keeping_total(weight), 1)
    full_replicates[units] = np.rint(replicates)
    return Sample(
        serial=start + 1 + np.arange(len(kind)),
        kind=kind,
        weight=full_weight,
        replicates=full_replicates,
        factors=factors,
        homes=homes,
        energy=draw_energy(places, homes, rng),
    )


def _round_keeping_total(weights: Array) -> Array:
    """Round so that every running total is off by a half at most."""
    return np.diff(np.rint(np.cumsum(weights)), prepend=0).astype(np.int64)


def _rng(places: Places, seed: int, year: int, puma: int, part: str) -> np.random.Generator:
    return stream(seed, "simulate", "acs", year, str(places.fips[puma]), str(places.puma[puma]), part)
