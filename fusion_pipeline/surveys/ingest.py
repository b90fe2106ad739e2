"""Ingestion: a survey's raw files, read through its codebook, become one table of microdata.

Belongs here: the steps from files to a table, and the account of everything dropped, missing or left out. Does not
belong here: rows and columns of one file (`collecting.py`), the meaning of codes (`coding.py` and the codebooks), what
ties vehicles, trips and persons to households (`relating.py`, `summaries.py`).

A true missing answer (Refused, Don't know, suppressed) is null here and filled afterwards (`imputing.py`). A valid skip
is not missing: it becomes the value that the codebook gives.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import IngestError
from fusion_pipeline.surveys.codebook import Codebook
from fusion_pipeline.surveys.collecting import Collector, published_factors
from fusion_pipeline.surveys.deriving import derived_column
from fusion_pipeline.surveys.reading import RawPart
from fusion_pipeline.surveys.relating import (
    Relation,
    attach_replicates,
    match_records,
    reference_first,
)
from fusion_pipeline.surveys.respondents import Respondent
from fusion_pipeline.surveys.rows import some_rows
from fusion_pipeline.surveys.summaries import summarize

__all__ = ["IngestReport", "RawPart", "ingest", "ingest_with_report", "match_records", "no_persons"]

VERSION = "4"
log = logging.getLogger(__name__)

_NAMED = 3
"""As many variables left out for one reason are named in the log; all are in the report."""

Files = Mapping[str, Sequence[RawPart]]
"""Raw files by role."""


@dataclass(frozen=True)
class IngestReport:
    """What became of a survey's raw rows and columns."""

    files: tuple[str, ...]
    rows_read: int
    rows_kept: int
    dropped: Mapping[str, int]
    """Rows dropped by reason; a row counts under the first that applies."""
    missing: Mapping[str, int]
    """Missing answers of each variable that has any."""
    left_out: Mapping[str, str]
    """Variables left out, and the absent raw column or file each needs."""
    relations: Mapping[str, Relation] = field(default_factory=dict)
    """How the other records that were read hang together with the households, by kind."""
    unasked: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)
    """Rows of the table to which the question of a number was not put, eight in a byte; see `universes.py`."""


def ingest(
    parts: Sequence[RawPart], codebook: Codebook, respondent: str, others: Files | None = None
) -> pa.Table:
    """Read raw files into a table; see `ingest_with_report`."""
    return ingest_with_report(parts, codebook, respondent, others)[0]


def ingest_with_report(
    parts: Sequence[RawPart], codebook: Codebook, respondent: str, others: Files | None = None
) -> tuple[pa.Table, IngestReport]:
    """Read raw files into a table, and account for every row and column.

    Parameters
    ----------
    parts : sequence of RawPart
        Files that together hold all records; read one block of text at a time.
    codebook : Codebook
    respondent : "households", "persons", or another kind of record of the codebook
    others : role -> files, optional
        The survey's other files, from which households get summaries and replicate weights. What needs a file that
        is not among them is left out by name.

    Returns
    -------
    table : columns `hid`, `pid`, `rid` (as far as the codebook names them), `year`, `weight`, the codebook's
        variables, summaries and derived variables, and `rep_1`, `rep_2`, ... (if the codebook has replicate weights);
        rows in the order of the files.
    report : IngestReport

    Raises
    ------
    IngestError
        Naming file, column and values with their counts: if a column is missing and not declared absent, a
        code is unknown, text stands where a number should, a value is out of range, a cell is blank that may
        not be, a key occurs twice, a weight is not positive, a file is empty or damaged, no row is kept, or
        other records do not fit the households as the codebook says they must.

    Notes
    -----
    Amounts with an adjustment become dollars of the survey year, x = raw * factor / divisor, rounded to whole
    dollars where the variable is an integer (ACS: ADJINC and ADJHSG have six implied decimals). Where a file lacks
    the factor's column and the vintage has one factor only, that of the publisher's codebook is used.
    """
    entry = codebook.respondent(respondent)
    files = {**(others or {}), respondent: parts}
    lacking = {
        role: [column for part in found for column in part.absent] for role, found in files.items() if found
    }
    left_out = codebook.left_out(respondent, lacking)
    collector = _collect(parts, codebook, respondent, left_out)
    table = _checked(collector, parts, entry)
    relations: dict[str, Relation] = {}
    if entry.replicates and entry.replicates.file and "rep_1" not in left_out:
        role = entry.replicates.file
        table, relations[role] = attach_replicates(table, files[role], entry, role)
    position = next((i for i, n in enumerate(table.column_names) if n.startswith("rep_")), table.num_columns)
    wanted = {name: s for name, s in entry.summaries.items() if name not in left_out}
    for kind in dict.fromkeys(summary.of for summary in wanted.values()):
        own = {name: summary for name, summary in wanted.items() if summary.of == kind}
        columns = codebook.respondent(kind).columns
        used = {name for summary in own.values() for name in summary.uses(columns)}
        records, relations[kind] = _records_of(table, files[kind], codebook, kind, used)
        for name, column in summarize(records, table["hid"].to_numpy(), own).items():
            table = table.add_column(position, name, column)
            position += 1
        del records
    table = derive(table, entry, left_out)
    report = IngestReport(
        files=tuple(str(part.path) for part in parts),
        rows_read=collector.rows_read,
        rows_kept=table.num_rows,
        dropped=dict(collector.dropped),
        missing={name: table[name].null_count for name in table.column_names if table[name].null_count},
        left_out=left_out,
        relations=relations,
        unasked=collector.unasked(),
    )
    _log(report, f"{codebook.survey} {codebook.vintage} {respondent}")
    return table, report


def no_persons() -> pa.Table:
    """Return the person table of a survey without person file: the keys, and no rows."""
    columns = {"hid": pa.int64(), "pid": pa.int16(), "year": pa.int16(), "weight": pa.float64()}
    return pa.schema(columns).empty_table()


def _collect(
    parts: Sequence[RawPart],
    codebook: Codebook,
    kind: str,
    left_out: Mapping[str, str],
    only: Collection[str] | None = None,
) -> Collector:
    """Read all files of one kind of record; `only` names the variables wanted."""
    entry = codebook.respondent(kind)
    for part in parts:
        if absent := [raw for raw in entry.required if part.lacks(raw)]:
            raise IngestError(
                f"{part.path}, column {absent[0]}",
                "is declared absent, but keys, weights and the choice of rows need it.",
                "Use a file that has it.",
            )
    collector = Collector(entry, codebook, left_out, only, published=published_factors(parts, entry))
    for part in parts:
        collector.read(part)
    if collector.rows_read == collector.dropped.total():
        reasons = "; ".join(f"{rows:,} for {why}" for why, rows in collector.dropped.items())
        raise IngestError(
            ", ".join(str(part.path) for part in parts),
            f"none of {collector.rows_read:,} rows is kept ({reasons}).",
            "Check that these are the right files, and `keep` in the codebook.",
        )
    return collector


def _checked(collector: Collector, parts: Sequence[RawPart], entry: Respondent) -> pa.Table:
    """Assemble what was collected: keys are unique, and the reference person is person 1."""
    table = collector.table()
    _check_keys(table, parts, entry)
    return reference_first(table, collector.leads()) if entry.id.first else table


def _records_of(
    households: pa.Table,
    parts: Sequence[RawPart],
    codebook: Codebook,
    kind: str,
    used: Collection[str],
) -> tuple[pa.Table, Relation]:
    """Read the records of one kind that belong to households, and of their columns those used."""
    entry = codebook.respondent(kind)
    derived = [name for name in entry.derived if name in used]
    behind = {name for used_one in derived for name in entry.behind(used_one)}
    unused = {name: "not used" for name in entry.derived if name not in {*derived, *behind}}
    table = _checked(_collect(parts, codebook, kind, {}, only={*used, *behind}), parts, entry)
    return match_records(derive(table, entry, unused), households, entry, kind)


def derive(table: pa.Table, entry: Respondent, left_out: Collection[str] = ()) -> pa.Table:
    """Add the derived variables, but those left out, before the replicate weights."""
    position = next((i for i, n in enumerate(table.column_names) if n.startswith("rep_")), table.num_columns)
    for name, derived in entry.derived.items():
        if name not in left_out:
            table = table.add_column(position, name, derived_column(derived, table))
            position += 1
    return table


def _check_keys(table: pa.Table, parts: Sequence[RawPart], entry: Respondent) -> None:
    key = list(entry.id.columns)
    if entry.repeats:
        return
    frame = pd.DataFrame({name: table[name].to_numpy() for name in key})
    if not (twice := frame.duplicated(keep=False)).any():
        return
    raise IngestError(
        f"{', '.join(part.path.name for part in parts)}, key {'/'.join(key)}",
        f"{int(twice.sum()):,} rows share their key with another ({some_rows(twice.to_numpy())}).",
        "Check that no file is read twice, and that the files are of one survey year.",
    )


def _grouped(left_out: Mapping[str, str]) -> list[str]:
    """Count what is left out by what it needs; a few are named."""
    needing: dict[str, list[str]] = {}
    for variable, needed in left_out.items():
        needing.setdefault(needed, []).append(variable)
    return [
        f"no {needed}: {', '.join(names) if len(names) <= _NAMED else f'{len(names)} variables'}"
        for needed, names in needing.items()
    ]


def _log(report: IngestReport, survey: str) -> None:
    log.info("%s: %s of %s rows kept", survey, f"{report.rows_kept:,}", f"{report.rows_read:,}")
    for kind, relation in report.relations.items():
        log.info("%s: %s", survey, relation.sentence(kind))
    if report.dropped:
        log.info("%s: dropped %s", survey, "; ".join(f"{n:,} ({why})" for why, n in report.dropped.items()))
    if report.missing:
        log.info("%s: missing answers %s", survey, ", ".join(f"{v} {n:,}" for v, n in report.missing.items()))
    if report.left_out:
        log.info("%s: left out %s", survey, "; ".join(_grouped(report.left_out)))
