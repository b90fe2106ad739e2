"""Agreement with R's survey and mice on the households of `tests/reference`; `agreement.R` there made the results."""

import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline import analyze
from fusion_pipeline.inference.pooling import partially_synthetic, rubin

REFERENCE = Path(__file__).parents[2] / "reference"
R = json.loads((REFERENCE / "agreement.json").read_text())
DATA = pd.read_csv(REFERENCE / "households.csv")
OPTIONS = {
    "brr": {"replicate_method": "brr"},
    "fay": {"replicate_method": "fay", "fay": 0.5},
    "jk1": {"replicate_method": "jk1"},
    "jk2": {"replicate_method": "jk2"},
    "jkn": {"replicate_method": "jkn", "replicate_scale": [0.5] * 16},
    "sdr": {"replicate_method": "sdr"},
    "linearised": {},
}
TERMS = {"(Intercept)": "(intercept)", "I(income/10000)": "income / 10000"}
BY_PLACE = " by place"


@cache
def ours(design: str, rule: str = "rubin") -> pd.Series:
    """Standard error and more of every estimand, by estimand and level."""
    fused = pd.concat(
        [pd.DataFrame({"hid": DATA["hid"], "implicate": m, "fused": DATA[f"fused_{m}"]}) for m in range(1, 6)]
    )
    data = [pa.Table.from_pandas(frame, preserve_index=False) for frame in (fused, DATA)]
    weights = [name for name in DATA if name.startswith(f"{design}_")]
    options = {**OPTIONS[design], "replicate_weights": weights, "rule": rule}
    wanted = [text for text in {e["estimand"] for e in R["estimates"]} if BY_PLACE not in text]
    whole = analyze(*data, estimates=[*sorted(wanted), "mean(fused)"], **options).table
    parts = analyze(*data, estimates=["mean(use)"], by=["place"], **options).table
    parts = parts.assign(estimand=parts["estimand"] + BY_PLACE, level=parts["place"].astype(object))
    table = pd.concat([whole, parts])
    return table.set_index([table["estimand"], table["level"].fillna("")])


def both(design: str, estimand: str) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and standard errors, (2, levels) each: ours, theirs."""
    theirs = [e for e in R["estimates"] if (e["design"], e["estimand"]) == (design, estimand)]
    assert theirs
    keys = [(estimand, TERMS.get(e["level"], e["level"]) or "") for e in theirs]
    found = ours(design).loc[keys, ["estimate", "standard_error"]].to_numpy().T
    return found, np.array([[e["estimate"], e["standard_error"]] for e in theirs]).T


ESTIMANDS = sorted({e["estimand"] for e in R["estimates"]})


@pytest.mark.parametrize("design", [name for name in OPTIONS if name != "linearised"])
def test_every_estimand_with_replicate_weights_is_that_of_svrepdesign(design) -> None:
    for estimand in ESTIMANDS:
        found, theirs = both(design, estimand)
        np.testing.assert_allclose(found, theirs, rtol=1e-6, err_msg=f"{design}, {estimand}")


@pytest.mark.parametrize(
    "estimand", [e for e in ESTIMANDS if e.startswith(("mean(use)", "ratio", "linear", "logistic"))]
)
def test_linearised_variances_are_those_of_svydesign(estimand) -> None:
    found, theirs = both("linearised", estimand)
    if estimand.endswith(BY_PLACE):
        # survey takes n/(n - 1) of the whole sample, `analyze` of the group.
        n, whole = DATA["place"].value_counts().sort_index().to_numpy(), len(DATA)
        theirs[1] *= np.sqrt(n / (n - 1) * (whole - 1) / whole)
    np.testing.assert_allclose(found, theirs, rtol=1e-6)


def test_linearised_totals_differ_because_the_weights_sum_is_known() -> None:
    """survey lets the sum of the weights vary from sample to sample; the recipient's is that of the population."""
    total, mean = both("linearised", "sum(use)"), both("linearised", "mean(use)")
    np.testing.assert_allclose(total[0][0], total[1][0], rtol=1e-9)
    np.testing.assert_allclose(total[0][1], DATA["weight"].sum() * mean[1][1], rtol=1e-6)
    assert total[0][1] < total[1][1]


@pytest.mark.parametrize("estimand", ["proportion(heat)", "median(use)", "quantile(use, 0.9)"])
def test_linearised_shares_and_quantiles_have_other_formulas_and_nearly_the_same_errors(estimand) -> None:
    """Agresti and Coull instead of Taylor; slope of the quantile function over another interval."""
    found, theirs = both("linearised", estimand)
    np.testing.assert_allclose(found[0], theirs[0], rtol=1e-8)
    np.testing.assert_allclose(found[1], theirs[1], rtol=0.05)


@pytest.mark.parametrize("pooled", R["pooled"], ids=lambda p: f"{p['design']} {p['rule']} {p['complete_df']}")
def test_pooled_estimates_are_those_of_mice(pooled) -> None:
    q, u = pooled["estimates"], pooled["variances"]
    if pooled["rule"] == "reiter2003":
        found = partially_synthetic(q, u)
    else:
        found = rubin(q, u, pooled["complete_df"])
        assert found.missing_information == pytest.approx(pooled["missing_information"], rel=1e-9)
    for ours_, theirs in (
        ("estimate", "estimate"),
        ("variance", "variance"),
        ("between", "between"),
        ("df", "df"),
    ):
        assert getattr(found, ours_) == pytest.approx(pooled[theirs], rel=1e-9), ours_


@pytest.mark.parametrize(
    "pooled", [p for p in R["pooled"] if p["rule"] == "rubin1987"], ids=lambda p: p["design"]
)
def test_analysis_of_implicates_is_survey_then_mice(pooled) -> None:
    found = ours(pooled["design"], "barnard-rubin" if pooled["complete_df"] else "rubin").loc[
        ("mean(fused)", "")
    ]
    expected = pooled["estimate"], np.sqrt(pooled["variance"]), pooled["df"], pooled["missing_information"]
    names = ["estimate", "standard_error", "df", "missing_information"]
    np.testing.assert_allclose(found[names].astype(float), expected, rtol=2e-6)


def test_the_households_are_those_that_the_results_are_of(monkeypatch, tmp_path) -> None:
    monkeypatch.syspath_prepend(REFERENCE)
    import households

    again = tmp_path / "households.csv"
    households.households().to_csv(again, index=False, float_format="%.10g", lineterminator="\n")
    del sys.modules["households"]
    assert again.read_bytes() == (REFERENCE / "households.csv").read_bytes()
