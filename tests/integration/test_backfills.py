"""What is made again when one thing changes: exactly that, by the command line and by a running instance.

Asked of the running instance as the UI asks it, through GraphQL.
"""

import time
from pathlib import Path

import dagster as dg
import pytest

from fusion_pipeline.partitions import IMPLICATES
from fusion_pipeline.registry import load_registry
from fusion_pipeline.running import chunk_runs, run_all, run_pair
from fusion_pipeline.storage.tables import TableRef
from tests.conftest import PAIR, Run
from tests.lineage import downstream, of_pair
from tests.serving import DagsterUI, wait_until

pytestmark = pytest.mark.slow

CHUNKS = {("fusion/implicates", f"{PAIR}|{chunk}") for chunk in IMPLICATES.chunks}
OF_RECS = downstream(("survey/raw", "RECS_2015")) & of_pair()
OF_ACS = downstream(("acs/raw", "2015")) & of_pair()
LAUNCH = """mutation Launch($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
STATUS = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"


def made(outcomes) -> set[tuple[str, str | None]]:
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


def edit(layout, survey: str, vintage: str) -> Path:
    """Change one answer in the first record of a simulated raw file of households."""
    entry = getattr(load_registry(), survey)[vintage]
    raw = TableRef(layout.table(("survey" if survey == "surveys" else "acs", "raw"), vintage)).read()
    [path] = [Path(r["path"]) for r in raw.to_pylist() if r["role"] == "households"]
    assert path.is_relative_to(layout.simulated_raw), entry
    if path.suffix != ".csv":
        return _edit_zip(path)
    header, first, *rest = path.read_text().splitlines(keepends=True)
    cells = first.rstrip("\n").split(",")
    column = header.rstrip("\n").split(",").index("TOTROOMS")
    cells[column] = "5" if cells[column] != "5" else "6"
    path.write_text("".join([header, ",".join(cells) + "\n", *rest]))
    return path


def _edit_zip(path: Path) -> Path:
    """Change the number of bedrooms of the first household of an archive's first member."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name).decode() for name in archive.namelist()}
    name = next(n for n in members if n.endswith(".csv"))
    header, *rows = members[name].splitlines()
    column = header.split(",").index("BDSP")
    number, row = next(
        (i, r.split(",")) for i, r in enumerate(rows) if r.split(",")[column].strip("0") in ("2", "3")
    )
    row[column] = {"2": "3", "3": "2"}[row[column].strip("0")]
    rows[number] = ",".join(row)
    members[name] = "\n".join([header, *rows]) + "\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return path


def test_nothing_changed_and_nothing_is_made(complete_pair) -> None:
    assert again(complete_pair) == set()


def test_change_of_recs_makes_what_depends_on_it_and_nothing_else(complete_pair) -> None:
    edit(complete_pair.layout, "surveys", "RECS_2015")
    assert again(complete_pair) == OF_RECS


def test_change_of_an_acs_year_makes_what_depends_on_it_and_nothing_else(complete_pair) -> None:
    edit(complete_pair.layout, "recipients", "2015")
    assert again(complete_pair) == OF_ACS


def test_lost_chunk_is_made_alone_with_the_same_bytes(complete_pair) -> None:
    file = complete_pair.layout.implicate(PAIR, 7)
    before = file.read_bytes()
    file.unlink()
    # What is made from the chunk stays: the chunk came out as it was.
    assert again(complete_pair) == {("fusion/implicates", f"{PAIR}|06-10")}
    assert file.read_bytes() == before


def test_range_of_chunks_is_drawn_by_itself_and_the_pair_then_reuses_it(complete_pair) -> None:
    for m in range(1, 6):
        complete_pair.layout.implicate(PAIR, m).unlink()
    with dg.DagsterInstance.ephemeral() as elsewhere:
        alone = made(run_all(chunk_runs(PAIR, "01-05"), complete_pair.settings, elsewhere))
    assert alone == {("fusion/implicates", f"{PAIR}|01-05")}
    assert again(complete_pair) == set()


def test_force_makes_everything_again(complete_pair) -> None:
    assert again(complete_pair, force=True) == of_pair()


def backfill(ui: DagsterUI, wanted: set[tuple[str, str]], **tags: str) -> dict[tuple[str, str], bool]:
    """Launch a backfill, wait for it, and return what was materialized since: asset partition -> reused."""
    started = time.time()
    wait_for(ui, launch(ui, wanted, **tags))
    return _materialized_since(ui, started)


def launch(ui: DagsterUI, wanted: set[tuple[str, str]], **tags: str) -> str:
    """Launch a backfill and return its identity."""
    partitions: dict[str, list[str]] = {}
    for asset, partition in wanted:
        partitions.setdefault(asset, []).append(partition)
    selection = [
        {
            "assetKey": {"path": asset.split("/")},
            "partitions": {"ranges": [{"start": k, "end": k} for k in keys]},
        }
        for asset, keys in partitions.items()
    ]
    pairs = [{"key": key, "value": value} for key, value in tags.items()]
    answer = ui.ask(LAUNCH, parameters={"partitionsByAssets": selection, "tags": pairs})
    launched = answer["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    return launched["backfillId"]


def wait_for(ui: DagsterUI, identity: str) -> None:
    """Wait until a backfill has ended well."""

    def ended() -> bool:
        status = ui.ask(STATUS, id=identity)["partitionBackfillOrError"]["status"]
        assert status not in ("FAILED", "COMPLETED_FAILED", "CANCELED"), status
        return status == "COMPLETED_SUCCESS"

    wait_until(ended, 900, "the backfill to end")


def _materialized_since(ui: DagsterUI, started: float) -> dict[tuple[str, str], bool]:
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


def test_backfill_of_one_chunk_alone(ui) -> None:
    file = ui.layout.implicate(PAIR, 7)
    before = file.read_bytes()
    file.unlink()
    only = {("fusion/implicates", f"{PAIR}|06-10")}
    assert backfill(ui, only) == dict.fromkeys(only, False)
    assert file.read_bytes() == before


def test_two_backfills_of_the_same_chunk_at_once_both_end_well_and_leave_the_same_bytes(ui) -> None:
    file = ui.layout.implicate(PAIR, 7)
    before = file.read_bytes()
    only = {("fusion/implicates", f"{PAIR}|06-10")}
    for identity in [launch(ui, only, **{"fusion/force": "true"}) for _ in range(2)]:
        wait_for(ui, identity)
    assert file.read_bytes() == before
    assert backfill(ui, only) == dict.fromkeys(only, True)


def test_backfill_of_a_range_of_chunks_that_are_there_reuses_them_unless_forced(ui) -> None:
    assert backfill(ui, CHUNKS) == dict.fromkeys(CHUNKS, True)
    assert backfill(ui, CHUNKS, **{"fusion/force": "true"}) == dict.fromkeys(CHUNKS, False)


def test_backfill_of_a_changed_survey_year_and_what_depends_on_it(ui) -> None:
    edit(ui.layout, "surveys", "RECS_2015")
    assert backfill(ui, OF_RECS) == dict.fromkeys(OF_RECS, False)


def test_backfill_of_a_whole_pair_with_nothing_changed_reuses_all_of_it(ui) -> None:
    whole = downstream(("fusion/harmonized", PAIR)) & of_pair()
    assert backfill(ui, whole) == dict.fromkeys(whole, True)
