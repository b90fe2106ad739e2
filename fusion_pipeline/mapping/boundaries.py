"""Where areas lie: rings of coordinates with codes and names, and reading them from the Census Bureau's files.

Belongs here: what boundaries are, the columns of the cartographic boundary files, GeoJSON. Does not belong here: the
shapefile format (`shapefile.py`), tiles in place of boundaries (`tiles.py`), which files a pair has (`finding.py`).

Source: Census Bureau, cartographic boundary files (`cb_2019_us_puma10_500k.zip`, `cb_2020_us_puma20_500k.zip`,
`cb_2020_us_state_500k.zip`), NAD83 degrees. Their columns end in the census year where the areas belong to one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.concordance import states
from fusion_pipeline.geography.pumas import PUMAS
from fusion_pipeline.geography.relationships import TERRITORIES
from fusion_pipeline.mapping.shapefile import read_shapefile

Array = np.ndarray
_PUMA_FIELDS = {"PUMACE10": "puma10", "PUMACE20": "puma20"}
_STATE_FIELDS = ("STATEFP", "STATEFP10", "STATEFP20")
_NAME_FIELDS = ("NAME", "NAME10", "NAMELSAD10", "NAME20", "NAMELSAD20")
_GEOJSON = (".json", ".geojson")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Area:
    """A state (`puma` is empty) or a PUMA."""

    state: str
    puma: str
    name: str
    rings: tuple[Array, ...]
    """(k, 2) each, closed or not; holes run the other way round, as shapefiles have them."""

    @property
    def key(self) -> tuple[str, str]:
        """State and PUMA code."""
        return self.state, self.puma


@dataclass(frozen=True)
class Boundaries:
    """Areas of one kind with the outlines of states."""

    column: str
    """`state`, `puma10` or `puma20`: the column whose values the areas are."""
    areas: tuple[Area, ...]
    outlines: tuple[Area, ...] = ()
    """States, drawn over PUMAs and in place of those of which there is no estimate."""
    source: str = ""
    degrees: bool = True
    """Longitudes and latitudes; otherwise a sheet whose y grows downwards, states written on it."""

    def with_outlines(self, states: Boundaries) -> Boundaries:
        """Add the outlines of states."""
        return replace(self, outlines=states.areas)


def read_boundaries(path: Path) -> Boundaries:
    """Read a cartographic boundary file of states or PUMAs.

    Parameters
    ----------
    path : zipped shapefile, or GeoJSON (`.json`, `.geojson`) with the same properties

    Returns
    -------
    Boundaries
        Of the 50 states and DC in order of their codes; those of territories are left out and counted in the log.

    Raises
    ------
    GeographyError
        If the file is damaged, has no codes of states, an unknown state, an area twice, or an area without shape.
    """
    records = _geojson(path) if path.suffix in _GEOJSON else read_shapefile(path)
    fields = {name for values, _ in records for name in values}
    state_field = next((name for name in _STATE_FIELDS if name in fields), None)
    if state_field is None:
        raise _unusable(path, f"has no column {' or '.join(_STATE_FIELDS)}.")
    puma_field = next((name for name in _PUMA_FIELDS if name in fields), None)
    name_field = next((name for name in _NAME_FIELDS if name in fields), None)
    areas: dict[tuple[str, str], Area] = {}
    outside = 0
    for values, rings in records:
        state, puma = values[state_field], values[puma_field] if puma_field else ""
        if state in TERRITORIES:
            outside += 1
            continue
        if state not in states():
            raise _unusable(path, f"column {state_field} holds {state!r}, which is no state.")
        if (state, puma) in areas:
            raise _unusable(path, f"holds state {state} {puma}".rstrip() + " twice.")
        if not rings:
            raise _unusable(path, f"holds state {state} {puma}".rstrip() + " without a shape.")
        name = values[name_field] if name_field else puma or states()[state].name
        areas[state, puma] = Area(state, puma, name, rings)
    if outside:
        _log.info("%s: %d areas of US territories are left out", path.name, outside)
    column = _PUMA_FIELDS[puma_field] if puma_field else "state"
    ordered = tuple(areas[key] for key in sorted(areas))
    return Boundaries(column, ordered, source=f"Census Bureau, {path.name.split('.')[0]}")


def named(areas: Iterable[tuple[str, str]], column: str) -> str:
    """Write area codes for a message."""
    label = f", {column} " if column in PUMAS else ""
    return "; ".join(f"state {state}{label}{puma}" for state, puma in areas)


def _geojson(path: Path) -> list[tuple[Mapping[str, str], tuple[Array, ...]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [
            (
                {name: str(value) for name, value in feature["properties"].items()},
                tuple(np.asarray(ring, dtype=np.float64)[:, :2] for ring in _rings(feature["geometry"])),
            )
            for feature in content["features"]
        ]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _unusable(path, f"is no GeoJSON of areas ({error!r}).") from error


def _rings(geometry: Mapping[str, Any]) -> Sequence[Any]:
    if geometry["type"] == "Polygon":
        return geometry["coordinates"]
    if geometry["type"] == "MultiPolygon":
        return [ring for polygon in geometry["coordinates"] for ring in polygon]
    raise ValueError(f"{geometry['type']} is no area")


def _unusable(path: Path, what: str) -> GeographyError:
    return GeographyError(
        path.name, what, "Fetch the file again; addresses are in registry.yaml, `geography`."
    )
