import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import HarmonyError
from fusion_pipeline.harmonize import common, harmonize_donor, harmonize_recipient
from fusion_pipeline.harmonize.definitions import Side
from fusion_pipeline.harmonize.recoding import Place, recode
from fusion_pipeline.storage.tables import TableRef, categorical, levels_of, write_table
from tests.toys import HARMONY, donor_table, households, labels, persons


def recipient(at_home=None, people="all"):
    everyone = persons() if isinstance(people, str) else people
    return harmonize_recipient(households() if at_home is None else at_home, everyone, HARMONY)


def replace(table, name, column):
    return table.set_column(table.column_names.index(name), name, column)


def test_donor_values_become_common_groups_and_missing_answers_stay_missing():
    table = harmonize_donor(donor_table(), HARMONY).table
    assert table["fuel__hfl"].to_pylist() == ["1", "2", None, "2"]
    assert table["desktop__laptop"].to_pylist() == ["1", "2", "2", None]
    assert table["rooms__rmsp"].to_pylist() == [4, 5, None, 7]
    assert table["adults__agep"].to_pylist() == [1, 2, 2, 3]


def test_persons_become_households_in_the_order_of_the_households():
    table = recipient().table
    assert table["hid"].to_pylist() == [3, 1, 2]
    assert table["sex__sexp"].to_pylist() == ["1", "1", "2"]
    assert table["adults__agep"].to_pylist() == [2, 1, 1]


def test_persons_have_what_is_their_households_and_answers_of_their_own():
    of_reference = HARMONY.entries["sex__sexp"]
    own = of_reference.model_copy(update={"donor": of_reference.recipient})
    harmony = HARMONY.model_copy(update={"entries": HARMONY.entries | {"own__sexp": own}})
    people = persons().append_column("weight", pa.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]))
    table = harmonize_recipient(households(), people, harmony, unit="person").table
    assert table.select(["hid", "pid", "weight", "state"]).to_pydict() == {
        "hid": [1, 1, 2, 3, 3, 3],
        "pid": [2, 1, 1, 3, 1, 2],
        "weight": [1, 2, 3, 4, 5, 6],
        "state": ["10", "10", "24", "10", "10", "10"],
    }
    assert table["rooms__rmsp"].to_pylist() == [4, 4, 9, 3, 3, 3]
    assert table["adults__agep"].to_pylist() == [1, 1, 1, 2, 2, 2]
    assert table["sex__sexp"].to_pylist() == ["1", "1", "2", "1", "1", "1"]
    assert table["own__sexp"].to_pylist() == ["2", "1", "2", "2", "1", "2"]


def test_persons_as_rows_need_the_persons_table():
    with pytest.raises(HarmonyError, match="no persons to make rows of"):
        harmonize_donor(donor_table(), HARMONY, unit="person")


def test_types_levels_and_order_follow_the_contract():
    table = harmonize_donor(donor_table(), HARMONY).table
    assert levels_of(table["fuel__hfl"]) == ["1", "2", "3"]
    assert not table.schema.field("fuel__hfl").type.ordered
    assert table.schema.field("desktop__laptop").type.ordered
    assert table.schema.field("rooms__rmsp").type == table.schema.field("adults__agep").type == pa.float32()


def test_common_gives_both_sides_the_same_predictors_with_the_same_types():
    donor, other, skipped = common(harmonize_donor(donor_table(), HARMONY), recipient())
    predictors = [c for c in donor.column_names if "__" in c]
    assert predictors == [c for c in other.column_names if "__" in c] == list(HARMONY.entries)
    assert all(donor.schema.field(c).type == other.schema.field(c).type for c in predictors)
    assert all(
        levels_of(donor[c]) == levels_of(other[c])
        for c in predictors
        if pa.types.is_dictionary(donor.schema.field(c).type)
    )
    assert skipped == {}


def test_a_column_the_file_lacks_costs_one_harmony_on_both_sides():
    donor = harmonize_donor(donor_table().drop_columns(["tablets"]), HARMONY)
    left, right, skipped = common(donor, recipient())
    assert skipped == {"desktop__laptop": "the donor's household file has no tablets"}
    assert "desktop__laptop" not in {*left.column_names, *right.column_names}


def test_a_variable_without_any_answer_is_skipped():
    table = replace(donor_table(), "rooms", pa.nulls(4, pa.int16()))
    assert harmonize_donor(table, HARMONY).skipped == {
        "rooms__rmsp": "no donor household has an answer to rooms"
    }


def test_without_persons_the_person_harmonies_are_skipped():
    assert set(recipient(people=None).skipped) == {"sex__sexp", "adults__agep"}


def test_nothing_in_common_is_an_error():
    donor = harmonize_donor(donor_table().select(["hid", "weight", "adults"]), HARMONY)
    with pytest.raises(HarmonyError, match="no predictor in common"):
        common(donor, recipient(people=None))


def test_locations_are_kept_as_they_are():
    table = harmonize_donor(donor_table(), HARMONY, keep=("hid", "weight", "division")).table
    assert table["division"].to_pylist() == ["East", "West", "East", None]
    with pytest.raises(HarmonyError, match="A_2015__B_2015, donor, household table: has no column county"):
        harmonize_donor(donor_table(), HARMONY, keep=("hid", "county"))


def test_a_level_without_group_is_named_with_its_rows_and_the_file_to_correct():
    fuels = labels(["Gas", "Solar", "Solar", "Oil"], ["Gas", "Oil", "Solar"])
    with pytest.raises(HarmonyError) as error:
        harmonize_donor(replace(donor_table(), "fuel", fuels), HARMONY)
    assert str(error.value) == (
        'A_2015__B_2015 / fuel__hfl, donor: level "Solar" (2 rows) of fuel has no group.'
        " Add it to a group of fusion_pipeline/harmonies/A.yaml, fuel__hfl, donor."
    )


def test_a_level_without_group_is_named_with_its_code_where_the_codebook_knows_it():
    place = Place("RECS_2015__ACS_2015", "fuelheat__hfl", "donor", "RECS.yaml", "recs_2015")
    side = Side(level="household", var="fuelheat", map={1: ("Electricity",)})
    columns = {"fuelheat": pa.chunked_array([labels(["Propane (bottled gas)"], ["Propane (bottled gas)"])])}
    with pytest.raises(HarmonyError, match=r'level "Propane \(bottled gas\)" \(code 2, 1 rows\) of fuelheat'):
        recode(columns, side, place)


def test_a_level_that_no_household_has_needs_no_group():
    assert "Unused" in levels_of(donor_table()["fuel"])
    assert "fuel__hfl" in harmonize_donor(donor_table(), HARMONY).predictors


def test_a_number_in_no_bin_is_named():
    side = HARMONY.entries["desktop__laptop"].donor.model_copy(update={"bins": {1: ((0, 1),), 2: ((1, 2),)}})
    entry = HARMONY.entries["desktop__laptop"].model_copy(update={"donor": side})
    harmony = HARMONY.model_copy(update={"entries": {"desktop__laptop": entry}})
    with pytest.raises(
        HarmonyError, match=r"value 3 of desktop \+ tablets is in no group's interval \(1 rows"
    ):
        harmonize_donor(donor_table(), harmony)


def test_a_blank_of_the_recipient_is_an_error():
    table = replace(households(), "rmsp", pa.array([3, None, 9], pa.int16()))
    with pytest.raises(HarmonyError, match="rmsp is missing in 1 of 3 households"):
        recipient(table)


def test_members_are_counted_by_the_condition():
    ages = pa.array([18, 17, 18, 18, 17, 17, 30], pa.int16())
    assert recipient(people=replace(persons(), "agep", ages)).table["adults__agep"].to_pylist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("rooms", labels(["a", "a", "b", "b"], ["a", "b"]), "column rooms is categorical"),
        ("fuel", pa.array([1, 2, 3, 4]), "column fuel is int64, but the harmony maps levels"),
        ("desktop", labels(["a", "a", "b", "b"], ["a", "b"]), "cannot be evaluated"),
    ],
)
def test_a_column_of_the_wrong_kind_is_named(column, values, message):
    with pytest.raises(HarmonyError, match=message):
        harmonize_donor(replace(donor_table(), column, values), HARMONY)


def test_tables_on_disk_give_the_same_as_tables_in_memory(tmp_path):
    write_table(tmp_path / "h.parquet", households())
    write_table(tmp_path / "p.parquet", persons())
    on_disk = recipient(TableRef(tmp_path / "h.parquet"), TableRef(tmp_path / "p.parquet"))
    assert on_disk.table.equals(recipient().table)


def test_chunked_columns_with_different_dictionaries_give_the_same():
    first = replace(donor_table().slice(0, 1), "fuel", labels(["Gas"], ["Gas"]))
    rest = replace(donor_table().slice(1), "fuel", labels(["Kerosene", None, "Oil"], ["Oil", "Kerosene"]))
    pieces = pa.concat_tables([first, rest])
    assert harmonize_donor(pieces, HARMONY).table["fuel__hfl"].to_pylist() == ["1", "2", None, "2"]


@given(st.data())
@settings(max_examples=40)
def test_no_row_is_lost_and_no_recipient_value_is_missing_whatever_the_households(data) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=12))
    count = len(sizes)
    pick = lambda n, high: np.array(data.draw(st.lists(st.integers(0, high), min_size=n, max_size=n)))  # noqa: E731
    homes = pa.table(
        {
            "year": np.full(count, 2015),
            "hid": np.array(data.draw(st.permutations(range(count)))),
            "weight": np.ones(count),
            "state": labels(["10"] * count, ["10"]),
            "puma10": labels(["00101"] * count, ["00101"]),
            "rmsp": pick(count, 20),
            "laptop": categorical(pick(count, 1), ["No", "Yes"]),
            "hfl": categorical(pick(count, 2), ["Utility gas", "Fuel oil", "No fuel"]),
        }
    )
    everyone = sum(sizes)
    ages = pick(everyone, 99)
    members = pa.table(
        {
            "hid": np.repeat(np.arange(count), sizes),
            "pid": np.concatenate([np.arange(1, size + 1) for size in sizes]),
            "sexp": categorical(pick(everyone, 1), ["Female", "Male"]),
            "agep": ages,
        }
    )
    table = recipient(homes, members).table
    assert table["hid"].to_pylist() == homes["hid"].to_pylist()
    assert all(table[name].null_count == 0 for name in table.column_names)
    assert sum(table["adults__agep"].to_pylist()) == (ages >= 18).sum()
