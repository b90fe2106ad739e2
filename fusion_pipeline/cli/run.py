"""`fusion run`: a fusion pair from raw files to report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fusion_pipeline.cli.analyze import demo_table
from fusion_pipeline.cli.root import console, one_line_a_step
from fusion_pipeline.registry import load_registry
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.layout import Layout

if TYPE_CHECKING:
    from fusion_pipeline.running import JobRun, Outcome


@click.command()
@click.argument("pair")
@click.option("--simulate", is_flag=True, help="Use the simulated surveys whatever FUSION_RAW says.")
@click.option("--force", is_flag=True, help="Make everything again, also what is there and current.")
@click.option("--up-to-models", is_flag=True, help="Draw no implicates: `fusion fuse` does, on any machine.")
@click.option("--demo", is_flag=True, help="Print the first estimates at the end.")
@click.option("--verbose", is_flag=True, help="A line for every message, not only for every step.")
def run(pair: str, simulate: bool, force: bool, up_to_models: bool, demo: bool, verbose: bool) -> None:
    """Materialize all assets of a fusion PAIR, from raw files to report, and show the progress, a line a step.

    What is there already, made by the same code from the same inputs and settings, is reused.
    """
    load_registry().pair(pair)
    if demo and up_to_models:
        raise click.UsageError("--demo estimates from implicates, which --up-to-models does not draw.")
    from fusion_pipeline.partitions import IMPLICATES
    from fusion_pipeline.running import local_instance, run_pair

    settings = load_settings(**({"source": "simulated"} if simulate else {}))
    layout = Layout(settings.root)
    console.print(
        f"[bold]{pair}[/] from {settings.origin} raw files, {settings.threads} threads → {layout.root}",
        soft_wrap=True,
    )
    with local_instance() as instance, one_line_a_step(verbose=verbose):
        for job, outcome in run_pair(pair, settings, instance, force=force, up_to_models=up_to_models):
            if outcome is not None:
                tell(job, outcome)
    if up_to_models:
        console.print(f"models      {layout.model_set(pair)}", soft_wrap=True)
        return
    if demo:
        console.print(demo_table(pair, settings, IMPLICATES.count))
    console.print(f"implicates  {layout.implicates(pair)}", soft_wrap=True)
    console.print(f"report      {layout.report(pair)}", soft_wrap=True)


def tell(job: JobRun, outcome: Outcome) -> None:
    """Say what a job made and found."""
    label = f"{job.job} {job.partition or ''}"
    failed = [check for check in outcome.checks if not check.passed]
    verdict = f"{len(outcome.checks) - len(failed)} of {len(outcome.checks)} checks passed"
    made = f"{len(outcome.materialized)} materialized, {len(outcome.reused)} reused"
    console.print(f"[green]✓[/] {label}  [dim]{made}, {verdict}, {outcome.seconds:.1f} s[/]", soft_wrap=True)
    for check in failed:
        where = f"{check.asset_key.to_user_string()} {check.check_name}"
        console.print(
            f"  [yellow]! {where}[/] ({check.severity.value.lower()}; details in the UI)", soft_wrap=True
        )
