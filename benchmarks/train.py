"""Time of screening and training on a donor of the size of RECS 2015. Run: python benchmarks/train.py"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from households import PREDICTORS, SHARES, SOLO, make_households, make_plan
from measure import calibrate, measured, table

from fusion_pipeline.fusion.screening import prepare
from fusion_pipeline.fusion.training import train


def main() -> None:
    """Measure prepare, and train on one and two threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--donors", type=int, default=5_686)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    donor = make_households(arguments.donors, seed=1)
    unit, plan, results = calibrate(), make_plan(), []
    with measured(f"prepare, {arguments.donors:,} donors, {len(PREDICTORS)} predictors") as result:
        prepare(donor, [*SOLO, SHARES], PREDICTORS, "weight")
    results.append(result)
    for threads in arguments.threads:
        with tempfile.TemporaryDirectory() as folder:
            with measured(f"train, {arguments.donors:,} donors, {threads} thread(s)") as result:
                models = train(donor, plan, out=Path(folder) / "models", threads=threads)
            results.append(replace(result, task=f"{result.task}, {len(models.records)} models"))
    print(table(results, unit))


if __name__ == "__main__":
    main()
