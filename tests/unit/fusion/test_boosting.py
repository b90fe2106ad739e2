import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.fusion import boosting, growing
from fusion_pipeline.fusion.boosting import Objective
from fusion_pipeline.fusion.growing import Tuning


@given(st.integers(20, 200), st.integers(2, 5), st.integers(0, 99))
def test_folds_share_every_stratum_evenly(n, folds, seed):
    random = np.random.default_rng(seed)
    strata = random.integers(0, 3, n)
    fold = boosting.assign_folds(strata, folds, random)
    for stratum in np.unique(strata):
        counts = np.bincount(fold[strata == stratum], minlength=folds)
        assert counts.max() - counts.min() <= 1


@given(st.integers(0, 99))
def test_a_group_is_never_split_over_folds(seed):
    random = np.random.default_rng(seed)
    groups = random.integers(0, 30, 100)
    fold = boosting.assign_folds(random.integers(0, 2, 100), 3, random, groups)
    for group in np.unique(groups):
        assert len(np.unique(fold[groups == group])) == 1


def test_rank_bins_are_even_and_keep_equal_values_together():
    values = np.random.default_rng(1).normal(size=1000)
    assert np.bincount(boosting.rank_bins(values)).tolist() == [100] * 10
    assert len(np.unique(boosting.rank_bins(np.zeros(50)))) == 1


@pytest.mark.parametrize(("donors", "least"), [(100, 20), (20_000, 20), (20_001, 21), (129_696, 130)])
def test_leaves_hold_a_tenth_of_a_percent_of_donors_and_at_least_twenty(donors, least):
    assert growing.smallest_leaf(donors) == least


def test_out_of_fold_predictions_are_not_fitted_to_the_donor_itself():
    random = np.random.default_rng(2)
    features, label = random.normal(size=(600, 5)).astype(np.float32), random.normal(size=600)
    fold = boosting.assign_folds(boosting.rank_bins(label), 3, random)
    tuning = Tuning((31,), 0.1, 0.1, patience=5)
    mean = Objective("mean", {"objective": "regression", "metric": "l2"}, 1)
    [model] = boosting.fit_models(features, [], label, np.ones(600), fold, [mean], tuning)
    fitted = model.booster.predict(features)
    assert np.corrcoef(fitted, label)[0, 1] > 0.15
    assert abs(np.corrcoef(model.out_of_fold, label)[0, 1]) < 0.12


def test_the_best_tree_size_wins_and_the_final_model_has_its_number_of_rounds():
    random = np.random.default_rng(3)
    features = random.normal(size=(900, 3)).astype(np.float32)
    label = features[:, 0] * features[:, 1] + 0.3 * random.normal(size=900)
    fold = boosting.assign_folds(boosting.rank_bins(label), 3, random)
    mean = Objective("mean", {"objective": "regression", "metric": "l2"}, 1)
    [model] = boosting.fit_models(
        features, [], label, np.ones(900), fold, [mean], Tuning((2, 16), 0.2, 0.2, patience=10)
    )
    assert model.leaves == 16 == min(model.losses, key=model.losses.get)
    assert model.booster.num_trees() == model.rounds
    # Sizes are compared on some folds, the loss is that of all.
    assert model.loss == pytest.approx(model.losses[16], rel=0.2)
    assert model.loss < np.var(label) / 2
