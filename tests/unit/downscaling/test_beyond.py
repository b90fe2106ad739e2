"""What areas have beyond their tables: told by tables that were left out, and added to margins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import fusion_pipeline as fp
from fusion_pipeline.downscaling.explaining import Design
from fusion_pipeline.downscaling.fitting import remaining_error
from fusion_pipeline.downscaling.holdout import MOST_PUMAS, foretold, spaced
from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.simulate.small_areas import draw_small_areas

PUMA = ["state", "puma10"]
REPLICATES = [f"rep_{r}" for r in range(1, 9)]
OUTCOMES = ["mean(btuel)", "mean(dollars)", "proportion(insec)", "mean(area)"]


@pytest.fixture(scope="module")
def world():
    return draw_small_areas(2, 6_000, sample=0.1, implicates=3, seed=5)


@pytest.fixture(scope="module")
def tracts(world):
    return fp.downscale(world.households, world.tables("tract"), area="tract", puma=PUMA)


def estimated(found, world, **request) -> pd.DataFrame:
    given = {"estimates": OUTCOMES, "replicate_weights": REPLICATES} | request
    return found.analyze(world.fused, world.households, **given).table


def test_left_out_tables_tell_what_households_of_an_area_have_in_common() -> None:
    """Areas of 5,000 households; three variables apart from each other, their shares 1/2 +- sqrt(icc)/2."""
    rng = np.random.default_rng(1)
    areas, true = 150, {"a": 0.01, "b": 0.04, "c": 0.09}
    own = pd.DataFrame({"hid": np.arange(2_000), "puma": "A", "weight": areas * 2.5})
    own = own.assign(**{name: rng.permutation(np.arange(2_000) % 2).astype(str) for name in true})
    rows = []
    for name, icc in true.items():
        share = 0.5 + np.sqrt(icc) / 2 * rng.choice([-1, 1], areas)
        for area, p in enumerate(share):
            rows += [(f"t{area}", name, "0", 5_000 * p), (f"t{area}", name, "1", 5_000 * (1 - p))]
    tables = pd.DataFrame(rows, columns=["tract", "variable", "level", "count"]).assign(puma="A")
    found = foretold(own, tables, area="tract").set_index("variable")
    np.testing.assert_allclose(found["icc"], list(true.values()), rtol=0.15)
    np.testing.assert_allclose(found["explained"], 0, atol=0.01)


def test_margins_that_hold_what_tables_do_not_show_cover_more(world, tracts) -> None:
    found = estimated(tracts, world)
    found = found[found["level"].isna() | (found["level"] == "Yes")]
    truth = world.truth("tract").rename_axis("tract").reset_index().melt("tract", value_name="truth")
    found = found.merge(truth, on=["tract", "variable"], validate="many_to_one")
    off = (found["estimate"] - found["truth"]).abs()
    assert (off <= found["margin"]).mean() > (off <= found["margin_without"]).mean() + 0.1
    assert (found["margin"] >= found["margin_without"]).all()
    total = found["standard_error"] ** 2
    assert (found["area_error"] ** 2 <= total * (1 + 1e-6)).all()


def test_margins_without_it_are_those_of_the_households_and_implicates(world, tracts) -> None:
    found, without = (estimated(tracts, world, beyond=beyond) for beyond in (True, False))
    np.testing.assert_allclose(found["margin_without"], without["margin"], rtol=1e-8)
    assert found["estimate"].equals(without["estimate"])
    assert "area_error" not in without


def test_what_tables_count_themselves_has_nothing_beyond_them_but_in_small_areas(world, tracts) -> None:
    """A fused variable that is one of the tables: explained wholly, so that no part is left."""
    rent = world.households[["hid"]].assign(rent=(world.households["tenure"] == "Rented") * 1.0)
    fused = pa.concat_tables(
        [pa.Table.from_pandas(rent.assign(implicate=m), preserve_index=False) for m in (1, 2)]
    )
    found = tracts.analyze(
        fused, world.households, estimates=["mean(rent)"], replicate_weights=REPLICATES
    ).table
    np.testing.assert_allclose(found["area_error"], 0, atol=1e-4)


def test_relations_have_no_component_and_keep_their_margin(world, tracts) -> None:
    found = estimated(tracts, world, estimates=["correlation(btuel, area)", "mean(btuel)"])
    relation = found[found["estimand"] == "correlation(btuel, area)"]
    assert relation["area_error"].isna().all()
    pd.testing.assert_series_equal(relation["margin"], relation["margin_without"], check_names=False)


def test_two_tables_tell_nothing_and_the_notes_say_that_margins_are_narrow(world) -> None:
    two = world.tables("tract", ["tenure", "income"])
    found = fp.downscale(world.households, two, area="tract", puma=PUMA)
    assert found.beyond is None
    result = found.analyze(world.fused, world.households, estimates=["mean(btuel)"])
    assert "area_error" not in result.table
    assert "is in no margin" in result.notes[-1]


def test_an_area_error_of_pumas_is_refused_below_them(world, tracts) -> None:
    with pytest.raises(AnalysisError, match="below the PUMA"):
        estimated(tracts, world, area_error=object())


def test_shares_on_disk_give_the_same_margins(world, tracts, tmp_path) -> None:
    fp.downscale(world.households, world.tables("tract"), area="tract", puma=PUMA, out=tmp_path / "tracts")
    request = {"estimates": ["mean(btuel)"]}
    pd.testing.assert_frame_equal(
        estimated(tracts, world, **request),
        estimated(fp.Downscaled.read(tmp_path / "tracts"), world, **request),
    )


def test_explained_shares_are_those_the_values_are_made_with() -> None:
    """Of variance 4: 1 by the table's variable, 2 by what both implicates know, 1 is drawn."""
    rng = np.random.default_rng(2)
    n = 60_000
    level, known = rng.integers(0, 2, n), rng.normal(0, np.sqrt(2), n)
    puma = rng.integers(0, 3, n)
    first, second = ((2.0 * level + known + rng.normal(size=n) + 5 * puma)[:, None] for _ in range(2))
    design = Design.of(np.stack([level, rng.integers(0, 3, n)], axis=1), [2, 3], np.ones(n), puma)
    found = design.of_values(first, second, np.ones(n, dtype=bool))
    np.testing.assert_allclose([found.by_tables, found.by_predictors], [0.25, 0.75], atol=0.01)
    np.testing.assert_allclose(found.beyond, 0.5, atol=0.01)


def test_errors_of_tables_remain_by_half_where_they_are_as_large_as_the_differences() -> None:
    counts = np.array([[400.0, 600.0], [600.0, 400.0]])
    # d = 0.1; with e^2 = d^2 / 2 areas differ by t^2 = d^2 / 2: half of e^2 remains.
    errors = np.full_like(counts, 1_000 * 0.1 / np.sqrt(2))
    found = remaining_error([counts], [errors])
    np.testing.assert_allclose(found, 0.005 * 0.5 / (0.45 * 0.55), rtol=1e-9)
    assert not remaining_error([counts], None).any()


def test_at_most_fifty_pumas_are_looked_at_from_first_to_last() -> None:
    keys = {f"{i:03d}": None for i in range(400)}
    chosen = spaced(keys)
    assert (len(chosen), chosen[0], chosen[-1]) == (MOST_PUMAS, "000", "399")
    assert spaced({"a": None}) == ["a"]
