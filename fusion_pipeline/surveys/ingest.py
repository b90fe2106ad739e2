"""Ingestion: a survey's raw files, read through its codebook, become one table of microdata.

Belongs here: which rows and columns are read, keys and weights, and the account of everything dropped,
missing or left out. The meaning of codes is in `coding.py` and the codebooks.

A true missing answer (Refused, Don't know, suppressed) is null here and filled afterwards (`imputing.py`). A valid skip
is not missing: it becomes the value that the codebook gives.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.errors import IngestError
from fusion_pipeline.storage.tables import categorical
from fusion_pipeline.surveys.codebook import Codebook, Derived, Respondent, RespondentName, spellings
from fusion_pipeline.surveys.coding import Coder, Problems, make_coder, parse_numbers, within
from fusion_pipeline.surveys.derive import evaluate
from fusion_pipeline.surveys.reading import RawPart, read_blocks
from fusion_pipeline.surveys.variables import OTHERWISE

__all__ = ["IngestReport", "RawPart", "ingest", "ingest_with_report", "match_persons"]

VERSION = "1"
log = logging.getLogger(__name__)


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
    """Variables left out, and the absent raw column each needs."""


def ingest(parts: Sequence[RawPart], codebook: Codebook, respondent: RespondentName) -> pa.Table:
    """Read raw files into a table; see `ingest_with_report`."""
    return ingest_with_report(parts, codebook, respondent)[0]


def ingest_with_report(
    parts: Sequence[RawPart], codebook: Codebook, respondent: RespondentName
) -> tuple[pa.Table, IngestReport]:
    """Read raw files into a table, and account for every row and column.

    Parameters
    ----------
    parts : sequence of RawPart
        Files that together hold all records; read one block of text at a time.
    codebook : Codebook
    respondent : "households" or "persons"

    Returns
    -------
    table : columns `hid`, `pid` (persons), `year`, `weight`, the codebook's variables, the derived variables,
        and `rep_1`, `rep_2`, ... (if the codebook has replicate weights); rows in the order of the files.
    report : IngestReport

    Raises
    ------
    IngestError
        Naming file, column and values with their counts: if a column is missing and not declared absent, a
        code is unknown, text stands where a number should, a value is out of range, a cell is blank that may
        not be, a key occurs twice, a weight is not positive, a file is empty or damaged, or no row is kept.

    Notes
    -----
    Amounts with an adjustment become dollars of the survey year, x = raw * factor / divisor, rounded to whole
    dollars where the variable is an integer (ACS: ADJINC and ADJHSG have six implied decimals). Where a file lacks
    the factor's column and the vintage has one factor only, that of the publisher's codebook is used.
    """
    entry = codebook.respondent(respondent)
    left_out = _left_out(parts, entry)
    reader = _Reader(entry, codebook, left_out, _published_factors(parts, entry))
    for part in parts:
        reader.read(part)
    if reader.rows_read == reader.dropped.total():
        reasons = "; ".join(f"{rows:,} for {why}" for why, rows in reader.dropped.items())
        raise IngestError(
            ", ".join(str(part.path) for part in parts),
            f"none of {reader.rows_read:,} rows is kept ({reasons}).",
            "Check that these are the right files, and `keep` in the codebook.",
        )
    table = _derive(reader.table(), entry, left_out)
    _check_keys(table, parts)
    report = IngestReport(
        files=tuple(str(part.path) for part in parts),
        rows_read=reader.rows_read,
        rows_kept=table.num_rows,
        dropped=dict(reader.dropped),
        missing={name: table[name].null_count for name in table.column_names if table[name].null_count},
        left_out=left_out,
    )
    _log(report, f"{codebook.survey} {codebook.vintage} {respondent}")
    return table, report


def match_persons(persons: pa.Table, households: pa.Table) -> pa.Table:
    """Keep the persons of the households that were kept.

    Raises
    ------
    IngestError
        If a household has no reference person (`pid` 1), hence also if it has no persons at all.
    """
    keys = households["hid"].to_numpy()
    hid, pid = persons["hid"].to_numpy(), persons["pid"].to_numpy()
    lonely = keys[~np.isin(keys, hid[pid == 1])]
    if lonely.size:
        raise IngestError(
            f"persons, hid {', '.join(map(str, lonely[:5]))}",
            f"{lonely.size:,} of {keys.size:,} households have no reference person (pid 1).",
            "Check that household and person files are of the same survey, year and states.",
        )
    kept = np.isin(hid, keys)
    log.info(
        "%s of %s persons live in the %s households kept",
        f"{kept.sum():,}",
        f"{hid.size:,}",
        f"{keys.size:,}",
    )
    return persons.filter(pa.array(kept))


class _Reader:
    """Collects columns block by block."""

    def __init__(
        self,
        entry: Respondent,
        codebook: Codebook,
        left_out: Mapping[str, str],
        published: Mapping[str, float],
    ) -> None:
        self._entry, self._year, self._published = entry, codebook.year, published
        self._variables = {name: v for name, v in entry.variables.items() if name not in left_out}
        self._coders: dict[str, Coder] = {n: make_coder(v, codebook) for n, v in self._variables.items()}
        self._replicates = entry.replicates.columns if entry.replicates and "rep_1" not in left_out else ()
        self._adjustments = {
            name: adjustment
            for name, adjustment in entry.adjustments.items()
            if name not in published and any(v.adjust == name for v in self._variables.values())
        }
        # Under one spelling each: the same raw column may serve several variables.
        self._coded = spellings(
            [v.raw for v in self._variables.values()] + [a.raw for a in self._adjustments.values()]
        )
        self._columns = spellings([*entry.required, *self._coded.values(), *self._replicates])
        self._values: dict[str, list[np.ndarray]] = {}
        self.rows_read = 0
        self.dropped: Counter[str] = Counter()

    def read(self, part: RawPart) -> None:
        """Read one file to its end, then report its problems, if any."""
        problems = Problems()
        columns = list(self._columns.values())
        coded = {self._columns[name] for name in self._coded}
        for batch in read_blocks(part, columns, coded):
            self.rows_read += batch.num_rows
            self._add(self._keep(batch, problems), problems)
        problems.raise_any(str(part.path))
        log.info(
            "read %s: %s rows so far, %s dropped",
            part.path.name,
            f"{self.rows_read:,}",
            f"{self.dropped.total():,}",
        )

    def table(self) -> pa.Table:
        """Assemble the columns, letting go of each one's blocks in turn."""
        columns: dict[str, pa.Array] = {"hid": pa.array(self._take("hid"))}
        if self._entry.id.pid:
            columns["pid"] = pa.array(self._take("pid")).cast(pa.int16())
        columns["year"] = pa.array(np.full(len(columns["hid"]), self._year, dtype=np.int16))
        columns["weight"] = pa.array(self._take("weight"))
        for name, coder in self._coders.items():
            columns[name] = coder.column(self._take(name))
        for number in range(1, len(self._replicates) + 1):
            columns[f"rep_{number}"] = pa.array(self._take(f"rep_{number}"))
        return pa.table(columns)

    def _take(self, name: str) -> np.ndarray:
        return np.concatenate(self._values.pop(name))

    def _column(self, batch: pa.RecordBatch, raw: str) -> pa.Array:
        return batch.column(self._columns[raw.lower()])

    def _keep(self, batch: pa.RecordBatch, problems: Problems) -> pa.RecordBatch:
        kept = np.ones(batch.num_rows, dtype=bool)
        for raw, span in self._entry.keep.items():
            inside = within(self._numbers(batch, raw, problems), span)
            if dropped := int((kept & ~inside).sum()):
                self.dropped[f"{raw} not in {span}"] += dropped
            kept &= inside
        return batch if kept.all() else batch.filter(pa.array(kept))

    def _add(self, batch: pa.RecordBatch, problems: Problems) -> None:
        identifier = self._entry.id
        self._put("hid", self._keys(batch, identifier.hid, problems))
        if identifier.pid:
            self._put("pid", self._keys(batch, identifier.pid, problems))
        weight = self._numbers(batch, self._entry.weight, problems)
        if not (positive := weight > 0).all():
            column = _strings(self._column(batch, self._entry.weight))
            problems.add(self._entry.weight, "is not a positive weight", column.filter(pa.array(~positive)))
        self._put("weight", weight)
        for number, raw in enumerate(self._replicates, start=1):
            replicate = self._numbers(batch, raw, problems, blank=False)
            self._put(f"rep_{number}", replicate.astype(np.float32))
        factors = {name: np.full(batch.num_rows, factor) for name, factor in self._published.items()}
        factors |= {
            name: self._numbers(batch, adjustment.raw, problems, blank=False) / adjustment.divisor
            for name, adjustment in self._adjustments.items()
        }
        for name, variable in self._variables.items():
            factor = factors[variable.adjust] if variable.adjust else None
            texts = self._column(batch, variable.raw)
            self._put(name, self._coders[name].encode(texts, factor, problems))

    def _put(self, name: str, values: np.ndarray) -> None:
        self._values.setdefault(name, []).append(values)

    def _numbers(self, batch: pa.RecordBatch, raw: str, problems: Problems, blank: bool = True) -> np.ndarray:
        texts = _strings(self._column(batch, raw))
        values, bad = parse_numbers(texts)
        if bad.any():
            problems.add(raw, "is not a number", texts.filter(pa.array(bad)))
        if not blank and (empty := np.isnan(values) & ~bad).any():
            what = "is blank, which the codebook does not allow"
            problems.add(raw, what, texts.filter(pa.array(empty)))
        return values

    def _keys(self, batch: pa.RecordBatch, raw: str, problems: Problems) -> np.ndarray:
        texts = pc.utf8_trim_whitespace(_strings(self._column(batch, raw)))
        digits = texts
        for letters, replacement in self._entry.id.letters.items():
            digits = pc.replace_substring(digits, letters, replacement)
        valid = pc.match_substring_regex(digits, r"^\d{1,18}$")
        if valid.false_count:
            problems.add(raw, "is not a valid key", texts.filter(pc.invert(valid)))
            digits = pc.if_else(valid, digits, "0")
        return digits.cast(pa.int64()).to_numpy(zero_copy_only=False)


def _strings(column: pa.Array) -> pa.Array:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _published_factors(parts: Sequence[RawPart], entry: Respondent) -> dict[str, float]:
    """Adjustments whose column a file lacks and whose one factor the publisher has printed."""
    return {
        name: adjustment.published / adjustment.divisor
        for name, adjustment in entry.adjustments.items()
        if adjustment.published is not None and any(part.lacks(adjustment.raw) for part in parts)
    }


def _left_out(parts: Sequence[RawPart], entry: Respondent) -> dict[str, str]:
    for part in parts:
        if absent := [raw for raw in entry.required if part.lacks(raw)]:
            raise IngestError(
                f"{part.path}, column {absent[0]}",
                "is declared absent, but keys, weights and the choice of rows need it.",
                "Use a file that has it.",
            )
    needs = {name: entry.needs(name) for name in (*entry.variables, *entry.derived)}
    if entry.replicates:
        needs |= {f"rep_{i}": entry.replicates.columns for i in range(1, entry.replicates.count + 1)}
    absent_of = {
        name: next((raw for raw in columns for part in parts if part.lacks(raw)), None)
        for name, columns in needs.items()
    }
    return {name: raw for name, raw in absent_of.items() if raw is not None}


def _derive(table: pa.Table, entry: Respondent, left_out: Mapping[str, str]) -> pa.Table:
    position = next((i for i, n in enumerate(table.column_names) if n.startswith("rep_")), table.num_columns)
    for name, derived in entry.derived.items():
        if name not in left_out:
            table = table.add_column(position, name, _derived(derived, table))
            position += 1
    return table


def _derived(derived: Derived, table: pa.Table) -> pa.Array:
    if derived.cases:
        return categorical(_first_case(derived, table), derived.labels, ordered=derived.type == "ordered")
    assert derived.expression is not None
    values = evaluate(derived.expression, table)
    if derived.type == "number":
        return values
    position = {outcome: i for i, outcome in enumerate(derived.levels)}
    codes = pc.if_else(values, position["true"], position["false"])
    return categorical(pc.fill_null(codes, -1).to_numpy(), derived.labels)


def _first_case(derived: Derived, table: pa.Table) -> np.ndarray:
    """Position of the first case that holds; -1 if none does, or one before it is missing."""
    codes = np.full(table.num_rows, -1, dtype=np.int16)
    undecided = np.ones(table.num_rows, dtype=bool)
    for position, condition in enumerate(derived.cases.values()):
        if condition == OTHERWISE:
            codes[undecided] = position
            break
        holds = evaluate(condition, table)
        true = pc.fill_null(holds, False).to_numpy()
        codes[undecided & true] = position
        undecided &= pc.fill_null(pc.invert(holds), False).to_numpy()
    return codes


def _check_keys(table: pa.Table, parts: Sequence[RawPart]) -> None:
    key = [name for name in ("hid", "pid") if name in table.column_names]
    frame = pd.DataFrame({name: table[name].to_numpy() for name in key})
    if not (twice := frame.duplicated(keep=False)).any():
        return
    counts = Counter(frame[twice].itertuples(index=False, name=None)).most_common(5)
    shown = ", ".join(f"{'/'.join(map(str, values))} {count} times" for values, count in counts)
    raise IngestError(
        f"{', '.join(part.path.name for part in parts)}, key {'/'.join(key)}",
        f"{shown}; {int(twice.sum()):,} rows share their key with another.",
        "Check that no file is read twice, and that the files are of one survey year.",
    )


def _log(report: IngestReport, survey: str) -> None:
    log.info("%s: %s of %s rows kept", survey, f"{report.rows_kept:,}", f"{report.rows_read:,}")
    if report.dropped:
        log.info("%s: dropped %s", survey, "; ".join(f"{n:,} ({why})" for why, n in report.dropped.items()))
    if report.missing:
        log.info("%s: missing answers %s", survey, ", ".join(f"{v} {n:,}" for v, n in report.missing.items()))
    if report.left_out:
        log.info(
            "%s: left out %s", survey, ", ".join(f"{v} (no {raw})" for v, raw in report.left_out.items())
        )
