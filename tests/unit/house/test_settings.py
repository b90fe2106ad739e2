"""Settings are read in one place and complained about by their variable's name."""

from pathlib import Path

import pytest

from fusion_pipeline.errors import SettingsError
from fusion_pipeline.settings import load_settings


def test_fresh_machine_simulates_and_a_mirror_means_public_files(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FUSION_RAW", raising=False)
    monkeypatch.delenv("FUSION_SOURCE", raising=False)
    assert load_settings().origin == "simulated"
    monkeypatch.setenv("FUSION_RAW", str(tmp_path))
    assert load_settings().origin == "public"
    assert load_settings(source="simulated").origin == "simulated"


def test_origins_have_folders_of_their_own(tmp_path: Path) -> None:
    roots = {load_settings(data=tmp_path, source=source).root for source in ("simulated", "public")}
    assert roots == {tmp_path / "simulated", tmp_path / "public"}


@pytest.mark.parametrize(
    ("name", "value"), [("FUSION_THREADS", "0"), ("FUSION_SEED", "x"), ("FUSION_MEMORY_LIMIT", "much")]
)
def test_wrong_value_is_named(monkeypatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}: '{value}' is not accepted"):
        load_settings()


def test_missing_mirror_folder_is_named(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FUSION_RAW", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match=r"FUSION_RAW: .*nowhere is not a folder"):
        load_settings()
