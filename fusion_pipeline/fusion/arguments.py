"""Arguments of the public functions: what is wrong with one is said in one way.

Belongs here: checks of plain values (counts, names, numbers of implicates). Does not belong here: checks of tables
(`variables.py`, `donors.py`, `recipient.py`) and of plans (`specification.py`).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from fusion_pipeline.errors import FusionError


def whole(where: str, value: Any, least: int, error: type[FusionError]) -> int:
    """Return a whole number, of whatever type it was given.

    Raises
    ------
    FusionError
        Of the class given, if it is none or below `least`.
    """
    try:
        number = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise error(where, f"is {value!r}.", f"Give a whole number of {least} or more.")
    return number


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
    if isinstance(implicates, bool) or not numbers or min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise error(where, f"is {implicates!r}.", "Give how many (1 or more), or distinct 1-based numbers.")
    return numbers
