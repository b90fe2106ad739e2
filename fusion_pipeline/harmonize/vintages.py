"""Vintages and ranges of them, as harmony files write them.

Belongs here: the notation and its meaning. Does not belong here: what holds for which vintage (`documents.py`).

    2016          this year            2016..2018    from 2016 to 2018, both included
    2016..        2016 and later       ..2015        2015 and earlier
    [2015, 2019]  any of these

A vintage that spans years counts as its last one: "2015-2019" is 2019, and "2018_5yr", the five-year file of
2018, has the codes of 2018.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import BeforeValidator

_RANGE = re.compile(r"(\d{4})?\.\.(\d{4})?")
_YEAR = re.compile(r"\d{4}")


def year_of(vintage: str) -> int:
    """Last year a vintage covers.

    Raises
    ------
    ValueError
        If it names no year.
    """
    years = _YEAR.findall(vintage)
    if not years:
        raise ValueError(f"vintage {vintage!r} names no year")
    return int(years[-1])


def covers(ranges: Iterable[str], vintage: str) -> bool:
    """Whether a vintage lies in one of the ranges."""
    year = year_of(vintage)
    for text in ranges:
        if match := _RANGE.fullmatch(text):
            low, high = match.groups()
            if (low is None or int(low) <= year) and (high is None or year <= int(high)):
                return True
        elif year_of(text) == year:
            return True
    return False


def is_range(text: object) -> bool:
    """Whether a key of a harmony file stands for vintages, rather than for something else."""
    return isinstance(text, int) or bool(
        _RANGE.fullmatch(str(text)) or re.fullmatch(r"\d{4}(-\d{4})?", str(text))
    )


def _parse(value: object) -> tuple[str, ...]:
    parts = tuple(str(part) for part in (value if isinstance(value, list | tuple) else [value]))
    for part in parts:
        if not is_range(part):
            raise ValueError(f"{part!r} is no range of vintages; write 2016, 2016.., ..2015 or 2016..2018")
        match = _RANGE.fullmatch(part)
        if match and None not in match.groups() and match[1] > match[2]:
            raise ValueError(f"the range {part} is empty")
    return parts


Vintages = Annotated[tuple[str, ...], BeforeValidator(_parse)]
"""A range of vintages, or several."""
