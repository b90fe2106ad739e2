"""A further vintage is data: a codebook and an entry of the registry, and it ingests."""

from __future__ import annotations

from pathlib import Path

import yaml

from fusion_pipeline.raw import look_up
from fusion_pipeline.registry import PATH, load_registry
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest_with_report

CODEBOOK = """
survey: NHTS
vintage: "2099"
year: 2099
source: made up
households:
  id: {hid: HOUSEID}
  weight: WTHHFIN
  locations: [division]
  variables:
    division: {raw: CENSUS_D, description: Division, type: factor, levels: {1: New England, 9: Pacific}}
    robots: {raw: ROBOTS, description: Robots, type: integer, range: 0..}
    hhvehcnt: {raw: HHVEHCNT, description: Vehicles, type: integer, range: 0..}
  summaries:
    flying: {of: vehicles, statistic: count, where: 'vehtype == "Flying"', type: integer, description: Flying cars}
records:
  vehicles:
    id: {hid: HOUSEID, rid: VEHID}
    outside: refuse
    counted_by: hhvehcnt
    variables:
      vehtype: {raw: KIND, description: Kind, type: factor, levels: {1: Automobile, 2: Flying}}
"""
FILES = {
    "households": "HOUSEID,WTHHFIN,CENSUS_D,HHVEHCNT,ROBOTS\n1,5,1,2,7\n2,6,9,0,0\n",
    "vehicles": "HOUSEID,VEHID,KIND\n1,1,2\n1,2,1\n",
}


def test_made_up_vintage_is_ingested_from_a_codebook_and_a_registry_entry(tmp_path: Path) -> None:
    (tmp_path / "nhts_2099.yaml").write_text(CODEBOOK)
    registry = yaml.safe_load(PATH.read_text())
    registry["surveys"]["NHTS_2099"] = {
        "survey": "NHTS",
        "vintage": "2099",
        "year": 2099,
        "codebook": "nhts_2099",
        "files": {role: {"name": f"{role}.csv", "url": f"https://example.org/{role}.csv"} for role in FILES},
    }
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(registry))
    mirror = tmp_path / "mirror"
    (mirror / "nhts_2099").mkdir(parents=True)
    for role, text in FILES.items():
        (mirror / "nhts_2099" / f"{role}.csv").write_text(text)

    vintage = load_registry(tmp_path / "registry.yaml").surveys["NHTS_2099"]
    codebook = load_codebook(vintage.codebook, tmp_path)
    found = {r: look_up(r, f, folder=vintage.folder, mirror=mirror) for r, f in vintage.files.items()}
    parts = {role: [RawPart(file.path) for file in files] for role, files in found.items() if files}
    table, report = ingest_with_report(parts["households"], codebook, "households", parts)
    assert table.select(["hid", "year", "robots", "flying", "division"]).to_pylist() == [
        {"hid": 1, "year": 2099, "robots": 7, "flying": 1, "division": "New England"},
        {"hid": 2, "year": 2099, "robots": 0, "flying": 0, "division": "Pacific"},
    ]
    assert report.relations["vehicles"].differing == 0
