"""A mirror folder with a small RECS file made up from its codebook, and one run of `ingest_survey` on it."""

import csv
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from fusion_pipeline.definitions import build_defs
from fusion_pipeline.registry import load_registry
from fusion_pipeline.running import JobRun, Outcome, execute
from fusion_pipeline.settings import Settings, load_settings
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.surveys.codebook import load_codebook

INGEST = JobRun("ingest_survey", "RECS_2015")
HOUSEHOLDS = 40


def recs_columns() -> dict[str, list[str]]:
    """Raw columns of a sample: codes of the codebook in turn, small numbers, equal replicate weights."""
    entry = load_codebook("recs_2015").households
    numbers = range(HOUSEHOLDS)
    columns = {"DOEID": [str(10_001 + i) for i in numbers], "NWEIGHT": [f"{1000 + i}.5" for i in numbers]}
    columns |= dict.fromkeys(entry.replicates.columns, columns["NWEIGHT"])
    for variable in entry.variables.values():
        low, high = (variable.range.low or 0, variable.range.high) if variable.range else (0, None)
        codes = list(variable.levels) or [str(int(min(low + i, high or low + i))) for i in range(5)]
        columns[variable.raw] = [codes[i % len(codes)] for i in numbers]
    return columns


def write_recs(mirror: Path, columns: dict[str, list[str]]) -> Path:
    """Write the raw file under its official name."""
    path = mirror / "recs_2015" / load_registry().surveys["RECS_2015"].files["households"].name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


@dataclass
class Place:
    """A mirror folder, a data folder and an instance, all of their own."""

    settings: Settings
    instance: dg.DagsterInstance

    @property
    def layout(self) -> Layout:
        return Layout(self.settings.root)

    def run(self) -> Outcome:
        """Ingest the survey as it now lies in the mirror folder."""
        return execute(build_defs(self.settings), INGEST, self.instance)

    def rewrite(self, **columns: list[str]) -> Path:
        """Replace some columns of the raw file."""
        return write_recs(self.settings.raw, recs_columns() | columns)


def make_place(folder: Path) -> Place:
    """Write the raw file and prepare to ingest it."""
    mirror = folder / "mirror"
    write_recs(mirror, recs_columns())
    settings = load_settings(data=folder / "data", raw=mirror, source="public", offline=True, threads=1)
    return Place(settings, dg.DagsterInstance.ephemeral())


@pytest.fixture
def place(tmp_path) -> Place:
    """A place where nothing is materialized yet."""
    return make_place(tmp_path)


@pytest.fixture(scope="session")
def ingested(tmp_path_factory) -> tuple[Place, Outcome]:
    """A place where `ingest_survey` ran once; tests leave it as it is."""
    place = make_place(tmp_path_factory.mktemp("ingested"))
    return place, place.run()
