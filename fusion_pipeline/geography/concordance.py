"""States and the areas made of them, and PUMAs looked up in a concordance.

Belongs here: state facts, and finding PUMAs. Does not belong here: building a concordance (`building.py`), what is
known of a PUMA (`predictors.py`).

Regions and divisions are the Census Bureau's; RECS splits the Mountain division into North and South.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.pumas import PUMAS, puma_column
from fusion_pipeline.keys import positions
from fusion_pipeline.storage.tables import categorical

AREAS = ("region", "division", "recs_division")
"""Kinds of areas made of whole states: Census regions and divisions, and RECS divisions."""
# In the order of the RECS codebook, which refines that of the Census divisions and regions.
_DIVISIONS = (
    "New England",
    "Middle Atlantic",
    "East North Central",
    "West North Central",
    "South Atlantic",
    "East South Central",
    "West South Central",
    "Mountain North",
    "Mountain South",
    "Pacific",
)


@dataclass(frozen=True)
class State:
    """A state (or DC) in the code lists of the agencies used here."""

    fips: str
    usps: str
    name: str
    region: str
    division: str
    recs_division: str
    noaa: str
    """State number of NOAA's cooperative stations; DC has none of its own and takes Maryland's."""


@cache
def states() -> dict[str, State]:
    """The 50 states and DC by FIPS code."""
    with Path(__file__).with_name("states.csv").open(encoding="utf-8", newline="") as file:
        return {row["fips"]: State(**row) for row in csv.DictReader(file)}


def areas(kind: str) -> list[str]:
    """List the areas of one of `AREAS` in the order of their official codes, which count from 1."""
    ordered = sorted(states().values(), key=lambda state: _DIVISIONS.index(state.recs_division))
    return list(dict.fromkeys(getattr(state, kind) for state in ordered))


def add_areas(households: pa.Table) -> pa.Table:
    """Set `region` and `division` of each household by its state, whatever a file of its own calls them.

    Parameters
    ----------
    households : table with `state` (2-character FIPS)
    """
    fips = households["state"].cast(pa.string()).to_pandas()
    for name in ("region", "division"):
        there = (
            households.column_names.index(name) if name in households.column_names else households.num_columns
        )
        if there < households.num_columns:
            households = households.remove_column(there)
        households = households.add_column(there, name, area_column(fips, name))
    return households


def area_column(fips: pd.Series, name: str) -> pa.DictionaryArray:
    """Give the area of every state, one of `AREAS`; its levels are the areas of all states.

    Raises
    ------
    GeographyError
        If a code is none of a state.
    """
    levels = areas(name)
    codes = fips.map({code: levels.index(getattr(state, name)) for code, state in states().items()})
    if (unknown := codes.isna()).any():
        raise GeographyError(
            "column state",
            f"holds {fips[unknown].iloc[0]!r} in {int(unknown.sum())} rows, which is none of the 50 states and DC.",
            "Leave out households of Puerto Rico and the territories, which no donor covers; correct other codes.",
        )
    return categorical(codes.to_numpy(), levels)


def puma_ids(table: pa.Table, where: str) -> np.ndarray:
    """Number the PUMA of every row: state code times 100,000 plus PUMA code.

    Raises
    ------
    GeographyError
        If a state or PUMA is missing, or not made of digits, or the table has PUMAs of no or of several definitions.
    """
    parts = []
    for name, factor in (("state", 100_000), (puma_column(table.column_names, where), 1)):
        if name not in table.column_names:
            raise GeographyError(f"{where} table", f"has no column {name}.", "Add it to the columns kept.")
        column = table[name].combine_chunks().cast(pa.string()).dictionary_encode()
        if column.null_count:
            raise GeographyError(
                f"{where} table, column {name}",
                f"is missing in {column.null_count} rows.",
                "Every household needs a PUMA: check the survey's codebook, or impute it first.",
            )
        labels = column.dictionary.to_pylist()
        for label in labels:
            if not label.isdigit():
                raise GeographyError(
                    f"{where} table, column {name}", f"holds {label!r}.", "Use FIPS and PUMA codes as text."
                )
        lookup = np.array([int(label) for label in labels], dtype=np.int64)
        parts.append(lookup[column.indices.to_numpy()] * factor)
    return parts[0] + parts[1]


def find_pumas(known: np.ndarray, column: str, table: pa.Table, where: str) -> np.ndarray:
    """Position of every row's PUMA among known ones.

    Parameters
    ----------
    known : (n,) as `puma_ids` numbers them
    column : the PUMA column of the table they are from
    table, where : whose rows, and what to call it

    Raises
    ------
    GeographyError
        If the table has PUMAs of another definition, in which a code is another place or none, or one is not known.
    """
    if (own := puma_column(table.column_names, where)) != column:
        raise GeographyError(
            f"{where} table",
            f"has {own} (PUMAs of {PUMAS[own]}), and the concordance {column} (those of {PUMAS[column]}).",
            f"Use the concordance that has {own}.",
        )
    wanted = puma_ids(table, where)
    found = positions(known, wanted)
    if (found < 0).any():
        puma = int(wanted[found < 0][0])
        raise GeographyError(
            f"{where} table, state {puma // 100_000:02d}, {own} {puma % 100_000:05d}",
            "is not in the concordance.",
            f"Use a concordance of the table's PUMAs, which are those of {PUMAS[own]}.",
        )
    return found
