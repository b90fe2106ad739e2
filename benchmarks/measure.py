"""Measuring: wall and CPU seconds, peak memory, and the speed of the machine to divide by.

A time means little without the machine it was taken on. `calibrate` times one fixed piece of LightGBM work; tables
give every CPU time as a multiple of it, and these ratios can be compared between machines.
"""

from __future__ import annotations

import os

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # read when OpenMP starts: waiting threads must not burn CPU

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from fusion_pipeline import measuring
from fusion_pipeline.measuring import Usage


@dataclass(frozen=True)
class Measurement:
    """What one task took; the figures are there when its block has ended."""

    task: str
    usage: Usage

    @property
    def wall(self) -> float:
        """Seconds on the clock."""
        return self.usage.seconds

    @property
    def cpu(self) -> float:
        """CPU seconds of all threads."""
        return self.usage.cpu_seconds

    @property
    def peak_mib(self) -> float:
        """Largest resident memory."""
        return self.usage.peak_bytes / 2**20


@contextmanager
def measured(task: str) -> Iterator[Measurement]:
    """Measure a block under a name."""
    with measuring.measured() as usage:
        yield Measurement(task, usage)


def calibrate(rows: int = 300_000, repeats: int = 3) -> float:
    """Return CPU seconds of the calibration loop: the least of some repeats.

    The loop is one `Booster.predict` on one thread: 300,000 rows x 40 float64 features through 300 trees of 31
    leaves and depth 5.
    """
    random = np.random.default_rng(0)
    features = random.normal(size=(rows, 40))
    sample = features[:20_000]
    label = sample[:, :8].sum(axis=1) + sample[:, 8] * sample[:, 9] + random.normal(size=len(sample))
    parameters = {"num_leaves": 31, "max_depth": 5, "verbosity": -1, "num_threads": 1, "seed": 1}
    booster = lgb.train(parameters, lgb.Dataset(sample, label), 300)
    times = []
    for _ in range(repeats):
        start = time.process_time()
        booster.predict(features, num_threads=1)
        times.append(time.process_time() - start)
    return min(times)


def table(measurements: Sequence[Measurement], unit: float) -> str:
    """Format measurements as a Markdown table; `unit` is the calibration loop's CPU seconds."""
    lines = [
        f"Calibration loop: {unit:.2f} CPU s (300,000 rows x 40 features, 300 trees of 31 leaves, one thread).",
        "",
        "| task | wall s | CPU s | peak RSS MiB | CPU / calibration loop |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {m.task} | {m.wall:.2f} | {m.cpu:.2f} | {m.peak_mib:.0f} | {m.cpu / unit:.2f} |"
        for m in measurements
    ]
    return "\n".join(lines)
