"""How fast, and in how much memory, raw ACS household and person files become tables.

The files are made here: every column that the codebook reads, filled with codes that it allows, replicate
weights of households included, and 2.5 persons a household. Run `python benchmarks/ingest.py [--households N]`; the
rows printed are Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from measure import calibrate, measured, table

from fusion_pipeline.randomness import stream
from fusion_pipeline.settings import load_settings
from fusion_pipeline.surveys.codebook import Codebook, RespondentName, load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest
from fusion_pipeline.surveys.variables import Variable


def main() -> None:
    """Make the file, then read it under measurement."""
    settings = load_settings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--households", type=int, default=settings.simulated_households)
    rows = parser.parse_args().households
    codebook = load_codebook("acs_2015")
    results = []
    sizes: dict[RespondentName, int] = {"households": rows, "persons": rows * 5 // 2}
    for respondent, records in sizes.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "records.csv"
            write_raw(path, codebook, respondent, records, settings.seed)
            size = path.stat().st_size / 2**20
            with measured(f"ingest {records:,} ACS {respondent}, {size:,.0f} MiB of CSV") as result:
                kept = ingest([RawPart(path)], codebook, respondent).num_rows
        if kept != records:
            raise SystemExit(f"{kept} of {records} {respondent} were kept")
        results.append(result)
    print(table(results, calibrate()))


def write_raw(path: Path, codebook: Codebook, respondent: RespondentName, rows: int, seed: int) -> None:
    """Write records with random answers in the layout that the codebook describes."""
    entry = codebook.respondent(respondent)
    random = stream(seed, "benchmark", "ingest", respondent, rows)
    columns = {name: random.integers(1, 1000, rows) for name in entry.raw_columns}
    columns |= {raw: random.integers(1, int(span.high or 999) + 1, rows) for raw, span in entry.keep.items()}
    columns |= {adjustment.raw: np.full(rows, 1_001_264) for adjustment in entry.adjustments.values()}
    columns |= {variable.raw: _answers(variable, rows, random) for variable in entry.variables.values()}
    columns[entry.id.hid] = np.arange(1, rows + 1)
    if entry.id.pid:
        columns[entry.id.pid] = np.ones(rows, dtype=np.int64)
    pyarrow.csv.write_csv(pa.table(columns), path)


def _answers(variable: Variable, rows: int, random: np.random.Generator) -> np.ndarray:
    if variable.range is not None:
        low, high = int(variable.range.low or 0), int(variable.range.high or 9999)
        return random.integers(low, high + 1, rows)
    codes = [code for code in variable.levels if ".." not in code]
    return random.choice(np.array(codes or ["00100", "00200", "00300"]), rows)


if __name__ == "__main__":
    main()
