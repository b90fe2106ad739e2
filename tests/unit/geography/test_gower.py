import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography import gower
from fusion_pipeline.geography.gower import distances, draw_similar, profiles
from fusion_pipeline.storage.tables import categorical


def table(numbers, codes):
    return pa.table(
        {
            "n": pa.array(numbers, pa.float32(), from_pandas=True),
            "c": categorical(np.array([-1 if c is None else c for c in codes]), ["1", "2", "3"]),
        }
    )


def plain(donor, other, width):
    """Gower's definition, pair by pair."""
    parts = []
    if donor[0] is not None and other[0] is not None and width > 0:
        parts.append(abs(donor[0] - other[0]) / width)
    if donor[1] is not None and other[1] is not None:
        parts.append(float(donor[1] != other[1]))
    return sum(parts) / len(parts) if parts else 1.0


rows = st.lists(
    st.tuples(st.none() | st.integers(0, 9).map(float), st.none() | st.integers(0, 2)), min_size=1, max_size=8
)


@given(donors=rows, others=rows)
@settings(max_examples=80)
def test_distances_follow_gowers_definition_with_missing_answers_left_out(donors, others):
    numbers = [n for n, _ in donors + others if n is not None]
    width = max(numbers) - min(numbers) if numbers else 0
    pair = profiles(table(*zip(*donors, strict=True)), table(*zip(*others, strict=True)), ["n", "c"])
    expected = [[plain(d, o, width) for o in others] for d in donors]
    np.testing.assert_allclose(distances(*pair), expected, atol=1e-6)


def test_ranges_do_not_depend_on_the_subset_compared():
    donors, others = profiles(table([0, 1], [0, 0]), table([1, 10], [0, 0]), ["n", "c"])
    assert distances(donors, others.take(np.array([0])))[1, 0] == pytest.approx(0)
    assert distances(donors, others.take(np.array([0])))[0, 0] == pytest.approx(0.05)


def test_draws_follow_weight_over_distance():
    donors, others = profiles(table([0.0], [0]), table([0.0, 2.0, 10.0], [0, 0, 1]), ["n", "c"])
    n = 40_000
    uniform = np.random.default_rng(7).random(n)
    drawn = draw_similar(donors.take(np.zeros(n, dtype=int)), others, np.array([1.0, 3.0, 2.0]), uniform)
    # Distances 0, (2/10 + 0)/2 = .1, (1 + 1)/2 = 1; the zero counts as half of .1.
    probability = np.array([1 / 0.05, 3 / 0.1, 2 / 1])
    probability /= probability.sum()
    frequency = np.bincount(drawn.candidate, minlength=3) / n
    spread = np.sqrt(probability * (1 - probability) / n)
    assert (np.abs(frequency - probability) < 4 * spread).all()


def test_if_all_candidates_are_equal_to_the_donor_weights_decide():
    donors, others = profiles(table([1.0, 9.0], [0, 0]), table([1.0, 1.0], [0, 0]), ["n", "c"])
    uniform = (np.arange(1000) + 0.5) / 1000
    drawn = draw_similar(donors.take(np.zeros(1000, dtype=int)), others, np.array([1.0, 3.0]), uniform)
    assert np.bincount(drawn.candidate).tolist() == [250, 750]


def test_the_size_of_blocks_does_not_change_the_draws(monkeypatch):
    rng = np.random.default_rng(3)
    one, two = (table(rng.integers(0, 9, n), rng.integers(-1, 3, n).tolist()) for n in (50, 200))
    pair = profiles(one, two, ["n", "c"])
    uniform, weight = rng.random(50), rng.random(200) + 0.1
    whole = draw_similar(*pair, weight, uniform)
    monkeypatch.setattr(gower, "_BLOCK_CELLS", 700)
    pieces = draw_similar(*pair, weight, uniform)
    assert (whole.candidate == pieces.candidate).all()
    assert (whole.distance == pieces.distance).all()


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_draw_the_first_and_the_last_candidate(uniform):
    donors, others = profiles(table([0.0], [0]), table([1.0, 2.0, 3.0], [0, 1, 2]), ["n", "c"])
    drawn = draw_similar(donors, others, np.ones(3), np.array([uniform]))
    assert drawn.candidate[0] == (0 if uniform == 0 else 2)


def test_predictors_that_differ_in_levels_or_are_absent_are_refused():
    other = table([1.0], [0]).set_column(1, "c", categorical(np.array([0]), ["1", "2"]))
    with pytest.raises(GeographyError, match="predictor c: has other levels"):
        profiles(table([1.0], [0]), other, ["c"])
    with pytest.raises(GeographyError, match="recipient table: has no predictor n"):
        profiles(table([1.0], [0]), other.select(["c"]), ["n"])
