"""Counties whose codes changed: which codes stand for the same ground.

Belongs here: matching county codes of one year to facts of another. Does not belong here: any other unit.

Source: Census Bureau, "Substantial Changes to Counties and County Equivalent Entities", 2010 to 2022. What is known
of the new codes cannot be told apart among the old ones, or the other way round: it is pooled over the ground they
share.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd


@cache
def grounds() -> dict[str, str]:
    """County code -> name of the ground, for the codes that changed since 2010."""
    with Path(__file__).with_name("county_changes.csv").open(encoding="utf-8", newline="") as file:
        return {row["county"]: row["ground"] for row in csv.DictReader(file)}


def ground(counties: pd.Series) -> pd.Series:
    """Name the ground of every county; one that never changed is its own."""
    return counties.map(grounds()).fillna(counties)


def spread_units(counties: pd.Series, units: pd.Series) -> np.ndarray:
    """Spread housing units of counties evenly over their tracts.

    Parameters
    ----------
    counties : county of every tract
    units : housing units by county code, of another year perhaps

    Returns
    -------
    (n_tracts,) float64, NaN for the tracts of a county without units in the file.
    """
    own = ground(counties)
    totals = units.groupby(ground(units.index.to_series()).to_numpy()).sum()
    return (own.map(totals) / own.map(own.value_counts())).to_numpy(np.float64)


def facts(counties: pd.Series, known: pd.Series) -> pd.Series:
    """Give every county its fact: of its code, else of its ground, else missing.

    Of a ground of several codes: the mean of numbers, the label that all agree on.
    """
    own = counties.map(known)
    by_ground = known.groupby(ground(known.index.to_series()).to_numpy())
    if pd.api.types.is_numeric_dtype(known):
        shared = by_ground.mean()
    else:
        shared = by_ground.first().where(by_ground.min() == by_ground.max())
    return own.fillna(ground(counties).map(shared))
