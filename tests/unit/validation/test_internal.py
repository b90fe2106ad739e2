"""validate() on made-up households whose distribution is known, and on what nobody should give it."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

import fusion_pipeline as fp
from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.examples import make_population
from fusion_pipeline.validation.internal import Validation
from fusion_pipeline.validation.subset_scores import EVERYTHING

GROUPS = ["group", "income"]
KEYS = ["year", "hid"]


def drawn(like: pd.DataFrame, implicates: int = 6) -> pd.DataFrame:
    """Draw implicates from the true conditional distribution (see `make_population`)."""
    parts = []
    for m in range(1, implicates + 1):
        random = np.random.default_rng(100 + m)
        group, n = like["group"].cat.codes.to_numpy(float), len(like)
        size = 100 + 30 * group + 10 * like["income"].to_numpy() + random.normal(scale=10, size=n)
        cool = np.where(random.random(n) < 0.25 + 0.25 * group, "yes", "no")
        parts.append(like[KEYS].assign(size=size.round(), cool=cool, implicate=m))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def observed() -> pd.DataFrame:
    return make_population(1_200, 1)


@pytest.fixture(scope="module")
def fused(observed) -> pd.DataFrame:
    return drawn(observed)


@pytest.fixture(scope="module")
def donors() -> pd.DataFrame:
    return make_population(1_200, 2)


@pytest.fixture(scope="module")
def perfect(fused, observed, donors) -> Validation:
    return fp.validate(fused, observed, groups=GROUPS, donors=donors)


@pytest.fixture(scope="module")
def shuffled(fused, observed, donors) -> Validation:
    """Implicates whose answers were dealt out among the households by chance."""
    dealt = fused.copy()
    for m, rows in dealt.groupby("implicate").indices.items():
        order = np.random.default_rng(m).permutation(rows)
        dealt.loc[rows, ["size", "cool"]] = dealt.loc[order, ["size", "cool"]].to_numpy()
    return fp.validate(dealt.astype({"size": float}), observed, groups=GROUPS, donors=donors)


def test_draws_from_the_truth_err_no_more_than_sampling_has_it(perfect, observed) -> None:
    size = perfect.estimates[perfect.estimates["variable"] == "size"]
    # What is left is the sampling error of the observed means: residual sd 10, so 10 / sqrt(n).
    off = (size["fused"] - size["observed"]) * np.sqrt(size["households"]) / 10
    assert 0.7 < np.sqrt((off**2).mean()) < 1.4
    [error] = perfect.methods.query("variable == 'size' and method == 'fused'")["error_percent"]
    [direct] = perfect.methods.query("variable == 'size' and method == 'direct'")["error_percent"]
    assert error < 0.85 * direct


def test_draws_from_the_truth_keep_dependence_and_pass_for_real(perfect) -> None:
    assert perfect.summary["fused_predictor_slope"] == pytest.approx(1, abs=0.1)
    assert perfect.summary["fused_fused_slope"] == pytest.approx(1, abs=0.2)
    assert perfect.summary["auc"] == pytest.approx(0.5, abs=0.04)
    assert perfect.summary["distance"] < 0.03


def test_margins_of_draws_from_the_truth_reach_the_observed_estimates(perfect) -> None:
    assert 0.8 < perfect.summary["coverage_between"] <= 1
    assert perfect.summary["coverage"] >= perfect.summary["coverage_between"]
    assert 1 < perfect.summary["relative_uncertainty"] < 2


def test_answers_dealt_out_by_chance_add_nothing_and_are_found_out(perfect, shuffled) -> None:
    assert shuffled.summary["value_added"] < 0.15
    assert abs(shuffled.summary["fused_predictor_slope"]) < 0.1
    assert shuffled.summary["auc"] > 0.75
    assert shuffled.summary["coverage"] < perfect.summary["coverage"]
    # Every distribution by itself is as it was.
    pd.testing.assert_frame_equal(shuffled.variables, perfect.variables, atol=0.02)


def test_simpler_methods_are_worth_what_they_know(perfect) -> None:
    added = perfect.methods[perfect.methods["variable"] == "size"].set_index("method")["value_added"]
    assert added["fused"] > added["direct"] > added["random"]
    assert added["fused"] > added["neighbour"] > added["random"]
    assert added["random"] < 0.2
    assert added["grand"] == 0


def test_every_estimate_has_its_subset_and_the_figure_its_lines(perfect) -> None:
    assert perfect.estimates["by"].unique().tolist() == ["group", "income", "group x income"]
    assert (perfect.estimates["households"] >= 30).all()
    shares = perfect.estimates.query("by == 'group' and variable == 'size'")["share"]
    assert shares.sum() == pytest.approx(1)
    for variable in (EVERYTHING, "size"):
        assert Image.open(io.BytesIO(perfect.figure(variable))).width > 600
    with pytest.raises(AnalysisError, match="tall"):
        perfect.figure("tall")


def test_result_is_read_as_it_was_written(perfect, tmp_path) -> None:
    perfect.write(tmp_path / "found")
    again = Validation.read(tmp_path / "found")
    assert again.summary == perfect.summary and again.notes == perfect.notes
    pd.testing.assert_frame_equal(again.methods, perfect.methods, check_dtype=False)
    assert repr(again) == repr(perfect)


@pytest.fixture
def few(observed, fused) -> tuple[pd.DataFrame, pd.DataFrame]:
    own = observed.head(200)
    return own.copy(), fused[fused["hid"].isin(own["hid"]) & (fused["implicate"] <= 3)].copy()


@pytest.mark.parametrize("kind", ["arrow", "relation", "folder"])
def test_implicates_come_in_any_form(kind, few, tmp_path) -> None:
    observed, fused = few
    table = pa.Table.from_pandas(fused, preserve_index=False)
    if kind == "relation":
        import duckdb

        table = duckdb.connect().from_arrow(table)
    if kind == "folder":
        for m, part in fused.groupby("implicate"):
            folder = tmp_path / f"implicate={m:02d}"
            folder.mkdir()
            part.drop(columns="implicate").to_parquet(folder / "part-0.parquet")
        table = tmp_path
    found = fp.validate(table, observed, groups=["group"], variables=["size"])
    known = fused.merge(observed[["hid", "group", "weight"]], on="hid")
    sums = known.assign(size=known["size"] * known["weight"]).groupby("group", observed=True)
    np.testing.assert_allclose(found.estimates["fused"], sums["size"].sum() / sums["weight"].sum())
    assert found.estimates["direct"].isna().all() and np.isnan(found.summary["error_ratio"])


def refused(fused, observed, match: str, **given) -> None:
    with pytest.raises(AnalysisError, match=match):
        fp.validate(fused, observed, **{"groups": ["group"], **given})


def test_unequal_implicates_are_refused_by_number(few) -> None:
    observed, fused = few
    refused(fused.iloc[1:], observed, r"implicate 1: has 199 of the 200 observed households")


def test_group_that_is_in_one_implicate_only_is_refused(few) -> None:
    observed, fused = few
    gone = observed.loc[observed["group"] == "c", "hid"]
    only_first = fused[(fused["implicate"] == 1) | ~fused["hid"].isin(gone)]
    refused(only_first, observed, r"implicate 2: has \d+ of the 200")


def test_missing_implicate_is_named(few) -> None:
    observed, fused = few
    refused(fused[fused["implicate"] != 2], observed, "lack number 2")
    refused(fused[fused["implicate"] == 1], observed, "are 1: nothing can be said")


def test_missing_fused_value_is_refused(few) -> None:
    observed, fused = few
    fused.iloc[0, fused.columns.get_loc("size")] = np.nan
    refused(fused, observed, "implicate 1, variable size: has 1 missing")


def test_missing_answer_leaves_its_household_out_of_that_variable_on_both_sides(few) -> None:
    observed, fused = few
    observed.loc[observed.index[:50], "size"] = None
    found = fp.validate(fused, observed, groups=["group"])
    without = fp.validate(
        fused[fused["hid"].isin(observed["hid"].iloc[50:])], observed.iloc[50:], groups=["group"]
    )
    sizes = [v.estimates[v.estimates["variable"] == "size"] for v in (found, without)]
    np.testing.assert_allclose(sizes[0]["fused"], sizes[1]["fused"])
    np.testing.assert_allclose(sizes[0]["observed"], sizes[1]["observed"])
    assert any("size: 50 households without an observed answer" in note for note in found.notes)


def test_small_subsets_are_counted_and_one_household_has_no_margin(few) -> None:
    observed, fused = few
    observed["alone"] = np.where(observed["hid"] == observed["hid"].iloc[7], "one", "rest")
    found = fp.validate(fused, observed, groups=["alone"])
    assert found.estimates["subset"].unique().tolist() == ["rest"]
    assert any(note.startswith("1 subsets have fewer than 30") for note in found.notes)
    kept = fp.validate(fused, observed, groups=["alone"], smallest=1)
    [one] = kept.estimates.query("subset == 'one' and variable == 'size'").itertuples()
    assert one.households == 1 and np.isnan(one.margin) and np.isfinite(one.margin_between)
    refused(fused, observed, "no subset of 300 households", smallest=300)


def test_household_without_weight_is_in_no_subset(few) -> None:
    observed, fused = few
    observed.loc[observed["group"] == "a", "weight"] = 0
    found = fp.validate(fused, observed, groups=["group"])
    assert found.estimates["subset"].unique().tolist() == ["b", "c"]
    assert any("of weight zero are in no subset" in note for note in found.notes)
    refused(fused, observed.assign(weight=0.0), "zero everywhere")
    refused(fused, observed.assign(weight=-1.0), "weight")
    refused(fused, observed.assign(weight=np.nan), "weight")


def test_variable_that_is_the_same_everywhere_has_an_error_and_no_value_added(few) -> None:
    observed, fused = few
    found = fp.validate(fused.assign(size=5.0), observed.assign(size=5.0), groups=["group"])
    [size] = found.methods.query("variable == 'size' and method == 'fused'").itertuples()
    assert size.error_percent < 1e-9 and np.isnan(size.value_added) and np.isnan(size.relative_uncertainty)
    assert any("size is the same for all" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "given", "match"),
    [
        ({}, {"groups": ["nowhere"]}, "column nowhere"),
        ({}, {"groups": []}, "groups"),
        ({}, {"groups": ["cool"], "variables": ["cool"]}, "is a fusion variable"),
        ({}, {"variables": ["fuel"]}, "variable fuel: is not in the implicates"),
        ({}, {"level": 90}, "level 90"),
        ({}, {"weight": "mass"}, "column mass"),
        ({}, {"memory_limit": 1 << 10}, "memory|MB"),
        ({"size": "text"}, {}, "categorical in the observed table and numeric"),
        ({"hid": 1}, {}, "more than once"),
    ],
)
def test_what_cannot_be_compared_is_named(few, change, given, match) -> None:
    observed, fused = few
    refused(fused, observed.assign(**change), match, **given)


def test_truth_values_are_compared_whatever_their_words(few) -> None:
    observed, fused = few
    observed["cool"], fused["cool"] = observed["cool"] == "yes", fused["cool"] == "yes"
    found = fp.validate(fused, observed, groups=["group"], variables=["cool"])
    assert found.estimates["level"].unique().tolist() == ["false", "true"]
    assert found.estimates["observed"].between(0.05, 0.95).all()
