"""The map as a picture: the estimate on the left, its margin of error on the right.

Belongs here: drawing with matplotlib. Does not belong here: what is drawn (`choropleth.py`), the look of all figures
(`validation/style.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fusion_pipeline.mapping.canvas import WIDTH, Sheet
from fusion_pipeline.mapping.choropleth import Choropleth, Layer
from fusion_pipeline.validation.style import INK, MUTED, Canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path

NOTHING, HATCH, BORDER = "#eef0f2", "#b6bec7", "#ffffff"
_SIDE, _GAP, _TOP, _BOTTOM = 0.16, 0.2, 0.86, 0.8
"""Inches around and between the two sheets."""


def draw(chart: Choropleth, *, width: float = 10.0, small: bool = False) -> bytes:
    """Draw both layers side by side.

    Parameters
    ----------
    chart : the map
    width : inches
    small : at screen resolution and within the size of figures that are kept in the event log
    """
    sheet = (width - 2 * _SIDE - _GAP) / 2
    height = _TOP + sheet * chart.sheet.height / WIDTH + _BOTTOM
    with Canvas(chart.title, chart.note, chart.source, width=width, height=height) as canvas:
        for layer, left in zip(chart.layers, (_SIDE, _SIDE + sheet + _GAP), strict=True):
            axes = canvas.axes(left=left, right=width - left - sheet, top=_TOP, bottom=_BOTTOM)
            _panel(axes, chart, layer)
        legend = [colour for layer in chart.layers for colour in layer.shades]
        return canvas.png(keep=legend) if small else canvas.png(dpi=200, logged=False)


def _panel(axes: Axes, chart: Choropleth, layer: Layer) -> None:
    from matplotlib.collections import PathCollection
    from matplotlib.patches import Patch

    paths, classes = _paths(chart.sheet), layer.classes
    fine = 0.25 if len(paths) > 400 else 0.6
    empty = [path for path, which in zip(paths, classes, strict=True) if which < 0]
    axes.add_collection(
        PathCollection(empty, facecolors=NOTHING, edgecolors=HATCH, linewidths=fine, hatch="/////")
    )
    full = np.flatnonzero(classes >= 0)
    colours = [layer.shades[classes[k]] for k in full]
    axes.add_collection(
        PathCollection([paths[k] for k in full], facecolors=colours, edgecolors=BORDER, linewidths=fine)
    )
    if chart.outlines is not None:
        axes.add_collection(
            PathCollection(_paths(chart.outlines), facecolors="none", edgecolors=MUTED, linewidths=0.5)
        )
    for x, y, text in chart.labels:
        look = {"fontsize": 5.5} if chart.banded else {"fontsize": 7, "bbox": _HALO}
        axes.text(x, y, text, ha="center", va="center", color=INK, **look)
    axes.set(xlim=(0, WIDTH), ylim=(chart.sheet.height, 0), aspect="equal")
    axes.axis("off")
    axes.set_title(
        f"{layer.title}, {layer.unit}" if layer.unit else layer.title,
        fontsize=9,
        color=INK,
        loc="left",
        pad=3,
    )
    handles = [Patch(fc=c, ec="#cbd2d9", lw=0.5) for c in layer.shades]
    texts: Sequence[str] = layer.labels
    if empty:
        handles.append(Patch(fc=NOTHING, ec=HATCH, hatch="/////", lw=0.5))
        texts = [*texts, layer.without]
    columns = 3 if max(map(len, texts)) > _WIDE else 4
    axes.legend(
        handles, texts, loc="upper left", bbox_to_anchor=(0, -0.01), ncols=columns, fontsize=7.5, handlelength=1.5,
        columnspacing=1.2, handletextpad=0.5, borderaxespad=0, labelcolor=MUTED,
    )  # fmt: skip


_WIDE = 12
"""Signs of a legend's text beyond which three stand in a row, not four."""
_HALO = {"boxstyle": "round,pad=0.12", "fc": "#ffffffcc", "ec": "none"}


def _paths(sheet: Sheet) -> list[Path]:
    """Make one path an area; a hole runs the other way round and stays empty."""
    from matplotlib.path import Path

    found = []
    for rings in sheet.rings:
        points = [np.vstack([ring, ring[:1]]) for ring in rings]
        codes = [np.array([Path.MOVETO, *[Path.LINETO] * (len(p) - 2), Path.CLOSEPOLY]) for p in points]
        found.append(Path(np.concatenate(points), np.concatenate(codes).astype(Path.code_type)))
    return found
