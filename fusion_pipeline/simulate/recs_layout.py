"""The official layout of RECS 2015: its columns in order, imputation flags and constants among them.

Belongs here: the schema of `recs_2015_layout.csv`, and completing a file to it. Does not belong here: what households
answer (`recs.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from fusion_pipeline.declared import read_rows

PATH = Path(__file__).with_name("recs_2015_layout.csv")
REPLICATES = 96
IMPUTED = 0.03
"""Share of answers that the publisher imputed, every item's alike."""


class Place(BaseModel):
    """A column of the file; its place is that of its row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    flag_of: str
    constant: str

    def names(self) -> tuple[str, ...]:
        """Return the column's name, or those of the replicate weights."""
        if "{}" not in self.column:
            return (self.column,)
        return tuple(self.column.format(number + 1) for number in range(REPLICATES))


@cache
def load_layout() -> tuple[Place, ...]:
    """Read and validate the places of all columns."""
    return read_rows(Place, PATH)


def official_columns() -> tuple[str, ...]:
    """Return the file's header."""
    return tuple(name for place in load_layout() for name in place.names())


def in_official_layout(columns: Mapping[str, pa.Array], rng: np.random.Generator) -> dict[str, pa.Array]:
    """Put columns in the official order, and add flags of imputation and constants.

    Parameters
    ----------
    columns : all that are neither a flag nor a constant

    Notes
    -----
    A flag is -2 where the question was not put (-2) or nothing is used (0 of an amount), 1 if imputed, 0 if not.
    """
    rows = len(next(iter(columns.values())))
    known = dict(columns)
    for place in load_layout():
        if place.flag_of:
            item = pc.cast(columns[place.flag_of], pa.string())
            skipped = pc.is_in(
                item, pa.array(["-2"] if place.column == f"Z{place.flag_of}" else ["0", "0.0"])
            )
            imputed = pa.array(np.where(rng.random(rows) < IMPUTED, "1", "0"))
            known[place.column] = pc.if_else(skipped, "-2", imputed)
        elif place.constant:
            known[place.column] = pa.array(np.full(rows, place.constant))
    return {name: known[name] for name in official_columns()}
