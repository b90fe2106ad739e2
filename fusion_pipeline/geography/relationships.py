"""Relationship files: which tract lies in which PUMA, ZCTA, urban area and tract of the other census, and its
housing units.

Belongs here: reading these files into one shape, whatever census they are of, and judging them. Does not belong here:
putting them together (`building.py`).

Sources: Census Bureau, relationship files of 2010 and 2020, housing units of the 2010 census (ZCTA-to-tract file)
and of the ACS 2017-2021 (table B25001), blocks of 2020 urban areas.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.concordance import states
from fusion_pipeline.geography.reading import read_columns

# American Samoa, Guam, Northern Mariana Islands, Puerto Rico, Virgin Islands: not in the donor surveys, nor in the PUMS
# files of the states.
TERRITORIES = frozenset({"60", "66", "69", "72", "78"})
_WIDTHS = {"STATEFP": 2, "COUNTYFP": 3, "TRACTCE": 6, "PUMA5CE": 5}
_RURAL = "99999"
LEVELS = {
    "state": "040",
    "county": "050",
    "tract": "140",
    "block_group": "150",
    "puma": "795",
    "zcta": "860",
}
"""Summary levels, with which a Census GEO_ID begins."""
_log = logging.getLogger(__name__)


def read_tracts(path: Path) -> tuple[pd.DataFrame, int]:
    """Read the tract-to-PUMA file of a census.

    Returns
    -------
    `tract` (11 characters), `county` (5), `state` (2), `puma` (5) of every tract of the states; and how many tracts of
    territories were left out.

    Raises
    ------
    GeographyError
        If a column is missing, a code malformed, a state unknown or a tract repeated; the message names file,
        column, value and line.
    """
    tracts = read_columns(path, list(_WIDTHS), required=list(_WIDTHS))
    for column, width in _WIDTHS.items():
        malformed = ~tracts[column].str.fullmatch(rf"\d{{{width}}}")
        if malformed.any():
            row = int(np.argmax(malformed))
            raise _unusable(
                path,
                f"column {column} holds {tracts[column].iloc[row]!r} in line {row + 2}; expected are {width}"
                " digits, leading zeros included.",
            )
    tract = tracts["STATEFP"] + tracts["COUNTYFP"] + tracts["TRACTCE"]
    if (repeated := tract.duplicated()).any():
        row = int(np.argmax(repeated))
        raise _unusable(path, f"column TRACTCE holds tract {tract.iloc[row]} twice, again in line {row + 2}.")
    outside = tracts["STATEFP"].isin(TERRITORIES)
    unknown = ~outside & ~tracts["STATEFP"].isin(states())
    if unknown.any():
        raise _unusable(
            path, f"column STATEFP holds {tracts['STATEFP'][unknown].iloc[0]!r}, which is no state."
        )
    if outside.all():
        raise _unusable(path, "holds no tract of a state.")
    if outside.any():
        _log.info("%s: %d tracts of US territories are left out", path.name, int(outside.sum()))
    frame = pd.DataFrame(
        {
            "tract": tract,
            "county": tract.str[:5],
            "state": tracts["STATEFP"],
            "puma": tracts["PUMA5CE"],
        }
    )
    return frame[~outside].reset_index(drop=True), int(outside.sum())


def read_units(path: Path, unit: str) -> pd.Series:
    """Read housing units by `tract` or `county`: of a table B25001, or of tracts in the ZCTA-to-tract file of 2010."""
    code, units = "GEO_ID|GEOID|geo_id", "B25001_E001|TRHU|total_housing_units"
    table = read_columns(path, [code, units], required=[code, units])
    # The ZCTA file repeats the units of a tract in each of its parts; a table holds areas of all kinds.
    known = pd.Series(numbers(path, table["B25001_E001"]).to_numpy(), index=geoid(table["GEO_ID"], unit))
    return known[(known.index != "") & ~known.index.duplicated()]


def read_zcta_parts(path: Path) -> pd.DataFrame:
    """Read parts of tracts in ZCTAs: `tract`, `zcta`, `size` (housing units in 2010, land area in 2020)."""
    return _parts(
        path, {"tract": "GEOID|GEOID_TRACT_20", "zcta": "ZCTA5|GEOID_ZCTA5_20", "size": "HUPT|AREALAND_PART"}
    )


def read_tract_parts(path: Path) -> pd.DataFrame:
    """Read parts of tracts of 2010 in tracts of 2020: `tract10`, `tract20`, `size` (land area)."""
    names = {"tract10": "GEOID_TRACT_10", "tract20": "GEOID_TRACT_20", "size": "AREALAND_PART"}
    parts = _parts(path, names)
    # Where two states meet, slivers of one census's tracts lie in the other state's.
    same = parts["tract10"].str[:2] == parts["tract20"].str[:2]
    return parts[same].reset_index(drop=True)


def is_list_of_pumas(path: Path) -> bool:
    """Whether a file is a list of PUMAs with the statistical area that most of each lies in, not one of tracts."""
    return "cbsa_code" in read_columns(path, ["cbsa_code"])


def urban_share_2010(zcta_parts: pd.DataFrame, urban: Path) -> pd.Series:
    """Share of a 2010 tract's housing units in urban areas and clusters: that of the ZCTAs it lies in.

    Notes
    -----
    The Bureau relates the urban areas of 2010 to ZCTAs and larger areas, not to tracts. A ZCTA without housing
    units, or without an entry, has no share.
    """
    parts = _parts(urban, {"area": "UA", "zcta": "ZCTA5", "size": "HUPT"})
    inside = parts["size"].where(parts["area"] != _RURAL, 0.0)
    total = parts["size"].groupby(parts["zcta"]).sum()
    share = inside.groupby(parts["zcta"]).sum() / total[total > 0]
    of_part = zcta_parts["zcta"].map(share)
    weight = zcta_parts["size"].where(of_part.notna(), 0.0)
    by_tract = zcta_parts["tract"]
    weighed = weight.groupby(by_tract).sum()
    return (weight * of_part.fillna(0)).groupby(by_tract).sum() / weighed[weighed > 0]


def urban_share_2020(units: pd.Series, blocks: Path) -> pd.Series:
    """Share of a 2020 tract's housing units in urban blocks; a tract that the list has not is rural.

    Notes
    -----
    Units of blocks are the census's, of tracts perhaps the ACS's: a share above 1 is 1.
    """
    names = ["STATE", "COUNTY", "TRACT", "2020_HOU"]
    table = read_columns(blocks, names, required=names)
    tract = table["STATE"].str.zfill(2) + table["COUNTY"].str.zfill(3) + table["TRACT"].str.zfill(6)
    urban = numbers(blocks, table["2020_HOU"]).groupby(tract).sum()
    there = units[units > 0]
    return (urban.reindex(there.index).fillna(0.0) / there).clip(upper=1.0)


def geoid(codes: pd.Series, unit: str) -> pd.Series:
    """Strip Census GEO_IDs of a kind of unit to their codes, others to nothing: 1400000US10001040100 is tract
    10001040100.

    Codes that are no GEO_IDs stay as they are.
    """
    parts = codes.str.rpartition("US")
    wanted = (parts[1] == "") | (parts[0].str[:3] == LEVELS[unit])
    return parts[2].where(wanted, "")


def numbers(path: Path, text: pd.Series) -> pd.Series:
    """Read numbers; a blank is missing.

    Raises
    ------
    GeographyError
        If a cell is neither; the message names column, value and line.
    """
    values = pd.to_numeric(text.where(text != ""), errors="coerce")
    if (wrong := values.isna() & (text != "")).any():
        row = int(np.argmax(wrong))
        name = str(text.name).replace("|", " or ")
        raise _unusable(
            path, f"column {name} holds {text.iloc[row]!r} in line {row + 2}, which is no number."
        )
    return values.astype(np.float64)


def _parts(path: Path, names: dict[str, str]) -> pd.DataFrame:
    table = read_columns(path, list(names.values()), required=list(names.values()))
    table = table.rename(columns={column.split("|")[0]: name for name, column in names.items()})
    table["size"] = numbers(path, table["size"].rename(names["size"])).fillna(0.0)
    # One side is blank where an area lies in none of the other kind.
    blank = (table.drop(columns="size") == "").any(axis=1)
    return table[~blank].reset_index(drop=True)


def _unusable(path: Path, what: str) -> GeographyError:
    return GeographyError(
        path.name, what, "Fetch the file again; its address is in registry.yaml, `geography`."
    )
