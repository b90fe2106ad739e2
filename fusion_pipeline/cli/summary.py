"""`fusion summary`: what the steps of a fusion pair took, and what their checks found."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from fusion_pipeline.cli.root import console
from fusion_pipeline.registry import load_registry
from fusion_pipeline.text import as_text

# What fits a terminal of 80 columns, one line a step; the page has all.
_SHOWN = {"step": "step", "rows": "rows", "seconds": "s", "CPU seconds": "CPU s", "peak memory MB": "MB"}
_LONG_STEP = 36


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
    shown = found.assign(
        step=[_step(pair, *named) for named in zip(found["asset"], found["partition"], strict=True)]
    )
    for heading in _SHOWN.values():
        table.add_column(heading, no_wrap=True, justify="left" if heading == "step" else "right")
    table.add_column("", no_wrap=True)
    told = found["checks"].str.startswith("failed").map({True: "! check", False: ""})
    told = told.where(found["state"] != "not materialized", "not made")
    rows = shown[list(_SHOWN)].astype(object).where(shown[list(_SHOWN)].notna(), "")
    for row, word in zip(rows.itertuples(index=False), told, strict=True):
        table.add_row(*(as_text(value) for value in row), word)
    console.print(table)
    for row in found[found["checks"].str.startswith("failed")].itertuples():
        console.print(f"[yellow]![/] {row.asset} {row.checks}", soft_wrap=True)
    if html is not None:
        write_summary(html, pair, found)
        console.print(f"page        {html}", soft_wrap=True, markup=False)


def _step(pair: str, asset: str, partition: str) -> str:
    """Name a step in one short line: the pair itself stands above all of them."""
    named = f"{asset} {partition.removeprefix(pair).removeprefix('|')}".strip()
    return named if len(named) <= _LONG_STEP else f"{named[: _LONG_STEP - 1]}…"
