"""How fast, and in how much memory, a raw ACS household file becomes a table.

The file is made here: every column that the codebook reads, filled with codes that it allows, replicate
weights included. Run `python benchmarks/ingest.py [--households N]`; the row printed is Markdown.
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
from fusion_pipeline.surveys.codebook import Codebook, load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest
from fusion_pipeline.surveys.variables import Variable


def main() -> None:
    """Make the file, then read it under measurement."""
    settings = load_settings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--households", type=int, default=settings.simulated_households)
    rows = parser.parse_args().households
    codebook = load_codebook("acs_2015")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "households.csv"
        write_raw(path, codebook, rows, settings.seed)
        size = path.stat().st_size / 2**20
        with measured(f"ingest {rows:,} ACS households, {size:,.0f} MiB of CSV") as result:
            households = ingest([RawPart(path)], codebook, "households")
    if households.num_rows != rows:
        raise SystemExit(f"{households.num_rows} of {rows} rows were kept")
    print(table([result], calibrate()))


def write_raw(path: Path, codebook: Codebook, rows: int, seed: int) -> None:
    """Write occupied households with random answers in the layout that the codebook describes."""
    entry = codebook.households
    random = stream(seed, "benchmark", "ingest", rows)
    columns = {name: random.integers(1, 1000, rows) for name in entry.raw_columns}
    columns |= {adjustment.raw: np.full(rows, 1_001_264) for adjustment in entry.adjustments.values()}
    columns |= {variable.raw: _answers(variable, rows, random) for variable in entry.variables.values()}
    columns[entry.id.hid] = np.arange(1, rows + 1)
    pyarrow.csv.write_csv(pa.table(columns), path)


def _answers(variable: Variable, rows: int, random: np.random.Generator) -> np.ndarray:
    if variable.range is not None:
        low, high = int(variable.range.low or 0), int(variable.range.high or 9999)
        return random.integers(low, high + 1, rows)
    codes = [code for code in variable.levels if ".." not in code]
    return random.choice(np.array(codes or ["00100", "00200", "00300"]), rows)


if __name__ == "__main__":
    main()
