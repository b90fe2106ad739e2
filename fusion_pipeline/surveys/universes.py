"""Whom a question was put to, so that the dictionary speaks of them alone.

Belongs here: counting the records outside a variable's universe. Does not belong here: how a skip is known
(`coding.py`), what a dictionary says (`dictionary.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa


def outside_universe(
    unasked: Mapping[str, np.ndarray], table: pa.Table, kept: np.ndarray | None = None
) -> dict[str, tuple[int, float]]:
    """Count the records to which the question of a number was not put.

    Parameters
    ----------
    unasked : variable -> rows as they were ingested, eight in a byte
    table : those of them that are left, with their `weight`
    kept : (n,) boolean
        Which of the ingested rows are left, in their order; all if unset.

    Returns
    -------
    Variable -> number of records, sum of their weights.
    """
    weight = table["weight"].to_numpy()
    rows = table.num_rows if kept is None else kept.size
    found = {}
    for name, packed in unasked.items():
        outside = np.unpackbits(packed, count=rows).astype(bool)
        outside = outside if kept is None else outside[kept]
        found[name] = (int(outside.sum()), float(weight[outside].sum()))
    return found
