"""The raw files resource: what it says when there is no place for the simulated surveys."""

import pytest

from fusion_pipeline.definitions import raw_files
from fusion_pipeline.errors import StorageError
from fusion_pipeline.registry import load_registry
from fusion_pipeline.settings import load_settings


def test_data_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    files = raw_files(load_settings(data=tmp_path / "data", source="simulated"))
    with pytest.raises(StorageError, match=r"data/simulated.*cannot be written.*Free space or permissions"):
        files.survey(load_registry().survey_year("RECS_2015"))
