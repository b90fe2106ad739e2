"""Estimands and their variances against formulas worked out record by record, and against known truth."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.inference.estimands import Statistic
from fusion_pipeline.inference.weights import scale_of
from tests.unit.inference.conftest import REPLICATES, records


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
    expected = np.mean([_formula(name)(f, f["weight"].to_numpy()) for f in records(world)])
    assert row["estimate"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["ratio", "correlation", "gini", "linear"])
def test_linearised_variances_are_those_of_numerical_derivatives_by_weight(world, name):
    """Var = n/(n - 1) sum (w z)^2, z the derivative of the estimate by a record's weight."""
    found = analyze(*world, estimates=[TEXTS[name]], rule="rubin").table
    row = found[found["level"] == "income"].iloc[0] if "~" in TEXTS[name] else found.iloc[0]
    q, u = [], []
    for f in records(world):
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
    for f in records(world):
        q.append(_formula(name)(f, f["weight"].to_numpy()))
        again = [_formula(name)(f, f[r].to_numpy()) for r in REPLICATES]
        u.append(5 / 6 * np.sum((np.array(again) - q[-1]) ** 2))
    assert row["standard_error"] == pytest.approx(np.sqrt(np.mean(u) + 4 / 3 * np.var(q, ddof=1)), rel=1e-4)


def test_replication_factors_are_those_of_the_textbooks():
    assert scale_of("sdr", 80) == pytest.approx(4 / 80)
    assert scale_of("fay", 96, 0.5) == pytest.approx(4 / 96)
    assert scale_of("brr", 48) == pytest.approx(1 / 48)
    assert scale_of("jk1", 10) == pytest.approx(0.9)


def test_jackknife_of_unequal_strata_is_the_variance_of_a_stratified_sample():
    """Cochran 1977: a total drawn in strata has variance sum n/(n - 1) sum (t - mean t)^2, and n - 1 df of each."""
    strata = [3, 2, 5]
    totals = np.random.default_rng(4).uniform(1, 9, sum(strata))
    of = np.repeat([0, 1, 2], strata)
    dropped = np.eye(len(of), dtype=bool)
    sizes = np.array(strata)[of]
    # Whoever stays in the stratum of the one that is dropped stands for it.
    weights = np.where(of[:, None] == of, sizes / (sizes - 1), 1.0) * ~dropped
    names = [f"jkn_{r}" for r in range(len(of))]
    columns = {
        "hid": np.arange(10),
        "t": totals,
        "w": np.ones(10),
        **dict(zip(names, weights.T, strict=True)),
    }
    table = pa.table({"implicate": [1] * 10 + [2] * 10, **{n: np.tile(v, 2) for n, v in columns.items()}})
    found = analyze(
        table, estimates=["sum(t)"], weight="w", replicate_weights=names, replicate_method="jkn",
        replicate_scale=((sizes - 1) / sizes).tolist(),
    ).table  # fmt: skip
    expected = sum(
        n / (n - 1) * ((totals[of == h] - totals[of == h].mean()) ** 2).sum() for h, n in enumerate(strata)
    )
    assert found["standard_error"][0] ** 2 == pytest.approx(expected, rel=1e-6)
    complete = sum(strata) - len(strata)
    # Barnard and Rubin 1999 where nothing is missing.
    assert found["df"][0] == pytest.approx((complete + 1) / (complete + 3) * complete, rel=1e-6)


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
