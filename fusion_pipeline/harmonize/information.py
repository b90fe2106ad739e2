"""How much of a variable a harmony keeps: groups tell less than the answers they are made of.

Belongs here: the share of entropy kept by recoding. Does not belong here: how alike the two sides are
(`similarity.py`).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.harmonize.definitions import Harmony, Side
from fusion_pipeline.harmonize.recoding import Place, recode
from fusion_pipeline.storage.tables import TableRef, codes_of

# Numbers count as so many parts of equal weight: more would reward no recoding of an amount.
PARTS = 100
Array = np.ndarray
Microdata: TypeAlias = pa.Table | TableRef


def information_kept(
    households: Microdata,
    persons: Microdata | None,
    harmony: Harmony,
    role: Literal["donor", "recipient"],
) -> dict[str, float]:
    """Compare the entropy of one side's groups with that of the answers.

    Parameters
    ----------
    households, persons : the side's standardized microdata, with `weight`, persons with `pid`
    harmony : the pair's harmonies; those of numbers and of absent columns are passed over
    role : which side

    Returns
    -------
    harmony -> H(groups) / H(answers), weighted, 0 to 1; H = -sum p log p. Numbers are cut into 100 parts first.

    Notes
    -----
    A person variable is measured over persons, before they become their household: over the reference persons
    where the harmony takes these alone, else over all.
    """
    tables = {"household": households, "person": persons}
    names = {level: set(_names(table)) for level, table in tables.items() if table is not None}
    kept = {}
    for name, entry in harmony.entries.items():
        side = entry.donor if role == "donor" else entry.recipient
        if not entry.is_categorical or not set(side.columns) <= names.get(side.level, set()):
            continue
        table = _answering(tables[side.level], side)
        weight = table["weight"].to_numpy().astype(np.float64)
        place = Place(harmony.name, name, role, harmony.file)
        groups = recode({column: table[column] for column in side.columns}, side, place)
        before = _entropy(_answers(table, side, place), weight)
        kept[name] = _entropy(groups, weight) / before if before > 0 else 1.0
    return kept


def _answering(table: Microdata | None, side: Side) -> pa.Table:
    """Read the records whose answers become the predictor."""
    assert table is not None
    only_reference = side.agg == "reference"
    columns = list(dict.fromkeys(["weight", *side.columns, *(["pid"] if only_reference else [])]))
    read = table.select(columns) if isinstance(table, pa.Table) else table.read(columns)
    return read.filter(pa.array(read["pid"].to_numpy() == 1)) if only_reference else read


def _answers(table: pa.Table, side: Side, place: Place) -> Array:
    if side.map is not None:
        column = table[side.var]
        text = not pa.types.is_dictionary(column.type)
        codes = codes_of((column.dictionary_encode() if text else column).unify_dictionaries())
        return np.where(codes < 0, np.nan, codes)
    columns = {name: table[name] for name in side.columns}
    numbers = recode(columns, side.model_copy(update={"bins": None}), place).copy()
    known = ~np.isnan(numbers)
    if len(pd.unique(numbers[known])) > PARTS:
        edges = np.quantile(numbers[known], np.linspace(0, 1, PARTS + 1)[1:-1])
        numbers[known] = np.searchsorted(edges, numbers[known], side="right")
    return numbers


def _entropy(values: Array, weight: Array) -> float:
    known = ~np.isnan(values)
    if not known.any():
        return 0.0
    group, _ = pd.factorize(values[known])
    share = np.bincount(group, weights=weight[known])
    share = share[share > 0] / share.sum()
    return float(-(share * np.log(share)).sum())


def _names(table: Microdata) -> list[str]:
    return table.column_names if isinstance(table, pa.Table) else table.columns
