"""The command line: what it prints, what it writes, and how it says that something is wrong."""

import json
import logging
import subprocess
import sys
from io import StringIO
from types import SimpleNamespace

import click
import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from rich.console import Console

import fusion_pipeline as fp
from fusion_pipeline import estimating, running
from fusion_pipeline.cli import main
from fusion_pipeline.cli.analyze import DEMO, demo_table
from fusion_pipeline.cli.root import console
from fusion_pipeline.errors import FusionError
from fusion_pipeline.geography.concordance import areas
from fusion_pipeline.registry import load_registry
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import categorical, read_table, write_table
from fusion_pipeline.text import as_text

PAIR = "RECS_2015__ACS_2015"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call the command line with its data folder in a temporary one, and no terminal."""
    for name in ("FUSION_RAW", "FUSION_SOURCE", "FUSION_SEED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FUSION_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(console, "_width", 250)
    return lambda *arguments: CliRunner().invoke(main, ["--quiet", *arguments])


@pytest.fixture
def fused(tmp_path) -> Layout:
    """Two ACS households in two implicates: mean electricity 20 and 22, weighted 1 to 3."""
    layout = Layout(tmp_path / "data" / "simulated")
    year, hid = pa.array([2015, 2015], pa.int16()), pa.array([1, 2])
    households = pa.table(
        {
            "year": year,
            "hid": hid,
            "weight": [1.0, 3.0],
            "state": categorical(np.array([0, 0]), ["10"]),
            "puma10": categorical(np.array([0, 0]), ["00101"]),
        }
    )
    write_table(layout.table(("acs", "households"), "2015"), households)
    origin = {"model_set": "a" * 64, "recipient": "b" * 64, "seed": 1, "stream": PAIR}
    for implicate, values in ((1, [20.0, 20.0]), (2, [10.0, 26.0])):
        table = pa.table({"year": year, "hid": hid, "btuel": values})
        write_table(layout.implicate(PAIR, implicate), table, origin)
    return layout


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


def test_inspect_lists_the_pairs_of_the_registry(run) -> None:
    result = run("inspect")
    assert result.exit_code == 0
    told = " ".join(result.output.split())
    for name, pair in load_registry().pairs.items():
        assert name in told
        assert all(variable in told for variable in pair.variables)


def test_inspect_of_a_pair_shows_what_is_not_made(run) -> None:
    result = run("inspect", PAIR)
    assert result.exit_code == 0
    assert result.output.count("not materialized") > 10


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


def test_analyze_prints_the_estimates(run, fused) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)", "--by", "division")
    assert result.exit_code == 0
    assert "South Atlantic" in result.output
    # (20 + 22) / 2, weighted within the implicates
    assert " 21 " in result.output


def test_analyze_on_a_narrow_screen_cuts_no_number_and_no_word(run, fused, monkeypatch) -> None:
    monkeypatch.setattr(console, "_width", 45)
    result = run("analyze", PAIR, "-e", "mean(btuel)", "--by", "division", "--by", "puma10")
    assert result.exit_code == 0
    assert "…" not in result.output
    first, *lines = result.output.splitlines()
    assert first == f"{PAIR}, simulated data, 2 implicates; ± margin of error at 90 %"
    [numbers] = [line.split() for line in lines if "±" in line and "margin" not in line]
    frame = estimating.estimate_pair(PAIR, fused, ["mean(btuel)"], ["division", "puma10"]).table
    [row] = frame.itertuples()
    shown = [as_text(row.estimate), f"±{as_text(row.margin)}", "fused"]
    assert numbers[-3:] == shown


def test_analyze_says_what_is_fused_and_what_was_observed_or_imputed(run, fused) -> None:
    households = fused.table(("acs", "households"), "2015")
    table = read_table(households).append_column("hincp", pa.array([1.0, 2.0]))
    table = table.append_column("rooms", pa.array([3.0, 4.0]))
    write_table(households, table, {"imputed": {"hincp": 1, "rooms": 0}})
    result = run(
        "analyze", PAIR, *(part for x in ("btuel", "hincp", "rooms") for part in ("-e", f"mean({x})"))
    )
    lines = [line.split() for line in result.output.splitlines() if line.lstrip().startswith("mean(")]
    assert {line[0]: line[-1] for line in lines} == {
        "mean(btuel)": "fused",
        "mean(hincp)": "imputed",
        "mean(rooms)": "observed",
    }


def test_inspect_on_a_narrow_screen_shows_origin_and_whole_names(run, fused, monkeypatch) -> None:
    monkeypatch.setattr(console, "_width", 60)
    result = run("inspect", PAIR)
    assert result.exit_code == 0
    first, *lines = result.output.splitlines()
    assert first == f"simulated data in {fused.root}"
    assert "…" not in result.output
    names = "".join(line.split(" ")[1] for line in lines if line.startswith(" ") and line[1] != " ")
    for side in ("donor", "recipient"):
        assert f"fusion/harmonized/{PAIR}/{side}" in names


@pytest.mark.parametrize(("name", "read"), [("e.csv", pd.read_csv), ("e.parquet", pd.read_parquet)])
def test_analyze_writes_the_estimates_to_a_file(run, fused, tmp_path, name, read) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)", "--out", str(tmp_path / name))
    assert result.exit_code == 0
    assert name in result.output
    table = read(tmp_path / name)
    assert table["estimate"].tolist() == pytest.approx([21.0])
    assert table["M"].tolist() == [2]


def test_analyze_takes_conditions_derived_variables_and_totals(run, fused) -> None:
    arguments = [
        "-e",
        "median(double)",
        "-b",
        "hid",
        "-w",
        "hid > 1",
        "-d",
        "double = 2 * btuel",
        "--totals",
        "cube",
    ]
    result = run("analyze", PAIR, *arguments)
    assert result.exit_code == 0, result.output
    assert "(all)" in result.output
    assert " 46 " in result.output


def test_analyze_formats_and_totals_are_those_of_the_library() -> None:
    from fusion_pipeline.cli import analyze
    from fusion_pipeline.inference import cells, output
    from fusion_pipeline.mapping import writing

    module = sys.modules[analyze.callback.__module__]
    assert (module.FORMATS, module.TOTALS) == (output.FORMATS, cells.TOTALS)
    assert module.MAPS == writing.FORMATS


def test_analyze_draws_a_map_by_state_of_what_it_estimates(run, fused, tmp_path) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)", "--map", str(tmp_path / "map.html"))
    assert result.exit_code == 0, result.output
    page = (tmp_path / "map.html").read_text()
    assert f"{PAIR}, simulated data, 2 implicates" in page
    assert '["Delaware", "21", "' in page
    # The unit is the codebook's.
    assert '"unit": "thousand Btu"' in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--map", "map.pdf"), "ends in none of .png, .html"),
        (("--map", "map.png", "-b", "tenure"), "Analyze by state, or by state and PUMA"),
        (("--map", "map.png", "-b", "puma10"), "which is unique within its state only"),
        (("--map", "map.png", "-e", "sum(btuel)"), "a map shows one estimate"),
    ],
)
def test_a_map_that_cannot_be_drawn_is_refused_before_anything_is_computed(run, arguments, message) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)", *arguments)
    assert result.exit_code > 0
    assert message in " ".join(result.output.replace("│", " ").split())


def test_analyze_before_the_pair_is_made_says_how_to_make_it(run) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)")
    assert result.exit_code == 1
    assert f"fusion run {PAIR}" in result.output


def test_analyze_makes_the_folder_of_its_file(run, fused, tmp_path) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)", "--out", str(tmp_path / "new" / "e.csv"))
    assert result.exit_code == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["e.csv"]


def test_analyze_refuses_a_kind_of_file_it_cannot_write(run, fused, tmp_path) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)", "--out", str(tmp_path / "e.sas7bdat"))
    assert result.exit_code == 2
    assert "ends in none of" in result.output
    assert not (tmp_path / "e.sas7bdat").exists()


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


@dg.op
def ingest() -> None:
    logging.getLogger("fusion_pipeline.surveys").info("households: 5,686 rows")
    logging.getLogger("fusion_pipeline.surveys").warning("a receipt is damaged")


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Have `run` execute one job that logs, on an instance that manages the package's logger as dagster.yaml does."""
    managed = {"managed_python_loggers": ["fusion_pipeline"], "python_log_level": "INFO"}

    def run_pair(pair, _settings, instance, **_options):
        wanted = running.JobRun("ingest_survey", "a survey-year with a name as long as those of pools can be")
        yield wanted, None
        made = dg.GraphDefinition("ingest_all", node_defs=[ingest]).to_job()
        result = made.execute_in_process(run_config=running._QUIET, instance=instance)
        assert result.success
        yield wanted, running.Outcome(28.0, [], [])

    monkeypatch.setattr(running, "run_pair", run_pair)
    with dg.instance_for_test(overrides={"python_logs": managed}) as instance:
        monkeypatch.setattr(running, "local_instance", lambda: instance)
        yield


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


SMALL = (
    "tract,state,puma10,variable,level,count\n"
    "001,10,00101,who,1,30\n001,10,00101,who,2,10\n002,10,00101,who,1,10\n002,10,00101,who,2,110\n"
)
"""Tracts of the PUMA that has both households, a quarter of the weight in the first."""


def test_downscale_prints_estimates_by_small_area_and_keeps_the_shares(run, fused, tmp_path) -> None:
    (tmp_path / "tables.csv").write_text(SMALL)
    request = ["downscale", PAIR, "-t", str(tmp_path / "tables.csv"), "-b", "tract", "-d", "who = hid"]
    result = run(*request, "-e", "sum(btuel)", "--shares", str(tmp_path / "shares"))
    assert result.exit_code == 0, result.output
    assert "2 areas of 1 PUMAs; 1 PUMAs converged" in result.output
    lines = [line for line in result.output.splitlines() if "sum(btuel)" in line]
    assert [line.split()[:4] for line in lines] == [
        ["10", "00101", "001", "sum(btuel)"],
        ["10", "00101", "002", "sum(btuel)"],
    ]
    assert "with shares taken as given" in result.output
    shares = fp.Downscaled.read(tmp_path / "shares")
    assert shares.shares.to_pandas().groupby("hid")["weight"].sum().to_dict() == pytest.approx(
        {1: 1.0, 2: 3.0}
    )


def test_downscale_writes_estimates_whose_sum_is_the_pumas(run, fused, tmp_path) -> None:
    codes = dict.fromkeys(["tract", "state", "puma10", "level"], "str")
    pd.read_csv(StringIO(SMALL), dtype=codes).to_parquet(tmp_path / "tables.parquet")
    request = ["downscale", PAIR, "-t", str(tmp_path / "tables.parquet"), "-b", "tract", "-d", "who = hid"]
    result = run(*request, "-e", "sum(btuel)", "--out", str(tmp_path / "tracts.csv"))
    assert result.exit_code == 0, result.output
    written = pd.read_csv(tmp_path / "tracts.csv", dtype={"tract": "str", "puma10": "str"})
    assert written["tract"].tolist() == ["001", "002"]
    assert written["estimate"].sum() == pytest.approx(1 * 15 + 3 * 23)


@pytest.mark.parametrize(
    ("text", "derive", "message"),
    [
        ("tract,variable,level,count\n001,who,1,30\n", "who = hid", "column state: is not there"),
        (SMALL.replace("30", "many"), "who = hid", "tract 001, who = 1: has the count nan"),
        (SMALL, "who = hids", "derived variable who = hids"),
        (SMALL, "other = hid", "variable who: is no column of the households"),
    ],
)
def test_downscale_names_what_is_wrong_with_its_tables(run, fused, tmp_path, text, derive, message) -> None:
    (tmp_path / "tables.csv").write_text(text)
    result = run("downscale", PAIR, "-t", str(tmp_path / "tables.csv"), "-b", "tract", "-d", derive)
    assert result.exit_code == 1
    assert message in result.output


def test_downscale_needs_a_file_of_tables(run, fused, tmp_path) -> None:
    result = run("downscale", PAIR, "-t", str(tmp_path / "none.csv"), "-b", "tract", "-e", "mean(btuel)")
    assert result.exit_code == 1
    assert "is no .csv or .parquet file" in result.output


def test_progress_is_lines_of_json_where_asked_for(monkeypatch) -> None:
    def speak() -> None:
        logging.getLogger("fusion_pipeline.fusion").info("fitted %d models", 3)

    monkeypatch.setitem(main.commands, "speak", click.Command("speak", callback=speak))
    result = CliRunner().invoke(main, ["--log-json", "speak"])
    [line] = result.stderr.splitlines()
    told = json.loads(line)
    assert told["message"] == "fitted 3 models"
    assert told["logger"] == "fusion_pipeline.fusion"
