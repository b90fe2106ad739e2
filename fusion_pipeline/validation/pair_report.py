"""The report of one fusion pair: what a reader of its numbers wants to see first.

Belongs here: which figures and tables, in which order, and their words. Does not belong here: drawing them
(`figures.py`), laying them out (`report.py`), computing them (`inference/`, `marginals.py`,
`distributions.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from fusion_pipeline.estimating import estimate_pair
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.geography.concordance import states
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.harmonize import (
    SIMILARITY_THRESHOLD,
    least_alike,
    pair_harmonies,
    side_by_side,
    similarity,
)
from fusion_pipeline.inference.output import Estimates
from fusion_pipeline.planning import absent_predictors
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.artefacts import PairTables
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import LEFT_OUT, TableRef
from fusion_pipeline.validation import figures
from fusion_pipeline.validation.comparable import BEYOND
from fusion_pipeline.validation.distributions import compare_distributions
from fusion_pipeline.validation.headlines import headlines, places
from fusion_pipeline.validation.pair_external import external_sections
from fusion_pipeline.validation.pair_maps import pair_maps
from fusion_pipeline.validation.pair_validation import validation_sections
from fusion_pipeline.validation.report import Section, write_report
from fusion_pipeline.validation.words import Words, words_of

VERSION = "10"
HEADLINES: tuple[str, ...] = ("btuel", "insec", "scalee", "cooltype")
"""Variables whose estimates by division open the report, where a pair has them."""


@dataclass(frozen=True)
class PairReport:
    """The report's file, its content digest, and the figures worth showing elsewhere."""

    path: Path
    digest: str
    highlights: tuple[bytes, ...]


def write_pair_report(
    pair: str,
    layout: Layout,
    files: Sequence[Path],
    *,
    prepared: PairTables,
    harmonized: PairTables,
    households: TableRef,
    raw: TableRef,
    concordance: TableRef,
    marginals: pd.DataFrame,
    plan: FusionPlan,
    memory_limit: int,
    threads: int,
) -> PairReport:
    """Write the report of a pair.

    Parameters
    ----------
    pair : name in the registry
    layout : where artefacts lie; the report is written there
    files : all implicates, and no others are pooled even if more lie on disk
    prepared, harmonized : the pair's tables
    households : the recipient's standardized households
    raw, concordance : of the recipient's PUMA definition, for maps
    marginals : of `pair_marginals.pair_marginals`
    plan : the pair's fusion plan
    memory_limit, threads : bounds for DuckDB
    """
    static = households.read(["year", "hid", "weight"])
    bounds: dict[str, Any] = {"memory_limit": memory_limit, "threads": threads}
    numeric, categorical = _kinds(prepared.donor, plan)
    words = words_of(pair)
    source = f"{pair}, {len(files)} implicates"

    main = [v for v in HEADLINES if v in plan.variables] or list(plan.variables)
    texts = [f"mean({v})" if v in numeric else f"proportion({v})" for v in main]
    by = estimate_by(households)
    options: dict[str, Any] = {"implicates": len(files), **bounds}
    overall = estimate_pair(pair, layout, texts, **options)
    by_place = estimate_pair(pair, layout, texts, [by], **options)
    maps = pair_maps(
        pair,
        layout,
        texts,
        raw=raw,
        concordance=concordance,
        households=households,
        words=words,
        source=source,
        implicates=len(files),
        bounds=bounds,
    )
    shapes = compare_distributions(prepared.donor, list(files), static, numeric, **bounds)
    alike = similarity(harmonized.donor.read(), harmonized.recipient.read())
    unlike = _unlike(pair, harmonized, alike.to_pandas(), source)

    estimates = _estimate_figures(by_place.table, by, words, source)
    distributions = [
        Section(
            f"Distribution of {variable}",
            f"{words[variable].description}.",
            figure=figures.distribution(
                shapes[shapes["variable"] == variable], unit=words[variable].unit, source=source
            ),
        )
        for variable in numeric
    ]
    shares = [
        Section(
            f"Shares of {variable}",
            f"{words[variable].description}.",
            figure=figures.shares(marginals[marginals["variable"] == variable], source=source),
        )
        for variable in categorical
    ]
    sections = [
        Section(f"Estimates by {_place(by)}", margins_sentence(by_place), parts=estimates),
        *maps.sections,
        Section(
            "Fused against donor",
            "Over all implicates, all donors, and comparable donors: those of the recipient's disclosed locations, "
            "weighted by their odds of being recipients given the harmonized predictors. z counts the difference "
            f"between fused and comparable donors in combined standard errors; "
            f"beyond {BEYOND:g} chance seldom explains it.",
            figure=figures.differences(marginals, beyond=BEYOND, source=source),
            table=marginals,
        ),
        *external_sections(pair, layout, source),
        *validation_sections(pair, layout.internal(pair)),
        Section(
            "Distributions",
            "Weighted households, all implicates together, and the donor's own.",
            parts=(*distributions, *shares),
        ),
        Section(
            "Similarity of the harmonized predictors",
            "A predictor on which donor and recipient disagree carries that disagreement into what is fused.",
            figure=figures.similarity(alike.to_pandas(), source=source),
            table=alike.to_pandas(),
            parts=unlike,
        ),
        Section("Order of fusion", f"{' → '.join(plan.variables)}."),
        left_out_section(pair, harmonized.donor, prepared.donor),
    ]
    summary = {
        "Fusion pair": pair,
        "Raw files": layout.root.name,
        "Donor households": f"{prepared.donor.num_rows:,}",
        "Recipient households": f"{prepared.recipient.num_rows:,}",
        "Implicates": len(files),
    }
    path = layout.report(pair)
    write_report(
        path,
        title=f"{pair}: what was fused, and how well",
        summary=summary,
        sections=sections,
        headlines=headlines(overall, texts, words=words, marginals=marginals, alike=alike),
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    return PairReport(
        path, digest, (*maps.highlights, *(part.figure for part in estimates[:3] if part.figure))
    )


def margins_sentence(found: Estimates) -> str:
    """Say what the margins of estimates rest on."""
    return (
        f"Over all implicates; margins are at {100 * found.level:g} %, pooled by the rule {found.rule}. "
        f"The variance within an implicate rests on {found.variance}."
    )


def left_out_section(pair: str, harmonized: TableRef, prepared: TableRef) -> Section:
    """Name what the registry and the harmonies ask for and this pair's files cannot give.

    Parameters
    ----------
    pair : name in the registry
    harmonized, prepared : the donor's tables, which carry what was left out on the way to them
    """
    entry = load_registry().pair(pair)
    named = {**harmonized.provenance[LEFT_OUT], **prepared.provenance[LEFT_OUT]}
    named["predictor asked for"] = absent_predictors(entry.forced, entry.prices, prepared.columns)
    rows = [(kind, name, why) for kind, reasons in named.items() for name, why in reasons.items()]
    return Section(
        "Left out, and why",
        "Harmonies, fusion variables and predictors that are declared for this pair and that its files cannot give."
        if rows
        else "Nothing: the files give all that is declared for this pair.",
        table=pd.DataFrame(rows, columns=["kind", "left out", "why"]) if rows else None,
    )


def estimate_by(households: TableRef) -> str:
    """Census division where the recipient covers whole ones, else the state; the PUMA where it covers one state."""
    there = set(households.read(["state"])["state"].unique().to_pylist())
    divisions = {state.division for code, state in states().items() if code in there}
    whole = {code for code, state in states().items() if state.division in divisions} == there
    if whole and len(divisions) > 1:
        return "division"
    if len(there) > 1:
        return "state"
    return puma_column(households.columns, "recipient")


def _estimate_figures(
    frame: pd.DataFrame, by: str, words: Mapping[str, Words], source: str
) -> tuple[Section, ...]:
    parts = []
    for variable, rows in frame.groupby("variable", sort=False):
        about = words[str(variable)]
        levels = rows["level"].dropna().unique().tolist()
        # Of a yes-no variable the yes says it all.
        wanted = ["Yes"] if set(levels) == {"Yes", "No"} else (levels or [None])
        for level in wanted:
            chosen = rows if level is None else rows[rows["level"] == level]
            answer = "" if level in (None, "Yes") else f": {level}"
            title = f"{about.description}{answer}, by {_place(by)}"
            png = figures.estimates(chosen, [by], unit=about.unit, title=title, source=source)
            parts.append(Section(title, figure=png, table=estimate_table(chosen, by, about.unit)))
    return tuple(parts)


def _unlike(pair: str, harmonized: PairTables, alike: pd.DataFrame, source: str) -> tuple[Section, ...]:
    """Show both distributions of the predictors that are least alike."""
    registry = load_registry()
    entries = next(iter(pair_harmonies(registry.pair(pair), registry).values())).entries
    names = least_alike(alike, SIMILARITY_THRESHOLD)
    donor, recipient = (side.read(["weight", *names]) for side in (harmonized.donor, harmonized.recipient))
    panels = side_by_side(donor, recipient, names, {name: entries[name].names for name in names})
    drawn = figures.side_by_side(panels, source=source)
    return tuple(Section("Donor and recipient side by side", figure=png) for png in drawn)


def _place(by: str) -> str:
    return {"division": "Census division", "state": "state"}.get(by, "PUMA")


def estimate_table(rows: pd.DataFrame, by: str, unit: str) -> pd.DataFrame:
    """Return what a reader needs of estimates, rounded to two figures of the usual margin; shares in percent."""
    share = rows["estimand"].str.startswith("proportion").all()
    numbers = rows[["estimate", "margin", "standard_error"]] * (100 if share else 1)
    table = numbers.round(places(numbers["margin"].abs().median()))
    table.columns = [
        f"{name}, {'%' if share else unit or 'number'}" for name in ("estimate", "margin", "standard error")
    ]
    return pd.concat([rows[[by]], table, rows[["df", "n"]].round(0)], axis=1)


def _kinds(donor: TableRef, plan: FusionPlan) -> tuple[list[str], list[str]]:
    schema = donor.schema
    categorical = [v for v in plan.variables if pa.types.is_dictionary(schema.field(v).type)]
    return [v for v in plan.variables if v not in categorical], categorical
