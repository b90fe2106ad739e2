"""Margins with the area component: they cover areas, and what becomes of other groups and estimands."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.inference.area_error import AreaError, Proxy

AREA, STATE = 0.03, 0.02
STATES, PUMAS, HOUSEHOLDS, IMPLICATES = 40, 8, 120, 4


def area_error(**changes) -> AreaError:
    proxies = tuple(
        Proxy(
            variable=name, icc=AREA + STATE, standard_error=0.001, icc_finer=AREA + STATE, icc_wider=STATE, part=0.5,
            residual_share=0.7, spread=0.05, areas=100,
        )
        for name in "abcde"
    )  # fmt: skip
    return AreaError(area=("puma",), wider=("state",), proxies=proxies, measured_on={}).model_copy(
        update=changes
    )


@pytest.fixture(scope="module")
def world() -> dict[str, np.ndarray | pa.Table]:
    """Implicates by the true model without the effects of PUMA and state, and the true means."""
    random = np.random.default_rng(5)
    areas = STATES * PUMAS
    n = areas * HOUSEHOLDS
    puma = np.repeat(np.arange(areas), HOUSEHOLDS)
    x = 0.5 * random.normal(size=n)
    state = np.sqrt(STATE) * random.normal(size=STATES)
    effect = np.sqrt(AREA) * random.normal(size=areas) + np.repeat(state, PUMAS)
    drawn = np.concatenate([x + random.normal(size=n) for _ in range(IMPLICATES)])
    implicates = pa.table(
        {
            "implicate": np.repeat(np.arange(1, IMPLICATES + 1), n),
            "hid": np.tile(np.arange(n), IMPLICATES),
            "y": drawn,
        }
    )
    static = pa.table(
        {
            "hid": np.arange(n),
            "weight": np.ones(n),
            "puma": puma,
            "state": puma // PUMAS,
            "half": np.arange(n) % 2,
            "x": x,
        }
    )
    return {"implicates": implicates, "static": static, "effect": effect - effect.mean()}


def estimated(world, estimates: str = "mean(y)", by=(), **options):
    options.setdefault("area_error", area_error())
    return analyze(world["implicates"], world["static"], estimates=[estimates], by=list(by), **options)


def test_margins_with_the_component_cover_areas_and_those_without_do_not(world) -> None:
    table = estimated(world, by=["puma"]).table
    off = np.abs(table["estimate"] - world["effect"])
    assert np.mean(off <= table["margin_without"]) < 0.70
    assert 0.86 < np.mean(off <= table["margin"]) < 0.94


def test_margins_of_states_hold_what_their_areas_have_in_common(world) -> None:
    table = estimated(world, by=["state"]).table
    off = np.abs(table["estimate"] - world["effect"].reshape(STATES, PUMAS).mean(axis=1))
    assert np.mean(off <= table["margin"]) > 0.80
    areas_alone = estimated(world, by=["state"], area_error=area_error(wider=())).table
    assert (areas_alone["area_error"] < table["area_error"]).all()


def test_groups_that_are_no_areas_get_no_component(world) -> None:
    for by in ([], ["half"]):
        table = estimated(world, by=by).table
        assert (table["area_error"] == 0).all()
        assert (table["margin"] == table["margin_without"]).all()


def test_groups_within_areas_get_that_of_their_area_and_what_is_their_own(world) -> None:
    finer = tuple(p.model_copy(update={"icc_finer": 0.09}) for p in area_error().proxies)
    whole = estimated(world, by=["puma"]).table["area_error"].median()
    half = estimated(world, by=["puma", "half"]).table["area_error"].median()
    own = (
        estimated(world, by=["puma", "half"], area_error=area_error(proxies=finer))
        .table["area_error"]
        .median()
    )
    assert half < own  # halves are smaller, so Rubin's surplus is larger and more is deducted
    assert own**2 - half**2 == pytest.approx(0.08 * 0.5, rel=0.1)
    assert whole > half


def test_recipient_of_some_places_has_areas_off_the_average_of_everyone(world) -> None:
    nation = estimated(world, by=[]).table["area_error"].iloc[0]
    part = estimated(world, by=[], area_error=area_error(complete=False)).table["area_error"].iloc[0]
    assert nation == 0 < part


def test_observed_variables_have_no_area_error(world) -> None:
    table = estimated(world, "mean(x)", ["puma"]).table
    assert (table["area_error"] == 0).all()
    assert (table["margin"] == table["margin_without"]).all()


def test_component_of_a_sum_is_that_of_the_mean_times_the_households(world) -> None:
    mean, total = (estimated(world, f"{name}(y)", ["puma"]).table["area_error"] for name in ("mean", "sum"))
    assert total.to_numpy() == pytest.approx(HOUSEHOLDS * mean.to_numpy(), rel=1e-6)


def test_relations_have_no_component_and_say_so(world) -> None:
    with pytest.warns(UserWarning, match="no area component"):
        found = estimated(world, "correlation(x, y)", ["state"])
    assert found.table["area_error"].isna().all()
    assert (found.table["margin"] == found.table["margin_without"]).all()
    assert any("correlation(x, y)" in note for note in found.notes)


def test_derived_and_filtered_estimates_have_their_component(world) -> None:
    table = estimated(world, "proportion(high)", ["puma"], derive={"high": "y > 1"}, where="half = 1").table
    assert (table["area_error"] > 0).any()


def test_without_area_error_the_table_has_no_such_columns(world) -> None:
    assert "area_error" not in estimated(world, area_error=None).table


def test_unknown_area_column_is_named(world) -> None:
    with pytest.raises(AnalysisError, match="tract"):
        estimated(world, area_error=area_error(area=("tract",)))
