"""A range of implicates is drawn chunk by chunk, or refused before anything starts."""

import pytest
from click.testing import CliRunner

from fusion_pipeline.cli import main
from fusion_pipeline.errors import SettingsError
from fusion_pipeline.running import JobRun, chunk_runs, runs_of, runs_up_to_models

PAIR = "RECS_2015__ACS_2015"


@pytest.mark.parametrize(
    ("text", "chunks"),
    [("01-05", ["01-05"]), ("6-10", ["06-10"]), ("1-10", ["01-05", "06-10"])],
)
def test_range_of_whole_chunks_is_their_runs_in_order(text, chunks) -> None:
    assert [run.partition for run in chunk_runs(PAIR, text)] == [f"{PAIR}|{chunk}" for chunk in chunks]


def test_all_implicates_are_the_chunks_of_a_whole_pair() -> None:
    assert chunk_runs(PAIR, "1-10") == [run for run in runs_of(PAIR) if run.job == "fuse_chunk"]


def test_pair_up_to_its_models_its_chunks_and_its_publication_are_the_whole_pair() -> None:
    assert runs_up_to_models(PAIR)[-1].job == "fit_pair"
    rest = [*chunk_runs(PAIR, "1-10"), JobRun("publish_pair", PAIR)]
    assert [*runs_up_to_models(PAIR), *rest] == runs_of(PAIR)


@pytest.mark.parametrize("text", ["2-6", "1-4", "1-11", "5-1", "0-5", "x", "", "1-", "1-5-6", "7"])
def test_anything_else_is_refused_with_the_chunks_there_are(text) -> None:
    with pytest.raises(SettingsError, match=r"01-05, 06-10"):
        chunk_runs(PAIR, text)


def test_fuse_of_half_a_chunk_ends_with_one_line_and_code_1() -> None:
    result = CliRunner().invoke(main, ["--quiet", "fuse", "--pair", PAIR, "--implicates", "2-6"])
    assert result.exit_code == 1
    assert "SettingsError --implicates 2-6" in result.output
