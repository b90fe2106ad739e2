"""Both sides of a pair harmonized together: pooled survey-years, common predictors, reasons to skip."""

import pyarrow as pa
import pytest

from fusion_pipeline.errors import HarmonyError
from fusion_pipeline.harmonize.pairs import harmonize_pair
from fusion_pipeline.storage.tables import levels_of
from tests.toys import labels, store, toy_harmony

HARMONY = toy_harmony("rooms__rmsp", "fuel__hfl", "sex__sexp")


@pytest.fixture
def sides(tmp_path):
    donors = {
        "A_2015": store(
            tmp_path / "a15.parquet",
            hid=[1, 2],
            weight=[1.0, 2.0],
            division=labels(["East", "West"], ["East", "West"]),
            rooms=[3, 4],
            fuel=labels(["Gas", "Oil"], ["Gas", "Oil"]),
            sex=labels(["Male", "Female"], ["Female", "Male"]),
        ),
        "A_2016": store(
            tmp_path / "a16.parquet",
            hid=[1],
            weight=[4.0],
            division=labels(["North"], ["North"]),
            rooms=[9],
            fuel=labels(["Oil"], ["Gas", "Oil"]),
        ),
    }
    households = store(
        tmp_path / "h.parquet",
        year=pa.array([2015, 2015], pa.int16()),
        hid=[11, 12],
        weight=[5.0, 6.0],
        state=labels(["10", "10"], ["10"]),
        puma10=labels(["00101", "00102"], ["00101", "00102"]),
        rmsp=[5, 6],
        hfl=labels(["Fuel oil", "Utility gas"], ["Utility gas", "Fuel oil"]),
    )
    persons = store(
        tmp_path / "p.parquet",
        hid=[11, 12],
        pid=pa.array([1, 1], pa.int16()),
        sexp=labels(["Male", "Female"], ["Female", "Male"]),
    )
    return donors, households, persons


def test_pooled_survey_years_are_told_apart_and_keep_their_order(sides) -> None:
    donors, households, persons = sides
    pair = harmonize_pair(donors, households, persons, HARMONY, locations=["division"])
    assert pair.donor["survey"].to_pylist() == ["A_2015", "A_2015", "A_2016"]
    assert pair.donor["hid"].to_pylist() == [1, 2, 1]
    assert pair.donor["weight"].to_pylist() == [1.0, 2.0, 4.0]
    assert pair.donor["division"].to_pylist() == ["East", "West", "North"]
    assert pair.donor["rooms__rmsp"].to_pylist() == [3.0, 4.0, 9.0]
    assert levels_of(pair.donor["division"]) == ["East", "West", "North"]


def test_harmony_that_one_survey_year_lacks_is_left_out_with_its_reason(sides) -> None:
    pair = harmonize_pair(*sides, HARMONY)
    assert pair.predictors == ("rooms__rmsp", "fuel__hfl")
    assert pair.skipped == {"sex__sexp": "the donor's household file has no sex"}
    for table in (pair.donor, pair.recipient):
        assert [name for name in table.column_names if "__" in name] == list(pair.predictors)


def test_donor_and_recipient_have_the_same_categories(sides) -> None:
    donors, households, persons = sides
    only = {"A_2015": donors["A_2015"]}
    pair = harmonize_pair(only, households, persons, HARMONY)
    assert pair.predictors == ("rooms__rmsp", "fuel__hfl", "sex__sexp")
    assert pair.skipped == {}
    for name in pair.predictors:
        assert pair.donor.schema.field(name).type == pair.recipient.schema.field(name).type
    assert pair.donor["sex__sexp"].to_pylist() == ["2", "1"]
    assert pair.recipient["sex__sexp"].to_pylist() == ["2", "1"]


def test_survey_year_without_any_common_predictor_is_an_error(sides, tmp_path) -> None:
    donors, households, persons = sides
    donors["A_2017"] = store(tmp_path / "a17.parquet", hid=[1], weight=[1.0])
    with pytest.raises(HarmonyError, match="no predictor in common"):
        harmonize_pair(donors, households, persons, HARMONY)
