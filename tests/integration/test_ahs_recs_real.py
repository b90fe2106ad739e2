"""AHS 2015 to 2021 on real files, and the labels that the harmonies of AHS 2019 and RECS 2020 map."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import yaml

from fusion_pipeline.raw import resolve
from fusion_pipeline.registry import load_registry
from fusion_pipeline.surveys.codebook import Codebook, load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest_with_report

pytestmark = pytest.mark.realdata

OCCUPIED = {
    "2015": (69_493, 60_487),
    "2017": (66_752, 57_984),
    "2019": (63_185, 54_455),
    "2021": (64_141, 56_058),
}
"""Rows of the file, and occupied interviews among them."""
HOUSEHOLDS = {"2015": 118_290, "2017": 121_560, "2019": 124_135, "2021": 128_504}
"""Occupied housing units in thousands, as the publisher's summary tables have them."""
OWNERS = {"2015": 35_321, "2017": 34_512, "2019": 32_972, "2021": 31_669}


@pytest.mark.parametrize("year", sorted(OCCUPIED))
def test_occupied_units_weigh_what_the_publisher_says(shared, tmp_path, year) -> None:
    vintage = load_registry().surveys[f"AHS_{year}"]
    codebook = load_codebook(vintage.codebook)
    found = resolve(
        "households",
        vintage.files["households"],
        folder=vintage.folder,
        mirror=shared / "data",
        cache=tmp_path,
        offline=True,
        columns=codebook.raw_columns("households"),
    )
    assert found.without == ("persons",)
    table, report = ingest_with_report([RawPart(found.path, found.absent)], codebook, "households")
    assert (report.rows_read, report.rows_kept) == OCCUPIED[year]
    assert table["weight"].to_numpy().sum() / 1000 == pytest.approx(HOUSEHOLDS[year], abs=0.5)
    assert table.column_names == ["hid", "year", "weight", "tenure", "hincp", "tothcamt", "marketval"]
    tenure = table["tenure"].to_pylist()
    assert tenure.count("Owned or being bought by someone in your household") == OWNERS[year]
    renters = np.array([label == "Rented" for label in tenure])
    # What does not apply to renters, the value of their home, is zero.
    assert not table["marketval"].to_numpy()[renters].any()


def _documented(shared, survey: str) -> dict[str, list[str]]:
    with (shared / "tables" / f"dict_{survey}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    listed = {
        row["variable"]: row["levels_or_range"].split(" | ") for row in rows if row["type"] in ("fct", "ord")
    }
    return {
        name: levels for name, levels in listed.items() if not any("levels)" in level for level in levels)
    }


@pytest.mark.parametrize(
    ("codebook", "kind", "survey"),
    [("ahs_2019", "households", "AHS_2019_H"), ("ahs_2019", "persons", "AHS_2019_P"),
     ("recs_2020", "households", "RECS_2020_H")],
)  # fmt: skip
def test_every_label_of_the_documented_tables_is_a_level(shared, codebook, kind, survey) -> None:
    entry = load_codebook(codebook).respondent(kind)
    # Made for the reference's own use; line numbers are numbers here; labels that say what a year was are not ours.
    apart = {"sample", "intstatus", "pline", "firparent", "secparent", "spouse"}
    renamed = {"hmreneff": "hmrenew"}
    lacking = {}
    for name, levels in _documented(shared, survey).items():
        if name in apart:
            continue
        variable = entry.variables[renamed.get(name, name)]
        known = set(variable.labels) | ({"True", "False"} if variable.type == "place" else set())
        if missing := set(levels) - known:
            lacking[name] = sorted(missing)
    assert lacking == {}


def _mapped(shared) -> list[tuple[str, str, str, str]]:
    found = []
    for path in sorted((shared / "harmonies").rglob("*.yaml")):
        if path.name.startswith(("AHS_2019__", "RECS_2020__")):
            for harmony in yaml.safe_load(path.read_text(encoding="utf-8"))["harmonies"]:
                side = harmony["donor"]
                levels = [str(level) for group in (side.get("map") or {}).values() for level in group]
                found += [(path.name[:4], side["level"], side["var"], level) for level in levels or [""]]
    return sorted(set(found))


def test_every_variable_and_label_that_the_harmonies_map_exists(shared) -> None:
    codebooks: dict[str, Codebook] = {"AHS_": load_codebook("ahs_2019"), "RECS": load_codebook("recs_2020")}
    lacking = []
    for survey, level, name, label in _mapped(shared):
        entry = codebooks[survey].respondent(f"{level}s")
        variable = entry.everything.get(name)
        if variable is None or (label and label not in variable.labels):
            lacking.append((survey, name, label))
    assert lacking == []
