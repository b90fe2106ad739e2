"""Both distributions of a harmonized predictor, for the eye."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline.harmonize import least_alike, side_by_side
from fusion_pipeline.storage.tables import categorical


def test_shares_are_weighted_and_named_by_group() -> None:
    donor = pa.table({"weight": [1.0, 3.0, 6.0], "fuel__hfl": categorical(np.array([0, 1, -1]), ["1", "2"])})
    recipient = pa.table({"weight": [1.0, 1.0], "fuel__hfl": categorical(np.array([1, 1]), ["1", "2"])})
    (frame,) = side_by_side(donor, recipient, ["fuel__hfl"], {"fuel__hfl": ("gas", "oil")})
    assert frame["label"].tolist() == ["gas", "oil"]
    assert frame["donor"].tolist() == [0.25, 0.75]
    assert frame["recipient"].tolist() == [0, 1]
    assert frame["similarity"].unique() == pytest.approx([0.75])


def test_a_number_of_few_values_has_an_interval_for_each() -> None:
    donor = pa.table({"weight": [1.0, 1.0], "size__np": [1.0, 2.0]})
    recipient = pa.table({"weight": [1.0, 2.0, 1.0], "size__np": [1.0, 2.0, 4.0]})
    (frame,) = side_by_side(donor, recipient, ["size__np"], {})
    assert frame["label"].tolist() == ["1", "2", "4"]
    assert frame["donor"].tolist() == [0.5, 0.5, 0]
    assert frame["recipient"].tolist() == [0.25, 0.5, 0.25]


def test_extremes_of_an_amount_are_in_the_last_interval_and_none_is_lost() -> None:
    amounts = np.append(np.linspace(0, 100, 999), 1e9)
    donor = pa.table({"weight": np.ones(1000), "income__hincp": amounts})
    recipient = pa.table({"weight": np.ones(1000), "income__hincp": amounts / 2})
    (frame,) = side_by_side(donor, recipient, ["income__hincp"], {})
    assert frame["high"].iloc[-1] < 101
    assert frame[["donor", "recipient"]].sum().tolist() == pytest.approx([1, 1])
    assert frame["recipient"].iloc[:7].sum() > 0.8


def test_the_worst_below_the_threshold_are_shown_or_else_the_six_least_alike() -> None:
    names = [f"p{i:02d}" for i in range(20)]
    rising = pd.DataFrame({"predictor": names[::-1], "similarity": np.linspace(1, 0.05, 20)})
    assert least_alike(rising, 0.8) == names[:12]
    assert least_alike(rising, 0.12) == names[:2]
    assert least_alike(rising, 0.0) == names[:6]
