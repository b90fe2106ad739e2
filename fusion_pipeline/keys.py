"""Rows of one table found in another by their keys.

Belongs here: looking keys up. Does not belong here: what an unknown key means, which every caller says in its own
words; joins over implicates, which need not fit in memory (`inference/relation.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa


def positions(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Find wanted keys among known ones.

    Parameters
    ----------
    known : (n,) keys, no two alike, in any order
    wanted : (m,) keys

    Returns
    -------
    (m,) int64 positions in `known`, -1 where a key is unknown.
    """
    return pd.Index(known).get_indexer(pd.Index(wanted))


def row_positions(known: pa.Table, wanted: pa.Table, keys: Sequence[str]) -> np.ndarray:
    """Find rows by several key columns together; categories compare by their labels. See `positions`."""
    sides = [[_values(table[name]) for name in keys] for table in (known, wanted)]
    return pd.MultiIndex.from_arrays(sides[0]).get_indexer(pd.MultiIndex.from_arrays(sides[1]))


def _values(column: pa.ChunkedArray) -> pd.Series:
    return (column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column).to_pandas()
