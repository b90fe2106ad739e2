"""Time and memory of fusing onto recipients of growing size. Run: python benchmarks/fuse.py

`--scale 1300000` does the national task instead: 5 variables from 13 predictors and 2,843 donors onto households
repeated to that many rows, 40 implicates written to Parquet. The households are made up, or those of RECS 2015 as
fusionModel carries them (`--recs recs.parquet`): odd rows are donors, even rows recipients.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from households import PREDICTORS, make_households, make_plan
from measure import Measurement, calibrate, measured, table

from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.fusion.training import train
from fusion_pipeline.storage.tables import TableRef, write_table

RECS_PREDICTORS = [
    "income",
    "age",
    "race",
    "education",
    "employment",
    "hh_size",
    "division",
    "urban_rural",
    "climate",
    "renter",
    "home_type",
    "year_built",
    "heat_type",
]
RECS_VARIABLES = ("insulation", "aircon", "square_feet", "electricity", "natural_gas")
MADE_UP_VARIABLES = ("cooling", "secure", "use_1", "use_2", "use_3")


def main() -> None:
    """Measure fuse to Parquet for some numbers of rows and implicates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--implicates", type=int, nargs="+", default=[1, 10, 40])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--donors", type=int, default=5_686)
    parser.add_argument(
        "--leaves", type=int, nargs="+", default=[16], help="tree sizes; the fewer, the sooner trained"
    )
    parser.add_argument("--scale", type=int, metavar="ROWS", help="the national task; 1300000 is the whole")
    parser.add_argument("--recs", type=Path, help="recs.parquet, for the national task")
    arguments = parser.parse_args()
    if arguments.scale:
        national(arguments.scale, arguments.implicates, arguments.threads, arguments.recs)
        return
    unit, results = calibrate(), []
    with tempfile.TemporaryDirectory() as folder:
        donor = make_households(arguments.donors, seed=1)
        models = train(donor, make_plan(), out=Path(folder) / "models", threads=2, leaves=arguments.leaves)
        trees = sum(record.rounds * max(1, len(record.classes) - 1) for record in models.records)
        for rows in arguments.rows:
            recipient = make_households(rows, seed=2)
            for implicates in arguments.implicates:
                out = Path(folder) / f"{rows}-{implicates}"
                with measured(
                    f"fuse, {rows:,} rows x {implicates} implicates, {arguments.threads} thread(s)"
                ) as result:
                    fuse(recipient, models, implicates=implicates, out=out, threads=arguments.threads)
                results.append(result)
    print(table(results, unit))
    print(f"\n{len(models.records)} models with about {trees:,} trees.")


def national(rows: int, implicates: Sequence[int], threads: int, recs: Path | None) -> None:
    """Measure the task that the reference system was measured on, and print values drawn per CPU second."""
    if recs is None:
        households, x, y = make_households(5_686, seed=1), list(PREDICTORS[13:26]), MADE_UP_VARIABLES
    else:
        households, x, y = pd.read_parquet(recs), RECS_PREDICTORS, RECS_VARIABLES
    donor, rest = households.iloc[::2].reset_index(drop=True), households.iloc[1::2]
    with tempfile.TemporaryDirectory() as folder:
        models = train(donor, FusionPlan.chained(y, x, "weight"), out=Path(folder) / "models", threads=2)
        recipient = pa.Table.from_pandas(rest[x].iloc[np.arange(rows) % len(rest)], preserve_index=False)
        write_table(
            Path(folder) / "recipient.parquet", recipient.append_column("hid", pa.array(np.arange(rows)))
        )
        del recipient, households
        results: list[tuple[Measurement, int]] = []
        for m in implicates:
            with measured(f"fuse, {rows:,} rows x {len(y)} variables x {m} implicates") as result:
                fuse(
                    TableRef(Path(folder) / "recipient.parquet"),
                    models,
                    implicates=m,
                    out=Path(folder) / str(m),
                    retain=("hid",),
                    threads=threads,
                )
            results.append((result, rows * len(y) * m))
    print(table([result for result, _ in results], calibrate()))
    for result, values in results:
        print(
            f"\n{result.task}: {values / result.cpu / 1e6:.2f} million values per CPU second, "
            f"{result.cpu / result.wall:.2f} cores busy"
        )


if __name__ == "__main__":
    main()
