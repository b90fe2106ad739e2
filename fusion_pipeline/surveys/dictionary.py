"""The data dictionary of a processed survey: one row a variable.

Belongs here: describing a table in the words of its codebook, with what the table itself shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from fusion_pipeline.storage.tables import IMPUTED, OUTSIDE, TableRef, levels_of
from fusion_pipeline.surveys.codebook import Codebook
from fusion_pipeline.surveys.variables import Variable

VERSION = "4"
SCHEMA = pa.schema(
    [
        ("record", pa.string()),
        ("variable", pa.string()),
        ("raw", pa.string()),
        ("description", pa.string()),
        ("universe", pa.string()),
        ("type", pa.string()),
        ("unit", pa.string()),
        ("values", pa.string()),
        ("n", pa.int64()),
        ("n_missing", pa.int64()),
        ("n_imputed", pa.int64()),
        ("n_outside", pa.int64()),
        ("weighted_mean", pa.float64()),
        ("mode", pa.string()),
        ("mode_share", pa.float64()),
    ]
)
_SHOWN_PLACES = 8
CELLS = 4_000_000
"""Values read at a time."""


def dictionary(table: pa.Table | TableRef, codebook: Codebook, respondent: str) -> pa.Table:
    """Describe every column but the replicate weights, a few at a time.

    Parameters
    ----------
    table : microdata; of a stored table at most `CELLS` values, or one column, are in memory, and its provenance says
        what was imputed
    codebook, respondent : what describes it, and the kind of its records

    Returns
    -------
    One row a column, in the table's order, with the columns of `SCHEMA`: `record` is the kind of record that the
    variable describes (households, persons); `values` lists the levels in order
    or the range of the numbers; `n` counts answers, `n_imputed` those of them that were drawn because the
    record had none, `n_outside` those that stand for a question that was not put, such as a rent of 0 (both null
    where nobody counted, as for sums over interviews); numbers have a `weighted_mean` over the others, the variable's
    universe, categorical variables the most frequent level (`mode`) and its weighted share of the answers.
    """
    columns = table.columns if isinstance(table, TableRef) else table.column_names
    imputed = table.provenance.get(IMPUTED) if isinstance(table, TableRef) else None
    outside = table.provenance.get(OUTSIDE) if isinstance(table, TableRef) else None
    weight = next(_columns(table, ["weight"]))[1].to_numpy()
    names = [name for name in columns if not name.startswith("rep_")]
    rows = [
        {
            "record": respondent,
            "variable": name,
            **_about(name, codebook, respondent),
            **_shown(column, weight, _skip(name, codebook, respondent, outside or {})),
            "n_imputed": None if imputed is None else imputed.get(name, 0),
            "n_outside": None if outside is None else outside.get(name, (0, 0.0))[0],
        }
        for name, column in _columns(table, names)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _columns(table: pa.Table | TableRef, names: Sequence[str]) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Read columns in blocks: to open a file of hundreds of columns costs more than to read one of them."""
    size = max(1, CELLS // max(table.num_rows, 1))
    for start in range(0, len(names), size):
        block = list(names[start : start + size])
        read = table.read(block) if isinstance(table, TableRef) else table.select(block)
        yield from zip(block, read.columns, strict=True)


def _about(name: str, codebook: Codebook, kind: str) -> dict[str, str | None]:
    entry = codebook.respondent(kind)
    if name in entry.variables:
        variable = entry.variables[name]
        about = variable.model_dump(include={"raw", "description", "universe", "type", "unit"})
        return {**about, "universe": variable.universe or _skipped(variable, codebook)}
    if name in entry.everything:
        made = entry.everything[name]
        about = made.model_dump(include={"description", "universe", "type", "unit"})
        behind = [raw if role == kind else f"{role}.{raw}" for role, raw in codebook.sources(kind, name)]
        return {**about, "raw": ", ".join(behind)}
    keys: dict[str, dict[str, str | None]] = {
        "hid": {"raw": entry.id.hid, "description": "Household", "type": "identifier"},
        "rid": {"raw": entry.id.rid, "description": "Number of the record", "type": "identifier"},
        "pid": {"raw": entry.id.pid, "description": "Person; 1: reference person", "type": "identifier"},
        "year": {"description": "Survey year", "type": "identifier"},
        "weight": {"raw": entry.weight, "description": "Sample weight", "type": "number"},
    }
    return keys[name]


def _skipped(variable: Variable, codebook: Codebook) -> str | None:
    """Say which codes tell that the question was not put, where the codebook knows no more about whom it is put to."""
    codes = [code or "a blank" for code in codebook.skips(variable)]
    if not codes:
        return None
    return f"Not put to all: {' or '.join(codes)} in {variable.raw} counts as {variable.not_applicable}"


def _skip(
    name: str, codebook: Codebook, kind: str, outside: Mapping[str, tuple[int, float]]
) -> tuple[float, float]:
    """Weight of the records to which the question was not put, and the number that stands for it."""
    variable = codebook.respondent(kind).variables.get(name)
    if variable is None or variable.not_applicable is None or name not in outside:
        return 0.0, 0.0
    return outside[name][1], float(variable.not_applicable)


def _shown(column: pa.ChunkedArray, weight: np.ndarray, skip: tuple[float, float]) -> dict[str, object]:
    answered = column.is_valid().to_numpy()
    counts = {"n": int(answered.sum()), "n_missing": column.null_count}
    if not answered.any():
        return counts
    if pa.types.is_dictionary(column.type):
        levels = levels_of(column)
        codes = column.combine_chunks().indices.filter(pa.array(answered)).to_numpy()
        shares = np.bincount(codes, weights=weight[answered], minlength=len(levels)) / weight[answered].sum()
        shown = (
            levels
            if len(levels) <= 50 + _SHOWN_PLACES
            else [*levels[:_SHOWN_PLACES], f"... ({len(levels)} levels)"]
        )
        top = int(shares.argmax())
        return {**counts, "values": " | ".join(shown), "mode": levels[top], "mode_share": float(shares[top])}
    numbers = column.drop_null().to_numpy()
    digits = "d" if pa.types.is_integer(column.type) else ".10g"
    weights = weight[answered]
    unasked, number = skip
    asked = weights.sum() - unasked
    summary: dict[str, object] = {**counts, "values": f"{numbers.min():{digits}} to {numbers.max():{digits}}"}
    # Of a question that was put to nobody, rounding may leave a trace of weight.
    if asked <= 1e-9 * weights.sum():
        return summary
    total = np.dot(weights, numbers.astype(np.float64)) - unasked * number
    return {**summary, "weighted_mean": float(total / asked)}
