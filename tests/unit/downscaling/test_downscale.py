"""Small areas: sums, margins and accuracy on a world whose truth is known, and what tables can do wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import fusion_pipeline as fp
from fusion_pipeline.downscaling import estimating
from fusion_pipeline.downscaling.fitting import shrunk
from fusion_pipeline.downscaling.holdout import foretold
from fusion_pipeline.errors import AnalysisError, GeographyError
from fusion_pipeline.simulate.small_areas import LEVELS, draw_small_areas

PUMA = ["state", "puma10"]


@pytest.fixture(scope="module")
def world():
    return draw_small_areas(2, 3_000, sample=0.1, implicates=2, seed=1)


@pytest.fixture(scope="module")
def tracts(world):
    return fp.downscale(world.households, world.tables("tract"), area="tract", puma=PUMA)


def homes(**columns) -> pd.DataFrame:
    """Four households of one PUMA."""
    frame = {
        "hid": [1, 2, 3, 4],
        "puma": "A",
        "weight": [30.0, 20.0, 40.0, 10.0],
        "tenure": pd.Categorical(["own", "own", "rent", "rent"], ["own", "rent", "free"]),
        "persons": [1, 2, 1, 2],
    }
    return pd.DataFrame(frame | columns)


def cells(*rows) -> pd.DataFrame:
    """Rows of tract, variable, level, count."""
    return pd.DataFrame(rows, columns=["tract", "variable", "level", "count"]).assign(puma="A")


TENURE = cells(
    ("t1", "tenure", "own", 30), ("t1", "tenure", "rent", 10), ("t2", "tenure", "own", 20), ("t2", "tenure", "rent", 40)
)  # fmt: skip


def test_a_households_shares_add_up_to_its_weight(world, tracts) -> None:
    weight = tracts.shares.to_pandas().groupby("hid")["weight"].sum()
    np.testing.assert_allclose(weight, world.households.set_index("hid")["weight"], rtol=1e-12)


def test_sums_of_fused_variables_over_areas_are_the_pumas(world, tracts) -> None:
    replicates = ["rep_1", "rep_2", "rep_3"]
    request = {"estimates": ["sum(btuel)", "count(insec)"], "replicate_weights": replicates}
    by_area = tracts.analyze(world.fused, world.households, **request).table
    static = pa.Table.from_pandas(world.households, preserve_index=False)
    by_puma = fp.analyze(world.fused, static, by=PUMA, **request).table
    keys = [*PUMA, "estimand"]
    total = by_area.assign(level=by_area["level"].fillna("")).groupby([*keys, "level"])["estimate"].sum()
    whole = by_puma.assign(level=by_puma["level"].fillna("")).set_index([*keys, "level"])["estimate"]
    # Every estimate is given to nine digits.
    np.testing.assert_allclose(total, whole.loc[total.index], rtol=1e-8)


def test_every_area_has_the_counts_of_its_tables() -> None:
    """Tables whose totals are the PUMA's are met to the last household."""
    persons = cells(("t1", "persons", "1", 32), ("t1", "persons", "2", 8), ("t2", "persons", "1", 38),
                    ("t2", "persons", "2", 22))  # fmt: skip
    found = fp.downscale(homes(), pd.concat([TENURE, persons]), area="tract", tolerance=1e-9)
    placed = found.shares.to_pandas().merge(homes().drop(columns="weight"), on="hid")
    for table in (TENURE, persons):
        variable = table["variable"].iloc[0]
        got = placed.assign(level=placed[variable].astype(str)).groupby(["tract", "level"])["weight"].sum()
        wanted = table.set_index(["tract", "level"])["count"]
        np.testing.assert_allclose(got, wanted[got.index], rtol=1e-7)


def test_tables_of_other_totals_keep_their_odds_ratios(world, tracts) -> None:
    """A sample's weights by level are not those of the tables: both are scaled to the PUMA's, as margins are."""
    placed = tracts.shares.to_pandas().merge(world.households[["hid", "tenure"]], on="hid")
    got = placed.pivot_table("weight", "tract", "tenure", aggfunc="sum", observed=False)
    table = world.tables("tract").query("variable == 'tenure'")
    wanted = table.pivot_table("count", "tract", "level")[list(LEVELS["tenure"])]
    compared = 0
    for _, part in world.everyone.groupby("puma10"):
        rows = [t for t in sorted(part["tract"].unique()) if (wanted.loc[t] > 0).all()]
        ratio = np.log(got.loc[rows].to_numpy() / wanted.loc[rows].to_numpy())
        ratio -= ratio.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape), atol=1e-3)
        compared += len(rows)
    assert compared > 10
    assert tracts.pumas["converged"].all()
    assert tracts.areas["gap"].max() <= 1e-6


def test_tables_bring_estimates_much_nearer_to_the_truth_than_the_pumas_own(world, tracts) -> None:
    estimates = ["mean(btuel)", "mean(dollars)", "mean(area)", "proportion(insec)"]
    truth = world.truth("tract")
    found = tracts.analyze(world.fused, world.households, estimates=estimates).table
    static = pa.Table.from_pandas(world.households, preserve_index=False)
    of_puma = fp.analyze(world.fused, static, estimates=estimates, by=PUMA).table
    naive = of_puma.merge(found[["tract", *PUMA]].drop_duplicates(), on=PUMA)

    def error(table: pd.DataFrame) -> pd.Series:
        kept = table[table["level"].isna() | (table["level"] == "Yes")]
        wide = kept.pivot_table("estimate", "tract", "variable")
        return (wide / truth.loc[wide.index, wide.columns] - 1).abs().median()

    assert (error(found) / error(naive)).mean() < 0.6


def test_margins_of_error_in_the_tables_make_small_areas_better(world) -> None:
    tables = world.tables("block_group", sampled=0.05)
    truth = world.truth("block_group")["btuel"]
    errors = []
    for given_tables in (tables.drop(columns="moe"), tables):
        placed = fp.downscale(
            world.households,
            given_tables,
            area="block_group",
            puma=PUMA,
            max_iterations=100,
            hold_out=False,
        )
        found = placed.analyze(world.fused, world.households, estimates=["mean(btuel)"]).table
        found = found.set_index("block_group")["estimate"]
        errors.append(float((found / truth[found.index] - 1).abs().mean()))
    assert errors[1] < errors[0]


def test_a_table_left_out_is_foretold_by_the_one_it_goes_with() -> None:
    """Owners live alone, renters do not: tenure says all of persons, and the other way round."""
    own = homes(persons=["1", "1", "2", "2"])
    persons = TENURE.assign(variable="persons", level=TENURE["level"].map({"own": "1", "rent": "2"}))
    found = foretold(own, pd.concat([TENURE, persons]), area="tract").set_index("variable")
    np.testing.assert_allclose(found["wrong"], 0, atol=1e-6)
    np.testing.assert_allclose(found["wrong_puma"], (0.4 * 0.25 + 0.6 / 6), rtol=1e-9)
    with pytest.raises(AnalysisError, match="nothing foretells it"):
        foretold(own, TENURE, area="tract")


def test_the_fit_is_the_nearest_to_the_start_that_meets_tables_and_weights() -> None:
    tables = pd.concat([TENURE, cells(("t1", "persons", "1", 32), ("t1", "persons", "2", 8), ("t2", "persons", "1", 38),
                                      ("t2", "persons", "2", 22))])  # fmt: skip
    found = fp.downscale(homes(), tables, area="tract", tolerance=1e-10).shares.to_pandas()
    x = found.pivot_table("weight", "hid", "tract").to_numpy()
    own, one = np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0])
    w = np.array([30.0, 20.0, 40.0, 10.0])
    start = np.outer(w, [0.4, 0.6])

    def distance(y: np.ndarray) -> float:
        return float((y * np.log(y / start.ravel())).sum())

    rules = [
        lambda y: y.reshape(4, 2).sum(axis=1) - w,
        lambda y: np.array([own, one, np.ones(4)]) @ y.reshape(4, 2)[:, 0] - [30, 32, 40],
    ]
    best = minimize(
        distance, start.ravel(), method="SLSQP", bounds=[(1e-6, None)] * 8,
        constraints=[{"type": "eq", "fun": rule} for rule in rules], options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    assert best.success
    np.testing.assert_allclose(x.ravel(), best.x, atol=1e-3)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_whatever_tables_say_weights_are_kept_and_shares_are_shares(seed) -> None:
    rng = np.random.default_rng(seed)
    n, areas = 30, 4
    own = pd.DataFrame(
        {
            "hid": range(n),
            "puma": "A",
            "weight": rng.uniform(0.1, 50, n),
            "a": rng.integers(0, 3, n),
            "b": rng.integers(0, 4, n),
        }
    )
    rows = []
    for tract, variable in [(f"t{t}", v) for t in range(areas) for v in ("a", "b")]:
        levels = sorted(own[variable].unique())
        counts = rng.multinomial(40, rng.dirichlet(np.full(len(levels), 0.3)))
        rows += [(tract, variable, str(level), count) for level, count in zip(levels, counts, strict=True)]
    found = fp.downscale(own, cells(*rows), area="tract", max_iterations=50)
    shares = found.shares.to_pandas()
    assert shares["share"].between(0, 1 + 1e-12).all()
    np.testing.assert_allclose(shares.groupby("hid")["weight"].sum(), own["weight"], rtol=1e-12)


def test_the_same_input_gives_the_same_bytes_and_is_read_back(world, tracts, tmp_path) -> None:
    for name in ("one", "two"):
        fp.downscale(world.households, world.tables("tract"), area="tract", puma=PUMA, out=tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 6
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    again = fp.Downscaled.read(tmp_path / "one")
    assert again.shares.read().equals(tracts.shares)
    pd.testing.assert_frame_equal(again.areas, tracts.areas, check_dtype=False)
    assert (again.puma, again.area, again.notes) == (tracts.puma, tracts.area, tracts.notes)


def test_estimates_do_not_depend_on_how_many_pumas_are_in_memory(
    world, tracts, tmp_path, monkeypatch
) -> None:
    request = {"estimates": ["mean(btuel)"], "by": ["tenure"]}
    whole = tracts.analyze(world.fused, world.households, **request).table
    on_disk = fp.downscale(
        world.households, world.tables("tract"), area="tract", puma=PUMA, out=tmp_path / "tracts"
    )
    batches = estimating._batches
    sizes = []

    def one_by_one(found, rows):
        for batch in batches(found, 1):
            sizes.append(len(set(batch["puma10"].to_pylist())))
            yield batch

    monkeypatch.setattr(estimating, "_batches", one_by_one)
    for found in (tracts, on_disk):
        pd.testing.assert_frame_equal(whole, found.analyze(world.fused, world.households, **request).table)
    assert sizes == [1, 1, 1, 1]


def test_replicate_weights_are_shared_as_the_weight_is() -> None:
    """Replicates twice and no times the weight: the variance of a sum is that of the share of it."""
    own = homes()
    own = own.assign(rep_1=2 * own["weight"], rep_2=0 * own["weight"], one=1.0)
    fused = pa.table({"implicate": [1] * 4 + [2] * 4, "hid": [1, 2, 3, 4] * 2, "use": [1.0] * 8})
    found = fp.downscale(own, TENURE, area="tract").analyze(
        fused, own, estimates=["sum(use)"], replicate_weights=["rep_1", "rep_2"], replicate_scale=0.5
    )
    np.testing.assert_allclose(found.table["estimate"], [40, 60], rtol=1e-6)
    np.testing.assert_allclose(found.table["standard_error"], [40, 60], rtol=1e-6)


def test_totals_of_tables_count_for_nothing_but_their_proportions() -> None:
    once, tenfold = (
        fp.downscale(homes(), TENURE.assign(count=TENURE["count"] * k), area="tract") for k in (1, 10)
    )
    np.testing.assert_allclose(
        once.shares["share"].to_numpy(), tenfold.shares["share"].to_numpy(), rtol=1e-12
    )
    assert (once.pumas["scaled"].item(), tenfold.pumas["scaled"].item()) == pytest.approx((1.0, 0.1))


def test_counts_in_a_level_that_no_household_has_are_left_out_and_reported() -> None:
    tables = pd.concat([TENURE, cells(("t1", "tenure", "free", 10))])
    found = fp.downscale(homes(), tables, area="tract")
    assert found.cells[["variable", "level", "counted"]].values.tolist() == [["tenure", "free", 10.0]]
    assert found.pumas["nobody"].item() == pytest.approx(10 / 110)
    assert found.pumas["converged"].item()
    assert any("none of their households has" in note for note in found.notes)


def test_households_of_a_level_that_no_area_counts_are_shared_by_size_and_reported() -> None:
    """Owners are half of the tables and of the others, so that nothing else has to move."""
    own = homes(
        tenure=pd.Categorical(["own", "own", "rent", "free"], ["own", "rent", "free"]),
        weight=[25.0, 20.0, 45.0, 10.0],
    )
    found = fp.downscale(own, TENURE, area="tract")
    shares = found.shares.to_pandas().query("hid == 4")["share"]
    np.testing.assert_allclose(shares, [0.4, 0.6], rtol=1e-9)
    assert found.pumas["unlisted"].item() == pytest.approx(0.1)
    assert found.cells["weight"].tolist() == [10.0]


def test_households_that_no_areas_tables_admit_are_shared_by_size_and_reported() -> None:
    persons = cells(("t1", "persons", "1", 40), ("t2", "persons", "2", 60))
    tenure = cells(("t1", "tenure", "own", 40), ("t2", "tenure", "rent", 60))
    found = fp.downscale(homes(), pd.concat([persons, tenure]), area="tract")
    assert found.pumas["nowhere"].item() == pytest.approx(0.6)
    shares = found.shares.to_pandas()
    assert shares.query("hid in [2, 3]")["share"].tolist() == pytest.approx([0.4, 0.6, 0.4, 0.6])
    assert shares.query("hid in [1, 4]")[["hid", "tract", "share"]].values.tolist() == [
        [1, "t1", 1.0],
        [4, "t2", 1.0],
    ]


def test_tables_that_cannot_be_met_together_are_reported_as_not_converged() -> None:
    """All of tract t1 are owners of one person; the PUMA has fewer of them."""
    persons = cells(("t1", "persons", "1", 50), ("t2", "persons", "1", 20), ("t2", "persons", "2", 30))
    tenure = cells(("t1", "tenure", "own", 50), ("t2", "tenure", "rent", 50))
    found = fp.downscale(homes(), pd.concat([persons, tenure]), area="tract", max_iterations=100)
    assert not found.pumas["converged"].item()
    assert found.pumas["gap"].item() > 0.01
    assert found.pumas["iterations"].item() == 100
    assert any("have not converged" in note for note in found.notes)
    np.testing.assert_allclose(
        found.shares.to_pandas().groupby("hid")["weight"].sum(), homes()["weight"], rtol=1e-12
    )


def test_an_area_without_households_has_no_shares_and_one_without_a_table_gets_the_pumas_distribution() -> (
    None
):
    persons = cells(("t2", "persons", "1", 70), ("t2", "persons", "2", 30), ("t3", "persons", "1", 0))
    found = fp.downscale(homes(), pd.concat([TENURE, persons]), area="tract")
    assert found.areas.set_index("tract")["households"].gt(0).to_dict() == {
        "t1": True,
        "t2": True,
        "t3": False,
    }
    assert found.pumas[["areas", "areas_empty", "filled"]].values.tolist() == [[3, 1, 1]]
    assert "t3" not in found.shares["tract"].to_pylist()


def test_households_of_weight_zero_and_of_pumas_without_tables_are_left_out_and_counted() -> None:
    own = pd.concat([homes(weight=[30.0, 20.0, 40.0, 0.0]), homes(puma="B", hid=[5, 6, 7, 8])])
    found = fp.downscale(own, TENURE, area="tract")
    assert sorted(set(found.shares["hid"].to_pylist())) == [1, 2, 3]
    assert found.notes[:2] == (
        "1 households of weight 0 are left out.",
        "4 households of PUMAs without tables are left out.",
    )


def test_precise_cells_stay_and_noisy_ones_move_to_the_share_of_all_areas() -> None:
    counts = np.array([[80.0, 20.0], [20.0, 80.0], [50.0, 50.0]])
    np.testing.assert_allclose(shrunk(counts, np.zeros((3, 2))), counts)
    errors = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(shrunk(counts, errors)[2], [50, 50])
    assert 79 < shrunk(counts, errors)[0, 0] < 80
    np.testing.assert_allclose(shrunk(counts, 1000 * errors), 50)


@pytest.mark.parametrize(
    ("tables", "kind", "message"),
    [
        (TENURE.assign(puma="Z"), GeographyError, r"PUMA Z: has no household"),
        (TENURE.assign(puma=["A", "B", "A", "A"]), GeographyError, r"tract t1: is in the PUMAs A and B"),
        (TENURE.assign(count=[-1, 1, 1, 1]), AnalysisError, r"tract t1, tenure = own: has the count -1 \(1 such"),
        (TENURE.assign(count=[1, np.nan, 1, 1]), AnalysisError, r"tenure = rent: has the count nan"),
        (TENURE.assign(moe=[1, -3, 1, 1]), AnalysisError, r"has the moe -3"),
        (TENURE.assign(count="many"), AnalysisError, r"column count: is no number"),
        (TENURE.assign(count=0), AnalysisError, r"PUMA A: count no household"),
        (TENURE.assign(level=["own", "squat"] * 2), AnalysisError, r"tenure = squat: is a level that no household"),
        (TENURE.assign(variable="tenur"), AnalysisError, r"variable tenur: is no column of the households"),
        (TENURE.drop(columns="level"), AnalysisError, r"column level: is not there"),
        (TENURE.iloc[:0], AnalysisError, r"tables: have no rows"),
        (pd.concat([TENURE, TENURE]), AnalysisError, r"is listed twice"),
        (
            pd.concat([TENURE, cells(("t1", "persons", "1", 240))]),
            AnalysisError,
            r"PUMA A: have totals from 100 to 240",
        ),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_are_refused_by_name(tables, kind, message) -> None:
    with pytest.raises(kind, match=message):
        fp.downscale(homes(), tables, area="tract")


@pytest.mark.parametrize(
    ("own", "kind", "message"),
    [
        (
            homes(weight=[1.0, -1.0, 1.0, 1.0]),
            AnalysisError,
            r"weight: is missing, infinite or negative in 1",
        ),
        (homes(weight=[1.0, np.nan, 1.0, 1.0]), AnalysisError, r"weight: is missing"),
        (homes(hid=[1, 1, 2, 3]), AnalysisError, r"more than one row with \{'hid': 1\}"),
        (homes(puma=["A", None, "A", "A"]), GeographyError, r"column puma: is missing in 1"),
        (homes(tenure=["own", None, "rent", "rent"]), AnalysisError, r"tenure: is missing in 1 households"),
        (homes(tenure=[0.5, 1.0, 2.0, 3.0]), AnalysisError, r"tenure: is a number without classes"),
        (homes().drop(columns="weight"), AnalysisError, r"column weight: is not there"),
    ],
)
def test_households_that_cannot_be_are_refused_by_name(own, kind, message) -> None:
    with pytest.raises(kind, match=message):
        fp.downscale(own, TENURE, area="tract")


def test_shares_of_other_households_are_not_analysed() -> None:
    found = fp.downscale(homes(), TENURE, area="tract")
    fused = pa.table({"implicate": [1, 1], "hid": [1, 2], "use": [1.0, 2.0]})
    with pytest.raises(AnalysisError, match=r"households that the recipient has not, such as \{'hid': 3\}"):
        found.analyze(fused, homes().iloc[:2], estimates=["mean(use)"])
