"""`fusion summary`: what the steps of a fusion pair took, and what their checks found."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from fusion_pipeline.cli.root import console
from fusion_pipeline.registry import load_registry
from fusion_pipeline.text import as_text

_SHOWN = ("step", "state", "rows", "CPU seconds", "peak memory MB", "checks")


@click.command()
@click.argument("pair")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write it as a page, too.")
def summary(pair: str, html: Path | None) -> None:
    """Show the last run of every step of a fusion PAIR: rows, seconds, CPU, memory, checks."""
    from fusion_pipeline.running import local_instance
    from fusion_pipeline.summary import summarize, write_summary

    load_registry().pair(pair)
    with local_instance() as instance:
        found = summarize(pair, instance)
    table = Table(box=None)
    # The columns that fit a terminal; the page has all.
    shown = found.assign(step=found["asset"] + " " + found["partition"])[list(_SHOWN)]
    for heading in shown.columns:
        table.add_column(heading, overflow="fold")
    for row in shown.astype(object).where(shown.notna(), "").itertuples(index=False):
        table.add_row(*(as_text(value) for value in row))
    console.print(table)
    if html is not None:
        write_summary(html, pair, found)
        console.print(f"page        {html}", soft_wrap=True)
