import lightgbm as lgb
import numpy as np
import pytest

from fusion_pipeline.fusion.growing import MANY, Growth, Tuning, choose_trees

PARAMETERS = {
    "objective": "regression",
    "metric": "l2",
    "learning_rate": 0.1,
    "num_leaves": 8,
    "extra_trees": True,
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
}


@pytest.fixture(scope="module")
def splits():
    random = np.random.default_rng(5)
    features = random.normal(size=(1500, 4)).astype(np.float32)
    label = features[:, 0] + 0.5 * features[:, 1] * features[:, 2] + random.normal(size=1500)
    full = lgb.Dataset(features, label, params=PARAMETERS, free_raw_data=False).construct()
    fold = np.arange(1500) % 3
    return [
        (
            full.subset(np.flatnonzero(fold != k).tolist()).construct(),
            full.subset(np.flatnonzero(fold == k).tolist()).construct(),
        )
        for k in range(3)
    ]


def test_gains_below_the_tolerance_do_not_keep_a_model_growing(splits):
    patient = Growth(splits, PARAMETERS, Tuning((8,), 0.1, 0.1, patience=10, tolerance=0))
    brief = Growth(splits, PARAMETERS, Tuning((8,), 0.1, 0.1, patience=10, tolerance=0.02))
    (best, rounds), (good, fewer) = patient.grow(3), brief.grow(3)
    assert fewer < rounds
    assert best < good < best * 1.03


def test_folds_that_do_not_decide_are_grown_as_far_as_those_that_do(splits):
    growth = Growth(splits, PARAMETERS, Tuning((8,), 0.1, 0.1, patience=5, round_folds=1))
    _, rounds = growth.finish()
    deciding, *others = [booster.num_trees() for booster in growth.boosters]
    assert deciding > rounds
    assert others == [rounds, rounds]


def test_more_folds_go_on_from_what_fewer_have_grown(splits):
    growth = Growth(splits, PARAMETERS, Tuning((8,), 0.1, 0.1, patience=5))
    growth.grow(1)
    first = growth.boosters[0]
    again = Growth(splits, PARAMETERS, Tuning((8,), 0.1, 0.1, patience=5))
    assert growth.finish() == again.finish()
    assert growth.boosters[0] is first


def test_sizes_are_climbed_while_the_loss_falls(splits):
    _, losses = choose_trees(splits, PARAMETERS, Tuning((2, 4, 8, 16, 32), 0.1, 0.1, patience=5))
    sizes = list(losses)
    assert sizes[: sizes.index(4) + 1] in ([4], [2, 4])
    assert sizes == sorted(sizes)
    best = min(losses, key=losses.get)
    assert sizes.index(best) in {0, len(sizes) - 2, len(sizes) - 1}


def test_a_search_of_the_grid_tries_every_size_on_every_fold(splits):
    tuning = Tuning.for_donors(1500, 1, (2, 4, 8, 16), 0.2, 0.2, 3, "grid")
    growth, losses = choose_trees(splits, PARAMETERS, tuning)
    assert list(losses) == [2, 4, 8, 16]
    assert len(growth.boosters) == len(splits)


def test_many_donors_are_grown_faster_unless_told_otherwise():
    few, many = (Tuning.for_donors(n, 1, (8,), None, 0.25, None) for n in (MANY - 1, MANY))
    assert few.learning_rate < many.learning_rate
    assert few.patience > many.patience
    told = Tuning.for_donors(MANY, 1, (8,), 0.05, 0.25, 50)
    assert (told.learning_rate, told.patience) == (0.05, 50)


def test_rows_that_stand_for_one_donor_count_as_one():
    once, thrice = (Tuning.for_donors(n * MANY // 2, n, (8,), None, 0.25, None) for n in (1, 3))
    assert thrice.learning_rate == once.learning_rate
    assert thrice.smallest_leaf == 3 * once.smallest_leaf
