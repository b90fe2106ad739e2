"""Internal validation of a fusion pair: its donors, cross-fitted by its plan, and what the report says about it.

Belongs here: which groups and predictors, which settings, and what to warn of. Does not belong here: fusing
(`cross_fitting.py`), comparing (`internal.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fusion_pipeline.fusion.specification import FusionPlan, FusionStep
from fusion_pipeline.registry import InternalValidation, load_registry
from fusion_pipeline.storage.artefacts import PairTables
from fusion_pipeline.validation.cross_fitting import FOLD, cross_fit
from fusion_pipeline.validation.internal import Validation, validate
from fusion_pipeline.validation.report import Section
from fusion_pipeline.validation.subset_scores import EVERYTHING

CHECKS = {
    "subset_error": "Median error of fused subset estimates against that of the donors' own direct estimates.",
    "coverage": "Share of observed subset estimates within 90 % margins from the variance between implicates alone.",
    "real_or_fused": "How well a classifier tells fused households from real ones.",
}


@dataclass(frozen=True)
class Verdict:
    """What a check looked at, and whether it is content."""

    passed: bool
    found: float
    threshold: str


def validate_pair(
    pair: str,
    *,
    prepared: PairTables,
    plan: FusionPlan,
    seed: int,
    threads: int,
    memory_limit: int,
) -> Validation:
    """Validate a pair's plan on its own donors.

    Subsets are by the pair's forced predictors, or its disclosed locations if it has none. Spatial predictors are left
    out: the places of donors were drawn given what they answered, so to fuse them back from there would flatter.

    Parameters
    ----------
    pair : name in the registry
    prepared : its tables
    plan : its fusion plan
    seed, threads, memory_limit : as elsewhere
    """
    registry = load_registry()
    entry, settings = registry.pair(pair), registry.validation
    donor = prepared.donor
    plan = without_places(plan, entry.locations)
    held = cross_fit(
        donor,
        plan,
        folds=settings.folds,
        implicates=settings.implicates,
        seed=seed,
        threads=threads,
        memory_limit=memory_limit,
        stream_name=f"{pair} validation",
    )
    there = set(donor.columns)
    groups = [name for name in (entry.forced or entry.locations) if name in there]
    return validate(
        held.implicates,
        held.observed,
        groups=groups,
        variables=plan.variables,
        predictors=list(dict.fromkeys([*groups, *plan.predictors])),
        folds=FOLD,
        smallest=settings.smallest,
        seed=seed,
        threads=threads,
        memory_limit=memory_limit,
    )


def without_places(plan: FusionPlan, locations: Sequence[str]) -> FusionPlan:
    """Return the plan with harmonized predictors, disclosed locations and earlier fusion variables alone."""
    known = set(plan.known_after(len(plan.steps)))
    told = [name for name in plan.predictors if "__" in name or name in locations]

    def kept(step: FusionStep) -> FusionStep:
        names = [name for name in step.predictors if name in told or name in known]
        return replace(step, predictors=tuple(names or told))

    return replace(plan, steps=tuple(kept(step) for step in plan.steps))


def verdicts(summary: dict[str, float], settings: InternalValidation) -> dict[str, Verdict]:
    """Hold the figures of a validation against the registry's thresholds: one verdict for each of `CHECKS`.

    A figure that is not defined, such as the ratio to direct estimates that have no error, warns.
    """
    low, high = settings.coverage
    ratio, coverage, auc = summary["error_ratio"], summary["coverage_between"], summary["auc"]
    return {
        "subset_error": Verdict(ratio <= settings.error_ratio, ratio, f"at most {settings.error_ratio:g}"),
        "coverage": Verdict(low <= coverage <= high, coverage, f"{low:g} to {high:g}"),
        "real_or_fused": Verdict(auc <= settings.auc, auc, f"at most {settings.auc:g}"),
    }


def validation_sections(pair: str, folder: Path) -> list[Section]:
    """Tell the report what internal validation found, if it was made.

    Parameters
    ----------
    pair : name in the registry
    folder : where `Validation.write` wrote; need not exist
    """
    if not (folder / "summary.json").is_file():
        return []
    found = Validation.read(folder)
    told = {
        name: f"{value:.2f}" if np.isfinite(value) else "undefined" for name, value in found.summary.items()
    }
    fused = found.methods[(found.methods["method"] == "fused") & (found.methods["variable"] != EVERYTHING)]
    table = fused.drop(columns="method").merge(found.variables, on="variable")
    text = (
        f"Donors fused from each other in {found.estimates['fold'].nunique()} folds, so that none meets itself, and "
        "compared with what they answered, in subsets by groups and pairs of groups. The median error of fused "
        "estimates is "
        f"{told['error_percent']} %, {told['error_ratio']} times that of the other donors of the same subset; value "
        f"added is {told['value_added']} on average; 90 % margins reach a share of {told['coverage']} of the observed "
        f"estimates, those from the variance between implicates alone {told['coverage_between']}. Correlations among "
        f"fused variables are {told['fused_fused_slope']} times the observed ones, with predictors "
        f"{told['fused_predictor_slope']} times; a classifier tells fused from real households with an area under its "
        f"curve of {told['auc']} (0.5: not at all)."
    )
    text = "\n\n".join([text, *found.notes])
    return [Section("Internal validation", text, figure=found.figure(source=pair), table=table)]


def rounded(summary: dict[str, float]) -> dict[str, float | None]:
    """Round figures for the UI; what is not defined is None."""
    return {name: round(value, 4) if np.isfinite(value) else None for name, value in summary.items()}
