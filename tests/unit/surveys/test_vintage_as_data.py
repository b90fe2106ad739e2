"""A further vintage is data: a codebook, an entry of the registry and an overlay, and it ingests and harmonizes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from fusion_pipeline.errors import HarmonyError, IngestError
from fusion_pipeline.harmonize.loading import FOLDER as HARMONIES
from fusion_pipeline.harmonize.loading import load_harmonies
from fusion_pipeline.harmonize.tables import harmonize_donor, harmonize_recipient
from fusion_pipeline.raw import look_up
from fusion_pipeline.registry import PATH, load_registry
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest_with_report
from tests.raw_worlds import RawTable, ingest_world, world, write_world

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


# AHS 2099 asks about district heat, has its fuels under another name and with other codes, and tenure as letters.
AHS_2099 = """
extends: ahs_2019
vintage: "2099"
year: 2099
source: made up
households:
  variables:
    heatfuel:
      raw: HTFUEL
      levels: {10: Electricity, 20: Piped gas, 30: Liquefied petroleum gas, 40: Fuel oil,
               50: Kerosene or other liquid fuel, 60: Coal or coke, 70: Wood, 80: Solar energy, 90: Other, 99: None,
               95: District heat}
    tenure:
      levels: {O: Owned or being bought by someone in your household, R: Rented, N: Occupied without payment of rent}
"""
OVERLAY = {
    "for": {"donor": "2099.."},
    "why": "District heat is asked since 2099; the ACS counts it as another fuel.",
    "groups": {"Other": {"donor": ["Other", "District heat"]}},
}
PREDICTORS = ("age__agep", "bedrooms__bdsp", "heatfuel__hfl", "hincp__hincp", "numpeople__np", "tenure__ten")
FUELS = {str(code): f"{code}0" for code in range(1, 10)} | {"10": "99"}
TENURES = {"1": "O", "2": "R", "3": "N"}


def of_2099(raw: RawTable) -> RawTable:
    """The file of 2019 as 2099 lays it out; the first two households have district heat."""
    fuel, tenure = raw.position("HEATFUEL"), raw.position("TENURE")
    rows = []
    for number, row in enumerate(raw.rows):
        cells = list(row)
        cells[fuel] = FUELS[row[fuel].strip("'").lstrip("0")] if number > 1 else "95"
        cells[tenure] = TENURES[row[tenure].strip("'")]
        rows.append(tuple(cells))
    return RawTable(tuple("HTFUEL" if name == "HEATFUEL" else name for name in raw.header), tuple(rows))


def harmony_folder(folder: Path, *overlays: dict) -> Path:
    """The shipped harmonies of some predictors, with the vintages 2019 and 2099, and overlays on the fuel."""
    shutil.copytree(HARMONIES / "shared", folder / "shared")
    written = yaml.safe_load((HARMONIES / "AHS.yaml").read_text())
    entries = {name: written["harmonies"][name] for name in PREDICTORS}
    entries["heatfuel__hfl"]["overlays"] = list(overlays)
    written |= {"sets": {"current": {2019: 2019, 2099: 2019}}, "defects": [], "harmonies": entries}
    (folder / "AHS.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
    return folder


def test_vintage_with_renamed_column_changed_codes_and_a_new_level_is_harmonized_by_data_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "ahs_2099.yaml").write_text(AHS_2099)
    before, acs = world("AHS_2019"), world("2019")
    tables = {**before.tables, "households": of_2099(before.tables["households"])}
    old = ingest_world(before.codebook, write_world(tmp_path, before.tables))
    files = write_world(tmp_path, tables)
    with pytest.raises(IngestError, match="column HEATFUEL: is not in the file"):
        ingest_world(before.codebook, files)
    new = ingest_world(load_codebook("ahs_2099", tmp_path), files)
    assert new.households["heatfuel"].to_pylist()[:2] == ["District heat"] * 2
    assert new.report.rows_kept == old.report.rows_kept == 12

    harmonies = harmony_folder(tmp_path / "plain")
    with pytest.raises(HarmonyError, match="District heat"):
        harmonize_donor(new.households, load_harmonies("AHS", "2099", "2019", folder=harmonies), new.persons)
    harmonies = harmony_folder(tmp_path / "overlaid", OVERLAY)
    of_old = harmonize_donor(
        old.households, load_harmonies("AHS", "2019", "2019", folder=harmonies), old.persons
    )
    overlaid = load_harmonies("AHS", "2099", "2019", folder=harmonies)
    of_new = harmonize_donor(new.households, overlaid, new.persons)
    same = [name for name in PREDICTORS if name != "heatfuel__hfl"]
    assert of_new.table.select(same).equals(of_old.table.select(same))
    fuels, fuels_before = (h.table["heatfuel__hfl"].to_pylist() for h in (of_new, of_old))
    names = overlaid.entries["heatfuel__hfl"].names
    assert [names[int(group) - 1] for group in fuels[:2]] == ["Other"] * 2
    assert fuels[2:] == fuels_before[2:]

    recipient = ingest_world(acs.codebook, write_world(tmp_path, acs.tables))
    theirs = harmonize_recipient(recipient.households, recipient.persons, overlaid)
    assert set(theirs.predictors) == set(of_new.predictors) == set(PREDICTORS)
