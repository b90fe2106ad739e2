"""One small simulated world for all tests of this folder."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from fusion_pipeline.simulate import simulate
from fusion_pipeline.simulate.place import Places, build_places

SIZES = {"households": 4_000, "donors": 2_000, "seed": 3}
PAIRS = ("RECS_2015__ACS_2015", "RECS_2015__ACS_2013")
"""Two pairs of one donor show all there is to see of the mirror; other surveys have tests of their own files."""


@pytest.fixture(scope="session")
def places() -> Places:
    return build_places(SIZES["seed"])


@dataclass(frozen=True)
class Grown:
    """A mirror that was made for a pair, and then for a later one."""

    folder: Path
    first: dict[Path, int]
    """Files of the first pair, and when they were written."""


def written(folder: Path) -> dict[Path, int]:
    """Files below a folder and when they were written, those apart that mark what is complete."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    folder = tmp_path_factory.mktemp("simulated") / "raw"
    simulate(folder, PAIRS[:1], **SIZES)
    first = written(folder)
    simulate(folder, PAIRS[1:], **SIZES)
    return Grown(folder, first)


@pytest.fixture(scope="session")
def mirror(grown: Grown) -> Path:
    return grown.folder


def read_members(archive: Path) -> pd.DataFrame:
    """All rows of an archive's members, as text."""
    with zipfile.ZipFile(archive) as opened:
        frames = [
            pd.read_csv(opened.open(name), dtype=str, keep_default_na=False) for name in opened.namelist()
        ]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="session")
def housing(mirror: Path) -> pd.DataFrame:
    return read_members(mirror / "acs_2015" / "csv_hus.zip")


@pytest.fixture(scope="session")
def persons(mirror: Path) -> pd.DataFrame:
    return read_members(mirror / "acs_2015" / "csv_pus.zip")


@pytest.fixture(scope="session")
def recs(mirror: Path) -> pd.DataFrame:
    return pd.read_csv(mirror / "recs_2015" / "recs2015_public_v4.csv", dtype=str, keep_default_na=False)
