"""Cost of one chunk of implicates, the unit of work that is spread over machines. Run: python benchmarks/chunk.py

Makes a simulated pair on growing recipients: for each size it fits the models once, draws a chunk of implicates by
itself, publishes the set, and prints what each took. Then it carries these costs to the ACS of 1.3 million households
and prints what ten ACS years by six donors by 40 implicates take (`plan.py`; docs/scaling.md).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from measure import Measurement, calibrate, measured
from plan import Cost, carried, plan

from fusion_pipeline.partitions import IMPLICATES
from fusion_pipeline.running import JobRun, chunk_runs, run_all, runs_up_to_models
from fusion_pipeline.settings import Settings, load_settings
from fusion_pipeline.storage.layout import Layout

PAIR = "RECS_2015__ACS_2015"
NATIONAL = 1_300_000


def settings_for(folder: Path, households: int, threads: int) -> Settings:
    """Settings of a simulated pair of a size, in a folder of its own."""
    return load_settings(data=folder, source="simulated", simulated_households=households, threads=threads)


def measure(households: int, threads: int) -> Cost:
    """Make a pair of a size, print a row of what each part took, and return it."""
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
        settings = settings_for(Path(folder), households, threads)

        def do(name: str, runs: Sequence[JobRun]) -> Measurement:
            with measured(name) as took:
                for _ in run_all(runs, settings, instance):
                    pass
            return took

        upstream = do("upstream", runs_up_to_models(PAIR))
        first, chunk, *others = chunk_runs(PAIR, f"1-{IMPLICATES.count}")
        # The first chunk compiles loops where they are not kept yet; the second is what is measured.
        do("first", [first])
        took = do("chunk", [chunk])
        do("others", others)
        publish = do("publish", [JobRun("publish_pair", PAIR)])
        layout = Layout(settings.root)
        members = IMPLICATES.chunks[str(chunk.partition).split("|")[1]]
        written = sum(layout.implicate(PAIR, m).stat().st_size for m in members)
    peak = max(part.peak_mib for part in (upstream, took, publish))
    value = took.cpu / (len(members) * households)
    print(
        f"| {households:,} | {upstream.cpu:.0f} | {took.wall:.1f} | {took.cpu:.1f} | {publish.cpu:.0f} | "
        f"{took.peak_mib:.0f} | {peak:.0f} | {written / 1e6:.1f} | {value * 1e6:.1f} |",
        flush=True,
    )
    return Cost(households, upstream.cpu, took.cpu, publish.cpu, peak, written / 1e6 / len(members))


def main() -> None:
    """Measure and print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--households", type=int, nargs="+", default=[20_000, 80_000])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    print(f"calibration {calibrate():.2f} CPU s, {arguments.threads} threads\n")
    print(
        "| households | upstream CPU s | chunk wall s | chunk CPU s | publish CPU s | chunk peak MB | peak MB | "
        "MB written | µs/household and implicate |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    costs = [measure(households, arguments.threads) for households in sorted(arguments.households)]
    print(f"\n{plan(carried(costs, NATIONAL), chunk=IMPLICATES.chunk, published=IMPLICATES.count)}")


if __name__ == "__main__":
    main()
