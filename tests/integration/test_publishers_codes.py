"""Raw codes and labels of our codebooks, against the publishers' codebooks where these are at hand."""

import os
import re
from pathlib import Path

import openpyxl
import pytest

from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.variables import canonical

pytestmark = pytest.mark.realdata
DATA = Path(os.environ.get("FUSION_SHARED", Path(__file__).parents[3] / "shared")) / "data"
SHEETS = {
    "nhts_2017": dict(
        zip(("households", "persons", "vehicles", "trips"), ("HH", "PER", "VEH", "TRIP"), strict=True)
    ),
    "nhts_2022": {"households": "Household", "persons": "Person", "vehicles": "Vehicle", "trips": "Trip"},
}
FILES = {"nhts_2017": "nhts_2017/codebook_v1.1.xlsx", "nhts_2022": "nhts_2022/codebook.xlsx"}


def of_nhts(vintage: str, kind: str) -> dict[str, dict[str, str]]:
    """Column -> code -> label, of a sheet in which every code has a row."""
    book = openpyxl.load_workbook(DATA / FILES[vintage], read_only=True)
    sheet = SHEETS[vintage][kind]
    found: dict[str, dict[str, str]] = {}
    name = ""
    for row in book[sheet if vintage == "nhts_2022" else f"CODEBOOK_{sheet}"].iter_rows(
        min_row=2, values_only=True
    ):
        name = str(row[0] or "").strip().upper() or name
        code, equals, label = str(row[4] or "").partition("=")
        if equals:
            found.setdefault(name, {})[canonical(code)] = label
    return found


def of_recs() -> dict[str, dict[str, str]]:
    """Column -> code -> label, of a sheet in which a cell holds all codes of a column, a line each."""
    sheet = openpyxl.load_workbook(DATA / "recs_2015/codebook_publicv4.xlsx", read_only=True).active
    found = {}
    for row in sheet.iter_rows(min_row=5, values_only=True):
        codes, labels = (str(row[i] or "").strip().split("\n") for i in (4, 5))
        if row[0] and len(codes) == len(labels):
            found[str(row[0]).strip().upper()] = {
                canonical(c): label for c, label in zip(codes, labels, strict=True)
            }
    return found


def words(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", label.casefold())


def compared(vintage: str):
    """Every code of ours, with what it means to us and to the publisher; None where the publisher lists none such."""
    book = load_codebook(vintage)
    recs = of_recs() if vintage == "recs_2015" else None
    for kind, entry in book.kinds.items():
        published = of_nhts(vintage, kind) if recs is None else recs
        for name, variable in entry.variables.items():
            theirs = published.get(variable.raw.upper(), {})
            for code, label in variable.levels.items():
                yield f"{kind}.{name}", label, theirs.get(canonical(code))


# The publisher's codebook does not list codes of these.
UNLISTED = {
    # A range of dates; times of day; postal codes of states are not listed at all.
    "nhts_2017": {"households.hhstate", "households.tdaydate", "persons.wrktime"},
    "nhts_2022": {"households.tdaydate"},
    # Names of climate zones without codes; degrees as a range, 50 to 90.
    "recs_2015": {
        "households.recs15_ba_zone",
        *(f"households.temp{when}{ac}" for when in ("home", "gone", "nite") for ac in ("", "ac")),
    },
}
# Labels of these are ours.
WORDED = {
    # Codes of places, which are shared with the ACS; modes in six groups; gaps of the questionnaire filled.
    "nhts_2017": {
        "households.state",
        "households.ur12",
        "households.cbsa13",
        "households.sampstrat",
        "persons.medcond6",
        "persons.phyact",
        "trips.mode",
    },
    "nhts_2022": {"households.ur12"},
    # Zones and areas by their short names.
    "recs_2015": {"households.recs15_iecc_zone", "households.ur12", "households.cbsatype15"},
}


@pytest.mark.parametrize(("vintage", "codes"), [("nhts_2017", 700), ("nhts_2022", 260), ("recs_2015", 150)])
def test_every_code_is_one_of_the_publishers_and_means_the_same(vintage, codes) -> None:
    agreed, unlisted, worded = 0, set(), set()
    for name, label, theirs in compared(vintage):
        if theirs is None:
            unlisted.add(name)
        else:
            agreed += 1
            worded |= {name} if words(label) != words(theirs) else set()
    assert agreed >= codes
    assert unlisted == UNLISTED[vintage]
    assert worded == WORDED[vintage]


def test_every_code_of_the_travel_surveys_publisher_is_known() -> None:
    """Those of the column beside ours are levels, skips or no answers."""
    for vintage, sheets in SHEETS.items():
        book = load_codebook(vintage)
        for kind in sheets:
            published = of_nhts(vintage, kind)
            for name, variable in book.kinds[kind].variables.items():
                theirs = {code for code in published.get(variable.raw.upper(), {}) if variable.levels}
                ours = {
                    canonical(c) for c in (*variable.levels, *book.missing(variable), *book.skips(variable))
                }
                assert theirs - ours - {"Responses"} == set(), (vintage, kind, name)
