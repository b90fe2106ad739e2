"""Variables and filters that are written as expressions, which can do nothing but compute."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.inference.estimands import split
from tests.unit.inference.conftest import records


def test_derived_variables_filters_and_expressions_are_computed_record_by_record(world):
    found = analyze(
        *world,
        estimates=["mean(burden)", "mean(income > 40)", "proportion(income > 40)"],
        derive={"thousands": "income / 1000", "burden": "thousands / rooms"},
        where="tenure = 'rent' AND age BETWEEN 30 AND 60",
    ).table
    means, shares = [], []
    for f in records(world):
        f = f[(f["tenure"] == "rent") & f["age"].between(30, 60)]
        means.append(np.average(f["income"] / 1000 / f["rooms"], weights=f["weight"]))
        shares.append(np.average(f["income"] > 40, weights=f["weight"]))
    assert found["estimate"][0] == pytest.approx(np.mean(means))
    assert found["estimate"][1] == pytest.approx(np.mean(shares))
    assert found.set_index("level")["estimate"]["True"] == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(
    "text",
    [
        "income) FROM read_csv('/etc/passwd') --",
        "(SELECT max(income) FROM implicate_table_i)",
        "income > (SELECT 1)",
        "read_text('/etc/passwd')",
        "getenv('HOME')",
        "sum(income) OVER ()",
        "income; DROP TABLE x",
        "income, age",
        "random()",
        "*",
        "$1",
        "i.income",
        "income) AS e, (age",
        "nextval('s')",
        "CAST(income AS UUID)",
    ],
)
def test_an_expression_is_an_expression_and_nothing_else(world, text):
    with pytest.raises(AnalysisError):
        analyze(*world, estimates=["mean(age)"], where=f"{text}")
    with pytest.raises(AnalysisError):
        analyze(*world, estimates=["mean(age)"], derive={"new": text})


def test_commas_and_marks_inside_parentheses_and_quotes_do_not_split():
    assert split("round(a, 1), 'x,y', b", ",") == ["round(a, 1)", "'x,y'", "b"]
