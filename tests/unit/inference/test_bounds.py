"""Bounds of what relates variables of two donors: what they hold, and the variance of their estimates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.inference.bounds import correlation, frechet
from fusion_pipeline.storage.tables import categorical

N, M = 400, 3
SHARES = "bounds(heat, car | home)"
NUMBERS = "bounds(use, miles | income + home)"


@pytest.fixture(scope="module")
def donors() -> tuple[dict[str, pa.Table], pa.Table]:
    """Two donors fused onto the same households, given home and income only."""
    rng = np.random.default_rng(6)
    home = rng.integers(0, 3, N)
    income = rng.normal(size=N) + home
    parts: dict[str, list[pa.Table]] = {"energy": [], "travel": []}
    for m in range(1, M + 1):
        keys = {"implicate": [m] * N, "hid": np.arange(N)}
        heat = categorical((rng.random(N) < 0.2 + 0.3 * home).astype(int), ["gas", "oil"])
        use = income + rng.normal(size=N)
        parts["energy"].append(pa.table({**keys, "heat": heat, "use": use}))
        car = categorical(rng.binomial(2, 0.3 + 0.2 * home), ["none", "one", "two"])
        miles = 0.5 * income - home + rng.normal(size=N)
        parts["travel"].append(pa.table({**keys, "car": car, "miles": miles}))
    static = pa.table(
        {
            "hid": np.arange(N),
            "weight": rng.uniform(1, 3, N),
            "home": categorical(home, ["flat", "row", "house"]),
            "income": income,
            "side": categorical(rng.integers(0, 2, N), ["east", "west"]),
            **{f"rep_{r}": rng.uniform(0, 4, N) for r in range(1, 9)},
        }
    )
    return {name: pa.concat_tables(tables) for name, tables in parts.items()}, static


def _records(donors) -> list[pd.DataFrame]:
    surveys, static = donors
    frame = surveys["energy"].to_pandas().merge(surveys["travel"].to_pandas(), on=["implicate", "hid"])
    frame = frame.merge(static.to_pandas(), on="hid")
    return [part.reset_index(drop=True) for _, part in frame.groupby("implicate")]


def _shares(frame: pd.DataFrame, name: str) -> np.ndarray:
    table = frame.pivot_table("weight", "home", name, "sum", observed=False, fill_value=0.0).to_numpy()
    return table / table.sum(axis=1, keepdims=True)


def test_joint_shares_lie_between_the_averages_of_frechets_bounds_by_class(donors):
    found = analyze(*donors, estimates=[SHARES]).table.set_index("level")["estimate"]
    expected = []
    for frame in _records(donors):
        classes = frame.groupby("home", observed=False)["weight"].sum().to_numpy()
        a, b = _shares(frame, "heat"), _shares(frame, "car")
        low, high = frechet(a, b, classes / classes.sum())
        independent = np.einsum("c,ci,cj->ij", classes / classes.sum(), a, b)
        expected.append(np.stack([low, independent, high], axis=-1).ravel())
    np.testing.assert_allclose(found.to_numpy(), np.mean(expected, axis=0), rtol=1e-8)
    assert list(found.index[:4]) == [
        "gas & none: lower",
        "gas & none: independent",
        "gas & none: upper",
        "gas & one: lower",
    ]


def test_correlations_lie_between_those_at_partial_correlations_of_one(donors):
    found = analyze(*donors, estimates=[NUMBERS]).table.set_index("level")["estimate"]
    expected = []
    for frame in _records(donors):
        columns = [frame[name] for name in ("use", "miles", "income")]
        columns += [(frame["home"] == level).astype(float) for level in ("row", "house")]
        covariance = np.cov(columns, aweights=frame["weight"])
        spread = np.sqrt(np.diag(covariance))
        r = covariance / np.outer(spread, spread)
        low, high = correlation(r[0, 2:], r[1, 2:], r[2:, 2:])
        expected.append([low, (low + high) / 2, high])
    np.testing.assert_allclose(found.to_numpy(), np.mean(expected, axis=0), rtol=1e-8)


@pytest.mark.parametrize("text", [SHARES, NUMBERS, "bounds(heat, car)", "bounds(use, miles)"])
def test_what_one_survey_has_seen_together_lies_within_the_bounds(donors, text):
    """The implicates' own relation is one that their margins allow, in every group."""
    bounds = analyze(*donors, estimates=[text], by=["side"]).table.set_index(["side", "level"])["estimate"]
    for side, part in pd.concat(_records(donors)).groupby("side"):
        # Implicate by implicate bounds hold; so do their means.
        if "heat" in text:
            joint = part.pivot_table("weight", "heat", "car", "sum", observed=False) / part["weight"].sum()
            pairs = {f"{a} & {b}": joint.loc[a, b] for a in joint.index for b in joint.columns}
            for name, share in pairs.items():
                assert bounds[side, f"{name}: lower"] <= share + 1e-9
                assert share <= bounds[side, f"{name}: upper"] + 1e-9
        else:
            r = np.mean([
                np.cov(p["use"], p["miles"], aweights=p["weight"])[0, 1]
                / np.sqrt(np.cov(p["use"], aweights=p["weight"]) * np.cov(p["miles"], aweights=p["weight"]))
                for _, p in part.groupby("implicate")
            ])  # fmt: skip
            assert bounds[side, "lower"] <= r <= bounds[side, "upper"]
    assert len(bounds) == 2 * (18 if "heat" in text else 3)


def _one_twice(donors) -> dict[str, pa.Table]:
    """The first implicate as two: nothing varies between them."""
    first = {name: table.slice(0, N) for name, table in donors[0].items()}
    return {
        name: pa.concat_tables([table, table.set_column(0, "implicate", pa.array([2] * N))])
        for name, table in first.items()
    }


@pytest.mark.parametrize("text", [SHARES, NUMBERS])
def test_linearised_variances_of_bounds_are_those_of_numerical_derivatives_by_weight(donors, text):
    two, static = _one_twice(donors), donors[1]
    weight, step = static["weight"].to_numpy(), 1e-5
    # Replicates that move one weight each: their deviations are the derivatives.
    moved = {f"d_{i}": weight * (1 + step * (np.arange(N) == i)) for i in range(N)}
    by_hand = analyze(
        two,
        pa.table({**{name: static[name] for name in static.column_names}, **moved}),
        estimates=[text],
        replicate_weights=list(moved),
        replicate_scale=N / (N - 1) / step**2,
    ).table
    linearised = analyze(two, static, estimates=[text]).table
    np.testing.assert_allclose(linearised["standard_error"], by_hand["standard_error"], rtol=0.03, atol=1e-9)
    assert (linearised["standard_error"] > 0).sum() >= 3


def test_bounds_use_every_replicate(donors):
    two, static = _one_twice(donors), donors[1]
    names, texts = [f"rep_{r}" for r in range(1, 9)], [SHARES, NUMBERS]
    found = analyze(
        two, static, estimates=texts, replicate_weights=names, replicate_method="brr", rule="rubin"
    ).table
    each = [analyze(two, static, estimates=texts, weight=name).table["estimate"] for name in names]
    variance = np.mean([(estimate - found["estimate"]) ** 2 for estimate in each], axis=0)
    np.testing.assert_allclose(found["standard_error"], np.sqrt(variance), rtol=1e-6, atol=1e-9)


def test_finer_classes_narrow_the_bounds(donors):
    widths = []
    for text in ("bounds(heat, car)", SHARES, "bounds(heat, car | home + income > 1)"):
        table = analyze(*donors, estimates=[text]).table
        low = table.loc[table["level"].str.endswith("lower"), "estimate"].sum()
        widths.append(table.loc[table["level"].str.endswith("upper"), "estimate"].sum() - low)
    assert widths[0] > widths[1] > widths[2] > 0


def test_a_common_variable_that_is_the_same_everywhere_or_twice_there_changes_nothing(donors):
    surveys, static = donors
    table = analyze(
        surveys,
        static,
        estimates=["bounds(use, miles | income)", "bounds(use, miles | income + 2 * income + income * 0)"],
    ).table
    once, again = (part["estimate"].to_numpy() for _, part in table.groupby("estimand"))
    np.testing.assert_allclose(once, again, atol=1e-7)


def test_bounds_are_of_the_records_that_have_everything_and_of_the_implicates_that_have_any(donors):
    surveys, static = donors
    first = pa.compute.equal(surveys["energy"]["implicate"], 1)
    some = pa.compute.equal(surveys["energy"]["hid"], 7)
    energy = surveys["energy"]
    for name in ("heat", "use"):
        value = pa.scalar(None, energy[name].type)
        column = pa.compute.if_else(pa.compute.or_(first, some), value, energy[name])
        energy = energy.set_column(energy.column_names.index(name), name, column)
    table = analyze({**surveys, "energy": energy}, static, estimates=[SHARES, NUMBERS], by=["side"]).table
    assert set(table["M"]) == {M - 1}
    assert set(table["n"]) == {
        count - (side == static["side"][7].as_py())
        for side, count in zip(*np.unique(static["side"].to_pylist(), return_counts=True), strict=True)
    }
    assert table["margin"].notna().all()


def test_bounds_rest_on_no_independence_and_raise_no_warning_of_it(donors):
    assert not analyze(*donors, estimates=[SHARES, NUMBERS]).notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bounds(use, car | home)", "relates the number use and the category car"),
        ("bounds(heat, car | income)", "classes of income, which is a number"),
        ("bounds(heat | home)", "does not name two variables"),
        ("bounds(heat, car | )", "does not name two variables"),
        ("bounds(heat, car | home | side)", "does not name two variables"),
    ],
)
def test_bounds_that_cannot_be_are_refused_with_what_can(donors, text, message):
    with pytest.raises(AnalysisError, match=message):
        analyze(*donors, estimates=[text])
