import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from fusion_pipeline.errors import SettingsError, StorageError
from fusion_pipeline.registry import load_registry
from fusion_pipeline.simulate import simulate
from fusion_pipeline.simulate.mirror import DONORS as WRITERS
from fusion_pipeline.simulate.mirror import simulate_folders
from tests.unit.simulate.conftest import PAIRS, SIZES, Grown, written


def digests(folder: Path) -> dict[str, str]:
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in written(folder)}


def test_same_arguments_give_the_same_bytes_in_whatever_order_the_pairs_come(
    grown: Grown, tmp_path: Path
) -> None:
    simulate(tmp_path / "raw", PAIRS[::-1], **SIZES)
    assert digests(tmp_path / "raw") == digests(grown.folder)


def test_another_seed_gives_other_bytes_in_every_file(grown: Grown, tmp_path: Path) -> None:
    simulate(tmp_path / "raw", PAIRS[:1], **(SIZES | {"seed": 2}))
    first, other = digests(grown.folder), digests(tmp_path / "raw")
    assert set(other) == {str(path.relative_to(grown.folder)) for path in grown.first}
    assert not any(first[name] == other[name] for name in other)


def test_every_file_that_a_pair_uses_is_there(mirror: Path) -> None:
    registry = load_registry()
    pairs = [registry.pair(name) for name in PAIRS]
    behind = {key for pair in pairs for donor in pair.donors for key in registry.behind(donor)}
    surveys = [registry.surveys[key] for key in sorted(behind)]
    surveys += [registry.recipients[key] for key in sorted({pair.recipient for pair in pairs})]
    expected = {f"{survey.folder}/{file.name}" for survey in surveys for file in survey.files.values()}
    expected |= {f"spatial/{file.name}" for d in registry.geography.values() for file in d.files.values()}
    for name, dataset in registry.spatial.items():
        written = {file.name for file in dataset.files.values() if (mirror / "spatial" / file.name).is_file()}
        assert written, name
    assert expected <= set(digests(mirror))


def test_every_donor_of_a_pair_is_simulated() -> None:
    registry = load_registry()
    donors = {donor for pair in registry.pairs.values() for donor in pair.donors}
    years = [registry.surveys[key] for donor in donors for key in registry.behind(donor)]
    assert {(year.survey, year.vintage) for year in years} <= set(WRITERS)


def test_archives_have_the_official_members(mirror: Path) -> None:
    for letter, archive in (("h", "csv_hus.zip"), ("p", "csv_pus.zip")):
        with zipfile.ZipFile(mirror / "acs_2013" / archive) as opened:
            assert opened.namelist() == [f"ss13{letter}usa.csv", f"ss13{letter}usb.csv"]


def test_rerun_with_the_same_arguments_writes_nothing(mirror: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in mirror.rglob("*")}
    simulate(mirror, PAIRS, **SIZES)
    assert before == {path: path.stat().st_mtime_ns for path in mirror.rglob("*")}


def test_other_arguments_replace_the_whole_folder(tmp_path: Path) -> None:
    stale = tmp_path / "raw" / "acs_2015" / "stale.csv"
    stale.parent.mkdir(parents=True)
    stale.touch()
    (tmp_path / "raw" / "simulated.json").write_text('{"version": "0"}')
    simulate_folders(tmp_path / "raw", ["recs_2015"], **(SIZES | {"seed": 2}))
    assert not stale.exists()
    assert json.loads((tmp_path / "raw" / "simulated.json").read_text())["seed"] == 2
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["raw"]


def test_a_later_pair_adds_to_the_mirror_and_remakes_nothing(grown: Grown) -> None:
    made_first = {path.relative_to(grown.folder).parts[0] for path in grown.first}
    assert made_first == {"acs_2015", "recs_2015", "simulated.json", "spatial", "truth"}
    assert {path.stem for path in grown.first if path.parent.name == "truth"} == {"acs_2015", "recs_2015"}
    assert {path.name for path in grown.folder.glob("[!.]*")} == {*made_first, "acs_2013"}
    after = written(grown.folder)
    assert grown.first == {path: after[path] for path in grown.first}


@pytest.mark.parametrize("sizes", [{"households": 499}, {"donors": 299}])
def test_samples_too_small_for_the_design_are_refused(tmp_path: Path, sizes: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match="too few for the sampling design"):
        simulate(tmp_path / "raw", **sizes)


def test_a_folder_of_other_files_is_not_replaced(tmp_path: Path) -> None:
    real = tmp_path / "recs2015_public_v4.csv"
    real.write_text("DOEID\n10001\n")
    with pytest.raises(StorageError, match=r"no simulation made.*Name another folder"):
        simulate(tmp_path, **SIZES)
    assert real.read_text() == "DOEID\n10001\n"
