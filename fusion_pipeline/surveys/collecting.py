"""One kind of record, collected column by column from the blocks of its files.

Belongs here: which rows and columns of a file are read, keys and weights. Does not belong here: what codes mean
(`coding.py`), what ties kinds of records together (`ingest.py`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.measuring import give_back
from fusion_pipeline.surveys.codebook import Codebook
from fusion_pipeline.surveys.coding import BLANK, Coder, Problems, make_coder, parse_numbers, within
from fusion_pipeline.surveys.derive import evaluate
from fusion_pipeline.surveys.excerpts import excerpt
from fusion_pipeline.surveys.reading import RawPart, read_blocks, strings
from fusion_pipeline.surveys.respondents import Adjustment, Respondent, spellings

log = logging.getLogger(__name__)

_ROW = "row of the file"
"""Column of a block beside those of the file: the number of each record below the header, through all members."""
_KEY_DIGITS, _PID_DIGITS = 18, 4
"""As many digits as 64 and 16 bits hold."""


class Collector:
    """Collects columns block by block."""

    def __init__(
        self,
        entry: Respondent,
        codebook: Codebook,
        left_out: Mapping[str, str],
        only: Collection[str] | None = None,
        published: Mapping[str, float] | None = None,
    ) -> None:
        self._entry, self._year, self._quote = entry, codebook.year, codebook.quote
        self._published = published or {}
        wanted = entry.variables if only is None else only
        self._variables = {
            name: variable
            for name, variable in entry.variables.items()
            if name in wanted and name not in left_out
        }
        self._coders: dict[str, Coder] = {n: make_coder(v, codebook) for n, v in self._variables.items()}
        own = entry.replicates is not None and entry.replicates.file is None and "rep_1" not in left_out
        self._replicates = entry.replicates.columns if entry.replicates and own and only is None else ()
        self._adjustments = {
            name: adjustment
            for name, adjustment in entry.adjustments.items()
            if name not in self._published and any(v.adjust == name for v in self._variables.values())
        }
        # Under one spelling each: the same raw column may serve several variables.
        self._coded = spellings(
            [raw for v in self._variables.values() for raw in v.columns]
            + [a.raw for a in self._adjustments.values()]
        )
        self._columns = spellings([*entry.required, *self._coded.values(), *self._replicates])
        self._values: dict[str, list[np.ndarray]] = {}
        self.rows_read = 0
        self.dropped: Counter[str] = Counter()

    def read(self, part: RawPart) -> None:
        """Read one file to its end, then report its problems, if any."""
        problems, row = Problems(), 1
        columns = spellings([*self._columns.values(), *(part.excerpt.columns if part.excerpt else ())])
        coded = {self._columns[name] for name in self._coded}
        for batch in read_blocks(part, list(columns.values()), coded, self._quote):
            numbers = np.arange(row, row + batch.num_rows)
            row += batch.num_rows
            self.rows_read += batch.num_rows
            batch = batch.append_column(_ROW, pa.array(numbers))
            kept = self._keep(self._excerpt(batch, part), problems)
            self._add(kept, problems)
            self._locate(kept, problems)
        problems.raise_any(str(part.path))
        log.info(
            "read %s: %s rows so far, %s dropped",
            part.path.name,
            f"{self.rows_read:,}",
            f"{self.dropped.total():,}",
        )

    def leads(self) -> np.ndarray:
        """Say which records are reference persons, where the codebook says how to know them."""
        return self._take("leads")

    def unasked(self) -> dict[str, np.ndarray]:
        """Rows to which the question of a number was not put, eight in a byte, by variable."""
        found = {name: coder.unasked() for name, coder in self._coders.items()}
        return {name: rows for name, rows in found.items() if rows is not None}

    def table(self) -> pa.Table:
        """Assemble the columns, letting go of each one's blocks in turn."""
        columns = {key: pa.array(self._take(key)) for key in self._entry.id.columns}
        if "pid" in columns:
            columns["pid"] = columns["pid"].cast(pa.int16())
        columns["year"] = pa.array(np.full(len(columns["hid"]), self._year, dtype=np.int16))
        if self._entry.weight:
            columns["weight"] = pa.array(self._take("weight"))
        for name, coder in self._coders.items():
            columns[name] = coder.column(self._take(name))
        for number in range(1, len(self._replicates) + 1):
            columns[f"rep_{number}"] = pa.array(self._take(f"rep_{number}"))
        give_back()  # the blocks' memory, before persons outside the households kept are taken out of a copy
        return pa.table(columns)

    def _take(self, name: str) -> np.ndarray:
        return np.concatenate(self._values.pop(name))

    def _column(self, batch: pa.RecordBatch, raw: str) -> pa.Array:
        return batch.column(self._columns[raw.lower()])

    def _locate(self, batch: pa.RecordBatch, problems: Problems) -> None:
        """Note the first rows that have problems."""
        for raw in {column for column, _ in problems.counts} - set(problems.first):
            problems.locate(raw, strings(self._column(batch, raw)), batch.column(_ROW))

    def _excerpt(self, batch: pa.RecordBatch, part: RawPart) -> pa.RecordBatch:
        if part.excerpt is None:
            return batch
        wanted = excerpt(batch, part.excerpt)
        if dropped := batch.num_rows - wanted.num_rows:
            self.dropped[f"not of the excerpt in which {part.excerpt.sentence}"] += dropped
        return wanted

    def _keep(self, batch: pa.RecordBatch, problems: Problems) -> pa.RecordBatch:
        kept = np.ones(batch.num_rows, dtype=bool)
        for raw, span in self._entry.keep.items():
            inside = within(self._numbers(batch, raw, problems), span)
            if dropped := int((kept & ~inside).sum()):
                self.dropped[f"{raw} not in {span}"] += dropped
            kept &= inside
        return batch if kept.all() else batch.filter(pa.array(kept))

    def _add(self, batch: pa.RecordBatch, problems: Problems) -> None:
        for key, raw in self._entry.id.columns.items():
            self._put(key, self._keys(batch, raw, problems))
        if first := self._entry.id.first:
            inside = [within(self._numbers(batch, raw, problems), span) for raw, span in first.items()]
            self._put("leads", np.logical_and.reduce(inside))
        if self._entry.weight:
            self._put("weight", self._weights(batch, self._entry.weight, problems))
        for number, raw in enumerate(self._replicates, start=1):
            blank = self._entry.replicates.blank if self._entry.replicates else None
            replicate = self._numbers(batch, raw, problems, blank=blank is not None)
            replicate = replicate if blank is None else np.where(np.isnan(replicate), blank, replicate)
            self._put(f"rep_{number}", replicate.astype(np.float32))
        factors = {name: np.full(batch.num_rows, factor) for name, factor in self._published.items()}
        factors |= {
            name: self._factors(batch, adjustment, problems) / adjustment.divisor
            for name, adjustment in self._adjustments.items()
        }
        for name, variable in self._variables.items():
            factor = factors[variable.adjust] if variable.adjust else None
            texts = self._column(batch, variable.raw)
            if variable.flag:
                texts = _flagged(texts, self._column(batch, variable.flag))
            self._put(name, self._coders[name].encode(texts, factor, problems))

    def _weights(self, batch: pa.RecordBatch, raw: str, problems: Problems) -> np.ndarray:
        weight = self._numbers(batch, raw, problems)
        if not (positive := weight > 0).all():
            texts = strings(self._column(batch, raw))
            problems.add(raw, "is not a positive weight", texts.filter(pa.array(~positive)))
        return weight

    def _put(self, name: str, values: np.ndarray) -> None:
        self._values.setdefault(name, []).append(values)

    def _numbers(self, batch: pa.RecordBatch, raw: str, problems: Problems, blank: bool = True) -> np.ndarray:
        texts = strings(self._column(batch, raw))
        values, bad = parse_numbers(texts)
        if bad.any():
            problems.add(raw, "is not a number", texts.filter(pa.array(bad)))
        if not blank and (empty := np.isnan(values) & ~bad).any():
            problems.add(raw, BLANK, texts.filter(pa.array(empty)))
        return values

    def _factors(self, batch: pa.RecordBatch, adjustment: Adjustment, problems: Problems) -> np.ndarray:
        values = self._numbers(batch, adjustment.raw, problems, blank=False)
        if adjustment.factor is None:
            return values
        factors = evaluate(adjustment.factor, pa.table({"value": values})).to_numpy(zero_copy_only=False)
        if (unknown := np.isnan(factors) & ~np.isnan(values)).any():
            texts = strings(self._column(batch, adjustment.raw))
            problems.add(adjustment.raw, "stands for no factor", texts.filter(pa.array(unknown)))
        return factors

    def _keys(self, batch: pa.RecordBatch, raw: str, problems: Problems) -> np.ndarray:
        width = _PID_DIGITS if raw == self._entry.id.pid else _KEY_DIGITS
        return parse_keys(self._column(batch, raw), raw, self._entry.id.letters, problems, width)


def published_factors(parts: Sequence[RawPart], entry: Respondent) -> dict[str, float]:
    """Give the adjustments whose column a file lacks and whose one factor the publisher has printed."""
    return {
        name: adjustment.published / adjustment.divisor
        for name, adjustment in entry.adjustments.items()
        if adjustment.published is not None and any(part.lacks(adjustment.raw) for part in parts)
    }


def parse_keys(
    column: pa.Array, raw: str, letters: Mapping[str, str], problems: Problems, width: int = _KEY_DIGITS
) -> np.ndarray:
    """Read keys of at most `width` digits, once letters are replaced; others are a problem."""
    texts = pc.utf8_trim_whitespace(strings(column))
    digits = texts
    for letter, replacement in letters.items():
        digits = pc.replace_substring(digits, letter, replacement)
    valid = pc.match_substring_regex(digits, rf"^\d{{1,{width}}}$")
    if valid.false_count:
        problems.add(raw, "is not a valid key", texts.filter(pc.invert(valid)))
        digits = pc.if_else(valid, digits, "0")
    return digits.cast(pa.int64()).to_numpy(zero_copy_only=False)


def _flagged(column: pa.Array, flags: pa.Array) -> pa.Array:
    """Put the flag's text into blank cells."""
    texts = strings(column)
    blank = pc.equal(pc.utf8_trim_whitespace(texts), "")
    return pc.if_else(blank, strings(flags), texts).dictionary_encode()
