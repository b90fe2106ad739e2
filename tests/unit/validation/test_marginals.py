"""Marginals and distributions, donor against fused, worked out a second way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.storage.tables import TableRef, categorical, write_table
from fusion_pipeline.validation.distributions import compare_distributions
from fusion_pipeline.validation.marginals import compare_marginals

LEVELS = ["None", "Room", "Central"]
REPLICATES = [f"rep_{r}" for r in range(1, 7)]


def _gas(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.lognormal(3, 1, n) * (rng.uniform(size=n) < 0.6)


def _survey(rng: np.random.Generator, n: int = 300) -> pa.Table:
    columns = {
        "weight": rng.uniform(1, 9, n),
        "btung": pa.array(_gas(rng, n), pa.float32()),
        "cooltype": categorical(rng.integers(0, 2, n), LEVELS),
        "televisions": pa.array(rng.integers(1, 6, n), pa.int8()),
        "paid": pa.array(rng.uniform(size=n) < 0.3),
    }
    return pa.table({**columns, **{r: rng.uniform(0, 9, n) for r in REPLICATES}})


def _fused(rng: np.random.Generator, n: int = 200, implicates: int = 3) -> tuple[pa.Table, pa.Table]:
    static = pa.table({"hid": np.arange(n), "weight": rng.uniform(1, 90, n)})
    parts = [
        pa.table({"implicate": pa.array(np.full(n, m), pa.int16()), "hid": static["hid"]}) for m in (1, 2, 3)
    ]
    names = ["btung", "cooltype", "televisions", "paid"]
    drawn = [_survey(rng, n).select(names) for _ in range(implicates)]
    joined = [
        pa.table(
            {**dict(zip(p.column_names, p.columns, strict=True)), **dict(zip(names, d.columns, strict=True))}
        )
        for p, d in zip(parts, drawn, strict=True)
    ]
    return pa.concat_tables(joined), static


def _at(frame: pd.DataFrame, variable: str, level: str) -> pd.Series:
    return frame.set_index(["variable", "level"]).loc[(variable, level)]


def _estimates(table: pa.Table, w: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean, sd and zero share of btung with their ratio variances."""
    x, n = table["btung"].to_numpy().astype(float), len(table)

    def mean(y: np.ndarray) -> tuple[float, float]:
        m = np.average(y, weights=w)
        return m, n / (n - 1) * np.sum((w * (y - m)) ** 2) / w.sum() ** 2

    centre, variance = mean(x)
    square, of_square = mean((x - centre) ** 2)
    zero, of_zero = mean((x == 0).astype(float))
    return [centre, np.sqrt(square), zero], [variance, of_square / (4 * square), of_zero]


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000))
def test_numeric_marginals_are_those_of_all_implicates_together(seed):
    rng = np.random.default_rng(seed)
    donor, (fused, static) = _survey(rng), _fused(rng)
    found = compare_marginals(donor, fused, static, ["btung"])
    assert found["level"].tolist() == ["mean", "sd", "zero share"]
    implicates = fused["implicate"].to_numpy()
    drawn = [fused.filter(pa.array(implicates == m)) for m in (1, 2, 3)]
    expected = [_estimates(table, static["weight"].to_numpy()) for table in drawn]
    estimates, variances = (np.array(part) for part in zip(*expected, strict=True))
    total = variances.mean(axis=0) + (1 + 1 / 3) * estimates.var(axis=0, ddof=1)
    np.testing.assert_allclose(found["fused"], estimates.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found["fused_standard_error"], np.sqrt(total), rtol=1e-7)
    estimates, variances = _estimates(donor, donor["weight"].to_numpy())
    np.testing.assert_allclose(found["donor"], estimates, rtol=1e-9)
    np.testing.assert_allclose(found["donor_standard_error"], np.sqrt(variances), rtol=1e-9)


def test_level_shares_include_levels_that_never_occur():
    rng = np.random.default_rng(1)
    donor, (fused, static) = _survey(rng), _fused(rng)
    found = compare_marginals(donor, fused, static, ["cooltype"])
    assert found["level"].tolist() == LEVELS
    assert found.loc[2, ["donor", "fused", "z"]].tolist() == [0, 0, 0]
    weight = np.tile(static["weight"].to_numpy(), 3)
    share = np.average(fused["cooltype"].to_pandas() == "Room", weights=weight)
    assert _at(found, "cooltype", "Room")["fused"] == pytest.approx(share)
    assert found["donor"].sum() == pytest.approx(1)


def test_truth_values_are_levels():
    rng = np.random.default_rng(1)
    donor, (fused, static) = _survey(rng), _fused(rng)
    found = compare_marginals(donor, fused, static, ["paid"])
    assert found["level"].tolist() == ["false", "true"]
    assert (found[["donor", "fused"]] > 0).all(axis=None)


def test_the_difference_is_counted_in_combined_standard_errors():
    rng = np.random.default_rng(2)
    donor, (fused, static) = _survey(rng), _fused(rng)
    row = _at(compare_marginals(donor, fused, static, ["televisions"]), "televisions", "mean")
    x, w = donor["televisions"].to_numpy(), donor["weight"].to_numpy()
    mean, n = np.average(x, weights=w), len(x)
    error = np.sqrt(n / (n - 1) * np.sum((w * (x - mean)) ** 2)) / w.sum()
    assert row["donor_standard_error"] == pytest.approx(error)
    assert (row["comparable"], row["comparable_standard_error"]) == (
        row["donor"],
        row["donor_standard_error"],
    )
    assert row["z"] == pytest.approx((row["fused"] - mean) / np.hypot(error, row["fused_standard_error"]))


def test_comparable_donors_are_the_donors_with_their_weights_times_the_odds():
    rng = np.random.default_rng(2)
    donor, (fused, static) = _survey(rng), _fused(rng)
    odds = rng.uniform(0, 3, len(donor)) * (rng.uniform(size=len(donor)) < 0.7)
    variables = ["btung", "cooltype", "paid"]
    some = {"replicate_weights": REPLICATES}
    found = compare_marginals(donor, fused, static, variables, odds=odds, **some)
    columns = {n: np.asarray(donor[n]) * odds for n in ("weight", *REPLICATES)}
    reweighted = donor.drop_columns(list(columns)).to_pandas().assign(**columns)
    other = compare_marginals(reweighted[odds > 0], fused, static, variables, **some)
    for name in ("comparable", "comparable_standard_error"):
        np.testing.assert_allclose(found[name], other[name.replace("comparable", "donor")], rtol=1e-9)
    pd.testing.assert_frame_equal(
        found[["donor", "fused"]], compare_marginals(donor, fused, static, variables)[["donor", "fused"]]
    )


def test_one_implicate_has_the_standard_error_within_it():
    rng = np.random.default_rng(3)
    donor, (fused, static) = _survey(rng), _fused(rng)
    first = fused.filter(pa.array(fused["implicate"].to_numpy() == 1))
    row = _at(compare_marginals(donor, first, static, ["btung"]), "btung", "mean")
    assert row["fused_standard_error"] == pytest.approx(
        np.sqrt(_estimates(first, static["weight"].to_numpy())[1][0])
    )


def test_the_standard_error_of_a_normal_sd_is_the_textbook_one():
    rng, n = np.random.default_rng(9), 20_000
    donor = pa.table({"weight": np.ones(n), "btuel": rng.normal(50, 10, n)})
    fused, static = _fused(rng)
    fused = fused.append_column("btuel", pa.array(rng.normal(50, 10, len(fused))))
    row = _at(compare_marginals(donor, fused, static, ["btuel"]), "btuel", "sd")
    assert row["donor_standard_error"] == pytest.approx(10 / np.sqrt(2 * n), rel=0.03)


def test_replicate_weights_of_the_donor_give_its_standard_errors():
    rng = np.random.default_rng(3)
    donor, (fused, static) = _survey(rng), _fused(rng)
    found = compare_marginals(donor, fused, static, ["televisions", "cooltype"], replicate_weights=REPLICATES)
    replicates = np.column_stack([donor[r].to_numpy() for r in REPLICATES])
    for (variable, level), x in {
        ("televisions", "mean"): donor["televisions"].to_numpy().astype(float),
        ("cooltype", "Room"): (donor["cooltype"].to_pandas() == "Room").to_numpy(float),
    }.items():
        mean = np.average(x, weights=donor["weight"].to_numpy())
        means = [np.average(x, weights=w) for w in replicates.T]
        error = np.sqrt(4 / 6 * np.sum((np.array(means) - mean) ** 2))
        assert _at(found, variable, level)["donor_standard_error"] == pytest.approx(error)


def test_fusing_the_donor_onto_itself_shows_no_difference(tmp_path):
    donor = _survey(np.random.default_rng(4))
    hid = pa.array(np.arange(len(donor)))
    for implicate in (1, 2):
        part = donor.select(["btung", "cooltype", "televisions"]).append_column("hid", hid)
        write_table(tmp_path / "fused" / f"implicate={implicate:02d}" / "part-0.parquet", part)
    write_table(tmp_path / "donor.parquet", donor)
    write_table(tmp_path / "recipient.parquet", donor.select(["weight"]).append_column("hid", hid))
    sides = TableRef(tmp_path / "donor.parquet"), tmp_path / "fused", TableRef(tmp_path / "recipient.parquet")
    variables = ["btung", "cooltype", "televisions"]
    found = compare_marginals(*sides, variables)
    np.testing.assert_allclose(found["z"], 0, atol=1e-9)
    bins = compare_distributions(*sides, ["btung", "televisions"])
    np.testing.assert_allclose(bins["fused"], bins["donor"], atol=1e-12)


def test_the_three_kinds_of_donor_table_agree(tmp_path):
    rng = np.random.default_rng(5)
    donor, (fused, static) = _survey(rng), _fused(rng)
    write_table(tmp_path / "donor.parquet", donor)
    expected = compare_marginals(donor, fused, static, ["btung", "cooltype"])
    for same in (donor.to_pandas(), TableRef(tmp_path / "donor.parquet")):
        pd.testing.assert_frame_equal(compare_marginals(same, fused, static, ["btung", "cooltype"]), expected)


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000))
def test_bins_hold_every_record_once_and_zeros_by_themselves(seed):
    rng = np.random.default_rng(seed)
    donor, (fused, static) = _survey(rng), _fused(rng)
    found = compare_distributions(donor, fused, static, ["btung"])
    np.testing.assert_allclose(found[["donor", "fused"]].sum(), 1)
    zero = found.iloc[0]
    assert (zero["low"], zero["high"]) == (0, 0)
    x, w = donor["btung"].to_numpy(), donor["weight"].to_numpy()
    assert zero["donor"] == pytest.approx(np.average(x == 0, weights=w))
    assert (found["low"][2:].to_numpy() == found["high"][1:-1].to_numpy()).all()
    inner = found.iloc[10]
    inside = (x >= inner["low"]) & (x < inner["high"])
    assert inner["donor"] == pytest.approx(np.average(inside, weights=w), abs=1e-9)


def test_small_counts_have_a_bin_each():
    rng = np.random.default_rng(6)
    donor, (fused, static) = _survey(rng), _fused(rng)
    found = compare_distributions(donor, fused, static, ["televisions"])
    assert found["low"].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert set(found["scale"]) == {"linear"}


@pytest.mark.parametrize(
    ("variables", "message"), [(["btuel"], "btuel: is neither"), (["hid"], "donor, column hid.*btung")]
)
def test_unknown_variables_are_named(variables, message):
    rng = np.random.default_rng(7)
    donor, (fused, static) = _survey(rng), _fused(rng)
    with pytest.raises(AnalysisError, match=message):
        compare_marginals(donor, fused, static, variables)


def test_a_variable_of_another_kind_is_refused():
    rng = np.random.default_rng(8)
    donor, (fused, static) = _survey(rng), _fused(rng)
    other = donor.set_column(1, "btung", donor["cooltype"])
    with pytest.raises(AnalysisError, match="is categorical in the donor and numeric in the implicates"):
        compare_marginals(other, fused, static, ["btung"])
    with pytest.raises(AnalysisError, match="is categorical"):
        compare_distributions(donor, fused, static, ["cooltype"])
    nothing = donor.set_column(1, "btung", pa.array(np.zeros(len(donor))))
    with pytest.raises(AnalysisError, match="no values but zero"):
        compare_distributions(nothing, fused, static, ["btung"])
