"""Published figures that fused estimates are held against, as declared in `published.yaml`.

Belongs here: the schema of that file, and reading the figures of a benchmark. Does not belong here: estimates of a pair
(`pair_external.py`), how estimates and figures are compared (`external.py`), where raw files come from
(`spatial` in `registry.yaml`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fusion_pipeline.declared import read_declared
from fusion_pipeline.geography.concordance import areas, states
from fusion_pipeline.geography.datasets import SpatialDataset, SpatialVariable
from fusion_pipeline.geography.unit_values import read_vintages
from fusion_pipeline.registry import load_registry

PATH = Path(__file__).with_name("published.yaml")
AreaKind = Literal["nation", "region", "division", "state", "puma"]
NATION = "United States"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FromDataset(_Model):
    """Figures by state in the raw files of a spatial dataset of the registry."""

    dataset: str
    table: str
    column: str
    """Column or series."""
    positive: bool = False
    """Zero means that there is none: no figure."""


class FromRecipient(_Model):
    """What the recipient's households answered themselves to a question of their own survey."""

    estimand: str
    columns: tuple[str, ...] = Field(min_length=1)
    """Columns of the recipient's households that it needs."""


class Printed(_Model):
    """Figures that stand in a report."""

    values: dict[str, float | tuple[float, float]] = Field(min_length=1)
    """By area; a pair is a part and its whole, of which the share is the figure."""
    year: int
    of_donor: bool = False
    """The report is that of the donor survey: it says how well estimates travel, not whether the donor is right."""

    def of(self, area: str) -> float:
        """Give the figure of an area."""
        value = self.values[area]
        return value[0] / value[1] if isinstance(value, tuple) else value


class Source(_Model):
    """Who published a figure, where and when."""

    publisher: str
    title: str
    url: str
    date: str


class Expected(_Model):
    """What must hold, else a check warns; nothing is asked for that is not given."""

    correlation: float | None = Field(default=None, gt=0, le=1)
    """Least correlation over areas."""
    error: float | None = Field(default=None, gt=0)
    """Largest median absolute relative error."""
    inside: float | None = Field(default=None, gt=0, le=1)
    """Least share of figures inside the 90 % margin."""


class Benchmark(_Model):
    """A published figure by area, and the fused estimate that stands beside it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    unit: str
    area: AreaKind
    estimand: str
    """In the language of `analyze`."""
    fused: tuple[str, ...] = Field(min_length=1)
    """Fusion variables that it needs; the benchmark is of pairs that have them."""
    where: str | None = None
    """Of which households, as in `analyze`; it holds for the recipient's own answers too."""
    factor: float = 1.0
    """Turns the estimate into the unit of the figures."""
    figures: FromDataset | FromRecipient | Printed
    source: Source
    expect: Expected = Expected()
    caveat: str = ""
    """Why the two may differ even if the fusion is right."""

    @model_validator(mode="after")
    def _areas_are_known(self) -> Benchmark:
        if isinstance(self.figures, FromDataset) and self.area != "state":
            raise ValueError(f"{self.name}: figures of a dataset are by state")
        if isinstance(self.figures, Printed):
            known = {"nation": [NATION], "state": list(states())}
            there = known.get(self.area) or (areas(self.area) if self.area in ("region", "division") else [])
            if unknown := set(self.figures.values) - set(there):
                raise ValueError(f"{self.name}: {sorted(unknown)} are no areas of kind {self.area}")
        return self


class Published(_Model):
    """All of `published.yaml`."""

    benchmarks: tuple[Benchmark, ...]

    @model_validator(mode="after")
    def _names_are_unique_and_files_declared(self) -> Published:
        names = [benchmark.name for benchmark in self.benchmarks]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{sorted(repeated)} are declared twice")
        for benchmark in self.benchmarks:
            figures = benchmark.figures
            if isinstance(figures, FromDataset):
                dataset = load_registry().spatial.get(figures.dataset)
                if dataset is None or dataset.unit != "state" or figures.table not in dataset.tables:
                    raise ValueError(f"{benchmark.name}: no dataset by state has such a table: {figures}")
        return self


@cache
def load_published(path: Path = PATH) -> Published:
    """Read and validate the declared benchmarks.

    Raises
    ------
    RegistryError
        Naming the entry that contradicts the schema.
    """
    return read_declared(Published, path)


def dataset_figures(figures: FromDataset, year: int, files: Mapping[str, Path]) -> pd.DataFrame | str:
    """Read the figures of a year.

    Parameters
    ----------
    figures : of a benchmark
    year : int
    files : role -> raw file of the dataset, those that are at hand

    Returns
    -------
    Columns `area` (state FIPS) and `published`; or why there are none.

    Raises
    ------
    GeographyError
        If a file is damaged or lacks its key.
    """
    dataset = load_registry().spatial[figures.dataset]
    table = dataset.tables[figures.table]
    if str(year) not in dataset.vintages:
        return f"{figures.dataset} is not published for {year}"
    wanted = SpatialVariable(
        name="published", of=figures.column, table=figures.table, positive=figures.positive
    )
    narrowed: SpatialDataset = dataset.model_copy(
        update={
            "variables": (wanted,),
            "columns": (),
            "tables": {figures.table: table},
            "vintages": (str(year),),
        }
    )
    if not any(role in files for role in narrowed.files):
        return f"{table.file.name} is neither in mirror nor cache; `fusion fetch` gets it"
    for found in read_vintages(narrowed, files):
        frame = pd.DataFrame({"area": found.units, "published": found.columns["published"]})
        frame = frame[frame["published"].notna()].reset_index(drop=True)
        if len(frame):
            return frame
    return f"{table.file.name} has no {figures.column} of {year}"
