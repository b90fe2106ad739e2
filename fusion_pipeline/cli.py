"""The command line: `fusion run PAIR`, `analyze`, `inspect`, `simulate`, `fetch`.

Belongs here: reading arguments and showing results. Does not belong here: anything a notebook could not do
with the library.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fusion_pipeline.errors import FusionError
from fusion_pipeline.registry import load_registry
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
_console = Console(highlight=False)


class _Progress(logging.Handler):
    """The library's progress, one dim line a message, with the seconds since the start."""

    def __init__(self) -> None:
        super().__init__()
        self._console, self._started = Console(stderr=True, highlight=False), time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        elapsed = time.monotonic() - self._started
        self._console.print(f"[dim]{elapsed:6.1f} s  {escape(record.getMessage())}[/]", soft_wrap=True)


class _Fusion(click.Group):
    """Show a user's mistakes as one message, without a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except FusionError as error:
            _console.print(f"[bold red]{type(error).__name__}[/] {escape(str(error))}", soft_wrap=True)
            sys.exit(1)


@click.group(cls=_Fusion)
@click.option("--quiet", is_flag=True, help="Only results, no progress.")
def main(quiet: bool) -> None:
    """Data fusion of US household surveys onto the American Community Survey."""
    logger = logging.getLogger("fusion_pipeline")
    logger.addHandler(_Progress())
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False


@main.command()
@click.argument("pair")
@click.option("--simulate", is_flag=True, help="Use the simulated surveys whatever FUSION_RAW says.")
@click.option("--demo", is_flag=True, help="Print the first estimates at the end.")
def run(pair: str, simulate: bool, demo: bool) -> None:
    """Materialize all assets of a fusion PAIR, from raw files to report, and show the progress."""
    from fusion_pipeline.running import local_instance, run_pair

    load_registry().pair(pair)
    settings = load_settings(**({"source": "simulated"} if simulate else {}))
    layout = Layout(settings.root)
    _console.print(
        f"[bold]{pair}[/] from {settings.origin} raw files, {settings.threads} threads → {layout.root}"
    )
    with local_instance() as instance:
        for job, outcome in run_pair(pair, settings, instance):
            label = f"{job.job} {job.partition or ''}"
            if outcome is None:
                _console.print(f"[dim]▸ {label}[/]")
                continue
            failed = [check for check in outcome.checks if not check.passed]
            verdict = f"{len(outcome.checks) - len(failed)} of {len(outcome.checks)} checks passed"
            _console.print(
                f"[green]✓[/] {label}  [dim]{len(outcome.materialized)} assets, {verdict}, {outcome.seconds:.1f} s[/]"
            )
            for check in failed:
                where = f"{check.asset_key.to_user_string()} {check.check_name}"
                _console.print(f"  [yellow]! {where}[/] ({check.severity.value.lower()}; details in the UI)")
    if demo:
        _demo_table(pair, settings)
    _console.print(f"implicates  {layout.implicates(pair)}")
    _console.print(f"report      {layout.report(pair)}")


@main.command()
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
        _console.print(f"{len(frame)} estimates → {out}")
        return
    _console.print(
        f"{pair}, {settings.origin} data, {frame['M'].max()} implicates; "
        f"± margin of error at {100 * level:g} %",
        soft_wrap=True,
    )
    _console.print(_estimates_table(frame, by))


@main.command()
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
            table.add_row(*artefact)
    _console.print(f"{settings.origin} data in {settings.root}", soft_wrap=True)
    _console.print(table)


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--households", default=20_000, show_default=True, help="ACS households.")
@click.option("--donors", default=5_686, show_default=True, help="RECS households.")
@click.option("--seed", default=1, show_default=True)
def simulate(out: Path, households: int, donors: int, seed: int) -> None:
    """Write a simulated population as raw files in each survey's public layout, with its truth, to OUT."""
    from fusion_pipeline.simulate import simulate as write

    write(out, households=households, donors=donors, seed=seed)
    _console.print(f"raw files and truth → {out}")


@main.command()
@click.argument("key")
def fetch(key: str) -> None:
    """Find or download the raw files of a survey-year, an ACS year or `geography`, and check them."""
    from fusion_pipeline.definitions import raw_files

    registry, files = load_registry(), raw_files(load_settings(source="public"))
    found = (
        files.geography(registry.geography) if key == "geography" else files.survey(registry.survey_year(key))
    )
    for file in found:
        _console.print(f"{file.role}  {file.origin}  {file.path}  {file.size:,} bytes  {file.sha256[:12]}")


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


def _demo_table(pair: str, settings: Settings) -> None:
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
    _console.print(table)
