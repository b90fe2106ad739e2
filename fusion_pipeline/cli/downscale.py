"""`fusion downscale`: estimates of a fused pair below the PUMA, by tables of small areas."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape

from fusion_pipeline.cli.analyze import FORMATS, definitions, estimates_table
from fusion_pipeline.cli.root import console
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.layout import Layout


@click.command()
@click.argument("pair")
@click.option(
    "-t",
    "--tables",
    required=True,
    type=click.Path(path_type=Path),
    help="Counts of households: a .csv or .parquet with the area, state, PUMA, variable, level, count and maybe moe.",
)
@click.option("-b", "--by", "area", required=True, help="The tables' column of small areas, such as tract.")
@click.option("-e", "--estimate", "estimates", multiple=True, help='Such as "mean(btuel)".')
@click.option(
    "-d", "--derive", multiple=True, help='A variable of the tables, such as "persons = least(np, 7)".'
)
@click.option("--level", default=0.90, show_default=True, help="Level of the margin of error.")
@click.option("--shares", type=click.Path(path_type=Path), help="Keep the households' shares in this folder.")
@click.option(
    "--out", type=click.Path(path_type=Path), help=f"Write the estimates to this file: {', '.join(FORMATS)}."
)
def downscale(
    pair: str,
    tables: Path,
    area: str,
    estimates: Sequence[str],
    derive: Sequence[str],
    level: float,
    shares: Path | None,
    out: Path | None,
) -> None:
    """Share the households of a fused PAIR out over small areas, and estimate anything by them.

    Each PUMA's households are reweighted until the areas' published tables are met; sums over areas are the PUMA's.
    What the margins hold, and what not, is in docs/geography.md.
    """
    if out is not None and out.suffix not in FORMATS:
        raise click.BadParameter(f"{out} ends in none of {', '.join(FORMATS)}", param_hint="--out")
    from fusion_pipeline.downscaling.pair import downscale_pair, estimate_pair_areas

    settings = load_settings()
    layout = Layout(settings.root)
    found = downscale_pair(pair, layout, tables, area=area, derive=definitions(derive), out=shares)
    pumas = found.pumas
    console.print(
        f"{pair}, {settings.origin} data: {len(found.areas):,} areas of {len(pumas):,} PUMAs; "
        f"{int(pumas['converged'].sum()):,} PUMAs converged, at most {int(pumas['iterations'].max())} rounds, "
        f"largest gap {found.areas['gap'].max():.1e}",
        soft_wrap=True,
    )
    notes = found.notes
    if estimates:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the notes below say the same
            result = estimate_pair_areas(
                pair,
                layout,
                found,
                list(estimates),
                level=level,
                memory_limit=int(settings.memory_limit),
                threads=settings.threads,
            )
        notes = result.notes
        if out is not None:
            console.print(f"{len(result)} estimates → {result.write(out)}", soft_wrap=True, markup=False)
        else:
            console.print(estimates_table(result.table, [*found.puma, found.area]))
    for note in notes:
        console.print(f"[yellow]{escape(note)}[/]", soft_wrap=True)
