"""No donor meets itself, and the same seed gives the same implicates."""

import numpy as np
import pytest

import fusion_pipeline as fp
from fusion_pipeline.errors import TrainingError
from fusion_pipeline.examples import make_population

PLAN = fp.FusionPlan.chained(["size"], ["group", "income"], "weight")
QUICK = {"leaves": [4], "bootstraps": 0}


@pytest.fixture(scope="module")
def donor():
    """Donors whose values tell them apart, in units of two."""
    made = make_population(300, 1)
    return made.assign(size=np.arange(300) + 0.5, unit=np.arange(300) // 2)


@pytest.fixture(scope="module")
def held(donor):
    return fp.cross_fit(donor, PLAN, folds=3, groups="unit", implicates=4, options=QUICK)


def test_every_donor_is_fused_from_donors_of_other_folds(held) -> None:
    observed, fused = held.observed.to_pandas(), held.implicates.to_pandas()
    assert (fused.groupby("implicate")["hid"].nunique() == 300).all() and len(fused) == 4 * 300
    fold = observed.set_index("hid")["fold"]
    source = observed.set_index("size")["fold"].reindex(fused["size"]).to_numpy()
    assert (source >= 0).all()
    assert (source != fold.reindex(fused["hid"]).to_numpy()).all()


def test_units_are_not_split_and_folds_are_of_one_size(held) -> None:
    observed = held.observed.to_pandas()
    assert (observed.groupby("unit")["fold"].nunique() == 1).all()
    assert observed["fold"].value_counts().tolist() == [100, 100, 100]


def test_folds_are_compared_one_by_one_with_the_donors_of_the_others(held) -> None:
    found = fp.validate(held.implicates, held.observed, groups=["group"], folds="fold", smallest=10)
    direct = found.estimates.query("fold == 0 and subset == 'b'").iloc[0]
    donor = held.observed.to_pandas().query("fold != 0 and group == 'b'")
    assert direct["direct"] == pytest.approx(np.average(donor["size"], weights=donor["weight"]), rel=1e-6)
    assert found.estimates["fold"].nunique() == 3


def test_same_seed_gives_the_same_and_another_seed_others(donor) -> None:
    first, same, other = (
        fp.cross_fit(donor, PLAN, implicates=2, seed=seed, options=QUICK) for seed in (1, 1, 2)
    )
    assert first.implicates.equals(same.implicates) and first.observed.equals(same.observed)
    assert not first.observed["fold"].equals(other.observed["fold"])


def test_ids_that_several_surveys_share_are_numbered_anew(donor) -> None:
    shared = fp.cross_fit(donor.assign(hid=donor["hid"] // 2), PLAN, implicates=2, options=QUICK)
    assert shared.observed["hid"].to_pylist() == list(range(300))
    assert set(shared.implicates["hid"].to_pylist()) == set(range(300))


@pytest.mark.parametrize(
    ("given", "match"), [({"folds": 1}, "folds=1"), ({"folds": 301}, "300"), ({"groups": "no"}, "column no")]
)
def test_folds_that_cannot_be_are_refused(donor, given, match) -> None:
    with pytest.raises(TrainingError, match=match):
        fp.cross_fit(donor, PLAN, **given)
