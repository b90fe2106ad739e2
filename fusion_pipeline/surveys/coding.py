"""Codes into values: what a codebook makes of a block of text.

Belongs here: the coders, one per kind of variable, and the account of text that has no meaning. They work on
the distinct texts of a block, never on its rows one by one. Does not belong here: which columns and rows are
read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.errors import IngestError
from fusion_pipeline.storage.tables import categorical
from fusion_pipeline.surveys.codebook import Codebook
from fusion_pipeline.surveys.variables import Span, Variable, canonical, is_whole

MISSING, UNKNOWN = -1, -2
_STORED = Span(low=-(2.0**53), high=2.0**53)
"""Whole numbers beyond are not told apart by 64-bit floats; no survey has any."""
_INTEGERS = ((pa.int8(), 127), (pa.int16(), 32_767), (pa.int32(), 2_147_483_647))
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_What = Literal[
    "has no meaning in the codebook",
    "is blank, which the codebook does not allow",
    "is not a number",
    "is not a whole number",
    "is out of range",
    "is not a valid key",
    "is not a positive weight",
    "stands for no factor",
]
BLANK: _What = "is blank, which the codebook does not allow"
_REMEDIES: dict[_What, str] = {
    "has no meaning in the codebook": "Add it to the codebook, or check that this is the right vintage.",
    BLANK: (
        'Correct the file, or give the variable a `not_applicable` value or "" among its `missing_codes`.'
    ),
    "is not a number": "Correct the file, or list the text as a code of the variable.",
    "is not a whole number": "Correct the file, or make the variable's type `number`.",
    "is out of range": "Correct the file, or widen the variable's `range` in the codebook.",
    "is not a valid key": "Correct the file, or add the letters to `id.letters` in the codebook.",
    "is not a positive weight": "Correct the file, or exclude such rows with `keep` in the codebook.",
    "stands for no factor": "Add it to the table that the adjustment's `factor` in the codebook looks it up in.",
}

_OF_NUMBERS = {"is not a whole number", "is out of range", "is not a positive weight"}
_OF_KEYS = {"is not a valid key"}


@dataclass
class Problems:
    """Text without meaning, counted over a whole file before it is reported."""

    counts: defaultdict[tuple[str, _What], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    first: dict[str, int] = field(default_factory=dict)
    """Column: the first row of the file in which it has a problem."""

    def add(self, column: str, what: _What, texts: pa.Array, counts: np.ndarray | None = None) -> None:
        """Count texts that share a problem."""
        if counts is None:
            tally = pc.value_counts(texts)
            texts, counts = tally.field("values"), tally.field("counts").to_numpy()
        self.counts[column, what].update(dict(zip(texts.to_pylist(), counts.tolist(), strict=True)))

    def locate(self, column: str, texts: pa.Array, rows: pa.Array) -> None:
        """Note the first row of the file, among some, whose text in a column is a problem; texts and rows (n,)."""
        found = {text for (name, _), tally in self.counts.items() if name == column for text in tally}
        row = pc.index(pc.is_in(texts, value_set=pa.array(sorted(found), pa.string())), True).as_py()
        if row >= 0:
            self.first.setdefault(column, rows[row].as_py())

    def raise_any(self, where: str) -> None:
        """Raise an IngestError that names the first column, its codes and their counts, if there is one.

        Codes are needed to mend a codebook. Of numbers the message has no more than their range, of keys their count.
        """
        for (column, what), tally in self.counts.items():
            shown = _shown(what, tally)
            others = sorted({c for c, _ in self.counts} - {column})
            more = f" Columns with problems besides: {', '.join(others)}." if others else ""
            first = f" (first: row {self.first[column]:,})" if column in self.first else ""
            raise IngestError(f"{where}, column {column}", f"{shown} {what}{first}.", _REMEDIES[what] + more)


def _shown(what: str, tally: Counter[str]) -> str:
    if what in _OF_KEYS:
        return f"the text in {tally.total():,} rows"
    if what in _OF_NUMBERS:
        numbers, _ = parse_numbers(pa.array(tally, pa.string()))
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        span = f"{low:.15g}" if low == high else f"{low:.15g} to {high:.15g}"
        return f"{span} in {tally.total():,} rows"
    shown = ", ".join(f"{text!r} in {count:,} rows" for text, count in tally.most_common(5))
    return shown + (f" and {len(tally) - 5:,} other values" if len(tally) > 5 else "")


class Coder(Protocol):
    """Turns blocks of one raw column into one variable."""

    def encode(
        self, texts: pa.DictionaryArray, factor: np.ndarray | None, problems: Problems
    ) -> np.ndarray: ...

    def column(self, values: np.ndarray) -> pa.Array: ...

    def unasked(self) -> np.ndarray | None:
        """Rows with a valid skip in place of a number, eight in a byte; None if the variable knows no such rows."""
        ...


def make_coder(variable: Variable, codebook: Codebook) -> Coder:
    """Return the coder for a variable."""
    skips, missing = codebook.skips(variable), codebook.missing(variable)
    if variable.type == "place":
        return _PlaceCoder(variable, missing)
    if variable.categorical:
        return _LevelCoder(variable, skips, missing)
    return _NumberCoder(variable, skips, missing)


def parse_numbers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Read numbers.

    Returns
    -------
    values : float64, NaN where the text is no number
    bad : boolean, where the text is neither blank nor a number
    """
    try:
        values = pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False)
        if np.isfinite(values).all():
            return values, np.zeros(len(values), dtype=bool)
    except pa.ArrowInvalid:
        pass  # some text is blank, padded or no number: find out which
    trimmed = pc.utf8_trim_whitespace(texts)
    numeric = pc.match_substring_regex(trimmed, _NUMBER)
    unsigned = pc.utf8_ltrim(trimmed, "+")
    values = pc.if_else(numeric, unsigned, pa.scalar(None, pa.string())).cast(pa.float64())
    bad = pc.and_(pc.invert(numeric), pc.not_equal(trimmed, ""))
    return values.to_numpy(zero_copy_only=False), bad.to_numpy(zero_copy_only=False)


def within(values: np.ndarray, span: Span) -> np.ndarray:
    """Say which values lie in a range; NaN does not."""
    low = -np.inf if span.low is None else span.low
    high = np.inf if span.high is None else span.high
    return (values >= low) & (values <= high)


class _LevelCoder:
    """Labels from codes; distinct texts are looked up once per file, not once per block."""

    def __init__(self, variable: Variable, skips: Sequence[str], missing: Sequence[str]) -> None:
        self._variable = variable
        position = {label: i for i, label in enumerate(variable.labels)}
        self._spans = [
            (span, position[label]) for code, label in variable.levels.items() if (span := Span.parse(code))
        ]
        self._known = {canonical(code): position[label] for code, label in variable.levels.items()}
        self._known |= {canonical(code): MISSING for code in missing}
        if variable.not_applicable is not None:
            self._known |= {canonical(code): position[variable.not_applicable] for code in skips}
        self._seen: dict[str, int] = {}
        # Most variables of a nation's persons fit into one byte a record.
        self._type = np.int8 if len(variable.labels) <= np.iinfo(np.int8).max else np.int16

    def encode(self, texts: pa.DictionaryArray, factor: np.ndarray | None, problems: Problems) -> np.ndarray:
        distinct = texts.dictionary.to_pylist()
        codes = np.array([self._look_up(text) for text in distinct], dtype=self._type)
        _report(self._variable.raw, texts, codes == UNKNOWN, "has no meaning in the codebook", problems)
        return codes[_indices(texts)]

    def column(self, values: np.ndarray) -> pa.Array:
        return categorical(values, self._variable.labels, ordered=self._variable.type == "ordered")

    def unasked(self) -> None:
        return None  # a skip is a level of its own

    def _look_up(self, text: str) -> int:
        if text not in self._seen:
            code = canonical(text)
            self._seen[text] = self._known[code] if code in self._known else self._span(code)
        return self._seen[text]

    def _span(self, code: str) -> int:
        if not is_whole(code):
            return UNKNOWN
        number = np.array(float(code))
        return next((position for span, position in self._spans if within(number, span)), UNKNOWN)


class _PlaceCoder:
    """Zero-padded area codes; the levels are those that occur, in order."""

    def __init__(self, variable: Variable, missing: Sequence[str]) -> None:
        self._variable = variable
        self._width = variable.width or 0
        self._missing = {canonical(code) for code in missing}
        self._seen: dict[str, int] = {}
        self._places: list[str] = []

    def encode(self, texts: pa.DictionaryArray, factor: np.ndarray | None, problems: Problems) -> np.ndarray:
        codes = np.array([self._look_up(text) for text in texts.dictionary.to_pylist()], dtype=np.int32)
        _report(self._variable.raw, texts, codes == UNKNOWN, "has no meaning in the codebook", problems)
        return codes[_indices(texts)]

    def column(self, values: np.ndarray) -> pa.Array:
        used = np.unique(values[values >= 0])
        levels = sorted(self._places[code] for code in used)
        position = {place: i for i, place in enumerate(levels)}
        # One entry more than there are places, so that -1 finds MISSING at the end.
        order = np.array([*(position.get(place, MISSING) for place in self._places), MISSING])
        return categorical(order[values], levels)

    def unasked(self) -> None:
        return None  # a place always applies

    def _look_up(self, text: str) -> int:
        if text not in self._seen:
            code = canonical(text)
            if code in self._missing:
                self._seen[text] = MISSING
            elif is_whole(code) and not code.startswith("-") and len(code) <= self._width:
                self._seen[text] = self._place(code.zfill(self._width))
            else:
                self._seen[text] = UNKNOWN
        return self._seen[text]

    def _place(self, place: str) -> int:
        if place not in self._places:
            self._places.append(place)
        return self._places.index(place)


class _NumberCoder:
    """Numbers, with the codes among them replaced and amounts adjusted."""

    def __init__(self, variable: Variable, skips: Sequence[str], missing: Sequence[str]) -> None:
        self._variable = variable
        self._replaced = {code: float(value) for code, value in variable.values.items()}
        self._replaced |= dict.fromkeys(missing, np.nan)
        self._replaced |= {code: float(variable.not_applicable or 0) for code in skips}
        self._skips, self._unasked = frozenset(skips), list[tuple[np.ndarray, int]]()
        self._words = {code: value for code, value in self._replaced.items() if code and not is_whole(code)}
        self._replaced = {code: value for code, value in self._replaced.items() if code not in self._words}

    def encode(self, texts: pa.DictionaryArray, factor: np.ndarray | None, problems: Problems) -> np.ndarray:
        raw, distinct = self._variable.raw, texts.dictionary
        values, bad = parse_numbers(distinct)
        worded = self._worded(distinct)
        bad &= ~worded
        blank = np.isnan(values) & ~bad & ~worded
        ordinary = ~bad & ~blank & ~worded
        numbers, values = values, values.copy()
        unasked = np.zeros(len(values), dtype=bool)
        for code, value in (*self._words.items(), *self._replaced.items()):
            coded = (
                _equal(distinct, code) if code in self._words else numbers == float(code) if code else blank
            )
            ordinary &= ~coded
            values[coded] = value
            if code in self._skips:
                unasked |= coded
        if "" in self._replaced:
            blank = np.zeros_like(blank)
        _report(raw, texts, bad, "is not a number", problems)
        _report(raw, texts, blank, "is blank, which the codebook does not allow", problems)
        span = self._variable.range or _STORED
        beyond = ~within(values, span) | ~within(values, _STORED)
        _report(raw, texts, ordinary & beyond, "is out of range", problems)
        if self._variable.type == "integer":
            broken = ordinary & (values != np.rint(values))
            _report(raw, texts, broken, "is not a whole number", problems)
        rows = _indices(texts)
        if self._skips:
            self._unasked.append((np.packbits(unasked[rows]), len(rows)))
        if factor is None:
            return values[rows]
        adjusted = np.where(ordinary[rows], values[rows] * factor, values[rows])
        return np.rint(adjusted) if self._variable.type == "integer" else adjusted

    def column(self, values: np.ndarray) -> pa.Array:
        missing = np.isnan(values)
        if self._variable.type == "number":
            return pa.array(values, mask=missing)
        return pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing).cast(self._integer())

    def unasked(self) -> np.ndarray | None:
        blocks = [np.unpackbits(packed, count=rows).astype(bool) for packed, rows in self._unasked]
        return np.packbits(np.concatenate(blocks)) if blocks else None

    def _integer(self) -> pa.DataType:
        span, adjusted = self._variable.range, self._variable.adjust is not None
        if span is None or span.low is None or span.high is None:
            return pa.int64()
        # A factor of ten is more than any adjustment for inflation within a survey.
        bound = max(abs(span.low), abs(span.high), *map(abs, self._finite())) * (10 if adjusted else 1)
        return next((kind for kind, top in _INTEGERS if bound <= top), pa.int64())

    def _worded(self, texts: pa.Array) -> np.ndarray:
        words = [_equal(texts, code) for code in self._words]
        return np.logical_or.reduce(words) if words else np.zeros(len(texts), dtype=bool)

    def _finite(self) -> list[float]:
        replaced = (*self._replaced.values(), *self._words.values())
        return [0.0, *(value for value in replaced if np.isfinite(value))]


def _equal(texts: pa.Array, code: str) -> np.ndarray:
    return pc.equal(pc.utf8_trim_whitespace(texts), code).to_numpy(zero_copy_only=False)


def _indices(texts: pa.DictionaryArray) -> np.ndarray:
    return texts.indices.to_numpy(zero_copy_only=False)


def _report(
    column: str, texts: pa.DictionaryArray, wrong: np.ndarray, what: _What, problems: Problems
) -> None:
    """Count wrong texts, but only those of rows that were kept."""
    if not wrong.any():
        return
    counts = np.bincount(_indices(texts), minlength=len(texts.dictionary))
    wrong = wrong & (counts > 0)
    blank = wrong & np.array([not text.strip() for text in texts.dictionary.to_pylist()])
    for which, problem in ((wrong & ~blank, what), (blank, BLANK)):
        if which.any():
            problems.add(column, problem, texts.dictionary.filter(pa.array(which)), counts[which])
