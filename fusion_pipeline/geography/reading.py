"""Publishers' tables about places as text columns, whatever their wrapping.

Belongs here: CSV with any separator, plain or gzipped, the Census API's JSON, Parquet, and NOAA's fixed-width
normals; finding columns under one of several names. Does not belong here: what the columns mean.
"""

from __future__ import annotations

import io
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.raw.unpacking import open_gzip

_DAMAGE = (pa.ArrowInvalid, pa.ArrowKeyError, OSError, EOFError, zlib.error, ValueError)
# Bytes of a text, which is read as a whole: the national relationship files have some ten million.
_MOST = 2 << 30
_BOM = "\ufeff"
_STATION_LINE = 24
# NOAA's normals: "nonzero, but rounds to zero" is -7777; the other negative codes mean that there is no value.
_ROUNDS_TO_ZERO = -7777
_NO_NORMAL = frozenset({-9999, -8888, -6666, -5555})


def read_columns(path: Path, wanted: Sequence[str], *, required: Sequence[str] = ()) -> pd.DataFrame:
    """Read columns of a table as text.

    Parameters
    ----------
    path : Path
        `.csv`, `.txt`, `.dat` (comma, tab or bar between cells), `.json` (a list of lists, names first), `.parquet`;
        all but the last perhaps in `.gz`.
    wanted : names
        Several names of one column are separated by `|`; it is called by the first of them. Case does not matter.
    required : those of `wanted` that must be there

    Returns
    -------
    Those of the wanted columns that the file has, as strings without blanks around them; a blank cell is "".

    Raises
    ------
    GeographyError
        If the file is damaged, or lacks a required column; the message names both.
    RawFileError
        If it unpacks beyond measure.
    """
    try:
        name = path.name.removesuffix(".gz")
        if name.endswith(".parquet"):
            header = pq.read_schema(path).names
            found = _find(header, wanted)
            table = pq.read_table(path, columns=list(found.values()))
        elif name.endswith(".json"):
            names, *rows = json.loads(_bytes(path))
            found = _find(names, wanted)
            positions = {column: names.index(column) for column in found.values()}
            table = pa.table({c: [_text(row[i]) for row in rows] for c, i in positions.items()})
        else:
            table, found = _read_text(path, wanted)
    except _DAMAGE as error:
        raise GeographyError(path.name, f"cannot be read ({error}).", "Fetch the file again.") from error
    if absent := [column for column in required if column.split("|")[0] not in found]:
        raise GeographyError(
            path.name,
            f"has no column {absent[0].replace('|', ' or ')}.",
            "Fetch the file again; if its publisher changed the layout, correct the registry's entry.",
        )
    frame = pd.DataFrame(index=range(table.num_rows))
    for column, actual in found.items():
        frame[column] = table[actual].cast(pa.string()).to_pandas().fillna("").astype(str).str.strip()
    return frame


def read_stations(path: Path) -> pd.DataFrame:
    """Read NOAA's annual normals: `station` (11 characters) and `value` (text; Fahrenheit degree days, "" for none).

    Raises
    ------
    GeographyError
        If a line is malformed or has an unknown code; the message names it.
    """
    try:
        lines = _bytes(path).decode("ascii").splitlines()
    except (*_DAMAGE, UnicodeDecodeError) as error:
        raise GeographyError(path.name, f"cannot be read ({error}).", "Fetch the file again.") from error
    for number, line in enumerate(lines, start=1):
        if len(line) != _STATION_LINE or not re.fullmatch(r"-?\d+", line[11:23].strip()):
            raise GeographyError(
                path.name,
                f"line {number} is not a station and its value: {line!r}.",
                "Fetch the normals again; the file may be cut off.",
            )
    station = [line[:11] for line in lines]
    values = np.array([int(line[11:23]) for line in lines], dtype=np.int64)
    missing = np.isin(values, list(_NO_NORMAL))
    values[values == _ROUNDS_TO_ZERO] = 0
    if (strange := ~missing & (values < 0)).any():
        number = int(np.argmax(strange))
        raise GeographyError(
            path.name,
            f"line {number + 1} has the unknown code {values[number]}.",
            "Fetch the normals again; if NOAA added a code, add it to geography/reading.py.",
        )
    return pd.DataFrame({"station": station, "value": np.where(missing, "", values.astype(str))})


def _read_text(path: Path, wanted: Sequence[str]) -> tuple[pa.Table, dict[str, str]]:
    content = _bytes(path)
    first = content[: content.find(b"\n") + 1 or len(content)].decode("latin-1")
    first = first.removeprefix(_BOM.encode().decode("latin-1"))
    separator = max("|,\t", key=first.count)
    header = next(pd.read_csv(io.StringIO(first), sep=separator, chunksize=1)).columns
    names = [str(name).strip() for name in header]
    found = _find(names, wanted)
    table = pacsv.read_csv(
        io.BytesIO(content),
        read_options=pacsv.ReadOptions(column_names=names, skip_rows=1),
        parse_options=pacsv.ParseOptions(delimiter=separator),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(found.values(), pa.string()),
            include_columns=list(found.values()),
            strings_can_be_null=False,
            check_utf8=False,
        ),
    )
    return table, found


def _find(header: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """Map wanted names to those in the header."""
    known = {name.lower(): name for name in header}
    found = {}
    for column in wanted:
        names = column.split("|")
        if there := [known[name.lower()] for name in names if name.lower() in known]:
            found[names[0]] = there[0]
    return found


def _bytes(path: Path) -> bytes:
    if path.suffix == ".gz":
        with open_gzip(path, most=_MOST) as stream:
            return stream.read()
    return path.read_bytes()


def _text(value: object) -> str:
    return "" if value is None else str(value)
