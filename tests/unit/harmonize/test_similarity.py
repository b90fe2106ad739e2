import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.harmonize import similarity
from fusion_pipeline.harmonize.similarity import similarity_numbers
from fusion_pipeline.storage.tables import categorical


def table(codes=None, numbers=None, weight=None):
    n = len(codes if codes is not None else numbers)
    columns = {"hid": pa.array(range(n)), "weight": pa.array(weight or [1.0] * n)}
    if codes is not None:
        columns["fuel__hfl"] = categorical(np.array(codes), ["1", "2", "3"])
    if numbers is not None:
        columns["rooms__rmsp"] = pa.array(numbers, pa.float32())
    return pa.table(columns)


def score(left, right):
    return similarity(left, right).to_pylist()[0]


def test_categorical_similarity_is_one_minus_total_variation_of_weighted_shares():
    row = score(table([0, 0, 1, 2], weight=[1, 1, 1, 1]), table([0, 1], weight=[1, 3]))
    # Shares 1/2, 1/4, 1/4 against 1/4, 3/4, 0: TV = (1/4 + 1/2 + 1/4) / 2.
    assert row["similarity"] == pytest.approx(0.5)
    assert (row["predictor"], row["kind"]) == ("fuel__hfl", "categorical")


def test_numeric_similarity_of_two_constants_is_known():
    row = score(table(numbers=[4, 4]), table(numbers=[6, 6]))
    assert row["kind"] == "numeric"
    assert row["similarity"] == pytest.approx(1 - 2 / 5)


def test_numbers_that_have_nothing_in_common_score_zero_and_not_less():
    assert score(table(numbers=[0, 0]), table(numbers=[3, 3]))["similarity"] == 0
    assert score(table(numbers=[-3, -3]), table(numbers=[3, 3]))["similarity"] == 0


def test_missing_donors_are_counted_by_weight_and_not_compared():
    row = score(table([0, -1], weight=[3.0, 1.0]), table([0, 0]))
    assert row["donor_missing"] == pytest.approx(0.25)
    assert row["similarity"] == pytest.approx(1)


def test_all_zero_numbers_are_alike():
    assert score(table(numbers=[0, 0]), table(numbers=[0]))["similarity"] == 1


def test_numbers_to_follow_are_of_all_predictors_and_name_the_worst():
    ours, theirs = table([0, 0, 1, 2], [2, 2, 2, 2]), table([0, 1, 1, 1], [2, 2, 2, 2])
    numbers = similarity_numbers(similarity(ours, theirs))
    assert numbers == {"similarity_min": 0.5, "similarity_mean": 0.75, "worst predictor": "fuel__hfl"}
    assert similarity_numbers(similarity(ours.select(["hid", "weight"]), theirs)) == {}


def test_ids_weights_and_places_are_not_compared():
    left = table([0]).append_column("state", categorical(np.array([0]), ["10"]))
    assert [row["predictor"] for row in similarity(left, left).to_pylist()] == ["fuel__hfl"]


@given(
    left=st.lists(st.integers(0, 2), min_size=1, max_size=20),
    right=st.lists(st.integers(0, 2), min_size=1, max_size=20),
    factor=st.floats(0.1, 100),
)
@settings(max_examples=40)
def test_similarity_is_at_most_1_and_ignores_the_scale_of_weights(left, right, factor):
    both = {"codes": left, "numbers": [float(v) for v in left]}
    other = {"codes": right, "numbers": [float(v) for v in right]}
    plain = similarity(table(**both), table(**other))["similarity"].to_pylist()
    scaled = similarity(table(**both, weight=[factor] * len(left)), table(**other))["similarity"].to_pylist()
    # A quantile may fall to the other side of a step when weights are rescaled.
    assert scaled == pytest.approx(plain, abs=0.02)
    assert 0 <= plain[0] <= 1 + 1e-9
    assert plain[1] <= 1 + 1e-9


def test_identical_tables_are_alike():
    both = table([0, 1, 2, 2], [1.0, 2.0, 2.0, 9.0], weight=[1.0, 2.0, 3.0, 4.0])
    assert similarity(both, both)["similarity"].to_pylist() == pytest.approx([1, 1])
