"""How the cost of planning grows with fusion variables, predictors and donors. Run: python benchmarks/prepare.py

Donors are made up: predictors of every kind share ten factors, fusion variables (a third of them often zero, a sixth
categories) depend on factors and on each other. Each plan is a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import numpy as np
import pandas as pd
from measure import calibrate, measured

from fusion_pipeline.fusion.screening import prepare

VARIABLES, PREDICTORS, DONORS = (5, 20, 55), (60, 268), (2_000, 20_000, 68_000)
LONGEST = 300.0
"""CPU seconds of a plan, after which larger ones are not tried."""


def main() -> None:
    """Measure every size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--variables", type=int, nargs="+", default=VARIABLES)
    parser.add_argument("--predictors", type=int, nargs="+", default=PREDICTORS)
    parser.add_argument("--donors", type=int, nargs="+", default=DONORS)
    parser.add_argument("--one", type=json.loads, help="one plan, as JSON; prints its figures")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(_measure(**given.one)))
        return
    unit = calibrate()
    print("| fusion variables | predictors | donors | CPU s | peak RSS MiB | CPU / calibration loop |")
    print("|---:|---:|---:|---:|---:|---:|")
    too_long: list[tuple[int, ...]] = []
    for size in ((y, x, n) for y in given.variables for x in given.predictors for n in given.donors):
        row = " | ".join(f"{count:,}" for count in size)
        if any(all(a >= b for a, b in zip(size, other, strict=True)) for other in too_long):
            print(f"| {row} | not tried | | |")
            continue
        cpu, peak = _in_a_process(*size)
        if cpu > LONGEST:
            too_long.append(size)
        print(f"| {row} | {cpu:.1f} | {peak:.0f} | {cpu / unit:.2f} |")
    print(
        f"\nOne thread; calibration loop {unit:.2f} CPU s. Peak memory includes the donors given as a frame."
    )


def _in_a_process(variables: int, predictors: int, donors: int) -> tuple[float, float]:
    size = {"variables": variables, "predictors": predictors, "donors": donors}
    command = [sys.executable, __file__, "--one", json.dumps(size)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    cpu, peak = json.loads(done.stdout.splitlines()[-1])
    return cpu, peak


def _measure(variables: int, predictors: int, donors: int) -> tuple[float, float]:
    frame, y, x = _make(variables, predictors, donors)
    # Compiled loops are loaded before anything is measured.
    prepare(frame.head(200), y[:2], x[:5], "weight")
    with measured("prepare") as result:
        prepare(frame, y, x, "weight")
    return result.cpu, result.peak_mib


def _make(variables: int, predictors: int, donors: int) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Draw donors; of six predictors one is an unordered category, one an ordered one."""
    random = np.random.default_rng(1)
    factors = random.normal(size=(donors, 10)).astype(np.float32)
    columns: dict[str, object] = {"weight": random.gamma(4, 1, donors)}

    def mixed() -> np.ndarray:
        return factors @ random.normal(size=10).astype(np.float32) * 0.3 + random.standard_normal(
            donors, dtype=np.float32
        )

    for j in range(predictors):
        values = mixed()
        if j % 6 < 2:
            codes = np.digitize(values, [-1.5, -0.5, 0, 0.5, 1.5])
            values = pd.Categorical.from_codes(codes, list("abcdef"), ordered=j % 6 == 0)
        columns[f"x{j}"] = values
    earlier = np.zeros(donors, dtype=np.float32)
    for j in range(variables):
        values = mixed() + 0.3 * earlier
        earlier = values
        if j % 6 == 0:
            values = pd.Categorical.from_codes(np.digitize(values, [-1, 0, 1]), list("abcd"))
        elif j % 3 == 1:
            values = np.where(values > 0, np.exp(values), 0)
        columns[f"y{j}"] = values
    return (
        pd.DataFrame(columns),
        [f"y{j}" for j in range(variables)],
        [f"x{j}" for j in range(predictors)],
    )


if __name__ == "__main__":
    main()
