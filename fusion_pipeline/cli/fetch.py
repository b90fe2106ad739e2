"""`fusion fetch`: find or download raw files, and check them."""

from __future__ import annotations

import click

from fusion_pipeline.cli.root import console
from fusion_pipeline.registry import load_registry
from fusion_pipeline.settings import load_settings


@click.command()
@click.argument("key")
def fetch(key: str) -> None:
    """Find or download the raw files of a survey-year, an ACS year or `geography`, and check them.

    `geography` takes the optional files too: they give the concordance more columns, and PUMAs more predictors.
    """
    from fusion_pipeline.definitions import raw_files

    registry, files = load_registry(), raw_files(load_settings(source="public"))
    found = (
        files.places(registry.place_files(), fetch=True)
        if key == "geography"
        else files.survey(registry.survey_year(key))
    )
    for file in found:
        console.print(f"{file.role}  {file.origin}  {file.path}  {file.size:,} bytes  {file.sha256[:12]}")
