"""What steps took is read back from the instance, and progress can be had as JSON."""

import json
import logging
import sys

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import DagsterEventType
from dagster._core.test_utils import create_run_for_test

from fusion_pipeline import running
from fusion_pipeline.cli import main
from fusion_pipeline.cli.root import console
from fusion_pipeline.logs import JsonLines
from fusion_pipeline.partitions import PAIRS
from fusion_pipeline.running import runs_of
from fusion_pipeline.summary import summarize, write_summary
from tests.conftest import PAIR, ROOT


@pytest.fixture
def instance():
    """A pair whose models were made twice and then reused, and nothing else."""
    with dg.DagsterInstance.ephemeral() as made:
        first, last = ("forced", 9.0, 8.0, 70), ("changed: seed", 3.0, 2.0, 60)
        names = ("made because", "seconds", "CPU seconds", "peak memory MB")
        stories = [{"reused": False, **dict(zip(names, took, strict=True))} for took in (first, last)]
        for took in (*stories, {"reused": True}):
            metadata = {"donor rows": 40, "recipient rows": 50, **took}
            made.report_runless_asset_event(
                dg.AssetMaterialization(["fusion", "models"], partition=PAIR, metadata=metadata)
            )
        evaluation = dg.AssetCheckEvaluation(
            dg.AssetKey(["fusion", "models"]), "common_support", False, {}, partition=PAIR
        )
        made.report_runless_asset_event(evaluation)
        yield made


def test_reused_step_shows_what_it_took_when_it_was_last_made_and_which_checks_failed(
    instance,
) -> None:
    table = summarize(PAIR, instance)
    [row] = table[table["asset"] == "fusion/models"].to_dict("records")
    assert (row["state"], row["rows"], row["seconds"], row["CPU seconds"]) == ("reused", 50, 3.0, 2.0)
    assert row["checks"] == "failed: common_support"
    others = table[table["asset"] != "fusion/models"]
    assert set(others["state"]) == {"not materialized"}
    assert list(table["asset"])[:2] == ["survey/raw", "survey/households"]
    assert sum(table["asset"] == "fusion/implicates") == sum(r.job == "fuse_chunk" for r in runs_of(PAIR))


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (dg.DagsterRunStatus.STARTED, ""),
        (dg.DagsterRunStatus.CANCELED, ""),
        (dg.DagsterRunStatus.FAILURE, "failed: common_support"),
    ],
)
def test_check_without_a_result_has_failed_only_if_its_run_has(instance, status, told) -> None:
    run = create_run_for_test(instance, job_name="fit_pair", status=status)
    planned = AssetCheckEvaluationPlanned(
        asset_key=dg.AssetKey(["fusion", "models"]),
        check_name="common_support",
        partitions_subset=PAIRS.subset_with_partition_keys([PAIR]),
    )
    kind = DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value
    event = dg.DagsterEvent(event_type_value=kind, job_name="fit_pair", event_specific_data=planned)
    instance.report_dagster_event(event, run.run_id)
    table = summarize(PAIR, instance)
    assert list(table[table["asset"] == "fusion/models"]["checks"]) == [told]


def test_page_says_how_much_is_there_and_what_failed(instance, tmp_path) -> None:
    table = summarize(PAIR, instance)
    write_summary(tmp_path / "page.html", PAIR, table)
    page = (tmp_path / "page.html").read_text()
    for said in (f"1 of {len(table)} materialized", "failed: common_support", "60 MB", "fusion/implicates"):
        assert said in page
    assert "true of populations" not in page, "that is what a report of estimates says"


def test_log_record_is_one_line_of_json_with_its_error() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord(
            "fusion_pipeline.x", logging.INFO, "f", 1, "%d “rows”", (3,), sys.exc_info()
        )
    line = JsonLines().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("INFO", "fusion_pipeline.x", "3 “rows”")
    assert told["time"].endswith("+00:00")
    assert "ValueError: two\nlines" in told["error"]


def test_block_of_the_operations_page_gives_dagster_handlers_that_write_json(tmp_path) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    block = text.split("```yaml\n  dagster_handler_config:", 1)[1].split("```", 1)[0]
    (tmp_path / "dagster.yaml").write_text(f"python_logs:\n  dagster_handler_config:{block}")
    with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
        written = [handler for handler in opened.get_handlers() if isinstance(handler.formatter, JsonLines)]
    assert len(written) == 1


def test_terminal_of_80_columns_shows_one_whole_line_a_step_with_its_seconds(instance, monkeypatch) -> None:
    monkeypatch.setattr(running, "local_instance", lambda: instance)
    monkeypatch.setattr(dg.DagsterInstance, "__exit__", lambda *_: None)
    monkeypatch.setattr(console, "_width", 80)
    result = CliRunner().invoke(main, ["--quiet", "summary", PAIR])
    assert result.exit_code == 0, result.output
    heading, *lines = result.output.splitlines()
    assert heading.split() == ["step", "rows", "s", "CPU", "s", "MB"]
    *steps, failed = lines
    assert len(steps) == len(summarize(PAIR, instance))
    assert all(len(line) <= 80 for line in steps)
    [models] = [line.split() for line in steps if line.split()[0] == "fusion/models"]
    assert models == ["fusion/models", "50", "3", "2", "60", "!", "check"]
    assert failed == "! fusion/models failed: common_support"
