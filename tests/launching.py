"""Runs and backfills of a running instance, launched and looked at as the UI does: through GraphQL."""

import time

from tests.lineage import Made
from tests.serving import DagsterUI, wait_until

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
LAUNCH_RUN = """mutation Launch($parameters: ExecutionParams!) {
  launchPipelineExecution(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUNS = "{ runsOrError { ... on Runs { results { runId status parentRunId tags { key value } } } } }"
MESSAGES = """query($id: ID!) { runOrError(runId: $id) { ... on Run {
  eventConnection { events { ... on MessageEvent { message } } } } } }"""


def launch_run(ui: DagsterUI, job: str, partition: str, **tags: str) -> str:
    """Launch a job on a partition as the UI does."""
    selector = {
        "repositoryLocationName": "fusion_pipeline",
        "repositoryName": "__repository__",
        "jobName": job,
    }
    shown = [{"key": key, "value": value} for key, value in {"dagster/partition": partition, **tags}.items()]
    parameters = {"selector": selector, "mode": "default", "executionMetadata": {"tags": shown}}
    launched = ui.ask(LAUNCH_RUN, parameters=parameters)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return launched["run"]["runId"]


def backfill(ui: DagsterUI, wanted: set[Made], **tags: str) -> dict[Made, bool]:
    """Launch a backfill, wait for it, and return what was materialized since: asset partition -> reused."""
    started = time.time()
    assert end(ui, launch(ui, wanted, **tags)) == "COMPLETED_SUCCESS"
    return materialized_since(ui, started)


def launch(ui: DagsterUI, wanted: set[Made], **tags: str) -> str:
    """Launch a backfill of asset partitions and return its identity."""
    return launch_ranges(
        ui, {asset: [(k, k) for a, k in wanted if a == asset] for asset, _ in wanted}, **tags
    )


def launch_ranges(ui: DagsterUI, wanted: dict[str, list[tuple[str, str]]], **tags: str) -> str:
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


def materialized_since(ui: DagsterUI, started: float) -> dict[Made, bool]:
    """Return what was materialized since a time: asset partition -> reused."""
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
