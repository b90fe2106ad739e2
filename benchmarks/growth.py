"""How time and memory of training and fusing grow. Run: python benchmarks/growth.py, on a machine otherwise idle.

One quantity is varied at a time: recipients, implicates, fusion variables, predictors, donors. Each run is a process
of its own, so that its peak memory is its own. Prints a table and writes docs/images/growth.png.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pyarrow as pa
from households import SOLO, make_households, predictors
from measure import calibrate, measured

from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.training import train
from fusion_pipeline.storage.tables import TableRef, write_table

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "growth.png"
BASE = {"recipients": 50_000, "implicates": 10, "variables": 4, "predictors": 30, "donors": 5_000}
VARIED = {
    "recipients": [25_000, 50_000, 100_000, 200_000, 400_000],
    "implicates": [1, 5, 10, 20, 40],
    "variables": [1, 2, 4, 6],
    "predictors": [10, 30, 60, 120],
    "donors": [2_500, 5_000, 10_000, 20_000, 40_000],
}


def main() -> None:
    """Run what is varied, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--one", type=json.loads, help="one run, as JSON; prints its figures")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(_run(**given.one)))
        return
    unit = calibrate()
    rows = {
        (quantity, value): _in_a_process(BASE | {quantity: value})
        for quantity, values in VARIED.items()
        for value in values
    }
    print(
        "| varied | value | train CPU s | train MiB | fuse CPU s | fuse MiB | fuse CPU / calibration loop |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for (quantity, value), (train_cpu, train_mib, fuse_cpu, fuse_mib) in rows.items():
        print(
            f"| {quantity} | {value:,} | {train_cpu:.1f} | {train_mib:.0f} | {fuse_cpu:.1f} | {fuse_mib:.0f} | "
            f"{fuse_cpu / unit:.2f} |"
        )
    base = ", ".join(f"{value:,} {quantity}" for quantity, value in BASE.items())
    print(f"\nThe others are held at {base}. One thread; calibration loop {unit:.2f} CPU s.")
    _draw(rows)


def _in_a_process(settings: dict[str, int]) -> tuple[float, float, float, float]:
    command = [sys.executable, __file__, "--one", json.dumps(settings)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def _run(
    recipients: int, implicates: int, variables: int, predictors: int, donors: int
) -> tuple[float, float, float, float]:
    names = _names(predictors)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipient = make_households(recipients, seed=2, names=names)[list(names)]
        write_table(folder / "recipient.parquet", pa.Table.from_pandas(recipient, preserve_index=False))
        del recipient
        donor = make_households(donors, seed=1, names=names)
        with measured("train") as training:
            models = train(
                donor, y=SOLO[:variables], x=names, weight="weight", out=folder / "models", threads=1
            )
        # Compiled loops are loaded before anything is measured.
        fuse(donor.head(100), models, implicates=1)
        with measured("fuse") as fusing:
            fuse(
                TableRef(folder / "recipient.parquet"),
                models,
                implicates=implicates,
                out=folder / "out",
                retain=(),
                threads=1,
            )
    return training.cpu, training.peak_mib, fusing.cpu, fusing.peak_mib


def _names(count: int) -> tuple[str, ...]:
    """Name `count` predictors, kinds in the proportion of the usual 30."""
    ranks, classes = count * 8 // 30, max(2, count * 4 // 30)
    return predictors(count - ranks - classes, ranks, classes)


def _draw(rows: dict[tuple[str, int], tuple[float, float, float, float]]) -> None:
    figure, axes = plt.subplots(2, len(VARIED), figsize=(15, 5), sharey="row", layout="constrained")
    for column, (quantity, values) in enumerate(VARIED.items()):
        for row, unit in enumerate(("CPU s", "peak MiB")):
            axis = axes[row, column]
            for offset, name in ((0, "train"), (2, "fuse")):
                axis.plot(values, [rows[quantity, v][offset + row] for v in values], marker="o", label=name)
            axis.set_ylim(bottom=0)
            axis.set_xlim(left=0)
            axis.grid(alpha=0.3)
            if column == 0:
                axis.set_ylabel(unit)
            if row == 1:
                axis.set_xlabel(quantity)
    axes[0, 0].legend(frameon=False)
    figure.savefig(FIGURE, dpi=110)


if __name__ == "__main__":
    main()
