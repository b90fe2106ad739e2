"""Spatial predictors: what is known of every PUMA, and attaching it to households.

Belongs here: joining the sources into one table a year, attaching it, and choosing what is usable for a pair.
Does not belong here: reading the sources (`sources.py`, `summaries.py`).

Names are `<source>..<variable>`: `acs..` summaries of ACS households by PUMA, `eia..` residential energy
prices by state (dollars per million Btu), `noaa..` degree-day normals by state (Ummel et al. 2024, Table 1).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from fusion_pipeline.geography.concordance import find_pumas, puma_ids
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.geography.sources import degree_days, energy_prices
from fusion_pipeline.geography.summaries import load_summaries, summarize
from fusion_pipeline.storage.tables import TableRef

VERSION = "3"
MARK = ".."
_log = logging.getLogger(__name__)


def puma_predictors(
    households: TableRef, concordance: pa.Table, seds: Path, heating: Path, cooling: Path, year: int
) -> pa.Table:
    """Collect the spatial predictors of every PUMA for one ACS year.

    Parameters
    ----------
    households : standardized ACS households; only the columns needed are read
    concordance : of `build_concordance`
    seds : EIA's price file
    heating, cooling : NOAA's annual degree-day normals
    year : int
        Year of the prices.

    Returns
    -------
    One row a PUMA of the concordance, ordered by state and PUMA: `state`, its PUMA column, then float32 predictors.
    ACS summaries are null for PUMAs without the households they are about, prices are null where none is
    sold.

    Raises
    ------
    GeographyError
        If a file is damaged or incomplete, or a household's PUMA is not in the concordance.
    """
    ids = puma_ids(concordance, "concordance")
    unique, first = np.unique(ids, return_index=True)
    puma = puma_column(concordance.column_names, "concordance")
    columns = {name: concordance[name].take(pa.array(first)).combine_chunks() for name in ("state", puma)}
    for name, values in _acs_predictors(households, unique, puma).items():
        columns[f"acs{MARK}{name}"] = _float32(values)
    fips = columns["state"].cast(pa.string()).to_pylist()
    by_state: dict[str, Mapping[str, float | None]] = {
        f"eia{MARK}{fuel}": prices for fuel, prices in energy_prices(seds, year).items()
    }
    by_state[f"noaa{MARK}hdd"] = degree_days(heating)
    by_state[f"noaa{MARK}cdd"] = degree_days(cooling)
    for name, values_by_state in by_state.items():
        columns[name] = pa.array([values_by_state[code] for code in fips], pa.float32())
    _log.info("spatial predictors %d: %d of %d PUMAs", year, len(columns) - 2, len(unique))
    return pa.table(columns)


def attach_predictors(table: pa.Table, predictors: pa.Table) -> pa.Table:
    """Append the predictors of its PUMA to every row.

    Raises
    ------
    GeographyError
        If a row's PUMA has no predictors.
    """
    column = puma_column(predictors.column_names, "predictors")
    known = puma_ids(predictors, "predictors")
    rows = pa.array(find_pumas(known, column, table, "households"))
    for name in predictors.column_names:
        if MARK in name:
            table = table.append_column(name, predictors[name].take(rows))
    return table


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


def _float32(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.float32), from_pandas=True)
