"""`fusion analyze`: estimates of a fused pair with their margins of error."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from fusion_pipeline.cli.root import console
from fusion_pipeline.settings import Settings, load_settings
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.text import as_text

FORMATS = (".csv", ".parquet", ".dta", ".xlsx", ".tex", ".md")
MAPS = (".png", ".html")
TOTALS = ("none", "rollup", "cube")
# Named again here, because importing the library's own takes seconds; a test holds them against each other.

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
@click.argument("pairs", metavar="PAIR...", nargs=-1, required=True)
@click.option("-e", "--estimate", "estimates", multiple=True, required=True, help='Such as "mean(btuel)".')
@click.option("-b", "--by", multiple=True, help="A column or expression, such as division.")
@click.option("-w", "--where", help='A condition on records, such as "hincp < 30000".')
@click.option("-d", "--derive", multiple=True, help='A new variable, such as "burden = dollarel / hincp".')
@click.option(
    "--totals", type=click.Choice(TOTALS), default="none", show_default=True, help="Crossings with totals."
)
@click.option("--rule", default="auto", show_default=True, help="Pooling rule.")
@click.option("--level", default=0.90, show_default=True, help="Level of the margin of error.")
@click.option(
    "--area-error/--no-area-error", default=True, show_default=True, help="Add what areas have of their own."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help=f"Write the table to this file: {', '.join(FORMATS)}."
)
@click.option(
    "--map",
    "map_file",
    type=click.Path(path_type=Path),
    help=f"Draw a map by state, or by state and PUMA: {', '.join(MAPS)}.",
)
def analyze(
    pairs: Sequence[str],
    estimates: Sequence[str],
    by: Sequence[str],
    where: str | None,
    derive: Sequence[str],
    totals: str,
    rule: str,
    level: float,
    area_error: bool,
    out: Path | None,
    map_file: Path | None,
) -> None:
    """Estimate anything from a fused PAIR with margins of error pooled over all implicates.

    Estimates: mean, sum, median, gini, share of a number, quantile(number, 0.9), proportion, count of the levels of
    a category, ratio and correlation of two numbers, linear and logistic of "outcome ~ term + term". Several pairs
    onto the same ACS year are joined; "bounds(a, b | common + common)" tells what two of them may have in common.
    A map is of one estimate: -e "mean(btuel)" --map btuel.html, or -e "mean(insec = 'Yes')" -b state -b puma10
    --map insec.png.
    """
    by = tuple(by) or (("state",) if map_file else ())
    if map_file is not None:
        _check_map(map_file, estimates, by)
    if out is not None and out.suffix not in FORMATS:
        raise click.BadParameter(f"{out} ends in none of {', '.join(FORMATS)}", param_hint="--out")
    settings = load_settings()
    options = {
        "where": where,
        "derive": definitions(derive),
        "totals": totals,
        "rule": rule,
        "level": level,
        "area_error": area_error,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the notes below say the same
        found = _estimates(list(pairs), settings, estimates, by, **options)
    if out is not None:
        console.print(f"{len(found)} estimates → {found.write(out)}")
    else:
        console.print(
            f"{' + '.join(pairs)}, {settings.origin} data, {found.implicates} implicates; "
            f"± margin of error at {100 * level:g} %",
            soft_wrap=True,
        )
        console.print(estimates_table(found.table, by))
    if map_file is not None:
        written = _map(found, map_file, Layout(settings.root), pairs)
        console.print(f"map → {written}", soft_wrap=True)
    for note in found.notes:
        console.print(f"[yellow]{escape(note)}[/]", soft_wrap=True)


def _check_map(file: Path, estimates: Sequence[str], by: tuple[str, ...]) -> None:
    """Refuse a map that cannot be drawn before anything is computed."""
    from fusion_pipeline.mapping.choropleth import place_columns

    if file.suffix not in MAPS:
        raise click.BadParameter(f"{file} ends in none of {', '.join(MAPS)}", param_hint="--map")
    if len(estimates) != 1:
        raise click.BadParameter("a map shows one estimate", param_hint="--map")
    place_columns(by)


def _map(found: Any, file: Path, layout: Layout, pairs: Sequence[str]) -> Path:
    from fusion_pipeline.mapping.finding import boundaries_at_hand
    from fusion_pipeline.validation.words import words_of

    variable = str(found.table["variable"].iloc[0])
    known = {name: words for pair in pairs for name, words in words_of(pair).items()}
    # A share, a ratio or a regression has another unit than its variables.
    plain = str(found.table["estimand"].iloc[0]).startswith(("mean(", "median(", "quantile("))
    about = known.get(variable) if plain else None
    words = (
        {"title": f"{about.description}: {found.table['estimand'].iloc[0]}", "unit": about.unit}
        if about
        else {}
    )
    source = f"{' + '.join(pairs)}, {layout.origin} data, {found.implicates} implicates"
    return found.map(file, boundaries=boundaries_at_hand(layout, found.by[-1]), source=source, **words)


def definitions(texts: Sequence[str]) -> dict[str, str]:
    """Read definitions of the form "name = expression"."""
    found = {}
    for text in texts:
        name, mark, expression = text.partition("=")
        if not mark or not name.strip().isidentifier():
            raise click.BadParameter(
                f'{text!r} is not of the form "name = expression"', param_hint="--derive"
            )
        found[name.strip()] = expression.strip()
    return found


def _estimates(
    pairs: str | Sequence[str],
    settings: Settings,
    estimates: Sequence[str],
    by: Sequence[str],
    **options: Any,
) -> Any:
    from fusion_pipeline.estimating import estimate_pair

    return estimate_pair(
        pairs,
        Layout(settings.root),
        list(estimates),
        list(by),
        memory_limit=int(settings.memory_limit),
        threads=settings.threads,
        **options,
    )


def estimates_table(frame: Any, by: Sequence[str]) -> Table:
    """Lay estimates out: a narrow screen has fewer columns, then folded words, and never a number that is cut."""
    for left_out in ((), ("area_error",), ("area_error", "standard_error")):
        table = _laid_out(frame, by, left_out)
        if console.measure(table, options=console.options.update(max_width=10_000)).maximum <= console.width:
            break
    return table


def _laid_out(frame: Any, by: Sequence[str], left_out: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    words = [*by, "estimand", *(["level"] if frame["level"].notna().any() else [])]
    for column in words:
        table.add_column(column.replace("_", " "), overflow="fold")
    numbers = {"estimate": "estimate", "margin": "± margin", "standard_error": "standard\nerror"}
    if "area_error" in frame:
        numbers["area_error"] = "of it\nareas"
    numbers = {name: heading for name, heading in numbers.items() if name not in left_out}
    for heading in numbers.values():
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("source", no_wrap=True)
    for row in frame.to_dict("records"):
        estimate, margin, *errors = (as_text(row[name]) for name in numbers)
        said = [escape(as_text(row[name])) for name in words]
        table.add_row(*said, estimate, f"±{margin}", *errors, row["source"])
    return table


def demo_table(pair: str, settings: Settings, implicates: int) -> Table:
    """Lay out the demo's first estimates by division, over the implicates of this run and none left of another."""
    texts = ["mean(btuel)", "proportion(insec)", "proportion(cooltype)"]
    frame = _estimates(pair, settings, texts, ("division",), implicates=implicates).table
    table = Table(
        title="Households by Census division, with 90 % margins of error",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    table.add_column("division", overflow="fold", min_width=8)
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
