"""The LASSO path from correlations: each model on it is a LASSO model, and the first that suffices is returned."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.fusion.compiling import compiled
from fusion_pipeline.fusion.full_models import FullModels
from fusion_pipeline.fusion.least_angle import smallest_model

RIDGE = 1e-6


def correlated(seed: int, columns: int, rows: int) -> np.ndarray:
    """Correlations of alike columns, two of them the same; the last is the target."""
    random = np.random.default_rng(seed)
    data = random.normal(size=(rows, 3)) @ random.normal(size=(3, columns + 1))
    data += random.normal(size=data.shape)
    data[:, 1] = data[:, 0]
    return np.corrcoef(data.T) + RIDGE * np.eye(columns + 1)


def walk(correlations: np.ndarray, enough: float, most: int = 1000) -> tuple[np.ndarray, float, bool]:
    last = len(correlations) - 1
    columns, found, explained, is_cut_off = compiled(smallest_model)(
        correlations, last, np.arange(last), enough, most
    )
    coefficients = np.zeros(last)
    coefficients[columns] = found
    return coefficients, explained, is_cut_off


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    columns=st.integers(2, 40),
    rows=st.sampled_from([15, 60, 400]),
    share=st.sampled_from([0.3, 0.8, 0.95, 0.9999]),
)
def test_the_model_is_optimal_for_its_penalty(seed, columns, rows, share):
    """Correlations with the residual are the penalty where a coefficient is, and not larger elsewhere."""
    correlations = correlated(seed, columns, rows)
    full = FullModels(correlations, columns, np.arange(columns), []).explained([])
    coefficients, explained, is_cut_off = walk(correlations, share * full)
    gram, moments = correlations[:-1, :-1], correlations[-1, :-1]
    rest, chosen = moments - gram @ coefficients, coefficients != 0
    penalty = np.abs(rest).max()
    np.testing.assert_allclose(rest[chosen], np.sign(coefficients[chosen]) * penalty, atol=1e-9)
    assert not is_cut_off
    assert explained >= share * full
    assert explained == pytest.approx(
        2 * moments @ coefficients - coefficients @ gram @ coefficients, abs=1e-9
    )


def test_the_model_is_the_first_of_the_path_that_suffices():
    from sklearn.linear_model import lars_path_gram

    for seed in range(20):
        correlations = np.delete(np.delete(correlated(seed, 30, 80), 1, 0), 1, 1)
        gram, moments = correlations[:-1, :-1], correlations[-1, :-1]
        _, _, path = lars_path_gram(moments.copy(), gram.copy(), n_samples=1, method="lasso")
        explained = 2 * moments @ path - np.einsum("jk,jk->k", path, gram @ path)
        enough = 0.95 * explained[-1]
        first = path[:, np.argmax(explained >= enough)]
        np.testing.assert_allclose(walk(correlations, enough)[0], first, atol=1e-8)


def test_a_walk_of_too_few_steps_ends_with_what_it_has():
    correlations = correlated(1, 30, 200)
    coefficients, explained, is_cut_off = walk(correlations, 0.99, most=3)
    assert is_cut_off
    assert 0 < explained < 0.99
    assert 1 <= np.count_nonzero(coefficients) <= 3


def test_nothing_to_explain_needs_no_column():
    assert not walk(np.eye(5), 0.0)[0].any()
    assert not walk(np.eye(5), 0.5)[0].any()


def test_full_models_explain_what_least_squares_does():
    correlations = correlated(2, 30, 300)
    models = FullModels(correlations, 30, np.arange(10), list(range(10, 30)))
    for besides in ([], [12], [25, 11, 19], list(range(10, 30))):
        columns = [*range(10), *besides]
        gram, moments = correlations[np.ix_(columns, columns)], correlations[columns, 30]
        assert models.explained(besides) == pytest.approx(moments @ np.linalg.solve(gram, moments), abs=1e-8)


def test_full_models_without_fixed_columns():
    correlations = correlated(3, 6, 300)
    models = FullModels(correlations, 6, np.arange(0), list(range(6)))
    assert models.explained([]) == 0
    assert models.explained([2]) == pytest.approx(correlations[2, 6] ** 2, abs=1e-5)
