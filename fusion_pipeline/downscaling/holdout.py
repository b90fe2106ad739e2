"""How well tables foretell what they do not count: each one left out in turn and held against the others' answer.

Belongs here: the one check of downscaling that real data allow. Does not belong here: the shares (`downscale.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fusion_pipeline.downscaling.downscale import downscale
from fusion_pipeline.downscaling.results import KEYS
from fusion_pipeline.downscaling.tables import COUNT, LEVEL, VARIABLE, Frame, as_frame, puma_keys
from fusion_pipeline.errors import AnalysisError


def foretold(
    households: Frame,
    tables: Frame,
    *,
    area: str,
    puma: str | Sequence[str] = "puma",
    weight: str = "weight",
    **settings: Any,
) -> pd.DataFrame:
    """Leave each table out, downscale by the others, and compare.

    Parameters
    ----------
    households, tables, area, puma, weight, settings : as in `downscale`

    Returns
    -------
    One row a variable: `areas`; `wrong`, the share of households in the wrong level of the table left out, mean over
    areas by size; `wrong_puma`, the same when every area gets its PUMA's distribution; `added` = 1 - wrong /
    wrong_puma. Sampling error of the table itself is in both.

    Raises
    ------
    AnalysisError
        If there are fewer than two tables, or as `downscale` does.
    """
    listed = as_frame(tables)
    variables = list(dict.fromkeys(listed[VARIABLE].astype("str")))
    if len(variables) < 2:
        raise AnalysisError("tables", "are one: nothing foretells it.", "Give two variables or more.")
    own = as_frame(households)
    places = [puma] if isinstance(puma, str) else list(puma)
    keys = [name for name in KEYS if name in own]
    rows = []
    for variable in variables:
        left_out = listed[VARIABLE].astype("str") == variable
        found = downscale(own, listed[~left_out], area=area, puma=puma, weight=weight, **settings)
        shares = found.shares.to_pandas().merge(own[[*keys, variable]], on=keys, validate="many_to_one")
        shares[LEVEL] = shares[variable].astype("str")
        true = _distribution(listed[left_out].astype({area: "str", LEVEL: "str"}), area, COUNT)
        said = _distribution(shares, area, "weight")
        shares["puma"] = puma_keys(shares, places, "shares")
        of_puma = _distribution(shares, "puma", "weight")
        place = shares.drop_duplicates(area).set_index(area)["puma"]
        areas = true.index.intersection(said.index)
        levels = true.columns.union(said.columns)
        size = found.areas.set_index(area)["households"].loc[areas].to_numpy()
        wrong, wrong_puma = (
            float(np.average(_wrong(f, true.loc[areas], levels), weights=size))
            for f in (said.loc[areas], of_puma.loc[place.loc[areas]])
        )
        rows.append(
            (variable, len(areas), wrong, wrong_puma, 1 - wrong / wrong_puma if wrong_puma else np.nan)
        )
    return pd.DataFrame(rows, columns=[VARIABLE, "areas", "wrong", "wrong_puma", "added"])


def _distribution(frame: pd.DataFrame, area: str, amount: str) -> pd.DataFrame:
    wide = frame.pivot_table(amount, area, LEVEL, aggfunc="sum", fill_value=0.0, observed=True)
    return wide[wide.sum(axis=1) > 0].pipe(lambda t: t.div(t.sum(axis=1), axis=0))


def _wrong(said: pd.DataFrame, true: pd.DataFrame, levels: pd.Index) -> NDArray[np.float64]:
    """Return the share of each area's households in the wrong level."""
    one, other = (t.reindex(columns=levels, fill_value=0.0).to_numpy(dtype=np.float64) for t in (said, true))
    return np.abs(one - other).sum(axis=1) / 2
