"""Checks on implicates as they lie on disk: complete, finite, and nothing that no donor ever answered.

Belongs here: facts that must hold in every implicate. Does not belong here: whether the statistics are right
(`marginals.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.errors import StorageError
from fusion_pipeline.fusion.rules import broken, table_lookup
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.storage.tables import TableRef

VERSION = "2"
CHECKS = {
    "complete": "Every recipient household is there once, in order, with every fusion variable.",
    "no_missing": "No fusion variable has a missing or infinite value.",
    "within_support": "Every drawn value occurs among the donors.",
    "rules": "Every record obeys every rule of the plan.",
}


def check_implicates(
    files: Sequence[Path], recipient: TableRef, donor: TableRef, plan: FusionPlan
) -> dict[str, str]:
    """Look for what must not be in a chunk of implicates.

    Parameters
    ----------
    files : one Parquet file an implicate
    recipient : prediction table, whose `hid` every implicate must repeat in order
    donor : training table, whose values are the support of every drawn variable
    plan : names the drawn variables; products such as price times quantity have no support to keep to

    Returns
    -------
    dict
        For each of `CHECKS` what was found, file by file; empty text where nothing is amiss.
    """
    found: dict[str, list[str]] = {name: [] for name in CHECKS}
    households = recipient.read(["hid"])["hid"]
    bounded = {rule.variable for rule in plan.parsed_rules}
    # A bound that no donor reaches becomes the value itself.
    drawn = [name for name in plan.variables if name not in plan.products and name not in bounded]
    own = recipient.read(list(plan.conditions))
    support = {name: donor.read([name])[name].unique() for name in drawn}
    for file in files:
        implicate = TableRef(file)
        label = file.parent.name
        absent = [name for name in plan.variables if name not in implicate.columns]
        if absent or not implicate.read(["hid"])["hid"].combine_chunks().equals(households.combine_chunks()):
            found["complete"].append(f"{label}: {f'lacks {absent}' if absent else 'other households'}")
            continue
        for name in plan.variables:
            column = implicate.read([name])[name]
            if count := _missing(column):
                found["no_missing"].append(f"{label}: {count} of {name}")
            if name not in support:
                continue
            known = pc.is_in(_plain(column.drop_null()), value_set=_plain(support[name]))
            if count := pc.sum(pc.invert(known)).as_py():
                found["within_support"].append(f"{label}: {count} values of {name} no donor has")
        for text, count in _disobeyed(implicate, own, plan).items():
            found["rules"].append(f"{label}: {count} values break `{text}`")
    return {name: "; ".join(texts) for name, texts in found.items()}


CARD = {
    "implicate": "Number of the implicate",
    "rows": "Recipient households in it",
    "bytes": "Size of its file",
    "sha256": "Checksum of its file",
}
"""What the columns of the data card say."""


def data_card(files: Sequence[Path]) -> pd.DataFrame:
    """Describe every implicate: number, rows, bytes, SHA-256.

    Raises
    ------
    StorageError
        If one is missing; the message names it.
    """
    rows = []
    for file in files:
        if not file.exists():
            raise StorageError(
                str(file), "is missing.", "Materialize its chunk of fusion/implicates, then this asset again."
            )
        rows.append(
            {
                "implicate": int(file.parent.name.removeprefix("implicate=")),
                "rows": TableRef(file).num_rows,
                "bytes": file.stat().st_size,
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
        )
    return pd.DataFrame(rows)


def incomplete(card: pd.DataFrame, households: int) -> str:
    """Name the implicates that have not one row a recipient household; empty text if all have."""
    short = card.loc[card["rows"] != households, "implicate"]
    return "" if short.empty else f"implicates {short.tolist()} do not have {households} rows"


def digest(card: pd.DataFrame) -> str:
    """Hash the bytes of several implicates, described by `data_card`, into one data version."""
    return hashlib.sha256(json.dumps(card["sha256"].tolist()).encode()).hexdigest()[:32]


def _disobeyed(implicate: TableRef, own: pa.Table, plan: FusionPlan) -> dict[str, int]:
    known = {*own.column_names, *plan.variables}
    # What a rule reads but is not written out cannot be looked at here.
    readable = [r for r in plan.parsed_rules if {r.variable, *r.columns} <= known]
    outside = {v for step in plan.steps if step.condition for v in step.variables}
    readable = [rule for rule in readable if rule.variable not in outside]
    used = [v for v in plan.variables if any(v in (rule.variable, *rule.columns) for rule in readable)]
    written = implicate.read(used)
    columns = {name: own[name] for name in own.column_names} | {name: written[name] for name in used}
    counts = broken(readable, table_lookup(pa.table(columns), "implicate", StorageError))
    return {text: count for text, count in counts.items() if count}


def _missing(column: pa.ChunkedArray) -> int:
    finite = pc.sum(pc.is_finite(column)) if pa.types.is_floating(column.type) else pc.count(column)
    return len(column) - (finite.as_py() or 0)


def _plain(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Strings for categories and doubles for numbers, so that values compare whatever their storage."""
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.string())
    return column.cast(pa.float64()) if pa.types.is_integer(column.type) else column
