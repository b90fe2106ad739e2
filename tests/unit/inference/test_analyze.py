"""`analyze` against the same numbers worked out record by record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference import analyze as _module
from fusion_pipeline.inference.pooling import rubin
from fusion_pipeline.storage.tables import TableRef, categorical, write_table


def analyze(*arguments, **request) -> pd.DataFrame:
    return _module.analyze(*arguments, **request).table


STATES = ["01", "02", "09", "10"]
LEVELS = ["never", "some months", "every month"]
REPLICATES = [f"rep_{r}" for r in range(1, 9)]


def _population(seed: int = 1, n: int = 60, implicates: int = 4, missing: float = 0.1):
    """Implicates, one table, and the static table; state 09 and level `every month` never occur."""
    rng = np.random.default_rng(seed)
    columns = {
        "year": pa.array(np.full(n, 2015), pa.int16()),
        "hid": pa.array(rng.permutation(n) + 100, pa.int64()),
        "weight": rng.uniform(0.5, 40, n),
        "state": categorical(rng.choice([0, 1, 3], n), STATES),
        "rooms": pa.array(rng.integers(1, 9, n), pa.int8()),
    }
    replicates = {r: pa.array(rng.uniform(0, 40, n), pa.float32()) for r in REPLICATES}
    static = pa.table({**columns, **replicates})
    parts = []
    for implicate in range(1, implicates + 1):
        values = rng.gamma(0.7, 30, n) * (rng.uniform(size=n) < 0.8)
        part = {
            "implicate": pa.array(np.full(n, implicate), pa.int16()),
            "year": static["year"],
            "hid": static["hid"],
            "btuel": pa.array(values, pa.float32(), mask=rng.uniform(size=n) < missing),
            "insec": categorical(np.where(rng.uniform(size=n) < missing, -1, rng.integers(0, 2, n)), LEVELS),
        }
        parts.append(pa.table(part))
    return pa.concat_tables(parts), static


def _dataset(root: Path, fused: pa.Table) -> Path:
    for implicate in np.unique(fused["implicate"]):
        rows = fused.filter(pa.compute.equal(fused["implicate"], implicate)).drop_columns(["implicate"])
        write_table(root / f"implicate={implicate:02d}" / "part-0.parquet", rows)
    return root


def _ratio_variance(x: np.ndarray, w: np.ndarray) -> float:
    """Cochran's formula as Gatz and Smith 1995 print it."""
    n, mean, wbar = len(x), np.average(x, weights=w), w.mean()
    if n < 2:
        return np.nan
    a = np.sum((w * x - wbar * mean) ** 2)
    b = np.sum((w - wbar) * (w * x - wbar * mean))
    c = np.sum((w - wbar) ** 2)
    return n / ((n - 1) * w.sum() ** 2) * (a - 2 * mean * b + mean**2 * c)


def _agresti_coull(x: np.ndarray, w: np.ndarray) -> float:
    """z^2 records are added to the effective number, half of them with the level."""
    n, z = w.sum() ** 2 / (w**2).sum(), 1.6448536269514722
    p = (np.average(x, weights=w) * n + z**2 / 2) / (n + z**2)
    return p * (1 - p) / (n + z**2)


def _replicate_variance(x: np.ndarray, replicates: np.ndarray, theta: float) -> float:
    return 4 / replicates.shape[1] * np.sum([(np.average(x, weights=w) - theta) ** 2 for w in replicates.T])


def _brute_force(fused, static, value, by=(), replicates=(), variance=_ratio_variance) -> pd.DataFrame:
    """Estimate, standard error and margin of the mean of `value(frame)`, group by group."""
    joined = fused.to_pandas().merge(static.to_pandas(), on=["year", "hid"])
    joined["_x"] = value(joined)
    joined = joined.dropna(subset="_x")
    rows = []
    groups = joined.groupby(list(by), observed=True) if by else [((), joined)]
    for key, group in groups:
        q, u, sizes = [], [], []
        for _, one in group.groupby("implicate"):
            x, w = one["_x"].to_numpy(float), one["weight"].to_numpy()
            q.append(np.average(x, weights=w))
            u.append(
                _replicate_variance(x, one[list(replicates)].to_numpy(float), q[-1])
                if replicates
                else variance(x, w)
            )
            sizes.append(len(x))
        complete = min(np.mean(sizes) - 1, len(replicates) - 1 if replicates else np.inf)
        pooled = rubin(q, u, complete)
        rows.append(
            (*key, float(pooled.estimate), float(pooled.standard_error), float(pooled.margin()), len(q))
        )
    return pd.DataFrame(rows, columns=[*by, "estimate", "standard_error", "margin", "M"])


def _assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert len(found) == len(expected)
    for name in ("estimate", "standard_error", "margin"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-9)
    assert found["M"].tolist() == expected["M"].tolist()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(40, 90), implicates=st.integers(2, 5))
def test_means_by_group_are_those_worked_out_record_by_record(seed, n, implicates):
    fused, static = _population(seed, n, implicates)
    found = analyze(fused, static, estimates=["mean(btuel)"], by=["state"])
    expected = _brute_force(fused, static, lambda f: f["btuel"], ["state"])
    assert found["state"].tolist() == expected["state"].tolist()
    _assert_same(found, expected)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), replicated=st.booleans())
def test_proportions_are_means_of_indicators(seed, replicated):
    fused, static = _population(seed, n=90)
    replicates = REPLICATES if replicated else []
    found = analyze(
        fused, static, estimates=["proportion(insec)"], by=["state"], replicate_weights=replicates
    )
    for level in LEVELS[:2]:

        def indicator(frame, level=level):
            return (frame["insec"] == level).where(frame["insec"].notna()).astype(float)

        expected = _brute_force(fused, static, indicator, ["state"], replicates, _agresti_coull)
        _assert_same(found[found["level"] == level], expected)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_all_replicates_count_in_every_implicate(seed):
    fused, static = _population(seed)
    found = analyze(fused, static, estimates=["mean(btuel)"], by=["state"], replicate_weights=REPLICATES)
    _assert_same(found, _brute_force(fused, static, lambda f: f["btuel"], ["state"], REPLICATES))


def test_the_replicate_scale_scales_the_variance_within():
    fused, static = _population(missing=0)
    one = fused.filter(pa.compute.equal(fused["implicate"], 1))
    twice = pa.concat_tables([one, one.set_column(0, "implicate", pa.array([2] * len(one), pa.int16()))])
    options = {"estimates": ["mean(btuel)"], "replicate_weights": REPLICATES}
    default = analyze(twice, static, **options)["standard_error"]
    scaled = analyze(twice, static, replicate_scale=4 * 4 / len(REPLICATES), **options)["standard_error"]
    np.testing.assert_allclose(scaled, 2 * default)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_rows_means_nothing(seed):
    fused, static = _population(seed)
    rng = np.random.default_rng(seed)
    request = {"estimates": ["mean(btuel)", "proportion(insec)", "sum(btuel)"], "by": ["state"]}
    expected = analyze(fused, static, **request)
    shuffled = fused.take(rng.permutation(len(fused))), static.take(rng.permutation(len(static)))
    pd.testing.assert_frame_equal(analyze(*shuffled, **request), expected)


def test_a_dataset_on_disk_gives_what_the_tables_give(tmp_path):
    fused, static = _population()
    write_table(tmp_path / "recipient.parquet", static)
    request = {"estimates": ["proportion(insec)", "mean(btuel)"], "by": ["state", "rooms"]}
    on_disk = analyze(
        _dataset(tmp_path / "it's here", fused),
        TableRef(tmp_path / "recipient.parquet"),
        memory_limit=100_000_000,
        threads=1,
        **request,
    )
    with_text_limit = analyze(fused, static, memory_limit="1GiB", **request)
    pd.testing.assert_frame_equal(on_disk, with_text_limit)
    files = sorted((tmp_path / "it's here").rglob("*.parquet"))
    pd.testing.assert_frame_equal(analyze(files, static, **request), with_text_limit)


def test_the_result_is_tidy_with_groups_estimands_and_levels_in_order():
    fused, static = _population()
    found = analyze(fused, static, estimates=["proportion(insec)", "mean(btuel)"], by=["state"])
    names = [
        "estimand",
        "variable",
        "level",
        "estimate",
        "standard_error",
        "margin",
        "df",
        "n",
        "effective_n",
    ]
    names += ["missing_information", "M", "source"]
    assert found.columns.tolist() == ["state", *names]
    assert found["state"].tolist() == [s for s in ("01", "02", "10") for _ in range(4)]
    assert found["level"].tolist() == [*LEVELS, None] * 3
    assert found["estimand"].tolist() == [*["proportion(insec)"] * 3, "mean(btuel)"] * 3
    assert found["state"].cat.categories.tolist() == STATES


def test_groups_without_records_are_absent_and_levels_without_records_are_zero():
    fused, static = _population()
    found = analyze(fused, static, estimates=["proportion(insec)"], by=["state"])
    assert "09" not in set(found["state"])
    never = found[found["level"] == "every month"]
    assert len(never) == 3
    assert (never["estimate"] == 0).all()
    # Not seeing a level is no proof that there is none.
    assert (never["margin"] > 0).all()
    total = found.groupby("state", observed=True)["estimate"].sum()
    np.testing.assert_allclose(total, 1)


def test_sums_and_counts_are_means_times_the_weight():
    fused, static = _population(missing=0)
    found = analyze(
        fused, static, estimates=["mean(btuel)", "sum(btuel)", "proportion(insec)", "count(insec)"]
    )
    weight = sum(static["weight"].to_pylist())
    for relative, absolute in (("mean(btuel)", "sum(btuel)"), ("proportion(insec)", "count(insec)")):
        for name in ("estimate", "standard_error"):
            np.testing.assert_allclose(
                found.loc[found["estimand"] == absolute, name],
                found.loc[found["estimand"] == relative, name] * weight,
                rtol=1e-8,
            )


def test_without_a_weight_every_record_counts_one():
    fused, static = _population(missing=0)
    found = analyze(fused, static, estimates=["mean(btuel)", "count(insec)"], weight=None)
    assert found["estimate"][0] == pytest.approx(np.mean(fused["btuel"].to_numpy()), rel=1e-6)
    assert found["estimate"][1:].sum() == pytest.approx(len(static))


def test_a_variable_that_was_not_fused_has_no_variance_between_implicates():
    fused, static = _population()
    found = analyze(fused, static, estimates=["mean(rooms)", "proportion(state)"])
    assert (found["missing_information"] == 0).all()
    assert (found["df"] <= len(static)).all()
    assert (found["source"] == "observed").all()
    x, w = static["rooms"].to_numpy(), static["weight"].to_numpy()
    assert found["standard_error"][0] == pytest.approx(np.sqrt(_ratio_variance(x, w)), rel=1e-6)


def test_groups_by_a_fused_variable_pool_the_implicates_that_have_them():
    fused, static = _population(n=8, implicates=6, missing=0)
    found = analyze(fused, static, estimates=["mean(rooms)"], by=["insec", "state"])
    expected = _brute_force(fused, static, lambda f: f["rooms"], ["insec", "state"])
    assert 1 < found["M"].min() < found["M"].max() == 6
    np.testing.assert_allclose(found["estimate"], expected["estimate"], rtol=1e-6)


def test_records_without_value_are_left_out_whether_null_or_nan():
    fused, static = _population()
    nan = fused.set_column(3, "btuel", pa.array(fused["btuel"].to_pandas().to_numpy(), pa.float32()))
    assert nan["btuel"].null_count == 0
    request = {"estimates": ["mean(btuel)"], "by": ["state"]}
    with_null = analyze(fused, static, **request)
    pd.testing.assert_frame_equal(analyze(nan, static, **request), with_null)
    assert with_null["n"].sum() < len(static)


def test_a_missing_group_value_is_a_group():
    fused, static = _population(missing=0)
    codes = [None, *static["rooms"].to_pylist()[1:]]
    static = static.set_column(4, "rooms", pa.array(codes, pa.int8()))
    found = analyze(fused, static, estimates=["mean(btuel)"], by=["rooms"])
    assert found["rooms"].isna().sum() == 1
    assert found["n"].sum() == len(static)


def test_a_part_of_the_recipient_can_be_analysed():
    fused, static = _population(missing=0)
    part = static.filter(pa.compute.equal(static["state"].cast(pa.string()), "10"))
    whole = analyze(fused, static, estimates=["mean(btuel)"], by=["state"]).query("state == '10'")
    found = analyze(fused, part, estimates=["mean(btuel)"])
    assert found["estimate"][0] == pytest.approx(whole["estimate"].iloc[0])
    assert found["n"][0] == len(part)


def test_weights_retained_in_the_implicates_need_no_static_table():
    fused, static = _population(missing=0)
    weight = pa.array(static["weight"].to_pylist() * 4)
    found = analyze(fused.append_column("weight", weight), estimates=["mean(btuel)"])
    assert found["estimate"][0] == analyze(fused, static, estimates=["mean(btuel)"])["estimate"][0]


def test_one_record_has_no_standard_error():
    fused, static = _population(n=1, missing=0)
    found = analyze(fused, static, estimates=["mean(btuel)", "proportion(insec)"])
    assert found["estimate"].notna().all()
    assert np.isnan(found["standard_error"][0])


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"estimates": ["mean(btunuclear)"]}, r"btunuclear: is neither.*btuel"),
        ({"estimates": ["mode(btuel)"]}, r"mode\(btuel\).*mean\(variable\).*proportion\(variable\)"),
        ({"estimates": ["btuel"]}, r"mean\(variable\)"),
        ({"estimates": []}, r"none was asked for"),
        ({"estimates": ["mean(insec)"]}, r"categorical.*proportion\(insec\).*btuel"),
        ({"estimates": ["proportion(btuel)"]}, r"numeric.*mean\(btuel\).*insec, state"),
        ({"estimates": ["mean(btuel)"], "by": ["county"]}, r"by county: is neither.*state"),
        ({"estimates": ["mean(btuel)"], "weight": "wgt"}, r"weight wgt: is neither.*weight"),
        (
            {"estimates": ["mean(btuel)"], "replicate_weights": ["rep_98", "rep_99"]},
            r"replicate weight rep_98",
        ),
    ],
)
def test_a_request_that_cannot_be_met_says_what_there_is(request_, message):
    fused, static = _population()
    with pytest.raises(AnalysisError, match=f"(?s){message}"):
        analyze(fused, static, **request_)


def test_an_incomplete_implicate_is_named(tmp_path):
    fused, static = _population()
    with pytest.raises(AnalysisError, match=r"implicate 4: has 59 records.*60"):
        analyze(fused.slice(0, len(fused) - 1), static, estimates=["mean(btuel)", "proportion(insec)"])


def test_implicates_whose_dictionaries_differ_are_read_by_their_labels():
    fused, static = _population(missing=0)
    parts = [fused.slice(0, 120), fused.slice(120)]
    labels = parts[1]["insec"].cast(pa.string()).combine_chunks()
    parts[1] = parts[1].set_column(4, "insec", labels.dictionary_encode())
    mixed = pa.concat_tables(parts, promote_options="permissive")
    assert (
        mixed["insec"].chunk(0).dictionary != mixed["insec"].chunk(mixed["insec"].num_chunks - 1).dictionary
    )
    request = {"estimates": ["proportion(insec)"], "by": ["state"]}
    found = analyze(mixed, static, **request).set_index(["state", "level"])
    expected = analyze(fused, static, **request).set_index(["state", "level"])
    pd.testing.assert_frame_equal(found.loc[expected.index], expected)


def test_a_household_twice_in_the_static_table_is_refused():
    fused, static = _population()
    with pytest.raises(AnalysisError, match=r"more than one row with .*hid"):
        analyze(fused, pa.concat_tables([static, static.slice(3, 1)]), estimates=["mean(btuel)"])


@pytest.mark.parametrize(("bad", "message"), [(None, "is missing"), (-2.0, "is negative")])
def test_weights_that_are_missing_or_negative_are_refused(bad, message):
    fused, static = _population()
    weights = pa.array([bad, *static["weight"].to_pylist()[1:]])
    static = static.set_column(2, "weight", weights)
    with pytest.raises(AnalysisError, match=f"weight weight: {message}"):
        analyze(fused, static, estimates=["mean(btuel)"], by=["state"])


def test_another_recipient_than_the_implicates_is_refused():
    fused, static = _population()
    other = static.set_column(0, "year", pa.array([2013] * len(static), pa.int16()))
    with pytest.raises(AnalysisError, match="no household in common"):
        analyze(fused, other, estimates=["mean(btuel)"])
    with pytest.raises(AnalysisError, match="cannot be joined"):
        analyze(fused.drop_columns(["hid"]), static, estimates=["mean(btuel)"])


def test_a_folder_without_implicates_is_named(tmp_path):
    _, static = _population()
    with pytest.raises(AnalysisError, match="holds no implicates"):
        analyze(tmp_path, static, estimates=["mean(btuel)"])


def test_a_damaged_implicate_is_named(tmp_path):
    fused, static = _population()
    root = _dataset(tmp_path / "fused", fused)
    (root / "implicate=03" / "part-0.parquet").write_bytes(b"PAR1 not any more PAR1")
    with pytest.raises(AnalysisError, match="implicate=03"):
        analyze(root, static, estimates=["mean(btuel)"])


def test_implicates_of_two_model_sets_are_refused(tmp_path):
    fused, static = _population()
    root = _dataset(tmp_path / "fused", fused)
    other = fused.filter(pa.compute.equal(fused["implicate"], 2)).drop_columns(["implicate"])
    codes = np.zeros(len(other), dtype=int)
    other = other.set_column(3, "insec", categorical(codes, ["sometimes"]))
    write_table(root / "implicate=02" / "part-0.parquet", other)
    with pytest.raises(AnalysisError, match="level 'sometimes'"):
        analyze(root, static, estimates=["proportion(insec)"])


def test_a_household_in_two_parts_counts_in_each_with_its_weight_there():
    fused = pa.table({"implicate": [1, 1, 2, 2], "hid": [7, 8, 7, 8], "use": [1.0, 3.0, 1.0, 3.0]})
    parts = pa.table({"hid": [7, 7, 8], "tract": ["a", "b", "b"], "weight": [3.0, 1.0, 1.0]})
    found = analyze(fused, parts, estimates=["mean(use)"], by=["tract"], parts="tract")
    assert found["estimate"].tolist() == [1.0, 2.0]
    with pytest.raises(AnalysisError, match=r"more than one row with .* tells its rows apart with `parts`"):
        analyze(fused, parts, estimates=["mean(use)"], by=["tract"])
    with pytest.raises(AnalysisError, match="parts county: is neither"):
        analyze(fused, parts, estimates=["mean(use)"], parts="county")
    with pytest.raises(AnalysisError, match="more than one row with"):
        analyze(fused, pa.concat_tables([parts, parts]), estimates=["mean(use)"], parts="tract")
