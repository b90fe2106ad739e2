"""Spatial datasets brought to PUMAs: raw tables to values of units, and these to summaries of both PUMA definitions.

Belongs here: values of states, counties, tracts, ZIP codes, and their weighted means, medians and shares. Does not
belong here: the schema of a dataset (`datasets.py`), reading files (`reading.py`), which vintage a year uses
(`datasets.py`), ranks (`predictors.py`).

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
from fusion_pipeline.geography.counties import facts
from fusion_pipeline.geography.datasets import SourceTable, SpatialDataset, SpatialVariable, Unit
from fusion_pipeline.geography.reading import read_columns, read_stations
from fusion_pipeline.geography.relationships import TERRITORIES, geoid
from fusion_pipeline.storage.tables import categorical

VERSION = "1"
COVERED = 0.5
"""Least share of a PUMA's housing units in units with a value."""
_STRANGERS = 0.5
"""Share of a file's units that may be unknown to the concordance; more are a file of another census."""
# NOAA's sign for a value that is not zero but rounds to it.
_ROUNDS_TO_ZERO = -7777
Array = np.ndarray
_log = logging.getLogger(__name__)


@dataclass
class DatasetSummary:
    """Summaries by PUMA definition, vintage and PUMA, and what had to be decided on the way."""

    table: pa.Table
    notes: dict[str, Any] = field(default_factory=dict)


def summarize_dataset(
    name: str, dataset: SpatialDataset, paths: Mapping[str, Path], concordances: Mapping[str, pa.Table]
) -> DatasetSummary:
    """Bring a dataset to PUMAs.

    Parameters
    ----------
    name : its name in the registry
    dataset : its entry
    paths : role -> raw file; vintages without files are left out
    concordances : PUMA definition -> its concordance

    Returns
    -------
    DatasetSummary
        Its table has a row per PUMA definition (`pumas`), `vintage` and PUMA (`state`, `puma`), with the PUMA's
        housing units (`weight`) and float32 `<name>..<variable>`, null where there is no value.

    Raises
    ------
    GeographyError
        If a file is damaged, lacks its key, or most of its units are unknown to the concordance.
    """
    frames: list[pd.DataFrame] = []
    remarks: dict[str, list[str]] = {}
    names = [f"{name}..{variable.name}" for variable in dataset.every_variable]
    crossings: dict[tuple[str, str], _Crossing | None] = {}
    for vintage in dataset.vintages:
        there = {t: paths[r] for t in dataset.tables if (r := dataset.role(t, vintage)) in paths}
        values, suppressed = _values(dataset, there, vintage)
        if values.empty:
            continue
        outside = values.index.str[:2].isin(TERRITORIES) & (dataset.unit != "zcta")
        for pumas, concordance in concordances.items():
            column = _unit_column(dataset, vintage, pumas)
            if (pumas, column) not in crossings:
                crossings[pumas, column] = _Crossing.read(concordance, pumas, column, dataset.unit)
            crossing = crossings[pumas, column]
            if crossing is None:
                remarks.setdefault(f"left out, the concordance has no {column}", []).append(
                    f"{vintage} {pumas}"
                )
                continue
            frame, counts = _by_puma(dataset, values[~outside], crossing, where=f"{name} {vintage}, {pumas}")
            counts |= {"units in territories": int(outside.sum()), "cells without value": suppressed}
            remark = "; ".join(f"{what}: {count}" for what, count in counts.items() if count)
            remarks.setdefault(remark, []).append(f"{vintage} {pumas}")
            frame = frame.rename(columns={v.name: f"{name}..{v.name}" for v in dataset.every_variable})
            frames.append(frame.assign(pumas=pumas, vintage=vintage))
    empty = pd.DataFrame(columns=["pumas", "vintage", "state", "puma", "weight"])
    table = pd.concat(frames, ignore_index=True) if frames else empty
    lacking = [column for column in names if column not in table or table[column].isna().all()]
    notes = {", ".join(vintages): remark for remark, vintages in remarks.items()}
    if lacking:
        notes["without any value"] = ", ".join(lacking)
    _log.info("%s: %d rows, %d of %d variables", name, len(table), len(names) - len(lacking), len(names))
    return DatasetSummary(_as_table(table, names), notes)


@dataclass(frozen=True)
class _Crossing:
    """Housing units of every PUMA in every unit that it crosses."""

    state: Array
    puma: Array
    total: Array
    """(P,) of the PUMAs, in order of state and PUMA."""
    place: Array
    unit: pd.Series
    weight: Array
    """(C,) of the crossings: position of the PUMA, unit, housing units. Pieces in no unit have none."""

    @classmethod
    def read(cls, concordance: pa.Table, pumas: str, column: str, unit: Unit) -> _Crossing | None:
        if column not in concordance.column_names:
            return None
        text = {c: concordance[c].cast(pa.string()).to_pandas() for c in {"state", pumas, column}}
        code = text["state"] + text[column] if unit == "puma" else text[column]
        weight = pd.Series(concordance["weight"].to_numpy())
        total = weight.groupby(text["state"] + text[pumas]).sum()
        crossing = weight.groupby([text["state"] + text[pumas], code]).sum()
        labels = total.index.to_series()
        return cls(
            labels.str[:2].to_numpy(),
            labels.str[2:].to_numpy(),
            total.to_numpy(),
            total.index.get_indexer(crossing.index.get_level_values(0)),
            pd.Series(crossing.index.get_level_values(1)),
            crossing.to_numpy(),
        )


def _values(
    dataset: SpatialDataset, paths: Mapping[str, Path], vintage: str
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Values of every unit, one column a variable; and how many cells of the raw rows hold none, by variable."""
    rows = {table: _rows(dataset, dataset.tables[table], path, vintage) for table, path in paths.items()}
    columns, suppressed = {}, {}
    for variable in dataset.every_variable:
        of = [variable.table] if variable.table else list(rows)
        present = [rows[t] for t in of if t in rows and _first(variable.of) in rows[t]]
        if not present:
            continue
        frame = pd.concat(present, ignore_index=True)
        weight = dataset.tables[of[0]].weight
        columns[variable.name], missing = _of_units(frame, variable, dataset.missing, weight)
        if missing:
            suppressed[variable.name] = missing
    return pd.DataFrame(columns), suppressed


def _rows(dataset: SpatialDataset, table: SourceTable, path: Path, vintage: str) -> pd.DataFrame:
    """Rows of a raw table with their `unit`; of series, one column a series."""
    if table.layout == "stations":
        stations = read_stations(path)
        # Cooperative stations only: their numbers begin with the state's.
        stations = stations[stations["station"].str.startswith("USC00")]
        return _named_states(stations.assign(code=stations["station"].str[5:7]), table)
    if table.layout == "series":
        key, item = table.key[0], str(table.item)
        raw = read_columns(path, [key, item, vintage], required=[key, item])
        if vintage not in raw:
            return pd.DataFrame({"unit": []})
        wanted = raw[item].isin({_first(v.of) for v in dataset.every_variable})
        if (twice := raw[wanted].duplicated([key, item])).any():
            row = raw[wanted][twice].iloc[0]
            raise GeographyError(
                path.name, f"has {item} {row[item]} of {row[key]} more than once.", "Fetch the file again."
            )
        wide = raw[wanted].pivot_table(index=key, columns=item, values=vintage, aggfunc="first").reset_index()
        return _named_states(wide.rename(columns={key: "code"}), table)
    variables = [v for v in dataset.every_variable if v.table is None or dataset.tables[v.table] is table]
    asked = [c for v in variables for c in (v.of, *([v.per] if v.per else []), *v.where)]
    asked += [table.weight] if table.weight else []
    raw = read_columns(path, list(dict.fromkeys([*table.key, *asked])), required=table.key)
    parts = [raw[_first(column)] for column in table.key]
    code = geoid(parts[0], dataset.unit) if len(parts) == 1 else _padded(parts, dataset)
    if dataset.unit == "zcta":
        code = code.str.zfill(5)
    # All that a concordance knows of a block group's place is its tract.
    code = code.str[:11] if dataset.unit == "block_group" else code
    return _named_states(raw.assign(code=code)[code != ""], table)


def _padded(parts: list[pd.Series], dataset: SpatialDataset) -> pd.Series:
    """Join the columns of a code, with the leading zeros that a spreadsheet may have dropped."""
    widths = [2, 5] if dataset.unit == "puma" else [2, 3, 6, 1]
    code = parts[0].str.zfill(widths[0])
    for part, width in zip(parts[1:], widths[1:], strict=False):
        code = code + part.str.zfill(width)
    return code


def _named_states(rows: pd.DataFrame, table: SourceTable) -> pd.DataFrame:
    """Name the units: states by FIPS, whatever the file calls them. A code that two states share counts for both."""
    if table.codes == "fips":
        return rows.rename(columns={"code": "unit"})
    known = pd.DataFrame(
        [(getattr(state, table.codes), state.fips) for state in states().values()], columns=["code", "unit"]
    )
    return rows.merge(known, on="code").drop(columns="code")


def _of_units(
    rows: pd.DataFrame, variable: SpatialVariable, missing: tuple[float, ...], weight: str | None
) -> tuple[pd.Series, int]:
    """Value of every unit."""
    unit, of = rows["unit"], rows[_first(variable.of)]
    if variable.statistic == "share":
        values = of.isin(variable.levels).astype(float).where(of != "")
    else:
        values = _number(of, missing)
        values = values.where(values > 0) if variable.positive else values
    lacking = int(values.isna().sum())
    for column, codes in variable.where.items():
        values = values.where(rows[column].isin(codes), 0.0)
    if variable.per:
        total = _number(rows[_first(variable.per)], missing).groupby(unit).sum()
        result = values.groupby(unit).sum(min_count=1) / total.where(total > 0)
    elif weight and weight in rows:
        w = _number(rows[weight], missing).fillna(0.0).where(values.notna(), 0.0)
        result = (values.fillna(0.0) * w).groupby(unit).sum() / w.groupby(unit).sum().replace(0.0, np.nan)
    elif variable.statistic == "median":
        result = values.groupby(unit).median()
    else:
        result = values.groupby(unit).mean()
    return result * variable.factor, lacking


def _number(text: pd.Series, missing: tuple[float, ...]) -> pd.Series:
    values = pd.to_numeric(text, errors="coerce").astype(np.float64)
    values = values.mask(values.isin(missing))
    return values.mask(values == _ROUNDS_TO_ZERO, 0.0) if missing and min(missing) == -9999 else values


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
    dataset: SpatialDataset, values: pd.DataFrame, crossing: _Crossing, where: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Summaries of every PUMA, and what was matched."""
    known = pd.Series(crossing.unit.unique())
    strange = values.index[~values.index.isin(known)]
    if dataset.unit == "county":
        values = values.apply(lambda column: facts(known, column).set_axis(known))
    share = len(strange) / max(len(values), 1)
    # A ZIP code need not be an area; and a small concordance knows few units.
    if dataset.unit != "zcta" and share > _STRANGERS and len(set(crossing.state)) == len(states()):
        raise GeographyError(
            where,
            f"{share:.0%} of its units are not in the concordance, such as {strange[0]}.",
            "Correct `census` of the dataset in registry.yaml: these are codes of another census.",
        )
    frame = pd.DataFrame({"state": crossing.state, "puma": crossing.puma, "weight": crossing.total})
    for variable in dataset.every_variable:
        if variable.name in values:
            given = crossing.unit.map(values[variable.name]).to_numpy(np.float64)
            frame[variable.name] = _summary(given, crossing, variable)
    lacking = {c: int(frame[c].isna().sum()) for c in frame.columns[3:] if frame[c].isna().any()}
    counts = {"units unknown to the concordance": len(strange), "PUMAs without value": lacking}
    return frame, counts


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


def _as_table(frame: pd.DataFrame, names: list[str]) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for name in ("pumas", "vintage", "state", "puma"):
        levels = sorted(frame[name].unique())
        columns[name] = categorical(pd.Categorical(frame[name], categories=levels).codes, levels)
    columns["weight"] = pa.array(frame["weight"].to_numpy(np.float64))
    for name in names:
        values = frame[name] if name in frame else np.full(len(frame), np.nan)
        columns[name] = pa.array(np.asarray(values, dtype=np.float32), from_pandas=True)
    return pa.table(columns)


def _first(column: str) -> str:
    return column.split("|")[0]
