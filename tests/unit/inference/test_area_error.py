"""Area errors: their size is recovered and expected, the component follows, and bad input is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.errors import AnalysisError, StorageError
from fusion_pipeline.inference.area_error import (
    AreaError,
    Expected,
    Proxy,
    estimate_icc,
)
from fusion_pipeline.inference.area_variance import Lie, area_variance, widened


def proxy(
    variable: str, icc: float, spread: float = 0.04, finer: float = 0.0, wider: float | None = None
) -> Proxy:
    return Proxy(
        variable=variable, icc=icc, standard_error=0.001, icc_finer=icc + 0.5 * finer, icc_wider=wider, part=0.5,
        residual_share=0.7, spread=spread, areas=100,
    )  # fmt: skip


def measured(*proxies: Proxy) -> AreaError:
    return AreaError(
        area=("state", "puma"), wider=("state",), proxies=proxies, measured_on={"survey": "simulated"}
    )


def lie(areas: float, wider: float = 0.0, partial: float = 0.0) -> Lie:
    return Lie(*(np.array([x]) for x in (areas, wider, partial)))


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


def test_icc_is_zero_where_errors_are_smaller_than_the_implicates_tell() -> None:
    found = estimate_icc(np.linspace(-0.5, 0.5, 20), np.ones(20), np.ones(20))
    assert found.value == 0 and found.standard_error > 0
    assert estimate_icc(np.zeros(20), np.zeros(20), np.ones(20)).value == 0


def test_icc_is_expected_in_proportion_to_the_root_of_the_spread() -> None:
    error = measured(*(proxy(f"v{s}", 0.1 * s**0.5, s) for s in (0.01, 0.02, 0.04, 0.08, 0.16)))
    assert error.expected(0.05).icc == pytest.approx(0.1 * 0.05**0.5)
    assert error.expected(0.05).df == np.inf


def test_spread_beyond_the_proxies_counts_as_theirs_and_an_unknown_one_as_the_median() -> None:
    error = measured(*(proxy(f"v{s}", 0.1 * s**0.5, s) for s in (0.01, 0.02, 0.04, 0.08, 0.16)))
    assert error.expected(0.9) == error.expected(0.16)
    assert error.expected(0.0) == error.expected(0.01)
    assert error.expected(float("nan")).icc == pytest.approx(0.1 * 0.04**0.5)


def test_one_outlying_proxy_hardly_moves_what_is_expected() -> None:
    alike = [proxy(f"v{i}", 0.02 + 0.001 * i) for i in range(5)]
    assert measured(*alike, proxy("odd", 0.5)).expected(0.04).icc == pytest.approx(0.0225, rel=0.05)


def test_uncertain_icc_costs_degrees_of_freedom() -> None:
    scattered = measured(*(proxy(f"v{icc}", icc) for icc in (0.005, 0.01, 0.02, 0.04, 0.08)))
    assert scattered.expected(0.04).df < 10
    df, margin = widened(1.0, 50.0, 1.0, 4.0, 0.90)
    assert 4 < df < 50 and margin > 1.645 * 2**0.5
    df, margin = widened(1.0, 50.0, 0.0, 4.0, 0.90)
    assert df == 50 and margin == pytest.approx(1.6759, abs=1e-4)


def test_component_never_narrows_a_margin_that_few_implicates_made_wide() -> None:
    _, without = widened(1.0, 2.0, 0.0, np.inf, 0.90)
    _, together = widened(1.0, 2.0, 0.1, np.inf, 0.90)
    assert together >= without


def test_shares_of_the_icc_are_medians_over_proxies() -> None:
    error = measured(*(proxy(f"v{i}", 0.02, finer=0.004 * i, wider=0.005 * i) for i in range(5)))
    assert error.expected(0.04).finer == pytest.approx(0.008)
    assert error.expected(0.04).wider == pytest.approx(0.010)
    without = measured(*(proxy(f"v{i}", 0.02) for i in range(5)))
    assert without.expected(0.04).wider == 0


def test_component_deducts_what_rubins_rule_counts_twice() -> None:
    expected = Expected(0.03, 0.0, 0.0, np.inf)
    wide, narrow = (area_variance(expected, 1.0, 1 / n, n, lie(1.0, 1.0)) for n in (500, 50))
    assert wide == pytest.approx([0.03 - 2 / 500])
    assert narrow == pytest.approx([0.0])


def test_component_of_an_area_a_state_and_a_part_of_an_area() -> None:
    expected, n = Expected(0.03, 0.01, 0.006, np.inf), 1e9
    assert n * area_variance(expected, 1.0, 1 / n, n, lie(1, 1)) / n == pytest.approx([0.03])
    assert area_variance(expected, 1.0, 1.0, n, lie(0.1, 1)) / n == pytest.approx([0.02 * 0.1 + 0.01])
    assert area_variance(expected, 1.0, 1.0, n, lie(1, 1, 0.5)) / n == pytest.approx([0.033])
    assert area_variance(expected, 1.0, 1.0, n, lie(0, 0)) == 0


def test_file_is_read_as_written(tmp_path: Path) -> None:
    error = measured(*(proxy(f"v{i}", 0.02, wider=-0.001) for i in range(5)))
    error.write(tmp_path / "error.json")
    assert AreaError.read(tmp_path / "error.json") == error


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


def test_few_proxies_tell_nothing() -> None:
    error = measured(*(proxy(f"v{i}", 0.02) for i in range(5)))
    assert error.measured and not error.without(["v1"]).measured
    with pytest.raises(AnalysisError, match="4 proxies"):
        error.without(["v1"]).expected(0.04)
