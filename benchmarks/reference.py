"""The tasks that fusionModel was timed on, done by this engine, each beside what was wanted of it.

Run: python benchmarks/reference.py [--shared ../shared] [--rows 1300000], on a machine otherwise idle.

Donors are the odd half of the 5,686 households of RECS 2015 as fusionModel carries them, recipients the even half
repeated; without --shared's `peer/recs.parquet`, made-up households of the same number. 99,505 donors are the even half
with 35 implicates of the five variables, as the reference's were: model-based, so that no donor is met twice.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from households import PREDICTORS, make_households
from measure import Measurement, calibrate, measured

from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.modelset import ModelSet
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.fusion.training import train
from fusion_pipeline.storage.tables import TableRef, write_table

RECS_PREDICTORS = [
    "income", "age", "race", "education", "employment", "hh_size", "division", "urban_rural", "climate",
    "renter", "home_type", "year_built", "heat_type",
]  # fmt: skip
RECS_VARIABLES = ("insulation", "aircon", "square_feet", "electricity", "natural_gas")
MADE_UP_VARIABLES = ("cooling", "secure", "use_1", "use_2", "use_3")
EIGHT_SIZES = (2, 4, 8, 12, 16, 24, 32, 64)
MANY_DONORS = 35
"""Implicates of 2,843 households that make 99,505 donors."""
REFERENCE_LOOP = 2.52
"""CPU s of the calibration loop when fusionModel was timed (its README), to carry ratios over."""


@dataclass(frozen=True)
class Row:
    """A task as done here, what was wanted, and what fusionModel took."""

    done: Measurement
    got: str
    wanted: str
    reference: str
    reference_cpu: float | None = None


def main() -> None:
    """Do the tasks one after another and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    project = Path(__file__).resolve().parents[1]
    parser.add_argument("--shared", type=Path, default=project.parent / "shared", help="folder of peer/")
    parser.add_argument("--rows", type=int, default=1_300_000)
    parser.add_argument("--implicates", type=int, default=40)
    given = parser.parse_args()
    households, x, y = _households(given.shared / "peer" / "recs.parquet")
    donor, rest = (households.iloc[half::2].reset_index(drop=True) for half in (0, 1))
    unit = calibrate()
    with tempfile.TemporaryDirectory() as folder:
        rows = _measure(donor, rest, FusionPlan.chained(y, x, "weight"), given, Path(folder))
    print(_table(rows, unit))


def _households(recs: Path) -> tuple[pd.DataFrame, Sequence[str], Sequence[str]]:
    if recs.is_file():
        return pd.read_parquet(recs), RECS_PREDICTORS, RECS_VARIABLES
    return make_households(5_686, seed=1), list(PREDICTORS[13:26]), MADE_UP_VARIABLES


def _measure(
    donor: pd.DataFrame, rest: pd.DataFrame, plan: FusionPlan, given: argparse.Namespace, folder: Path
) -> list[Row]:
    rows = []
    with measured(f"train 5 variables, {len(donor):,} donors, one thread") as alone:
        models = train(donor, plan, out=folder / "alone")
    rows.append(_cpu(alone, 4, 6.1))
    with measured("the same on two threads") as both:
        train(donor, plan, out=folder / "both", threads=2)
    rows.append(_busy(both, "about 1 in matching"))
    with measured("the same, 10 folds x 8 tree sizes, all tried on all folds") as grid:
        train(donor, plan, out=folder / "grid", folds=10, leaves=EIGHT_SIZES, threads=2, search="grid")
    rows.append(_cpu(grid, 100, 200))
    many = _many_donors(rest, plan, models)
    with measured(f"train 5 variables, {len(many):,} donors") as large:
        train(many, plan, out=folder / "many", threads=2)
    rows.append(_cpu(large, 40, 60))
    recipient = _write_recipient(folder / "recipient.parquet", rest[[*plan.predictors]], given.rows)
    values = given.rows * len(plan.variables) * given.implicates
    task = f"fuse {given.rows:,} rows x 5 variables x {given.implicates} implicates"
    with measured(task) as fusing:
        fuse(
            recipient,
            models,
            implicates=given.implicates,
            out=folder / "implicates",
            retain=("hid",),
            threads=2,
        )
    speed = f"{values / fusing.cpu / 1e6:.2f} M values per CPU s"
    rows += [
        Row(fusing, speed, ">= 1.7 M", "0.17 M (M = 10)"),
        _busy(fusing, "about 1 in matching"),
        Row(fusing, f"{fusing.peak_mib / 1024:.2f} GiB at the peak", "<= 1.5 GB, any M", "8.0 GB (M = 10)"),
    ]
    return rows


def _cpu(done: Measurement, wanted: float, reference: float) -> Row:
    return Row(done, f"{done.cpu:.1f} CPU s", f"<= {wanted} CPU s", f"{reference} CPU s", reference)


def _busy(done: Measurement, reference: str) -> Row:
    return Row(done, f"{done.cpu / done.wall:.2f} of 2 cores busy", ">= 1.8", reference)


def _many_donors(rest: pd.DataFrame, plan: FusionPlan, models: ModelSet) -> pd.DataFrame:
    fused = fuse(rest, models, implicates=MANY_DONORS, seed=2, retain=())
    assert isinstance(fused, pa.Table)
    drawn = fused.select(plan.variables).to_pandas()
    known = pd.concat([rest[[*plan.predictors, "weight"]]] * MANY_DONORS, ignore_index=True)
    return pd.concat([known, drawn.reset_index(drop=True)], axis=1)


def _write_recipient(file: Path, rest: pd.DataFrame, rows: int) -> TableRef:
    repeated = pa.Table.from_pandas(rest.iloc[np.arange(rows) % len(rest)], preserve_index=False)
    write_table(file, repeated.append_column("hid", pa.array(np.arange(rows))))
    return TableRef(file)


def _table(rows: Sequence[Row], unit: float) -> str:
    lines = [
        f"Calibration loop: {unit:.2f} CPU s here, {REFERENCE_LOOP} s when fusionModel was timed.",
        "",
        "| task | wall s | CPU s | peak RSS MiB | CPU / calibration loop (fusionModel) | got | wanted | fusionModel |",
        "|---|---:|---:|---:|---:|---|---|---|",
    ]
    for row in rows:
        done = row.done
        theirs = f" ({row.reference_cpu / REFERENCE_LOOP:.2f})" if row.reference_cpu else ""
        lines.append(
            f"| {done.task} | {done.wall:.2f} | {done.cpu:.2f} | {done.peak_mib:.0f} | {done.cpu / unit:.2f}{theirs} | "
            f"{row.got} | {row.wanted} | {row.reference} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
