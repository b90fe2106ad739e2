"""A grid of state tiles, coloured by an estimate; PUMAs as stripes within their state's tile.

Belongs here: this one map. Does not belong here: real boundaries, and figures by group
(`validation/figures.py`).

Every state has a tile of the same size, about where it lies, so that small states can be read. PUMAs have no place in
it: within a tile they are stripes from the lowest to the highest.
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

from fusion_pipeline.geography.concordance import states

GRID = """
AK .. .. .. .. .. .. .. .. .. ME
.. .. .. .. .. .. .. .. .. VT NH
WA ID MT ND MN IL WI MI NY RI MA
OR NV WY SD IA IN OH PA NJ CT ..
CA UT CO NE MO KY WV VA MD DE ..
.. AZ NM KS AR TN NC SC DC .. ..
.. .. .. OK LA MS AL GA .. .. ..
HI .. .. TX .. .. .. .. FL .. ..
"""
"""Rows and columns of the tiles: the layout that US newsrooms use."""


def state_tiles(table: pd.DataFrame, title: str) -> bytes:
    """Draw estimates by state, or by state and smaller areas.

    Parameters
    ----------
    table : one estimand's rows with columns `state` (FIPS code) and `estimate`
    title : heading

    Returns
    -------
    PNG image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    by_state = table.groupby(table["state"].astype(str), observed=True)["estimate"]
    found = {code: np.sort(values.to_numpy()) for code, values in by_state}
    names = {state.usps: code for code, state in states().items()}
    scale = Normalize(float(table["estimate"].min()), float(table["estimate"].max()))
    colours = ScalarMappable(scale, "viridis")
    figure = Figure(figsize=(8, 5.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for row, line in enumerate(GRID.split("\n")[1:-1]):
        for column, name in enumerate(line.split()):
            if name == "..":
                continue
            values = found.get(names[name], np.array([]))
            for k, value in enumerate(values):
                place = (column + 0.04 + 0.92 * k / len(values), -row + 0.04)
                axes.add_patch(Rectangle(place, 0.92 / len(values), 0.92, color=colours.to_rgba(value), lw=0))
            axes.add_patch(
                Rectangle((column + 0.04, -row + 0.04), 0.92, 0.92, fill=False, ec="#999999", lw=0.6)
            )
            dark = len(values) and scale(np.median(values)) < 0.6
            axes.text(
                column + 0.5,
                -row + 0.5,
                name,
                ha="center",
                va="center",
                fontsize=9,
                color="w" if dark else "k",
            )
    axes.set(xlim=(0, 11), ylim=(-7, 1), aspect="equal", title=title)
    axes.axis("off")
    figure.colorbar(colours, ax=axes, shrink=0.5)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
