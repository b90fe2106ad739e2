"""What a survey does not ask is drawn from one that does, with the relations that it shows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.errors import RegistryError
from fusion_pipeline.storage.tables import categorical, codes_of
from fusion_pipeline.surveys.predicting import Predicted, predict

PREDICTED = Predicted.model_validate(
    {
        "description": "Heating fuel",
        "type": "factor",
        "survey": "OTHER_2015",
        "variable": "fuel",
        "levels": {"Piped gas": "Gas", "Bottled gas": "Gas", "Power": "Electricity"},
        "predictors": {
            "bill": {"here": "gasbill", "there": "gas * 2"},
            "cold": {"here": '1 if any(region == "North") else 0', "there": "cold"},
            "attic": {"here": "attic", "there": "gas"},
        },
    }
)


@pytest.fixture(scope="module")
def tables() -> tuple[pa.Table, pa.Table]:
    rng = np.random.default_rng(1)

    def world(n: int):
        cold = rng.random(n) < 0.5
        gas = rng.random(n) < np.where(cold, 0.8, 0.3)
        return cold, gas, np.where(gas, rng.uniform(300, 900, n), 0.0)

    cold, gas, bill = world(900)
    other = pa.table(
        {
            "weight": pa.array(np.ones(900)),
            "gas": pa.array(bill / 2),
            "cold": pa.array(cold.astype(float)),
            "fuel": categorical(np.where(gas, np.arange(900) % 2, 2), ("Piped gas", "Bottled gas", "Power")),
        }
    )
    cold, gas, bill = world(600)
    mine = pa.table(
        {
            "weight": pa.array(np.full(600, 5.0)),
            "gasbill": pa.array(bill),
            "region": categorical(np.where(cold, 0, 1), ("North", "South")),
        }
    )
    return mine, other


def test_drawn_levels_follow_the_predictors_and_absent_ones_are_named(tables) -> None:
    mine, other = tables
    drawn, left_out = predict(mine, other, "hfl", PREDICTED, seed=1, threads=1, stream_name="test")
    assert left_out == {"attic": "attic"}
    gas = codes_of(pa.chunked_array([drawn])) == 0
    assert len(drawn) == mine.num_rows
    assert (gas == (mine["gasbill"].to_numpy() > 0)).mean() > 0.97


def test_level_without_counterpart_is_an_error_that_names_it(tables) -> None:
    mine, other = tables
    few = PREDICTED.model_copy(update={"levels": {"Piped gas": "Gas", "Power": "Electricity"}})
    with pytest.raises(RegistryError, match="level 'Bottled gas' of OTHER_2015 has no level here"):
        predict(mine, other, "hfl", few, seed=1, threads=1, stream_name="test")


def test_survey_that_does_not_ask_is_an_error(tables) -> None:
    mine, other = tables
    with pytest.raises(RegistryError, match="OTHER_2015 has no fuel"):
        predict(mine, other.drop_columns(["fuel"]), "hfl", PREDICTED, seed=1, threads=1, stream_name="test")
