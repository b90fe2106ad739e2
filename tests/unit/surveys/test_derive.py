from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.storage.tables import categorical
from fusion_pipeline.surveys.derive import check_expression, evaluate

COLUMNS = {"late": ("Never", "Often"), "cold": ("Never", "Often"), "rooms": (), "area": ()}
ANY = 'any(late != "Never", cold != "Never")'
ALL = 'all(late != "Never", cold != "Never")'
ANSWER = {"Never": False, "Often": True, None: None}


def levels(answers):
    position = {"Never": 0, "Often": 1, None: -1}
    return categorical([position[a] for a in answers], ["Never", "Often"])


@given(st.lists(st.tuples(st.sampled_from([*ANSWER]), st.sampled_from([*ANSWER])), min_size=1, max_size=30))
def test_any_and_all_follow_three_valued_logic(rows):
    table = pa.table({"late": levels([a for a, _ in rows]), "cold": levels([b for _, b in rows])})
    truth = [(ANSWER[a], ANSWER[b]) for a, b in rows]
    either = [True if True in pair else None if None in pair else False for pair in truth]
    both = [False if False in pair else None if None in pair else True for pair in truth]
    assert evaluate(ANY, table).to_pylist() == either
    assert evaluate(ALL, table).to_pylist() == both


def test_arithmetic_on_missing_numbers_and_quotients_by_zero_are_missing():
    table = pa.table({"area": [10.0, 10.0, None, 0.0], "rooms": [4, 0, 2, 0]})
    assert evaluate("area / rooms", table).to_pylist() == [2.5, None, None, None]
    assert evaluate("2 * (area - rooms) + -1", table).to_pylist() == [11.0, 19.0, None, -1.0]
    assert evaluate("area >= rooms + 1", table).to_pylist() == [True, True, None, False]


def test_the_columns_of_an_expression_are_found_once_each():
    assert check_expression('any(late != "Never", late == "Often", rooms > 3)', COLUMNS) == ("late", "rooms")


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("__import__('os').system('true')", "not accepted"),
        ("area.__class__", "not accepted"),
        ("[x for x in area]", "not accepted"),
        ("lambda: 1", "not accepted"),
        ("area ** 2", "not accepted"),
        ("area if rooms else rooms", "is not a comparison"),
        ("1 < area < 3", "not accepted"),
        ("sum(area, rooms)", "not accepted"),
        ("any()", "not accepted"),
        ("any(area)", "not a comparison"),
        ("area + True", "not accepted"),
        ("(area == 1) + 1", "not a number"),
        ('late == "Nevre"', "no level"),
        ('late < "Often"', "no level"),
        ("late == 1", "has levels"),
        ("windows > 3", "no variable 'windows'"),
        ("area +", "not an expression"),
    ],
)
def test_anything_outside_the_language_is_refused(expression, complaint):
    with pytest.raises(ValueError, match=complaint):
        check_expression(expression, COLUMNS)


def test_choice_min_max_and_missing_work_row_by_row():
    table = pa.table({"a": pa.array([1.0, 5.0, None]), "b": pa.array([3.0, 2.0, 1.0])})
    assert evaluate("min(a, b)", table).to_pylist() == [1, 2, None]
    assert evaluate("max(a, b, 2)", table).to_pylist() == [3, 5, None]
    assert evaluate("12 * a if a > 2 else missing", table).to_pylist() == [None, 60, None]


@pytest.mark.parametrize(
    ("size", "children", "senior", "year", "dollars"),
    # Published thresholds of single years, which the table of 2019 moved by the CPI-U has to give.
    [(1, 0, 0, 2013, 12_119), (1, 0, 0, 2015, 12_331), (1, 0, 0, 2022, 15_225), (4, 2, 0, 2019, 25_926)],
)
def test_poverty_thresholds_are_those_published(size, children, senior, year, dollars):
    columns = {"size": size, "children": children, "senior": senior, "year": year}
    table = pa.table({name: pa.array([float(value)]) for name, value in columns.items()})
    formula = 'lookup("poverty_thresholds_2019", size, children, senior) * lookup("cpi_u", year) / 255.657'
    assert evaluate(formula, table).to_pylist()[0] == pytest.approx(dollars, abs=1)


def test_look_up_of_an_unknown_key_is_missing():
    assert evaluate('lookup("cpi_u", y)', pa.table({"y": pa.array([1066.0, None])})).to_pylist() == [
        None,
        None,
    ]


@pytest.mark.parametrize(
    "expression", ['lookup("nowhere", a)', 'lookup("cpi_u", a, a)', "a if a else a", "min(f)"]
)
def test_malformed_functions_are_refused(expression):
    with pytest.raises(ValueError):
        check_expression(expression, {"a": (), "f": ("x",)})


def test_a_choice_takes_the_first_number_where_its_condition_holds_and_none_where_it_is_missing() -> None:
    table = pa.table(
        {"children": [2.0, 3.0, 4.0], "age": categorical(np.array([0, -1, 1]), ["young", "old"])}
    )
    expression = 'children if age == "young" else 0'
    assert check_expression(expression, {"children": (), "age": ("young", "old")}) == ("children", "age")
    assert evaluate(expression, table).to_pylist() == [2.0, None, 0.0]
