"""Estimates of variables that mean something for some records only."""

import numpy as np
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from tests.unit.inference.conftest import records


@pytest.fixture(scope="module")
def renters(world):
    """Mean income of those who rent, and of all, by hand: mean over implicates."""
    frames = records(world)
    rent = [f[f["tenure"] == "rent"] for f in frames]
    return [np.mean([np.average(f["income"], weights=f["weight"]) for f in part]) for part in (rent, frames)]


LIMITED = {"income": "tenure = 'rent'"}


def test_a_variable_is_estimated_in_its_universe_whether_or_not_that_is_asked_for(world, renters) -> None:
    texts = ["mean(income)", "mean(half)", "mean(rooms)"]
    found = analyze(*world, estimates=texts, derive={"half": "income / 2"}, universes=LIMITED)
    table = found.table.set_index("estimand")
    assert table["estimate"]["mean(income)"] == pytest.approx(renters[0]) != pytest.approx(renters[1])
    assert table["estimate"]["mean(half)"] == pytest.approx(renters[0] / 2)
    assert table["n"]["mean(income)"] < table["n"]["mean(rooms)"] == 60
    assert found.notes == ("income is estimated where tenure = 'rent'.",)
    asked = analyze(*world, estimates=["mean(income)"], where="tenure = 'rent'").table
    columns = ["estimate", "standard_error", "n"]
    assert table.loc[["mean(income)"], columns].values.tolist() == asked[columns].values.tolist()


def test_conditions_and_groups_do_not_see_values_outside_the_universe(world) -> None:
    found = analyze(*world, estimates=["count(tenure)"], where="income > -1", universes=LIMITED).table
    assert found.set_index("level")["estimate"]["own"] == 0
    assert found["n"].max() < 60


def test_variables_that_are_not_asked_for_keep_their_universe_to_themselves(world) -> None:
    assert analyze(*world, estimates=["mean(rooms)"], universes=LIMITED).notes == ()


def test_a_universe_of_an_unknown_variable_is_refused(world) -> None:
    with pytest.raises(AnalysisError, match="universe of rent"):
        analyze(*world, estimates=["mean(rooms)"], universes={"rent": "rooms > 1"})
