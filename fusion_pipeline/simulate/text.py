"""Columns of official text files: digits padded as the publisher pads them, blanks where nothing applies.

Belongs here: text out of arrays, zip members with fixed time stamps. Does not belong here: what a column
means.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

Array = np.ndarray
_SHORT = 10_000


def digits(values: Array, width: int = 0, blank: Array | None = None) -> pa.Array:
    """Write integers, zero-padded to `width`, sign first; null (an empty cell) where `blank`."""
    values = np.asarray(values)
    if values.size and values.min() >= 0 and values.max() < _SHORT:
        # Most columns hold codes, of a few rows at a time: one look-up is quicker than four kernels.
        mask = None if blank is None else np.asarray(blank, dtype=bool)
        return _short_numbers(width).take(pa.array(values.astype(np.int64), mask=mask))
    text = pc.utf8_lpad(pa.array(np.abs(values).astype(np.int64)).cast(pa.string()), width, "0")
    if (negative := values < 0).any():
        signed = pc.binary_join_element_wise("-", pc.utf8_slice_codeunits(text, 1), "")
        longer = pc.binary_join_element_wise("-", text, "")
        full = pa.array(np.abs(values) >= 10 ** max(width - 1, 0))
        text = pc.if_else(pa.array(negative), pc.if_else(full, longer, signed), text)
    return text if blank is None else pc.if_else(pa.array(np.asarray(blank, dtype=bool)), None, text)


@cache
def _short_numbers(width: int) -> pa.Array:
    return pa.array([str(number).zfill(width) for number in range(_SHORT)])


def numbered(prefix: str, values: Array, width: int) -> dict[str, pa.Array]:
    """Write an (n, R) matrix as columns `prefix`1 to `prefix`R."""
    rows, columns = values.shape
    text = digits(values.T.ravel(), width)
    return {f"{prefix}{c + 1}": text.slice(c * rows, rows) for c in range(columns)}


def csv_bytes(columns: Mapping[str, pa.Array], header: bool) -> bytes:
    """Write columns as CSV without quotes."""
    sink = io.BytesIO()
    options = pacsv.WriteOptions(include_header=False, quoting_style="none")
    if header:
        sink.write((",".join(columns) + "\n").encode())
    pacsv.write_csv(pa.table(dict(columns)), sink, options)
    return sink.getvalue()


class ZipMembers:
    """A zip archive whose members are written one after the other, in pieces; same pieces, same bytes."""

    def __init__(self, path: str) -> None:
        # Level 1: the deflated size matters little here, the time does.
        self._archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._member: io.BufferedIOBase | None = None
        self._name = ""

    def write(self, name: str, columns: Mapping[str, pa.Array]) -> None:
        """Append rows to a member; a new name ends the member before it and starts with a header."""
        new = name != self._name
        if new:
            self._close_member()
            # A member opened by name is dated 1980-01-01.
            self._member = self._archive.open(name, "w", force_zip64=True)  # type: ignore[assignment]
            self._name = name
        assert self._member is not None
        self._member.write(csv_bytes(columns, header=new))

    def close(self) -> None:
        """Finish the archive."""
        self._close_member()
        self._archive.close()

    def __enter__(self) -> ZipMembers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _close_member(self) -> None:
        if self._member is not None:
            self._member.close()
            self._member = None
