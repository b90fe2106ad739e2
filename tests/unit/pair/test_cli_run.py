"""`fusion run`: what is told while a pair is made, and the first estimates of the demo."""

import logging
import sys
from io import StringIO
from types import SimpleNamespace

import dagster as dg
import pandas as pd
import pytest
from click.testing import CliRunner
from rich.console import Console

from fusion_pipeline import running
from fusion_pipeline.cli import main
from fusion_pipeline.cli.analyze import DEMO, demo_table
from fusion_pipeline.cli.root import console
from fusion_pipeline.geography.concordance import areas
from fusion_pipeline.settings import load_settings
from tests.conftest import PAIR


@dg.op
def ingest() -> None:
    logging.getLogger("fusion_pipeline.surveys").info("households: 5,686 rows")
    logging.getLogger("fusion_pipeline.surveys").warning("a receipt is damaged")


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Have `run` execute one job that logs, on an instance that manages the package's logger as dagster.yaml does."""
    managed = {"managed_python_loggers": ["fusion_pipeline"], "python_log_level": "INFO"}

    def run_pair(pair, _settings, instance, *, up_to_models, **_options):
        asked.append(up_to_models)
        wanted = running.JobRun("ingest_survey", "a survey-year with a name as long as those of pools can be")
        yield wanted, None
        made = dg.GraphDefinition("ingest_all", node_defs=[ingest]).to_job()
        result = made.execute_in_process(run_config=running._QUIET, instance=instance)
        assert result.success
        yield wanted, running.Outcome(28.0, [], [])

    asked: list[bool] = []
    monkeypatch.setattr(running, "run_pair", run_pair)
    with dg.instance_for_test(overrides={"python_logs": managed}) as instance:
        monkeypatch.setattr(running, "local_instance", lambda: instance)
        yield asked


def test_run_shows_warnings_and_details_only_on_demand_whatever_the_instance_says(run, job) -> None:
    told = run("run", PAIR)
    assert told.exit_code == 0, told.output
    assert "a receipt is damaged" in told.output
    assert "households: 5,686 rows" not in told.output
    calm = CliRunner().invoke(main, ["run", PAIR]).output
    assert "a receipt is damaged" in calm
    assert "households: 5,686 rows" not in calm
    assert "households: 5,686 rows" in CliRunner().invoke(main, ["run", PAIR, "--verbose"]).output


def test_lines_of_a_run_are_whole_off_a_terminal(run, job, monkeypatch) -> None:
    monkeypatch.setattr(console, "_width", 80)
    lines = run("run", PAIR).output.splitlines()
    [line] = [line for line in lines if line.startswith("✓")]
    assert len(line) > 80
    assert line.endswith("28.0 s")
    assert any(line.endswith(f"{PAIR}.html") for line in lines)


def test_run_that_stops_at_the_models_tells_where_they_are_and_makes_no_demo(run, job) -> None:
    told = run("run", PAIR, "--up-to-models")
    assert told.exit_code == 0, told.output
    assert told.output.rstrip().endswith(f"models/{PAIR}")
    assert "report" not in told.output
    refused = run("run", PAIR, "--up-to-models", "--demo")
    assert refused.exit_code == 2
    assert job == [True], "only the first was begun"


@pytest.mark.parametrize("width", [70, 80])
def test_estimates_of_the_demo_are_whole_on_a_narrow_screen(monkeypatch, width) -> None:
    divisions = areas("division")
    frame = pd.DataFrame(
        [
            (division, *key, 41.2 / scale, 1.4 / scale)
            for division in divisions
            for key, (_, scale) in DEMO.items()
        ],
        columns=["division", "variable", "level", "estimate", "margin"],
    )
    command = sys.modules[demo_table.__module__]
    monkeypatch.setattr(command, "_estimates", lambda *_, **__: SimpleNamespace(table=frame))
    screen = Console(width=width, file=StringIO())
    screen.print(demo_table(PAIR, load_settings(), 10))
    told = screen.file.getvalue()
    assert "…" not in told
    assert told.count("41.2 ±1.4") == len(divisions) * len(DEMO)
    assert all(division.split()[0] in told for division in divisions)
