"""What models rest on: the share of each predictor in what their trees gained.

Belongs here: `importance`, from a model set to a tidy table. Does not belong here: figures (`validation/figures.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fusion_pipeline.errors import FusingError
from fusion_pipeline.fusion.modelset import ModelSet, open_model_set


def importance(models: ModelSet | Path | str, *, detailed: bool = False) -> pd.DataFrame:
    """Say how much each predictor matters for each fusion variable.

    Parameters
    ----------
    models : ModelSet or its path
    detailed : bool
        One row for every model (class, zero, mean, each quantile) instead of the mean over a variable's models.

    Returns
    -------
    Columns `variable`, `predictor`, `share` of the gain, which adds up to 1 over a variable's predictors (to 0 if its
    models found nothing). Detailed: `variable`, `model`, `predictor`, `share`, and `splits`, the share of the splits.

    Notes
    -----
    Of the models fitted on the donors' own weights. A predictor that comes in several correlated versions shares its
    importance among them.

    Examples
    --------
    >>> import fusion_pipeline as fp, tempfile
    >>> donor, recipient = fp.example_tables()
    >>> folder = tempfile.mkdtemp()
    >>> models = fp.train(donor, y=["size"], x=["group", "income"], weight="weight", out=folder, leaves=[4])
    >>> table = fp.importance(models)
    >>> table.loc[table["share"].idxmax(), "predictor"]
    'group'
    """
    opened = open_model_set("importance, models", models, FusingError)
    rows = []
    for record in (r for r in opened.records if r.set == 0):
        names = opened.plan.steps[record.step].predictors
        shares = _shares(np.array(record.importance))
        splits = _shares(_splits(opened, record.file)) if detailed else shares
        rows += [
            (record.variable, record.role, name, float(share), float(split))
            for name, share, split in zip(names, shares, splits, strict=True)
        ]
    table = pd.DataFrame(rows, columns=["variable", "model", "predictor", "share", "splits"])
    if detailed:
        return table
    # A model without a split says nothing about the others.
    found = table.groupby(["variable", "model"], sort=False)["share"].transform("sum") > 0
    mean = table[found].groupby(["variable", "predictor"], sort=False)["share"].mean()
    short = table[["variable", "predictor"]].drop_duplicates(ignore_index=True)
    return short.join(mean, on=["variable", "predictor"]).fillna({"share": 0.0})


def _splits(models: ModelSet, file: str) -> np.ndarray:
    import lightgbm as lgb

    return lgb.Booster(model_file=str(models.path / file)).feature_importance("split").astype(np.float64)


def _shares(values: np.ndarray) -> np.ndarray:
    return values / values.sum() if values.sum() > 0 else np.zeros(len(values))
