"""The figure of internal validation: three metrics against subset size, fused and by simpler methods.

Belongs here: drawing of `subset_scores.by_size`. Does not belong here: the numbers, the look (`style.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion_pipeline.validation.style import ALERT, DONOR, FUSED, MUTED, WHISKER, Canvas
from fusion_pipeline.validation.subset_scores import EVERYTHING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = {
    "fused": ("fused", FUSED, "-"),
    "direct": ("donors of the subset", DONOR, "-"),
    "neighbour": ("nearest donor", "#7a6ba8", "-"),
    "random": ("random donor", "#d9a441", "-"),
    "grand": ("mean of everyone", ALERT, (0, (4, 3))),
}
PANELS = {
    "error_percent": "median absolute error, %",
    "value_added": "value added (1: no error)",
    "relative_uncertainty": "margin / estimate, fused over observed",
}
CEILINGS = {"value_added": 1.0}
GUIDES = {"relative_uncertainty": 1.0}
_WIDTH, _LEFT, _GAP = 9.6, 0.55, 0.5


def internal_figure(sizes: pd.DataFrame, variable: str = EVERYTHING, *, source: str = "") -> bytes:
    """Draw one panel a metric: a thick line for the fused estimates, one for every simpler method.

    Parameters
    ----------
    sizes : of `subset_scores.by_size`
    variable : whose; all together with a thin line for each, by default
    source : what the numbers come from

    Returns
    -------
    bytes
        PNG.
    """
    about = "all fusion variables; thin: each of them" if variable == EVERYTHING else variable
    title = "Internal validation by size of the subset"
    with Canvas(title, f"smoothed medians, {about}", source, width=_WIDTH, height=3.9) as canvas:
        wide = (_WIDTH - _LEFT - 0.2 - (len(PANELS) - 1) * _GAP) / len(PANELS)
        for number, (metric, label) in enumerate(PANELS.items()):
            left = _LEFT + number * (wide + _GAP)
            axes = canvas.axes(left=left, right=_WIDTH - left - wide, top=1.2, bottom=0.8)
            _panel(axes, sizes[sizes["metric"] == metric], variable, CEILINGS.get(metric), GUIDES.get(metric))
            axes.set_title(label, loc="left", fontsize=9, color=MUTED)
            axes.set_xlabel("households in the subset")
            if number == 0:
                canvas.figure.legend(
                    *axes.get_legend_handles_labels(),
                    loc="upper left",
                    bbox_to_anchor=(0.008, 1 - 0.52 / canvas.height),
                    ncols=len(STYLES),
                    handlelength=1.6,
                    columnspacing=1.4,
                )
        return canvas.png()


def _panel(
    axes: Axes, lines: pd.DataFrame, variable: str, ceiling: float | None, guide: float | None
) -> None:
    if variable == EVERYTHING:
        single = lines[(lines["method"] == "fused") & (lines["variable"] != EVERYTHING)]
        for _, line in single.groupby("variable", sort=False):
            axes.plot(line["households"], line["value"], color=WHISKER, linewidth=0.8, zorder=1)
    shown = lines[lines["variable"] == variable]
    for method, (label, color, style) in STYLES.items():
        line = shown[shown["method"] == method]
        if len(line):
            thick = 2.4 if method == "fused" else 1.3
            axes.plot(
                line["households"],
                line["value"],
                color=color,
                linestyle=style,
                linewidth=thick,
                label=label,
                zorder=4 if method == "fused" else 3,
            )
    top = float(np.nanmax(shown["value"])) if len(shown) else 1.0
    axes.set_ylim(0, ceiling or 1.15 * max(top, 1e-9))
    if guide:
        axes.axhline(guide, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=2)
    axes.set_xscale("log")
    _sizes(axes, lines["households"].to_numpy(np.float64))


def _sizes(axes: Axes, at: np.ndarray) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    nice = np.array([1, 2, 5]) * 10.0 ** np.arange(8)[:, None]
    ticks = nice[(nice >= at.min(initial=1) * 0.99) & (nice <= at.max(initial=1) * 1.01)]
    axes.xaxis.set_major_locator(FixedLocator(ticks.ravel()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
