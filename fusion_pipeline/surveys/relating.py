"""How other files hang together with the households: persons, vehicles, trips, and replicate weights.

Belongs here: matching by household key, what is refused, and the account of it. Does not belong here: what
households learn from their records (`summaries.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fusion_pipeline.errors import IngestError
from fusion_pipeline.surveys.coding import BLANK, Problems, parse_numbers
from fusion_pipeline.surveys.collecting import parse_keys
from fusion_pipeline.surveys.reading import RawPart, read_blocks
from fusion_pipeline.surveys.respondents import Respondent
from fusion_pipeline.surveys.rows import some_rows

log = logging.getLogger(__name__)

_SAME = "Check that both files are of the same survey, year and states."


@dataclass(frozen=True)
class Relation:
    """One kind of record and the households that were kept."""

    rows: int
    """Records read and kept by their own rules."""
    outside: int
    """Those whose household is not among the households kept."""
    without: int
    """Households without such a record."""
    differing: int | None = None
    """Households that say they have another number of them; None: households do not say."""
    telling: int = 0
    """Households that say how many they have."""
    tolerated: float = 0.0
    """Share of these that may differ before the records count as those of another file, or of a part."""

    @property
    def is_excessive(self) -> bool:
        """Whether more households differ than is tolerated."""
        return (self.differing or 0) > self.tolerated * self.telling

    def sentence(self, kind: str) -> str:
        """Tell all counts."""
        parts = [f"{self.rows:,} {kind}", f"{self.outside:,} outside the households kept"]
        parts.append(f"{self.without:,} households have none")
        if self.differing is not None:
            parts.append(f"{self.differing:,} of {self.telling:,} say that they have another number")
        return ", ".join(parts)


def match_records(
    records: pa.Table, households: pa.Table, entry: Respondent, kind: str
) -> tuple[pa.Table, Relation]:
    """Keep the records of the households that were kept, and give them a weight.

    Parameters
    ----------
    records : with `hid`, and `pid` if there is one
    households : with `hid`, `weight`, and the column that `entry.counted_by` names, if it is there
    entry, kind : the records' part of the codebook, and its name

    Raises
    ------
    IngestError
        If records of other households are refused and there are some, or a household lacks what it is expected to
        have (a reference person, a record).
    """
    keys, hid = households["hid"].to_numpy(), records["hid"].to_numpy()
    inside = np.isin(hid, keys)
    if entry.outside == "refuse" and not inside.all():
        raise IngestError(
            f"{kind}, key hid",
            f"{int((~inside).sum()):,} of {hid.size:,} {kind} belong to no household of the household file "
            f"({some_rows(~inside)}).",
            _SAME,
        )
    first = records["pid"].to_numpy() == 1 if entry.expect == "reference person" else np.ones(hid.size, bool)
    lonely = ~np.isin(keys, hid[first])
    if entry.expect and lonely.any():
        have = "no reference person (pid 1)" if entry.expect == "reference person" else f"no {kind}"
        raise IngestError(
            f"{kind}, key hid",
            f"{int(lonely.sum()):,} of {keys.size:,} households have {have} ({some_rows(lonely)}).",
            _SAME,
        )
    # A filter copies, and the persons of a nation take gigabytes.
    kept = records if inside.all() else records.filter(pa.array(inside))
    position = positions(kept["hid"].to_numpy(), keys)
    if "weight" not in kept.column_names:
        after = kept.column_names.index("year") + 1
        kept = kept.add_column(after, "weight", households["weight"].take(pa.array(position)))
    counts = np.bincount(position, minlength=keys.size)
    differing, telling = None, 0
    if entry.counted_by in households.column_names:
        told = households[entry.counted_by].to_pandas().to_numpy(dtype=np.float64, na_value=np.nan)
        telling = int((~np.isnan(told)).sum())
        differing = int((~np.isnan(told) & (told != counts)).sum())
    relation = Relation(
        hid.size, int((~inside).sum()), int((counts == 0).sum()), differing, telling, entry.counted_within
    )
    log.info("%s", relation.sentence(kind))
    return kept, relation


def reference_first(persons: pa.Table, leads: np.ndarray) -> pa.Table:
    """Number the persons of every household anew: the reference person 1, the others from 2 on in their order.

    Parameters
    ----------
    persons : with `hid` and `pid`
    leads : (n,) boolean
        Which are reference persons. A household without one gets no person 1.

    Raises
    ------
    IngestError
        If a household has more than one.
    """
    hid, pid = persons["hid"].to_numpy(), persons["pid"].to_numpy()
    heads, counts = np.unique(hid[leads], return_counts=True)
    if (counts > 1).any():
        raise IngestError(
            "persons, key hid",
            f"{int((counts > 1).sum()):,} households have more than one reference person "
            f"({some_rows(leads & np.isin(hid, heads[counts > 1]))}).",
            "Correct the file, or `id.first` in the codebook.",
        )
    order = np.lexsort((pid, ~leads, hid))
    ordered = hid[order]
    start = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.arange(hid.size) - np.repeat(start, np.diff(np.r_[start, hid.size])) + 1
    numbered = np.empty_like(pid)
    numbered[order] = rank + ~np.isin(ordered, heads)
    return persons.set_column(persons.column_names.index("pid"), "pid", pa.array(numbered))


def attach_replicates(
    households: pa.Table, parts: Sequence[RawPart], entry: Respondent, role: str
) -> tuple[pa.Table, Relation]:
    """Join replicate weights from a file of their own, one row a household, as `rep_1`, `rep_2`, ...

    Raises
    ------
    IngestError
        If a household occurs twice or not at all in the file, or a weight is no number.
    """
    assert entry.replicates is not None
    raw, columns = entry.id.hid, entry.replicates.columns
    names, blocks, found = [raw, *columns], [], []
    for part in parts:
        problems = Problems()
        for batch in read_blocks(part, names, ()):
            found.append(parse_keys(batch.column(0), raw, entry.id.letters, problems))
            block = np.empty((batch.num_rows, len(columns)), dtype=np.float32)
            for number, column in enumerate(columns):
                texts = batch.column(number + 1)
                block[:, number], bad = parse_numbers(texts)
                blank = np.isnan(block[:, number]) & ~bad
                if bad.any():
                    problems.add(column, "is not a number", texts.filter(pa.array(bad)))
                if blank.any():
                    problems.add(column, BLANK, texts.filter(pa.array(blank)))
            blocks.append(block)
        problems.raise_any(str(part.path))
    hid, keys = np.concatenate(found), households["hid"].to_numpy()
    where = ", ".join(str(part.path) for part in parts)
    unique, counts = np.unique(hid, return_counts=True)
    if (counts > 1).any():
        raise IngestError(
            f"{where}, key hid",
            f"{int((counts > 1).sum()):,} households occur more than once among the {role} "
            f"({some_rows(np.isin(hid, unique[counts > 1]))}).",
            "Check that no file is read twice.",
        )
    if (lonely := ~np.isin(keys, hid)).any():
        raise IngestError(
            f"{where}, key hid",
            f"{int(lonely.sum()):,} of {keys.size:,} households have no {role} ({some_rows(lonely)}).",
            _SAME,
        )
    weights = np.concatenate(blocks)[positions(keys, hid)]
    for number in range(len(columns)):
        households = households.append_column(
            f"rep_{number + 1}", pa.array(np.ascontiguousarray(weights[:, number]))
        )
    relation = Relation(hid.size, int((~np.isin(hid, keys)).sum()), 0)
    return households, relation


def positions(wanted: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Row of each wanted key among unique keys, all of which are there."""
    order = np.argsort(keys, kind="stable")
    return order[np.searchsorted(keys, wanted, sorter=order)]
