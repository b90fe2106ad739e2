"""`fusion simulate`: raw files of simulated surveys, with their truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from fusion_pipeline.cli.root import console


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--pair", "pairs", multiple=True, help="Only what this fusion pair needs; may be repeated.")
@click.option("--households", default=20_000, show_default=True, help="ACS households.")
@click.option("--donors", default=5_686, show_default=True, help="Households of each donor survey.")
@click.option("--seed", default=1, show_default=True)
def simulate(out: Path, pairs: Sequence[str], households: int, donors: int, seed: int) -> None:
    """Write a simulated population as raw files in each survey's public layout, with its truth, to OUT."""
    from fusion_pipeline.simulate import simulate as write

    write(out, pairs or None, households=households, donors=donors, seed=seed)
    console.print(f"raw files and truth → {out}", markup=False)
