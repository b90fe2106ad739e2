"""How much of a variable a harmony keeps: groups tell less than the answers they are made of.

Belongs here: the share of entropy kept by recoding. Does not belong here: how alike the two sides are
(`similarity.py`).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fusion_pipeline.harmonize.definitions import Harmony, Side
from fusion_pipeline.harmonize.recoding import Place, recode
from fusion_pipeline.storage.tables import TableRef

# Numbers count as so many parts of equal weight: more would reward no recoding of an amount.
PARTS = 100
Array = np.ndarray


def information_kept(households: pa.Table | TableRef, harmony: Harmony) -> dict[str, float]:
    """Compare the entropy of the donor's groups with that of the answers.

    Parameters
    ----------
    households : the donor's standardized households, with `weight`
    harmony : the pair's harmonies; those of persons, of numbers and of absent columns are passed over

    Returns
    -------
    harmony -> H(groups) / H(answers), weighted, 0 to 1; H = -sum p log p. Numbers are cut into 100 parts first.
    """
    names = set(households.column_names if isinstance(households, pa.Table) else households.columns)
    kept = {}
    for name, entry in harmony.entries.items():
        side = entry.donor
        if not entry.is_categorical or side.level == "person" or not set(side.columns) <= names:
            continue
        columns = ["weight", *side.columns]
        table = households.select(columns) if isinstance(households, pa.Table) else households.read(columns)
        weight = table["weight"].to_numpy().astype(np.float64)
        place = Place(harmony.name, name, "donor", harmony.file)
        groups = recode({column: table[column] for column in side.columns}, side, place)
        before = _entropy(_answers(table, side, place), weight)
        kept[name] = _entropy(groups, weight) / before if before > 0 else 1.0
    return kept


def _answers(table: pa.Table, side: Side, place: Place) -> Array:
    if side.map is None:
        columns = {name: table[name] for name in side.columns}
        numbers = recode(columns, side.model_copy(update={"bins": None}), place).copy()
        known = ~np.isnan(numbers)
        if len(np.unique(numbers[known])) > PARTS:
            edges = np.quantile(numbers[known], np.linspace(0, 1, PARTS + 1)[1:-1])
            numbers[known] = np.searchsorted(edges, numbers[known], side="right")
        return numbers
    return _codes(table[side.var])


def _codes(column: pa.ChunkedArray) -> Array:
    codes = column.to_pandas().astype("category").cat.codes.to_numpy().astype(np.float64)
    return np.where(codes < 0, np.nan, codes)


def _entropy(values: Array, weight: Array) -> float:
    known = ~np.isnan(values)
    if not known.any():
        return 0.0
    _, group = np.unique(values[known], return_inverse=True)
    share = np.bincount(group, weights=weight[known])
    share = share[share > 0] / share.sum()
    return float(-(share * np.log(share)).sum())
