"""Estimates against published figures: what the measures say of worlds where it is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline import compare
from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.validation.external_figures import against_published

Z90 = 1.645


def world(n: int = 3_000, bias: float = 0.0, published_error: float = 0.0, seed: int = 4):
    """Areas with a true value, an estimate with its margin, and a published figure with its own."""
    rng = np.random.default_rng(seed)
    area = [f"{i:05d}" for i in range(n)]
    truth, error = rng.normal(100, 20, n), rng.uniform(2, 10, n)
    estimates = pd.DataFrame(
        {"area": area, "estimate": truth * (1 + bias) + error * rng.normal(size=n), "margin": Z90 * error}
    )
    published = pd.DataFrame({"area": area, "published": truth + published_error * rng.normal(size=n)})
    return estimates, published.assign(published_margin=Z90 * published_error)


@pytest.mark.parametrize("published_error", [0.0, 8.0])
def test_margins_that_are_right_hold_nine_figures_in_ten(published_error) -> None:
    found = compare(*world(published_error=published_error), ["area"])
    assert found.agreement.inside == pytest.approx(0.9, abs=0.015)
    assert found.agreement.bias == pytest.approx(0, abs=0.005)
    assert found.agreement.areas == len(found.table) == 3_000


def test_bias_and_error_of_estimates_that_are_too_high() -> None:
    estimates, published = world(bias=0.25)
    exact = estimates.assign(estimate=1.25 * published["published"])
    found = compare(exact, published, ["area"]).agreement
    assert found.bias == pytest.approx(0.25)
    assert found.median_error == pytest.approx(0.25)
    assert found.correlation == pytest.approx(1) and found.rank_correlation == pytest.approx(1)
    assert found.slope == pytest.approx(1.25)


def test_estimates_that_lie_half_way_to_the_mean_of_all_have_a_slope_of_a_half_whatever_their_order() -> None:
    estimates, published = world(50)
    middle = published["published"].mean()
    flat = estimates.assign(estimate=(published["published"] + middle) / 2)
    found = compare(flat, published, ["area"]).agreement
    assert (found.slope, found.correlation) == (pytest.approx(0.5), pytest.approx(1))
    assert np.isnan(compare(flat[:2], published, ["area"]).agreement.slope)


def test_correlations_are_those_of_pandas() -> None:
    estimates, published = world(400)
    found = compare(estimates, published, ["area"]).agreement
    both = estimates.merge(published, on="area")
    for kind, value in (("pearson", found.correlation), ("spearman", found.rank_correlation)):
        assert value == pytest.approx(both["estimate"].corr(both["published"], method=kind))


def test_a_weight_counts_an_area_as_often() -> None:
    estimates, published = world(40)
    weight = np.arange(40) % 3 + 1
    found = compare(estimates, published.assign(weight=weight), ["area"]).agreement
    rows = np.repeat(np.arange(40), weight)
    again = [frame.iloc[rows].assign(area=np.arange(len(rows))) for frame in (estimates, published)]
    expected = compare(*again, ["area"]).agreement
    assert found.correlation == pytest.approx(expected.correlation)
    assert found.slope == pytest.approx(expected.slope)
    assert found.bias == pytest.approx(expected.bias)


@settings(max_examples=25)
@given(st.floats(0.001, 1_000), st.floats(0.001, 1_000))
def test_units_mean_nothing(factor: float, unit: float) -> None:
    estimates, published = world(25)
    plain = compare(estimates, published, ["area"]).agreement
    scaled = published.assign(published=published["published"] * unit, published_margin=0.0)
    smaller = estimates.assign(
        estimate=estimates["estimate"] * unit / factor, margin=estimates["margin"] * unit / factor
    )
    found = compare(smaller, scaled, ["area"], factor=factor).agreement
    for name in ("correlation", "rank_correlation", "slope", "median_error", "bias", "inside"):
        assert getattr(found, name) == pytest.approx(getattr(plain, name), rel=1e-6, abs=1e-9)


def test_areas_of_one_table_only_are_counted_and_left_out() -> None:
    estimates, published = world(10)
    estimates.loc[0, "estimate"] = np.nan
    found = compare(estimates.head(8), published.tail(7), ["area"])
    assert found.table["area"].tolist() == [f"{i:05d}" for i in range(3, 8)]
    assert (found.agreement.only_estimated, found.agreement.only_published) == (2, 2)


def test_two_areas_have_no_correlation_and_one_nation_needs_no_column() -> None:
    estimates, published = world(2)
    assert np.isnan(compare(estimates, published, ["area"]).agreement.correlation)
    nation = compare(pd.DataFrame({"estimate": [110.0]}), pd.DataFrame({"published": [100.0]}), [])
    assert nation.agreement.median_error == pytest.approx(0.1)
    assert np.isnan(nation.agreement.inside)


def test_a_figure_of_zero_has_no_relative_error() -> None:
    estimates, published = world(9)
    published.loc[0, "published"] = 0.0
    found = compare(estimates, published, ["area"])
    assert found.table["relative_error"].isna().tolist() == [True] + [False] * 8
    assert np.isfinite(found.agreement.median_error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e, p: (e.rename(columns={"area": "state"}), p), "estimates: have no column area"),
        (lambda e, p: (e, p.drop(columns="published")), "published figures: have no column published"),
        (lambda e, p: (pd.concat([e, e.head(1)]), p), "00000 more than once"),
        (lambda e, p: (e, p.assign(area="x" + p["area"])), "no area in common: 00000"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change, message) -> None:
    with pytest.raises(AnalysisError, match=message):
        compare(*change(*world(5)), ["area"])


def test_figure_is_a_small_image_the_same_every_time() -> None:
    found = compare(*world(51), ["area"])
    first = found.plot(title="Price", unit="dollars", source="made up")
    assert first[:4] == b"\x89PNG"
    assert first == found.plot(title="Price", unit="dollars", source="made up")


def test_national_areas_fit_into_the_event_log() -> None:
    panels = [("Price", "dollars", compare(*world(2_351, seed=s), ["area"])) for s in range(4)]
    assert len(against_published(panels)) < 50_000
