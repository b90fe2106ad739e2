"""Donors fused from each other: implicates of households whose answers are known, none of which meets itself.

Belongs here: folds, and training and fusing each of them. Does not belong here: comparing (`internal.py`).

Fusing a model set back onto the donors it was trained on flatters it: a donor is its own nearest neighbour. Here the
donors are split into folds, and each fold is fused from the others, as recipients are that no model has seen.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.fusion.training import train
from fusion_pipeline.randomness import stream
from fusion_pipeline.storage.tables import TableRef

FOLD = "fold"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossFitted:
    """Donors as answered, with their `fold`, and their implicates; both have `hid`."""

    observed: pa.Table
    implicates: pa.Table


def cross_fit(
    donor: pd.DataFrame | pa.Table | TableRef,
    plan: FusionPlan,
    *,
    folds: int = 2,
    groups: str | None = None,
    implicates: int = 10,
    seed: int = 1,
    threads: int = 1,
    memory_limit: int = 2 << 30,
    stream_name: str = "cross-fitting",
    options: Mapping[str, Any] | None = None,
) -> CrossFitted:
    """Fuse every fold of the donors from the other folds.

    Parameters
    ----------
    donor : donor microdata, as in `train`
    plan : what to fuse, in which order, from what
    folds : int
        Each costs one training on the others; with two, models see half of the donors, and errors are those of a survey
        of half the size.
    groups : str, optional
        Column of units (household, sampling unit) that must not be split over folds.
    implicates, seed, threads, memory_limit, stream_name : as in `fuse` and `train`
    options : mapping, optional
        Further settings of `train`.

    Returns
    -------
    CrossFitted
        For `validate(of.implicates, of.observed, folds="fold", ...)`. `hid` is the donors' own where it is there and
        unique, else the number of the row.

    Raises
    ------
    TrainingError
        If there are fewer than two folds, fewer units than folds, or the donors of the other folds cannot be modelled.

    Examples
    --------
    >>> import fusion_pipeline as fp
    >>> donor, _ = fp.example_tables()
    >>> plan = fp.FusionPlan.chained(["size"], ["group", "income"], "weight")
    >>> held = fp.cross_fit(donor, plan, implicates=2, options={"leaves": [4], "bootstraps": 0})
    >>> held.implicates.num_rows, sorted(set(held.observed["fold"].to_pylist()))
    (800, [0, 1])
    """
    table = donor.read() if isinstance(donor, TableRef) else donor
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    fold = _folds(table, folds, groups, seed, stream_name)
    table = _identified(table).drop_columns([n for n in (FOLD, "year", "pid") if n in table.column_names])
    parts = []
    with TemporaryDirectory() as folder:
        for k in range(folds):
            held = pa.array(fold == k)
            _log.info("fold %d of %d: %d donors are fused from the others", k + 1, folds, (fold == k).sum())
            models = train(
                table.filter(pa.array(fold != k)),
                plan,
                out=Path(folder) / str(k),
                groups=groups,
                seed=seed,
                threads=threads,
                **(options or {}),
            )
            drawn = fuse(
                table.filter(held),
                models,
                implicates=implicates,
                seed=seed,
                retain=("hid",),
                threads=threads,
                memory_limit=memory_limit,
                stream_name=f"{stream_name} {k}",
            )
            assert isinstance(drawn, pa.Table)
            parts.append(drawn)
    return CrossFitted(table.append_column(FOLD, pa.array(fold)), pa.concat_tables(parts))


def _folds(table: pa.Table, folds: int, groups: str | None, seed: int, name: str) -> NDArray[np.int64]:
    """Draw the fold of every donor; folds have as many units as possible alike."""
    if groups is not None and groups not in table.column_names:
        raise TrainingError(
            f"donor, column {groups}", "does not exist.", "Name the column of units, or leave it out."
        )
    rows = np.arange(table.num_rows)
    units = rows if groups is None else pd.factorize(table[groups].to_pandas(), use_na_sentinel=False)[0]
    count = int(units.max(initial=-1)) + 1
    if not 2 <= folds <= count:
        raise TrainingError(
            f"cross_fit, folds={folds}",
            f"cannot part {count:,} units of donors.",
            "Give two folds or more, and donors for each.",
        )
    return (stream(seed, name, "folds").permutation(count) % folds)[units].astype(np.int64)


def _identified(table: pa.Table) -> pa.Table:
    """Give every donor an id of its own: several surveys may number theirs alike."""
    if "hid" not in table.column_names:
        return table.append_column("hid", pa.array(np.arange(table.num_rows)))
    if len(table["hid"].unique()) == table.num_rows:
        return table
    return table.set_column(table.column_names.index("hid"), "hid", pa.array(np.arange(table.num_rows)))
