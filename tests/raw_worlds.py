"""Every registered survey's raw files, simulated, as small tables of text that a test can damage.

Belongs here: making, writing and ingesting them. Does not belong here: what is damaged (`test_bad_input.py`).
"""

from __future__ import annotations

import csv
import fnmatch
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from fusion_pipeline.registry import SurveyVintage, load_registry
from fusion_pipeline.simulate import simulate_folders
from fusion_pipeline.simulate.acs import draw_columns, draw_sample
from fusion_pipeline.simulate.acs_vintages import Vintage
from fusion_pipeline.simulate.place import build_places
from fusion_pipeline.simulate.text import csv_bytes
from fusion_pipeline.surveys.codebook import Codebook, load_codebook
from fusion_pipeline.surveys.ingest import IngestReport, RawPart, ingest_with_report, match_records
from fusion_pipeline.surveys.relating import Relation

REGISTRY = load_registry()
DONORS, RECIPIENTS = tuple(REGISTRY.surveys), tuple(REGISTRY.recipients)
HOUSEHOLDS = 12


@dataclass(frozen=True)
class RawTable:
    """One file: its header and its rows, all text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def position(self, column: str) -> int:
        """Where a column is, whatever the case of its name."""
        return [name.lower() for name in self.header].index(column.lower())

    def with_cell(self, row: int, column: str, text: str) -> RawTable:
        """Put a text into a cell."""
        at, old = self.position(column), self.rows[row]
        new = (*old[:at], text, *old[at + 1 :])
        return RawTable(self.header, (*self.rows[:row], new, *self.rows[row + 1 :]))

    def as_csv(self) -> bytes:
        """Write it."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([self.header, *self.rows])
        return text.getvalue().encode()


@dataclass(frozen=True)
class World:
    """The raw files of one vintage, a dozen households with all that belongs to them."""

    key: str
    codebook: Codebook
    tables: Mapping[str, RawTable]
    """Role -> file."""

    def key_column(self, role: str) -> str:
        """Raw column of the household's key."""
        kinds = self.codebook.kinds
        return kinds[role if role in kinds else "households"].id.hid


@dataclass(frozen=True)
class Ingested:
    """All that ingestion makes of a vintage's files."""

    households: pa.Table
    report: IngestReport
    persons: pa.Table | None
    person_report: IngestReport | None
    members: Relation | None


def codebook_of(key: str) -> Codebook:
    """Codebook of a vintage."""
    return load_codebook(REGISTRY.survey_year(key).codebook)


@cache
def world(key: str) -> World:
    """Make the raw files of a vintage, once in a session."""
    vintage, codebook = REGISTRY.survey_year(key), codebook_of(key)
    whole = _recipient(key) if key in RECIPIENTS else _donor(vintage)
    whole = {role: table for role, table in whole.items() if role in codebook.roles}
    found = World(key, codebook, whole)
    at = whole["households"].position(found.key_column("households"))
    wanted = {row[at] for row in whole["households"].rows[:HOUSEHOLDS]}
    for role, table in whole.items():
        at = table.position(found.key_column(role))
        whole[role] = RawTable(table.header, tuple(row for row in table.rows if row[at] in wanted))
    return found


def ingest_world(codebook: Codebook, files: Mapping[str, Path]) -> Ingested:
    """Ingest a vintage's households, and its persons as the assets do."""
    parts = {role: [RawPart(path)] for role, path in files.items()}
    households, report = ingest_with_report(parts["households"], codebook, "households", parts)
    if codebook.persons is None or "persons" not in parts:
        return Ingested(households, report, None, None, None)
    everyone, person_report = ingest_with_report(parts["persons"], codebook, "persons")
    persons, relation = match_records(everyone, households, codebook.persons, "persons")
    return Ingested(households, report, persons, person_report, relation)


def write_world(folder: Path, tables: Mapping[str, RawTable]) -> dict[str, Path]:
    """Write the files of a vintage."""
    for role, table in tables.items():
        (folder / f"{role}.csv").write_bytes(table.as_csv())
    return {role: folder / f"{role}.csv" for role in tables}


def _donor(vintage: SurveyVintage) -> dict[str, RawTable]:
    with TemporaryDirectory() as folder:
        simulate_folders(Path(folder) / "raw", [vintage.folder], households=500, donors=300, seed=3)
        return {
            role: _read(Path(folder) / "raw" / vintage.folder / file.name, file.member)
            for role, file in vintage.files.items()
        }


def _recipient(key: str, puma: int = 17, seed: int = 3) -> dict[str, RawTable]:
    file, places = Vintage(key), build_places(seed)
    block, counts = np.array([puma]), np.array([HOUSEHOLDS])
    sample = draw_sample(places, seed, file.years[-1], block, counts, 0, share=1 / len(file.years))
    drawn = draw_columns(places, seed, file, file.years[-1], sample)
    texts = (csv_bytes(columns, header=True).decode() for columns in drawn)
    return {role: _table([text]) for role, text in zip(("households", "persons"), texts, strict=True)}


def _read(path: Path, member: str) -> RawTable:
    if path.suffix != ".zip":
        return _table([path.read_text(encoding="utf-8")])
    with zipfile.ZipFile(path) as archive:
        names = [
            n for glob in member.split(";") for n in archive.namelist() if fnmatch.fnmatch(n.lower(), glob)
        ]
        return _table([archive.read(name).decode() for name in names])


def _table(texts: list[str]) -> RawTable:
    read = [list(csv.reader(io.StringIO(text))) for text in texts]
    assert all(rows[0] == read[0][0] for rows in read)
    return RawTable(tuple(read[0][0]), tuple(tuple(row) for rows in read for row in rows[1:]))
