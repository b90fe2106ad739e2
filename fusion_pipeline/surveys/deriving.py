"""Derived variables of a table: what a codebook's expressions and cases give.

Belongs here: a column from its declaration. Does not belong here: the language of expressions (`derive.py`), when
variables are derived (`ingest.py`, and `imputing.py` again for answers that were missing).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.storage.tables import categorical
from fusion_pipeline.surveys.derive import evaluate
from fusion_pipeline.surveys.variables import OTHERWISE, Derived


def derived_column(derived: Derived, table: pa.Table) -> pa.Array:
    """Work a derived variable out; null where what it is made of is missing and decides.

    Parameters
    ----------
    derived : as the codebook declares it
    table : holds the columns that its expressions name
    """
    if derived.cases:
        return categorical(_first_case(derived, table), derived.labels, ordered=derived.type == "ordered")
    assert derived.expression is not None
    values = evaluate(derived.expression, table)
    if derived.type == "number":
        return values
    position = {outcome: i for i, outcome in enumerate(derived.levels)}
    codes = pc.if_else(values, position["true"], position["false"])
    return categorical(pc.fill_null(codes, -1).to_numpy(), derived.labels)


def _first_case(derived: Derived, table: pa.Table) -> np.ndarray:
    """Position of the first case that holds; -1 if none does, or one before it is missing."""
    codes = np.full(table.num_rows, -1, dtype=np.int16)
    undecided = np.ones(table.num_rows, dtype=bool)
    for position, condition in enumerate(derived.cases.values()):
        if condition == OTHERWISE:
            codes[undecided] = position
            break
        holds = evaluate(condition, table)
        true = pc.fill_null(holds, False).to_numpy()
        codes[undecided & true] = position
        undecided &= pc.fill_null(pc.invert(holds), False).to_numpy()
    return codes
