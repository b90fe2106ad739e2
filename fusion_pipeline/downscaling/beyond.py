"""What areas have beyond their tables, as a component of the variance of estimates.

Belongs here: the icc that left-out tables tell, what follows from it for any estimate of an area, and its files. Does
not belong here: leaving tables out (`holdout.py`), estimates (`estimating.py`).

Households sort by what they are, and tables show a part of it. Each table left out tells how much the rest has in
common within areas, as an intraclass correlation (icc). A fused variable has such a rest too: what predictors know of
its households (the implicates agree on it) and tables do not. To the variance of an estimate is added ::

    max(0, V (icc (P - R2) + (1 - R2) / N + R2 d) - 2 (1 - P) ubar)          V = n ubar

with V the variance between the area's households (n their effective number, ubar the variance within implicates), R2
the share of it that tables explain, P the share that predictors explain, and N the area's households: an area holds
the N households that it happens to hold, and what tables do not explain in them averages out over N only. d is what
the tables' own errors leave in the shares of levels, relative to the variance of households. What is subtracted is
Rubin's surplus, as in `inference/area_error.py`. What predictors do not know either is taken for each household's
own: no table can tell how much of it neighbours share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fusion_pipeline.downscaling.explaining import Design, Explained
from fusion_pipeline.downscaling.households import KEYS, OfPuma
from fusion_pipeline.inference.area_component import COLUMNS, ESTIMANDS
from fusion_pipeline.inference.area_variance import widened
from fusion_pipeline.storage.tables import TableRef, write_table

FEWEST_TABLES = 3
HELD_OUT, SAMPLE = "held_out.parquet", "sample.parquet"
_PUMA, _WEIGHT, _LEVEL = "_puma", "_weight", "level of "


@dataclass(frozen=True)
class Beyond:
    """What tables that were left out tell."""

    held_out: pd.DataFrame
    """One row a variable, as `holdout.held_out` gives it."""
    households: pd.DataFrame
    """Those it rests on: keys, number of the PUMA, weight, and the level of every variable as a number."""

    @classmethod
    def of(
        cls, held_out: pd.DataFrame, own: pd.DataFrame, chosen: Sequence[OfPuma], variables: Sequence[str]
    ) -> Beyond:
        """Put together what was found and the households it rests on."""
        rows = np.concatenate([h.rows for h in chosen])
        codes = np.concatenate([h.codes for h in chosen])
        sample = own.iloc[rows][[name for name in KEYS if name in own]].reset_index(drop=True)
        sample[_PUMA] = np.repeat(np.arange(len(chosen)), [len(h.rows) for h in chosen])
        sample[_WEIGHT] = np.concatenate([h.weight for h in chosen])
        levels = {_LEVEL + name: codes[:, v].astype(np.int16) for v, name in enumerate(variables)}
        return cls(held_out, sample.assign(**levels))

    @property
    def iccs(self) -> NDArray[np.float64]:
        """Of the variables that tell one."""
        told = self.held_out["icc"].to_numpy(dtype=np.float64)
        return np.asarray(told[np.isfinite(told)])

    @property
    def measured(self) -> bool:
        """Whether three tables or more tell an icc."""
        return len(self.iccs) >= FEWEST_TABLES

    @property
    def icc(self) -> float:
        """Expected of any variable: the median of the tables'."""
        return float(np.median(self.iccs))

    @property
    def df(self) -> float:
        """Degrees of freedom of the component (Satterthwaite 1946): 2 / relative variance of the icc over variables."""
        iccs = self.iccs
        relative = float(np.var(iccs, ddof=1) / np.mean(iccs) ** 2) if iccs.any() else 0.0
        return max(2.0, 2 / relative) if relative > 0 else np.inf

    def design(self) -> Design:
        """Give the households' levels as indicators."""
        codes = self.households.filter(regex=f"^{_LEVEL}").to_numpy(dtype=np.int64)
        return Design.of(
            codes,
            [int(c.max()) + 1 for c in codes.T],
            self.households[_WEIGHT].to_numpy(dtype=np.float64),
            self.households[_PUMA].to_numpy(dtype=np.int64),
        )

    def explained(self, asked: dict[str, Any], static: pa.Table) -> list[Explained | None]:
        """Say of every estimand how much of its variables is explained, the least if there are several.

        Parameters
        ----------
        asked : `implicates`, `estimates`, and optionally `derive`, `where`, `universes`, `memory_limit` and `threads`
            of `analyze`
        static : the recipient

        Returns
        -------
        In the order of `estimates`; None for those without a component: relations and dispersion.
        """
        from fusion_pipeline.inference.analyze import prepare
        from fusion_pipeline.inference.estimands import read_estimand
        from fusion_pipeline.inference.microdata import Microdata
        from fusion_pipeline.inference.relation import open_fused
        from fusion_pipeline.inference.weights import ReplicateDesign

        keys = [name for name in KEYS if name in self.households]
        place = pd.MultiIndex.from_frame(static.select(keys).to_pandas())
        rows = place.get_indexer(pd.MultiIndex.from_frame(self.households[keys]))
        bounds = {name: asked.get(name) for name in ("memory_limit", "threads")}
        with open_fused(asked["implicates"], static.take(pa.array(rows)), **bounds) as relation:
            data = Microdata(
                relation, asked.get("derive") or {}, asked.get("where"), asked.get("universes") or {}
            )
            found = [prepare(read_estimand(e), data, (), None, {}) for e in asked["estimates"]]
            data.weigh(None, ReplicateDesign.of((), None, "sdr", 0.5, None))
            members, _ = relation.members()
            if len(members) < 2:
                return [None] * len(found)
            blocks = [data.read(member) for member in members[:2]]
        design, count = self.design(), len(rows)
        told: list[Explained | None] = []
        for one in found:
            if one.estimand.name not in ESTIMANDS:
                told.append(None)
                continue
            parts = []
            for key in one.estimator.columns:
                (first, there), (second, also) = (_values(block, key, count) for block in blocks)
                width = max(first.shape[1], second.shape[1])
                first, second = (np.pad(z, ((0, 0), (0, width - z.shape[1]))) for z in (first, second))
                parts.append(design.of_values(first, second, there & also))
            told.append(
                Explained(min(p.by_tables for p in parts), min(p.by_predictors for p in parts))
                if len(parts) == 1
                else max(parts, key=lambda p: p.beyond, default=None)
            )
        return told

    def widen(
        self,
        table: pd.DataFrame,
        explained: Sequence[Explained | None],
        estimands: Sequence[str],
        households: NDArray[np.float64],
        table_error: NDArray[np.float64],
        level: float,
    ) -> pd.DataFrame:
        """Add the component to standard errors, degrees of freedom and margins.

        Parameters
        ----------
        table : of `analyze`, with `within`
        explained, estimands : of every estimand
        households, table_error : (rows,) that live in the group; of its area, as in `Downscaled.areas`
        level : of the margins

        Returns
        -------
        The table without `within`, with `area_error` (standard error of the component; missing for estimands without)
        and `margin_without`.
        """
        at = table["estimand"].map(dict(zip(estimands, range(len(estimands)), strict=True))).to_numpy()
        by_tables, by_predictors, beyond = (
            np.array([np.nan if e is None else getattr(e, name) for e in explained])[at]
            for name in ("by_tables", "by_predictors", "beyond")
        )
        within, n = table["within"].to_numpy(), table["effective_n"].to_numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            shared = self.icc * beyond + (1 - by_tables) / households + by_tables * table_error
            component = within * np.maximum(0.0, n * shared - 2 * (1 - by_predictors))
        known = np.isfinite(component)
        component = np.where(known, component, 0.0)
        without = table["standard_error"].to_numpy() ** 2
        df, margin = widened(without, table["df"], component, self.df, level)
        added = component > 0
        numbers = {
            "standard_error": np.where(added, np.sqrt(without + component), table["standard_error"]),
            "margin": np.where(added, np.maximum(margin, table["margin"]), table["margin"]),
            "df": df,
            COLUMNS[0]: np.where(known, np.sqrt(component), np.nan),
            COLUMNS[1]: table["margin"],
        }
        from fusion_pipeline.inference.cells import significant

        return table.drop(columns="within").assign(
            **{name: significant(np.asarray(values), 9) for name, values in numbers.items()}
        )

    def write(self, folder: Path) -> None:
        """Write both files into the folder of the shares."""
        for name, frame in ((HELD_OUT, self.held_out), (SAMPLE, self.households)):
            write_table(folder / name, pa.Table.from_pandas(frame, preserve_index=False), {})

    @classmethod
    def read(cls, folder: Path) -> Beyond | None:
        """Read what `write` wrote; None if it wrote nothing."""
        if not (folder / HELD_OUT).is_file():
            return None
        return cls(*(TableRef(folder / name).to_pandas() for name in (HELD_OUT, SAMPLE)))


def _values(block: Any, key: str, count: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Give a column of an implicate by row of the recipient, categories as indicators, and who has it."""
    if key in block.codes:
        codes = block.codes[key]
        found = np.equal.outer(codes, np.arange(max(int(codes.max(initial=-1)) + 1, 1))).astype(np.float64)
        fit = codes >= 0
    else:
        found = block.values[key][:, None]
        fit = np.isfinite(found[:, 0])
    values, there = np.zeros((count, found.shape[1])), np.zeros(count, dtype=bool)
    fit &= block.kept
    values[block.rows[fit]], there[block.rows[fit]] = found[fit], True
    return values, there
