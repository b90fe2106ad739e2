"""Three pairs at once against one after another, on two cores. Run: python benchmarks/concurrent_pairs.py

Ingests a simulated pair, copies it into three folders as three pairs that share nothing, and fits and fuses all three:
one after another with all cores each, and two at once with half of them each, as `max_concurrent_runs` and
FUSION_CONCURRENT_STEPS share a machine out. Prints wall and CPU seconds of both, the ratio of wall seconds, and whether
the bytes are the same, which decides the exit code. The ratio should be 1 or less, oversubscribed cores would show as
a multiple; it is printed and not judged, because a time is a property of the machine and of what runs beside.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fusion_pipeline.running import run_all, runs_of, throwaway_instance
from fusion_pipeline.settings import Settings, load_settings
from fusion_pipeline.storage.layout import Layout

PAIR = "RECS_2015__ACS_2015"
HEAVY = ("fit_pair", "fuse_chunk")


def main() -> None:
    """Measure and print a table in Markdown; end with code 1 if the bytes differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--households", type=int, default=20_000)
    parser.add_argument("--donors", type=int, default=5_686)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument(
        "--at-once", type=int, default=2, help="as many as max_concurrent_runs in dagster.yaml"
    )
    parser.add_argument("--pair-in", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pair_in:
        fit_and_fuse(settings_for(arguments.pair_in, arguments))
        return
    with tempfile.TemporaryDirectory() as folder:
        upstream = Path(folder) / "upstream"
        settings = settings_for(upstream, arguments)
        before = [run for run in runs_of(PAIR) if run.job not in (*HEAVY, "publish_pair")]
        with throwaway_instance() as instance:
            for _ in run_all(before, settings, instance):
                pass
        print(f"{arguments.pairs} pairs of {arguments.households:,} households, {settings.threads} threads\n")
        print("| pairs at once | wall s | CPU s |\n|---:|---:|---:|")
        bytes_of, walls = [], []
        for at_once in (1, arguments.at_once):
            folders = [Path(folder) / f"{at_once}-{number}" for number in range(arguments.pairs)]
            for copy in folders:
                shutil.copytree(upstream, copy)
            wall, cpu = measure(folders, at_once)
            print(f"| {at_once} | {wall:.1f} | {cpu:.1f} |")
            walls.append(wall)
            bytes_of.append([Layout(copy / "simulated").implicate(PAIR, 1).read_bytes() for copy in folders])
        same = all(content == bytes_of[0][0] for contents in bytes_of for content in contents)
        print(f"\nat once takes {walls[1] / walls[0]:.2f} times as long as one after another")
        print(f"bytes are {'the same' if same else 'DIFFERENT'}")
        sys.exit(not same)


def settings_for(folder: Path, arguments: argparse.Namespace) -> Settings:
    """Settings of a pair in a folder of its own; threads come from the environment."""
    return load_settings(
        data=folder,
        source="simulated",
        simulated_households=arguments.households,
        simulated_donors=arguments.donors,
    )


def fit_and_fuse(settings: Settings) -> None:
    """Do the heavy part of one pair in this process."""
    with throwaway_instance() as instance:
        for _ in run_all([run for run in runs_of(PAIR) if run.job in HEAVY], settings, instance):
            pass


def measure(folders: list[Path], at_once: int) -> tuple[float, float]:
    """Run a process for each folder, so many at once, with the cores shared among these; wall and CPU seconds."""
    threads = max(1, len(os.sched_getaffinity(0)) // at_once)
    environment = {**os.environ, "FUSION_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    waiting, running = list(folders), set[subprocess.Popen]()
    started, before = time.perf_counter(), children_cpu()
    while waiting or running:
        while waiting and len(running) < at_once:
            command = [sys.executable, __file__, *sys.argv[1:], "--pair-in", str(waiting.pop(0))]
            running.add(subprocess.Popen(command, env=environment))
        for process in [process for process in running if process.poll() is not None]:
            if process.returncode:
                raise subprocess.CalledProcessError(process.returncode, process.args)
            running.remove(process)
        time.sleep(0.1)
    return time.perf_counter() - started, children_cpu() - before


def children_cpu() -> float:
    """CPU seconds of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
