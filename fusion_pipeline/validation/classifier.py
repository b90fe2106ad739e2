"""Can a classifier tell fused records from real ones?

Belongs here: the area under its curve. Does not belong here: which records are compared (`compared.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.randomness import stream

FOLDS = 5
MOST_HOUSEHOLDS = 20_000
"""Households beyond this many are not looked at: the area is known to a percent by then."""
ROUNDS = 150


def real_or_fused(
    predictors: NDArray[np.float64],
    observed: NDArray[np.float64],
    fused: NDArray[np.float64],
    seed: int,
    threads: int = 1,
) -> float:
    """Measure how well boosted trees tell a household's real answers from its fused ones.

    Parameters
    ----------
    predictors : (n, p) columns both have
    observed : (n, v) real answers; categories as indicators
    fused : (M, n, v)
    seed : of the folds
    threads : of LightGBM

    Returns
    -------
    Area under the receiver operating characteristic: 0.5 if they cannot be told apart, 1 if always. Mean over five
    folds of households; both records of a household are in the same fold, and fold k sees implicate k.
    """
    import lightgbm
    from sklearn.metrics import roc_auc_score

    chosen = stream(seed, "classifier", "households").permutation(len(observed))[:MOST_HOUSEHOLDS]
    fold = np.arange(len(chosen)) % FOLDS
    areas = []
    for k in range(FOLDS):
        drawn = fused[k % len(fused)]
        x = np.vstack(
            [np.column_stack([predictors[chosen], answers[chosen]]) for answers in (observed, drawn)]
        )
        real, held = np.repeat([1.0, 0.0], len(chosen)), np.tile(fold == k, 2)
        settings = {
            "objective": "binary",
            "learning_rate": 0.05,
            "num_leaves": 15,
            "min_data_in_leaf": 20,
            "seed": 1,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": threads,
            "verbose": -1,
        }
        model = lightgbm.train(settings, lightgbm.Dataset(x[~held], real[~held]), ROUNDS)
        areas.append(roc_auc_score(real[held], model.predict(x[held])))
    return float(np.mean(areas))
