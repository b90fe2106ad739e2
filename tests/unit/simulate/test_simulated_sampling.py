import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.simulate import acs, recs
from fusion_pipeline.simulate.place import Places
from fusion_pipeline.simulate.sampling import (
    allocate,
    calibrate,
    draw_urban,
    fay,
    hadamard,
    pseudo_strata,
    successive_difference,
)

SAMPLES = 80


@pytest.mark.parametrize("order", [80, 96])
def test_hadamard_rows_are_orthogonal(order: int) -> None:
    matrix = hadamard(order)
    assert set(np.unique(matrix)) == {-1, 1}
    assert (matrix[0] == 1).all()
    np.testing.assert_array_equal(matrix @ matrix.T, order * np.eye(order))


@given(
    total=st.integers(40, 5000),
    sizes=st.lists(st.floats(0.1, 1e6), min_size=1, max_size=20),
    power=st.floats(0.3, 1.0),
)
def test_allocation_uses_the_whole_sample_and_leaves_no_stratum_out(
    total: int, sizes: list[float], power: float
) -> None:
    counts = allocate(total, np.array(sizes), power)
    assert counts.sum() == total
    assert (counts >= 2).all()


@given(seed=st.integers(0, 2**32), strata=st.integers(1, 6))
def test_calibrated_weights_add_up_to_the_totals_in_every_replicate(seed: int, strata: int) -> None:
    rng = np.random.default_rng(seed)
    stratum = np.concatenate([np.arange(strata), rng.integers(0, strata, 30)])
    totals = rng.uniform(1, 1000, strata)
    weights = calibrate(rng.uniform(0.1, 2, (len(stratum), 5)), stratum, totals)
    sums = np.stack([np.bincount(stratum, column, minlength=strata) for column in weights.T], axis=1)
    np.testing.assert_allclose(sums, np.repeat(totals[:, None], 5, axis=1))


def test_design_weights_undo_the_unequal_rates() -> None:
    rng = np.random.default_rng(1)
    shares = np.repeat([[0.6, 0.1, 0.3]], 200_000, axis=0)
    urban, weight = draw_urban(shares, rng)
    assert np.bincount(urban)[2] / len(urban) > 0.33, "rural areas should be over-sampled"
    np.testing.assert_allclose(np.bincount(urban, weight) / weight.sum(), shares[0], atol=0.005)


def test_successive_difference_factors_take_the_three_values() -> None:
    factors = successive_difference(np.arange(5000))
    root = 1 / np.sqrt(2)
    assert set(np.round(np.unique(factors), 6)) == set(np.round([1 - root, 1, 1 + root], 6))


def test_fay_factors_are_half_and_one_and_a_half_and_balanced() -> None:
    stratum = np.repeat(np.arange(95), 2)
    factors = fay(stratum, np.tile([0, 1], 95))
    assert set(np.unique(factors)) == {0.5, 1.5}
    deviations = factors[::2] - 1
    np.testing.assert_allclose(deviations @ deviations.T, np.eye(95) * 96 / 4)


def test_pseudo_strata_stay_within_design_strata_and_have_equal_halves() -> None:
    stratum = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 60))
    pseudo, half = pseudo_strata(stratum, 95)
    assert len(np.unique(pseudo)) == 95
    assert all(len(np.unique(stratum[pseudo == number])) == 1 for number in range(95))
    imbalance = np.bincount(pseudo, half == 0) - np.bincount(pseudo, half == 1)
    assert np.abs(imbalance).max() <= 1


def variance_ratio(estimates: list[float], replicates: list[np.ndarray]) -> float:
    """Mean replicate variance over the variance of repeated samples; both designs have the factor `4 / R`."""
    by_replicates = [4 / len(r) * ((r - e) ** 2).sum() for e, r in zip(estimates, replicates, strict=True)]
    return float(np.mean(by_replicates) / np.var(estimates, ddof=1))


def test_recs_replicates_show_the_sampling_variance_of_a_mean(places: Places) -> None:
    estimates, replicates = [], []
    for seed in range(SAMPLES):
        _, weight, brr, _, energy = recs.draw_sample(places, seed, 500)
        estimates.append(np.average(energy.btuel, weights=weight))
        replicates.append(energy.btuel @ brr / brr.sum(axis=0))
    # The variance of 80 samples has a relative standard error of 16 %.
    assert 0.6 < variance_ratio(estimates, replicates) < 1.6


def test_acs_replicates_show_the_sampling_variance_of_a_mean(places: Places) -> None:
    estimates, replicates = [], []
    for seed in range(SAMPLES):
        sample = acs.draw_sample(places, seed, 2015, np.array([17]), np.array([150]), start=0)
        occupied = sample.kind == 0
        weight, sdr = sample.weight[occupied], sample.replicates[occupied]
        estimates.append(np.average(sample.homes.rooms, weights=weight))
        replicates.append(sample.homes.rooms @ sdr / sdr.sum(axis=0))
    assert 0.6 < variance_ratio(estimates, replicates) < 1.6


def test_blocks_are_neighbours_of_one_member_and_hold_no_more_than_they_must(places: Places) -> None:
    second = places.state >= acs.STATES_IN_FIRST_MEMBER
    for counts, expected in ((np.full(len(places), 2), 2), (np.full(len(places), acs.BLOCK), len(places))):
        parted = acs.blocks(places, counts)
        np.testing.assert_array_equal(np.concatenate(parted), np.arange(len(places)))
        assert len(parted) == expected
        assert all(len(np.unique(second[block])) == 1 for block in parted)
        assert all(counts[block[:-1]].sum() < acs.BLOCK for block in parted)


def test_every_puma_of_a_block_has_its_own_sample_and_totals(places: Places) -> None:
    pumas, counts = np.array([40, 41, 42]), np.array([4, 60, 25])
    sample = acs.draw_sample(places, 5, 2015, pumas, counts, start=100)
    assert np.array_equal(sample.serial, 101 + np.arange(len(sample.kind)))
    assert (np.diff(sample.place) >= 0).all()
    occupied = sample.kind == 0
    np.testing.assert_array_equal(sample.homes.place, sample.place[occupied])
    for puma, count in zip(pumas, counts, strict=True):
        own = occupied & (sample.place == puma)
        assert own.sum() == count
        vacant = (sample.kind == 1) & (sample.place == puma)
        assert vacant.sum() == round(count * acs.VACANT_RATE)
        assert sample.weight[own].sum() == pytest.approx(places.households[puma], abs=1)
        assert sample.weight[vacant].sum() == pytest.approx(acs.VACANT_RATE * places.households[puma], abs=1)
        # Replicates are rounded one by one.
        np.testing.assert_allclose(
            sample.replicates[own].sum(axis=0), places.households[puma], atol=count / 2 + 1
        )
        kinds = sample.kind[sample.place == puma]
        assert count < 20 or (np.diff(np.flatnonzero(kinds > 0)) > 1).any(), "all kinds should be mixed"


def test_a_blocks_sample_does_not_depend_on_which_others_were_drawn(places: Places) -> None:
    def drawn(puma: int) -> list[np.ndarray]:
        sample = acs.draw_sample(places, 5, 2015, np.array([puma, puma + 1]), np.array([15, 15]), start=100)
        own = [getattr(sample, column) for column in ("serial", "kind", "weight", "replicates")]
        return [*own, sample.energy.btuel, sample.homes.people.age]

    first, other, again = drawn(17), drawn(18), drawn(17)
    for before, after in zip(first, again, strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(first[-2], other[-2])
