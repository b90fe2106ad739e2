"""What is made again when one thing changes: exactly that, by the command line and by a running instance.

Asked of the running instance as the UI asks it, through GraphQL. Each backfill asks for more than has to be made, and
what need not be made says `reused`: what is asserted is found out by the instance, not launched.
"""

import contextlib
import time
from collections.abc import Iterator

import dagster as dg
import pytest

from fusion_pipeline.errors import StorageError
from fusion_pipeline.partitions import IMPLICATES, REGISTRY
from fusion_pipeline.running import JobRun, chunk_runs, run_all, run_pair
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.layout import Layout
from tests.conftest import PAIR, Run
from tests.edits import change_answer, double_incomes
from tests.lineage import Made, downstream, of_pair
from tests.serving import MANY, SIZES, DagsterUI, wait_until

pytestmark = pytest.mark.slow

RECS, ACS = ("survey/raw", "RECS_2015"), ("acs/raw", "2015")
POOL = "CEI_2015-2019"


def chunks(*keys: str) -> set[Made]:
    """Return chunks of the pair as asset partitions."""
    return {("fusion/implicates", f"{PAIR}|{key}") for key in keys}


HERE, SERVED = chunks(*IMPLICATES.chunks), chunks(*MANY.chunks)
WHOLE = of_pair() - HERE | SERVED
"""All of the pair as the running instance cuts it, with more chunks than this process knows."""


def behind(raw: Made) -> set[Made]:
    """Return what of the pair depends on a raw file, as the running instance cuts it."""
    return downstream(raw) & of_pair() - HERE | SERVED


LAUNCH = """mutation Launch($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
AGAIN = """mutation Again($parameters: ReexecutionParams!) {
  reexecutePartitionBackfill(reexecutionParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
STATUS = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"


def made(outcomes) -> set[Made]:
    """Asset partitions that were really made."""
    return {
        (m.asset_key.to_user_string(), m.partition)
        for _, outcome in outcomes
        if outcome is not None
        for m in outcome.materialized
        if not m.metadata["reused"].value
    }


def again(run: Run, **how) -> set:
    return made(run_pair(PAIR, run.settings, run.instance, **how))


def test_nothing_changed_and_nothing_is_made(complete_pair) -> None:
    assert again(complete_pair) == set()


def test_change_of_recs_makes_what_depends_on_it_and_nothing_else(complete_pair) -> None:
    change_answer(complete_pair.layout, RECS)
    assert again(complete_pair) == downstream(RECS) & of_pair()


def test_change_of_an_acs_year_makes_what_depends_on_it_and_nothing_else(complete_pair) -> None:
    change_answer(complete_pair.layout, ACS)
    assert again(complete_pair) == downstream(ACS) & of_pair()


def test_lost_chunk_is_made_alone_with_the_same_bytes(complete_pair) -> None:
    file = complete_pair.layout.implicate(PAIR, 7)
    before = file.read_bytes()
    file.unlink()
    # What is made from the chunk stays: the chunk came out as it was.
    assert again(complete_pair) == chunks("06-10")
    assert file.read_bytes() == before


def test_range_of_chunks_is_drawn_by_itself_and_the_pair_then_reuses_it(complete_pair) -> None:
    for m in range(1, 6):
        complete_pair.layout.implicate(PAIR, m).unlink()
    with dg.DagsterInstance.ephemeral() as elsewhere:
        alone = made(run_all(chunk_runs(PAIR, "01-05"), complete_pair.settings, elsewhere))
    assert alone == chunks("01-05")
    assert again(complete_pair) == set()


def test_failed_chunk_is_made_alone_once_its_cause_is_mended(complete_pair) -> None:
    with in_the_way(complete_pair.layout, 7), pytest.raises(StorageError, match=r"implicate=07\.parts"):
        again(complete_pair)
    assert again(complete_pair) == chunks("06-10")


@contextlib.contextmanager
def in_the_way(layout: Layout, implicate: int) -> Iterator[None]:
    """Take an implicate away and put a file where the folder of its row blocks has to stand: it cannot be drawn."""
    file = layout.implicate(PAIR, implicate)
    file.unlink()
    obstacle = file.parent.with_name(f".{file.parent.name}.parts")
    obstacle.touch()
    try:
        yield
    finally:
        obstacle.unlink()


def test_force_makes_everything_again(complete_pair) -> None:
    assert again(complete_pair, force=True) == of_pair()


def backfill(ui: DagsterUI, wanted: set[Made], **tags: str) -> dict[Made, bool]:
    """Launch a backfill, wait for it, and return what was materialized since: asset partition -> reused."""
    started = time.time()
    assert end(ui, launch(ui, wanted, **tags)) == "COMPLETED_SUCCESS"
    return _materialized_since(ui, started)


def launch(ui: DagsterUI, wanted: set[Made], **tags: str) -> str:
    """Launch a backfill of asset partitions and return its identity."""
    return _launched(ui, {asset: [(k, k) for a, k in wanted if a == asset] for asset, _ in wanted}, **tags)


def _launched(ui: DagsterUI, wanted: dict[str, list[tuple[str, str]]], **tags: str) -> str:
    """Launch a backfill of ranges of partitions, both ends included."""
    selection = [
        {
            "assetKey": {"path": asset.split("/")},
            "partitions": {"ranges": [{"start": first, "end": last} for first, last in ranges]},
        }
        for asset, ranges in wanted.items()
    ]
    pairs = [{"key": key, "value": value} for key, value in tags.items()]
    answer = ui.ask(LAUNCH, parameters={"partitionsByAssets": selection, "tags": pairs})
    return _identity(answer["launchPartitionBackfill"])


def launch_failed(ui: DagsterUI, identity: str) -> str:
    """Launch again what failed in a backfill, as its page offers, and return the identity of that backfill."""
    parameters = {"parentRunId": identity, "strategy": "FROM_FAILURE"}
    return _identity(ui.ask(AGAIN, parameters=parameters)["reexecutePartitionBackfill"])


def _identity(launched: dict) -> str:
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    return launched["backfillId"]


def end(ui: DagsterUI, identity: str) -> str:
    """Wait until a backfill has ended, and say how."""

    def status() -> str:
        return ui.ask(STATUS, id=identity)["partitionBackfillOrError"]["status"]

    running = ("REQUESTED", "CANCELING", "COMPLETING", "FAILING")
    wait_until(lambda: status() not in running, 900, "the backfill to end")
    return status()


def _materialized_since(ui: DagsterUI, started: float) -> dict[Made, bool]:
    query = """{ assetsOrError { ... on AssetConnection { nodes { key { path }
        assetMaterializations(limit: 20) { timestamp partition metadataEntries {
          label ... on BoolMetadataEntry { boolValue } } } } } } }"""
    found = {}
    for node in ui.ask(query)["assetsOrError"]["nodes"]:
        for event in node["assetMaterializations"]:
            if float(event["timestamp"]) / 1000 > started:
                [reused] = [e["boolValue"] for e in event["metadataEntries"] if e["label"] == "reused"]
                found[("/".join(node["key"]["path"]), event["partition"])] = reused
    return found


def told(launched: set[Made], new: set[Made]) -> dict[Made, bool]:
    """What a backfill should tell: asset partition -> reused."""
    assert new < launched, "something launched must be found to need no work"
    return {made: made not in new for made in launched}


def test_backfill_makes_what_depends_on_a_changed_survey_year_and_reuses_what_does_not(ui) -> None:
    beside = {made for made in WHOLE if made[1] in ("2015", "puma10")}
    change_answer(ui.layout, RECS)
    assert backfill(ui, behind(RECS) | beside) == told(behind(RECS) | beside, behind(RECS))


def test_backfill_makes_what_depends_on_a_changed_acs_year_and_reuses_what_does_not(ui) -> None:
    beside = {made for made in WHOLE if made[1] in ("RECS_2015", "puma10")}
    change_answer(ui.layout, ACS)
    assert backfill(ui, behind(ACS) | beside) == told(behind(ACS) | beside, behind(ACS))


def test_backfill_of_a_pool_makes_its_changed_year_and_reuses_another(ui) -> None:
    years = REGISTRY.behind(POOL)
    ingesting = [*(JobRun("ingest_survey", year) for year in years), JobRun("pool_survey", POOL)]
    size = {name.removeprefix("FUSION_").lower(): value for name, value in SIZES.items()}
    settings = load_settings(data=ui.layout.root.parent, source="simulated", **size)
    with dg.DagsterInstance.ephemeral() as elsewhere:
        made(run_all(ingesting, settings, elsewhere))
    double_incomes(ui.layout.simulated_raw / "cei_2017" / "intrvw17.zip")
    changed = {at for at in downstream(("survey/raw", "CEI_2017")) if at[1] in ("CEI_2017", POOL)}
    beside = {at for at in downstream(("survey/raw", "CEI_2018")) if at[1] == "CEI_2018"}
    assert backfill(ui, changed | beside) == told(changed | beside, changed)


def test_backfill_of_a_range_of_chunks_draws_those_that_are_lost_and_leaves_others_alone(ui) -> None:
    lost = {m: ui.layout.implicate(PAIR, m) for m in (3, 7, 13)}
    before = {m: file.read_bytes() for m, file in lost.items()}
    for file in lost.values():
        file.unlink()
    started = time.time()
    identity = _launched(ui, {"fusion/implicates": [(f"{PAIR}|06-10", f"{PAIR}|16-20")]})
    assert end(ui, identity) == "COMPLETED_SUCCESS"
    new = chunks("06-10", "11-15")
    assert _materialized_since(ui, started) == told(new | chunks("16-20"), new)
    assert not lost[3].exists(), "its chunk was not in the range"
    assert backfill(ui, SERVED) == told(SERVED, chunks("01-05"))
    assert {m: file.read_bytes() for m, file in lost.items()} == before


def test_chunk_that_failed_in_a_backfill_is_launched_again_alone(ui) -> None:
    before = ui.layout.implicate(PAIR, 13).read_bytes()
    started = time.time()
    with in_the_way(ui.layout, 13):
        failed = launch(ui, SERVED, **{"fusion/force": "true"})
        assert end(ui, failed) == "COMPLETED_FAILED"
    alone = chunks("11-15")
    assert _materialized_since(ui, started) == dict.fromkeys(SERVED - alone, False)
    started = time.time()
    assert end(ui, launch_failed(ui, failed)) == "COMPLETED_SUCCESS"
    assert _materialized_since(ui, started) == dict.fromkeys(alone, False)
    assert ui.layout.implicate(PAIR, 13).read_bytes() == before


def test_two_backfills_of_the_same_chunk_at_once_both_end_well_and_leave_the_same_bytes(ui) -> None:
    file = ui.layout.implicate(PAIR, 7)
    before = file.read_bytes()
    only = chunks("06-10")
    for identity in [launch(ui, only, **{"fusion/force": "true"}) for _ in range(2)]:
        assert end(ui, identity) == "COMPLETED_SUCCESS"
    assert file.read_bytes() == before
    assert backfill(ui, only) == dict.fromkeys(only, True)
