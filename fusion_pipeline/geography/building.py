"""Building the concordance of one PUMA definition from Census relationship files.

Belongs here: which areas every piece of a PUMA lies in, and its housing units. Does not belong here: reading the files
(`relationships.py`), looking PUMAs up (`concordance.py`).

A piece is the part of a tract in one ZCTA, one tract of the other census, and urban or rural land. The three divide
a tract independently of each other: no file relates all of them. The columns and their sources are in
`concordance_columns.yaml`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography import relationships as files
from fusion_pipeline.geography.concordance import AREAS, area_column, areas
from fusion_pipeline.geography.counties import facts, ground, spread_units
from fusion_pipeline.geography.reading import read_columns
from fusion_pipeline.storage.tables import categorical

VERSION = "3"
_FOLDER = Path(__file__).parent
CENSUS = {"puma10": "2010", "puma20": "2020"}
OWN_URBAN = {"puma10": "ur12", "puma20": "ur20"}
"""Urban areas of the census of the PUMAs, and so of their tracts."""
URBAN = ("R", "U")
CBSA_TYPES = ("Metro", "Micro", "None")
TEXTS = ("tract", "other_tract", "zcta")
"""Columns of text: too many values to be levels."""
_MATCHED = 0.99
"""Share of tracts that a file about tracts of the same census must know; 0.2 % of tracts hold only water or parks."""
_log = logging.getLogger(__name__)


@dataclass
class Concordance:
    """The table, and what had to be decided: columns left out and why, what weights are, rows dropped."""

    table: pa.Table
    notes: dict[str, Any] = field(default_factory=dict)


@cache
def column_sources() -> dict[str, dict[str, str]]:
    """Describe every column a concordance may have: what it is, its source and date."""
    return yaml.safe_load((_FOLDER / "concordance_columns.yaml").read_text(encoding="utf-8"))


@cache
def zones() -> dict[str, dict[str, Any]]:
    """Groups of climate zones by column: what they are made from, and the codes of every level."""
    return yaml.safe_load((_FOLDER / "climate_zones.yaml").read_text(encoding="utf-8"))


def build_concordance(paths: Mapping[str, Path], pumas: str) -> Concordance:
    """Build the concordance of the 50 states and DC.

    Parameters
    ----------
    paths : role in the registry -> file
        `tracts` must be there; the others add columns, and what is missing is left out by name.
    pumas : `puma10` or `puma20`

    Returns
    -------
    Concordance
        Its table has one row a piece: `state`, the PUMA, `weight` (housing units, float64, positive), and the areas
        around it, null where they are not known.

    Raises
    ------
    GeographyError
        If a file is damaged or of another census, or a PUMA has no housing unit.
    """
    notes: dict[str, Any] = {}
    make = _whole_pumas if files.is_list_of_pumas(paths["tracts"]) else _pieces
    pieces = make(paths, pumas, notes)
    total = pieces["weight"].groupby(pieces["state"] + pieces[pumas]).sum()
    if (total <= 0).any():
        puma = str(total.index[total <= 0][0])
        raise GeographyError(
            f"concordance, state {puma[:2]}, {pumas} {puma[2:]}",
            "has no housing unit.",
            "Check that the files of housing units and of tracts are of the same census.",
        )
    empty = pieces["weight"] <= 0
    notes["pieces without housing units, dropped"] = int(empty.sum())
    pieces = pieces[~empty].sort_values([c for c in pieces.columns if c != "weight"], ignore_index=True)
    notes["PUMAs"] = len(total)
    notes["pieces"] = len(pieces)
    _log.info("concordance %s: %s", pumas, "; ".join(f"{k}: {v}" for k, v in notes.items()))
    return Concordance(_as_table(pieces, pumas), notes)


def expected_columns(
    roles: Collection[str], pumas: str, *, whole: bool = False
) -> dict[str, tuple[str, ...] | None]:
    """Name the columns that a concordance has, in order, with the levels of those that have some.

    Parameters
    ----------
    roles : of the files that it is built from
    pumas : its PUMA definition
    whole : whether its PUMAs are known, not their tracts
    """
    if whole:
        there = {"cbsa20"}
    else:
        year, other = ("10", "20") if pumas == "puma10" else ("20", "10")
        there = {"county", "tract"} | ({"zcta"} if f"zcta{year}" in roles else set())
        if "overlap" in roles:
            there |= {"other_tract"} | ({"other_puma"} if f"tracts{other}" in roles else set())
        there |= {name for name in ("ur12", "ur20") if _tells_urban(name, roles, pumas)}
        for role in roles:
            if role.startswith("cbsa"):
                there |= {role, f"cbsatype{role.removeprefix('cbsa')}"}
        there |= set(zones()) if "climate" in roles else set()
    there |= {"state", pumas, "weight", *AREAS}
    return {name: _levels().get(name) for name in column_sources() if name in there}


def _tells_urban(name: str, roles: Collection[str], pumas: str) -> bool:
    """Whether the files say which part of a tract is urban."""
    if name == "ur12":
        return {"zcta10", "urban10"} <= set(roles) and (pumas == "puma10" or "overlap" in roles)
    return pumas == "puma20" and {"urban20", "housing"} <= set(roles)


def _levels() -> dict[str, tuple[str, ...]]:
    """Levels that a column has, occur they or not."""
    return {
        "ur12": URBAN,
        "ur20": URBAN,
        "cbsatype15": CBSA_TYPES,
        "cbsatype20": CBSA_TYPES,
        **{name: tuple(areas(name)) for name in AREAS},
        **{name: tuple(zone["levels"]) for name, zone in zones().items()},
    }


def _pieces(paths: Mapping[str, Path], pumas: str, notes: dict[str, Any]) -> pd.DataFrame:
    year = pumas.removeprefix("puma")
    other = "20" if year == "10" else "10"
    tracts, outside = files.read_tracts(paths["tracts"])
    notes["tracts of territories, dropped"] = outside
    weight, notes["weight"] = _weights(paths, tracts)
    frame = pd.DataFrame({"state": tracts["state"], pumas: tracts["puma"], "county": tracts["county"]})
    frame["tract"], frame["weight"] = tracts["tract"], weight
    left_out: dict[str, str] = {}
    zcta = {
        census: files.read_zcta_parts(paths[f"zcta{census}"])
        for census in ("10", "20")
        if f"zcta{census}" in paths
    }
    if year in zcta:
        parts = zcta[year][["tract", "zcta", "size"]]
        frame = _divide(frame, parts, "tract", "zcta")
    else:
        left_out["zcta"] = f"zcta{year}"
    if "overlap" in paths:
        parts = files.read_tract_parts(paths["overlap"])
        parts = parts.rename(columns={f"tract{year}": "tract", f"tract{other}": "other_tract"})
        frame = _divide(frame, parts, "tract", "other_tract")
        if f"tracts{other}" in paths:
            others, _ = files.read_tracts(paths[f"tracts{other}"])
            frame["other_puma"] = frame["other_tract"].map(others.set_index("tract")["puma"])
        else:
            left_out["other_puma"] = f"tracts{other}"
    else:
        left_out |= {"other_tract": "overlap", "other_puma": "overlap"}
    for name in ("ur12", "ur20") if pumas == "puma20" else ("ur12",):
        if not _tells_urban(name, paths, pumas):
            left_out[name] = "that says what is urban"
            continue
        if name == "ur12":
            share = files.urban_share_2010(zcta["10"], paths["urban10"])
        else:
            share = files.urban_share_2020(pd.Series(weight, index=tracts["tract"]), paths["urban20"])
        key = "tract" if name == OWN_URBAN[pumas] else "other_tract"
        frame = _split_urban(frame, share.reindex(frame[key]).to_numpy(), name)
    _add_county_facts(frame, paths, left_out)
    notes["columns left out"] = {name: f"there is no file {role}" for name, role in left_out.items()}
    return frame


def _weights(paths: Mapping[str, Path], tracts: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Housing units of every tract, and where they come from."""
    if "housing" in paths:
        known = files.read_units(paths["housing"], "tract")
        of_tract = tracts["tract"].map(known)
        if of_tract.notna().mean() < _MATCHED:
            raise GeographyError(
                paths["housing"].name,
                f"knows {of_tract.notna().mean():.0%} of the tracts of {paths['tracts'].name}.",
                "Use files of the same census.",
            )
        return of_tract.fillna(0.0).to_numpy(np.float64), "housing units of the tract"
    if "county_housing" in paths:
        units = spread_units(tracts["county"], files.read_units(paths["county_housing"], "county"))
        if np.isnan(units).any():
            county = tracts["county"][np.isnan(units)].iloc[0]
            raise GeographyError(
                paths["county_housing"].name,
                f"has no housing units of county {county}.",
                "Fetch the file again; if the county's code changed, add both codes to county_changes.csv.",
            )
        return units, "housing units of the county, spread evenly over its tracts"
    return np.ones(len(tracts)), "tracts, one each"


def _divide(frame: pd.DataFrame, parts: pd.DataFrame, by: str, name: str) -> pd.DataFrame:
    """Divide rows by the parts of their area; rows of an area without parts stay whole, its part unknown."""
    total = parts["size"].groupby(parts[by]).transform("sum")
    count = parts["size"].groupby(parts[by]).transform("size")
    share = np.where(total > 0, parts["size"] / total.where(total > 0, 1.0), 1.0 / count)
    known = pd.DataFrame({by: parts[by], name: parts[name], "_share": share})
    divided = frame.merge(known[known["_share"] > 0], on=by, how="left")
    divided["weight"] *= divided.pop("_share").fillna(1.0)
    return divided


def _split_urban(frame: pd.DataFrame, share: np.ndarray, name: str) -> pd.DataFrame:
    """Divide rows into their urban and rural part; unknown shares stay one row."""
    parts = []
    for label, part in (("U", share), ("R", 1 - share)):
        rows = part > 0
        parts.append(frame[rows].assign(**{name: label, "weight": frame["weight"][rows] * part[rows]}))
    parts.append(frame[np.isnan(share)].assign(**{name: None}))
    return pd.concat(parts, ignore_index=True)


def _add_county_facts(frame: pd.DataFrame, paths: Mapping[str, Path], left_out: dict[str, str]) -> None:
    """Append statistical area and climate zones of the county."""
    cbsa = [role for role in paths if role.startswith("cbsa")]
    for role in cbsa:
        year = role.removeprefix("cbsa")
        areas = _areas(paths[role])
        # A county that the file has not lies in no area; of changed ones that lie in several, which is not known.
        outside = ~ground(frame["county"]).isin(ground(areas.index.to_series()))
        for name, fact in ((role, areas["cbsa"]), (f"cbsatype{year}", areas["type"])):
            frame[name] = facts(frame["county"], fact).where(~outside, "None")
    if not cbsa:
        left_out["cbsa"] = "of delineations"
    if "climate" not in paths:
        left_out |= dict.fromkeys(zones(), "climate")
        return
    known = _climate(paths["climate"])
    for name, zone in zones().items():
        label = {code: level for level, codes in zone["levels"].items() for code in codes}
        if strange := sorted(set(known[zone["from"]]) - set(label)):
            raise GeographyError(
                paths["climate"].name,
                f"holds the zone {strange[0]!r}.",
                "Correct the file, or add the zone to geography/climate_zones.yaml.",
            )
        frame[name] = facts(frame["county"], known[zone["from"]].map(label))


def _areas(path: Path) -> pd.DataFrame:
    """Code and type of the statistical area of every county that lies in one."""
    names = ["CBSA", "STCOU", "LSAD"]
    table = read_columns(path, names, required=names)
    kinds = {
        f"{kind}politan Statistical Area": short for kind, short in (("Metro", "Metro"), ("Micro", "Micro"))
    }
    kind = table["LSAD"].map(kinds)
    of_area = pd.Series(kind[kind.notna()].to_numpy(), index=table["CBSA"][kind.notna()])
    # An area of several metropolitan divisions lists its counties under each level; the code is the same.
    counties = table[table["STCOU"] != ""].drop_duplicates("STCOU")
    code = counties["CBSA"].to_numpy()
    index = counties["STCOU"].str.zfill(5)
    return pd.DataFrame({"cbsa": code, "type": of_area.reindex(code).to_numpy()}, index=index)


def _climate(path: Path) -> pd.DataFrame:
    """IECC zone (number and regime) and Building America zone of every county."""
    names = ["State FIPS", "County FIPS", "IECC Climate Zone", "IECC Moisture Regime", "BA Climate Zone"]
    table = read_columns(path, names, required=names)
    regime = table["IECC Moisture Regime"].where(table["IECC Moisture Regime"].isin(["A", "B", "C"]), "")
    county = table["State FIPS"].str.zfill(2) + table["County FIPS"].str.zfill(3)
    frame = pd.DataFrame({"iecc": table["IECC Climate Zone"] + regime, "ba": table["BA Climate Zone"]})
    return frame.set_index(county)


def _whole_pumas(paths: Mapping[str, Path], pumas: str, notes: dict[str, Any]) -> pd.DataFrame:
    """PUMAs of a list with the statistical area of most of each, when the tract file is not at hand.

    Every PUMA weighs the same: they are drawn to hold 100,000 inhabitants or somewhat more. What of it lies outside the
    area listed may lie in another, or in none.
    """
    path = paths["tracts"]
    names = ["state_fips", "puma", "cbsa_code", "share"]
    table = read_columns(path, names, required=names)
    table = table[~table["state_fips"].isin(files.TERRITORIES)].reset_index(drop=True)
    share = files.numbers(path, table["share"])
    if table.duplicated(["state_fips", "puma"]).any() or not share.between(0, 1).all():
        raise GeographyError(
            path.name, "has a PUMA twice, or shares beyond 0 and 1.", "Fetch the file again."
        )
    frame = pd.DataFrame({"state": table["state_fips"], pumas: table["puma"], "weight": share})
    rest = frame.assign(weight=1 - share, cbsa20=None)
    notes["weight"] = "PUMAs, one each: the tract-to-PUMA file is not at hand"
    notes["columns left out"] = {"all of tracts and counties": "there is no file tracts"}
    return pd.concat([frame.assign(cbsa20=table["cbsa_code"]), rest], ignore_index=True)


def _as_table(pieces: pd.DataFrame, pumas: str) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for name in column_sources():
        if name in AREAS:
            columns[name] = area_column(pieces["state"], name)
        elif name == "weight":
            columns[name] = pa.array(pieces[name].to_numpy(np.float64))
        elif name in TEXTS and name in pieces:
            columns[name] = pa.array(pieces[name].where(pieces[name].notna(), None), pa.string())
        elif name in pieces:
            known = _levels().get(name) or sorted(pieces[name].dropna().unique())
            columns[name] = categorical(pd.Categorical(pieces[name], categories=known).codes, known)
    return pa.table(columns)
