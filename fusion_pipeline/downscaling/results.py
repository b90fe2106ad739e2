"""What downscaling found: shares of households, and how well each PUMA's tables were met, in memory or on disk.

Belongs here: `Downscaled`, its reports and notes. Does not belong here: how shares come about (`downscale.py`,
`fitting.py`), estimates (`estimating.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fusion_pipeline.downscaling.beyond import Beyond
from fusion_pipeline.downscaling.fitting import Fit, remaining_error
from fusion_pipeline.downscaling.tables import PumaTables
from fusion_pipeline.storage.tables import TableRef

if TYPE_CHECKING:
    from fusion_pipeline.inference.output import Estimates

SHARES, PUMAS, AREAS, CELLS = "shares.parquet", "pumas.parquet", "areas.parquet", "cells.parquet"
"""Files of `downscale`."""


@dataclass(frozen=True)
class Downscaled:
    """Households shared out over small areas.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> import fusion_pipeline as fp
    >>> homes = pd.DataFrame({"hid": [1, 2], "puma": "A", "weight": [40.0, 60.0], "tenure": ["own", "rent"]})
    >>> counts = pd.DataFrame({"tract": ["t1", "t2", "t2"], "puma": "A", "variable": "tenure",
    ...                        "level": ["rent", "own", "rent"], "count": [20, 40, 40]})
    >>> folder = tempfile.mkdtemp()
    >>> _ = fp.downscale(homes, counts, area="tract", out=f"{folder}/tracts")
    >>> found = fp.Downscaled.read(f"{folder}/tracts")
    >>> found.areas[["tract", "households"]].round(6).values.tolist()
    [['t1', 20.0], ['t2', 80.0]]
    """

    shares: pa.Table | TableRef
    """One row a household and area with a positive share: keys of the household, the PUMA's columns, the area, `share`
    (adds up to one over the areas of a household) and `weight` = share x the household's."""
    pumas: pd.DataFrame
    """One row a PUMA: `households`, `weight`, `areas`, `areas_empty`, `patterns` of levels, `iterations`, `converged`,
    `gap` (largest of its areas), `scaled` (weight over the tables' total), `disagreement` (of the tables' totals),
    `filled` (missing tables of areas), `nobody` (share of counts in levels that no household has), `unlisted` (share
    of weight in levels that no area counts), `nowhere` (share of weight that no area's tables admit)."""
    areas: pd.DataFrame
    """One row an area: its PUMA, `households` (its size), `effective_n` = (sum w)^2 / sum w^2 of its weights, `gap`
    (share of its households in the wrong cell of the table that is met worst), `table_error` (variance that the tables'
    own errors leave in the shares of its levels, over that of households; 0 without `moe`)."""
    cells: pd.DataFrame
    """Levels that were left out or made up, by PUMA, variable and level: `counted` without households of that level, or
    `weight` without a count."""
    puma: tuple[str, ...]
    area: str
    notes: tuple[str, ...]
    """What a reader has to know, in sentences."""
    beyond: Beyond | None = None
    """What areas have beyond their tables; None if it was not looked for, or tables are fewer than three."""

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
        pumas, areas, cells = (files[name].to_pandas() for name in (PUMAS, AREAS, CELLS))
        return cls(
            files[SHARES],
            pumas,
            areas,
            cells,
            tuple(known["puma"]),
            known["area"],
            tuple(files[PUMAS].provenance["notes"]),
            Beyond.read(Path(folder)),
        )

    def analyze(self, implicates: Any, static: Any, **request: Any) -> Estimates:
        """Estimate by small area, as `estimating.estimate_areas` does."""
        from fusion_pipeline.downscaling.estimating import estimate_areas

        return estimate_areas(self, implicates, static, **request)


@dataclass(frozen=True)
class PumaFound:
    """What the fit of one PUMA tells."""

    place: tuple[str, ...]
    """Values of the PUMA's columns."""
    puma: Mapping[str, object]
    """As a row of `Downscaled.pumas`; below, rows of the others."""
    areas: pd.DataFrame
    cells: pd.DataFrame


def summarised(
    place: tuple[str, ...],
    result: Fit,
    tables: PumaTables,
    levels: dict[str, tuple[str, ...]],
    area: str,
    patterns: NDArray[np.int64],
    pattern: NDArray[np.int64],
    w: NDArray[np.float64],
) -> PumaFound:
    """Summarise the fit of a PUMA.

    Parameters
    ----------
    place : values of the PUMA's columns
    result : the fit of its patterns
    tables, levels, area : its tables, levels of all variables, name of the area's column
    patterns, pattern, w : (K, V) levels of the patterns, (n,) pattern and (n,) weight of each household
    """
    total = float(w.sum())
    sums, squares = (np.bincount(pattern, w**power) @ result.shares**power for power in (1, 2))
    of_area = pd.DataFrame(
        {
            area: list(tables.areas),
            "households": result.size,
            "effective_n": np.divide(sums**2, squares, out=np.zeros_like(sums), where=squares > 0),
            "gap": result.gap,
            "table_error": remaining_error(tables.counts, tables.errors),
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
        "areas": len(tables.areas),
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
    return PumaFound(place, facts, of_area, cells[(cells["counted"] > 0) | (cells["weight"] > 0)])


def joined(
    found: Sequence[PumaFound], puma: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Put the PUMAs' summaries together: `pumas`, `areas` and `cells` of `Downscaled`."""

    def placed(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
        rows = [
            frame.assign(**dict(zip(puma, f.place, strict=True)))
            for f, frame in zip(found, frames, strict=True)
        ]
        whole = pd.concat(rows, ignore_index=True)
        return whole[[*puma, *(name for name in whole if name not in puma)]]

    pumas = placed([pd.DataFrame([f.puma]) for f in found])
    return pumas, placed([f.areas for f in found]), placed([f.cells for f in found])


def notes_on(pumas: pd.DataFrame) -> list[str]:
    """Say in sentences what did not fit, and in how many PUMAs."""
    said = {
        "have not converged: their tables cannot be met together; see `gap`": ~pumas["converged"],
        "have counts in levels that none of their households has; see `cells`": pumas["nobody"] > 0,
        "have households in levels that their areas do not count, shared by size; see `cells`": pumas["unlisted"] > 0,
        "have households that no area's tables admit, shared by size; see `nowhere`": pumas["nowhere"] > 0,
        "have areas without one of the tables, which got the PUMA's distribution; see `filled`": pumas["filled"] > 0,
    }  # fmt: skip
    notes = [
        f"{int(which.sum())} of {len(pumas)} PUMAs {what}." for what, which in said.items() if which.any()
    ]
    empty = int(pumas["areas_empty"].sum())
    return [*notes, *([f"{empty} areas have no household and no estimate."] if empty else [])]
