"""Harmonies applied to the tables of a survey: one row a household, one column a harmonized predictor.

Belongs here: reading what is needed, and the columns both sides have in common. Does not belong here:
recoding of one column (`recoding.py`), aggregators (`aggregation.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from fusion_pipeline.errors import HarmonyError
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.harmonize.aggregation import Members, aggregate, match_members
from fusion_pipeline.harmonize.definitions import Entry, Harmony, Side
from fusion_pipeline.harmonize.recoding import Place, recode
from fusion_pipeline.storage.tables import TableRef, categorical, levels_of

DONOR_KEYS = ("hid", "weight")
RECIPIENT_KEYS = ("year", "hid", "weight", "state")
"""Kept beside the PUMA, in whichever definition the households have it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Harmonized:
    """One side of a pair, harmonized.

    Attributes
    ----------
    table : kept columns, then one column a harmony
        Categorical predictors have the levels "1".."G", numeric ones are float32.
    skipped : harmony -> reason
        Harmonies this side's tables cannot give.
    predictors : names of the harmonized predictors, in order
    """

    table: pa.Table
    skipped: dict[str, str]
    predictors: tuple[str, ...]


def harmonize_donor(
    households: pa.Table | TableRef,
    harmony: Harmony,
    persons: pa.Table | TableRef | None = None,
    keep: Sequence[str] = DONOR_KEYS,
) -> Harmonized:
    """Harmonize a donor survey. Missing answers stay missing.

    Parameters
    ----------
    households, persons : standardized microdata; only the columns needed are read
    harmony : the pair's harmonies
    keep : columns of `households` to keep, such as disclosed locations

    Raises
    ------
    HarmonyError
        If a value has no group, a household no reference person, or a column to keep is absent.
    """
    return _harmonize(_Survey(households, persons, harmony, "donor"), keep)


def harmonize_recipient(
    households: pa.Table | TableRef,
    persons: pa.Table | TableRef | None,
    harmony: Harmony,
) -> Harmonized:
    """Harmonize the recipient; see `harmonize_donor`. Here a missing value is an error.

    The ACS is published complete, so that a blank means "not applicable" and belongs to a level that the
    codebook has to name.
    """
    survey = _Survey(households, persons, harmony, "recipient")
    return _harmonize(survey, (*RECIPIENT_KEYS, puma_column(names_of(households), survey.where)))


def common(donor: Harmonized, recipient: Harmonized) -> tuple[pa.Table, pa.Table, dict[str, str]]:
    """Restrict both sides to the harmonized predictors that both have, in the same order.

    Returns
    -------
    donor table, recipient table, and the harmonies left out with their reasons. Columns other than predictors
    (ids, weights, places) stay as they are.

    Raises
    ------
    HarmonyError
        If nothing is common, or a predictor differs between the sides in type, levels or order.
    """
    shared = [name for name in donor.predictors if name in set(recipient.predictors)]
    if not shared:
        raise HarmonyError(
            "donor and recipient",
            f"have no predictor in common (skipped: {', '.join(donor.skipped | recipient.skipped)}).",
            "Harmonize both sides with the same harmony file, from files that hold its variables.",
        )
    for name in shared:
        ours, theirs = donor.table.schema.field(name).type, recipient.table.schema.field(name).type
        same_levels = not pa.types.is_dictionary(ours) or (
            levels_of(donor.table[name]) == levels_of(recipient.table[name])
        )
        if ours != theirs or not same_levels:
            raise HarmonyError(
                f"harmony {name}",
                f"is {ours} for the donor and {theirs} for the recipient, or has other levels.",
                "Harmonize both sides with the same harmony file.",
            )
    tables = [
        side.table.select([c for c in side.table.column_names if c not in set(side.predictors)] + shared)
        for side in (donor, recipient)
    ]
    return tables[0], tables[1], recipient.skipped | donor.skipped


class _Survey:
    """One side's tables, of which each column is read once."""

    def __init__(
        self,
        households: pa.Table | TableRef,
        persons: pa.Table | TableRef | None,
        harmony: Harmony,
        role: Literal["donor", "recipient"],
    ) -> None:
        self.tables = {"household": households, "person": persons}
        self.harmony, self.role = harmony, role
        self.where = f"{harmony.name}, {role}"
        self.loaded: dict[str, pa.Table] = {}

    def side(self, entry: Entry) -> Side:
        return entry.donor if self.role == "donor" else entry.recipient

    def reason_to_skip(self, side: Side) -> str | None:
        table = self.tables[side.level]
        if table is None:
            return f"the {self.role} has no {side.level} file (for {side.var})"
        absent = [name for name in side.columns if name not in names_of(table)]
        return f"the {self.role}'s {side.level} file has no {', '.join(absent)}" if absent else None

    def load(self, entries: dict[str, Entry], keep: Sequence[str]) -> None:
        needed = {"household": list(keep), "person": []}
        for entry in entries.values():
            side = self.side(entry)
            needed[side.level] += side.columns
        if needed["person"]:
            needed["household"].append("hid")
            needed["person"] += ["hid", "pid"]
        for level, names in needed.items():
            table = self.tables[level]
            if table is not None and names:
                columns = list(dict.fromkeys(names))
                if absent := [c for c in columns if c not in names_of(table)]:
                    raise HarmonyError(
                        f"{self.where}, {level} table",
                        f"has no column {absent[0]}.",
                        "Do not ask for it in `keep`, or let the survey's codebook make it.",
                    )
                read = table.select if isinstance(table, pa.Table) else table.read
                self.loaded[level] = read(columns)

    def members(self) -> Members | None:
        if "person" not in self.loaded:
            return None
        persons = self.loaded["person"]
        members = match_members(
            self.loaded["household"]["hid"].to_numpy(),
            persons["hid"].to_numpy(),
            persons["pid"].to_numpy(),
            self.where,
        )
        if outside := int((members.household < 0).sum()):
            _log.info("%s: %d persons are outside the households table", self.where, outside)
        return members


def _harmonize(survey: _Survey, keep: Sequence[str]) -> Harmonized:
    entries, skipped = dict(survey.harmony.entries), {}
    for name, entry in survey.harmony.entries.items():
        if reason := survey.reason_to_skip(survey.side(entry)):
            skipped[name] = reason
            del entries[name]
    survey.load(entries, keep)
    members = survey.members()
    households = survey.loaded["household"]
    columns = {name: households[name] for name in keep}
    for name, entry in list(entries.items()):
        side = survey.side(entry)
        codebook = getattr(survey.harmony, survey.role).codebook
        place = Place(survey.harmony.name, name, survey.role, survey.harmony.file, codebook)
        values = _household_values(survey.loaded[side.level], side, members, place)
        missing = int(np.isnan(values).sum())
        if missing and survey.role == "recipient":
            raise place.error(
                f"{side.var} is missing in {missing} of {len(values)} households.",
                "Name the level (or number) of a blank in the recipient's codebook.",
            )
        if missing and missing == len(values):
            skipped[name] = f"no {survey.role} household has an answer to {side.var}"
            del entries[name]
            continue
        columns[name] = _column(values, entry)
    _log.info(
        "%s: %d households, %d harmonies; skipped: %s",
        survey.where,
        households.num_rows,
        len(entries),
        ", ".join(skipped) or "none",
    )
    return Harmonized(pa.table(columns), skipped, tuple(entries))


def _household_values(table: pa.Table, side: Side, members: Members | None, place: Place) -> np.ndarray:
    columns = {name: table[name] for name in side.columns}
    if members is None or side.agg is None:
        return recode(columns, side, place)
    if side.agg == "reference":
        # Recode the reference persons only, less than half of the rows.
        rows = pa.array(members.reference)
        return recode({name: column.take(rows) for name, column in columns.items()}, side, place)
    return aggregate(recode(columns, side, place), members, side.agg)


def _column(values: np.ndarray, entry: Entry) -> pa.Array:
    if not entry.is_categorical:
        return pa.array(values.astype(np.float32), from_pandas=True)
    codes = np.where(np.isnan(values), 0, values).astype(np.int64) - 1
    return categorical(codes, [str(group) for group in entry.groups], ordered=bool(entry.ordered))


def names_of(table: pa.Table | TableRef) -> list[str]:
    """Name the columns of a table."""
    return table.column_names if isinstance(table, pa.Table) else table.columns
