"""Tracts of the simulated world and the files that relate them to other areas.

Belongs here: tracts of both censuses with their counties, ZIP code areas, housing units and urban land, in the
layouts of the Census Bureau's relationship files, of ACS table B25001, of OMB's delineation and of the climate
guide's county table. Does not belong here: what is known of these areas (`neighbourhoods.py`).

The PUMAs of both censuses are the same in this world; one tract in ten was split between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fusion_pipeline.randomness import stream
from fusion_pipeline.simulate.place import ZONES, Places

Array = np.ndarray

TRACT_HOUSEHOLDS = 16_000
UNITS_PER_HOUSEHOLD = 1.12
"""Occupied and vacant."""
ZCTAS = 4
"""ZIP code areas of a PUMA."""
_EMPTY = 0.005
_SPLIT = 0.1
_IN_TWO_ZCTAS = 0.2
_TRACT_AREA = 5_000_000
_METRO, _MICRO = 0.75, 0.55


@dataclass(frozen=True)
class Tracts:
    """Tracts of 2010, a row each; those of 2020 are made of them."""

    frame: pd.DataFrame
    """`tract`, `county`, `place` (row of `Places`), `reaches` (into another county than its PUMA's), `units`, `zcta`,
    `second` (another ZCTA with `second_share` of the units, or ""), `urban` (share of the units)."""
    split: Array
    """Those that the census of 2020 has as two."""

    @property
    def of_2020(self) -> pd.DataFrame:
        """Tracts of 2020 with `tract10` and the `share` of its units and land."""
        whole = self.frame[~self.split].assign(share=1.0)
        parts = [
            self.frame[self.split].assign(share=share, suffix=suffix)
            for share, suffix in ((0.6, "01"), (0.4, "02"))
        ]
        frame = pd.concat([whole.assign(suffix="00"), *parts]).rename(columns={"tract": "tract10"})
        frame["tract"] = frame["tract10"].str[:9] + frame["suffix"]
        frame["units"] = (frame["units"] * frame["share"]).round()
        return frame.sort_values("tract", ignore_index=True)


def build_tracts(places: Places, seed: int) -> Tracts:
    """Draw the tracts: two PUMAs of three fill a county, the others lie in two."""
    rng = stream(seed, "simulate", "tracts")
    first = np.searchsorted(places.state, np.arange(len(places.states)))
    parts: list[dict[str, Any]] = []
    for puma, state in enumerate(places.state):
        position = puma - first[state]
        count = max(4, round(places.households[puma] / TRACT_HOUSEHOLDS))
        near = np.full(count, 2 * (position // 2) + 1)
        county = np.where((position % 3 == 2) & (rng.random(count) < 0.4), near + 2, near)
        units = np.exp(rng.normal(0, 0.3, count)) * (rng.random(count) >= _EMPTY)
        units *= places.households[puma] * UNITS_PER_HOUSEHOLD / units.sum()
        area = np.arange(count) * ZCTAS // count
        second = np.where(rng.random(count) < _IN_TWO_ZCTAS, (area + 1) % ZCTAS, -1)
        # The urban areas fill one ZIP code area after the other.
        urban = np.clip(ZCTAS * (1 - places.urban[puma, 2]) - np.arange(ZCTAS), 0, 1)
        fips, codes = places.fips[puma], 10_000 + ZCTAS * puma + np.arange(ZCTAS)
        parts.append(
            {
                "tract": [f"{fips}{c:03d}{(position + 1) * 400 + t:04d}00" for t, c in enumerate(county)],
                "county": [f"{fips}{c:03d}" for c in county],
                "place": np.full(count, puma),
                "reaches": county != near,
                "units": np.round(units),
                "zcta": codes[area].astype(str),
                "second": np.where(second >= 0, codes[second].astype(str), ""),
                "second_share": np.where(second >= 0, 0.3, 0.0),
                "urban": urban[area],
            }
        )
    # One frame of all: a frame a PUMA costs more than all else here.
    frame = pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    frame = frame.sort_values("tract", ignore_index=True)
    return Tracts(frame, stream(seed, "simulate", "split tracts").random(len(frame)) < _SPLIT)


def zcta_parts(frame: pd.DataFrame) -> pd.DataFrame:
    """Parts of tracts in ZIP code areas: `tract`, `zcta`, `share`."""
    two = frame["second"] != ""
    first = frame.assign(share=1 - frame["second_share"])
    parts = pd.concat([first, frame[two].assign(zcta=frame["second"][two], share=frame["second_share"][two])])
    return parts.sort_values(["tract", "zcta"], ignore_index=True)


def write_pumas(places: Places, frame: pd.DataFrame, file: Path) -> None:
    """Write `STATEFP,COUNTYFP,TRACTCE,PUMA5CE`."""
    code = frame["tract"]
    columns = [code.str[:2], code.str[2:5], code.str[5:], places.puma[frame["place"]]]
    _write(file, "STATEFP,COUNTYFP,TRACTCE,PUMA5CE", columns)


def write_zctas_2010(frame: pd.DataFrame, file: Path) -> None:
    """Write the ZCTA-to-tract file of 2010, which has housing units of parts and tracts."""
    parts = zcta_parts(frame)
    code, units = parts["tract"], parts["units"].astype(int)
    part = (parts["units"] * parts["share"]).round().astype(int)
    area = (parts["share"] * _TRACT_AREA).astype(int)
    header = "ZCTA5,STATE,COUNTY,TRACT,GEOID,POPPT,HUPT,AREAPT,AREALANDPT,TRPOP,TRHU"
    people = (2.4 * part).round().astype(int)
    columns = [parts["zcta"], code.str[:2], code.str[2:5], code.str[5:], code, people, part, area, area]
    _write(file, header, [*columns, (2.4 * units).round().astype(int), units])


def write_zctas_2020(frame: pd.DataFrame, file: Path) -> None:
    """Write the ZCTA-to-tract file of 2020, which has land areas."""
    parts = zcta_parts(frame)
    header = "OID_ZCTA5_20|GEOID_ZCTA5_20|OID_TRACT_20|GEOID_TRACT_20|AREALAND_PART|AREAWATER_PART"
    columns = ["1", parts["zcta"], "2", parts["tract"], (parts["share"] * _TRACT_AREA).astype(int), 0]
    _write(file, header, columns, separator="|", bom=True)


def write_urban_2010(frame: pd.DataFrame, file: Path) -> None:
    """Write the urban areas of ZCTAs; 99999 is what lies in none."""
    parts = zcta_parts(frame)
    urban = frame.groupby("zcta")["urban"].first()
    units = (parts["units"] * parts["share"]).groupby(parts["zcta"]).sum()
    rows = pd.DataFrame({"zcta": np.repeat(urban.index, 2), "area": np.tile(["00037", "99999"], len(urban))})
    rows["units"] = np.stack([units * urban, units * (1 - urban)], axis=1).reshape(-1).round().astype(int)
    rows = rows[rows["units"] > 0]
    people = (2.4 * rows["units"]).astype(int)
    columns = [rows["area"], "An Urbanized Area", rows["zcta"], people, rows["units"]]
    _write(file, "UA,UANAME,ZCTA5,POPPT,HUPT", columns)


def write_urban_2020(frame: pd.DataFrame, file: Path) -> None:
    """Write urban blocks, one a tract."""
    rows = frame[frame["urban"] > 0]
    code, units = rows["tract"], (rows["units"] * rows["urban"]).round().astype(int)
    header = "STATE|COUNTY|TRACT|BLOCK|GEOID|AREALAND|2020_HOU|2020_POP|2020_UACE|2020_UA_NAME"
    columns = [
        code.str[:2],
        code.str[2:5],
        code.str[5:],
        "1000",
        code + "1000",
        90_000,
        units,
        (2.4 * units).astype(int),
    ]
    _write(file, header, [*columns, "00037", "An Urban Area"], separator="|")


def write_overlap(frame: pd.DataFrame, file: Path) -> None:
    """Write the parts of 2010 tracts in those of 2020."""
    header = "OID_TRACT_20|GEOID_TRACT_20|AREALAND_TRACT_20|OID_TRACT_10|GEOID_TRACT_10|AREALAND_TRACT_10|AREALAND_PART"
    area = (frame["share"] * _TRACT_AREA).astype(int)
    columns = ["1", frame["tract"], area, "2", frame["tract10"], _TRACT_AREA, area]
    _write(file, header, columns, separator="|", bom=True)


def write_units(frame: pd.DataFrame, file: Path) -> None:
    """Write ACS table B25001 with its states, counties and tracts."""
    codes = {"0400000US": frame["tract"].str[:2], "0500000US": frame["county"], "1400000US": frame["tract"]}
    of = []
    for prefix, code in codes.items():
        total = frame["units"].groupby(code).sum()
        of.append(total.set_axis(prefix + total.index))
    units = pd.concat(of).astype(int)
    _write(file, "GEO_ID|B25001_E001|B25001_M001", [units.index, units, 12], separator="|")


def write_statistical_areas(frame: pd.DataFrame, file: Path) -> None:
    """Write the counties of metropolitan and micropolitan areas: an urban county is an area of its own."""
    units = frame["units"].groupby(frame["county"]).sum()
    urban = (frame["units"] * frame["urban"]).groupby(frame["county"]).sum() / units
    lines = []
    for number, (county, share, size) in enumerate(zip(urban.index, urban, units, strict=True)):
        if share < _MICRO:
            continue
        kind = "Metropolitan" if share >= _METRO else "Micropolitan"
        code = 10_000 + 20 * number
        lines.append(f'{code},,,"Area {number}",{kind} Statistical Area,{size:.0f}')
        lines.append(f'{code},,{county},"County {county}",County or equivalent,{size:.0f}')
    file.write_text("\n".join(["CBSA,MDIV,STCOU,NAME,LSAD,CENSUS2010POP", *lines]) + "\n")


def write_climate(places: Places, frame: pd.DataFrame, file: Path) -> None:
    """Write the climate zones of counties."""
    # A PUMA's own county has its zone; into another it reaches with some tracts.
    own = frame.sort_values("reaches", kind="stable").drop_duplicates("county").set_index("county")["place"]
    zone = np.array(ZONES, dtype=object)[places.iecc[own]]
    code = own.index.to_series()
    usps = code.str[:2].map(dict(zip(places.states["fips"], places.states["usps"], strict=True)))
    header = "State,State FIPS,County FIPS,IECC Climate Zone,IECC Moisture Regime,BA Climate Zone,County Name"
    _write(file, header, [usps, code.str[:2], code.str[2:], zone[:, 0], zone[:, 1], zone[:, 2], "A county"])


def writers(places: Places, tracts: Tracts) -> dict[str, Callable[[Path], None]]:
    """Name the writer of every file of the concordances, by its role in the registry."""
    of_2010, of_2020 = tracts.frame, tracts.of_2020
    return {
        "tracts10": partial(write_pumas, places, of_2010),
        "tracts20": partial(write_pumas, places, of_2020),
        "zcta10": partial(write_zctas_2010, of_2010),
        "zcta20": partial(write_zctas_2020, of_2020),
        "urban10": partial(write_urban_2010, of_2010),
        "urban20": partial(write_urban_2020, of_2020),
        "overlap": partial(write_overlap, of_2020),
        "housing": partial(write_units, of_2020),
        "county_housing": partial(write_units, of_2020),
        "cbsa15": partial(write_statistical_areas, of_2010),
        "cbsa20": partial(write_statistical_areas, of_2020),
        "climate": partial(write_climate, places, of_2010),
    }


def _write(
    file: Path, header: str, columns: Sequence[object], *, separator: str = ",", bom: bool = False
) -> None:
    frame = pd.DataFrame(dict(enumerate(columns)))
    text = frame.astype(str)
    lines = text[0].str.cat(text[frame.columns[1:]], sep=separator)
    mark = "\ufeff" if bom else ""
    file.write_text(f"{mark}{header}\n" + "\n".join(lines) + "\n", encoding="utf-8")
