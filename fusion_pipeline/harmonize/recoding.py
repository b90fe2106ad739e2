"""One column to groups: level by level (`map`), by intervals (`bins`), or as the number it is.

Belongs here: recoding of a column and the messages when a value has no place. Does not belong here: which
tables columns come from (`tables.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from fusion_pipeline.errors import HarmonyError
from fusion_pipeline.harmonize.definitions import Side, bin_edges
from fusion_pipeline.storage.tables import codes_of, levels_of
from fusion_pipeline.surveys.codebook import FOLDER as CODEBOOKS
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.derive import check_expression, evaluate

Array = np.ndarray


class Place:
    """Where in the harmonies a value was met: for messages.

    Parameters
    ----------
    pair, name, side : str
        Pair, harmony and `donor` or `recipient`.
    file : str
        The harmony file.
    codebook : str, optional
        Of the side's survey, for the codes behind its levels.
    """

    def __init__(self, pair: str, name: str, side: str, file: str, codebook: str = "") -> None:
        self.pair, self.name, self.side, self.file = pair, name, side, file
        self._codebook = codebook

    def code_of(self, variable: str, level: str) -> str:
        """Tell the raw code of a level, where a codebook knows it: `code 17, `."""
        if not (CODEBOOKS / f"{self._codebook}.yaml").is_file():
            return ""
        codebook = load_codebook(self._codebook)
        kinds = codebook.kinds.values()
        variables = [entry.variables[variable] for entry in kinds if variable in entry.variables]
        codes = [code for v in variables for code, label in v.levels.items() if label == level]
        codes += [code for v in variables if v.not_applicable == level for code in codebook.skips(v)]
        return f"code {codes[0]}, " if codes else ""

    @property
    def where(self) -> str:
        """Part of the harmony file to change."""
        return f"{self.file}, {self.name}, {self.side}"

    def error(self, what: str, remedy: str) -> HarmonyError:
        """Put a message together."""
        return HarmonyError(f"{self.pair} / {self.name}, {self.side}", what, remedy)


def recode(columns: Mapping[str, pa.ChunkedArray], side: Side, place: Place) -> Array:
    """Recode one side's column, or expression of columns.

    Parameters
    ----------
    columns : name -> column, at least `side.columns`
    side : the side's definition
    place : for messages

    Returns
    -------
    (n,) float64: group numbers, the number itself, or 1 and 0 for those to count and the others; NaN where the
    answer is missing.

    Raises
    ------
    HarmonyError
        If a level or number that occurs has no group, or the column is of the wrong type.
    """
    if side.map is None:
        return _bin(_numbers(columns, side, place), side, place)
    return _map(columns[side.var], side, place)


def _map(column: pa.ChunkedArray, side: Side, place: Place) -> Array:
    column = _encoded(column)
    if not pa.types.is_dictionary(column.type):
        raise place.error(
            f"column {side.var} is {column.type}, but the harmony maps levels.",
            f"Give {place.where} intervals, or make the variable categorical in the codebook.",
        )
    levels = levels_of(column)
    codes = codes_of(column)
    group_of = side.groups_of(levels)
    # The last place is for missing answers: code -1 looks there.
    lookup = np.array([group_of.get(level, np.nan) for level in levels] + [np.nan], dtype=np.float64)
    values = lookup[codes]
    unknown = np.isnan(values) & (codes >= 0)
    if unknown.any():
        unmapped, counts = np.unique(codes[unknown], return_counts=True)
        found = ", ".join(
            f'"{levels[p]}" ({place.code_of(side.var, levels[p])}{n} rows)'
            for p, n in zip(unmapped[:5], counts, strict=False)
        )
        raise place.error(
            f"level {found} of {side.var} has no group.",
            f"Add it to a group of {place.where}.",
        )
    return values


def _bin(values: Array, side: Side, place: Place) -> Array:
    if side.bins is None:
        return values
    low, high, group = (np.array(part, dtype=np.float64) for part in zip(*bin_edges(side.bins), strict=True))
    position = np.searchsorted(low, values, side="right") - 1
    missing = np.isnan(values)
    outside = ~missing & ((position < 0) | (values >= high[position]) & (high[position] < np.inf))
    if outside.any():
        raise place.error(
            f"value {values[outside][0]:g} of {side.expr or side.var} is in no group's interval"
            f" ({int(outside.sum())} rows are in none).",
            f"Add it to a group of {place.where}.",
        )
    return np.where(missing, np.nan, group[position])


def _numbers(columns: Mapping[str, pa.ChunkedArray], side: Side, place: Place) -> Array:
    encoded = {name: _encoded(columns[name]) for name in side.columns}
    levels = {n: levels_of(c) if pa.types.is_dictionary(c.type) else () for n, c in encoded.items()}
    expression = side.count or side.expr
    if expression is None:
        if levels[side.var]:
            raise place.error(
                f"column {side.var} is categorical, but the harmony takes numbers.",
                f"Give {place.where} levels, or make the variable a number in the codebook.",
            )
        return _to_float(encoded[side.var])
    try:
        check_expression(expression, levels)
    except ValueError as error:
        raise place.error(
            f"{expression!r} cannot be evaluated: {error}.", f"Correct it in {place.where}."
        ) from error
    return _to_float(evaluate(expression, pa.table(encoded)))


def _encoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as a categorical column, and a categorical column with one list of levels."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.dictionary_encode()
    return column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column


def _to_float(column: pa.ChunkedArray | pa.Array) -> Array:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
