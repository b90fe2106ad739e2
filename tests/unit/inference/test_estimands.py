"""Estimands and their variances against formulas worked out record by record, and against known truth."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.inference.bounds import correlation, frechet
from fusion_pipeline.inference.distribution import Gini, Quantile
from fusion_pipeline.inference.estimands import Statistic, split
from fusion_pipeline.inference.estimators import Sample
from fusion_pipeline.inference.sensitivity import sensitivity
from fusion_pipeline.inference.weights import Weights, scale_of
from fusion_pipeline.storage.tables import categorical, write_table

REPLICATES = [f"rep_{r}" for r in range(1, 7)]
TENURE = ["own", "rent"]


@pytest.fixture(scope="module")
def world():
    """Sixty households, three implicates of income, rooms and tenure; two of the households' columns are observed."""
    rng = np.random.default_rng(5)
    n = 60
    static = pa.table(
        {
            "hid": pa.array(np.arange(n)),
            "weight": rng.uniform(1, 9, n),
            "state": categorical(rng.integers(0, 2, n), ["01", "02"]),
            "age": pa.array(rng.integers(20, 80, n), pa.int16()),
            **{r: rng.uniform(0, 12, n) for r in REPLICATES},
        }
    )
    parts = []
    for m in (1, 2, 3):
        income = rng.gamma(2, 20, n)
        parts.append(
            pa.table(
                {
                    "implicate": pa.array(np.full(n, m), pa.int16()),
                    "hid": static["hid"],
                    "income": income,
                    "rooms": 3 + income / 20 + rng.normal(size=n),
                    "tenure": categorical((rng.uniform(size=n) < 0.4).astype(int), TENURE),
                }
            )
        )
    return pa.concat_tables(parts), static


def _records(world) -> list[pd.DataFrame]:
    frame = world[0].to_pandas().merge(world[1].to_pandas(), on="hid")
    return [part.reset_index(drop=True) for _, part in frame.groupby("implicate")]


def _formula(name: str):
    def ratio(f, w):
        return (w * f["income"]).sum() / (w * f["rooms"]).sum()

    def r(f, w):
        return np.cov(f["income"], f["rooms"], aweights=w)[0, 1] / np.sqrt(
            np.cov(f["income"], aweights=w) * np.cov(f["rooms"], aweights=w)
        )

    def gini(f, w):
        x = f["income"].to_numpy()
        return (np.outer(w, w) * np.abs(x[:, None] - x)).sum() / (2 * w.sum() * (w * x).sum())

    def slope(f, w):
        x = np.column_stack([np.ones(len(f)), f["income"], f["tenure"] == "rent"]).astype(float)
        return np.linalg.solve((x * w[:, None]).T @ x, (x * w[:, None]).T @ f["rooms"])[1]

    def logit(f, w):
        from scipy.optimize import minimize

        x = np.column_stack([np.ones(len(f)), f["income"] / 50])
        y = (f["rooms"] > 5).to_numpy(float)

        def loss(b):
            return (w * (np.logaddexp(0, x @ b) - y * (x @ b))).sum()

        return minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-9}).x[1] / 50

    return {"ratio": ratio, "correlation": r, "gini": gini, "linear": slope, "logistic": logit}[name]


TEXTS = {
    "ratio": "ratio(income, rooms)",
    "correlation": "correlation(income, rooms)",
    "gini": "gini(income)",
    "linear": "linear(rooms ~ income + tenure)",
    "logistic": "logistic(rooms > 5 ~ income)",
}


@pytest.mark.parametrize("name", TEXTS)
def test_estimates_are_the_mean_over_implicates_of_the_textbook_formula(world, name):
    found = analyze(*world, estimates=[TEXTS[name]]).table
    row = found[found["level"] == "income"].iloc[0] if "~" in TEXTS[name] else found.iloc[0]
    expected = np.mean([_formula(name)(f, f["weight"].to_numpy()) for f in _records(world)])
    assert row["estimate"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["ratio", "correlation", "gini", "linear"])
def test_linearised_variances_are_those_of_numerical_derivatives_by_weight(world, name):
    """Var = n/(n - 1) sum (w z)^2, z the derivative of the estimate by a record's weight."""
    found = analyze(*world, estimates=[TEXTS[name]], rule="rubin").table
    row = found[found["level"] == "income"].iloc[0] if "~" in TEXTS[name] else found.iloc[0]
    q, u = [], []
    for f in _records(world):
        w = f["weight"].to_numpy()
        value = _formula(name)(f, w)
        z = np.empty(len(w))
        for i in range(len(w)):
            step = np.zeros(len(w))
            step[i] = 1e-4 * w[i]
            z[i] = (_formula(name)(f, w + step) - _formula(name)(f, w - step)) / (2 * step[i])
        q.append(value)
        u.append(len(w) / (len(w) - 1) * ((w * z) ** 2).sum())
    assert row["standard_error"] == pytest.approx(np.sqrt(np.mean(u) + 4 / 3 * np.var(q, ddof=1)), rel=1e-4)


@pytest.mark.parametrize("name", ["ratio", "correlation", "gini", "linear"])
def test_replicate_variances_use_every_replicate_in_every_implicate(world, name):
    found = analyze(
        *world, estimates=[TEXTS[name]], rule="rubin", replicate_weights=REPLICATES, replicate_method="jk1"
    ).table
    row = found[found["level"] == "income"].iloc[0] if "~" in TEXTS[name] else found.iloc[0]
    q, u = [], []
    for f in _records(world):
        q.append(_formula(name)(f, f["weight"].to_numpy()))
        again = [_formula(name)(f, f[r].to_numpy()) for r in REPLICATES]
        u.append(5 / 6 * np.sum((np.array(again) - q[-1]) ** 2))
    assert row["standard_error"] == pytest.approx(np.sqrt(np.mean(u) + 4 / 3 * np.var(q, ddof=1)), rel=1e-4)


def test_replication_factors_are_those_of_the_textbooks():
    assert scale_of("sdr", 80) == pytest.approx(4 / 80)
    assert scale_of("fay", 96, 0.5) == pytest.approx(4 / 96)
    assert scale_of("brr", 48) == pytest.approx(1 / 48)
    assert scale_of("jk1", 10) == pytest.approx(0.9)


def test_ratio_by_balanced_replication_worked_out_by_hand():
    """Three strata of two units, four balanced half samples: doubled weights of one unit a stratum."""
    arrests, alive = np.array([120, 78, 185, 228, 670, 530.0]), np.array([25, 24, 30, 49, 80, 70.0])
    halves = np.array([[1, 0, 1, 0, 1, 0], [1, 0, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1], [0, 1, 0, 1, 1, 0]])
    columns = {f"rep_{r + 1}": 2.0 * half for r, half in enumerate(halves)}
    table = pa.table(
        {"implicate": [1] * 6 + [2] * 6, "hid": [*range(6)] * 2, "arrests": [*arrests] * 2, "alive": [*alive] * 2,
         "weight": np.ones(12), **{name: [*half] * 2 for name, half in columns.items()}}
    )  # fmt: skip
    found = analyze(
        table, estimates=["ratio(alive, arrests)"], replicate_weights=list(columns), replicate_method="brr"
    ).table
    ratio = 278 / 1811
    again = np.array([(half @ alive) / (half @ arrests) for half in halves])
    assert found["estimate"][0] == pytest.approx(ratio)
    assert found["standard_error"][0] == pytest.approx(np.sqrt(np.mean((again - ratio) ** 2)))


def test_quantiles_invert_the_weighted_distribution():
    x, w = np.array([5.0, 1, 3, 2, 9]), np.array([1.0, 2, 1, 1, 1])
    sample = Sample(np.zeros(5, int), 1, np.arange(5), Weights(w, np.empty((5, 0), np.float32)), {"x": x}, {})
    found = {p: Quantile(("x",), p=p).within(sample).estimate[0, 0] for p in (0.2, 0.5, 0.6, 0.99)}
    # Weights in order of x: 1 (2), 2 (1), 3 (1), 5 (1), 9 (1): half of the weight is reached with 2, exactly.
    assert found == {0.2: 1, 0.5: 2.5, 0.6: 3, 0.99: 9}


def test_a_shared_equal_income_has_no_gini_and_one_owner_has_almost_one():
    def gini(x):
        w = Weights(np.ones(len(x)), np.empty((len(x), 0), np.float32))
        sample = Sample(np.zeros(len(x), int), 1, np.arange(len(x)), w, {"x": np.array(x, float)}, {})
        return Gini(("x",)).within(sample).estimate[0, 0]

    assert gini([4, 4, 4]) == pytest.approx(0)
    assert gini([0] * 99 + [1]) == pytest.approx(0.99)


def test_shares_of_the_total_sum_to_one(world):
    found = analyze(*world, estimates=["share(income)"], by=["state", "tenure"]).table
    assert found["estimate"].sum() == pytest.approx(1)
    assert (found["margin"] > 0).all()


def _simulated(seed: int, n: int, implicates: int = 2) -> pa.Table:
    """One simple random sample as implicates that agree: intervals are those of the sample alone."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(200), n)
    x = rng.lognormal(0, 0.7, len(group))
    part = {"hid": np.arange(len(group)), "g": group, "x": x, "w": rng.choice([1.0, 2.0, 3.0], len(group))}
    return pa.concat_tables([pa.table({"implicate": [m] * len(group), **part}) for m in range(implicates)])


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("mean(x)", np.exp(0.7**2 / 2)),
        ("median(x)", 1.0),
        ("quantile(x, 0.8)", np.exp(0.7 * 0.8416212)),
        ("gini(x)", 0.3793816),  # erf(sigma / 2) of a log-normal
        ("proportion(x > 2)", 0.1610410),
    ],
)
def test_ninety_percent_intervals_of_a_sample_cover_the_truth_nine_times_in_ten(text, truth):
    found = analyze(_simulated(11, 150), estimates=[text], by=["g"], weight="w").table
    if found["level"].notna().any():
        found = found[found["level"] == "True"]
    covered = (np.abs(found["estimate"] - truth) <= found["margin"]).mean()
    # 200 groups: a binomial error of 2.1 points.
    assert 0.84 <= covered <= 0.96


def test_a_users_own_function_gets_the_bootstrap_and_agrees_with_the_formula(world):
    own = Statistic("own mean", ["income"], lambda f, w: float(np.average(f["income"], weights=w)))
    both = analyze(*world, estimates=[own, "mean(income)"]).table
    assert both["estimate"][0] == pytest.approx(both["estimate"][1])
    assert both["standard_error"][0] == pytest.approx(both["standard_error"][1], rel=0.15)
    named = Statistic("ends", ["income", "tenure"], lambda f, w: {"low": f["income"].min(), "n": len(f)})
    found = analyze(*world, estimates=[named], replicate_weights=REPLICATES).table
    assert found["level"].tolist() == ["low", "n"]


def test_cube_has_every_crossing_and_totals_are_those_of_the_analysis_without_groups(world):
    found = analyze(
        *world, estimates=["sum(income)", "mean(income)"], by=["state", "tenure"], totals="cube"
    ).table
    assert len(found) == 2 * (4 + 2 + 2 + 1)
    whole = analyze(*world, estimates=["sum(income)", "mean(income)"]).table
    last = found[(found["state"] == "(all)") & (found["tenure"] == "(all)")]
    for name in ("estimate", "margin"):
        np.testing.assert_allclose(last[name], whole[name])
    sums = found[found["estimand"] == "sum(income)"]
    parts = sums[(sums["state"] != "(all)") & (sums["tenure"] != "(all)")]
    assert parts["estimate"].sum() == pytest.approx(whole["estimate"][0])
    rollup = analyze(*world, estimates=["mean(income)"], by=["state", "tenure"], totals="rollup").table
    assert len(rollup) == 4 + 2 + 1


def test_derived_variables_filters_and_expressions_are_computed_record_by_record(world):
    found = analyze(
        *world,
        estimates=["mean(burden)", "mean(income > 40)", "proportion(income > 40)"],
        derive={"thousands": "income / 1000", "burden": "thousands / rooms"},
        where="tenure = 'rent' AND age BETWEEN 30 AND 60",
    ).table
    means, shares = [], []
    for f in _records(world):
        f = f[(f["tenure"] == "rent") & f["age"].between(30, 60)]
        means.append(np.average(f["income"] / 1000 / f["rooms"], weights=f["weight"]))
        shares.append(np.average(f["income"] > 40, weights=f["weight"]))
    assert found["estimate"][0] == pytest.approx(np.mean(means))
    assert found["estimate"][1] == pytest.approx(np.mean(shares))
    assert found.set_index("level")["estimate"]["True"] == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(
    "text",
    [
        "income) FROM read_csv('/etc/passwd') --",
        "(SELECT max(income) FROM implicate_table_i)",
        "income > (SELECT 1)",
        "read_text('/etc/passwd')",
        "getenv('HOME')",
        "sum(income) OVER ()",
        "income; DROP TABLE x",
        "income, age",
        "random()",
        "*",
        "$1",
        "i.income",
        "income) AS e, (age",
        "nextval('s')",
        "CAST(income AS UUID)",
    ],
)
def test_an_expression_is_an_expression_and_nothing_else(world, text):
    with pytest.raises(AnalysisError):
        analyze(*world, estimates=["mean(age)"], where=f"{text}")
    with pytest.raises(AnalysisError):
        analyze(*world, estimates=["mean(age)"], derive={"new": text})


def test_commas_and_marks_inside_parentheses_and_quotes_do_not_split():
    assert split("round(a, 1), 'x,y', b", ",") == ["round(a, 1)", "'x,y'", "b"]


def test_every_estimate_says_whether_it_rests_on_fused_variables(world):
    found = analyze(*world, estimates=["mean(age)", "mean(income)"]).table
    assert found["source"].tolist() == ["observed", "fused"]
    by_fused = analyze(*world, estimates=["mean(age)"], by=["tenure"], sources={"age": "imputed"}).table
    assert set(by_fused["source"]) == {"fused"}
    assert (
        analyze(*world, estimates=["mean(age)"], sources={"age": "imputed"}).table["source"][0] == "imputed"
    )


# Bad input


def _with(table: pa.Table, name: str, values) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def test_a_missing_implicate_is_an_error(world):
    fused, static = world
    two = fused.filter(pa.compute.not_equal(fused["implicate"], 2))
    with pytest.raises(AnalysisError, match="lack number 2 of 1 to 3"):
        analyze(two, static, estimates=["mean(income)"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicate_weights": REPLICATES[:5], "replicate_count": 6}, "are 5, the design has 6"),
        ({"replicate_weights": ["rep_1"]}, "at least two"),
        ({"replicate_weights": ["rep_1", "rep_1"]}, "name a column twice"),
        ({"replicate_weights": ["rep_1", "state"]}, "not numeric"),
        ({"rule": "nested"}, "implicates in nests"),
        ({"totals": "all"}, "none, rollup, cube"),
        ({"level": 90}, "between 0 and 1"),
        ({"where": "income"}, "is not a condition"),
        ({"derive": {"age": "1"}}, "is a column already"),
        ({"sources": {"age": "guessed"}}, "observed, imputed, fused"),
    ],
)
def test_a_wrong_option_is_an_error_that_says_what_is_right(world, options, message):
    with pytest.raises(AnalysisError, match=message):
        analyze(*world, estimates=["mean(age)"], **options)


@pytest.mark.parametrize(
    "text",
    ["quantile(age, 2)", "quantile(age)", "ratio(age)", "linear(age)", "linear(age ~ )", "mean(age, age)"],
)
def test_a_malformed_estimand_is_an_error(world, text):
    with pytest.raises(AnalysisError):
        analyze(*world, estimates=[text])


def test_records_without_weight_count_for_nothing_and_groups_of_such_are_absent(world):
    fused, static = world
    weight = np.where(np.array(static["state"].to_pylist()) == "01", 0.0, static["weight"].to_numpy())
    found = analyze(fused, _with(static, "weight", weight), estimates=["mean(income)"], by=["state"]).table
    assert found["state"].tolist() == ["02"]
    assert found["n"][0] == (weight > 0).sum()
    with pytest.raises(AnalysisError, match="no group has a record with weight"):
        analyze(fused, _with(static, "weight", 0 * weight), estimates=["mean(income)"])


@pytest.mark.parametrize(("name", "value"), [("weight", None), ("weight", -1.0), ("rep_3", None)])
def test_weights_that_are_missing_or_negative_are_errors(world, name, value):
    fused, static = world
    broken = _with(static, name, [value, *static[name].to_pylist()[1:]])
    with pytest.raises(AnalysisError, match=r"missing|negative"):
        analyze(fused, broken, estimates=["mean(age)"], replicate_weights=REPLICATES)


def test_a_variable_that_is_the_same_everywhere_has_no_margin_to_speak_of(world):
    fused, static = world
    found = analyze(
        fused, static, estimates=["mean(one)", "median(one)", "correlation(one, income)", "mean(income)"],
        derive={"one": "income * 0 + 1"},
    )  # fmt: skip
    assert found.table["estimand"].tolist() == ["mean(one)", "median(one)", "mean(income)"]
    assert found.table["margin"].tolist()[:2] == [0, 0]
    assert found.notes == ("correlation(one, income) is not defined in any group.",)


def test_a_group_of_one_household_has_an_estimate_and_no_margin(world):
    found = analyze(
        *world, estimates=["mean(income)", "median(income)", "gini(income)"], where="hid = 7"
    ).table
    assert found["estimate"].notna().all()
    assert found["margin"].isna().all()
    assert (found["n"] == 1).all()


@pytest.mark.parametrize("replicates", [[], REPLICATES])
def test_a_household_alone_in_its_group_leaves_the_other_group_as_it_is(world, replicates):
    fused, static = world
    options = {"estimates": ["mean(income)", "proportion(tenure)"], "replicate_weights": replicates}
    both = analyze(fused, static, by=["hid = 7"], **options).table
    rest = analyze(fused, static, where="hid <> 7", **options).table
    alone = both[both["hid = 7"].astype(str).str.lower() == "true"]
    assert len(alone) == 3
    assert alone["estimate"].notna().all()
    assert alone["margin"].isna().all()
    others = both.drop(alone.index)
    np.testing.assert_allclose(others["margin"].to_numpy(float), rest["margin"].to_numpy(float))


def test_a_share_of_one_household_has_a_margin_where_the_rule_asks_for_no_degrees_of_freedom(world):
    found = analyze(*world, estimates=["proportion(tenure)"], where="hid = 7", rule="rubin").table
    assert (found["margin"] > 0).all()


@pytest.mark.parametrize("replicates", [[], REPLICATES])
def test_regression_on_what_does_not_vary_is_not_defined_and_says_so(world, replicates):
    options = {"derive": {"one": "age * 0 + 1"}, "replicate_weights": replicates}
    found = analyze(*world, estimates=["mean(age)", "linear(income ~ age + one)"], **options)
    assert found.table["estimand"].tolist() == ["mean(age)"]
    assert found.notes == ("linear(income ~ age + one) is not defined in any group.",)
    with pytest.raises(AnalysisError, match="the same everywhere"):
        analyze(*world, estimates=["linear(income ~ age + one)"], **options)


def test_a_variable_missing_in_an_implicate_is_pooled_over_the_others(world):
    fused, static = world
    income = np.where(np.array(fused["implicate"]) == 2, np.nan, np.array(fused["income"]))
    found = analyze(_with(fused, "income", income), static, estimates=["mean(income)", "mean(rooms)"]).table
    assert found["M"].tolist() == [2, 3]
    means = [np.average(f["income"], weights=f["weight"]) for f in _records(world)]
    assert found["estimate"][0] == pytest.approx(np.mean([means[0], means[2]]))


def test_missing_values_leave_every_estimand_that_needs_them_and_no_other(world):
    fused, static = world
    income = np.array(fused["income"])
    income[::4] = np.nan
    fused = _with(fused, "income", income)
    texts = [
        "mean(income)",
        "ratio(income, rooms)",
        "correlation(income, rooms)",
        "linear(rooms ~ income)",
        "gini(income)",
    ]
    found = analyze(fused, static, estimates=[*texts, "mean(rooms)"]).table.groupby("estimand")["n"].first()
    known = (
        analyze(fused, static, estimates=texts, where="income > -1").table.groupby("estimand")["n"].first()
    )
    assert (found[texts] == 45).all()
    assert (found[texts] == known[texts]).all()
    assert found["mean(rooms)"] == 60


def test_a_record_without_the_number_of_its_implicate_is_refused(world):
    fused, static = world
    numbers = [None, *fused["implicate"].to_pylist()[1:]]
    with pytest.raises(AnalysisError, match="records without a number"):
        analyze(_with(fused, "implicate", numbers), static, estimates=["mean(age)"])


def test_a_group_in_one_implicate_only_has_no_margin_and_a_note(world):
    fused, static = world
    tenure = np.array(["own"] * len(fused), dtype=object)
    tenure[:5] = "rent"
    fused = _with(fused, "tenure", tenure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = analyze(fused, static, estimates=["mean(income)"], by=["tenure"])
    assert found.table["M"].tolist() == [3, 1]
    assert np.isnan(found.table["margin"][1])
    assert "one implicate only" in found.notes[0]


def test_one_implicate_gives_estimates_without_margin_and_a_warning(world):
    fused, static = world
    with pytest.warns(UserWarning, match="One implicate"):
        found = analyze(fused.slice(0, 60), static, estimates=["mean(income)"])
    assert np.isnan(found.table["margin"][0])


def test_implicates_in_nests_are_pooled_by_the_nested_rule(world):
    from fusion_pipeline.inference.pooling import nested

    fused, static = world
    twice = pa.concat_tables([fused, fused]).append_column("nest", pa.array([1] * 180 + [2] * 180))
    found = analyze(twice, static, estimates=["mean(income)"])
    assert found.rule == "nested"
    q = [np.average(f["income"], weights=f["weight"]) for f in _records(world)]
    within = nested(np.stack([q, q]), np.zeros((2, 3))).estimate
    assert found.table["estimate"][0] == pytest.approx(float(within))
    with pytest.raises(AnalysisError, match="nest"):
        analyze(twice.slice(0, 300), static, estimates=["mean(income)"])


def test_the_rule_recorded_with_the_implicates_is_the_default(world, tmp_path):
    fused, static = world
    for m in (1, 2, 3):
        part = fused.filter(pa.compute.equal(fused["implicate"], m)).drop_columns(["implicate"])
        write_table(
            tmp_path / f"implicate={m:02d}" / "part-0.parquet", part, {"pooling": "finite-population"}
        )
    found = analyze(tmp_path, static, estimates=["mean(income)"])
    assert found.rule == "finite-population"
    assert found.table["df"][0] == 2


# Several donors


def _donors(
    n: int = 3000, implicates: int = 16, rho: float = 0.2795
) -> tuple[dict[str, pa.Table], pa.Table, float]:
    """Reiter's population: X observed, Y and Z fused by two donors, each drawn given X only."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=n)
    hid = np.arange(n)
    surveys = {}
    for name, variable, slope in (("one", "y", 0.3), ("two", "z", 0.8)):
        parts = [
            pa.table(
                {
                    "implicate": [m] * n,
                    "hid": hid,
                    variable: slope * x + np.sqrt(1 - slope**2) * rng.normal(size=n),
                }
            )
            for m in range(1, implicates + 1)
        ]
        surveys[name] = pa.concat_tables(parts)
    static = pa.table({"hid": hid, "weight": np.ones(n), "x": x})
    return surveys, static, 0.3 * 0.8 + rho * np.sqrt((1 - 0.09) * (1 - 0.64))


def test_relations_across_donors_are_estimated_with_a_warning_that_they_rest_on_independence():
    surveys, static, _ = _donors(500, 3)
    with pytest.warns(UserWarning, match=r"y \(one\) and z \(two\).*independence"):
        found = analyze(surveys, static, estimates=["correlation(y, z)", "mean(y)"])
    assert found.table["estimate"][0] == pytest.approx(0.24, abs=0.08)
    assert len(found.notes) == 1


def test_donors_with_unequal_numbers_of_implicates_use_those_in_common_and_say_so():
    surveys, static, _ = _donors(100, 4)
    surveys["two"] = surveys["two"].filter(pa.compute.less(surveys["two"]["implicate"], 4))
    with pytest.warns(UserWarning, match="3 in common"):
        assert analyze(surveys, static, estimates=["mean(y)"]).implicates == 3


def test_sensitivity_spans_the_truth_and_moves_nothing_that_one_donor_tells_alone():
    surveys, static, truth = _donors()
    texts = ["correlation(y, z)", "mean(z)", "correlation(x, z)"]
    found = sensitivity(
        surveys, static, first="y", second="z", rhos=[-1, 0, 0.2795, 1], estimates=texts
    ).table
    joint = found[found["estimand"] == texts[0]].set_index("rho")["estimate"]
    assert joint[0.0] == pytest.approx(0.24, abs=0.02)
    assert joint[0.2795] == pytest.approx(truth, abs=0.03)
    low, high = correlation([0.3], [0.8], [[1.0]])
    # Pairs of 16 ordered draws correlate by .859, the mean square of the expected normal order statistics.
    assert joint[-1.0] == pytest.approx(0.24 + 0.859 * (low - 0.24), abs=0.03)
    assert joint[1.0] == pytest.approx(0.24 + 0.859 * (high - 0.24), abs=0.03)
    for text in texts[1:]:
        alone = found[found["estimand"] == text]["estimate"]
        # Pooled over all implicates, every draw still counts once.
        np.testing.assert_allclose(alone, alone.iloc[0], atol=2e-3)
    assert (found["margin"] > 0).all()


def test_sensitivity_asks_for_two_surveys_and_variables_of_each():
    surveys, static, _ = _donors(50, 5)
    with pytest.raises(AnalysisError, match="not of one"):
        sensitivity(surveys, static, first="z", second="y", estimates=["mean(y)"])
    with pytest.raises(AnalysisError, match="is no correlation"):
        sensitivity(surveys, static, first="y", second="z", rhos=[2], estimates=["mean(y)"])


def test_frechet_bounds_hold_every_joint_distribution_and_narrow_with_classes():
    rng = np.random.default_rng(1)
    joint = rng.dirichlet(np.ones(6), 4).reshape(4, 2, 3)
    classes = rng.dirichlet(np.ones(4))
    low, high = frechet(joint.sum(axis=2), joint.sum(axis=1), classes)
    whole = np.tensordot(classes, joint, 1)
    wide = frechet(whole.sum(axis=1), whole.sum(axis=0))
    assert (low <= whole + 1e-12).all() and (whole <= high + 1e-12).all()
    assert (wide[0] <= low + 1e-12).all() and (high <= wide[1] + 1e-12).all()


def test_correlation_bounds_are_those_at_partial_correlations_of_one():
    low, high = correlation([0.3], [0.8], [[1.0]])
    assert (low, high) == (
        pytest.approx(0.24 - np.sqrt(0.91 * 0.36)),
        pytest.approx(0.24 + np.sqrt(0.91 * 0.36)),
    )
    with pytest.raises(ValueError, match="semidefinite"):
        correlation([1.2], [0.1], [[1.0]])
