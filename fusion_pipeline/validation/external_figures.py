"""Figures of fused estimates against published ones, as Fig. 6 of Ummel et al. 2024, with margins of error.

Belongs here: how comparisons are drawn. Does not belong here: the numbers (`external.py`), the look (`style.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fusion_pipeline.validation.style import ALERT, FUSED, INK, MUTED, WHISKER, Canvas, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fusion_pipeline.validation.external import Agreement, Comparison

Panel = tuple[str, str, "Comparison"]
"""Title, unit, comparison."""
WIDTH, PANEL_HEIGHT, TOP, BOTTOM = 7.2, 2.75, 0.62, 0.35
MOST_WHISKERS = 60
"""More areas are drawn as points alone."""
MOST_POINTS = 500
"""More are drawn small."""


def against_published(
    panels: Sequence[Panel], *, title: str = "Fused against published", source: str = ""
) -> bytes:
    """Draw estimates (up) against published figures (right), an area a point, a comparison a panel.

    Parameters
    ----------
    panels : title, unit and comparison each
    title : str
        Of several panels; a single one bears its own.
    source : str
        What the estimates come from.

    Returns
    -------
    PNG. Points whose figure lies outside the margin of error have another colour; the line is that of equal values.
    """
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    heading = panels[0][0] if len(panels) == 1 else title
    subtitle = "up: fused, with 90 % margin; right: published; an area a point, red if the figure is outside the margin"
    with Canvas(heading, subtitle, source, width=WIDTH, height=TOP + rows * PANEL_HEIGHT + BOTTOM) as canvas:
        wide = WIDTH / columns
        for number, (title, unit, comparison) in enumerate(panels):
            row, column = divmod(number, columns)
            axes = canvas.axes(
                left=0.72 + column * wide,
                right=0.2 + (columns - 1 - column) * wide,
                top=TOP + 0.5 + row * PANEL_HEIGHT,
                bottom=BOTTOM + 0.3 + (rows - 1 - row) * PANEL_HEIGHT,
            )
            _panel(axes, comparison)
            where: dict[str, Any] = {"transform": axes.transAxes, "ha": "left"}
            if len(panels) > 1:
                axes.text(
                    0, 1.11, shortened(title, 42), color=INK, size=9, weight="bold", va="bottom", **where
                )
            axes.text(0, 1.02, shortened(unit, 60), color=MUTED, size=7.5, va="bottom", **where)
            words = "\n".join(_in_words(comparison.agreement))
            axes.text(0.03, 0.97, words, color=MUTED, size=7.5, va="top", linespacing=1.4, zorder=4, **where)
        return canvas.png()


def _panel(axes: Axes, comparison: Comparison) -> None:
    from matplotlib.ticker import MaxNLocator

    table = comparison.table
    x, y = table["published"].to_numpy(float), table["estimate"].to_numpy(float)
    outside = (~table["inside"].fillna(True).astype(bool)).to_numpy()
    if len(table) <= MOST_WHISKERS:
        margins = {"yerr": np.nan_to_num(table["margin"]), "xerr": np.nan_to_num(table["published_margin"])}
        axes.errorbar(x, y, **margins, fmt="none", ecolor=WHISKER, elinewidth=1.1)
    size = 20 if len(table) <= MOST_WHISKERS else 7 if len(table) <= MOST_POINTS else 2
    axes.scatter(x, y, s=size, c=np.where(outside, ALERT, FUSED).tolist(), linewidths=0, zorder=3)
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    ends = (low - room, high + room)
    axes.plot(ends, ends, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.set(xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(_tick)


def _in_words(agreement: Agreement) -> list[str]:
    told = [f"{agreement.areas:,} area{'s' if agreement.areas != 1 else ''}"]
    if np.isfinite(agreement.correlation):
        told.append(f"r {agreement.correlation:.2f}, ranks {agreement.rank_correlation:.2f}")
    if np.isfinite(agreement.median_error):
        told.append(f"error {100 * agreement.median_error:.0f} %")
    if np.isfinite(agreement.inside):
        told.append(f"inside {100 * agreement.inside:.0f} %")
    return told


def _tick(value: float, _: object) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 or value == round(value) else f"{value:.4g}"
