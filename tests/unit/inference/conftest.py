"""A small world that several files of tests ask: sixty households and three implicates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline.storage.tables import categorical

REPLICATES = [f"rep_{r}" for r in range(1, 7)]
TENURE = ["own", "rent"]


@pytest.fixture(scope="module")
def world():
    """Sixty households, three implicates of income, rooms and tenure; two of the households' columns are observed."""
    rng = np.random.default_rng(5)
    n = 60
    static = pa.table(
        {
            "hid": pa.array(np.arange(n)),
            "weight": rng.uniform(1, 9, n),
            "state": categorical(rng.integers(0, 2, n), ["01", "02"]),
            "age": pa.array(rng.integers(20, 80, n), pa.int16()),
            **{r: rng.uniform(0, 12, n) for r in REPLICATES},
        }
    )
    parts = []
    for m in (1, 2, 3):
        income = rng.gamma(2, 20, n)
        parts.append(
            pa.table(
                {
                    "implicate": pa.array(np.full(n, m), pa.int16()),
                    "hid": static["hid"],
                    "income": income,
                    "rooms": 3 + income / 20 + rng.normal(size=n),
                    "tenure": categorical((rng.uniform(size=n) < 0.4).astype(int), TENURE),
                }
            )
        )
    return pa.concat_tables(parts), static


def records(world) -> list[pd.DataFrame]:
    frame = world[0].to_pandas().merge(world[1].to_pandas(), on="hid")
    return [part.reset_index(drop=True) for _, part in frame.groupby("implicate")]


def with_column(table: pa.Table, name: str, values) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))
