import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from fusion_pipeline.errors import StorageError
from fusion_pipeline.registry import load_registry
from fusion_pipeline.simulate import simulate

SMALL = {"households": 600, "donors": 300}


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_same_arguments_give_the_same_bytes_and_another_seed_other_bytes(tmp_path: Path) -> None:
    for name, seed in (("first", 1), ("second", 1), ("other", 2)):
        simulate(tmp_path / name, seed=seed, **SMALL)
    first, second, other = (digests(tmp_path / name) for name in ("first", "second", "other"))
    assert first == second
    assert set(first) == set(other)
    assert not any(first[name] == other[name] for name in first)


def test_every_file_the_registry_names_is_there(mirror: Path) -> None:
    registry = load_registry()
    surveys = [*registry.surveys.values(), *registry.recipients.values()]
    expected = {
        f"{s.folder}/{f.name}" for s in surveys if s.survey in ("RECS", "ACS") for f in s.files.values()
    }
    expected |= {f"spatial/{file.name}" for file in registry.geography.values()}
    assert expected <= set(digests(mirror))


def test_archives_have_the_official_members(mirror: Path) -> None:
    for letter, archive in (("h", "csv_hus.zip"), ("p", "csv_pus.zip")):
        with zipfile.ZipFile(mirror / "acs_2013" / archive) as opened:
            assert opened.namelist() == [f"ss13{letter}usa.csv", f"ss13{letter}usb.csv"]


def test_rerun_with_the_same_arguments_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "raw"
    simulate(out, seed=1, **SMALL)
    marker = out / "marker"
    marker.touch()
    simulate(out, seed=1, **SMALL)
    assert marker.exists()
    simulate(out, seed=2, **SMALL)
    assert not marker.exists()
    assert json.loads((out / "simulated.json").read_text())["seed"] == 2


def test_a_folder_of_other_files_is_not_replaced(tmp_path: Path) -> None:
    real = tmp_path / "recs2015_public_v4.csv"
    real.write_text("DOEID\n10001\n")
    with pytest.raises(StorageError, match=r"no simulation made.*Name another folder"):
        simulate(tmp_path, **SMALL)
    assert real.read_text() == "DOEID\n10001\n"
