import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion import variables
from fusion_pipeline.fusion.variables import Variable, is_zero_inflated
from fusion_pipeline.storage.tables import categorical

RANDOM = np.random.default_rng(5)


def inflated(values) -> bool:
    return is_zero_inflated(np.asarray(values, dtype=float), np.ones(len(values)))


@pytest.mark.parametrize("mean", [0.5, 1.0, 3.0])
def test_poisson_counts_are_not_zero_inflated(mean):
    assert not inflated(np.random.default_rng(1).poisson(mean, 20_000))


def test_amounts_that_many_do_not_have_are_zero_inflated():
    assert inflated(np.where(RANDOM.random(2000) < 0.05, 0, RANDOM.gamma(2, 100, 2000)))


def test_rounded_amounts_without_a_spike_are_not_zero_inflated():
    assert not inflated(np.floor(RANDOM.exponential(20, 20_000)))


def test_counts_with_many_more_zeros_than_ones_and_twos_suggest_are_zero_inflated():
    assert inflated(np.where(RANDOM.random(5000) < 0.6, 0, RANDOM.poisson(3, 5000)))


def test_zero_between_gains_and_losses_is_not_a_state_of_its_own():
    assert not inflated(np.where(RANDOM.random(1000) < 0.5, 0, RANDOM.normal(size=1000)))


def test_fewer_than_one_percent_zeros_are_no_inflation():
    assert not inflated(np.r_[np.zeros(9), RANDOM.gamma(2, 100, 991)])


def test_zero_or_one_value_is_two_part():
    assert inflated([0, 0, 1, 1, 1])


def test_zero_share_counts_weight_and_not_rows():
    values = np.r_[np.zeros(50), RANDOM.gamma(2, 100, 950)]
    assert not is_zero_inflated(values, np.where(values == 0, 1e-3, 1.0))


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1))
def test_a_category_becomes_its_code_and_missing_becomes_nan(labels):
    column = pa.chunked_array([categorical(pd.Categorical(labels, ["c", "b", "a"]).codes, ["c", "b", "a"])])
    variable = Variable("v", "categorical", "dictionary", ("a", "b"))
    expected = [{"a": 0.0, "b": 1.0}.get(label, np.nan) for label in labels]
    np.testing.assert_array_equal(variables.feature(column, variable), np.float32(expected))


def test_integers_booleans_and_ordered_categories_come_back_as_they_were():
    frame = pd.DataFrame(
        {"i": np.int16([3, 1]), "b": [True, False], "o": pd.Categorical(["x", "y"], ordered=True)}
    )
    table = variables.as_table(frame, ["i", "b", "o"], "donor", TrainingError)
    for name, values in (("i", [3.0, 1.0]), ("b", [1, 0]), ("o", [0, 1])):
        variable = variables.describe(table[name], name, "donor", TrainingError)
        column = variable.to_arrow(np.array(values))
        assert column.to_pylist() == table[name].to_pylist()
        assert column.type == table[name].type or variable.type == "dictionary"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (["a", "b"], "type (large_)?string"),
        ([1, "b"], "Python objects"),
        (pd.to_datetime(["2020", "2021"]), "timestamp"),
    ],
)
def test_columns_that_cannot_be_modelled_are_refused_with_a_remedy(values, named):
    frame = pd.DataFrame({"v": pd.Series(values)})
    with pytest.raises(TrainingError, match=rf"donor, column v: .*{named}.*onvert it"):
        table = variables.as_table(frame, ["v"], "donor", TrainingError)
        variables.describe(table["v"], "v", "donor", TrainingError)
