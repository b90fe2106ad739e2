"""Proxies of area errors, as declared in `area_proxies.yaml`.

Belongs here: the schema of that file, and a proxy's values. Does not belong here: fusing them (`pair_area_error.py`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from fusion_pipeline.declared import read_declared

PATH = Path(__file__).with_name("area_proxies.yaml")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Model):
    """A number, or whether a category has one of some levels."""

    name: str
    column: str
    levels: tuple[str, ...] = ()

    def of(self, households: pa.Table) -> pd.Series:
        """Values, NaN where an answer is missing."""
        values = households[self.column].to_pandas()
        if not self.levels:
            return values.astype(np.float64)
        return values.isin(self.levels).where(values.notna(), np.nan)


class Proxies(_Model):
    """All of `area_proxies.yaml`."""

    group: Column
    proxies: tuple[Column, ...]


@cache
def load_proxies(path: Path = PATH) -> Proxies:
    """Read and validate the declared proxies.

    Raises
    ------
    RegistryError
        Naming the entry that contradicts the schema.
    """
    return read_declared(Proxies, path)
