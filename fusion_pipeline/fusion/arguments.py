"""Arguments of the public functions: what is wrong with one is said in one way.

Belongs here: checks of plain values (counts, names, numbers of implicates). Does not belong here: checks of tables
(`variables.py`, `donors.py`, `recipient.py`) and of plans (`specification.py`).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusion_pipeline.errors import FusionError

MOST_IMPLICATES = 32_767
"""Numbers of implicates are int16."""


def whole(where: str, value: Any, least: int, error: type[FusionError]) -> int:
    """Return a whole number, of whatever type it was given.

    Raises
    ------
    FusionError
        Of the class given, if it is none or below `least`.
    """
    try:
        found = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    except TypeError:
        found = None
    if found is None or isinstance(value, bool) or found < least:
        raise error(where, f"is {value!r}.", f"Give a whole number of {least} or more.")
    return found


def number(
    where: str, value: Any, low: float, high: float, error: type[FusionError], *, both_ends: bool = False
) -> float:
    """Return a number above `low` and at most `high`; with `both_ends`, `low` itself is allowed too.

    Raises
    ------
    FusionError
        Of the class given, if it is none, or beyond.
    """
    try:
        found = math.nan if isinstance(value, str | bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not (low < found <= high or (both_ends and found == low)):
        least = f"from {low:g}" if both_ends else f"above {low:g}"
        raise error(where, f"is {value!r}.", f"Give a number {least}, at most {high:g}.")
    return found


def text(where: str, value: Any, error: type[FusionError]) -> str:
    """Return a text.

    Raises
    ------
    FusionError
        Of the class given, if it is none.
    """
    if not isinstance(value, str):
        raise error(where, f"is {value!r}.", "Give a text.")
    return value


def path(where: str, value: Any, error: type[FusionError]) -> Path:
    """Return a path, given as one or as text.

    Raises
    ------
    FusionError
        Of the class given, if it is neither.
    """
    try:
        return Path(value)
    except TypeError as problem:
        raise error(where, f"is {value!r}.", "Give a path.") from problem


def listed(where: str, names: Any, error: type[FusionError]) -> list[str]:
    """Return names as a list.

    Raises
    ------
    FusionError
        Of the class given, if they are one text instead of several, no texts, or not distinct.
    """
    if isinstance(names, str):
        raise error(where, f"is the text {names!r}.", f"Give a list of names, such as [{names!r}].")
    try:
        found = list(names)
    except TypeError as problem:
        raise error(where, f"is {names!r}.", "Give a list of names.") from problem
    if strange := [name for name in found if not isinstance(name, str)]:
        raise error(where, f"names {strange[0]!r}, which is no text.", "Give names of columns.")
    if repeated := [name for name in found if found.count(name) > 1]:
        raise error(where, f"names {repeated[0]} more than once.", "Name every column once.")
    return found


def implicate_numbers(where: str, implicates: int | Sequence[int], error: type[FusionError]) -> list[int]:
    """Turn M, or a list of 1-based numbers, into numbers.

    Raises
    ------
    FusionError
        Of the class given, unless there is at least one, and they are distinct.
    """
    try:
        given = [operator.index(m) for m in implicates] if hasattr(implicates, "__iter__") else None
        numbers = given if given is not None else list(range(1, operator.index(implicates) + 1))  # type: ignore[arg-type]
    except TypeError:
        numbers = []
    is_sensible = numbers and min(numbers) >= 1 and len(set(numbers)) == len(numbers)
    if isinstance(implicates, bool) or not is_sensible:
        raise error(where, f"is {implicates!r}.", "Give how many (1 or more), or distinct 1-based numbers.")
    if max(numbers) > MOST_IMPLICATES:
        raise error(where, f"goes up to {max(numbers)}.", f"Number implicates 1 to {MOST_IMPLICATES}.")
    return numbers
