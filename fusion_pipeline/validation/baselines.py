"""What fusion has to beat: other ways to a value for every recipient, or for every area.

Belongs here: predictions by the nearest donor and a random forest, and direct estimates from donors.
Does not belong here: scores (`area_scores.py`), fusion itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


def features(frame: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float32]:
    """Make a matrix of predictors: numbers and yes/no as they are, one indicator a level of a category."""
    parts = []
    for name in columns:
        values = frame[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            parts += [(values == level).to_numpy(np.float32) for level in values.cat.categories[1:]]
        else:
            parts.append(values.to_numpy(np.float32))
    return np.column_stack(parts)


def nearest_donor(donor: NDArray[np.float32], recipient: NDArray[np.float32]) -> NDArray[np.int64]:
    """Find every recipient's nearest donor by Euclidean distance over features in units of their standard deviation.

    A missing feature counts as the donors' mean.

    Returns
    -------
    (n_recipients,) donor rows; ties go to the first.
    """
    from fusion_pipeline.fusion.matching import nearest_rows

    scale = np.nanstd(donor, axis=0)
    kept = scale > 0
    middle = np.nanmean(donor[:, kept], axis=0)
    near, wanted = (np.nan_to_num((x[:, kept] - middle) / scale[kept]) for x in (donor, recipient))
    return nearest_rows(near, wanted, 1)[:, 0]


def forest_means(
    donor: NDArray[np.float32],
    values: Array,
    weight: Array,
    recipient: NDArray[np.float32],
    seed: int,
    *,
    trees: int = 100,
    threads: int = 1,
) -> Array:
    """Predict the mean of every recipient by a random forest (Breiman 2001; leaves of five donors or more)."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        trees, min_samples_leaf=5, max_features=1 / 3, random_state=seed, n_jobs=threads
    )
    return np.asarray(forest.fit(donor, values, weight).predict(recipient), dtype=np.float64)


def group_means(values: Array, weight: Array, groups: NDArray[np.int64], count: int) -> Array:
    """Weighted means (count,) of the records of each group 0..count-1; NaN where there is none; -1 is no group."""
    there = groups >= 0
    total = np.bincount(groups[there], weights=weight[there], minlength=count)
    summed = np.bincount(groups[there], weights=(weight * values)[there], minlength=count)
    return np.divide(summed, total, out=np.full(count, np.nan), where=total > 0)
