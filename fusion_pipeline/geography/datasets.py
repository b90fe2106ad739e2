"""Spatial datasets as the registry declares them: raw files, units, vintages and variables.

Belongs here: the schema of an entry under `spatial:` in `registry.yaml`, which is all that a new dataset takes, and
which of its vintages a year uses. Does not belong here: reading the files (`reading.py`), summaries by PUMA
(`dataset_summaries.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from fusion_pipeline.raw.entries import Model, RawFile

ALWAYS = "always"
"""Vintage of what does not change."""
DatasetName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Census = Literal["2010", "2020"]
Unit = Literal["state", "county", "tract", "block_group", "zcta", "puma"]
_RANGE = re.compile(r"(\d{4})\.\.(\d{4})")


class SourceTable(Model):
    """A raw table of a dataset, one file a vintage or one of all vintages."""

    file: RawFile
    """Its name and address may hold `{vintage}`, `{yy}` for the last two digits and `{record}`: a file a vintage."""
    records: dict[str, str] = Field(default_factory=dict)
    """Vintage -> what its publisher's address has in place of `{record}`."""
    layout: Literal["columns", "series", "stations"] = "columns"
    """Rows are units and columns are variables; or rows are units and series and columns are years (`item` names the
    series); or NOAA's fixed-width normals, a station a line."""
    key: tuple[str, ...] = ()
    """Columns whose codes, joined, name the unit; what other versions of the file call a column follows a `|`. A code
    after `US` in a Census GEO_ID counts from there."""
    codes: Literal["fips", "usps", "noaa"] = "fips"
    """How states are named."""
    item: str | None = None
    weight: str | None = None
    """Column that weighs the rows of one unit, such as housing units of a tract's block groups."""


class SpatialVariable(Model):
    """One spatial predictor."""

    name: DatasetName
    of: str
    """Column, series or, for stations, table."""
    per: str | None = None
    """Column to divide by; both are summed over the rows of a unit first."""
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Rows that `of` is summed over: column -> its codes."""
    statistic: Literal["mean", "median", "share"] = "mean"
    """Of the units in a PUMA, by housing units; of a unit's rows as well, if it has several."""
    levels: tuple[str, ...] = ()
    """Codes that a share counts."""
    factor: float = 1.0
    positive: bool = False
    """Zero means that there is none: no value."""
    table: str | None = None
    """Which table it is in; else the rows of all tables of the dataset are taken together."""

    @model_validator(mode="after")
    def _levels_with_share(self) -> SpatialVariable:
        if bool(self.levels) != (self.statistic == "share"):
            raise ValueError(f"{self.name}: a share, and only a share, has levels")
        return self


class SpatialDataset(Model):
    """A dataset with national coverage, brought to PUMAs by the housing units of intersections."""

    description: str
    unit: Unit
    census: dict[Census, int] = Field(default_factory=lambda: dict[Census, int]({"2010": 0}))
    """Whose codes the units have: census -> first vintage with its codes."""
    tables: dict[DatasetName, SourceTable]
    vintages: tuple[str, ...]
    """Years, `2020-2024`, `2010..2019` for one a year, or `always`."""
    window: int = Field(default=2, ge=0)
    """How many years a vintage may lie from the year it is used for."""
    missing: tuple[float, ...] = ()
    """Numbers that stand for no value."""
    variables: tuple[SpatialVariable, ...] = ()
    columns: tuple[str, ...] = ()
    """Columns that are variables as they are, named in lower case."""

    @field_validator("vintages", mode="before")
    @classmethod
    def _years(cls, given: Sequence[object]) -> list[str]:
        years: list[str] = []
        for entry in map(str, given):
            match = _RANGE.fullmatch(entry)
            years += [str(y) for y in range(int(match[1]), int(match[2]) + 1)] if match else [entry]
        return years

    @model_validator(mode="after")
    def _holds_together(self) -> SpatialDataset:
        names = [v.name for v in self.every_variable]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{sorted(repeated)} is named twice")
        for variable in self.every_variable:
            if variable.table is not None and variable.table not in self.tables:
                raise ValueError(f"{variable.name}: there is no table {variable.table}")
        if ALWAYS in self.vintages and len(self.vintages) > 1:
            raise ValueError("what is always true has no other vintage")
        for name, table in self.tables.items():
            if (table.layout == "series") != (table.item is not None) or (
                table.layout != "stations" and not table.key
            ):
                raise ValueError(f"{name}: a table has a key, and series an item")
        return self

    @property
    def every_variable(self) -> tuple[SpatialVariable, ...]:
        """Declared variables, then those of `columns`."""
        own = (SpatialVariable(name=column.lower(), of=column) for column in self.columns)
        return (*self.variables, *own)

    @property
    def files(self) -> dict[str, RawFile]:
        """Raw files by role: the table, and its vintage where each has a file of its own."""
        files = {}
        for name, table in self.tables.items():
            for vintage in self.vintages:
                url = table.file.url.replace("{record}", table.records.get(vintage, ""))
                changes = {"name": _fill(table.file.name, vintage), "url": _fill(url, vintage)}
                files[self.role(name, vintage)] = table.file.model_copy(update=changes)
        return files

    def role(self, table: str, vintage: str) -> str:
        """Role of the file that holds a vintage of a table."""
        name = self.tables[table].file.name
        return f"{table}_{vintage.replace('-', '_')}" if _fill(name, vintage) != name else table

    def census_of(self, vintage: str) -> str:
        """Census whose codes the units of a vintage have."""
        year = None if vintage == ALWAYS else years_of(vintage)[-1]
        known = sorted((first, census) for census, first in self.census.items())
        return [census for first, census in known if year is None or first <= year][-1]


def years_of(vintage: str) -> range:
    """Years that a vintage is about: one, or those of a period."""
    first, _, last = vintage.partition("-")
    return range(int(first), int(last or first) + 1)


def choose_vintage(vintages: Sequence[str], year: int, window: int) -> str | None:
    """Choose the vintage of a dataset that stands for a year.

    Parameters
    ----------
    vintages : those there are
    year : int
    window : int
        Largest distance in years.

    Returns
    -------
    `always` if that is what there is; a vintage about the year; else the nearest within the window, the earlier of two;
    beyond the first and the last vintage, that one, however far. None in a gap between vintages that the window
    does not close.

    Notes
    -----
    Window and preference are those of the paper's data; the edges are extended as fusionData does since.
    """
    if ALWAYS in vintages:
        return ALWAYS
    if not vintages:
        return None
    spans = {vintage: years_of(vintage) for vintage in vintages}
    distance = {v: max(y[0] - year, year - y[-1], 0) for v, y in spans.items()}
    nearest = min(vintages, key=lambda v: (distance[v], spans[v][0]))
    first, last = min(y[0] for y in spans.values()), max(y[-1] for y in spans.values())
    return nearest if distance[nearest] <= window or not first <= year <= last else None


def _fill(text: str, vintage: str) -> str:
    return text.replace("{vintage}", vintage).replace("{yy}", vintage[2:4])
