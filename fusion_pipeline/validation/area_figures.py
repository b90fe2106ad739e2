"""The figure of known truth: what fusion adds for small areas, and how often its margins hold.

Belongs here: drawing of `area_scores.py`. Does not belong here: figures of a fusion pair (`figures.py`), the look
(`style.py`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fusion_pipeline.validation.style import ALERT, DONOR, FUSED, INK, MUTED, WHISKER, Canvas, label_margin

STYLES = {
    "fused": ("fused", FUSED, "o"),
    "forest": ("random forest", "#d9a441", "s"),
    "neighbour": ("nearest donor", "#7a6ba8", "^"),
    "direct": ("donors of the area", DONOR, "D"),
}
ASKED = (0.88, 0.92)
"""Band in which coverage of 90 % margins shall lie."""


def areas_figure(accuracy: pd.DataFrame, coverage: pd.DataFrame, *, source: str = "") -> bytes:
    """Draw value added by method, and coverage without and with the area component, by variable.

    Parameters
    ----------
    accuracy : of `area_scores.accuracy`
    coverage : of `area_scores.coverage` by level and variable
    source : str
        What the numbers come from.

    Returns
    -------
    bytes
        PNG.
    """
    added = accuracy[accuracy["level"] == "area"].pivot_table("value_added", "variable", "method")
    added = added.sort_values("fused")
    held = coverage[coverage["level"] == "area"].set_index("variable").loc[added.index]
    labels = [str(v).replace("_", " ") for v in added.index]
    at, height = np.arange(len(labels)), 1.75 + 0.24 * len(labels)
    with Canvas(
        "Small areas, where the truth is known",
        "hidden, fused from a 2 % sample that does not tell its areas, and compared with the answers",
        source,
        width=9.2,
        height=height,
    ) as canvas:
        left = label_margin(labels)
        middle = left + (9.2 - left) / 2
        box = {"top": 0.95, "bottom": 0.75}
        axes = canvas.axes(left=left, right=9.2 - middle + 0.2, **box)
        axes.hlines(at, 0, added["fused"], color="#cbd2d9", linewidth=1.2, zorder=1)
        for method, (name, color, marker) in reversed(STYLES.items()):
            if method in added:
                size = 46 if method == "fused" else 26
                axes.scatter(added[method], at, s=size, color=color, marker=marker, label=name, zorder=3)
        axes.set(yticks=at, yticklabels=labels, xlim=(0, max(0.8, 1.05 * float(added.max().max()))))
        axes.set_xlabel("value added over the mean of all areas (1: no error)")
        right = canvas.axes(left=middle + 0.2, right=0.25, **box)
        right.axvspan(*ASKED, color=WHISKER, alpha=0.45, linewidth=0, zorder=0)
        right.axvline(0.9, color=FUSED, linewidth=0.8, zorder=1)
        right.hlines(at, held["without"], held["with_area"], color="#cbd2d9", linewidth=1.2, zorder=1)
        right.scatter(
            held["without"], at, s=30, color=ALERT, marker="o", label="Rubin's rule alone", zorder=3
        )
        right.scatter(
            held["with_area"], at, s=46, color=FUSED, marker="o", label="with area component", zorder=4
        )
        right.set(yticks=at, yticklabels=[], xlim=(min(0.3, float(held["without"].min()) - 0.05), 1.01))
        right.set_xlabel("share of areas inside the 90 % margin")
        for one, start in ((axes, -0.36), (right, -0.02)):
            one.set_ylim(-0.7, len(at) - 0.3)
            one.tick_params(axis="y", labelcolor=INK)
            one.grid(axis="y", visible=False)
            one.legend(
                loc="lower left",
                bbox_to_anchor=(start, 1.0),
                ncols=4,
                handletextpad=0.2,
                columnspacing=1.0,
                fontsize=8,
                labelcolor=MUTED,
            )
        return canvas.png()
