"""What subset estimates are worth: error, value added and relative uncertainty, in sum and against subset size.

Belongs here: tables made from those of `subset_estimates`. Does not belong here: formulas (`metrics.py`), figures
(`internal_figure.py`).
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from fusion_pipeline.validation.metrics import percent_error, relative_uncertainty, smoothed, value_added
from fusion_pipeline.validation.subset_estimates import METHODS

POINTS = 24
"""Sizes at which smoothed metrics are given."""
EVERYTHING = "(all)"
METRICS = ("error_percent", "value_added", "relative_uncertainty")


def scored(estimates: pd.DataFrame) -> pd.DataFrame:
    """Score every estimate by every method.

    Parameters
    ----------
    estimates : of `subset_estimates`

    Returns
    -------
    pd.DataFrame
        One row an estimate and method: `variable`, `method`, `households`, `METRICS` (the third for `fused` only), and
        `covered`, `covered_between`: whether the fused estimate's margin reaches the observed one.

    Notes
    -----
    A subset without donors has no direct estimate; the mean of everyone stands in for it.
    """
    parts = []
    for method in METHODS:
        if estimates[method].isna().all():
            continue
        estimate = estimates[method].fillna(estimates["grand"])
        part = estimates[["variable", "households"]].assign(
            method=method,
            error_percent=percent_error(estimate, estimates["observed"]),
            value_added=value_added(estimate, estimates["observed"], estimates["grand"]),
        )
        if method == "fused":
            part["relative_uncertainty"] = relative_uncertainty(
                estimate, estimates["margin"], estimates["observed"], estimates["observed_margin"]
            )
            off = (estimate - estimates["observed"]).abs()
            # A level that nobody of the subset has, observed or fused, is no estimate that could miss.
            asked = (estimates["observed"] != 0) | (estimate != 0)
            for name in ("margin", "margin_between"):
                reached = (off <= estimates[name]).where(asked & estimates[name].notna())
                part[name.replace("margin", "covered")] = reached.astype(float)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def by_method(scores: pd.DataFrame) -> pd.DataFrame:
    """Sum up by variable and method, all variables first.

    Returns
    -------
    pd.DataFrame
        `variable`, `method`, `estimates` (how many), `error_percent` (median), `value_added` (mean),
        `relative_uncertainty` (median), `coverage` and `coverage_between` (shares).
    """
    rows = []
    for variable in (EVERYTHING, *scores["variable"].unique()):
        of_variable = scores if variable == EVERYTHING else scores[scores["variable"] == variable]
        for method, part in of_variable.groupby("method", sort=False):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                rows.append(
                    {
                        "variable": variable,
                        "method": method,
                        "estimates": len(part),
                        "error_percent": float(np.nanmedian(part["error_percent"])),
                        "value_added": float(np.nanmean(part["value_added"])),
                        "relative_uncertainty": float(np.nanmedian(part["relative_uncertainty"])),
                        "coverage": float(np.nanmean(part["covered"])),
                        "coverage_between": float(np.nanmean(part["covered_between"])),
                    }
                )
    return pd.DataFrame(rows)


def by_size(scores: pd.DataFrame) -> pd.DataFrame:
    """Smooth the metrics over subset size.

    Returns
    -------
    pd.DataFrame
        `variable` (all variables, then each), `method`, `metric`, `households`, `value`.
    """
    ends = np.quantile(scores["households"], [0.02, 0.98])
    at = np.unique(np.geomspace(ends[0], ends[1], POINTS).round())
    parts = []
    for variable in (EVERYTHING, *scores["variable"].unique()):
        of_variable = scores if variable == EVERYTHING else scores[scores["variable"] == variable]
        for method, part in of_variable.groupby("method", sort=False):
            for metric in METRICS:
                values = smoothed(part["households"], part[metric], at)
                if np.isfinite(values).any():
                    parts.append(
                        pd.DataFrame(
                            {
                                "variable": variable,
                                "method": method,
                                "metric": metric,
                                "households": at,
                                "value": values,
                            }
                        )
                    )
    columns = ["variable", "method", "metric", "households", "value"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
