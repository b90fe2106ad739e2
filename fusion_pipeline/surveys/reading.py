"""Raw CSV files as blocks of text: plain, gzipped, or several in a zip archive.

Belongs here: opening files, finding columns whatever the case of their names, streaming. Only the columns
asked for are parsed, and only a few blocks of the file are in memory. What the text means is for `coding.py`.
"""

from __future__ import annotations

import csv
import difflib
import fnmatch
import logging
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from fusion_pipeline.errors import IngestError
from fusion_pipeline.raw.entries import Excerpt
from fusion_pipeline.raw.unpacking import open_gzip, open_member

log = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 24
"""Text parsed at a time: some ten thousand records of the widest surveys."""

_DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, pa.ArrowInvalid, UnicodeDecodeError)
_CODES = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class RawPart:
    """One raw file of a survey, or one of several that make up its records."""

    path: Path
    absent: tuple[str, ...] = ()
    """Raw columns that the official file has and this one has not."""
    member_glob: str = "*.csv"
    """Which members of a zip archive to read; several patterns stand apart by `;`, and each must find one."""
    excerpt: Excerpt | None = None
    """Which of its records are meant, if not all (`excerpts.py`)."""

    def lacks(self, column: str) -> bool:
        """Whether the column is declared absent."""
        return column.lower() in {name.lower() for name in self.absent}


def read_blocks(
    part: RawPart, columns: Sequence[str], coded: Collection[str], quote: str = '"'
) -> Iterator[pa.RecordBatch]:
    """Stream a raw file.

    Parameters
    ----------
    part : RawPart
    columns : sequence of str
        Raw columns to read; matched without regard to case, returned under these names and in this order.
    coded : collection of str
        Those to return dictionary-encoded, since few values repeat; the others come as strings.
    quote : str
        Character around texts; a text without it is the same text.

    Yields
    ------
    Batches without nulls: a blank cell is "".

    Raises
    ------
    IngestError
        If the file is empty, damaged, has no such member, lacks a column, or has one twice.
    RawFileError
        If it unpacks beyond measure.
    """
    rows = 0
    for name, open_stream in _sources(part):
        header: list[str] = []
        try:
            with open_stream() as stream:
                header = _header(stream, name, quote)
            actual = _find(columns, header, name)
            log.info("%s: %d of %d columns are read", name, len(set(actual)), len(header))
            types = {a: _CODES if c in coded else pa.string() for c, a in zip(columns, actual, strict=True)}
            with open_stream() as stream:
                reader = pa.csv.open_csv(
                    stream,
                    read_options=pa.csv.ReadOptions(block_size=BLOCK_BYTES),
                    parse_options=pa.csv.ParseOptions(quote_char=quote),
                    convert_options=pa.csv.ConvertOptions(
                        include_columns=actual, column_types=types, null_values=[], strings_can_be_null=False
                    ),
                )
                for batch in reader:
                    rows += batch.num_rows
                    yield batch.rename_columns(list(columns))
        except _DAMAGE as error:
            raise IngestError(
                _place(name, error, header),
                f"cannot be read as CSV ({error}).",
                "Fetch the file again, or correct the row named.",
            ) from error
    if not rows:
        raise IngestError(str(part.path), "holds no records.", "Fetch the file again.")


def strings(column: pa.Array) -> pa.Array:
    """Decode a column if it is dictionary-encoded."""
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def column_names(part: RawPart) -> list[str]:
    """Read the header of a raw file, of its first member if it is an archive.

    Raises
    ------
    IngestError
        If the file is empty, damaged or not there.
    """
    name, open_stream = next(iter(_sources(part)))
    try:
        with open_stream() as stream:
            return _header(stream, name, '"')
    except _DAMAGE as error:
        raise IngestError(name, f"cannot be read as CSV ({error}).", "Name a CSV file.") from error


def _sources(part: RawPart) -> Iterator[tuple[str, Callable[[], Any]]]:
    path = str(part.path)
    if part.path.suffix == ".gz":
        yield path, lambda: pa.PythonFile(open_gzip(part.path), mode="r")
    elif part.path.suffix == ".zip":
        yield from _members(part)
    else:
        yield path, lambda: pa.OSFile(path)


def _members(part: RawPart) -> Iterator[tuple[str, Callable[[], Any]]]:
    try:
        archive = zipfile.ZipFile(part.path)
    except _DAMAGE as error:
        raise IngestError(
            str(part.path), f"is not a readable zip archive ({error}).", "Fetch the file again."
        ) from error
    with archive:
        members = sorted(
            {m for glob in part.member_glob.split(";") for m in _matching(archive, part.path, glob)}
        )
        for member in members:
            yield f"{part.path}/{member}", partial(_open_member, archive, member)


def _matching(archive: zipfile.ZipFile, path: Path, glob: str) -> list[str]:
    """Members of one pattern: a quarter that is not in the archive is an error, not a smaller survey."""
    found = [m for m in archive.namelist() if fnmatch.fnmatch(m.lower(), glob.lower())]
    if not found:
        raise IngestError(
            str(path),
            f"has no member {glob} (it has {', '.join(archive.namelist()[:5]) or 'none'}).",
            "Fetch the file again, or correct the pattern.",
        )
    return found


def _open_member(archive: zipfile.ZipFile, member: str) -> pa.PythonFile:
    return pa.PythonFile(open_member(archive, member), mode="r")


def _header(stream: Any, name: str, quote: str) -> list[str]:
    """Read column names; Arrow's streams have no buffered readline, hence the growing read."""
    start = b""
    while b"\n" not in start and (more := stream.read(1 << 16)):
        start += more
    if not start.strip():
        raise IngestError(name, "is empty.", "Fetch the file again.")
    return next(csv.reader([start.splitlines()[0].decode("utf-8-sig")], quotechar=quote))


def _place(name: str, error: Exception, header: Sequence[str]) -> str:
    """Name the file, and the column if Arrow numbers it."""
    number = re.search(r"CSV column #(\d+)", str(error))
    return f"{name}, column {header[int(number[1])]}" if number and int(number[1]) < len(header) else name


def _find(columns: Sequence[str], header: Sequence[str], name: str) -> list[str]:
    """Find columns whatever the case of their names; all that are not there are named, with those spelt alike."""
    spelt: dict[str, list[str]] = {}
    for actual in header:
        spelt.setdefault(actual.lower(), []).append(actual)
    if twice := [column for column in columns if len(spelt.get(column.lower(), ())) > 1]:
        raise IngestError(
            f"{name}, column {', '.join(twice)}",
            f"occurs {len(spelt[twice[0].lower()])} times.",
            "Check that this is the right file.",
        )
    if lacking := [column for column in columns if column.lower() not in spelt]:
        raise IngestError(
            f"{name}, column {', '.join(lacking)}",
            f"{'is' if len(lacking) == 1 else 'are'} not in the file, and not declared absent{_alike(lacking, spelt)}.",
            "Check that this is the right file; if only part of it was published, list what it lacks as `absent`.",
        )
    return [spelt[column.lower()][0] for column in columns]


def _alike(lacking: Sequence[str], spelt: Mapping[str, Sequence[str]]) -> str:
    found = {column: difflib.get_close_matches(column.lower(), spelt, n=1, cutoff=0.7) for column in lacking}
    told = [f"{spelt[close[0]][0]} for {column}" for column, close in found.items() if close]
    return f" (it has {', '.join(told)}, which may be meant)" if told else ""
