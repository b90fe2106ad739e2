"""The command line as a whole: help, errors of one line, and the commands that need no pair."""

import json
import logging
import subprocess
import sys

import click
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from fusion_pipeline import estimating
from fusion_pipeline.cli import main
from fusion_pipeline.errors import FusionError
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import categorical, write_table
from tests.conftest import PAIR


def test_help_lists_every_command(run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in ("run", "analyze", "downscale", "inspect", "simulate", "fetch"):
        assert f"\n  {name} " in result.output


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself(run, command) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert main.commands[command].help.split("\n")[0][:40] in " ".join(result.output.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "NOTHING"),
        ("run", "NOTHING"),
        ("analyze", "NOTHING", "-e", "mean(btuel)"),
    ],
)
def test_unknown_pair_is_one_line_with_those_there_are_and_exit_code_1(run, arguments) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    [line] = result.output.splitlines()
    assert line.startswith("RegistryError fusion pair NOTHING: is not in the registry. Choose one of")
    assert PAIR in line


def test_pair_that_is_misspelt_is_one_line_with_those_that_are_spelled_alike() -> None:
    """In a process of its own: what libraries print while they are loaded counts, too."""
    words = [sys.executable, "-m", "fusion_pipeline", "run", "recs_2015_ACS_2015"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == ""
    [line] = result.stdout.splitlines()
    assert f"Did you mean {PAIR} or" in line
    assert "NHTS" not in line


def test_loading_the_graph_prints_no_warning() -> None:
    words = [sys.executable, "-W", "always", "-c", "import fusion_pipeline.partitions"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stderr
    assert "BetaWarning" not in told


def test_command_that_runs_out_of_memory_is_one_line_with_the_settings_to_lower(run, monkeypatch) -> None:
    monkeypatch.setattr(main.commands["inspect"], "callback", lambda pair: bytearray(1 << 62))
    result = run("inspect")
    assert result.exit_code == 1
    [line] = result.output.splitlines()
    assert line.startswith("OutOfMemoryError fusion inspect: needs more memory")
    assert "FUSION_MEMORY_LIMIT or FUSION_THREADS" in line


def test_wrong_setting_is_one_line_with_its_variable_and_exit_code_1(run, monkeypatch) -> None:
    monkeypatch.setenv("FUSION_SEED", "minus one")
    result = run("inspect")
    assert result.exit_code == 1
    [line] = result.output.splitlines()
    assert line.startswith("SettingsError FUSION_SEED: 'minus one' is not accepted")


def test_message_with_square_brackets_is_printed_as_it_is(run, monkeypatch) -> None:
    def refuse(*_arguments, **_options):
        raise FusionError("survey/raw[RECS_2015]", "is [bold]wrong.", "Fix it.")

    monkeypatch.setattr(estimating, "estimate_pair", refuse)
    result = run("analyze", PAIR, "-e", "mean(btuel)")
    assert result.exit_code == 1
    assert "survey/raw[RECS_2015]: is [bold]wrong. Fix it." in result.output


def test_fetch_of_an_unknown_survey_year_lists_those_there_are(run) -> None:
    result = run("fetch", "RECS_1999")
    assert result.exit_code == 1
    assert "RECS_2015" in result.output


def test_simulate_writes_the_raw_files_asked_for(run, tmp_path, monkeypatch) -> None:
    asked = {}

    def simulate(out, pairs, **sizes):
        asked.update(out=out, pairs=pairs, **sizes)

    monkeypatch.setattr("fusion_pipeline.simulate.simulate", simulate)
    sizes = ("--households", "600", "--donors", "400", "--seed", "7")
    result = run("simulate", str(tmp_path / "raw"), "--pair", PAIR, *sizes)
    assert result.exit_code == 0
    assert asked == {"out": tmp_path / "raw", "pairs": (PAIR,), "households": 600, "donors": 400, "seed": 7}
    assert str(tmp_path / "raw") in result.output


def test_simulate_of_too_small_a_sample_is_one_line(run, tmp_path) -> None:
    result = run("simulate", str(tmp_path / "raw"), "--households", "5")
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1


def test_harmony_show_prints_both_distributions_with_the_names_of_the_groups(run, tmp_path) -> None:
    layout = Layout(tmp_path / "data" / "simulated")
    for side, sexes, ages in (
        ("donor", [0, 1, 1, 1], [20, 30, 40, 50]),
        ("recipient", [0, 0, 1, 1], [30, 30, 50, 50]),
    ):
        table = pa.table(
            {
                "weight": [1.0, 1.0, 1.0, 1.0],
                "hhsex__sex": categorical(np.array(sexes), ["1", "2"]),
                "hhage__agep": pa.array(ages, pa.float32()),
            }
        )
        write_table(layout.tables(("fusion", "harmonized"), PAIR) / f"{side}.parquet", table)
    answer = run("harmony", "show", PAIR)
    lines = [line.split() for line in answer.output.splitlines()]
    assert ["Female", "25.0%", "50.0%"] in lines
    assert ["mean", "35.00", "40.00"] in lines
    assert ["similarity", "0.750"] in lines
    wrong = run("harmony", "show", PAIR, "hhsex__gender")
    assert wrong.exit_code == 1
    assert "Choose one of: hhsex__sex, hhage__agep" in wrong.output


def test_progress_is_lines_of_json_where_asked_for(monkeypatch) -> None:
    def speak() -> None:
        logging.getLogger("fusion_pipeline.fusion").info("fitted %d models", 3)

    monkeypatch.setitem(main.commands, "speak", click.Command("speak", callback=speak))
    result = CliRunner().invoke(main, ["--log-json", "speak"])
    [line] = result.stderr.splitlines()
    told = json.loads(line)
    assert told["message"] == "fitted 3 models"
    assert told["logger"] == "fusion_pipeline.fusion"
