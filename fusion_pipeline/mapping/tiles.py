"""Tiles in place of boundaries: every state a square about where it lies, its PUMAs cells of the square.

Belongs here: the layout of the tiles. Does not belong here: true boundaries (`boundaries.py`).

Every state has the same size, so that small ones can be read. `tiles.csv` is the layout that US newsrooms use. Cells
are in order of PUMA code, row by row; they say nothing about where in its state a PUMA lies.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection
from functools import cache
from pathlib import Path

import numpy as np

from fusion_pipeline.geography.concordance import states
from fusion_pipeline.mapping.boundaries import Area, Boundaries

Array = np.ndarray
_GAP = 0.06
"""Between tiles, of their side."""
BAND = 0.24
"""Share of a tile, at its top, that cells leave to the state's code: over them it would hide a dozen in California."""
SOURCE = "tiles in place of boundaries, every state of the same size"


def tiles(column: str, pumas: Collection[tuple[str, str]] = ()) -> Boundaries:
    """Lay out states, or the PUMAs of states, as tiles.

    Parameters
    ----------
    column : `state`, `puma10` or `puma20`
    pumas : state and PUMA codes, where the column is one of PUMAs
    """
    outlines = tuple(
        Area(code, "", state.name, (_square(*_grid()[state.usps]),)) for code, state in states().items()
    )
    if column == "state":
        return Boundaries(column, outlines, outlines, SOURCE, degrees=False)
    of_state: dict[str, list[str]] = {}
    for state, puma in sorted(set(pumas)):
        of_state.setdefault(state, []).append(puma)
    areas = [
        Area(state, puma, f"PUMA {puma}", (cell,))
        for state, codes in of_state.items()
        if state in states()
        for puma, cell in zip(codes, _cells(state, len(codes)), strict=True)
    ]
    return Boundaries(column, tuple(areas), outlines, SOURCE, degrees=False)


@cache
def _grid() -> dict[str, tuple[int, int]]:
    with Path(__file__).with_name("tiles.csv").open(encoding="utf-8", newline="") as file:
        return {line["usps"]: (int(line["column"]), int(line["row"])) for line in csv.DictReader(file)}


def _cells(state: str, count: int) -> list[Array]:
    """Divide a tile below its band into cells of about equal area; those of the last rows are wider."""
    column, row = _grid()[states()[state].usps]
    side = 1 - _GAP
    top, height, rows = row + side * BAND, side * (1 - BAND), round(math.sqrt(count * (1 - BAND))) or 1
    found = []
    for k, cells in enumerate(np.array_split(np.arange(count), rows)):
        for j in range(len(cells)):
            x, y = column + side * j / len(cells), top + height * k / rows
            found.append(_rectangle(x, y, side / len(cells), height / rows))
    return found


def _square(column: int, row: int) -> Array:
    return _rectangle(column, row, 1 - _GAP, 1 - _GAP)


def _rectangle(x: float, y: float, width: float, height: float) -> Array:
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
