"""From PUMAs to small areas: every PUMA's households shared out, and what was found kept on disk.

Belongs here: the public `downscale`, its way through the PUMAs. Does not belong here: tables (`tables.py`), households
(`households.py`), the fit of one PUMA (`fitting.py`), what is reported (`results.py`), estimates (`estimating.py`).

A PUMA is fitted, written and forgotten, so that memory is that of one PUMA and of the households' own columns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fusion_pipeline.downscaling.beyond import FEWEST_TABLES, Beyond
from fusion_pipeline.downscaling.fitting import fit
from fusion_pipeline.downscaling.holdout import held_out, spaced
from fusion_pipeline.downscaling.households import KEYS, by_puma, read_households
from fusion_pipeline.downscaling.results import (
    AREAS,
    CELLS,
    PUMAS,
    SHARES,
    Downscaled,
    PumaFound,
    joined,
    notes_on,
    summarised,
)  # fmt: skip
from fusion_pipeline.downscaling.tables import AreaTables, Frame, as_frame, puma_keys
from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.storage.atomic import atomic_directory
from fusion_pipeline.storage.tables import encode, write_table

VERSION = "2"
"""Raised when the same households and tables would give other shares."""
log = logging.getLogger(__name__)


def downscale(
    households: Frame,
    tables: Frame,
    *,
    area: str,
    puma: str | Sequence[str] = "puma",
    weight: str = "weight",
    out: Path | str | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    hold_out: bool = True,
) -> Downscaled:
    """Share the households of each PUMA out over its small areas, so that the areas' published tables are met.

    Parameters
    ----------
    households : frame, table or handle
        `hid` (and `year`, if there are several), the columns of `puma`, `weight`, and the variables of the tables as
        categories, text, truth values or whole numbers: the recipient's own, or harmonized predictors.
    tables : frame, table or handle
        One row a cell: `area`, the columns of `puma`, `variable`, `level`, `count` of households, and optionally `moe`,
        the published margin at 90 %, by which cells are moved towards the PUMA's distribution. Cells that are not
        listed count zero. Only distributions and relative sizes count: totals are scaled to the PUMA's.
    area : name of the column of small areas, such as `tract`
    puma : name or names of the columns that make up a PUMA, such as ``["state", "puma20"]``
    weight : name of the households' weight
    out : folder for the files; without it the shares stay in memory
    tolerance : a PUMA has converged when no area has a larger share of its households in a wrong cell
    max_iterations : rounds over all tables of a PUMA; what has not converged then is kept and reported
    hold_out : leave each of three or more tables out of at most fifty PUMAs, to learn what areas have beyond their
        tables; margins of `.analyze` are too narrow without

    Returns
    -------
    Downscaled
        Shares, convergence by PUMA and area, and `.analyze`, which gives estimates by area.

    Raises
    ------
    GeographyError
        If an area is in two PUMAs, a PUMA of the tables has no household, or a household no PUMA.
    AnalysisError
        If a column is missing, a weight or count is missing or negative, a household or cell is there twice, a
        level is none of the households', or the tables of a PUMA count different things.
    StorageError
        If `out` cannot be written.

    Notes
    -----
    Iterative proportional fitting; `fitting.py` has the steps and what is done where tables and households do not
    agree. Households of weight 0 and of PUMAs without tables are left out; the notes count them. The same input gives
    the same bytes: nothing is drawn.

    Examples
    --------
    >>> import pandas as pd
    >>> import fusion_pipeline as fp
    >>> homes = pd.DataFrame({"hid": [1, 2, 3], "puma": "A", "weight": [40.0, 40.0, 20.0],
    ...                       "tenure": ["own", "rent", "rent"]})
    >>> counts = pd.DataFrame({"tract": ["t1", "t1", "t2", "t2"], "puma": "A", "variable": "tenure",
    ...                        "level": ["own", "rent"] * 2, "count": [30, 20, 10, 40]})
    >>> found = fp.downscale(homes, counts, area="tract")
    >>> found.shares.to_pandas()[["hid", "tract", "share", "weight"]].round(3).values.tolist()[:2]
    [[1, 't1', 0.75, 30.0], [1, 't2', 0.25, 10.0]]
    >>> found.pumas[["converged", "areas"]].values.tolist()
    [[True, 2]]
    """
    names = [puma] if isinstance(puma, str) else list(puma)
    if not (tolerance > 0 and max_iterations > 0):
        raise AnalysisError(
            "tolerance and max_iterations", "must be positive.", "Leave them out for the defaults."
        )
    listed = as_frame(tables)
    own, notes = read_households(households, listed, names, weight)
    checked = AreaTables.of(listed, own, area=area, puma=names)
    own["_puma"] = puma_keys(own, names, "households")
    within = own["_puma"].isin(checked.pumas)
    if not within.all():
        notes.append(f"{int((~within).sum()):,} households of PUMAs without tables are left out.")
    own = own[within]
    fitted = _each_puma(own, checked, names, area, weight, tolerance, max_iterations)
    beyond = None
    if hold_out and len(checked.levels) >= FEWEST_TABLES:
        chosen = list(by_puma(own, "_puma", weight, checked.levels, spaced(checked.pumas)))
        told = held_out(chosen, checked, tolerance=tolerance, max_iterations=max_iterations)
        beyond = Beyond.of(told, own, chosen, list(checked.levels))
    if out is None:
        pieces, found = zip(*fitted, strict=True)
        pumas, areas, cells = joined(found, names)
        notes += notes_on(pumas)
        return Downscaled(
            pa.concat_tables(pieces), pumas, areas, cells, tuple(names), area, tuple(notes), beyond
        )
    with atomic_directory(Path(out)) as folder:
        facts: dict[str, object] = {"version": VERSION, "area": area, "puma": names}
        reports = joined(_write_shares(folder / SHARES, fitted, facts), names)
        notes += notes_on(reports[0])
        if beyond is not None:
            beyond.write(folder)
        for name, frame in zip((PUMAS, AREAS, CELLS), reports, strict=True):
            write_table(
                folder / name, pa.Table.from_pandas(frame, preserve_index=False), facts | {"notes": notes}
            )
    return Downscaled.read(out)


def _each_puma(
    own: pd.DataFrame,
    tables: AreaTables,
    puma: Sequence[str],
    area: str,
    weight: str,
    tolerance: float,
    max_iterations: int,
) -> Iterator[tuple[pa.Table, PumaFound]]:
    keys = [name for name in KEYS if name in own]
    every = by_puma(own, "_puma", weight, tables.levels, list(tables.pumas))
    for number, mine in enumerate(every, start=1):
        key, rows, w, of_puma = mine.key, mine.rows, mine.weight, tables.pumas[mine.key]
        patterns, pattern = np.unique(mine.codes, axis=0, return_inverse=True)
        pattern = pattern.reshape(-1)
        of_pattern = np.bincount(pattern, w).astype(np.float64)
        result = fit(
            patterns, of_pattern, of_puma, tolerance=tolerance, max_iterations=max_iterations, where=key
        )
        place = tuple(str(own[name].iloc[rows[0]]) for name in puma)
        household, at = np.nonzero(result.shares[pattern])
        share = result.shares[pattern][household, at]
        columns = {name: pa.array(own[name].to_numpy()[rows][household]) for name in keys}
        columns |= {n: pa.repeat(v, len(share)) for n, v in zip(puma, place, strict=True)}
        columns[area] = pa.array(np.array(of_puma.areas, dtype=object)[at], pa.string())
        columns |= {"share": pa.array(share), "weight": pa.array(share * w[household])}
        log.info(
            "PUMA %s (%d of %d): %d areas, %d rounds, largest gap %.1e",
            key, number, len(tables.pumas), len(of_puma.areas), result.iterations, result.gap.max(),
        )  # fmt: skip
        yield (
            pa.table(columns),
            summarised(place, result, of_puma, tables.levels, area, patterns, pattern, w),
        )


def _write_shares(
    path: Path, fitted: Iterator[tuple[pa.Table, PumaFound]], facts: dict[str, object]
) -> list[PumaFound]:
    """Write a row group a PUMA, so that one can be read without the others."""
    found = []
    with ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        for table, of_puma in fitted:
            encoded = encode(table, facts)
            if writer is None:
                writer = stack.enter_context(pq.ParquetWriter(path, encoded.schema, compression="zstd"))
            writer.write_table(encoded, row_group_size=max(len(encoded), 1))
            found.append(of_puma)
    return found
