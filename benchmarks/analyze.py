"""How long a national analysis takes, and in what memory: `python benchmarks/analyze.py --households 1300000`.

Made-up implicates as fusing writes them: five numbers a household, 40 implicates, a recipient with 80 replicate weights
in 2,351 PUMAs. Estimated: the five means by PUMA with all replicates. Other estimands on request.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import calibrate, measured, table

from fusion_pipeline.fusion.fusing import implicate_file
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.storage.tables import TableRef, categorical, write_table

PUMAS, REPLICATES, VARIABLES = 2351, 80, 5
_ROWS = 1 << 17


def main() -> None:
    """Make the data, analyze it, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--households", type=int, default=1_300_000)
    parser.add_argument("--implicates", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="1GiB", help="limit for DuckDB and for weights in memory")
    parser.add_argument("--estimates", nargs="*", default=[f"mean(y_{v})" for v in range(VARIABLES)])
    asked = parser.parse_args()
    unit = calibrate()
    with tempfile.TemporaryDirectory() as folder:
        recipient, fused = Path(folder, "recipient.parquet"), Path(folder, "implicates")
        make_recipient(recipient, asked.households)
        make_implicates(fused, asked.households, asked.implicates)
        # Compiled before the clock starts, as in any session but the first.
        analyze([implicate_file(fused, 1)], TableRef(recipient), estimates=["mean(y_0)"])
        what = f"{len(asked.estimates)} estimands by PUMA, {asked.households:,} households"
        size = f"{asked.implicates} implicates, {REPLICATES} replicates, {asked.threads} thread(s)"
        with measured(f"{what}, {size}") as measurement:
            found = analyze(
                fused,
                TableRef(recipient),
                estimates=asked.estimates,
                by=["puma"],
                replicate_weights=[f"rep_{r}" for r in range(1, REPLICATES + 1)],
                memory_limit=asked.memory,
                threads=asked.threads,
            )
    print(table([measurement], unit))
    print(f"\n{len(found):,} estimates.")


def make_recipient(path: Path, households: int) -> None:
    """Write keys, PUMA, weight and replicate weights, block by block."""
    random = np.random.default_rng(1)
    pumas = [f"{p:05d}" for p in range(PUMAS)]
    writer = None
    for begin in range(0, households, _ROWS):
        n = min(_ROWS, households - begin)
        weight = random.gamma(4, 22, n).round() + 1
        columns = {
            "year": pa.array(np.full(n, 2015, np.int16)),
            "hid": pa.array(np.arange(begin, begin + n)),
            "puma": categorical((np.arange(begin, begin + n) * PUMAS) // households, pumas).cast(pa.string()),
            "weight": pa.array(weight),
        }
        for r in range(1, REPLICATES + 1):
            columns[f"rep_{r}"] = pa.array((weight * random.choice([0.3, 1.0, 1.7], n)).astype(np.float32))
        block = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, block.schema, compression="zstd")
        writer.write_table(block)
    if writer:
        writer.close()


def make_implicates(folder: Path, households: int, implicates: int) -> None:
    """Write implicates as fusing does."""
    random = np.random.default_rng(2)
    centre = random.gamma(2, 10, (VARIABLES, households))
    keys = {"year": pa.array(np.full(households, 2015, np.int16)), "hid": pa.array(np.arange(households))}
    for m in range(1, implicates + 1):
        values = {
            f"y_{v}": pa.array((centre[v] * random.gamma(4, 0.25, households)).astype(np.float32))
            for v in range(VARIABLES)
        }
        write_table(implicate_file(folder, m), pa.table({**keys, **values}))


if __name__ == "__main__":
    main()
