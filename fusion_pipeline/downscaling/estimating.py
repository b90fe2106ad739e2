"""Estimates by small area: `analyze` on households that several areas share, a few PUMAs at a time.

Belongs here: bringing shares to the recipient's weights and replicate weights. Does not belong here: the shares
(`downscale.py`), estimation (`inference/`).

A household is in `analyze` once for every area that has a share of it; its weight and every replicate weight are
multiplied by that share. Areas lie in one PUMA each, so PUMAs are analysed one after another and memory holds those of
one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.downscaling.households import KEYS
from fusion_pipeline.downscaling.results import Downscaled
from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.inference.estimands import Statistic
from fusion_pipeline.inference.given import Implicates
from fusion_pipeline.inference.output import Estimates
from fusion_pipeline.storage.tables import TableRef

MEMORY = 2 << 30
NARROW = (
    "Margins hold the sampling of the PUMA's households and the implicates, with shares taken as given. What makes a"
    " small area differ beyond its tables is in no margin: see docs/geography.md for their coverage."
)
NOTE = (
    "Margins hold what areas have beyond their tables as far as tables that were left out tell it; what neighbours"
    " share and no predictor knows is in none: see docs/geography.md for their coverage."
)
_ONE = "_household"


def estimate_areas(
    found: Downscaled,
    implicates: Implicates | Mapping[str, Implicates],
    static: pa.Table | TableRef | pd.DataFrame,
    *,
    estimates: Sequence[str | Statistic],
    by: Sequence[str] = (),
    weight: str = "weight",
    replicate_weights: Sequence[str] = (),
    memory_limit: int = MEMORY,
    beyond: bool = True,
    **request: Any,
) -> Estimates:
    """Estimate anything by small area, and by groups within areas.

    Parameters
    ----------
    found : what `downscale` found
    implicates, estimates, request : as in `analyze`
    static : the recipient, one row a household: its weight, replicate weights and columns to group by or to estimate
    by : groups within areas
    weight : of the recipient; the shares are applied to it
    memory_limit : bytes that the households of a batch may take, times their areas
    beyond : add what areas have beyond their tables to the margins (`beyond.py`), if tables that were left out told it

    Returns
    -------
    Estimates
        As `analyze` gives; groups begin with the PUMA's columns and the area. With the component also `area_error`, its
        standard error, and `margin_without`.

    Raises
    ------
    AnalysisError
        If households of the shares are not in the recipient, `area_error` is given, or as `analyze` does.
    """
    if request.get("area_error") is not None:
        raise AnalysisError(
            "area_error",
            "is measured on PUMAs and says nothing below the PUMA.",
            "Leave it out: what areas have beyond their tables is added here.",
        )
    keys = [name for name in KEYS if name in _names(found.shares)]
    asked = [*by, *_texts(estimates), *_texts(request.get("derive", {}).values()), request.get("where") or ""]
    table = _static(static, [*keys, weight, *replicate_weights], " ".join(asked), (*found.puma, found.area))
    place = pd.MultiIndex.from_frame(table.select(keys).to_pandas())
    width = 8 * len(table.column_names) + 4 * len(replicate_weights)
    groups = [*found.puma, found.area, *by]
    told = found.beyond if beyond and found.beyond is not None and found.beyond.measured else None
    wanted = list(estimates)
    if told is not None:
        asked_for = {"implicates": implicates, "estimates": wanted, "memory_limit": memory_limit, **request}
        explained = told.explained(asked_for, table)
        wanted.append(f"sum({_ONE})")
    tables, first = [], None
    notes: dict[str, None] = {}
    for shares in _batches(found, max(1, memory_limit // width)):
        rows = place.get_indexer(pd.MultiIndex.from_frame(shares.select(keys).to_pandas()))
        if (rows < 0).any():
            raise AnalysisError(
                "shares of small areas",
                f"are of {int((rows < 0).sum()):,} households that the recipient has not, such as "
                f"{shares.select(keys).slice(int(np.argmax(rows < 0)), 1).to_pylist()[0]}.",
                "Give the recipient that was downscaled.",
            )
        part = table.take(pa.array(rows))
        for name in (weight, *replicate_weights):
            scaled = pc.multiply(part[name].cast(pa.float64()), shares["share"])
            part = part.set_column(part.column_names.index(name), name, scaled)
        for name in (*found.puma, found.area):
            part = part.append_column(name, shares[name].cast(pa.string()))
        if told is not None:
            part = part.append_column(_ONE, pa.array(np.ones(len(part))))
        result = analyze(
            implicates,
            part,
            estimates=wanted,
            by=groups,
            weight=weight,
            parts=found.area,
            replicate_weights=replicate_weights,
            memory_limit=memory_limit,
            within=told is not None,
            **request,
        )
        first = first or result
        tables.append(result.table)
        notes |= dict.fromkeys(result.notes)
    if first is None:
        raise AnalysisError("shares of small areas", "are none.", "Downscale first.")
    whole = pd.concat(tables, ignore_index=True)
    if told is None:
        return replace(first, table=whole, notes=(*found.notes, *notes, NARROW))
    number = whole.groupby(groups, sort=False, dropna=False, observed=True).ngroup()
    counted = whole["estimand"] == wanted[-1]
    size = whole.loc[counted, "estimate"].set_axis(number[counted])
    kept = whole[~counted].reset_index(drop=True)
    names = [e if isinstance(e, str) else e.name for e in estimates]
    households = number[~counted].map(size).to_numpy(dtype=np.float64)
    table_error = kept[found.area].astype(object).map(found.areas.set_index(found.area)["table_error"])
    whole = told.widen(
        kept, explained, names, households, table_error.to_numpy(dtype=np.float64), first.level
    )
    return replace(first, table=whole, notes=(*found.notes, *notes, NOTE))


def _batches(found: Downscaled, rows: int) -> Iterator[pa.Table]:
    """Give the shares of whole PUMAs, together at most so many rows; of one PUMA at least."""
    columns = [*(name for name in KEYS if name in _names(found.shares)), *found.puma, found.area, "share"]
    source = found.shares
    pieces = (
        source.row_groups(columns)
        if isinstance(source, TableRef)
        else _split(source.select(columns), found.puma)
    )
    held: list[pa.Table] = []
    for piece in pieces:
        if held and sum(map(len, held)) + len(piece) > rows:
            yield pa.concat_tables(held)
            held = []
        held.append(piece)
    if held:
        yield pa.concat_tables(held)


def _split(shares: pa.Table, puma: Sequence[str]) -> Iterator[pa.Table]:
    place = shares.select(list(puma)).to_pandas()
    starts = np.flatnonzero(
        np.concatenate([[True], (place.to_numpy()[1:] != place.to_numpy()[:-1]).any(axis=1)])
    )
    for start, end in zip(starts, [*starts[1:], len(shares)], strict=True):
        yield shares.slice(start, end - start)


def _names(table: pa.Table | TableRef | pd.DataFrame) -> list[str]:
    return list(table.columns) if isinstance(table, TableRef | pd.DataFrame) else table.column_names


def _texts(asked: Any) -> list[str]:
    return [text for one in asked for text in ([one] if isinstance(one, str) else one.variables)]


def _static(
    static: pa.Table | TableRef | pd.DataFrame, needed: Sequence[str], text: str, placed: Sequence[str]
) -> pa.Table:
    there = _names(static)
    if absent := [name for name in needed if name not in there]:
        raise AnalysisError(
            f"recipient, column {absent[0]}", "is not there.", "Give keys, weight and replicate weights."
        )
    # Only what is asked for: a recipient has hundreds of columns, and its rows are repeated for every area.
    names = list(dict.fromkeys([*needed, *(n for n in there if n in text and n not in placed)]))
    if isinstance(static, pd.DataFrame):
        return pa.Table.from_pandas(static[names], preserve_index=False)
    return static.read(names) if isinstance(static, TableRef) else static.select(names)
