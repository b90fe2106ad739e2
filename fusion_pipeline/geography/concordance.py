"""The PUMA concordance: every 2010 PUMA by county, with its weight and the larger areas around it.

Belongs here: building the concordance from the Census tract-to-PUMA relationship file, and looking PUMAs up.
Does not belong here: what is known of a PUMA (`predictors.py`).

Source: Census Bureau, 2010 Census Tract to 2010 PUMA Relationship File. Regions and divisions are the Census
Bureau's; RECS splits the Mountain division into North and South.
"""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.pumas import PUMAS, puma_column
from fusion_pipeline.keys import positions
from fusion_pipeline.storage.tables import categorical

VERSION = "1"
_COLUMNS = {"STATEFP": 2, "COUNTYFP": 3, "TRACTCE": 6, "PUMA5CE": 5}
# American Samoa, Guam, Northern Mariana Islands, Puerto Rico, Virgin Islands: not in the donor surveys.
_TERRITORIES = frozenset({"60", "66", "69", "72", "78"})
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
_log = logging.getLogger(__name__)


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


def build_concordance(tract_puma: Path) -> pa.Table:
    """Build the concordance of the 50 states and DC.

    Parameters
    ----------
    tract_puma : Path
        The relationship file, CSV, perhaps gzipped.

    Returns
    -------
    One row per state, PUMA and county, in that order:
        `state` (2 characters), `puma10` (5, unique within the state), `county` (5, with the state's),
        `weight` float64, `region`, `division`, `recs_division`.

    Raises
    ------
    GeographyError
        If the header differs, a code is malformed, a state unknown or a tract repeated; the message names
        file, column and value.

    Notes
    -----
    `weight` is the number of census tracts. Tracts are drawn to have about 4,000 inhabitants, which makes
    their number a stand-in for the housing units that weigh areas in the reference.
    """
    tracts = _read_tracts(tract_puma)
    keys = ["STATEFP", "PUMA5CE", "COUNTYFP"]
    counties = tracts.groupby(keys, observed=True, sort=True).size().reset_index(name="weight")
    table = pa.table(
        {
            "state": _categories(counties["STATEFP"]),
            "puma10": _categories(counties["PUMA5CE"]),
            "county": _categories(counties["STATEFP"] + counties["COUNTYFP"]),
            "weight": pa.array(counties["weight"].to_numpy(np.float64)),
            **{name: _area(counties["STATEFP"], name) for name in AREAS},
        }
    )
    n_pumas = len(counties[keys[:2]].drop_duplicates())
    _log.info(
        "concordance: %d tracts, %d PUMAs, %d states", len(tracts), n_pumas, counties["STATEFP"].nunique()
    )
    return table


def add_areas(households: pa.Table) -> pa.Table:
    """Append `region` and `division` of each household's state, unless they are there.

    Parameters
    ----------
    households : table with `state` (2-character FIPS)
    """
    fips = households["state"].cast(pa.string()).to_pandas()
    for name in ("region", "division"):
        if name not in households.column_names:
            households = households.append_column(name, _area(fips, name))
    return households


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


def _read_tracts(path: Path) -> pd.DataFrame:
    try:
        table = pacsv.read_csv(
            path, convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(_COLUMNS, pa.string()))
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, f"cannot be read as CSV ({error}).") from error
    if table.column_names != list(_COLUMNS):
        raise _unreadable(path, f"has the columns {table.column_names}; expected are {list(_COLUMNS)}.")
    tracts = table.to_pandas()
    for column, width in _COLUMNS.items():
        malformed = ~tracts[column].fillna("").str.fullmatch(rf"\d{{{width}}}")
        if malformed.any():
            row = int(np.argmax(malformed))
            raise _unreadable(
                path,
                f"column {column} holds {tracts[column].iloc[row]!r} in line {row + 2}; expected are {width}"
                " digits, leading zeros included.",
            )
    repeated = tracts.duplicated(["STATEFP", "COUNTYFP", "TRACTCE"])
    if repeated.any():
        row = int(np.argmax(repeated))
        raise _unreadable(
            path,
            f"column TRACTCE holds tract {''.join(tracts.iloc[row, :3])} twice, again in line {row + 2}.",
        )
    outside = tracts["STATEFP"].isin(_TERRITORIES)
    if outside.any():
        _log.info("%s: %d tracts of US territories are left out", path.name, int(outside.sum()))
    tracts = tracts[~outside]
    unknown = ~tracts["STATEFP"].isin(states())
    if unknown.any():
        raise _unreadable(
            path, f"column STATEFP holds {tracts['STATEFP'][unknown].iloc[0]!r}, which is no state."
        )
    if tracts.empty:
        raise _unreadable(path, "holds no tract of a state.")
    return tracts


def _categories(values: pd.Series) -> pa.DictionaryArray:
    levels, codes = np.unique(values.to_numpy(dtype=object), return_inverse=True)
    return categorical(codes, levels.tolist())


def _area(fips: pd.Series, name: str) -> pa.DictionaryArray:
    """The area of every state; levels are the areas of all states."""
    levels = areas(name)
    codes = fips.map({code: levels.index(getattr(state, name)) for code, state in states().items()})
    return categorical(codes.to_numpy(), levels)


def _unreadable(path: Path, what: str) -> GeographyError:
    return GeographyError(
        path.name, what, "Fetch the file again: it is the Census 2010 tract-to-PUMA relationship file."
    )
