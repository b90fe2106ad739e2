"""Spatial datasets brought to PUMAs: values of units to summaries of one PUMA definition.

Belongs here: weighted means, medians and shares of units by PUMA. Does not belong here: the schema of a dataset and
which of its vintages a year uses (`datasets.py`), reading files (`reading.py`), ranks (`predictors.py`).

A PUMA's summary is over the units that it crosses, weighed by the housing units of the intersection. Where units
with a value hold less than half of a PUMA's housing units, the PUMA has none.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.building import CENSUS
from fusion_pipeline.geography.concordance import states
from fusion_pipeline.geography.counties import facts, ground
from fusion_pipeline.geography.datasets import SpatialDataset, SpatialVariable, Unit
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.geography.relationships import TERRITORIES
from fusion_pipeline.geography.unit_values import UnitValues, read_vintages
from fusion_pipeline.storage.tables import categorical

VERSION = "2"
COVERED = 0.5
"""Least share of a PUMA's housing units in units with a value."""
_STRANGERS = 0.5
"""Share of a file's units that may be unknown to the concordance; more are a file of another census."""
Array = np.ndarray
_log = logging.getLogger(__name__)


@dataclass
class DatasetSummary:
    """Summaries by vintage and PUMA, and what had to be decided on the way."""

    table: pa.Table
    notes: dict[str, Any] = field(default_factory=dict)


def summarize_dataset(
    name: str, dataset: SpatialDataset, paths: Mapping[str, Path], concordance: pa.Table
) -> DatasetSummary:
    """Bring a dataset to PUMAs.

    Parameters
    ----------
    name : its name in the registry
    dataset : its entry
    paths : role -> raw file; vintages without files are left out
    concordance : of `build_concordance`; its PUMA definition is taken

    Returns
    -------
    DatasetSummary
        Its table has a row per `vintage` and PUMA (`state` and the definition's column), with the PUMA's housing units
        (`weight`) and float32 `<name>..<variable>`, null where there is no value.

    Raises
    ------
    GeographyError
        If a file is damaged, lacks its key, or most of its units are unknown to the concordance.
    """
    frames: list[pd.DataFrame] = []
    remarks: dict[str, list[str]] = {}
    pumas = puma_column(concordance.column_names, "concordance")
    crossings: dict[str, _Crossing | None] = {}
    for values in read_vintages(dataset, paths):
        column = _unit_column(dataset, values.vintage, pumas)
        if column not in crossings:
            crossings[column] = _Crossing.read(concordance, pumas, column, dataset.unit)
        crossing = crossings[column]
        if crossing is None:
            remark = f"left out, the concordance has no {column}"
        else:
            frame, counts = _by_puma(dataset, values, crossing, where=f"{name} {values.vintage} {pumas}")
            frames.append(frame.rename(columns={"puma": pumas}).assign(vintage=values.vintage))
            remark = "; ".join(f"{what}: {count}" for what, count in counts.items() if count)
        remarks.setdefault(remark or "all have values", []).append(values.vintage)
    empty = pd.DataFrame(columns=["vintage", "state", pumas, "weight"])
    table = pd.concat(frames, ignore_index=True) if frames else empty
    names = [variable.name for variable in dataset.every_variable]
    lacking = [column for column in names if column not in table or table[column].isna().all()]
    notes = {", ".join(vintages): remark for remark, vintages in remarks.items()}
    if lacking:
        notes["without any value"] = ", ".join(lacking)
    _log.info("%s: %d rows, %d of %d variables", name, len(table), len(names) - len(lacking), len(names))
    columns = {f"{name}..{variable}": variable for variable in names}
    return DatasetSummary(_as_table(table, pumas, columns), notes)


@dataclass(frozen=True)
class _Crossing:
    """Housing units of every PUMA in every unit that it crosses."""

    state: Array
    puma: Array
    total: Array
    """(P,) of the PUMAs, in order of state and PUMA."""
    place: Array
    unit: Array
    weight: Array
    """(C,) of the crossings: position of the PUMA, position of the unit, housing units. Pieces in no unit have none."""
    units: pd.Index

    @classmethod
    def read(cls, concordance: pa.Table, pumas: str, column: str, unit: Unit) -> _Crossing | None:
        if column not in concordance.column_names:
            return None
        text = {c: concordance[c].cast(pa.string()).to_pandas() for c in {"state", pumas, column}}
        weight = concordance["weight"].to_numpy()
        place, labels = pd.factorize(text["state"] + text[pumas], sort=True)
        code, units = pd.factorize(
            text["state"] + text[column] if unit == "puma" else text[column], sort=True
        )
        # Pieces of one unit in one PUMA are one crossing.
        pair, inside = place * (len(units) + 1) + code, code >= 0
        crossing, of_piece = np.unique(pair[inside], return_inverse=True)
        return cls(
            labels.str[:2].to_numpy(),
            labels.str[2:].to_numpy(),
            np.bincount(place, weights=weight),
            *np.divmod(crossing, len(units) + 1),
            np.bincount(of_piece, weights=weight[inside], minlength=len(crossing)),
            pd.Index(units),
        )

    def of_units(self, known: pd.Index, values: Array) -> Array:
        """Give every crossing the value of its unit."""
        rows = known.get_indexer(self.units)
        return np.append(values, np.nan)[rows][self.unit]


def _unit_column(dataset: SpatialDataset, vintage: str, pumas: str) -> str:
    """Name the column of the concordance that has the units of a vintage, in the codes of its census.

    Counties and ZIP codes hardly change between censuses: those of the PUMAs' own are taken.
    """
    own = dataset.census_of(vintage) == CENSUS[pumas]
    match dataset.unit:
        case "puma":
            return pumas if own else "other_puma"
        case "tract" | "block_group":
            return "tract" if own else "other_tract"
        case unit:
            return unit


def _by_puma(
    dataset: SpatialDataset, values: UnitValues, crossing: _Crossing, where: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Summaries of every PUMA, and what was matched."""
    outside = values.units.str[:2].isin(TERRITORIES) & (dataset.unit != "zcta")
    inside, known = values.units[~outside], crossing.units
    # Counties by the ground they share: their codes change between censuses.
    same = (
        ground(inside.to_series()).isin(ground(known.to_series()))
        if dataset.unit == "county"
        else inside.isin(known)
    )
    strange = inside[~np.asarray(same)]
    share = len(strange) / max(len(inside), 1)
    # A ZIP code need not be an area; and a small concordance knows few units.
    if dataset.unit != "zcta" and share > _STRANGERS and len(set(crossing.state)) == len(states()):
        raise GeographyError(
            where,
            f"{share:.0%} of its units are not in the concordance, such as {strange[0]}.",
            "Correct `census` of the dataset in registry.yaml: these are codes of another census.",
        )
    frame = pd.DataFrame({"state": crossing.state, "puma": crossing.puma, "weight": crossing.total})
    summaries = {}
    for variable in dataset.every_variable:
        if variable.name not in values.columns:
            continue
        given = values.columns[variable.name]
        if dataset.unit == "county":
            of_known = facts(known.to_series(), pd.Series(given, index=values.units))
            given = crossing.of_units(known, of_known.to_numpy(np.float64))
        else:
            given = crossing.of_units(values.units, given)
        summaries[variable.name] = _summary(given, crossing, variable)
    counts = {
        "units in territories": int(outside.sum()),
        "units unknown to the concordance": len(strange),
        "cells without value": values.lacking,
        "PUMAs without value": {n: int(np.isnan(s).sum()) for n, s in summaries.items() if np.isnan(s).any()},
    }
    return frame.assign(**summaries), counts


def _summary(values: Array, crossing: _Crossing, variable: SpatialVariable) -> Array:
    there, place, total = ~np.isnan(values), crossing.place, crossing.total
    w = np.where(there, crossing.weight, 0.0)
    known = np.bincount(place, weights=w, minlength=len(total))
    if variable.statistic == "median":
        result = _medians(values[there], w[there], place[there], len(total))
    else:
        weighted = np.bincount(place, weights=w * np.nan_to_num(values), minlength=len(total))
        result = np.divide(weighted, known, out=np.full(len(total), np.nan), where=known > 0)
    return np.where(known >= COVERED * total, result, np.nan).astype(np.float32)


def _medians(values: Array, weight: Array, place: Array, n: int) -> Array:
    """Weighted median by place: the smallest value with half of the weight at or below it."""
    order = np.lexsort((values, place))
    values, weight, place = values[order], weight[order], place[order]
    total = np.bincount(place, weights=weight, minlength=n)
    before = np.concatenate([[0.0], np.cumsum(total)])
    inside = np.cumsum(weight) - before[place]
    reached = inside >= total[place] / 2 - 1e-9
    result = np.full(n, np.nan)
    first = np.flatnonzero(reached & ~np.concatenate([[False], reached[:-1] & (place[1:] == place[:-1])]))
    result[place[first]] = values[first]
    return result


def _as_table(frame: pd.DataFrame, pumas: str, names: Mapping[str, str]) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for name in ("vintage", "state", pumas):
        levels = sorted(frame[name].unique())
        columns[name] = categorical(pd.Categorical(frame[name], categories=levels).codes, levels)
    columns["weight"] = pa.array(frame["weight"].to_numpy(np.float64))
    for name, variable in names.items():
        values = frame[variable] if variable in frame else np.full(len(frame), np.nan)
        columns[name] = pa.array(np.asarray(values, dtype=np.float32), from_pandas=True)
    return pa.table(columns)
