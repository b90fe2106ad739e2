"""Spatial predictors: what is known of every PUMA, and attaching it to households.

Belongs here: summaries of the ACS by PUMA, choosing vintages for a year, making years comparable, attaching, and
choosing what is usable for a pair. Does not belong here: the summaries of an ACS variable (`summaries.py`) and of
other datasets (`dataset_summaries.py`).

Names are `<dataset>..<variable>`: `acs..` are summaries of ACS households by PUMA, the others are those of
`spatial` in the registry (Ummel et al. 2024, Table 1).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.geography.concordance import find_pumas, puma_ids
from fusion_pipeline.geography.datasets import choose_vintage
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.geography.summaries import load_summaries, summarize
from fusion_pipeline.storage.tables import TableRef

VERSION = "4"
MARK = ".."
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlacePredictors:
    """Ranks of every PUMA in a year's predictors, and the vintage that each dataset was taken from."""

    table: pa.Table
    vintages: dict[str, str]


def puma_predictors(households: TableRef, concordance: pa.Table) -> pa.Table:
    """Summarize the ACS households of every PUMA.

    Parameters
    ----------
    households : standardized ACS households; only the columns needed are read
    concordance : of `build_concordance`

    Returns
    -------
    One row a PUMA of the concordance, ordered by state and PUMA: `state`, its PUMA column, its housing units
    `weight`, then float32 `acs..` summaries, null for PUMAs without the households they are about.

    Raises
    ------
    GeographyError
        If a household's PUMA is not in the concordance.
    """
    unique, first, of_row = np.unique(
        puma_ids(concordance, "concordance"), return_index=True, return_inverse=True
    )
    puma = puma_column(concordance.column_names, "concordance")
    columns = {name: concordance[name].take(pa.array(first)).combine_chunks() for name in ("state", puma)}
    columns["weight"] = pa.array(np.bincount(of_row, weights=concordance["weight"].to_numpy()))
    for name, values in _acs_predictors(households, unique, puma).items():
        columns[f"acs{MARK}{name}"] = _float32(values)
    return pa.table(columns)


def place_predictors(
    acs: pa.Table, datasets: Mapping[str, TableRef], windows: Mapping[str, int], year: int
) -> PlacePredictors:
    """Collect what is known of every PUMA for a year, as ranks.

    Parameters
    ----------
    acs : of `puma_predictors`; its PUMA definition is taken
    datasets : name -> summaries of all vintages (`summarize_dataset`), by PUMA of the same definition
    windows : name -> years that a vintage may lie from the year
    year : int

    Returns
    -------
    PlacePredictors
        A row a PUMA, in the order of `acs`. Left out are datasets without a vintage for the year, and variables without
        any value.

    Raises
    ------
    GeographyError
        If a dataset is summarized by PUMAs of another definition, or has one that the ACS summaries have not.

    Notes
    -----
    Every predictor is replaced by its rank within its vintage, the share of the nation's housing units in PUMAs
    with a smaller value, those with the same value counted half. So dollars of two years, or two versions of an
    index, compare; trees lose nothing by it.
    """
    definition = puma_column(acs.column_names, "ACS summaries")
    ids, weight = puma_ids(acs, "ACS summaries"), acs["weight"].to_numpy()
    columns = {name: acs[name] for name in ("state", definition)}
    for name in acs.column_names:
        if MARK in name:
            columns[name] = _float32(weighted_ranks(_floats(acs[name]), weight))
    chosen: dict[str, str] = {}
    for dataset, reference in datasets.items():
        table = reference.read()
        there = sorted(set(table["vintage"].cast(pa.string()).to_pylist()))
        vintage = choose_vintage(there, year, windows[dataset])
        if vintage is None:
            continue
        chosen[dataset] = vintage
        table = table.filter(pc.equal(table["vintage"].cast(pa.string()), vintage))
        rows = find_pumas(ids, definition, table, dataset)
        for name in table.column_names:
            if MARK in name and table[name].null_count < table.num_rows:
                values = np.full(len(ids), np.nan)
                values[rows] = _floats(table[name])
                columns[name] = _float32(weighted_ranks(values, weight))
    _log.info("spatial predictors %d, %s: %s", year, definition, chosen)
    return PlacePredictors(pa.table(columns), chosen)


def weighted_ranks(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Share of the weight at smaller values plus half of that at the same, (n,) in [0, 1]; NaN stays NaN."""
    ranks = np.full(len(values), np.nan)
    there = ~np.isnan(values)
    if there.any():
        _, same = np.unique(values[there], return_inverse=True)
        of_value = np.bincount(same, weights=weight[there])
        ranks[there] = ((np.cumsum(of_value) - of_value / 2) / of_value.sum())[same]
    return ranks


def attach_predictors(table: pa.Table, predictors: pa.Table) -> pa.Table:
    """Append the predictors of its PUMA to every row.

    Raises
    ------
    GeographyError
        If a row's PUMA has no predictors, or they are of another PUMA definition.
    """
    column = puma_column(predictors.column_names, "predictors")
    known = puma_ids(predictors, "predictors")
    rows = pa.array(find_pumas(known, column, table, "households"))
    for name in predictors.column_names:
        if MARK in name:
            table = table.append_column(name, predictors[name].take(rows))
    return table


def attach_by_survey(donor: pa.Table, predictors: Mapping[str, pa.Table]) -> pa.Table:
    """Append to donors pooled from several survey-years the predictors of their own year.

    Parameters
    ----------
    donor : table with `survey`
    predictors : survey-year -> predictors; a predictor that not all have is left out

    Raises
    ------
    GeographyError
        As `attach_predictors`.
    """
    shared = [
        n
        for n in next(iter(predictors.values())).column_names
        if all(n in t.column_names for t in predictors.values())
    ]
    survey = donor["survey"].cast(pa.string())
    rows, parts = [], []
    for key, table in predictors.items():
        own = np.flatnonzero(pc.equal(survey, key).to_numpy(zero_copy_only=False))
        rows.append(own)
        parts.append(attach_predictors(donor.take(pa.array(own)), table.select(shared)))
    order = np.argsort(np.concatenate(rows), kind="stable")
    return pa.concat_tables(parts).take(pa.array(order)).combine_chunks()


def usable_predictors(
    donor: pa.Table, recipient: pa.Table, max_missing: float = 0.2
) -> tuple[list[str], dict[str, str]]:
    """Choose the spatial predictors that can help a pair.

    Parameters
    ----------
    donor, recipient : tables with spatial predictors attached
    max_missing : float
        Largest share of donors, or of recipients, that may have no value.

    Returns
    -------
    Names kept, in the donor's order, and name -> reason for those that are dropped: absent on one side,
    missing too often, or the same for all donors (nothing can be learned from it).
    """
    kept, dropped = [], {}
    for name in [c for c in dict.fromkeys(donor.column_names + recipient.column_names) if MARK in c]:
        reason = _reason_to_drop(name, {"donors": donor, "recipients": recipient}, max_missing)
        if reason is None:
            kept.append(name)
        else:
            dropped[name] = reason
    _log.info("spatial predictors: %d kept, %d dropped (%s)", len(kept), len(dropped), "; ".join(dropped))
    return kept, dropped


def _reason_to_drop(name: str, sides: Mapping[str, pa.Table], max_missing: float) -> str | None:
    for side, table in sides.items():
        if name not in table.column_names:
            return f"the {side} have it not"
        missing = table[name].null_count / max(table.num_rows, 1)
        if missing > max_missing:
            return f"missing for {missing:.0%} of {side}"
    values = sides["donors"][name].drop_null().unique()
    return "the same for all donors" if len(values) <= 1 else None


def _acs_predictors(households: TableRef, pumas: np.ndarray, column: str) -> dict[str, np.ndarray]:
    there = set(households.columns)
    made = {s.name: found for s in load_summaries() if (found := s.of_columns(there)) is not None}
    if left_out := sorted({s.name for s in load_summaries()} - set(made)):
        _log.info("ACS summaries without their column: %s", ", ".join(left_out))
    keys = ["weight", "state", column]
    needed = dict.fromkeys([*keys, *(name for s in made.values() for name in s.columns)])
    table = households.read(list(needed))
    place = find_pumas(pumas, column, table, "ACS households")
    return {name: summarize(table, place, len(pumas), summary) for name, summary in made.items()}


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.float64()).to_numpy()


def _float32(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.float32), from_pandas=True)
