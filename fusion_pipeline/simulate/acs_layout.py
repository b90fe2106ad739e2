"""The official layouts of the ACS: which columns a file has, and in which order.

Belongs here: the schema of `acs_layout.csv`, and reading it. Does not belong here: what is in the columns
(`acs_columns.py`, `acs_items.py`, `acs_further.py`), or what a vintage makes of them (`acs_vintages.py`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from fusion_pipeline.declared import read_rows
from fusion_pipeline.surveys.variables import Span

PATH = Path(__file__).with_name("acs_layout.csv")
REPLICATES = 80
Record = Literal["households", "persons"]
_ALWAYS, _NEVER = Span(low=None, high=None), Span(low=1, high=0)


def _years(text: object) -> object:
    """Read a range of years; all of them if there is no text, none if it is a dash."""
    if not isinstance(text, str):
        return text
    return {"": _ALWAYS, "-": _NEVER}.get(text) or Span.parse(text)


_Years = Annotated[Span, BeforeValidator(_years)]


class Place(BaseModel):
    """A column's place in the files of one record."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: Record
    column: str
    one_year: _Years
    five_year: _Years
    kind: Literal["", "flag"]

    def names(self) -> tuple[str, ...]:
        """Return the column's name, or those of the replicate weights."""
        if "{}" not in self.column:
            return (self.column,)
        return tuple(self.column.format(number + 1) for number in range(REPLICATES))


@cache
def official_columns(record: Record, year: int, five: bool, *, flags: bool = False) -> tuple[str, ...]:
    """Return a file's header, or its allocation flags only.

    Parameters
    ----------
    record : of households or of persons
    year : int
        Of the file; the last one of a five-year file.
    five : bool
        Whether it covers five years.

    Raises
    ------
    RegistryError
        If the declaration contradicts its schema.
    """
    return tuple(
        name
        for place in load_layout()
        if place.record == record
        and _has(place.five_year if five else place.one_year, year)
        and (place.kind == "flag" or not flags)
        for name in place.names()
    )


def _has(years: Span, year: int) -> bool:
    return (years.low is None or years.low <= year) and (years.high is None or year <= years.high)


@cache
def load_layout() -> tuple[Place, ...]:
    """Read and validate the places of all columns."""
    return read_rows(Place, PATH)
