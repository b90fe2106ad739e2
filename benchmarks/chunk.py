"""Cost of one chunk of implicates, the unit of work that is spread over machines. Run: python benchmarks/chunk.py

Makes a simulated pair on growing recipients, fits its models once each, draws one chunk of five implicates alone, and
prints for each size: fitting, and per chunk wall seconds, CPU seconds, peak memory, bytes written. The last line
carries the cost per household and implicate to the ACS of 1.3 million households (docs/scaling.md).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import dagster as dg
from measure import calibrate, measured

from fusion_pipeline.running import chunk_runs, run_all, runs_of
from fusion_pipeline.settings import Settings, load_settings
from fusion_pipeline.storage.layout import Layout

PAIR = "RECS_2015__ACS_2015"
NATIONAL = 1_300_000


def settings_for(folder: Path, households: int, threads: int) -> Settings:
    """Settings of a simulated pair of a size, in a folder of its own."""
    return load_settings(data=folder, source="simulated", simulated_households=households, threads=threads)


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--households", type=int, nargs="+", default=[20_000, 80_000])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    unit = calibrate()
    print(f"calibration {unit:.2f} CPU s, {arguments.threads} threads\n")
    print(
        "| households | upstream CPU s | chunk wall s | chunk CPU s | peak MB | MB written | µs/value-row |"
    )
    print("|---|---|---|---|---|---|---|")
    per_row = 0.0
    for households in arguments.households:
        with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
            settings = settings_for(Path(folder), households, arguments.threads)
            upstream = [run for run in runs_of(PAIR) if run.job not in ("fuse_chunk", "publish_pair")]
            with measured("upstream") as before:
                for _ in run_all(upstream, settings, instance):
                    pass
            # The first chunk compiles loops where they are not kept yet; the second is what is measured.
            for _ in run_all(chunk_runs(PAIR, "01-05"), settings, instance):
                pass
            with measured("chunk") as chunk:
                for _ in run_all(chunk_runs(PAIR, "06-10"), settings, instance):
                    pass
            layout = Layout(settings.root)
            written = sum(layout.implicate(PAIR, m).stat().st_size for m in range(6, 11))
            per_row = chunk.cpu / (5 * households)
            print(
                f"| {households:,} | {before.cpu:.0f} | {chunk.wall:.1f} | {chunk.cpu:.1f} | {chunk.peak_mib:.0f} | "
                f"{written / 1e6:.1f} | {per_row * 1e6:.1f} |"
            )
    print(f"\nnational chunk of five: {per_row * 5 * NATIONAL / 60:.0f} CPU minutes")


if __name__ == "__main__":
    main()
