"""Scores of estimates whose truth is known: accuracy of every method, coverage and width of the margins.

Belongs here: tables made from those of `KnownTruth`. Does not belong here: making these (`known_truth.py`), figures
(`area_figures.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fusion_pipeline.inference.area_error import AreaError
from fusion_pipeline.inference.area_variance import Lie, area_variance, widened
from fusion_pipeline.validation.known_truth import METHODS
from fusion_pipeline.validation.metrics import percent_error, value_added

SIZES = ((0, 100), (100, 200), (200, 400), (400, 800), (800, np.inf))
"""Classes of group size, by households."""


def with_margins(
    table: pd.DataFrame, error: AreaError, *, leave_out: bool = True, level: float = 0.90
) -> pd.DataFrame:
    """Add 90 % margins without and with the area component, and whether they cover the truth.

    Parameters
    ----------
    table : of `KnownTruth`
    error : measured on the same or on other states
    leave_out : take the icc of every variable from the other variables only

    Returns
    -------
    pd.DataFrame
        With `margin_without`, `margin_with`, `covered_between` (implicates only), `covered_without`, `covered_with`.
    """
    from scipy.special import stdtrit

    parts = []
    for variable, rows in table.groupby("variable", sort=False):
        known = error.without([str(variable)]) if leave_out else error
        expected = known.expected(float(rows["spread"].iloc[0]))
        component = area_variance(
            expected,
            rows["residual_share"],
            rows["within"],
            rows["effective_n"],
            Lie(*(rows[name].to_numpy() for name in ("h", "h_wider", "partial"))),
        )
        q, off = (1 + level) / 2, (rows["fused"] - rows["truth"]).abs()
        between = stdtrit(rows["implicates"] - 1, q) * np.sqrt((1 + 1 / rows["implicates"]) * rows["between"])
        _, without = widened(rows["variance"], rows["df"], 0.0, np.inf, level)
        _, together = widened(rows["variance"], rows["df"], component, expected.df, level)
        parts.append(
            rows.assign(
                margin_without=without,
                margin_with=together,
                covered_between=off <= between,
                covered_without=off <= without,
                covered_with=off <= together,
            )
        )
    return pd.concat(parts, ignore_index=True)


def accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """Median absolute error in percent of the truth, and mean value added, by level, variable and method.

    Notes
    -----
    Formulas in `metrics.py`. Groups without a donor have no direct estimate and count as an error of the grand mean's
    size: value added 0.
    """
    rows = []
    for (level, variable), part in table.groupby(["level", "variable"], sort=False):
        for method in (m for m in METHODS if m in part):
            estimate = part[method].fillna(part["grand"])
            percent = percent_error(estimate, part["truth"])
            added = value_added(estimate, part["truth"], part["grand"])
            rows.append((level, variable, method, np.nanmedian(percent), np.nanmean(added)))
    return pd.DataFrame(rows, columns=["level", "variable", "method", "error_percent", "value_added"])


def coverage(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Coverage and median width of margins, without and with the area component, by columns of `with_margins`.

    `size` may be among them: the class of the number of households.
    """
    sizes = pd.cut(
        table["n"], [low for low, _ in SIZES] + [np.inf], right=False, labels=[_size(*s) for s in SIZES]
    )
    grouped = table.assign(
        size=sizes,
        widening=table["margin_with"] / table["margin_without"],
        width=2 * table["margin_with"] / table["sd"],
    ).groupby(list(by), sort=False, observed=True)
    return grouped.agg(
        groups=("n", "size"),
        households=("n", "median"),
        between_only=("covered_between", "mean"),
        without=("covered_without", "mean"),
        with_area=("covered_with", "mean"),
        widening=("widening", "median"),
        width_sd=("width", "median"),
    ).reset_index()


def _size(low: float, high: float) -> str:
    return f"{low:.0f}+" if np.isinf(high) else f"{low:.0f} to {high - 1:.0f}"
