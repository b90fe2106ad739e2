"""What of a pair's validation warns, and what its report says."""

import math

import pandas as pd
import pytest
from pydantic import ValidationError

import fusion_pipeline as fp
from fusion_pipeline.examples import make_population
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep
from fusion_pipeline.registry import InternalValidation, load_registry
from fusion_pipeline.validation.pair_validation import (
    CHECKS,
    rounded,
    validation_sections,
    verdicts,
    without_places,
)

SETTINGS = load_registry().validation
GOOD = {"error_ratio": 0.7, "coverage_between": 0.9, "auc": 0.55}


def test_figures_within_the_thresholds_of_the_registry_pass() -> None:
    found = verdicts(GOOD, SETTINGS)
    assert set(found) == set(CHECKS)
    assert all(verdict.passed for verdict in found.values())


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"error_ratio": 1.2}, "subset_error"),
        ({"error_ratio": math.nan}, "subset_error"),
        ({"coverage_between": 0.6}, "coverage"),
        ({"coverage_between": 1.0}, "coverage"),
        ({"auc": 0.8}, "real_or_fused"),
    ],
)
def test_figure_beyond_its_threshold_warns_alone(change, check) -> None:
    found = verdicts(GOOD | change, SETTINGS)
    assert [name for name, verdict in found.items() if not verdict.passed] == [check]


@pytest.mark.parametrize("change", [{"folds": 1}, {"coverage": (0.9, 0.8)}, {"auc": 0.4}, {"error_ratio": 0}])
def test_settings_that_cannot_be_are_refused(change) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        InternalValidation.model_validate(SETTINGS.model_dump() | change)


def test_report_has_a_section_once_the_pair_was_validated(tmp_path) -> None:
    assert validation_sections("A__B", tmp_path / "none") == []
    observed = make_population(300, 1)
    implicates = [observed.assign(size=observed["size"] + m, implicate=m) for m in (1, 2)]
    fp.validate(pd.concat(implicates), observed, groups=["group"], variables=["size"]).write(
        tmp_path / "found"
    )
    [section] = validation_sections("A__B", tmp_path / "found")
    assert section.figure.startswith(b"\x89PNG")
    assert section.table["variable"].tolist() == ["size"]
    # Without donors nothing is known about direct estimates.
    assert "undefined times that of the other donors" in section.text


def test_what_is_not_defined_is_none_in_the_ui() -> None:
    assert rounded({"auc": 0.543219, "error_ratio": math.nan}) == {"auc": 0.5432, "error_ratio": None}


def test_donors_are_not_fused_back_from_places_that_their_answers_gave():
    plan = FusionPlan(
        (
            FusionStep(("use",), ("size__rooms", "price_of_puma", "division")),
            FusionStep(("cost",), ("price_of_puma", "use")),
            FusionStep(("rate",), ("price_of_puma",)),
        )
    )
    kept = without_places(plan, ["division"])
    assert [step.predictors for step in kept.steps] == [
        ("size__rooms", "division"),
        ("use",),
        ("size__rooms", "division"),
    ]
