"""The simulated American Community Survey: sampling, weights, and the archives of a year.

Belongs here: sampling of households, vacant units and group quarters, and the members of the official archives. Does
not belong here: the columns of the members (`acs_columns.py`, `acs_items.py`, `acs_further.py`), what a vintage makes
of them (`acs_vintages.py`), the households (`population.py`).

A PUMA is the unit of generation: its households depend on the seed, the year and the PUMA alone.
"""

from __future__ import annotations

import logging
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.randomness import stream
from fusion_pipeline.simulate.acs_columns import Sample, housing_columns, person_columns
from fusion_pipeline.simulate.acs_further import allocation_flags, further_columns
from fusion_pipeline.simulate.acs_items import household_items, householder_items, person_items
from fusion_pipeline.simulate.acs_layout import Record
from fusion_pipeline.simulate.acs_vintages import Vintage
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
MIN_OF_A_YEAR = 500
"""Households of a year in a five-year file: two in every PUMA."""
STATES_IN_FIRST_MEMBER = 25
"""How many states, by FIPS code, lie in member `a` of the archives; the others lie in `b`."""


def write_acs(
    places: Places,
    seed: int,
    year: int,
    households: int,
    housing: Path,
    persons: Path,
    truth: Path,
    *,
    vintage: str | None = None,
) -> None:
    """Write a vintage's housing archive, person archive and truth, PUMA by PUMA.

    Parameters
    ----------
    year : int
        Of the file; the end year of a five-year file.
    households : int
        Occupied units in the sample. A five-year file shares them among its years, with at least
        `MIN_OF_A_YEAR` in each.
    housing, persons, truth : Path
        Files to write.
    vintage : str, optional
        Key of the registry, such as `2018_5yr`; the one-year file by default.

    Notes
    -----
    A year's households in a five-year file are drawn as those of its one-year file are, with a fifth of the weight.
    """
    file = Vintage(vintage or str(year))
    housing.parent.mkdir(parents=True, exist_ok=True)
    share = 1 / len(file.years)
    counts, start = _allocation(places, max(round(households * share), min(households, MIN_OF_A_YEAR)))
    done = 0
    with ZipMembers(str(housing)) as h, ZipMembers(str(persons)) as p, TruthWriter(truth) as t:
        for puma, asked in product(range(len(places)), file.years):
            sample = draw_sample(places, seed, asked, puma, int(counts[puma]), int(start[puma]), share=share)
            letter = "a" if places.state[puma] < STATES_IN_FIRST_MEMBER else "b"
            units, people = draw_columns(places, seed, file, asked, puma, sample)
            h.write(file.member("h", letter), units)
            p.write(file.member("p", letter), people)
            hid = _household_keys(units["SERIALNO"].filter(pa.array(sample.kind == 0)))
            quality = draw_quality(
                places, sample.homes, sample.energy, _rng(places, seed, asked, puma, "quality")
            )
            t.append(truth_table(places, hid, sample.homes.place, sample.energy, quality, file.puma))
            done += len(hid)
    log.info("ACS %s: %d households in %d PUMAs", file.name, done, len(places))


def draw_columns(
    places: Places, seed: int, file: Vintage, asked: int, puma: int, sample: Sample
) -> tuple[dict[str, pa.Array], dict[str, pa.Array]]:
    """Return the housing and person columns of one PUMA and year of interview as a vintage has them."""

    def rng(part: str) -> np.random.Generator:
        return _rng(places, seed, asked, puma, part)

    units = housing_columns(places, puma, asked, sample, rng("h"))
    units |= household_items(sample, asked, rng("h items"))
    people = person_columns(places, puma, asked, sample, rng("p"))
    people |= person_items(people, asked, file.variables("persons"), rng("p items"))
    units |= householder_items(people, sample.kind == 0)
    everybody = np.ones(len(people["SERIALNO"]), dtype=bool)
    filled: tuple[tuple[Record, dict[str, pa.Array], Array], ...] = (
        ("households", units, sample.kind < 2),
        ("persons", people, everybody),
    )
    for record, columns, flagged in filled:
        columns |= further_columns(columns, file.plan(record), asked, rng(f"{record} further"))
        columns |= allocation_flags(file.flags(record), flagged, rng(f"{record} flags"))
    serial = file.serial_numbers(sample.serial, sample.kind >= 2, asked)
    row = pa.array(np.searchsorted(sample.serial, _integers(people["SERIALNO"])))
    units["SERIALNO"], people["SERIALNO"] = serial, serial.take(row)
    return file.arrange(units, "households", asked), file.arrange(people, "persons", asked)


def _allocation(places: Places, households: int) -> tuple[Array, Array]:
    """Occupied units in each PUMA's sample, and rows of all kinds in the PUMAs before it."""
    counts = allocate(households, places.households, 0.85)
    rows = (
        counts
        + np.round(counts * VACANT_RATE).astype(int)
        + np.round(counts * GROUP_QUARTERS_RATE).astype(int)
    )
    return counts, np.cumsum(rows) - rows


def draw_sample(
    places: Places, seed: int, year: int, puma: int, count: int, start: int, *, share: float = 1.0
) -> Sample:
    """Draw one PUMA: `count` occupied units, and vacant units and group quarters in proportion.

    `start` is the number of rows in the PUMAs before it; it sets SERIALNO and the replicates' sequence. The sample
    stands for `share` of the PUMA: a fifth, if it is one of the five years of a file.
    """
    rng = _rng(places, seed, year, puma, "sample")
    vacant, quarters = round(count * VACANT_RATE), round(count * GROUP_QUARTERS_RATE)
    kind = rng.permutation(np.repeat([0, 1, 4], [count, vacant, quarters]))
    kind[kind == 4] = rng.integers(2, 4, quarters)
    units = kind < 2
    urban, relative = draw_urban(np.repeat(places.urban[[puma]], units.sum(), axis=0), rng)
    group = kind[units]
    totals = share * places.households[puma] * np.array([1.0, VACANT_RATE])
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
        share=share,
    )


def _round_keeping_total(weights: Array) -> Array:
    """Round so that every running total is off by a half at most."""
    return np.diff(np.rint(np.cumsum(weights)), prepend=0).astype(np.int64)


def _integers(texts: pa.Array) -> Array:
    return texts.cast(pa.int64()).to_numpy(zero_copy_only=False)


def _household_keys(serial: pa.Array) -> Array:
    """Return the keys that the codebooks make of SERIALNO."""
    return _integers(pc.replace_substring(serial, "HU", "1"))


def _rng(places: Places, seed: int, year: int, puma: int, part: str) -> np.random.Generator:
    return stream(seed, "simulate", "acs", year, str(places.fips[puma]), str(places.puma[puma]), part)
