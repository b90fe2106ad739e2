"""The raw files resource: no place for the simulated surveys, and optional files about places."""

import pytest

from fusion_pipeline.definitions import raw_files
from fusion_pipeline.errors import RawFileError, StorageError
from fusion_pipeline.raw.entries import RawFile
from fusion_pipeline.registry import load_registry
from fusion_pipeline.running import run_pair, throwaway_instance
from fusion_pipeline.settings import load_settings
from resources.raw_files import RawFiles


def test_data_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    files = raw_files(load_settings(data=tmp_path / "data", source="simulated"))
    with pytest.raises(StorageError, match=r"data/simulated.*cannot be written.*Free space or permissions"):
        files.survey(load_registry().survey_year("RECS_2015"))


def test_all_raw_files_that_a_pair_lacks_are_named_before_its_first_step(tmp_path) -> None:
    settings = load_settings(data=tmp_path / "data", raw=tmp_path, source="public", offline=True)
    with pytest.raises(RawFileError) as told:
        run_pair("NHTS_2017__ACS_2017", settings, throwaway_instance())
    for expected in (
        "nhts_2017/",
        "acs_2017/csv_hus.zip (households)",
        "acs_2017/csv_pus.zip (persons)",
        "spatial/",
    ):
        assert expected in told.value.what
    assert not (tmp_path / "data").exists()


def test_optional_file_about_places_is_used_where_it_lies_and_not_downloaded_unasked(tmp_path) -> None:
    nowhere = {"url": "https://192.0.2.1/", "optional": True}
    there = RawFile(name="there.csv", **nowhere)
    cached, absent = RawFile(name="cached.csv", **nowhere), RawFile(name="absent.csv", **nowhere)
    for folder, name in (("mirror", "there.csv"), ("cache", "cached.csv")):
        (tmp_path / folder / "spatial").mkdir(parents=True)
        (tmp_path / folder / "spatial" / name).write_text("x")
    files = RawFiles(
        origin="public",
        mirror=str(tmp_path / "mirror"),
        cache=str(tmp_path / "cache"),
        offline=True,
        households=1,
        donors=1,
        seed=1,
    )
    wanted = {"a": there, "b": cached, "c": absent}
    assert {file.role: file.origin for file in files.places(wanted)} == {"a": "mirror", "b": "cache"}
    with pytest.raises(RawFileError, match="FUSION_OFFLINE forbids downloading"):
        files.places(wanted, fetch=True)
    printed = absent.model_copy(update={"by_hand": True})
    assert files.places({"c": printed}, fetch=True) == []
