"""The boundaries of a recipient's areas: of the files that its PUMA definition has, or tiles.

Belongs here: which files, and what stands in for them. Does not belong here: reading them (`boundaries.py`).
"""

from __future__ import annotations

import logging
from dataclasses import replace

import pandas as pd

from fusion_pipeline.geography.pumas import PUMAS
from fusion_pipeline.mapping.boundaries import Boundaries, read_boundaries
from fusion_pipeline.mapping.choropleth import TOTAL
from fusion_pipeline.mapping.tiles import tiles
from fusion_pipeline.raw import from_table, verify
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef

STATES_ROLE, PUMAS_ROLE = "state_boundaries", "boundaries"
"""Of the files of a PUMA definition in the registry."""
_log = logging.getLogger(__name__)


def boundaries_of(raw: TableRef, concordance: TableRef, column: str) -> Boundaries:
    """Give the boundaries of states or PUMAs.

    Parameters
    ----------
    raw : the files of a PUMA definition as they were found (`geography/raw`)
    concordance : made of them; its PUMAs are the cells of tiles
    column : `state`, `puma10` or `puma20`
    """
    known = {role: _read(raw, role) for role in (STATES_ROLE, PUMAS_ROLE)}
    outlines, pumas = known[STATES_ROLE], known[PUMAS_ROLE]
    if column == "state":
        return outlines or tiles(column)
    if pumas is not None:
        return pumas.with_outlines(outlines) if outlines else pumas
    return tiles(column, pairs(concordance.read(["state", column]).to_pandas(), column))


def boundaries_at_hand(layout: Layout, column: str) -> Boundaries | None:
    """Give the boundaries that the steps of `geography` found; None if they never ran.

    Parameters
    ----------
    layout : where artefacts lie
    column : `state`, `puma10` or `puma20`
    """
    for definition in [column] if column in PUMAS else PUMAS:
        raw = layout.table(("geography", "raw"), definition)
        concordance = layout.table(("geography", "concordance"), definition)
        if raw.is_file() and concordance.is_file():
            return boundaries_of(TableRef(raw), TableRef(concordance), column)
    return None


def _read(raw: TableRef, role: str) -> Boundaries | None:
    """Read the boundaries of a role, if the file was found and is still there."""
    for file in from_table(raw.read()):
        if file.role != role:
            continue
        if not file.path.is_file():
            _log.warning("%s: %s is gone; maps are made of tiles", role, file.path)
            return None
        found = read_boundaries(verify(file))
        return replace(found, source="simulated boundaries") if file.origin == "simulated" else found
    return None


def pairs(frame: pd.DataFrame, column: str) -> set[tuple[str, str]]:
    """Give the state and PUMA codes that occur in a table, totals left out."""
    places = frame[["state", column]].astype(str).drop_duplicates()
    places = places[(places != TOTAL).all(axis=1)]
    return set(zip(places["state"], places[column], strict=True))
