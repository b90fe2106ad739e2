"""`fusion fuse`: some implicates of a fusion pair, as a task of an array on a cluster does."""

from __future__ import annotations

import click

from fusion_pipeline.cli.root import console
from fusion_pipeline.registry import load_registry
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.layout import Layout


@click.command()
@click.option("--pair", required=True, help="Fusion pair, as `fusion inspect` lists them.")
@click.option("--implicates", required=True, help="Such as 01-05; begins and ends where chunks do.")
@click.option("--force", is_flag=True, help="Draw them again, also those that are there and current.")
@click.option(
    "--unrecorded",
    is_flag=True,
    help="Record the runs nowhere: tasks on many machines then share the data folder and nothing else.",
)
@click.option(
    "--ray",
    "address",
    help="Address of a Ray cluster, or `auto`: its machines draw the chunks, unrecorded.",
)
def fuse(pair: str, implicates: str, force: bool, unrecorded: bool, address: str | None) -> None:
    """Draw some implicates of a fusion pair whose model set is there.

    In a Slurm array with chunks of five, `--array=0-7`:

        fusion fuse --unrecorded --pair P --implicates $((5*SLURM_ARRAY_TASK_ID+1))-$((5*SLURM_ARRAY_TASK_ID+5))
    """
    from fusion_pipeline.running import chunk_runs, local_instance, run_all, throwaway_instance
    from fusion_pipeline.spreading import spread

    load_registry().pair(pair)
    settings = load_settings()
    runs = chunk_runs(pair, implicates)
    if address is None:
        with throwaway_instance() if unrecorded else local_instance() as instance:
            for job, outcome in run_all(runs, settings, instance, force=force):
                if outcome is not None:
                    _tell(str(job.partition), bool(outcome.reused), outcome.seconds)
    else:
        for chunk in spread([str(run.partition) for run in runs], settings, address, force=force):
            _tell(chunk.partition, chunk.reused, chunk.seconds, f" on {chunk.machine}")
    console.print(f"implicates  {Layout(settings.root).implicates(pair)}", soft_wrap=True, markup=False)


def _tell(partition: str, reused: bool, seconds: float, where: str = "") -> None:
    state = "reused" if reused else "drawn"
    console.print(f"[green]✓[/] {partition}  [dim]{state}{where}, {seconds:.1f} s[/]", soft_wrap=True)
