"""`fusion analyze`: estimates of a fused pair with their margins of error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from fusion_pipeline.cli.root import console
from fusion_pipeline.settings import Settings, load_settings
from fusion_pipeline.storage.atomic import atomic_file
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.text import as_text

# What the demo shows: estimate, level, heading and the factor that turns the estimate into the heading's unit.
DEMO = {
    ("btuel", None): ("electric.\n10⁶ Btu", 1e-3),
    ("insec", "Yes"): ("insecure\n%", 100),
    ("cooltype", "Central air conditioning system"): ("central\nAC %", 100),
    ("cooltype", "Individual window/wall or portable units"): ("AC units\n%", 100),
    ("cooltype", "Both a central system and individual units"): ("both\n%", 100),
    ("cooltype", "No air conditioning"): ("no AC\n%", 100),
}


@click.command()
@click.argument("pair")
@click.option("-e", "--estimate", "estimates", multiple=True, required=True, help='Such as "mean(btuel)".')
@click.option("-b", "--by", multiple=True, help="A column of the recipient's households, such as division.")
@click.option("--level", default=0.90, show_default=True, help="Level of the margin of error.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the table to this .csv or .parquet file.")
def analyze(pair: str, estimates: Sequence[str], by: Sequence[str], level: float, out: Path | None) -> None:
    """Estimate means and proportions of a fused PAIR with margins of error pooled over all implicates."""
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise click.BadParameter(f"{out} is neither a .csv nor a .parquet file", param_hint="--out")
    settings = load_settings()
    frame = _estimates(pair, settings, estimates, by, level)
    if out is not None:
        with atomic_file(out) as temporary:
            if out.suffix == ".parquet":
                frame.to_parquet(temporary)
            else:
                frame.to_csv(temporary, index=False)
        console.print(f"{len(frame)} estimates → {out}")
        return
    console.print(
        f"{pair}, {settings.origin} data, {frame['M'].max()} implicates; "
        f"± margin of error at {100 * level:g} %",
        soft_wrap=True,
    )
    console.print(_estimates_table(frame, by))


def _estimates(
    pair: str, settings: Settings, estimates: Sequence[str], by: Sequence[str], level: float
) -> Any:
    from fusion_pipeline.estimating import estimate_pair

    return estimate_pair(
        pair,
        Layout(settings.root),
        list(estimates),
        list(by),
        level=level,
        memory_limit=int(settings.memory_limit),
        threads=settings.threads,
    )


def _estimates_table(frame: Any, by: Sequence[str]) -> Table:
    """Lay estimates out so that a narrow screen folds words and never cuts a number."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    words = [*by, "estimand", *(["level"] if frame["level"].notna().any() else [])]
    for column in words:
        table.add_column(column.replace("_", " "), overflow="fold")
    for heading in ("estimate", "± margin", "standard\nerror"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in frame.to_dict("records"):
        estimate, margin, error = (as_text(row[name]) for name in ("estimate", "margin", "standard_error"))
        table.add_row(*(escape(as_text(row[name])) for name in words), estimate, f"±{margin}", error)
    return table


def demo_table(pair: str, settings: Settings) -> Table:
    """Lay out the demo's first estimates by division."""
    texts = ["mean(btuel)", "proportion(insec)", "proportion(cooltype)"]
    frame = _estimates(pair, settings, texts, ("division",), 0.90)
    table = Table(
        title="Households by Census division, with 90 % margins of error",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    table.add_column("division", no_wrap=True)
    for heading, _ in DEMO.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for division, rows in frame.groupby("division", sort=False, observed=True):
        cells = {
            (row.variable, row.level if isinstance(row.level, str) else None): (row.estimate, row.margin)
            for row in rows.itertuples()
        }
        shown = [(cells[key], scale) for key, (_, scale) in DEMO.items()]
        table.add_row(str(division), *(f"{e * scale:.1f} ±{m * scale:.1f}" for (e, m), scale in shown))
    return table
