"""From PUMAs to small areas: every PUMA's households shared out, and what was found kept on disk.

Belongs here: the public `downscale`, its way through the PUMAs, its files. Does not belong here: tables (`tables.py`),
the fit of one PUMA (`fitting.py`), estimates (`estimating.py`).

A PUMA is fitted, written and forgotten, so that memory is that of one PUMA and of the households' own columns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fusion_pipeline.downscaling.fitting import Fit, fit
from fusion_pipeline.downscaling.tables import VARIABLE, AreaTables, Frame, as_frame, puma_keys
from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.relation import listing
from fusion_pipeline.storage.atomic import atomic_directory
from fusion_pipeline.storage.tables import TableRef, encode, write_table

if TYPE_CHECKING:
    from fusion_pipeline.inference.output import Estimates

VERSION = "1"
"""Raised when the same households and tables would give other shares."""
KEYS = ("year", "hid")
SHARES, PUMAS, AREAS, CELLS = "shares.parquet", "pumas.parquet", "areas.parquet", "cells.parquet"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Downscaled:
    """Households shared out over small areas."""

    shares: pa.Table | TableRef
    """One row a household and area with a positive share: keys of the household, the PUMA's columns, the area, `share`
    (adds up to one over the areas of a household) and `weight` = share x the household's."""
    pumas: pd.DataFrame
    """One row a PUMA: `households`, `weight`, `areas`, `areas_empty`, `patterns` (of levels), `iterations`, `converged`,
    `gap` (largest of its areas), `scaled` (weight over the tables' total), `disagreement` (of the tables' totals),
    `filled` (missing tables of areas), `nobody` (share of counts in levels that no household has), `unlisted` (share
    of weight in levels that no area counts), `nowhere` (share of weight that no area's tables admit)."""
    areas: pd.DataFrame
    """One row an area: its PUMA, `households` (its size), `effective_n` = (sum w)^2 / sum w^2 of its weights, `gap` (share
    of its households in the wrong cell of the table that is met worst)."""
    cells: pd.DataFrame
    """Levels that were left out or made up, by PUMA, variable and level: `counted` without households of that level, or
    `weight` without a count."""
    puma: tuple[str, ...]
    area: str
    notes: tuple[str, ...]
    """What a reader has to know, in sentences."""

    @classmethod
    def read(cls, folder: Path | str) -> Downscaled:
        """Read what `downscale` wrote.

        Raises
        ------
        StorageError
            If a file is missing or damaged.
        """
        files = {name: TableRef(Path(folder) / name) for name in (SHARES, PUMAS, AREAS, CELLS)}
        known = files[SHARES].provenance
        return cls(
            files[SHARES],
            *(files[name].to_pandas() for name in (PUMAS, AREAS, CELLS)),
            tuple(known["puma"]),
            known["area"],
            tuple(files[PUMAS].provenance["notes"]),
        )

    def analyze(self, implicates: Any, static: Any, **request: Any) -> Estimates:
        """Estimate by small area, as `estimating.estimate_areas` does."""
        from fusion_pipeline.downscaling.estimating import estimate_areas

        return estimate_areas(self, implicates, static, **request)


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
    >>> homes = pd.DataFrame({"hid": [1, 2, 3], "puma": "A", "weight": [40.0, 40.0, 20.0], "tenure": ["own", "rent", "rent"]})
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
        raise AnalysisError("tolerance and max_iterations", "must be positive.", "Leave them out for the defaults.")
    listed = as_frame(tables)
    own, notes = _households(households, listed, names, weight)
    checked = AreaTables.of(listed, own, area=area, puma=names)
    own["_puma"] = puma_keys(own, names, "households")
    within = own["_puma"].isin(checked.pumas)
    if not within.all():
        notes.append(f"{int((~within).sum()):,} households of PUMAs without tables are left out.")
    fitted = _each_puma(own[within], checked, names, area, weight, tolerance, max_iterations)
    if out is None:
        pieces, found = zip(*fitted, strict=True)
        reports = _joined(found, names)
        notes += _notes(reports[0])
        return Downscaled(pa.concat_tables(pieces), *reports, tuple(names), area, tuple(notes))
    with atomic_directory(Path(out)) as folder:
        facts = {"version": VERSION, "area": area, "puma": names}
        reports = _joined(_write_shares(folder / SHARES, fitted, facts), names)
        notes += _notes(reports[0])
        for name, frame in zip((PUMAS, AREAS, CELLS), reports, strict=True):
            write_table(folder / name, pa.Table.from_pandas(frame, preserve_index=False), facts | {"notes": notes})
    return Downscaled.read(out)


@dataclass(frozen=True)
class _Found:
    """What one PUMA's fit tells."""

    place: tuple[str, ...]
    puma: dict[str, object]
    areas: pd.DataFrame
    cells: pd.DataFrame


def _households(
    households: Frame, tables: pd.DataFrame, puma: Sequence[str], weight: str
) -> tuple[pd.DataFrame, list[str]]:
    there = households.columns if isinstance(households, pd.DataFrame | TableRef) else households.column_names
    needed = ["hid", weight, *puma]
    if absent := [name for name in needed if name not in there]:
        raise AnalysisError(
            f"households, column {absent[0]}",
            f"is not there; there are {listing(list(map(str, there)))}.",
            "Give hid, the weight and the columns of the PUMA.",
        )
    variables = [] if VARIABLE not in tables else list(dict.fromkeys(tables[VARIABLE].astype("str")))
    columns = [*KEYS[:1], *needed] if KEYS[0] in there else needed
    # A variable that is not there is named by the check of the tables.
    columns += [name for name in variables if name in there and name not in columns]
    own = as_frame(households, columns).copy()
    keys = [name for name in KEYS if name in own]
    if own.duplicated(keys).any():
        first = own.loc[own.duplicated(keys), keys].iloc[0].to_dict()
        raise AnalysisError("households", f"have more than one row with {first}.", "Give one row a household.")
    weights = pd.to_numeric(own[weight], errors="coerce").to_numpy(dtype=np.float64)
    unfit = ~(np.isfinite(weights) & (weights >= 0))
    if unfit.any():
        raise AnalysisError(
            f"households, {weight}",
            f"is missing, infinite or negative in {int(unfit.sum()):,} households.",
            "Correct the weight, or leave these households out.",
        )
    zero = weights == 0
    notes = [f"{int(zero.sum()):,} households of weight 0 are left out."] if zero.any() else []
    return own.assign(**{weight: weights})[~zero], notes


def _each_puma(
    own: pd.DataFrame,
    tables: AreaTables,
    puma: Sequence[str],
    area: str,
    weight: str,
    tolerance: float,
    max_iterations: int,
) -> Iterator[tuple[pa.Table, _Found]]:
    keys = [name for name in KEYS if name in own]
    codes = np.column_stack([_codes(own[v], levels) for v, levels in tables.levels.items()])
    rows_of = own.groupby("_puma").indices
    for number, (key, of_puma) in enumerate(tables.pumas.items(), start=1):
        rows = np.sort(rows_of[key])
        w = own[weight].to_numpy()[rows]
        patterns, pattern = np.unique(codes[rows], axis=0, return_inverse=True)
        pattern = pattern.reshape(-1)
        result = fit(
            patterns, np.bincount(pattern, w), of_puma, tolerance=tolerance, max_iterations=max_iterations, where=key
        )  # fmt: skip
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
        yield pa.table(columns), _found(place, result, of_puma.areas, tables.levels, area, patterns, pattern, w)


def _codes(column: pd.Series, levels: Sequence[str]) -> NDArray[np.int64]:
    return pd.Index(levels).get_indexer(column.astype("str")).astype(np.int64)


def _found(
    place: tuple[str, ...],
    result: Fit,
    areas: Sequence[str],
    levels: dict[str, tuple[str, ...]],
    area: str,
    patterns: NDArray[np.int64],
    pattern: NDArray[np.int64],
    w: NDArray[np.float64],
) -> _Found:
    total = float(w.sum())
    sums, squares = (np.bincount(pattern, w**power) @ result.shares**power for power in (1, 2))
    of_area = pd.DataFrame(
        {
            area: list(areas),
            "households": result.size,
            "effective_n": np.divide(sums**2, squares, out=np.zeros_like(sums), where=squares > 0),
            "gap": result.gap,
        }
    )
    parts = [
        pd.DataFrame({"variable": v, "level": list(names), "counted": counted, "weight": unlisted})
        for (v, names), counted, unlisted in zip(levels.items(), result.nobody, result.unlisted, strict=True)
    ]
    cells = pd.concat(parts, ignore_index=True)
    facts = {
        "households": len(w),
        "weight": total,
        "areas": len(areas),
        "areas_empty": int((result.size <= 0).sum()),
        "patterns": len(patterns),
        "iterations": result.iterations,
        "converged": result.converged,
        "gap": float(result.gap.max()),
        "scaled": result.scaled,
        "disagreement": result.disagreement,
        "filled": result.filled,
        "nobody": max(float(n.sum()) for n in result.nobody) * result.scaled / total,
        "unlisted": max(float(n.sum()) for n in result.unlisted) / total,
        "nowhere": result.nowhere / total,
    }
    return _Found(place, facts, of_area, cells[(cells["counted"] > 0) | (cells["weight"] > 0)])


def _write_shares(
    path: Path, fitted: Iterator[tuple[pa.Table, _Found]], facts: dict[str, object]
) -> list[_Found]:
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


def _joined(found: Sequence[_Found], puma: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    def placed(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
        rows = [
            frame.assign(**dict(zip(puma, f.place, strict=True)))
            for f, frame in zip(found, frames, strict=True)
        ]
        whole = pd.concat(rows, ignore_index=True)
        return whole[[*puma, *(name for name in whole if name not in puma)]]

    pumas = placed([pd.DataFrame([f.puma]) for f in found])
    return pumas, placed([f.areas for f in found]), placed([f.cells for f in found])


def _notes(pumas: pd.DataFrame) -> list[str]:
    said = {
        "have not converged: their tables cannot be met together; see `gap`": ~pumas["converged"],
        "have counts in levels that none of their households has; see `cells`": pumas["nobody"] > 0,
        "have households in levels that their areas do not count, shared by size; see `cells`": pumas["unlisted"] > 0,
        "have households that no area's tables admit, shared by size; see `nowhere`": pumas["nowhere"] > 0,
        "have areas without one of the tables, which got the PUMA's distribution; see `filled`": pumas["filled"] > 0,
    }  # fmt: skip
    notes = [f"{int(which.sum())} of {len(pumas)} PUMAs {what}." for what, which in said.items() if which.any()]
    empty = int(pumas["areas_empty"].sum())
    return [*notes, *([f"{empty} areas have no household and no estimate."] if empty else [])]
