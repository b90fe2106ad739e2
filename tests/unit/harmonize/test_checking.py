"""Harmonies against codebooks, drafts of new ones, and what the command line says of both."""

import shutil
from functools import partial

import pytest
import yaml
from click.testing import CliRunner

from fusion_pipeline.cli import main
from fusion_pipeline.errors import RegistryError
from fusion_pipeline.harmonize import checking, loading
from fusion_pipeline.harmonize.alikeness import Candidate, alikeness, rarity
from fusion_pipeline.harmonize.checking import check
from fusion_pipeline.harmonize.definitions import Survey
from fusion_pipeline.harmonize.documents import Document, Pair
from fusion_pipeline.harmonize.drafting import draft, proposals
from fusion_pipeline.harmonize.loading import load_harmonies, resolve
from fusion_pipeline.surveys.codebook import Codebook, load_codebook

HARMONIES = """
donor: A
recipient: B
sets: {current: {2015: 2015}}
harmonies:
  size__bld:
    ordered: true
    donor: size
    recipient: bld
    groups:
      small: {donor: Small, recipient: {below: 3}}
      middle: {donor: Middle, recipient: {from: 3, below: 6}}
      large: {donor: Large, recipient: {from: 6}}
"""


def codebook(survey: str, variable: dict, locations: tuple[str, ...] = ()) -> Codebook:
    return Codebook.model_validate(
        {
            "survey": survey,
            "vintage": "2015",
            "year": "2015",
            "source": "made up",
            "households": {
                "id": {"hid": "ID"},
                "weight": "W",
                "locations": locations,
                "variables": variable,
            },
        }
    )


SIZES = {"1": "Small", "2": "Middle", "3": "Large"}
DONOR = {"size": {"raw": "SIZE", "description": "Size of the house", "type": "ordered", "levels": SIZES}}
RECIPIENT = {"bld": {"raw": "BLD", "description": "Rooms", "type": "integer", "range": "0.."}}


@pytest.fixture
def found(monkeypatch):
    """What is found in the harmonies, with codebooks that a test changes."""

    def find(harmonies=HARMONIES, donor=DONOR, recipient=RECIPIENT):
        books = {"A": codebook("A", donor), "B": codebook("B", recipient)}
        monkeypatch.setattr(checking, "codebook_of", lambda survey: books[survey.survey])
        document = Document.model_validate(yaml.safe_load(harmonies))
        return [
            f"{f.where}: {f.what}" for f in check(resolve(document, Pair(donor="2015", recipient="2015")))
        ]

    return find


def test_sound_harmonies_have_no_findings(found) -> None:
    assert found() == []


def test_a_level_of_the_codebook_without_a_group_is_found(found) -> None:
    sizes = {"size": DONOR["size"] | {"levels": {**SIZES, "4": "Vast"}}}
    place = "A_2015__B_2015 / size__bld, donor"
    assert found(donor=sizes) == [f"{place}: level 'Vast' of size has no group."]


def test_a_level_that_the_codebook_no_longer_has_is_found(found) -> None:
    sizes = {"size": DONOR["size"] | {"levels": {"1": "Small", "2": "Middle", "3": "Big"}}}
    assert [text.split(": ", 1)[1] for text in found(donor=sizes)] == [
        "level 'Big' of size has no group.",
        "level 'Large' of size is not in the codebook.",
    ]


def test_ordered_groups_whose_levels_are_not_in_order_are_found(found) -> None:
    sizes = {"size": DONOR["size"] | {"levels": {"2": "Middle", "1": "Small", "3": "Large"}}}
    assert (
        "the groups are ordered, but their levels are not (small < middle < large)" in found(donor=sizes)[0]
    )
    mixed = HARMONIES.replace("{below: 3}", "{from: 9}").replace("{from: 6}", "{from: 6, below: 9}")
    assert ", recipient: the groups are ordered" in found(mixed)[-1]


def test_numbers_between_intervals_are_found(found) -> None:
    assert "numbers from 3 to 4 are in no group" in found(HARMONIES.replace("{from: 3,", "{from: 4,"))[0]


def test_numbers_of_the_codebook_below_the_first_and_above_the_last_interval_are_found(found) -> None:
    beyond = HARMONIES.replace("{below: 3}", "{from: 1, below: 3}").replace(
        "{from: 6}", "{from: 6, below: 9}"
    )
    assert [text.split(": ", 1)[1] for text in found(beyond)] == [
        "numbers below 1 are in no group; the codebook has 0...",
        "numbers from 9 are in no group; the codebook has 0...",
    ]
    inside = {"bld": RECIPIENT["bld"] | {"range": "1..8"}}
    assert found(beyond, recipient=inside) == []
    # What stands for a skip is a number of the table too.
    skipped = {"bld": RECIPIENT["bld"] | {"range": "1..8", "not_applicable": "0"}}
    assert "numbers below 1 are in no group; the codebook has 0..8" in found(beyond, recipient=skipped)[0]


def test_a_count_without_a_variable_is_refused_by_its_condition() -> None:
    text = HARMONIES.replace("recipient: bld", "recipient: {person: bld, agg: {count: 1 < 2}}")
    with pytest.raises(RegistryError, match="'1 < 2' names no variable"):
        resolve(Document.model_validate(yaml.safe_load(text)), Pair(donor="2015", recipient="2015"))


def test_a_file_that_does_not_load_is_told_and_the_others_are_checked(monkeypatch, tmp_path) -> None:
    folder = tmp_path / "harmonies"
    shutil.copytree(loading.FOLDER / "shared", folder / "shared")
    shutil.copy(loading.FOLDER / "CEI.yaml", folder)
    (folder / "AHS.yaml").write_text("donor: AHS\n")
    for name in ("all_harmonies", "surveys_with_harmonies"):
        monkeypatch.setattr(loading, name, partial(getattr(loading, name), folder=folder))
    answer = CliRunner().invoke(main, ["--quiet", "harmony", "check"])
    assert answer.exit_code == 1
    assert "harmonies/AHS.yaml does not fit its schema" in answer.output.replace(":", "")
    # No name is cut, though 80 columns are few.
    assert "CEI_2015-2019__ACS_2019 current" in " ".join(answer.output.split())


def test_variables_of_another_kind_or_of_no_codebook_are_found(found) -> None:
    text = {"bld": {"raw": "BLD", "description": "Rooms", "type": "factor", "levels": {"1": "One"}}}
    assert found(recipient=text)[0].endswith("bld has levels, but the harmony takes numbers.")
    other = {"rooms": RECIPIENT["bld"]}
    assert found(recipient=other)[0].endswith("the codebook has no household variable bld.")
    text = HARMONIES.replace("donor: size\n", "donor: {household: size, expr: rooms + 1}\n")
    for written, interval in (
        ("Small", "{below: 1}"),
        ("Middle", "{from: 1, below: 2}"),
        ("Large", "{from: 2}"),
    ):
        text = text.replace(f"donor: {written}", f"donor: {interval}")
    assert found(text)[0].endswith("the codebook has no household variable rooms.")


def test_all_harmonies_fit_the_codebooks_that_we_have_and_known_defects_have_reasons() -> None:
    answer = CliRunner().invoke(main, ["--quiet", "harmony", "check", "--all"])
    assert answer.exit_code == 0, answer.output
    told = " ".join(answer.output.split())
    for pair in ("RECS_2015__ACS_2015", "CEI_2015-2019__ACS_2019", "NHTS_2022__ACS_2024"):
        assert pair in told
    # AHS 2023 has no codebook, and the paper's degrees are not in order.
    assert "AHS_2023__ACS_2022 current 47 0 0 0 recipient's" in told
    assert "AHS_2023__ACS_2020 current 47 0 0 0 none" in told
    assert "AHS_2019__ACS_2019 paper 41 0 3 0 both" in told
    assert "pairs the GED with vocational certificates" in told


DEFECT = """
defects:
  - harmony: size__bld
    for: {set: paper}
    what: "level 'Vast' of size has no group."
    why: The paper forgot it.
"""


def of_the_paper(what, monkeypatch) -> list:
    sizes = {"size": DONOR["size"] | {"levels": {**SIZES, "4": what}}}
    books = {"A": codebook("A", sizes), "B": codebook("B", RECIPIENT)}
    monkeypatch.setattr(checking, "codebook_of", lambda survey: books[survey.survey])
    text = HARMONIES.replace("current:", "paper:") + DEFECT
    document = Document.model_validate(yaml.safe_load(text))
    return check(resolve(document, Pair(donor="2015", recipient="2015", set="paper")))


def test_a_known_defect_is_told_with_its_reason_and_stops_nothing(monkeypatch) -> None:
    [finding] = of_the_paper("Vast", monkeypatch)
    assert (finding.fatal, finding.known, finding.remedy) == (False, True, "The paper forgot it.")


def test_a_known_defect_that_is_gone_and_another_in_its_place_are_errors(monkeypatch) -> None:
    found = of_the_paper("Huge", monkeypatch)
    assert [f.fatal for f in found] == [True, True]
    assert "level 'Huge' of size has no group" in found[0].what
    assert "is not found" in found[1].what


def test_only_the_papers_definitions_may_have_known_defects() -> None:
    with pytest.raises(ValueError, match="correct the harmony"):
        Document.model_validate(yaml.safe_load(HARMONIES + DEFECT.replace("set: paper", "donor: 2015")))


def test_a_survey_without_codebook_is_told_not_passed_over() -> None:
    harmony = load_harmonies("CEI", "2015-2019", "2019")
    unknown = harmony.model_copy(update={"donor": Survey(survey="CEI", vintage="1980")})
    assert [f.what for f in check(unknown) if not f.fatal] == ["CEI 1980 has no codebook."]


@pytest.mark.parametrize(
    ("donor", "vintage", "year", "share"), [("RECS", "2015", "2015", 0.6), ("AHS", "2019", "2019", 0.6)]
)
def test_a_draft_would_have_proposed_most_published_pairs(donor, vintage, year, share) -> None:
    entries = load_harmonies(donor, vintage, year).entries.values()
    drafted = proposals(load_codebook(f"{donor.lower()}_{vintage}"), load_codebook(f"acs_{year}"))
    found = {(p.donor.name, p.recipient.name) for p in drafted}
    assert len(found & {(e.donor.var, e.recipient.var) for e in entries}) >= share * len(entries)


def test_a_variable_is_proposed_with_the_two_most_alike_and_places_with_none() -> None:
    heat = {"description": "Main heating fuel", "type": "factor", "levels": {"1": "Wood", "2": "Electricity"}}
    names = ("fuel", "heating", "fuelheat", "mainfuel")
    state = {"raw": "ST", "description": "State", "type": "factor", "levels": {"1": "Ohio", "2": "Iowa"}}
    ours = {name: heat | {"raw": name.upper()} for name in names} | {"state": state}
    theirs = codebook("B", {"fuelheat": heat | {"raw": "HFL"}, "state": state})
    found = [
        (p.donor.name, p.recipient.name) for p in proposals(codebook("A", ours, locations=("state",)), theirs)
    ]
    assert len(found) == 2
    assert found[0] == ("fuelheat", "fuelheat")
    assert {recipient for _, recipient in found} == {"fuelheat"}


def test_rare_words_tell_more_than_words_of_every_question() -> None:
    fridge, rooms, refr = (
        Candidate(name, "household", says, (), False)
        for name, says in (
            ("a", "Number of refrigerators used"),
            ("b", "Number of rooms used"),
            ("c", "Refrigerator"),
        )
    )
    weights = rarity([fridge, rooms, refr])
    assert alikeness(fridge, refr, weights) > alikeness(fridge, rooms, weights)


def test_a_draft_pairs_what_is_alike_and_marks_what_has_no_counterpart() -> None:
    heat = {"raw": "HEAT", "description": "Main heating fuel", "type": "factor"}
    ours = DONOR | {"fuelheat": heat | {"levels": {"1": "Electricity", "2": "Wood", "3": "Steam"}}}
    theirs = RECIPIENT | {
        "hfl": heat | {"description": "House heating fuel", "levels": {"1": "Wood", "2": "Electricity"}}
    }
    text = draft(codebook("A", ours), codebook("B", theirs))
    document = Document.model_validate(yaml.safe_load(text))
    assert set(document.harmonies) == {"fuelheat__hfl"}
    groups = document.harmonies["fuelheat__hfl"].groups
    assert {name: group.recipient for name, group in groups.items()} == {
        "Electricity": ["Electricity"],
        "Wood": ["Wood"],
        "Steam": "?",
    }
