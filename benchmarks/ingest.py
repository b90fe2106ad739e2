"""How fast, and in how much memory, national ACS files become tables.

The files are made here, as wide as the official ones (240 columns of households and 290 of persons, with 80 replicate
weights each): answers that the codebook allows, blanks where it knows a skip, columns that it does not read,
households of one to seven persons who live in them, and persons who live in none of them, as those of group quarters. A
block of records is made once and repeated with new keys.
Measured is what the assets do (`surveys/microdata.py`, digest, Parquet): reading, derived variables, imputation,
matching persons to households, writing. Run `python benchmarks/ingest.py [--households N]`; the rows printed are
Markdown.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from measure import Measurement, calibrate, measured, table

from fusion_pipeline.randomness import stream
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.artefacts import Artefact, write_artefact
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys.codebook import Codebook, load_codebook
from fusion_pipeline.surveys.ingest import RawPart
from fusion_pipeline.surveys.microdata import make_households, make_persons
from fusion_pipeline.surveys.respondents import Respondent
from fusion_pipeline.surveys.variables import Span, Variable

HOUSEHOLDS, BLOCK, THREADS = 1_300_000, 20_000, 2
WIDTHS = {"households": 240, "persons": 290}
SIZES = (0.28, 0.345, 0.15, 0.13, 0.06, 0.025, 0.01)
"""Shares of households of one to seven persons: 2.46 on average, 3.2 million of 1.3 million."""
ELSEWHERE = 0.05
"""Persons outside the households, who are counted and dropped, beside those in them (ACS: group quarters)."""
SKIPPED, MISSING = 0.3, 0.01
"""Shares of blank cells where the codebook knows a skip, and of missing answers where it knows them."""
Columns = dict[str, np.ndarray]


def main() -> None:
    """Make the files, then read each under measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--households", type=int, default=HOUSEHOLDS)
    rows = parser.parse_args().households
    seed, codebook = load_settings().seed, load_codebook("acs_2015")
    with tempfile.TemporaryDirectory() as folder:
        results = ingest_files(Path(folder), codebook, rows, seed)
    print(table(results, calibrate()))


def ingest_files(folder: Path, codebook: Codebook, rows: int, seed: int) -> list[Measurement]:
    """Write both files, and make both tables of them as the assets do."""
    raw = {role: folder / f"{role}.csv" for role in WIDTHS}
    counts = write_raw(raw, codebook, rows, seed)
    made = {role: folder / f"{role}.parquet" for role in WIDTHS}
    results = []
    for role, path in raw.items():
        size = path.stat().st_size / 2**20
        with measured(f"{counts[role]:,} ACS {role}, {WIDTHS[role]} columns, {size:,.0f} MiB") as result:
            parts = [RawPart(path)]
            if role == "households":
                found = make_households(parts, {}, codebook, seed=seed, threads=THREADS)
            else:
                homes = TableRef(made["households"])
                found = make_persons(parts, homes, codebook, seed=seed, threads=THREADS)
            artefact = Artefact(found.table)
            _ = artefact.digest
            write_artefact(made[role], artefact)
            kept, relation = found.table.num_rows, found.relation
            del found, artefact
        if kept != counts[role] or (relation and relation.differing):
            raise SystemExit(f"{kept} of {counts[role]} {role} were kept; {relation}")
        results.append(result)
    return results


def write_raw(files: Mapping[str, Path], codebook: Codebook, households: int, seed: int) -> dict[str, int]:
    """Write files of households and persons in the layout that the codebook describes; return the rows to keep."""
    random = stream(seed, "benchmark", "ingest")
    size = min(BLOCK, households)
    members = random.choice(np.arange(1, 1 + len(SIZES)), size, p=SIZES)
    owner = np.repeat(np.arange(size), members)
    order = np.arange(owner.size) - np.repeat(np.cumsum(members) - members, members) + 1
    kinds = {role: codebook.respondent(role) for role in WIDTHS}
    counted = codebook.households.variables[str(kinds["persons"].counted_by)].raw
    given: dict[str, Columns] = {
        "households": {counted: members},
        "persons": {str(kinds["persons"].id.pid): order},
    }
    counts = {}
    for role, of in (("households", np.arange(size)), ("persons", owner)):
        key = kinds[role].id.hid
        columns = _block(kinds[role], codebook, of.size, WIDTHS[role], random) | given[role]
        header, lines = _lines({name: values for name, values in columns.items() if name != key})
        counts[role] = 0
        last = households if role == "households" else households + round(households * ELSEWHERE)
        with files[role].open("wb") as file:
            file.write(f"{key},{header}\n".encode())
            for first in range(0, last, size):
                whole = min(size, last - first)
                part = int(np.searchsorted(of, whole))
                keys = pa.array(first + 1 + of[:part]).cast(pa.string())
                joined = pc.binary_join_element_wise(keys, lines.slice(0, part), ",")
                file.write("\n".join([*joined.to_pylist(), ""]).encode())
                counts[role] += int(np.searchsorted(of[:part], households - first))
    return counts


def _block(
    entry: Respondent, codebook: Codebook, rows: int, width: int, random: np.random.Generator
) -> Columns:
    """Columns of some records, keys included, and as many that nobody reads as the file has more."""
    columns = {name: random.integers(1, 1000, rows) for name in entry.raw_columns}
    columns |= {raw: random.integers(1, int(span.high or 999) + 1, rows) for raw, span in entry.keep.items()}
    columns |= {adjustment.raw: np.full(rows, 1_001_264) for adjustment in entry.adjustments.values()}
    columns |= {v.raw: _answers(v, codebook, rows, random) for v in entry.variables.values()}
    unread = (f"UNREAD{number}" for number in range(width - len(columns)))
    return columns | {name: random.integers(0, 10, rows) for name in unread}


def _answers(variable: Variable, codebook: Codebook, rows: int, random: np.random.Generator) -> np.ndarray:
    if variable.range is not None:
        low, high = int(variable.range.low or 0), int(variable.range.high or 9999)
        answers = random.integers(low, high + 1, rows).astype(str)
    else:
        codes = [code for code in variable.levels if Span.parse(code) is None]
        answers = random.choice(np.array(codes or ["00100", "00200", "00300"]), rows)
    for others, share in ((codebook.skips(variable), SKIPPED), (codebook.missing(variable), MISSING)):
        if others:
            answers = np.where(random.random(rows) < share, others[0], answers)
    return answers


def _lines(columns: Columns) -> tuple[str, pa.Array]:
    """Header and lines of CSV, without line ends."""
    buffer = io.BytesIO()
    options = pyarrow.csv.WriteOptions(quoting_style="none")
    pyarrow.csv.write_csv(pa.table(columns), buffer, options)
    header, *lines = buffer.getvalue().decode().splitlines()
    return header.replace('"', ""), pa.array(lines)


if __name__ == "__main__":
    main()
