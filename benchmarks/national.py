"""The national job: 12 variables from 60 predictors onto 1.3 million households, 40 implicates, under the memory limit.

Run: python benchmarks/national.py [--rows 1300000] [--implicates 40] [--threads 2]

Nothing is cut short: 5,686 donors are screened by nothing and fused with the default settings, recipients are read
from Parquet and implicates written to Parquet.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from households import PRICED, SHARES, SOLO, WIDE, make_households, make_plan
from measure import calibrate, measured, table

from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.training import train
from fusion_pipeline.storage.tables import TableRef

BLOCK = 100_000


def main() -> None:
    """Train, write the recipient, fuse, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=1_300_000)
    parser.add_argument("--implicates", type=int, default=40)
    parser.add_argument("--donors", type=int, default=5_686)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    unit = calibrate()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        donor = make_households(given.donors, seed=1, names=WIDE)
        with measured(f"train, {given.donors:,} donors x {len(WIDE)} predictors") as training:
            models = train(donor, make_plan(WIDE), out=folder / "models", threads=given.threads)
        recipient = _write_recipient(folder / "recipient.parquet", given.rows)
        # Expenditures are fused as prices, and written as products.
        variables = [*SOLO, *SHARES, *(f"spent_{j + 1}" for j in range(len(PRICED)))]
        with measured(
            f"fuse, {given.rows:,} rows x {len(variables)} variables x {given.implicates} implicates"
        ) as fusing:
            out = folder / "implicates"
            fuse(
                recipient,
                models,
                implicates=given.implicates,
                out=out,
                retain=("hid",),
                threads=given.threads,
            )
        written = sum(file.stat().st_size for file in out.rglob("*.parquet"))
    print(table([training, fusing], unit))
    values = given.rows * len(variables) * given.implicates
    print(
        f"\n{values / 1e6:,.0f} million values, {values / fusing.cpu / 1e6:.2f} million per CPU second; "
        f"{fusing.cpu / fusing.wall:.2f} of {given.threads} cores busy; {written / 2**30:.1f} GiB of Parquet."
    )


def _write_recipient(file: Path, rows: int) -> TableRef:
    writer: pq.ParquetWriter | None = None
    for start in range(0, rows, BLOCK):
        block = make_households(min(BLOCK, rows - start), seed=2 + start // BLOCK, names=WIDE)[list(WIDE)]
        part = pa.Table.from_pandas(block, preserve_index=False)
        part = part.append_column("hid", pa.array(range(start, start + len(block))))
        writer = writer or pq.ParquetWriter(file, part.schema)
        writer.write_table(part)
    assert writer is not None
    writer.close()
    return TableRef(file)


if __name__ == "__main__":
    main()
