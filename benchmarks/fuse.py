"""Time and memory of fusing onto recipients of growing size. Run: python benchmarks/fuse.py"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from households import make_households, make_plan
from measure import calibrate, measured, table

from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.training import train


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
    arguments = parser.parse_args()
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


if __name__ == "__main__":
    main()
