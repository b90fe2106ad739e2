"""Figures of a fusion pair, each from a small frame to PNG bytes.

Belongs here: what a reader should see, and how it is drawn. Does not belong here: the numbers
(`marginals.py`, `distributions.py`, `inference`), the look (`style.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion_pipeline.validation.style import (
    ALERT,
    DONOR,
    FUSED,
    INK,
    LINE,
    MUTED,
    WHISKER,
    Canvas,
    label_margin,
    shortened,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NORMAL_90 = 1.6448536269514722
"""Standard errors in a 90 % margin."""


def distribution(frame: pd.DataFrame, *, unit: str = "", source: str = "") -> bytes:
    """Draw one numeric fusion variable, donor against fused; the share of zeros stands apart.

    Parameters
    ----------
    frame : rows of one variable from `distributions.compare_distributions`
    unit : str
        Unit of the values.
    source : str
        What the numbers come from.

    Returns
    -------
    bytes
        PNG.
    """
    variable, log = str(frame["variable"].iloc[0]), frame["scale"].iloc[0] == "log"
    zeros = frame[(frame["low"] == 0) & (frame["high"] == 0)]
    bins = frame.drop(zeros.index)
    subtitle = "weighted share of households, %" + (", logarithmic scale" if log else "")
    with Canvas(f"Distribution of {variable}", subtitle, source) as canvas:
        left = 0.65
        if len(zeros):
            at_zero = canvas.axes(left=left, right=canvas.width - 1.6)
            shares = [100 * float(zeros[side].iloc[0]) for side in ("donor", "fused")]
            bars = at_zero.bar([0, 1], shares, color=[DONOR, FUSED], width=0.72)
            at_zero.bar_label(bars, fmt="%.1f", padding=2, fontsize=8, color=MUTED)
            at_zero.set(
                xticks=[0.5], xticklabels=["zero"], xlim=(-0.7, 1.7), ylim=(0, 1.18 * max(*shares, 1e-9))
            )
            at_zero.grid(axis="x", visible=False)
            left = 2.2
        axes = canvas.axes(left=left)
        edges = [*bins["low"], bins["high"].iloc[-1]]
        axes.stairs(100 * bins["donor"].to_numpy(), edges, fill=True, color=DONOR, alpha=0.55, label="donor")
        axes.stairs(100 * bins["fused"].to_numpy(), edges, color=FUSED, linewidth=1.8, label="fused")
        if log:
            _logarithmic(axes)
        axes.xaxis.set_major_formatter(_plain)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(bottom=0)
        axes.grid(axis="x", visible=False)
        axes.set_xlabel(f"{variable}, {unit}" if unit else variable)
        axes.legend(loc="upper right", ncols=2, handlelength=1.4)
        return canvas.png()


def shares(frame: pd.DataFrame, *, source: str = "") -> bytes:
    """Draw the level shares of one categorical fusion variable, donor (with 90 % margins) against fused.

    Parameters
    ----------
    frame : rows of one variable from `marginals.compare_marginals`
    """
    variable = str(frame["variable"].iloc[0])
    labels = [wrapped(str(level)) for level in frame["level"]]
    at = np.arange(len(frame))[::-1]
    height = 1.55 + 0.42 * len(frame)
    subtitle = "weighted share of households, %; whiskers: 90 % margin of the donor's estimate"
    with Canvas(f"Shares of {variable}", subtitle, source, height=height) as canvas:
        axes = canvas.axes(left=label_margin(labels), bottom=0.65)
        margin = 100 * NORMAL_90 * frame["donor_standard_error"].to_numpy(float)
        whiskers = {"ecolor": MUTED, "elinewidth": 1.1, "capsize": 2.5}
        axes.barh(
            at,
            100 * frame["donor"],
            height=0.62,
            color=DONOR,
            alpha=0.6,
            xerr=margin,
            error_kw=whiskers,
            label="donor",
        )
        axes.plot(
            100 * frame["fused"], at, "D", color=FUSED, markersize=6, label="fused", clip_on=False, zorder=5
        )
        axes.set(yticks=at, yticklabels=labels, ylim=(-0.6, len(frame) - 0.4))
        axes.set_xlim(0, 104 * max(frame["donor"].max(), frame["fused"].max()) + margin.max())
        axes.tick_params(axis="y", labelcolor=INK)
        axes.grid(axis="y", visible=False)
        _legend_above(canvas, axes)
        return canvas.png()


def similarity(frame: pd.DataFrame, *, threshold: float = 0.8, source: str = "") -> bytes:
    """Draw how alike donor and recipient are in every harmonized predictor, least alike on top.

    Parameters
    ----------
    frame : columns `predictor` and `similarity` (0 to 1)
    """
    frame = frame.sort_values(["similarity", "predictor"], ignore_index=True)
    labels = [shortened(str(name)) for name in frame["predictor"]]
    at, values = np.arange(len(frame))[::-1], frame["similarity"].to_numpy(float)
    colors = np.where(values < threshold, ALERT, FUSED)
    low = int((values < threshold).sum())
    subtitle = f"similarity of weighted distributions, 1 = alike; {low} of {len(frame)} below {threshold:g}"
    title = "Donor and recipient in the harmonized predictors"
    with Canvas(title, subtitle, source, height=1.45 + 0.23 * len(frame)) as canvas:
        axes = canvas.axes(left=label_margin(labels), bottom=0.65)
        start = max(0.0, min([threshold, *values]) - 0.1)
        axes.hlines(at, start, values, color=LINE, linewidth=2.2)
        axes.axvline(threshold, color=ALERT, linewidth=1, linestyle=(0, (4, 3)))
        axes.scatter(values, at, c=colors.tolist(), s=34, zorder=3, clip_on=False)
        axes.set(yticks=at, yticklabels=labels, xlim=(start, 1), ylim=(-0.7, len(frame) - 0.3))
        axes.tick_params(axis="y", labelcolor=INK)
        axes.grid(visible=False)
        return canvas.png()


def differences(frame: pd.DataFrame, *, beyond: float, source: str = "") -> bytes:
    """Draw the largest differences of fused marginals from those of comparable donors, largest on top.

    Parameters
    ----------
    frame : columns `variable`, `level` and `z`, the difference in standard errors; rows without z are left out
    beyond : what chance seldom exceeds
    """
    frame = frame[np.isfinite(frame["z"].to_numpy(float))]
    order = np.argsort(-frame["z"].abs().to_numpy(float), kind="stable")[:20]
    shown = frame.iloc[order]
    labels = [shortened(f"{row.variable}: {row.level}") for row in shown.itertuples()]
    at, z = np.arange(len(shown))[::-1], shown["z"].to_numpy(float)
    colors = np.where(np.abs(z) > beyond, ALERT, FUSED)
    subtitle = f"in standard errors; the {len(shown)} largest of {len(frame)} marginals"
    title = "Fused minus comparable donors"
    with Canvas(title, subtitle, source, height=1.45 + 0.23 * len(shown)) as canvas:
        axes = canvas.axes(left=label_margin(labels), bottom=0.65)
        for side in (-beyond, beyond):
            axes.axvline(side, color=ALERT, linewidth=1, linestyle=(0, (4, 3)))
        axes.hlines(at, 0, z, color=LINE, linewidth=2.2)
        axes.scatter(z, at, c=colors.tolist(), s=34, zorder=3, clip_on=False)
        axes.set(yticks=at, yticklabels=labels, ylim=(-0.7, len(shown) - 0.3))
        axes.tick_params(axis="y", labelcolor=INK)
        axes.grid(visible=False)
        return canvas.png()


PANELS_A_FIGURE, GROUPS_A_PANEL = 6, 7
"""What remains legible, and below the limit of `Canvas.png`."""


def side_by_side(panels: Sequence[pd.DataFrame], *, source: str = "") -> list[bytes]:
    """Draw the distributions of harmonized predictors, donor and recipient beside each other, in small panels.

    Parameters
    ----------
    panels : of `harmonize.side_by_side`, one a predictor

    Returns
    -------
    list of bytes
        PNGs of six panels at most. Of many groups the largest are drawn, and the others together.
    """
    batches = [panels[start : start + PANELS_A_FIGURE] for start in range(0, len(panels), PANELS_A_FIGURE)]
    return [_side_by_side(batch, source) for batch in batches]


def _side_by_side(panels: Sequence[pd.DataFrame], source: str) -> bytes:
    top, row, rows = 0.75, 1.95, (len(panels) + 1) // 2
    title, subtitle = "Donor and recipient side by side", "weighted share of those who answered, %"
    with Canvas(title, subtitle, source, height=top + row * rows + 0.25) as canvas:
        half = canvas.width / 2
        for position, panel in enumerate(panels):
            down, across = divmod(position, 2)
            above = top + down * row
            is_number = panel["low"].notna().all()
            axes = canvas.axes(
                left=across * half + (0.5 if is_number else 1.72),
                right=(1 - across) * half + 0.2,
                top=above + 0.25,
                bottom=canvas.height - above - row + 0.3,
            )
            name, alike = str(panel["predictor"].iloc[0]), panel["similarity"].iloc[0]
            heading = f"{shortened(name, 36)}, similarity {alike:.2f}"
            left = (across * half + 0.16) / canvas.width
            canvas.figure.text(left, 1 - (above + 0.14) / canvas.height, heading, size=8.5, weight="bold")
            (_draw_intervals if is_number else _draw_groups)(axes, panel)
            axes.tick_params(labelsize=7.5)
        handles, labels = canvas.figure.axes[0].get_legend_handles_labels()
        canvas.figure.legend(handles, labels, loc="upper right", ncols=2, handlelength=1.2)
        return canvas.png()


def _draw_intervals(axes: Axes, panel: pd.DataFrame) -> None:
    edges = [*panel["low"], panel["high"].iloc[-1]]
    donor, recipient = (100 * panel[side].to_numpy(float) for side in ("donor", "recipient"))
    axes.stairs(donor, edges, fill=True, color=DONOR, alpha=0.55, label="donor")
    axes.stairs(recipient, edges, color=FUSED, linewidth=1.8, label="recipient")
    axes.xaxis.set_major_formatter(_plain)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.locator_params(nbins=5)
    axes.grid(axis="x", visible=False)


def _draw_groups(axes: Axes, panel: pd.DataFrame) -> None:
    shares = panel[["label", "donor", "recipient"]]
    if len(shares) > GROUPS_A_PANEL:
        largest = shares[["donor", "recipient"]].max(axis=1).nlargest(GROUPS_A_PANEL - 1).index
        rest = shares.drop(largest)
        others = {"label": f"{len(rest)} others", **rest[["donor", "recipient"]].sum()}
        shares = pd.concat([shares.loc[sorted(largest)], pd.DataFrame([others])])
    at = np.arange(len(shares))[::-1]
    axes.barh(at + 0.2, 100 * shares["donor"], height=0.38, color=DONOR, label="donor")
    axes.barh(at - 0.2, 100 * shares["recipient"], height=0.38, color=FUSED, label="recipient")
    labels = [shortened(str(label), 26) for label in shares["label"]]
    axes.set(yticks=at, yticklabels=labels, ylim=(-0.6, len(shares) - 0.4))
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(axis="y", visible=False)


def importance(frame: pd.DataFrame, *, variable: str = "", most: int = 20, source: str = "") -> bytes:
    """Draw how much each predictor contributes to the conditional expectations.

    Parameters
    ----------
    frame : columns `predictor` and `share` (of the gain); rows of one predictor are added up.
    variable : str
        Fusion variable that the frame is about; empty: all.
    most : int
        How many predictors to draw.
    """
    totals = frame.groupby("predictor", observed=True)["share"].sum()
    ranked = (totals / totals.sum()).rename_axis("predictor").reset_index()
    ranked = ranked.sort_values(["share", "predictor"], ascending=[False, True]).head(most)
    labels = [shortened(str(name)) for name in ranked["predictor"]]
    at = np.arange(len(ranked))[::-1]
    subtitle = "share of the gain, %"
    if len(totals) > len(ranked):
        subtitle += f"; the first {len(ranked)} of {len(totals)} predictors"
    title = f"What predicts {variable}" if variable else "What predicts the fusion variables"
    with Canvas(title, subtitle, source, height=1.35 + 0.24 * len(ranked)) as canvas:
        axes = canvas.axes(left=label_margin(labels), right=0.55, bottom=0.6)
        bars = axes.barh(at, 100 * ranked["share"], height=0.68, color=FUSED)
        axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8, color=MUTED)
        axes.set(yticks=at, yticklabels=labels, ylim=(-0.7, len(ranked) - 0.3))
        axes.tick_params(axis="y", labelcolor=INK)
        axes.grid(axis="y", visible=False)
        return canvas.png()


def estimates(
    frame: pd.DataFrame,
    by: Sequence[str],
    *,
    unit: str = "",
    level: float = 0.90,
    most: int = 30,
    title: str | None = None,
    source: str = "",
) -> bytes:
    """Draw one estimand by group with its margins, largest estimate on top.

    Parameters
    ----------
    frame : rows of one estimand and level from `inference.analyze.analyze`
    by : sequence of str
        Its group columns.
    level : float
        Confidence level that the margins were made with.
    most : int
        How many groups to draw: those with most records.
    title : str, optional
        Instead of the estimand's text.
    """
    total = len(frame)
    kept = frame.sort_values("n", ascending=False, kind="stable").head(most)
    kept = kept.sort_values("estimate", ascending=False, kind="stable")
    labels = [
        shortened(" · ".join(str(value) for value in row)) for row in kept[list(by)].itertuples(index=False)
    ]
    category = kept["level"].iloc[0]
    estimand = str(kept["estimand"].iloc[0]) + ("" if pd.isna(category) else f" = {category}")
    proportion = estimand.startswith("proportion")
    scale = 100 if proportion else 1
    at = np.arange(len(kept))[::-1]
    subtitle = ", ".join(
        filter(
            None, ["%" if proportion else unit, f"whiskers: {level:.0%} margin of error".replace("%", " %")]
        )
    )
    if total > len(kept):
        subtitle += f"; the {len(kept)} of {total} groups with most records"
    heading = title or f"{estimand} by {', '.join(by)}"
    with Canvas(heading, subtitle, source, height=1.45 + 0.25 * len(kept)) as canvas:
        axes = canvas.axes(left=label_margin(labels), bottom=0.65)
        axes.errorbar(
            scale * kept["estimate"],
            at,
            xerr=scale * kept["margin"],
            fmt="o",
            color=FUSED,
            ecolor=WHISKER,
            elinewidth=2,
            markersize=5.5,
        )
        axes.xaxis.set_major_formatter(_plain)
        axes.set(yticks=at, yticklabels=labels, ylim=(-0.7, len(kept) - 0.3))
        axes.tick_params(axis="y", labelcolor=INK)
        axes.grid(axis="y", visible=False)
        return canvas.png()


def _legend_above(canvas: Canvas, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    order = np.argsort(labels)
    canvas.figure.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="upper right", ncols=2, handlelength=1.2
    )


def _logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())


def _plain(value: float, _: object) -> str:
    """Tick label without powers of ten where there is room for the number."""
    return f"{value:,.0f}" if abs(value) >= 1_000 or value == round(value) else f"{value:,.4g}"
