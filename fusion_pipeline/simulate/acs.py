"""The simulated American Community Survey: sampling, weights, and the archives of a year.

Belongs here: sampling of households, vacant units and group quarters, and the members of the official archives. Does
not belong here: the columns of the members (`acs_columns.py`, `acs_items.py`, `acs_further.py`), what a vintage makes
of them (`acs_vintages.py`), the households (`population.py`).

A block of neighbouring PUMAs is the unit of generation: small PUMAs are drawn together, for most of the cost of a draw
is that of its hundreds of columns, however short; large ones one by one, so that memory is that of a block. A block's
random streams are named by the seed, the year and its first PUMA.
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
BLOCK = 4_000
"""Households at which a block is full."""
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
    """Write a vintage's housing archive, person archive and truth, block by block.

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
    Rows are in the order of blocks, of years within a block, and of PUMAs within a year.
    """
    file = Vintage(vintage or str(year))
    housing.parent.mkdir(parents=True, exist_ok=True)
    share = 1 / len(file.years)
    counts, start = _allocation(places, max(round(households * share), min(households, MIN_OF_A_YEAR)))
    done = 0
    with ZipMembers(str(housing)) as h, ZipMembers(str(persons)) as p, TruthWriter(truth) as t:
        for pumas, asked in product(blocks(places, counts), file.years):
            first = pumas[0]
            sample = draw_sample(places, seed, asked, pumas, counts[pumas], int(start[first]), share=share)
            letter = "a" if places.state[first] < STATES_IN_FIRST_MEMBER else "b"
            units, people = draw_columns(places, seed, file, asked, sample)
            h.write(file.member("h", letter), units)
            p.write(file.member("p", letter), people)
            hid = _household_keys(units["SERIALNO"].filter(pa.array(sample.kind == 0)))
            quality = draw_quality(
                places, sample.homes, sample.energy, _rng(places, seed, asked, first, "quality")
            )
            t.append(truth_table(places, hid, sample.homes.place, sample.energy, quality, file.puma))
            done += len(hid)
    log.info("ACS %s: %d households in %d PUMAs", file.name, done, len(places))


def blocks(places: Places, counts: Array) -> list[Array]:
    """Part PUMAs into blocks: neighbours in one member of the archives, until a block holds `BLOCK` households.

    Parameters
    ----------
    counts : (P,) households of each PUMA's sample

    Returns
    -------
    Rows of `places`, in order; a block holds less than `BLOCK` households more than its last PUMA.
    """
    full = np.diff((np.cumsum(counts) - counts) // BLOCK) > 0
    ended = np.diff(places.state >= STATES_IN_FIRST_MEMBER)
    return np.split(np.arange(len(places)), np.flatnonzero(full | ended) + 1)


def draw_columns(
    places: Places, seed: int, file: Vintage, asked: int, sample: Sample
) -> tuple[dict[str, pa.Array], dict[str, pa.Array]]:
    """Return the housing and person columns of one block and year of interview as a vintage has them."""

    def rng(part: str) -> np.random.Generator:
        return _rng(places, seed, asked, int(sample.place[0]), part)

    units = housing_columns(places, sample, asked, rng("h"))
    units |= household_items(sample, asked, rng("h items"))
    people = person_columns(places, sample, rng("p"))
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
    rows = _of_all_kinds(counts).sum(axis=1)
    return counts, np.cumsum(rows) - rows


def _of_all_kinds(counts: Array) -> Array:
    """(P, 3) occupied units, vacant units and residents of group quarters of each PUMA's sample."""
    return np.rint(np.outer(counts, [1.0, VACANT_RATE, GROUP_QUARTERS_RATE])).astype(int)


def draw_sample(
    places: Places, seed: int, year: int, pumas: Array, counts: Array, start: int, *, share: float = 1.0
) -> Sample:
    """Draw one block: occupied units, and vacant units and group quarters in proportion.

    Parameters
    ----------
    pumas : (k,) rows of `places`, in order
    counts : (k,) occupied units of each
    start : int
        Rows in the PUMAs before; sets SERIALNO and the replicates' sequence.
    share : float
        Of the PUMAs that the sample stands for: a fifth, if it is one of the five years of a file.
    """
    rng = _rng(places, seed, year, int(pumas[0]), "sample")
    rows = _of_all_kinds(counts)
    position = np.repeat(np.arange(len(pumas)), rows.sum(axis=1))
    kind = np.repeat(np.tile([0, 1, 4], len(pumas)), rows.ravel())
    kind = kind[np.lexsort((rng.random(len(kind)), position))]
    kind[kind == 4] = rng.integers(2, 4, rows[:, 2].sum())
    place, units = np.asarray(pumas)[position], kind < 2
    urban, relative = draw_urban(places.urban[place[units]], rng)
    group = kind[units]
    stratum = 2 * position[units] + group
    totals = share * np.outer(places.households[pumas], [1.0, VACANT_RATE]).ravel()
    factors = successive_difference(start + np.arange(len(kind)))
    weight = calibrate(relative, stratum, totals)
    replicates = calibrate(relative[:, None] * factors[units], stratum, totals)

    homes = draw_households(places, place[kind == 0], urban[group == 0], year, rng)
    full_weight = np.zeros(len(kind), dtype=np.int64)
    full_replicates = np.zeros((len(kind), 80), dtype=np.int64)
    full_weight[units] = np.maximum(_round_keeping_totals(weight, stratum), 1)
    full_replicates[units] = np.rint(replicates)
    return Sample(
        place=place,
        serial=start + 1 + np.arange(len(kind)),
        kind=kind,
        weight=full_weight,
        replicates=full_replicates,
        factors=factors,
        homes=homes,
        energy=draw_energy(places, homes, rng),
        share=share,
    )


def _round_keeping_totals(weights: Array, stratum: Array) -> Array:
    """Round so that the total of every stratum is off by one at most."""
    order = np.argsort(stratum, kind="stable")
    rounded = np.empty(len(weights), dtype=np.int64)
    rounded[order] = np.diff(np.rint(np.cumsum(weights[order])), prepend=0)
    return rounded


def _integers(texts: pa.Array) -> Array:
    return texts.cast(pa.int64()).to_numpy(zero_copy_only=False)


def _household_keys(serial: pa.Array) -> Array:
    """Return the keys that the codebooks make of SERIALNO."""
    return _integers(pc.replace_substring(serial, "HU", "1"))


def _rng(places: Places, seed: int, year: int, puma: int, part: str) -> np.random.Generator:
    return stream(seed, "simulate", "acs", year, str(places.fips[puma]), str(places.puma[puma]), part)
