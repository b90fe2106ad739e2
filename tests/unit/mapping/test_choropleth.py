"""A map says what is known of every area, and refuses what it could only show wrongly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fusion_pipeline.errors import AnalysisError, GeographyError
from fusion_pipeline.mapping.choropleth import (
    ESTIMATE_COLOURS,
    Layer,
    choropleth,
    place_columns,
)
from fusion_pipeline.mapping.tiles import tiles


def test_every_area_has_its_estimate_and_its_margin_in_percent_of_it(estimates, pumas):
    chart = choropleth(estimates, pumas)
    known = estimates.set_index(["state", "puma10"])
    for position, area in enumerate(chart.areas):
        if area.puma:
            row = known.loc[area.key]
            assert chart.estimate.values[position] == row["estimate"]
            assert chart.margin.values[position] == pytest.approx(100 * row["margin"] / row["estimate"])


def test_a_state_without_estimates_is_there_as_a_whole_and_has_no_class(estimates, pumas):
    chart = choropleth(estimates, pumas)
    [position] = [k for k, area in enumerate(chart.areas) if not area.puma]
    assert chart.areas[position].state == "30"
    assert [layer.classes[position] for layer in chart.layers] == [-1, -1]
    assert chart.cells.loc[position].tolist() == ["", "", ""]


def test_estimates_of_one_state_show_that_state_alone(estimates, pumas):
    chart = choropleth(estimates[estimates["state"] == "48"], pumas)
    assert {area.state for area in chart.areas} == {"48"}
    assert len(chart.outlines.rings) == 1


def test_a_margin_of_an_estimate_of_zero_or_no_margin_has_no_class(by_state):
    by_state.loc[0, "estimate"], by_state.loc[1, "margin"] = 0.0, np.nan
    chart = choropleth(by_state, tiles("state"))
    assert chart.margin.classes[:2].tolist() == [-1, -1]
    assert (chart.estimate.classes[:2] >= 0).all()
    assert chart.margin.without == "no margin"


def test_shares_are_shown_in_percent(by_state):
    table = by_state.assign(estimand="proportion(insec)", level="Yes", estimate=0.25, margin=0.05)
    chart = choropleth(table, tiles("state"))
    assert np.nanmax(chart.estimate.values) == 25.0
    assert chart.estimate.unit == "% of households"
    assert chart.title == "proportion(insec) = Yes"


def test_totals_are_no_areas(estimates, pumas):
    total = estimates.iloc[[0]].assign(state="(all)", puma10="(all)")
    of_state = estimates.iloc[[0]].assign(puma10="(all)")
    with_totals = pd.concat([estimates, total, of_state], ignore_index=True)
    assert choropleth(with_totals, pumas).cells.equals(choropleth(estimates, pumas).cells)


def test_classes_hold_about_as_many_areas_each_and_break_at_round_numbers(estimates, pumas):
    layer = choropleth(estimates, pumas).estimate
    counts = np.bincount(layer.classes[layer.classes >= 0])
    assert len(counts) == len(layer.labels) == len(ESTIMATE_COLOURS)
    assert counts.min() > 0.5 * counts.mean()
    assert all(value == round(value, 1) for value in layer.breaks)


def test_codes_of_states_hide_no_cell_of_theirs(estimates):
    chart = choropleth(
        estimates, tiles("puma10", set(zip(estimates["state"], estimates["puma10"], strict=True)))
    )
    assert chart.banded
    cells = [
        r for area, rings in zip(chart.areas, chart.sheet.rings, strict=True) if area.puma for r in rings
    ]
    for x, y, _ in chart.labels:
        assert not any(
            (ring.min(axis=0) <= (x, y)).all() and (ring.max(axis=0) >= (x, y)).all() for ring in cells
        )


def test_no_class_is_without_an_area_where_areas_are_few(by_state):
    few = by_state.head(6).assign(estimate=[52.0, 61.0, 73.4, 73.6, 90.1, 90.2])
    layer = choropleth(few, tiles("state")).estimate
    counts = np.bincount(layer.classes[layer.classes >= 0], minlength=len(layer.labels))
    assert len(counts) == len(layer.labels) and counts.min() > 0


def test_an_estimate_equal_everywhere_has_one_class(by_state):
    layer = choropleth(by_state.assign(estimate=7.0), tiles("state")).estimate
    assert layer.labels == ("7",)
    assert len(layer.shades) == 1


def test_a_value_on_a_break_belongs_to_the_class_that_begins_there():
    layer = Layer("margin", "Margin", "%", np.array([4.9, 5.0, np.nan]), (5.0, 10.0), ESTIMATE_COLOURS)
    assert layer.classes.tolist() == [0, 1, -1]
    assert layer.labels == ("under 5", "5 to 10", "10 or more")


def test_pumas_of_the_other_definition_are_refused(estimates, pumas):
    with pytest.raises(GeographyError, match="estimates are by puma20, boundaries by puma10"):
        choropleth(estimates.rename(columns={"puma10": "puma20"}), pumas)


def test_a_puma_that_the_boundaries_have_not_is_named(estimates, pumas):
    estimates.loc[0, "puma10"] = "77777"
    with pytest.raises(GeographyError, match="state 01, puma10 77777 is not among the boundaries"):
        choropleth(estimates, pumas)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ((), "groups are none"),
        (("puma10",), "unique within its state only"),
        (("division",), "Analyze by state"),
        (("state", "tenure"), "also the group tenure"),
        (("state", "puma10", "puma20"), "cannot be drawn"),
    ],
)
def test_groups_that_are_no_places_are_refused(by, message):
    with pytest.raises(AnalysisError, match=message):
        place_columns(by)
