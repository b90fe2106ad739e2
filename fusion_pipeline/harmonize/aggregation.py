"""Persons to households: one value a household from the values of its members.

Belongs here: the match of person rows to household rows and the six aggregators. Does not belong here: which
aggregator a variable has (`harmonies/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fusion_pipeline.errors import HarmonyError
from fusion_pipeline.harmonize.definitions import Aggregator
from fusion_pipeline.keys import positions

Array = np.ndarray


@dataclass(frozen=True)
class Members:
    """Which household every person belongs to.

    Attributes
    ----------
    household : (n_persons,) positions in the households table, -1 for persons of other households.
    reference : (n_households,) rows of the reference persons (`pid` 1) in the persons table.
    """

    household: Array
    reference: Array

    @property
    def count(self) -> int:
        """Number of households."""
        return len(self.reference)

    @cached_property
    def rows(self) -> Array:
        """Person rows that belong to a household of the table, household by household."""
        order = np.argsort(self.household, kind="stable")
        return order[np.searchsorted(self.household[order], 0) :]

    @cached_property
    def starts(self) -> Array:
        """First position of every household in `rows`."""
        return np.searchsorted(self.household[self.rows], np.arange(self.count))


def match_members(household_ids: Array, person_hid: Array, person_pid: Array, where: str) -> Members:
    """Match persons to households.

    Parameters
    ----------
    household_ids : (n_households,) int64, unique, in any order
    person_hid, person_pid : (n_persons,)
    where : str
        Pair and side, for messages.

    Raises
    ------
    HarmonyError
        If a household id comes twice, or a household has no persons, no reference person or several; the
        message names the first such `hid` and their number.
    """
    ids = np.sort(household_ids)
    _refuse(ids[1:][ids[1:] == ids[:-1]], where, "comes more than once in the households table")
    if len(ids) == 0:
        return Members(np.full(len(person_hid), -1), np.empty(0, dtype=np.int64))
    household = positions(household_ids, person_hid)
    inside = household >= 0
    persons = np.bincount(household[inside], minlength=len(ids))
    _refuse(household_ids[persons == 0], where, "has no persons")
    heads = np.flatnonzero(inside & (person_pid == 1))
    per_household = np.bincount(household[heads], minlength=len(ids))
    _refuse(household_ids[per_household == 0], where, "has no reference person (pid 1)")
    _refuse(household_ids[per_household > 1], where, "has more than one reference person (pid 1)")
    reference = np.empty(len(ids), dtype=np.int64)
    reference[household[heads]] = heads
    return Members(household, reference)


def aggregate(values: Array, members: Members, how: Aggregator) -> Array:
    """Give every household one value of its members'.

    Parameters
    ----------
    values : (n_persons,) float64, NaN for missing
    members : the match of persons to households
    how : {"reference", "sum", "min", "max", "mean", "median"}

    Returns
    -------
    (n_households,) float64. NaN where the reference person's value is missing or, for the other aggregators,
    any member's.
    """
    if how == "reference":
        return values[members.reference]
    if members.count == 0:
        return np.empty(0)
    sorted_values = values[members.rows]
    if how == "min":
        return np.minimum.reduceat(sorted_values, members.starts)
    if how == "max":
        return np.maximum.reduceat(sorted_values, members.starts)
    sizes = np.diff(np.append(members.starts, len(members.rows)))
    if how == "median":
        return _median(sorted_values, members, sizes)
    total = np.add.reduceat(sorted_values, members.starts)
    return total if how == "sum" else total / sizes


def _median(sorted_values: Array, members: Members, sizes: Array) -> Array:
    ranked = sorted_values[np.lexsort((sorted_values, members.household[members.rows]))]
    lower = ranked[members.starts + (sizes - 1) // 2]
    upper = ranked[members.starts + sizes // 2]
    # NaN sorts last, so a household has a missing member exactly if its last value is one.
    last = ranked[members.starts + sizes - 1]
    return np.where(np.isnan(last), np.nan, (lower + upper) / 2)


def _refuse(hids: Array, where: str, what: str) -> None:
    if len(hids):
        raise HarmonyError(
            f"{where}, hid {hids[0]}",
            f"{what} ({len(hids)} such household{'s' if len(hids) > 1 else ''}).",
            "Materialize the survey's households and persons again from files of the same release.",
        )
