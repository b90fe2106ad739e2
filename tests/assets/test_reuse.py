"""Unchanged work is skipped, and says so; what changed is made again, and says why."""

import shutil
import time

import dagster as dg
import pytest
from dagster._core.storage.tags import ROOT_RUN_ID_TAG

from assets import reuse
from fusion_pipeline.definitions import build_defs
from fusion_pipeline.errors import OutOfMemoryError
from resources.compute import Compute
from resources.store import FusionStore
from tests.assets.conftest import HOUSEHOLDS, INGEST

ASSETS = ("raw", "households", "persons", "dictionary", "dictionary_page")


def story(materialized) -> dict[str, str]:
    """Why each asset was made; `-` of those that were reused."""
    shown = {m.asset_key.path[-1]: m.metadata for m in materialized}
    return {n: "-" if found["reused"].value else found["made because"].value for n, found in shown.items()}


@pytest.fixture
def made(place, ingested):
    """A place with what `ingested` made, and a mirror of its own with the same raw file."""
    shutil.copytree(ingested[0].layout.root, place.layout.root)
    return place


def again(place, *, force: bool = False) -> dict[str, str]:
    """Make the assets again, without the expectations of tables, which take longer than they."""
    job = build_defs(place.settings).resolve_job_def(INGEST.job)
    # A selection of assets alone would bring all their checks along; this one is made with its asset.
    own = {dg.AssetCheckKey(dg.AssetKey(["survey", n]), "related_records") for n in ("households", "persons")}
    alone = job.get_subset(
        asset_selection={dg.AssetKey(["survey", name]) for name in ASSETS}, asset_check_selection=own
    )
    result = alone.execute_in_process(
        instance=place.instance, partition_key=INGEST.partition, tags={reuse.FORCE: str(force)}
    )
    events = result.get_asset_materialization_events()
    return story(event.step_materialization_data.materialization for event in events)


def tables(outcome) -> list:
    return [check for check in outcome.checks if check.check_name in ("schema", "values")]


def files(place) -> list:
    return [place.layout.table(("survey", name), "RECS_2015") for name in ("households", "dictionary")]


def test_first_run_makes_and_measures_everything(ingested) -> None:
    _, outcome = ingested
    assert story(outcome.materialized) == dict.fromkeys(ASSETS, "no receipt of an earlier one")
    assert not outcome.reused
    for made in outcome.materialized:
        assert made.metadata["seconds"].value >= 0
        assert made.metadata["source"].value == "public"
        assert made.metadata["peak memory MB"].value > 10


def test_second_run_reuses_everything_and_shows_what_the_first_showed(made, ingested) -> None:
    _, first = ingested
    before = [file.stat().st_mtime_ns for file in files(made)]
    second = made.run()
    assert story(second.materialized) == dict.fromkeys(ASSETS, "-")
    assert len(second.reused) == len(ASSETS)
    assert [file.stat().st_mtime_ns for file in files(made)] == before
    for old, new in zip(first.materialized[1:], second.materialized[1:], strict=True):
        assert old.tags["dagster/data_version"] == new.tags["dagster/data_version"]
        assert new.metadata.get("dagster/row_count") == old.metadata.get("dagster/row_count")
        assert new.metadata["provenance"] == old.metadata["provenance"]
        assert new.metadata["source"].value == "public"
    # What was found in the tables is told again, and says so.
    assert len(second.checks) == len(first.checks) > 0
    assert all(check.passed for check in second.checks)
    for old, new in zip(tables(first), tables(second), strict=True):
        assert (old.asset_key, old.check_name) == (new.asset_key, new.check_name)
        told = {name: shown for name, shown in new.metadata.items() if name != "reused"}
        assert told == {name: shown for name, shown in old.metadata.items() if name != "reused"}
    assert [check.metadata["reused"].value for check in tables(first)] == [False] * 6
    assert [check.metadata["reused"].value for check in tables(second)] == [True] * 6


def test_changed_raw_file_makes_what_depends_on_it(made) -> None:
    made.rewrite(TOTROOMS=["4"] * HOUSEHOLDS)
    assert again(made) == {
        "raw": "found changed",
        "households": "another version of survey/raw[RECS_2015]",
        "persons": "another version of survey/households[RECS_2015]",
        "dictionary": "another version of survey/households[RECS_2015]",
        "dictionary_page": "another version of survey/dictionary[RECS_2015]",
    }


def test_lost_and_damaged_files_are_made_again_with_the_same_bytes(made) -> None:
    households, dictionary = files(made)
    before = households.read_bytes(), dictionary.read_bytes()
    households.write_bytes(before[0][:1000])
    dictionary.unlink()
    assert again(made) == {
        "raw": "-",
        "households": "survey/households/RECS_2015.parquet is not as it was written",
        "persons": "-",
        "dictionary": "survey/dictionary/RECS_2015.parquet is missing",
        "dictionary_page": "-",
    }
    assert (households.read_bytes(), dictionary.read_bytes()) == before


def test_force_makes_everything_again_with_the_same_bytes(made) -> None:
    before = [file.read_bytes() for file in files(made)]
    assert again(made, force=True) == dict.fromkeys(ASSETS, "forced")
    assert [file.read_bytes() for file in files(made)] == before


def test_another_codebook_makes_what_it_describes_and_no_more(made, monkeypatch) -> None:
    monkeypatch.setattr("assets.recipes._digest", lambda _: "another")
    assert again(made) == {
        "raw": "-",
        "households": "changed: codebook",
        "persons": "changed: codebook",
        # Same households, so that only its own codebook speaks.
        "dictionary": "changed: codebook",
        "dictionary_page": "changed: codebook, harmonies",
    }


@pytest.mark.parametrize(("value", "is_forced"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_force_is_a_run_tag(value, is_forced) -> None:
    seen = []

    @dg.asset
    def asset(context: dg.AssetExecutionContext) -> None:
        seen.append(reuse.forced(context))

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([asset], instance=instance, tags={reuse.FORCE: value})
    assert seen == [is_forced]


def test_forced_run_that_is_tried_again_makes_only_what_its_first_attempt_did_not() -> None:
    seen: dict[str, list[bool]] = {"first": [], "second": []}

    @dg.asset
    def first(context: dg.AssetExecutionContext) -> None:
        seen["first"].append(reuse.forced(context))

    @dg.asset(deps=[first])
    def second(context: dg.AssetExecutionContext) -> None:
        seen["second"].append(reuse.forced(context))
        if not reuse.tried_before(context):
            raise RuntimeError("its worker is killed")

    tags = {reuse.FORCE: "true"}
    with dg.DagsterInstance.ephemeral() as instance:
        killed = dg.materialize([first, second], instance=instance, tags=tags, raise_on_error=False)
        again = {ROOT_RUN_ID_TAG: killed.run_id}
        dg.materialize([first, second], instance=instance, tags={**tags, **again})
        dg.materialize([first], instance=instance, tags=tags)
    assert seen == {"first": [True, False, True], "second": [True, True]}


def test_step_that_runs_out_of_memory_says_so_and_what_to_do(tmp_path) -> None:
    @dg.asset
    @reuse.reusable()
    def hungry(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Ask for more than any machine has."""
        bytearray(1 << 62)

    resources = {
        "store": FusionStore(root=str(tmp_path)),
        "compute": Compute(threads=1, memory_limit=1, seed=1),
    }
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(OutOfMemoryError, match="Lower FUSION_MEMORY"),
    ):
        dg.materialize([hungry], instance=instance, resources=resources)


def test_clock_that_was_set_back_ten_years_hides_no_change(made, monkeypatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 10 * 365 * 86400)
    assert again(made) == dict.fromkeys(ASSETS, "-")
    made.rewrite(TOTROOMS=["4"] * HOUSEHOLDS)
    assert again(made)["raw"] == "found changed"


def test_every_asset_is_reusable() -> None:
    """An asset without the decorator would be made anew by every run, and have no receipt."""
    for asset in build_defs().assets:
        assert hasattr(asset.op.compute_fn.decorated_fn, "__wrapped__"), asset.key
