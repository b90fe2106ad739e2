"""PUMA definitions: after every census PUMAs are drawn anew, and a table is in those of one census.

Belongs here: the names of the columns, and which of them a table or a survey has. Does not belong here: the PUMAs
themselves (`concordance.py`).

The codebook of a recipient says which definition it has: it is among its `locations`. Five-year files that reach back
before 2012 carry `puma00` beside it, which nothing can be attached to.
"""

from __future__ import annotations

from collections.abc import Collection

from fusion_pipeline.errors import GeographyError

PUMAS = {"puma10": "the ACS 2012-2021", "puma20": "the ACS since 2022"}
"""Column of the PUMA, and whose households are in this definition."""


def puma_column(names: Collection[str], where: str) -> str:
    """Give the one PUMA column among the names of a table's columns.

    Raises
    ------
    GeographyError
        If there is none, or more than one.
    """
    found = [name for name in PUMAS if name in names]
    if len(found) != 1:
        raise GeographyError(
            f"{where} table",
            f"has {' and '.join(found)}." if found else f"has no column {' or '.join(PUMAS)}.",
            "Every table has the PUMAs of one definition: name it among `locations` of the survey's codebook.",
        )
    return found[0]
