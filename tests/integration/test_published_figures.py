"""Estimates of a pair beside published figures: through the graph on simulated surveys, and against real files."""

import pandas as pd
import pytest

from fusion_pipeline.geography.concordance import areas
from fusion_pipeline.storage.artefacts import open_pair
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation import pair_external
from fusion_pipeline.validation.published import Expected, Published, load_published
from tests.conftest import PAIR


@pytest.fixture
def table(small_run):
    return TableRef(small_run.layout.table(("quality", "external"), PAIR)).read()


def test_estimates_stand_beside_published_figures_of_the_same_world(small_run, table) -> None:
    found = pair_external.summary(table).set_index("estimand")
    assert found.loc["mean(dollarel)", "area"] == "puma"
    assert found.loc["sum(btuel)", "independence"] == "independent"
    assert found.loc["ratio(dollarel, btuel)", "independence"] == "also a predictor"
    sales = found.loc["sum(btuel)"]
    assert sales["areas"] == 51
    assert sales["correlation"] > 0.9
    assert abs(sales["bias"]) < 0.1
    assert found.loc["ratio(dollarel, btuel)", "median_error"] < 0.2
    assert "Fused against published, by state" in small_run.layout.report(PAIR).read_text()


def test_figures_of_another_world_or_of_other_surveys_are_left_out_by_name(small_run) -> None:
    layout = small_run.layout
    prepared = open_pair(layout.tables(("fusion", "prepared"), PAIR))
    found = pair_external.pair_external(
        PAIR,
        layout,
        variables=["btuel", "btung"],
        predictors=prepared.recipient.columns,
        households=TableRef(layout.table(("acs", "households"), "2015")),
        files={},
        implicates=2,
    )
    assert found.table.num_rows == 0
    assert found.left_out["electricity_spending"] == "elec not fused"
    assert "simulated" in found.left_out["homes_with_gas"]
    assert "neither in mirror nor cache" in found.left_out["electricity_sales"]
    assert pair_external.findings(found.table) == {"correlation": [], "error": [], "inside": []}
    assert pair_external.figure(found.table) is None


def test_expectations_that_are_not_met_are_named(table, monkeypatch) -> None:
    strict = Expected(correlation=1, error=1e-6, inside=1)
    declared = tuple(b.model_copy(update={"expect": strict}) for b in load_published().benchmarks)
    monkeypatch.setattr(pair_external, "load_published", lambda: Published(benchmarks=declared))
    for lines in pair_external.findings(table).values():
        assert any(line.startswith("electricity_price: ") for line in lines)


def test_part_of_a_division_is_not_held_against_the_whole(small_run, tmp_path) -> None:
    households = TableRef(small_run.layout.table(("acs", "households"), "2015"))
    whole = pair_external.whole_areas(households)
    assert set(whole["division"]["area"]) == set(areas("division"))
    assert len(whole["nation"]) == 1
    kept = households.read().to_pandas().query("state != '10'")
    path = tmp_path / "households.parquet"
    kept[["state", "puma10", "weight"]].astype({"state": str, "puma10": str}).to_parquet(path)
    part = pair_external.whole_areas(TableRef(path))
    assert set(part["division"]["area"]) == set(areas("division")) - {"South Atlantic"}
    assert part["nation"].empty
    assert len(part["state"]) == 50


@pytest.mark.realdata
def test_tables_of_the_recs_report_are_those_of_its_microdata(shared) -> None:
    columns = ["DIVISION", "NWEIGHT", "BTUNG", "COOLTYPE"]
    raw = pd.read_csv(
        shared / "data" / "recs_2015" / "recs2015_public_v4_reconstructed.csv.gz", usecols=columns
    )
    names = dict(enumerate(areas("division")[:7], start=1)) | {8: "Mountain", 9: "Mountain", 10: "Pacific"}
    area = raw["DIVISION"].map(names)
    homes = raw["NWEIGHT"] / 1e6
    with_it = {"homes_with_gas": raw["BTUNG"] > 0, "homes_with_cooling": raw["COOLTYPE"] > 0}
    declared = {b.name: b.figures.values for b in load_published().benchmarks if b.name.startswith("homes_")}
    for name, is_it in with_it.items():
        for label, rows in [*((a, area == a) for a in declared[name]), ("United States", area.notna())]:
            figure = declared[name if label in declared[name] else f"{name}_nation"][label]
            assert figure == pytest.approx((homes[rows & is_it].sum(), homes[rows].sum()), abs=0.051), label
