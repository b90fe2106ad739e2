"""`fusion validate`: a fusion pair's plan on its own donors."""

from __future__ import annotations

import click

from fusion_pipeline.cli.root import console
from fusion_pipeline.cli.run import tell
from fusion_pipeline.registry import load_registry
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.layout import Layout


@click.command()
@click.argument("pair")
@click.option("--simulate", is_flag=True, help="Use the simulated surveys whatever FUSION_RAW says.")
@click.option("--force", is_flag=True, help="Validate again, also what was validated and is current.")
def validate(pair: str, simulate: bool, force: bool) -> None:
    """Fuse the donors of a PAIR from each other and hold them against what they answered.

    The pair's plan has to be there (`fusion run PAIR`); its report, if there is one, tells what was found.
    """
    from fusion_pipeline.running import JobRun, local_instance, run_all
    from fusion_pipeline.validation.internal import Validation

    load_registry().pair(pair)
    settings = load_settings(**({"source": "simulated"} if simulate else {}))
    layout = Layout(settings.root)
    runs = [JobRun("validate_pair", pair)]
    if layout.report(pair).is_file():
        runs.append(JobRun("publish_pair", pair))
    with local_instance() as instance:
        for job, outcome in run_all(runs[:1], settings, instance, force=force):
            if outcome is not None:
                tell(job, outcome)
        # Of these only the report is made again, because what it is made of has changed.
        for job, outcome in run_all(runs[1:], settings, instance):
            if outcome is not None:
                tell(job, outcome)
    console.print(repr(Validation.read(layout.internal(pair))), soft_wrap=True)
    console.print(f"tables      {layout.internal(pair)}", soft_wrap=True, markup=False)
