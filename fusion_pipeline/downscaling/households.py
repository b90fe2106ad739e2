"""Households that are shared out: read, checked, and coded by the levels of the tables.

Belongs here: what a household must have, and its PUMA. Does not belong here: tables (`tables.py`), the fit of a PUMA
(`fitting.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fusion_pipeline.downscaling.tables import VARIABLE, Frame, as_frame
from fusion_pipeline.errors import AnalysisError, listing
from fusion_pipeline.storage.tables import TableRef

KEYS = ("year", "hid")


def read_households(
    households: Frame, tables: pd.DataFrame, puma: Sequence[str], weight: str
) -> tuple[pd.DataFrame, list[str]]:
    """Read keys, weight, PUMA and the tables' variables of all households with a weight.

    Returns
    -------
    frame : one row a household of positive weight
    notes : sentences on what was left out

    Raises
    ------
    AnalysisError
        If a column is missing, a household is there twice, or a weight is missing, infinite or negative.
    """
    there = households.columns if isinstance(households, pd.DataFrame | TableRef) else households.column_names
    needed = ["hid", weight, *puma]
    if absent := [name for name in needed if name not in there]:
        raise AnalysisError(
            f"households, column {absent[0]}",
            f"is not there; there are {listing(list(map(str, there)))}.",
            "Give hid, the weight and the columns of the PUMA.",
        )
    variables = [] if VARIABLE not in tables else list(dict.fromkeys(tables[VARIABLE].astype("str")))
    columns = [*KEYS[:1], *needed] if KEYS[0] in there else needed
    # A variable that is not there is named by the check of the tables.
    columns += [name for name in variables if name in there and name not in columns]
    own = as_frame(households, columns).copy()
    keys = [name for name in KEYS if name in own]
    if own.duplicated(keys).any():
        first = own.loc[own.duplicated(keys), keys].iloc[0].to_dict()
        raise AnalysisError(
            "households", f"have more than one row with {first}.", "Give one row a household."
        )
    weights = pd.to_numeric(own[weight], errors="coerce").to_numpy(dtype=np.float64)
    unfit = ~(np.isfinite(weights) & (weights >= 0))
    if unfit.any():
        raise AnalysisError(
            f"households, {weight}",
            f"is missing, infinite or negative in {int(unfit.sum()):,} households.",
            "Correct the weight, or leave these households out.",
        )
    zero = weights == 0
    notes = [f"{int(zero.sum()):,} households of weight 0 are left out."] if zero.any() else []
    return own.assign(**{weight: weights})[~zero], notes


@dataclass(frozen=True)
class OfPuma:
    """The households of one PUMA."""

    key: str
    rows: NDArray[np.int64]
    """(n,) their rows in the frame, ascending."""
    weight: NDArray[np.float64]
    """(n,)"""
    codes: NDArray[np.int64]
    """(n, V) levels."""


def by_puma(
    own: pd.DataFrame, puma: str, weight: str, levels: Mapping[str, Sequence[str]], pumas: Sequence[str]
) -> Iterator[OfPuma]:
    """Give the households of each PUMA.

    Parameters
    ----------
    own : as `read_households` gives it, with the column `puma` of the PUMA's key
    levels : of each variable
    pumas : keys, in the order wanted; all have households
    """
    codes = np.column_stack(
        [pd.Categorical(own[v].astype("str"), list(names)).codes for v, names in levels.items()]
    ).astype(np.int64)
    weights = own[weight].to_numpy()
    rows_of = own.groupby(puma).indices
    for key in pumas:
        rows = np.sort(rows_of[key])
        yield OfPuma(key, rows, weights[rows], codes[rows])
