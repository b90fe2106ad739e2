"""From a survey's raw files to the tables that are kept: ingested, matched, and without missing answers.

Belongs here: the steps of one kind of record in their order, and what is told of each. Does not belong here: the steps
themselves (`ingest.py`, `relating.py`, `imputing.py`, `universes.py`), publishing the tables (`assets/ingestion.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys.codebook import Codebook
from fusion_pipeline.surveys.imputing import impute_missing
from fusion_pipeline.surveys.ingest import (
    Files,
    IngestReport,
    RawPart,
    ingest_with_report,
    match_records,
)
from fusion_pipeline.surveys.relating import Relation
from fusion_pipeline.surveys.universes import outside_universe


@dataclass(frozen=True)
class Microdata:
    """The table of one kind of record, and the account of it.

    Attributes
    ----------
    table : no answer is missing
    report : rows and columns read, kept and left out
    imputed : variable -> answers that were filled
    outside : variable -> records (and their weight) that were not asked
    relation : how persons hang together with the households; None for households, whose report has theirs
    """

    table: pa.Table
    report: IngestReport
    imputed: Mapping[str, int]
    outside: Mapping[str, tuple[int, float]]
    relation: Relation | None = None


def make_households(
    parts: Sequence[RawPart],
    others: Files,
    codebook: Codebook,
    *,
    seed: int,
    threads: int = 1,
    stream_name: str = "impute",
) -> Microdata:
    """Ingest a survey's households, which also learn from its other files, and fill what is missing.

    Parameters
    ----------
    parts, others, codebook : as in `ingest_with_report`
    seed, threads, stream_name : as in `impute_missing`
    """
    table, report = ingest_with_report(parts, codebook, "households", others)
    table, imputed = impute_missing(
        table, codebook.households, seed=seed, threads=threads, stream_name=stream_name
    )
    return Microdata(table, report, imputed, outside_universe(report.unasked, table))


def make_persons(
    parts: Sequence[RawPart],
    households: TableRef,
    codebook: Codebook,
    *,
    seed: int,
    threads: int = 1,
    stream_name: str = "impute",
) -> Microdata:
    """Ingest the persons of the households that were kept, and fill what is missing.

    Parameters
    ----------
    households : the finished table; of which keys, weights and numbers of persons are read
    parts, codebook, seed, threads, stream_name : as in `make_households`
    """
    entry = codebook.respondent("persons")
    table, report = ingest_with_report(parts, codebook, "persons")
    counted_by = [entry.counted_by] if entry.counted_by in households.columns else []
    homes = households.read(["hid", "weight", *counted_by])
    inside = np.isin(table["hid"].to_numpy(), homes["hid"].to_numpy())
    # The name is given up to what follows: large surveys do not fit in memory twice.
    table, relation = match_records(table, homes, entry, "persons")
    outside = outside_universe(report.unasked, table, inside)
    table, imputed = impute_missing(table, entry, seed=seed, threads=threads, stream_name=stream_name)
    return Microdata(table, report, imputed, outside, relation)
