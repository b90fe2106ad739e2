"""One small simulated world for all tests of this folder."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from fusion_pipeline.simulate import simulate
from fusion_pipeline.simulate.place import Places, build_places

SEED, HOUSEHOLDS, DONORS = 3, 4000, 2000
PAIRS = ("RECS_2015__ACS_2015", "RECS_2015__ACS_2013")
"""Two pairs of one donor show all there is to see of the mirror; other surveys have tests of their own files."""


@pytest.fixture(scope="session")
def places() -> Places:
    return build_places(SEED)


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "raw"
    simulate(out, PAIRS, households=HOUSEHOLDS, donors=DONORS, seed=SEED)
    return out


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
