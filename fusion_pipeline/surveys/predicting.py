"""Variables that a survey does not ask: drawn from what another survey knows.

Belongs here: what a codebook says of such a variable, and drawing it. Does not belong here: models and draws
(`fusion/imputation.py`).

The records of both surveys are put under each other with the same predictors; the variable is missing in one of them,
and is filled as any missing answer is: drawn from its conditional distribution, not predicted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from fusion_pipeline.errors import RegistryError
from fusion_pipeline.storage.tables import categorical, codes_of, levels_of
from fusion_pipeline.surveys.derive import check_expression, evaluate
from fusion_pipeline.surveys.variables import Entry, Name, Text

VERSION = "1"
log = logging.getLogger(__name__)


class Predictor(Entry):
    """A number that both surveys have, as an expression (`derive.py`) of each."""

    here: Text
    there: Text


class Predicted(Entry):
    """A variable of households that is learnt from another survey-year."""

    description: Text
    universe: Text | None = None
    unit: None = None
    type: Literal["factor"]
    survey: Text
    """Survey-year that asks, as the registry names it."""
    variable: Name
    """What it asks there."""
    levels: dict[Text, Text] = Field(min_length=2)
    """Level there -> level here; several may share one."""
    predictors: dict[Name, Predictor] = Field(min_length=1)

    @property
    def labels(self) -> tuple[str, ...]:
        """All levels in order."""
        return tuple(dict.fromkeys(self.levels.values()))

    def parts(self, columns: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """Name the variables of this survey that it is predicted from."""
        found = [check_expression(p.here, columns, "number") for p in self.predictors.values()]
        return tuple(dict.fromkeys(name for names in found for name in names))


def predict(
    table: pa.Table,
    other: pa.Table,
    name: str,
    predicted: Predicted,
    *,
    seed: int,
    threads: int,
    stream_name: str,
) -> tuple[pa.Array, dict[str, str]]:
    """Draw a variable for the records of one survey from those of another.

    Parameters
    ----------
    table, other : households of this survey and of the one that asks, both with `weight`
    name, predicted : the variable, and what the codebook says of it
    seed, threads, stream_name : as in `fusion.imputation.impute`

    Returns
    -------
    column : (n,) levels
    left_out : predictors for which one of the files lacks a column, and which

    Raises
    ------
    RegistryError
        If the other survey has not the variable, a level of it stands for nothing here, or no predictor is left.
    """
    from fusion_pipeline.fusion.imputation import impute

    where = f"predicted.{name}"
    if predicted.variable not in other.column_names:
        raise RegistryError(
            where, f"{predicted.survey} has no {predicted.variable}.", "Correct the codebook."
        )
    asked = levels_of(other[predicted.variable])
    if strange := [level for level in asked if level not in predicted.levels]:
        raise RegistryError(
            where, f"level {strange[0]!r} of {predicted.survey} has no level here.", "Add it."
        )
    columns, left_out = {}, {}
    for key, predictor in predicted.predictors.items():
        sides, lacking = [], []
        for side, expression in ((other, predictor.there), (table, predictor.here)):
            values, absent = _values(side, expression, f"{where}.predictors.{key}")
            sides.append(values)
            lacking += absent
        if lacking:
            left_out[key] = lacking[0]
        else:
            columns[key] = pa.concat_arrays(sides)
    if not columns:
        raise RegistryError(where, f"no predictor is left ({left_out}).", "Use files that have the columns.")
    position = np.array([predicted.labels.index(predicted.levels[level]) for level in asked])
    known = codes_of(other[predicted.variable])
    codes = np.r_[np.where(known >= 0, position[known], -1), np.full(table.num_rows, -1)]
    weight = np.concatenate([_share(other), _share(table)])
    stacked = pa.table({**columns, name: categorical(codes, predicted.labels), "weight": pa.array(weight)})
    done = impute(stacked, weight="weight", seed=seed, threads=threads, stream_name=stream_name)
    log.info("%s: drawn from %s for %s households", name, predicted.survey, f"{table.num_rows:,}")
    return done[name].combine_chunks().slice(other.num_rows), left_out


def _values(table: pa.Table, expression: str, where: str) -> tuple[pa.Array, list[str]]:
    """Evaluate an expression over a survey; without a column it needs, say which."""
    columns = {
        field.name: tuple(levels_of(table[field.name])) if pa.types.is_dictionary(field.type) else ()
        for field in table.schema
    }
    try:
        check_expression(expression, columns, "number")
    except ValueError as error:
        if missing := [name for name in _names(expression) if name not in columns]:
            return pa.nulls(table.num_rows, pa.float64()), missing
        raise RegistryError(where, f"{error}.", "Correct the expression.") from error
    values = evaluate(expression, table)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return values.cast(pa.float64()), []


def _names(expression: str) -> list[str]:
    import ast

    tree = ast.parse(expression, mode="eval")
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called]


def _share(table: pa.Table) -> np.ndarray:
    weight = table["weight"].to_numpy()
    return weight / weight.sum() * table.num_rows
