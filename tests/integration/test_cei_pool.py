"""The pooled CEI as assets: what is made again when one survey-year changes, and the pair on the simulated surveys."""

from __future__ import annotations

import dagster as dg
import pandas as pd
import pytest

from fusion_pipeline.registry import load_registry
from fusion_pipeline.running import JobRun, run_all, runs_of
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.tables import TableRef
from tests.edits import double_incomes

pytestmark = pytest.mark.slow

POOL, PAIR = "CEI_2015-2019", "CEI_2015-2019__ACS_2019"
INGESTING = [run for run in runs_of(PAIR) if run.job in ("ingest_survey", "pool_survey")]
OF_POOL = {(f"pool/{name}", POOL) for name in ("households", "persons", "dictionary")}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Settings and instance with the survey-years and their pool."""
    settings = load_settings(
        data=tmp_path_factory.mktemp("cei"),
        source="simulated",
        simulated_households=500,
        simulated_donors=300,
    )
    instance = dg.DagsterInstance.ephemeral()
    assert made(run_all(INGESTING, settings, instance)) >= OF_POOL
    return settings, instance


def made(outcomes) -> set[tuple[str, str | None]]:
    """Asset partitions that were really made; their checks passed."""
    found = set()
    for _, outcome in outcomes:
        if outcome is None:
            continue
        assert all(check.passed for check in outcome.checks if check.blocking)
        found |= {
            (m.asset_key.to_user_string(), m.partition)
            for m in outcome.materialized
            if not m.metadata["reused"].value
        }
    return found


def layout(settings):
    from fusion_pipeline.storage.layout import Layout

    return Layout(settings.root)


def test_the_pool_is_made_from_its_years_and_the_survey_it_learns_from() -> None:
    years = [*load_registry().pools[POOL].years, "RECS_2015"]
    assert [*(JobRun("ingest_survey", year) for year in years), JobRun("pool_survey", POOL)] == INGESTING


def test_nothing_changed_makes_nothing_again(world) -> None:
    settings, instance = world
    assert made(run_all(INGESTING, settings, instance)) == set()


def test_one_changed_year_makes_that_year_and_the_pool_again(world) -> None:
    settings, instance = world
    before = TableRef(layout(settings).table(("pool", "households"), POOL)).read().to_pandas()
    double_incomes(layout(settings).simulated_raw / "cei_2017" / "intrvw17.zip")
    again = made(run_all(INGESTING, settings, instance))
    assert {partition for _, partition in again} == {"CEI_2017", POOL}
    assert {asset for asset, partition in again if partition == "CEI_2017"} >= {
        "survey/raw",
        "survey/households",
    }
    assert ("pool/households", POOL) in again
    after = TableRef(layout(settings).table(("pool", "households"), POOL)).read().to_pandas()
    richer = after.set_index("hid")["fincbtxm"] > before.set_index("hid")["fincbtxm"]
    years = pd.Series(before["intyear"].to_numpy(), before["hid"])
    assert 0.1 < richer.mean() < 0.4
    assert set(years[richer]) <= {2017, 2018}


def test_dictionary_describes_what_was_predicted_and_derived(world) -> None:
    settings, _ = world
    rows = (
        TableRef(layout(settings).table(("pool", "dictionary"), POOL))
        .read()
        .to_pandas()
        .set_index("variable")
    )
    fused = load_registry().pairs[PAIR].variables
    assert set(fused) <= set(rows.index)
    assert (rows.loc[list(fused), "n_missing"] == 0).all()
    assert "RECS 2015" in rows.loc["hfl", "description"]
    assert rows.loc["rtelect", "universe"].startswith("Renters")
    assert layout(settings).dictionary_page("pool", POOL).is_file()


def test_the_pair_runs_end_to_end(world) -> None:
    settings, instance = world
    outcomes = [outcome for _, outcome in run_all(runs_of(PAIR), settings, instance) if outcome is not None]
    assert all(check.passed for outcome in outcomes for check in outcome.checks if check.blocking)
    fused = pd.read_parquet(layout(settings).implicate(PAIR, 1))
    assert set(load_registry().pairs[PAIR].variables) <= set(fused.columns)
    assert fused["mortint_share"].between(0, 1).all()
    assert layout(settings).report(PAIR).is_file()
