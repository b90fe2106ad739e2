"""Summaries of ACS households by PUMA, as declared in `acs_summaries.yaml`.

Belongs here: the schema of that file and the weighted means and shares. Does not belong here: other spatial
datasets (`dataset_summaries.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, model_validator

from fusion_pipeline.declared import read_declared
from fusion_pipeline.errors import GeographyError
from fusion_pipeline.storage.tables import codes_of, levels_of

PATH = Path(__file__).with_name("acs_summaries.yaml")
Array = np.ndarray


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Where(_Model):
    """Households that a summary is about."""

    column: str
    levels: tuple[str, ...]


class Summary(_Model):
    """One spatial predictor made from ACS households."""

    name: str
    column: str
    aliases: tuple[str, ...] = ()
    """Names of the same variable in other years; the first that a year has is taken."""
    statistic: Literal["mean", "share"]
    levels: tuple[str, ...] = ()
    after: str | None = None
    last: str | None = None
    where: Where | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns it is made from."""
        return (self.column,) if self.where is None else (self.column, self.where.column)

    def of_columns(self, there: Collection[str]) -> Summary | None:
        """Give the summary of a year by the household variables it has; none if it lacks what is summarized."""
        found = [name for name in (self.column, *self.aliases) if name in there]
        if not found or (self.where is not None and self.where.column not in there):
            return None
        return self.model_copy(update={"column": found[0], "aliases": ()})

    @model_validator(mode="after")
    def _levels_with_share(self) -> Summary:
        bounded = self.after is not None or self.last is not None
        if bool(self.levels) + bounded != (self.statistic == "share"):
            raise ValueError(f"{self.name}: a share, and only a share, has either levels or after and last")
        return self


@cache
def load_summaries(path: Path = PATH) -> tuple[Summary, ...]:
    """Read and validate the declared summaries.

    Raises
    ------
    RegistryError
        Naming the entry that contradicts the schema.
    """
    return read_declared(tuple[Summary, ...], path)


def summarize(households: pa.Table, place: Array, n_places: int, summary: Summary) -> Array:
    """Summarize a column by place.

    Parameters
    ----------
    households : table with `weight` and the summary's columns
    place : (n_households,) int, 0 .. n_places - 1
    n_places : int
    summary : what to compute

    Returns
    -------
    (n_places,) float32, NaN for places without a household the summary is about.

    Raises
    ------
    GeographyError
        If the column has none of the declared levels, or not that of `after` or `last`, or is not ordered.
    """
    weight = households["weight"].to_numpy().astype(np.float64)
    if summary.where is not None:
        weight = weight * _is_in(households, summary.where.column, summary.where.levels, summary.name)
    if summary.statistic == "share":
        wanted = summary.levels or _between(households, summary)
        values = _is_in(households, summary.column, wanted, summary.name)
    else:
        values = households[summary.column].cast(pa.float64()).to_numpy()
    weight = np.where(np.isnan(values), 0.0, weight)
    total = np.bincount(place, weights=weight, minlength=n_places)
    weighted = np.bincount(place, weights=weight * np.nan_to_num(values), minlength=n_places)
    return np.divide(weighted, total, out=np.full(n_places, np.nan), where=total > 0).astype(np.float32)


def _between(households: pa.Table, summary: Summary) -> tuple[str, ...]:
    """List the levels of an ordered column that come after one of the summary's, up to its last."""
    column = households[summary.column]
    if not (pa.types.is_dictionary(column.type) and column.type.ordered):
        raise GeographyError(
            f"ACS households, column {summary.column}",
            f"is no ordered category; the summary {summary.name!r} goes by the order of its levels.",
            f"Give its levels in {PATH.name}, or make the variable ordered in the codebook.",
        )
    levels = levels_of(column.unify_dictionaries())
    for level in (summary.after, summary.last):
        if level is not None and level not in levels:
            raise GeographyError(
                f"ACS households, column {summary.column}",
                f"has no level {level!r}, which bounds the summary {summary.name!r} (it has {levels}).",
                f"Correct {PATH.name}; labels are those of the ACS codebook.",
            )
    start = 0 if summary.after is None else levels.index(summary.after) + 1
    end = len(levels) if summary.last is None else levels.index(summary.last) + 1
    return tuple(levels[start:end])


def _is_in(households: pa.Table, name: str, wanted: tuple[str, ...], summary: str) -> Array:
    """1.0 where the column has one of the levels, NaN where it is missing."""
    column = households[name]
    if not pa.types.is_dictionary(column.type):
        raise GeographyError(
            f"ACS households, column {name}",
            f"is {column.type}; the summary {summary!r} needs levels.",
            f"Correct {PATH.name}, or make the variable categorical in the codebook.",
        )
    column = column.unify_dictionaries()
    levels = levels_of(column)
    if not set(wanted) & set(levels):
        raise GeographyError(
            f"ACS households, column {name}",
            f"has none of the levels {list(wanted)} of the summary {summary!r} (it has {levels[:8]}).",
            f"Correct {PATH.name}; labels are those of the ACS codebook.",
        )
    return np.array([*(float(level in wanted) for level in levels), np.nan])[codes_of(column)]
