"""`fusion doctor`: what is wrong with this machine, its settings and its instance."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import click
from rich.markup import escape

from fusion_pipeline.cli.root import console
from fusion_pipeline.diagnosis import Finding, examine
from fusion_pipeline.errors import FusionError
from fusion_pipeline.registry import load_registry
from fusion_pipeline.settings import Settings, load_settings

# A daemon says that it is alive every half minute.
_BEATS_SECONDS = 120
_SIGNS = {"good": "[green]✓[/]", "doubtful": "[yellow]![/]", "wrong": "[bold red]✗[/]"}


@click.command()
def doctor() -> None:
    """Look at packages, disk, memory, threads, raw files, artefacts and the Dagster instance.

    Ends with code 1 if something is wrong.
    """
    findings = []
    settings = load_settings()
    for finding in (*examine(settings, load_registry()), *_instance(settings)):
        findings.append(finding)
        console.print(f"{_SIGNS[finding.state]} {finding.what:<12} {escape(finding.found)}", soft_wrap=True)
        if finding.remedy:
            console.print(f"  {'':<12} → {escape(finding.remedy)}", soft_wrap=True)
    sys.exit(any(finding.state == "wrong" for finding in findings))


def _instance(settings: Settings) -> Iterator[Finding]:
    from fusion_pipeline.running import daemon_beats, local_instance, record_of_runs, runs_at_once
    from fusion_pipeline.workers import dead_runs, name

    try:
        instance = local_instance()
    except FusionError as error:
        yield Finding("instance", "wrong", f"{error.where} {error.what}", error.remedy)
        return
    except Exception as error:  # a broken dagster.yaml or database raises whatever it raises
        remedy = "Correct dagster.yaml, or start its database."
        first = (str(error).splitlines() or [""])[0]
        yield Finding("instance", "wrong", f"cannot be opened ({type(error).__name__}: {first})", remedy)
        return
    with instance:
        dead = dead_runs(instance)
        found = f"{instance.get_runs_count()} runs recorded in {record_of_runs(instance)}"
        if dead:
            told = f"{found}; killed, and holding what they held: {', '.join(map(name, dead))}"
            remedy = (
                "The next `fusion run`, or the sensor killed_runs of a UI that runs, releases it. "
                "If memory ran out, lower FUSION_MEMORY_LIMIT."
            )
            yield Finding("instance", "doubtful", told, remedy)
        else:
            yield Finding("instance", "good", found)
        if (at_once := runs_at_once(instance)) is not None:
            yield _sharing(at_once, settings)
        since = daemon_beats(instance)
        if since is None or since > _BEATS_SECONDS:
            # The command line needs none, so that this is no fault.
            yield Finding(
                "daemon", "good", "none runs: schedules, sensors and runs of the UI wait (`make ui`)"
            )
        else:
            yield Finding("daemon", "good", f"alive {since:.0f} s ago")


def _sharing(at_once: float, settings: Settings) -> Finding:
    """Hold the runs that the queue starts at once against the share of the machine that each takes."""
    if at_once == settings.concurrent_steps:
        share = (
            f"{settings.step_threads} of {settings.threads} threads, {settings.step_memory / 2**20:,.0f} MiB"
        )
        return Finding("runs at once", "good", f"{at_once} of the UI, each with {share}")
    effect = "more than there is" if at_once > settings.concurrent_steps else "a part only"
    return Finding(
        "runs at once",
        "doubtful",
        f"max_concurrent_runs is {'without limit' if at_once == math.inf else at_once}, FUSION_CONCURRENT_STEPS "
        f"{settings.concurrent_steps}: together runs of the UI take {effect}",
        "Set both to the same number (docs/operations.md, Concurrency).",
    )
