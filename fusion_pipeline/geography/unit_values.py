"""Values of states, counties, tracts and ZIP codes from a dataset's raw tables.

Belongs here: what the registry's entry says of a table, applied: which rows are a unit, what a variable is of them.
Does not belong here: reading files (`reading.py`), bringing units to PUMAs (`dataset_summaries.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.concordance import states
from fusion_pipeline.geography.datasets import SourceTable, SpatialDataset, SpatialVariable
from fusion_pipeline.geography.reading import read_columns, read_stations
from fusion_pipeline.geography.relationships import geoid

Array = np.ndarray
# Columns of our own beside the publisher's, by names that none has.
_CODE, _UNIT = "(code)", "(unit)"
_WIDTHS = {"puma": (2, 5), "block_group": (2, 3, 6, 1), "tract": (2, 3, 6), "county": (2, 3)}
"""Digits of the columns that make a unit's code."""


@dataclass
class UnitValues:
    """Values of the units of one vintage."""

    vintage: str
    units: pd.Index
    columns: dict[str, Array] = field(default_factory=dict)
    """Variable -> (n_units,) float64, NaN where there is no value."""
    lacking: dict[str, int] = field(default_factory=dict)
    """Variable -> cells of the raw rows that hold no value: blank, suppressed, text."""


def read_vintages(dataset: SpatialDataset, paths: Mapping[str, Path]) -> Iterator[UnitValues]:
    """Read the vintages whose files are at hand, in the order of the entry.

    Parameters
    ----------
    dataset : entry of the registry
    paths : role -> file

    Raises
    ------
    GeographyError
        If a file is damaged, lacks its key, or has a unit's series twice.
    """
    # What no variable is of is not for predictors.
    read = {variable.table for variable in dataset.every_variable}
    tables = {name: table for name, table in dataset.tables.items() if read & {None, name}}
    series = {
        name: _series(dataset, table, paths[name])
        for name, table in tables.items()
        if table.layout == "series" and name in paths
    }
    for vintage in dataset.vintages:
        rows: dict[str, pd.DataFrame] = {}
        for name, table in tables.items():
            if name in series:
                if vintage in series[name]:
                    rows[name] = series[name][vintage]
            elif (role := dataset.role(name, vintage)) in paths:
                rows[name] = _rows(dataset, table, paths[role])
        values = _values(dataset, rows, vintage)
        if len(values.units):
            yield values


def _series(dataset: SpatialDataset, table: SourceTable, path: Path) -> dict[str, pd.DataFrame]:
    """Rows of a table of series by vintage: a row a unit, a column a series."""
    key, item = table.key[0], str(table.item)
    raw = read_columns(path, [key, item, *dataset.vintages], required=[key, item])
    raw = raw[raw[item].isin({_first(v.of) for v in dataset.every_variable})]
    if (twice := raw.duplicated([key, item])).any():
        row = raw[twice].iloc[0]
        raise GeographyError(
            path.name, f"has {item} {row[item]} of {row[key]} more than once.", "Fetch the file again."
        )
    wide = raw.set_index([key, item]).unstack(item)  # noqa: PD010 - nothing to aggregate: keys are unique
    return {
        vintage: _named(wide[vintage].rename_axis(_CODE).reset_index(), table)
        for vintage in dataset.vintages
        if vintage in raw
    }


def _rows(dataset: SpatialDataset, table: SourceTable, path: Path) -> pd.DataFrame:
    """Rows of a table with their `unit`."""
    if table.layout == "stations":
        stations = read_stations(path)
        # Cooperative stations only: their numbers begin with the state's.
        stations = stations[stations["station"].str.startswith("USC00")]
        return _named(stations.assign(**{_CODE: stations["station"].str[5:7]}), table)
    variables = [v for v in dataset.every_variable if v.table is None or dataset.tables[v.table] is table]
    asked = [c for v in variables for c in (v.of, *([v.per] if v.per else []), *v.where)]
    asked += [table.weight] if table.weight else []
    raw = read_columns(path, list(dict.fromkeys([*table.key, *asked])), required=table.key)
    parts = [raw[_first(column)] for column in table.key]
    if len(parts) == 1:
        code = geoid(parts[0], dataset.unit)
        code = code.str.zfill(5) if dataset.unit == "zcta" else code
    else:
        # Leading zeros, which a spreadsheet may have dropped.
        code = pd.Series("", index=raw.index)
        for part, width in zip(parts, _WIDTHS[dataset.unit], strict=True):
            code = code + part.str.zfill(width)
    # All that a concordance knows of a block group's place is its tract.
    code = code.str[:11] if dataset.unit == "block_group" else code
    return _named(raw.assign(**{_CODE: code})[code != ""], table)


def _named(rows: pd.DataFrame, table: SourceTable) -> pd.DataFrame:
    """Name states by FIPS, whatever the file calls them. A code that two states share counts for both."""
    if table.codes == "fips":
        return rows.rename(columns={_CODE: _UNIT})
    known = pd.DataFrame(
        [(getattr(state, table.codes), state.fips) for state in states().values()], columns=[_CODE, _UNIT]
    )
    return rows.merge(known, on=_CODE).drop(columns=_CODE)


def _values(dataset: SpatialDataset, rows: Mapping[str, pd.DataFrame], vintage: str) -> UnitValues:
    units = pd.Index(sorted({unit for frame in rows.values() for unit in frame[_UNIT].unique()}))
    result = UnitValues(vintage, units)
    tables: dict[str | None, _Table] = {
        name: _Table(frame, units, dataset.missing) for name, frame in rows.items()
    }
    if rows:
        tables[None] = _Table(pd.concat(rows.values(), ignore_index=True), units, dataset.missing)
    for variable in dataset.every_variable:
        table = tables.get(variable.table)
        if table is None or _first(variable.of) not in table.rows:
            continue
        weight = dataset.tables[variable.table or next(iter(dataset.tables))].weight
        result.columns[variable.name], lacking = table.of_units(variable, weight)
        if lacking:
            result.lacking[variable.name] = lacking
    return result


class _Table:
    """Rows of a raw table, and which unit each is of."""

    def __init__(self, rows: pd.DataFrame, units: pd.Index, missing: tuple[float, ...]) -> None:
        self.rows, self.n, self.missing = rows, len(units), missing
        self.unit = units.get_indexer(pd.Index(rows[_UNIT]))
        self._numbers: dict[str, Array] = {}

    def of_units(self, variable: SpatialVariable, weight: str | None) -> tuple[Array, int]:
        """Value of every unit, and how many rows have none."""
        of = self.rows[_first(variable.of)]
        if variable.statistic == "share":
            values = np.where(of == "", np.nan, of.isin(variable.levels).to_numpy(np.float64))
        else:
            values = self._number(_first(variable.of))
            values = np.where(values > 0, values, np.nan) if variable.positive else values
        lacking = int(np.isnan(values).sum())
        for column, codes in variable.where.items():
            values = np.where(self.rows[_first(column)].isin(codes), values, 0.0)
        if variable.per:
            known = np.where(np.isnan(values), np.nan, self._number(_first(variable.per)))
            result = _ratio(self._sum(values), self._sum(known))
        elif weight and _first(weight) in self.rows:
            w = np.where(np.isnan(values), 0.0, self._number(_first(weight)))
            result = _ratio(self._sum(values * w), self._sum(w))
        elif variable.statistic == "median":
            medians = pd.Series(values).groupby(self.unit).median()
            result = np.full(self.n, np.nan)
            result[medians.index.to_numpy()] = medians.to_numpy()
        else:
            result = _ratio(self._sum(values), self._sum((~np.isnan(values)).astype(np.float64)))
        return result * variable.factor, lacking

    def _number(self, column: str) -> Array:
        if column not in self._numbers:
            text = self.rows[column].to_numpy(dtype=object)
            values = np.asarray(pd.to_numeric(text, errors="coerce"), dtype=np.float64)
            self._numbers[column] = np.where(np.isin(values, self.missing), np.nan, values)
        return self._numbers[column]

    def _sum(self, values: Array) -> Array:
        return np.bincount(self.unit, weights=np.nan_to_num(values), minlength=self.n)


def _ratio(numerator: Array, denominator: Array) -> Array:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def _first(column: str) -> str:
    return column.split("|")[0]
