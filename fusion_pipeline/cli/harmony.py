"""`fusion harmony`: check all harmonies, draft those of a new pair, show what one makes of both surveys."""

from __future__ import annotations

import sys

import click
from rich.markup import escape
from rich.table import Column, Table

from fusion_pipeline.cli.root import console
from fusion_pipeline.errors import HarmonyError, RegistryError, choose_among


@click.group()
def harmony() -> None:
    """Harmonies: the variables that donor and recipient have in common."""


@harmony.command()
@click.argument("survey", required=False)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also known defects, what leaves a harmony out, and missing codebooks.",
)
def check(survey: str | None, everything: bool) -> None:
    """Validate the harmonies of SURVEY, or of all, for every pair of vintages.

    A side without a codebook is not compared; `known` are defects of published definitions that the files list. A file
    that does not load is an error beside those of the others.
    """
    from fusion_pipeline.harmonize.checking import check as find
    from fusion_pipeline.harmonize.checking import codebook_of
    from fusion_pipeline.harmonize.definitions import Harmony
    from fusion_pipeline.harmonize.loading import all_harmonies, surveys_with_harmonies

    fatal = 0
    # Narrow enough for 80 columns, a pipe's; names are folded before they are cut.
    name = Column("pair", overflow="fold", no_wrap=True)
    headings = ("set", "harmonies", "errors", "known", "left out", "codebooks")
    table = Table(name, *headings, box=None, collapse_padding=True, pad_edge=False)
    pairs: list[Harmony] = []
    for each in [survey] if survey else surveys_with_harmonies():
        try:
            pairs += all_harmonies(each)
        except RegistryError as error:
            fatal += 1
            console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
    for pair in pairs:
        found = find(pair)
        wrong = [finding for finding in found if finding.fatal]
        known = [finding for finding in found if finding.known]
        absent = [role for role in ("donor", "recipient") if codebook_of(getattr(pair, role)) is None]
        fatal += len(wrong)
        left_out = len(found) - len(wrong) - len(known) - len(absent)
        there = {(): "both", ("donor",): "recipient's", ("recipient",): "donor's"}.get(tuple(absent), "none")
        counts = (len(pair.entries), len(wrong), len(known), left_out)
        table.add_row(pair.name, pair.set, *map(str, counts), there)
        for finding in found if everything else wrong:
            console.print(f"[{'red' if finding.fatal else 'dim'}]{escape(str(finding))}[/]", soft_wrap=True)
    console.print(table)
    if fatal:
        sys.exit(1)


@harmony.command()
@click.argument("donor")
@click.argument("recipient")
def draft(donor: str, recipient: str) -> None:
    """Propose harmonies of a new pair, such as DONOR nhts_2022 and RECIPIENT acs_2024 (keys of codebooks)."""
    from fusion_pipeline.harmonize.drafting import draft as propose
    from fusion_pipeline.surveys.codebook import load_codebook

    click.echo(propose(load_codebook(donor), load_codebook(recipient)))


@harmony.command()
@click.argument("pair")
@click.argument("name", required=False)
def show(pair: str, name: str | None) -> None:
    """Print both distributions of the harmonized predictors of a fusion PAIR, or of one by NAME."""
    from fusion_pipeline.harmonize.pairs import pair_harmonies
    from fusion_pipeline.harmonize.similarity import distribution, similarity
    from fusion_pipeline.registry import load_registry
    from fusion_pipeline.settings import load_settings
    from fusion_pipeline.storage.artefacts import open_pair
    from fusion_pipeline.storage.layout import Layout

    registry = load_registry()
    harmonies = pair_harmonies(registry.pair(pair), registry)
    tables = open_pair(Layout(load_settings().root).tables(("fusion", "harmonized"), pair))
    names = [column for column in tables.donor.columns if "__" in column]
    if name is not None and name not in names:
        raise HarmonyError(f"{pair}, {name}", "is not harmonized.", choose_among(name, names))
    entries = next(iter(harmonies.values())).entries
    for predictor in [name] if name else names:
        donor, recipient = (side.read(["weight", predictor]) for side in (tables.donor, tables.recipient))
        alike = similarity(donor, recipient).column("similarity")[0].as_py()
        table = Table(
            predictor, "donor", "recipient", box=None, title=f"similarity {alike:.3f}", title_justify="left"
        )
        ours, theirs = (distribution(side, predictor) for side in (donor, recipient))
        for key, share in ours.items():
            label = entries[predictor].names[int(key) - 1] if entries[predictor].names else key
            form = "{:.1%}" if entries[predictor].names else "{:,.2f}"
            table.add_row(escape(label), form.format(share), form.format(theirs[key]))
        console.print(table)
