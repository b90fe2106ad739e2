import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion import recipient as recipients
from fusion_pipeline.fusion.donors import Donors, bayesian_bootstrap
from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.modelset import DONOR_WEIGHT
from fusion_pipeline.fusion.renewing import leaf_values, renew_leaves, renewed_means
from fusion_pipeline.fusion.training import train

DONORS = 400
QUICK = {"leaves": (4,), "patience": 3, "folds": 3, "centres": 400}


@pytest.fixture(scope="module")
def donor() -> pd.DataFrame:
    random = np.random.default_rng(1)
    x = random.normal(size=DONORS)
    return pd.DataFrame(
        {
            "x": x,
            "value": 3 * x + random.normal(size=DONORS),
            "class": pd.Categorical(np.where(random.random(DONORS) < 0.4, "yes", "no")),
            "unit": np.arange(DONORS) // 2,
        }
    )


@pytest.fixture(scope="module")
def target() -> pd.DataFrame:
    return pd.DataFrame({"x": np.random.default_rng(2).normal(size=8000)})


def trained(donor, folder, **settings):
    return train(donor, out=folder, **{"y": ["value", "class"], "x": ["x"]} | QUICK | settings)


@pytest.fixture(scope="module")
def fused(donor, target, tmp_path_factory) -> dict[int, pd.DataFrame]:
    """Sixty implicates of 8,000 households from 400 donors, without and with a set of weights each."""
    folder = tmp_path_factory.mktemp("proper")
    drawn = {}
    for sets in (0, 60):
        models = trained(donor, folder / str(sets), bootstraps=sets)
        drawn[sets] = fuse(target, models, implicates=60, retain=()).to_pandas()
    return drawn


@pytest.mark.parametrize("variable", ["value", "class"])
def test_between_implicate_variance_of_a_mean_is_the_sampling_variance_of_the_donors(fused, variable):
    # Of the value, what the households' x leave open: they are given.
    truth = (1.0 if variable == "value" else 0.4 * 0.6) / DONORS
    between = {}
    for sets, drawn in fused.items():
        numbers = drawn["value"] if variable == "value" else (drawn["class"] == "yes")
        between[sets] = numbers.groupby(drawn["implicate"]).mean().var()
    # The variance of 60 means is itself known to a factor of about 1.5 either way.
    assert between[0] < 0.25 * truth, "draws alone: as if the donors were the population"
    # Some donors stand in more pools than others, so a hot deck varies more than a mean over all donors would.
    assert 0.6 * truth < between[60] < 2.5 * truth


def test_proper_implicates_have_the_mean_of_plain_ones(fused):
    plain, proper = (drawn["value"].groupby(drawn["implicate"]).mean() for drawn in fused.values())
    assert abs(proper.mean() - plain.mean()) < 4 * proper.std() / np.sqrt(60)


def test_implicates_differ_as_much_as_group_means_of_a_number_are_wrong(tmp_path):
    # The effects of 24 groups are found in some 25 donors each: that is what implicates must be unsure of.
    def households(n: int, random: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
        codes = {"g": random.integers(0, 6, n), "h": random.integers(0, 4, n)}
        x = random.normal(size=n)
        mean = 2 * x + np.array([0, 0.6, -0.6, 0.3, -0.3, 0])[codes["g"]]
        mean += np.array([0, 0.4, -0.4, 0.2])[codes["h"]]
        return pd.DataFrame({"x": x} | {name: pd.Categorical(code) for name, code in codes.items()}), mean

    target, truth = households(3000, np.random.default_rng(9))
    wrong, between = [], []
    for seed in range(3):
        random = np.random.default_rng(seed)
        donor, mean = households(600, random)
        donor["y"] = mean + random.normal(scale=1.5, size=600)
        models = trained(
            donor, tmp_path / "m", y=["y"], x=["x", "g", "h"], seed=seed, patience=20, bootstraps=12
        )
        drawn = np.asarray(fuse(target, models, implicates=12, retain=())["y"]).reshape(12, -1)
        for _, rows in target.groupby(["g", "h"], observed=True).indices.items():
            means = drawn[:, rows].mean(axis=1)
            wrong.append((means.mean() - truth[rows].mean()) ** 2)
            between.append(means.var(ddof=1))
    # What trees shrink away is wrong in every implicate, so the whole is never reached; donors redrawn within pools
    # alone reach a quarter.
    assert 0.45 < np.mean(between) / np.mean(wrong) < 1.1


def test_leaves_renewed_with_the_weights_of_the_fit_are_those_of_lightgbm(donor):
    features, label, weight, booster = boosted(donor, nominal=[])
    place = booster.predict(features, pred_leaf=True)
    plain = leaf_values(booster)
    own, fitted = renew_leaves(place, [len(values) for values in plain], label, weight, 0.15)
    assert np.concatenate(own) == pytest.approx(np.concatenate(plain), abs=1e-5)
    assert fitted == pytest.approx(booster.predict(features), abs=1e-5)


def test_renewed_means_differ_from_the_means_by_what_pools_cannot_say(donor):
    features, label, weight, booster = boosted(donor, nominal=[1])
    random = np.random.default_rng(5)
    [same, other] = renewed_means(
        booster, features, label, weight, [weight, weight * random.exponential(size=DONORS)], 0.15
    )
    fitted = booster.predict(features)
    assert same.predict(features) == pytest.approx(fitted, abs=1e-9)
    difference = other.predict(features) - fitted
    assert difference.std() > 0.05
    line = np.polynomial.Polynomial.fit(fitted, difference, 1, w=np.sqrt(weight)).convert()
    assert line.coef == pytest.approx([0, 0], abs=1e-6)


def boosted(donor: pd.DataFrame, nominal: list[int]):
    random = np.random.default_rng(4)
    features = np.column_stack([donor["x"], random.integers(0, 5, DONORS)]).astype(np.float32)
    label, weight = donor["value"].to_numpy() + 50, random.uniform(0.5, 2, DONORS)
    data = lgb.Dataset(features, label, weight=weight, categorical_feature=nominal)
    settings = {"objective": "regression", "num_leaves": 5, "learning_rate": 0.15, "verbosity": -1}
    return features, label, weight, lgb.train(settings, data, num_boost_round=30)


def test_an_implicate_is_the_same_whatever_is_drawn_beside_it(
    donor, target, tmp_path, monkeypatch, least_memory
):
    monkeypatch.setattr(recipients, "BLOCK_ROWS", 100)
    models = trained(donor, tmp_path / "m", bootstraps=3)
    part = target.head(250)
    whole = fuse(part, models, implicates=7, retain=())
    for numbers in ([4], [7, 2], [5, 1, 6]):
        least = least_memory(part, models, numbers, threads=2)
        again = fuse(part, models, implicates=numbers, retain=(), threads=2, memory_limit=least)
        for m in numbers:
            own = pc.equal(again["implicate"], m)
            assert again.filter(own).equals(whole.filter(pc.equal(whole["implicate"], m))), m


def test_implicates_use_the_sets_in_turn(donor, target, tmp_path):
    models = trained(donor, tmp_path / "m", bootstraps=2)
    heavy = {b: np.asarray(models.redrawn(b).donors[DONOR_WEIGHT]) for b in (1, 2)}
    drawn = fuse(target, models, implicates=4, retain=()).to_pandas()
    weight = {
        b: pd.Series(drawn["value"].map(dict(zip(donor["value"], w, strict=True)))) for b, w in heavy.items()
    }
    favoured = (weight[1] - weight[2]).groupby(drawn["implicate"]).mean()
    assert favoured[1] > 0 < favoured[3]
    assert favoured[2] < 0 > favoured[4]


def test_redrawn_weights_are_one_share_a_unit_times_the_donors_weight(donor):
    weight = np.random.default_rng(3).uniform(0.5, 2, DONORS)
    units = donor["unit"].to_numpy(np.int32)
    drawn = bayesian_bootstrap(Donors(pa.table({}), weight, units), 1, 1)
    share = (drawn / weight).reshape(-1, 2)
    assert drawn.mean() == pytest.approx(1)
    assert share[:, 0] == pytest.approx(share[:, 1])
    assert share[:, 0].std() / share[:, 0].mean() == pytest.approx(1, abs=0.25), "exponential shares"
    assert not np.array_equal(drawn, bayesian_bootstrap(Donors(pa.table({}), weight, units), 1, 2))
    assert not np.array_equal(drawn, bayesian_bootstrap(Donors(pa.table({}), weight, units), 2, 1))


def test_reports_count_a_model_once_and_sets_share_size_and_rounds(donor, tmp_path):
    models = trained(donor, tmp_path / "m", bootstraps=3)
    assert models.report().query("variable == 'class'").shape[0] == 1
    classes = [r for r in models.records if r.variable == "class"]
    assert [r.set for r in classes] == [0, 1, 2, 3]
    assert len({(r.rounds, r.leaves) for r in classes}) == 1
    assert models.donors.column_names == ["value", DONOR_WEIGHT]
    assert set(models.donors[DONOR_WEIGHT].to_pylist()) == {1.0}


def test_of_the_models_that_place_donors_sets_have_means_of_their_own_only(donor, tmp_path):
    for y in ([["value", "class"]], ["value"]):
        models = trained(donor, tmp_path / "m", y=y, bootstraps=2)
        assert {(r.variable, r.role) for r in models.records if r.set} == {("value", "mean")}
        draw = fuse(pd.DataFrame({"x": [0.0, 1.0]}), models, implicates=3, retain=())
        assert set(draw["value"].to_pylist()) <= set(donor["value"]), "values stay those of donors"


def test_a_negative_number_of_sets_is_refused(donor, tmp_path):
    with pytest.raises(TrainingError, match="bootstraps: is -1"):
        trained(donor, tmp_path / "m", bootstraps=-1)
