"""Estimates from a fusion pair's implicates on disk, joined to the ACS households they belong to.

Belongs here: finding a pair's files, the areas around its households, the design of its replicate weights.
Does not belong here: estimation (`inference/`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.fusion.rule_language import parse_condition
from fusion_pipeline.geography.concordance import add_areas
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.inference.area_error import AreaError
from fusion_pipeline.inference.estimands import Statistic
from fusion_pipeline.inference.output import Estimates
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import IMPUTED, TableRef
from fusion_pipeline.surveys.codebook import load_codebook

ORIGIN = ("model_set", "recipient", "seed", "stream")
"""What all implicates of a pair must have in common, by their provenance."""


def estimate_pair(
    pair: str | Sequence[str],
    layout: Layout,
    estimates: Sequence[str | Statistic],
    by: Sequence[str] = (),
    *,
    where: str | None = None,
    derive: Mapping[str, str] | None = None,
    totals: str = "none",
    rule: str = "auto",
    level: float = 0.90,
    area_error: bool = True,
    implicates: int | None = None,
    memory_limit: int | None = None,
    threads: int | None = None,
) -> Estimates:
    """Estimate from all implicates of a pair, or of several onto one ACS year, with the ACS replicate weights.

    Parameters
    ----------
    pair : a fusion pair of the registry, or several with the same recipient
    layout : where its artefacts lie
    estimates, where, derive, totals, rule, level : as in `inference.analyze.analyze`
    by : columns of the recipient's households, `region`, `division`, fusion variables, or expressions
    area_error : add the area component to the margins, if the pair's area errors were measured. Several pairs have
        none: whose error an estimate over both has is not known.
    implicates : how many to pool, from the first; without it all that are there

    Raises
    ------
    AnalysisError
        If a pair has no implicates yet, if they are not the implicates 1..M of one model set, recipient,
        seed and stream, if pairs have different recipients, if some replicate weights are missing, or as `analyze`
        does.
    """
    pairs = [pair] if isinstance(pair, str) else list(pair)
    recipients = {load_registry().pair(name).recipient for name in pairs}
    if len(recipients) != 1:
        raise AnalysisError(
            f"fusion pairs {', '.join(pairs)}",
            f"have different recipients: {', '.join(sorted(recipients))}.",
            "Analyze pairs together that were fused onto the same households.",
        )
    vintage = load_registry().recipients[recipients.pop()]
    files = {name: implicates_of(name, layout, implicates) for name in pairs}
    households = TableRef(layout.table(("acs", "households"), vintage.vintage))
    design = replicate_design(vintage.codebook, households)
    texts = [*by, where or "", *(derive or {}).values()]
    for asked in estimates:
        texts += [asked] if isinstance(asked, str) else list(asked.variables)
    measured = area_error_of(pairs[0], layout) if area_error and len(pairs) == 1 else None
    found = analyze(
        files if len(pairs) > 1 else files[pairs[0]],
        _static(households, texts, design["replicate_weights"]),
        estimates=estimates,
        by=by,
        where=where,
        derive=derive,
        universes=universes_of(pairs, files),
        sources=imputed_in(households),
        totals=totals,
        rule=rule,
        **design,
        level=level,
        area_error=measured,
        memory_limit=memory_limit,
        threads=threads,
    )
    if by and area_error and measured is None:
        note = "Margins hold no area error: it was not measured, so those of small areas are too narrow."
        return replace(found, notes=(*found.notes, note))
    return found


def replicate_design(codebook: str, households: TableRef) -> dict[str, Any]:
    """Give what `analyze` must know of replicate weights: the columns that are there, scale and count of the design."""
    design = load_codebook(codebook).households.replicates
    names = [f"rep_{r}" for r in range(1, design.count + 1)] if design else []
    return {
        "replicate_weights": [name for name in names if name in households.columns],
        "replicate_scale": design.scale if design else None,
        "replicate_count": design.count if design else None,
    }


def imputed_in(households: TableRef) -> dict[str, str]:
    """Give the source flag of the recipient's columns in which answers were missing and were filled."""
    counts = households.provenance.get(IMPUTED, {})
    return {name: "imputed" for name, count in counts.items() if count}


def universes_of(pairs: Sequence[str], files: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    """Give the universes of the fusion variables of pairs, of those that their implicates have."""
    found = {}
    for pair in pairs:
        fused = TableRef(files[pair][0]).columns
        for name, condition in load_registry().pair(pair).universes.items():
            if {name, *parse_condition(condition).columns} <= set(fused):
                found[name] = condition
    return found


def area_error_of(pair: str, layout: Layout) -> AreaError | None:
    """Read the area errors measured for a pair, if they were and there were areas enough.

    Raises
    ------
    StorageError
        If the file is damaged.
    """
    file = layout.area_error(pair)
    found = AreaError.read(file) if file.is_file() else None
    return found if found and found.measured else None


def implicates_of(pair: str, layout: Layout, count: int | None = None) -> list[Path]:
    """Find a pair's implicates 1..M, all of one origin; M is `count`, or how many there are.

    Raises
    ------
    AnalysisError
        If there are none, or fewer than `count`, one is missing, or one is foreign to the first: pooled, two models
        would look like one with a huge variance between implicates.
    """
    folder = layout.implicates(pair)
    files = sorted(folder.glob("implicate=*/part-0.parquet"), key=_number)
    if not files:
        remedy, other = f"Make them with `fusion run {pair}`.", layout.other
        if other.implicates(pair).is_dir():
            remedy += (
                f" Those of {other.origin} surveys are there: FUSION_SOURCE={other.origin} leads to them."
            )
        raise AnalysisError(str(folder), "holds no implicates.", remedy)
    for position, file in enumerate(files, start=1):
        if file != layout.implicate(pair, position):
            raise AnalysisError(
                str(file),
                f"stands where implicate {position} should be: implicates are numbered 1 to M without a gap.",
                f"Delete it, or make implicate {position} again with `fusion run {pair}`.",
            )
    if count is not None:
        if len(files) < count:
            raise AnalysisError(
                str(folder),
                f"holds {len(files)} implicates, not {count}.",
                f"Make the others with `fusion run {pair}`.",
            )
        files = files[:count]
    first = TableRef(files[0]).provenance
    for file in files:
        found = TableRef(file).provenance
        for key in ORIGIN:
            if key not in found or found[key] != first.get(key):
                raise AnalysisError(
                    str(file),
                    f"does not come from the same {key} as {files[0].parent.name} "
                    f"({_short(found.get(key))}, not {_short(first.get(key))}).",
                    "Delete the implicates of the wrong origin, and materialize their chunks of "
                    f"fusion/implicates again, in the UI or with `fusion run {pair}`.",
                )
    return files


def _number(file: Path) -> tuple[int, str]:
    text = file.parent.name.removeprefix("implicate=")
    # Names that are no number come last, so that the file that is wrong is the one named.
    return (int(text) if text.isdecimal() else sys.maxsize, text)


def _short(value: object) -> str:
    return "unknown" if value is None else str(value)[:12]


def _static(households: TableRef, asked: Sequence[str], replicates: Sequence[str]) -> pa.Table:
    # Only what is asked for: the ACS has ten times as many columns.
    text = " ".join(asked)
    named = [name for name in households.columns if name in text and not name.startswith("rep_")]
    keys = ["year", "hid", "weight", "state", puma_column(households.columns, "recipient")]
    return add_areas(households.read(list(dict.fromkeys([*keys, *named, *replicates]))))
