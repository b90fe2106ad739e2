"""The figures that a reader of a fusion pair's report sees first: estimates of all households, and how well they hold.

Belongs here: which, and their words. Does not belong here: estimating (`estimating.py`), how numbers by area are shown
(`pair_report.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa

from fusion_pipeline.harmonize.similarity import similarity_numbers
from fusion_pipeline.inference.output import Estimates
from fusion_pipeline.validation.comparable import BEYOND, beyond
from fusion_pipeline.validation.pair_maps import typical
from fusion_pipeline.validation.words import Words


def headlines(
    overall: Estimates,
    texts: Sequence[str],
    *,
    words: Mapping[str, Words],
    marginals: pd.DataFrame,
    alike: pa.Table,
) -> dict[str, str]:
    """Put into words what to see first.

    Parameters
    ----------
    overall : estimates of all households together
    texts : the estimates, such as `mean(btuel)`; of a category the yes is told, or what most answer
    words : how to call the variables
    marginals : of `pair_marginals.pair_marginals`
    alike : of `harmonize.similarity`
    """
    told = {}
    for text in texts:
        row = typical(overall, text).table.iloc[0]
        about, level = words[row["variable"]], row["level"]
        answer = "" if pd.isna(level) or level == "Yes" else f": {level}"
        told[f"{about.description}{answer}"] = with_margin(row, about.unit)
    least = similarity_numbers(alike)
    compared = int(marginals["z"].notna().sum())
    told["Marginals that differ from comparable donors"] = (
        f"{len(beyond(marginals))} of {compared} by more than {BEYOND:g} standard errors"
    )
    if least:
        told["Least alike predictor"] = f"{least['worst predictor']}, {least['similarity_min']:.2f}"
    return told


def with_margin(row: pd.Series, unit: str) -> str:
    """Show an estimate and its margin, to two figures of the margin; a share in percent."""
    share = str(row["estimand"]).startswith("proportion")
    scale = 100 if share else 1
    estimate, margin = scale * row["estimate"], scale * row["margin"]
    decimals = places(margin)
    shown = (
        f"{round(estimate, decimals):,.{max(decimals, 0)}f} ± {round(margin, decimals):,.{max(decimals, 0)}f}"
    )
    return f"{shown} {'%' if share else unit}".strip()


def places(margin: float) -> int:
    """Count the decimals of two figures of a margin; negative: of tens, hundreds."""
    return 1 - math.floor(math.log10(margin)) if margin > 0 else 3
