"""Allocation tables: how codes of fine items fall to broad categories, in shares.

Belongs here: the schema of `codebooks/codes/<name>.csv` where such a list has the columns `code, label, category,
share`, and looking shares up. Does not belong here: what is added up (`summaries.py`).

A code has one row for every category that it falls to, and one row without category if it falls to none: a code that
the list does not know stops ingestion, so that no new item is lost unseen. Shares of a code add up to at most one;
less means that the rest is left out on purpose. A share of -1 takes an amount off a category, as a trade-in does.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from fusion_pipeline.errors import RegistryError

CODES = Path(__file__).parents[1] / "codebooks" / "codes"
_SLACK = 1e-9


@cache
def load_shares(name: str, folder: Path = CODES) -> Mapping[str, Mapping[str, float]]:
    """Read and validate an allocation table.

    Returns
    -------
    Category -> label of a code -> share; labels without category are in `""`, with share 0.

    Raises
    ------
    RegistryError
        Naming the line: if a label stands for two codes, a code falls to one category twice, a share is no number from
        -1 to 1, or shares of a code add up to more than 1.
    """
    path = folder / f"{name}.csv"
    where = f"codebooks/codes/{name}.csv"
    if not path.is_file():
        raise RegistryError(where, "does not exist.", "Correct the name of the allocation table.")
    shares: dict[str, dict[str, float]] = defaultdict(dict)
    codes: dict[str, str] = {}
    total: dict[str, float] = defaultdict(float)
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if rows.fieldnames != ["code", "label", "category", "share"]:
            raise RegistryError(
                where, f"has the columns {rows.fieldnames}.", "Use code, label, category, share."
            )
        for number, row in enumerate(rows, start=2):
            label, category = row["label"], row["category"]
            if codes.setdefault(label, row["code"]) != row["code"]:
                raise RegistryError(
                    f"{where}, line {number}", f"label {label!r} stands for two codes.", "Tell them apart."
                )
            if label in shares[category]:
                raise RegistryError(
                    f"{where}, line {number}",
                    f"{label!r} falls to {category!r} twice.",
                    "Add the shares up in one row.",
                )
            share = _share(row["share"], category, f"{where}, line {number}")
            shares[category][label] = share
            total[label] += share
    if over := [label for label, share in total.items() if share > 1 + _SLACK]:
        raise RegistryError(
            where, f"shares of {over[0]!r} add up to {total[over[0]]:g}.", "Let them add up to at most 1."
        )
    return shares


def shares_of(levels: Sequence[str], table: str, category: str) -> np.ndarray:
    """Share of each level of a coded column that falls to a category; 0 where none does."""
    known = load_shares(table)[category]
    return np.array([known.get(level, 0.0) for level in levels])


def _share(text: str, category: str, where: str) -> float:
    try:
        share = float(text) if category else 0.0
    except ValueError:
        share = np.nan
    if not -1 <= share <= 1 or bool(category) != bool(share):
        raise RegistryError(
            where,
            f"share {text!r} is no number from -1 to 1.",
            "Correct it; without category leave it blank.",
        )
    return share
