"""Area errors: their size is recovered, margins that hold them cover, and bad input is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.errors import AnalysisError, StorageError
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.inference.area_error import (
    AreaError,
    Expected,
    Proxy,
    area_variance,
    concentration,
    estimate_icc,
    residual_share,
    total_df,
)

ICC = 0.05
AREAS, HOUSEHOLDS, IMPLICATES = 250, 250, 6


def proxy(variable: str, icc: float, kind: str = "number", finer: float = 0.0) -> Proxy:
    return Proxy(
        variable=variable, kind=kind, icc=icc, standard_error=0.001, icc_finer=icc + 0.5 * finer, part=0.5,
        residual_share=0.7, areas=100,
    )  # fmt: skip


def area_error(icc: float = ICC) -> AreaError:
    return AreaError(
        area=("puma",), proxies=tuple(proxy(name, icc) for name in "abc"), measured_on={"survey": "simulated"}
    )


@pytest.fixture(scope="module")
def fused() -> tuple[pa.Table, pa.Table, np.ndarray]:
    """Implicates by the true model without its area effects, and the areas' true means."""
    random = np.random.default_rng(5)
    n = AREAS * HOUSEHOLDS
    puma = np.repeat(np.arange(AREAS), HOUSEHOLDS)
    x = 0.5 * random.normal(size=n)
    truth = np.sqrt(ICC) * random.normal(size=AREAS)
    drawn = [x + random.normal(size=n) for _ in range(IMPLICATES)]
    table = pa.table(
        {
            "implicate": np.repeat(np.arange(1, IMPLICATES + 1), n),
            "hid": np.tile(np.arange(n), IMPLICATES),
            "y": np.concatenate(drawn),
        }
    )
    static = pa.table({"hid": np.arange(n), "weight": np.ones(n), "puma": puma, "x": x})
    return table, static, truth


@pytest.mark.parametrize("icc", [0.0, 0.01, 0.05])
def test_icc_is_recovered_from_simulated_area_effects(icc: float) -> None:
    random = np.random.default_rng(1)
    residual = random.uniform(0.5, 2, 2_000)
    known = residual / random.integers(50, 1_000, 2_000)
    error = np.sqrt(known + icc * residual) * random.normal(size=2_000)
    found = estimate_icc(error, known, residual)
    assert found.value == pytest.approx(icc, abs=max(4 * found.standard_error, 2e-3))


def test_standard_error_of_icc_is_the_spread_of_repeated_estimates() -> None:
    random = np.random.default_rng(2)
    known = np.full(100, 0.004)
    found = [estimate_icc(np.sqrt(0.034) * random.normal(size=100), known, np.ones(100)) for _ in range(300)]
    spread = np.std([f.value for f in found])
    assert np.mean([f.standard_error for f in found]) == pytest.approx(spread, rel=0.15)


def test_margins_with_the_component_cover_areas_and_those_without_do_not(fused) -> None:
    table, static, effect = fused
    result = analyze(table, static, estimates=["mean(y)"], by=["puma"], area_error=area_error()).table
    # Truth of the population: x has mean 0 everywhere, so an area's mean is its effect.
    off = np.abs(result["estimate"] - effect)
    assert np.mean(off <= result["margin_without"]) < 0.80
    assert 0.86 < np.mean(off <= result["margin"]) < 0.94


def test_component_vanishes_for_the_nation_and_for_observed_variables(fused) -> None:
    table, static, _ = fused
    nation = analyze(table, static, estimates=["mean(y)"], area_error=area_error()).table
    observed = analyze(table, static, estimates=["mean(x)"], by=["puma"], area_error=area_error()).table
    assert nation["margin"].iloc[0] == pytest.approx(nation["margin_without"].iloc[0], rel=0.05)
    assert (observed["area_error"] == 0).all()
    assert (observed["margin"] == observed["margin_without"]).all()


def test_without_area_error_the_table_has_no_such_columns(fused) -> None:
    table, static, _ = fused
    assert "area_error" not in analyze(table, static, estimates=["mean(y)"]).table


def test_unknown_area_column_is_named(fused) -> None:
    table, static, _ = fused
    error = area_error().model_copy(update={"area": ("tract",)})
    with pytest.raises(AnalysisError, match="tract"):
        analyze(table, static, estimates=["mean(y)"], area_error=error)


def test_concentration_is_high_for_one_area_and_zero_for_groups_spread_like_everyone() -> None:
    areas = np.repeat(np.arange(4), 5)
    h, partial = concentration(areas, areas, np.ones(20), 4)
    assert h == pytest.approx(np.full(4, 0.75**2 + 3 * 0.25**2)) and partial == pytest.approx(np.zeros(4))
    h, partial = concentration(np.tile([0, 1, 1, 1, -1], 4), areas, np.ones(20), 2)
    assert h == pytest.approx([0, 0])
    assert partial == pytest.approx([0.25 * 0.8, 0.25 * 0.4])


def test_residual_share_is_one_minus_r_squared() -> None:
    random = np.random.default_rng(3)
    signal = random.normal(size=50_000)
    first, second = (np.sqrt(0.4) * signal + np.sqrt(0.6) * random.normal(size=50_000) for _ in range(2))
    assert residual_share(first, second, np.ones(50_000)) == pytest.approx(0.6, abs=0.02)
    assert residual_share(signal, signal, np.ones(50_000)) == 0


def test_expected_icc_is_the_median_of_the_kind_drawn_towards_all() -> None:
    shares = [proxy(f"s{i}", 0.005, "share") for i in range(3)]
    numbers = [proxy(f"n{i}", 0.03) for i in range(5)]
    error = AreaError(area=("puma",), proxies=tuple(shares + numbers), measured_on={})
    assert 0.005 < error.expected("share").icc < error.expected("number").icc == pytest.approx(0.03)


def test_uncertain_icc_costs_degrees_of_freedom() -> None:
    spread = tuple(proxy(f"v{i}", icc) for i, icc in enumerate([0.005, 0.01, 0.02, 0.04, 0.08]))
    assert AreaError(area=("puma",), proxies=spread, measured_on={}).expected("number").df < 10
    assert area_error().expected("number").df == np.inf
    joined = total_df(1.0, 50.0, 1.0, 4.0)
    assert 4 < joined < 50
    assert total_df(1.0, 50.0, 0.0, 4.0) == 50


def test_component_deducts_what_rubins_rule_counts_twice() -> None:
    expected = Expected(0.03, 0.0, np.inf)
    found = area_variance(expected, 1.0, [1 / 50, 1 / 500], [50, 500], 1.0, 0.0)
    assert found == pytest.approx([0.0, 0.03 - 2 / 500])


def test_file_is_read_as_written(tmp_path: Path) -> None:
    area_error().write(tmp_path / "error.json")
    assert AreaError.read(tmp_path / "error.json") == area_error()


def test_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"area": []}')
    for name in ("bad.json", "none.json"):
        with pytest.raises(StorageError, match=name):
            AreaError.read(tmp_path / name)


@pytest.mark.parametrize(
    ("error", "known", "residual"),
    [
        (np.ones(9), np.ones(9), np.ones(9)),
        (np.ones(20), np.ones(19), np.ones(20)),
        (np.ones(20), -np.ones(20), np.ones(20)),
        (np.ones(20), np.ones(20), np.zeros(20)),
        (np.full(20, np.nan), np.ones(20), np.ones(20)),
    ],
)
def test_bad_errors_are_refused(error: np.ndarray, known: np.ndarray, residual: np.ndarray) -> None:
    with pytest.raises(AnalysisError, match="area"):
        estimate_icc(error, known, residual)


def test_leaving_out_too_many_proxies_is_refused() -> None:
    with pytest.raises(AnalysisError, match="2 proxies"):
        area_error().without(["a"])
