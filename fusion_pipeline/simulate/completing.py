"""Columns of official files for which the simulated world has no counterpart: a constant, valid code.

Belongs here: completing a file to all columns that its codebook reads. Does not belong here: columns that a model
makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from fusion_pipeline.surveys.codebook import Codebook
from fusion_pipeline.surveys.respondents import Respondent, spellings
from fusion_pipeline.surveys.variables import Span, Variable

Array = np.ndarray


def complete(
    columns: Mapping[str, Array | pa.Array], entry: Respondent, codebook: Codebook
) -> dict[str, pa.Array]:
    """Put the columns of a file in the codebook's spelling, and fill in those that have no model."""
    rows = len(next(iter(columns.values())))
    wanted = spellings(
        [*entry.required, *(raw for variable in entry.variables.values() for raw in variable.columns)]
    )
    fixed = {v.raw.lower(): valid_code(v, codebook) for v in entry.variables.values()}
    given: dict[str, Any] = {name.lower(): values for name, values in columns.items()}
    for variable in entry.variables.values():
        if variable.flag:
            _write_flag(variable, fixed, given, rows)
    return {
        raw: pa.array(given[name] if name in given else np.full(rows, fixed[name]))
        for name, raw in wanted.items()
    }


def _write_flag(variable: Variable, fixed: dict[str, str], given: dict[str, Any], rows: int) -> None:
    """Blank cells are valid skips, unless their flag says otherwise; a flag that is a code is no value."""
    raw, flag = variable.raw.lower(), (variable.flag or "").lower()
    if raw not in given and fixed[raw].isalpha():
        given[raw] = np.full(rows, "")
    values = np.asarray(given.get(raw, np.full(rows, fixed[raw])))
    given.setdefault(flag, np.where(values.astype(str) == "", "A", "D"))


def valid_code(variable: Variable, codebook: Codebook) -> str:
    """Return the code of a skip, or else the first code or the least number."""
    if skips := codebook.skips(variable):
        return skips[0]
    if variable.type == "place":
        return "1" * (variable.width or 1)
    if variable.levels:
        return next(code for code in variable.levels if Span.parse(code) is None)
    low = variable.range.low if variable.range else None
    return f"{low or 0:.0f}"
