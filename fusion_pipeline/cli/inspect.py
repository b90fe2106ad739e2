"""`fusion inspect`: the fusion pairs there are, and what the artefacts of one were made from."""

from __future__ import annotations

import click
from rich.markup import escape
from rich.table import Table

from fusion_pipeline.cli.root import console
from fusion_pipeline.registry import load_registry
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.layout import Layout


@click.command()
@click.argument("pair", required=False)
def inspect(pair: str | None) -> None:
    """Show what there is: all fusion pairs, or the artefacts of one PAIR and what they were made from."""
    from fusion_pipeline.inspection import artefacts_of

    registry, settings = load_registry(), load_settings()
    table = Table(box=None)
    if pair is None:
        for heading in ("pair", "donors", "recipient", "fusion variables"):
            table.add_column(heading, overflow="fold")
        for name, entry in registry.pairs.items():
            table.add_row(name, ", ".join(entry.donors), f"ACS {entry.recipient}", ", ".join(entry.variables))
    else:
        for heading in ("artefact", "rows", "columns", "version", "made from"):
            table.add_column(heading, overflow="fold")
        for artefact in artefacts_of(registry.pair(pair), pair, Layout(settings.root)):
            table.add_row(*map(escape, artefact))
    console.print(f"{settings.origin} data in {settings.root}", soft_wrap=True, markup=False)
    console.print(table)
