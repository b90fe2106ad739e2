"""What the harmony files say: how they are written, what they refuse, what differs between vintages."""

import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import RegistryError
from fusion_pipeline.harmonize import load_harmonies
from fusion_pipeline.harmonize.definitions import bin_edges
from fusion_pipeline.harmonize.documents import Document, Pair
from fusion_pipeline.harmonize.loading import all_harmonies, load_document, resolve
from fusion_pipeline.harmonize.recoding import Place, recode
from fusion_pipeline.harmonize.vintages import covers
from fusion_pipeline.surveys.codebook import load_codebook

SMALL = """
donor: A
recipient: B
sets: {current: {2015: ..2019, 2020: 2019}}
harmonies:
  sex__sexp:
    ordered: false
    donor: sex
    recipient: {person: sexp, agg: reference}
    groups:
      female: {donor: Female, recipient: Woman}
      male: {donor: Male, recipient: Man}
"""


def load(tmp_path, text, donor="2015", recipient="2015", harmony_set="current"):
    (tmp_path / "A.yaml").write_text(text)
    load_document.cache_clear()
    return load_harmonies("A", donor, recipient, harmony_set, folder=tmp_path)


def entry(text, name="sex__sexp", **pair):
    document = Document.model_validate(yaml.safe_load(text))
    return resolve(document, Pair(**{"donor": "2015", "recipient": "2015", **pair})).entries[name]


@pytest.mark.parametrize(("harmony_set", "count"), [("current", 23), ("paper", 24)])
def test_recs_2015_has_the_published_number_of_harmonies(harmony_set, count):
    assert len(load_harmonies("RECS", "2015", "2015", harmony_set).entries) == count


def test_only_the_paper_set_has_tablets():
    paper, current = (load_harmonies("RECS", "2015", "2015", s).entries for s in ("paper", "current"))
    assert set(paper) - set(current) == {"numtablet__handheld"}
    assert all(current[name] == paper[name] for name in current)


def test_income_bins_cover_every_income_once():
    bins = load_harmonies("RECS", "2015", "2015").entries["moneypy__hincp"].recipient.bins
    edges = [interval for group in sorted(bins) for interval in bins[group]]
    assert edges[0][0] is None and edges[-1][1] is None
    assert [high for _, high in edges[:-1]] == [low for low, _ in edges[1:]]


def test_income_is_put_into_dollars_of_the_donor_year():
    sides = [
        load_harmonies("RECS", "2015", year).entries["moneypy__hincp"].recipient for year in ("2015", "2018")
    ]
    assert [side.expr for side in sides] == [None, "hincp / 1.056"]


def test_a_five_year_file_has_the_harmonies_of_its_last_year():
    one, five = (load_harmonies("RECS", "2015", vintage).entries for vintage in ("2018", "2018_5yr"))
    assert one == five


def test_vintages_that_are_not_covered_are_named_with_those_that_are():
    with pytest.raises(
        RegistryError, match=r"no harmonies of RECS 2020 with ACS 2023.*2024 with 2019\.\.2023"
    ):
        load_harmonies("RECS", "2020", "2023")
    with pytest.raises(RegistryError, match=r"harmonies of SIPP.*there are those of .*RECS"):
        load_harmonies("SIPP", "2020", "2020")


def test_a_sound_file_loads(tmp_path):
    harmony = load(tmp_path, SMALL)
    assert list(harmony.entries) == ["sex__sexp"]
    assert harmony.entries["sex__sexp"].names == ("female", "male")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (", agg: reference", "", "person variable without an aggregator; add agg: reference, sum"),
        ("donor: sex", "donor: {household: sex, agg: sum}", "household variable; agg is for persons only"),
        ("agg: reference", "agg: max", "agg max is not one of reference"),
        ("ordered: false", "ordered: false\n    colour: red", "colour"),
        ("    ordered: false\n", "", "ordered has to be declared"),
        (", recipient: Man", "", "group 'male' is empty: it has no level or interval of the recipient"),
        ("donor: Male, ", "", "group 'male' is empty: it has no level or interval of the donor"),
        ("donor: Male", "donor: Female", "level 'female' is in two groups"),
        ("sex__sexp", "sex__other", "should be named sex__sexp"),
        ("donor: Male", "donor: {from: 1}", "levels in one group and intervals in another"),
        ("donor: Male", "donor: 2005", "a level that looks like a number needs quotes"),
        ("donor: Male", "donor: {shared: men}", "no shared group 'men'"),
        ("donor: sex", "donor: {household: sex, expr: a + b}", "expr gives a number, which needs intervals"),
        ("donor: sex", 'donor: {household: sex, expr: "a +"}', "is not an expression"),
        ("      male:", "      Female:", "groups 'female' and 'Female' have one meaning; join them"),
        ("      male:", "      female:", "'female' comes twice"),
        ("2015: ..2019", "2015: 2019..2015", "the range 2019..2015 is empty"),
        ("2015: ..2019", "2015: ever", "'ever' is no range of vintages"),
    ],
)
def test_a_contradiction_is_refused_by_name(tmp_path, old, new, message):
    assert old in SMALL
    with pytest.raises(RegistryError, match=message):
        load(tmp_path, SMALL.replace(old, new, 1))


@pytest.mark.parametrize(
    ("female", "male", "message"),
    [
        ("{from: 0, below: 2}", "{from: 1, below: 3}", "overlap at 1"),
        ("{from: 2, below: 2}", "{from: 3, below: 4}", "is empty"),
    ],
)
def test_intervals_that_overlap_or_hold_nothing_are_refused(tmp_path, female, male, message):
    text = SMALL.replace("donor: Female", f"donor: {female}").replace("donor: Male", f"donor: {male}")
    with pytest.raises(RegistryError, match=message):
        load(tmp_path, text)


OVERLAID = (
    SMALL
    + """
      other: {for: {donor: 2020..}, donor: Other, recipient: {2019..: Other}}
    overlays:
      - for: {donor: 2020}
        why: The question changed.
        groups:
          male: {donor: [Male, Boy]}
      - for: {set: paper}
        why: As in the paper.
        ordered: true
        recipient: {person: sexp, agg: max}
        groups: {other: null}
"""
)
OVERLAID = OVERLAID.replace("2020: 2019}}", "2020: 2019}, paper: {2020: 2019}}")


def test_a_group_exists_only_where_it_is_said_to() -> None:
    assert entry(OVERLAID).names == ("female", "male")
    assert entry(OVERLAID, donor="2020", recipient="2019").names == ("female", "male", "other")


def test_an_overlay_replaces_one_side_of_a_group_and_leaves_the_other() -> None:
    overlaid = entry(OVERLAID, donor="2020", recipient="2019")
    assert overlaid.donor.map[2] == ("Male", "Boy")
    assert overlaid.recipient.map[2] == ("Man",)
    assert entry(OVERLAID).donor.map[2] == ("Male",)


def test_later_overlays_lie_on_earlier_ones_and_take_groups_away() -> None:
    paper = entry(OVERLAID, donor="2020", recipient="2019", set="paper")
    assert paper.names == ("female", "male")
    assert paper.donor.map[2] == ("Male", "Boy")
    assert (paper.ordered, paper.recipient.agg) == (True, "max")


def test_an_overlay_has_to_say_why(tmp_path) -> None:
    with pytest.raises(RegistryError, match="why"):
        load(tmp_path, OVERLAID.replace("        why: The question changed.\n", ""))


@pytest.mark.parametrize(
    ("ranges", "vintage", "inside"),
    [
        ("2016", "2016", True),
        ("2016..2018", "2018_5yr", True),
        ("..2015", "2016", False),
        ("2016..", "2024", True),
        ("2015-2019", "2015-2019", True),
        (["2015", "2019.."], "2018", False),
    ],
)
def test_ranges_of_vintages_include_their_ends(ranges, vintage, inside) -> None:
    assert covers([ranges] if isinstance(ranges, str) else ranges, vintage) is inside


def test_levels_are_told_apart_by_words_not_by_capitals_and_written_levels_go_before_patterns() -> None:
    text = SMALL.replace("donor: Female", 'donor: "MED-*"').replace("donor: Male", 'donor: "MED-Nurses"')
    side = entry(text).donor
    assert side.groups_of(["MED-Doctors", "MED-NURSES", "EDU-Teachers"]) == {
        "MED-Doctors": 1,
        "MED-NURSES": 2,
    }


@given(harmony=st.sampled_from(list(all_harmonies())), data=st.data())
@settings(max_examples=40)
def test_every_level_and_every_number_of_a_harmony_belongs_to_exactly_one_group(harmony, data) -> None:
    entry = data.draw(st.sampled_from(list(harmony.entries.values())))
    for side in (entry.donor, entry.recipient):
        written = [(label, group) for group, labels in (side.map or {}).items() for label in labels]
        groups = side.groups_of([label for label, _ in written])
        assert all(groups[label] == group for label, group in written)
        if side.bins:
            number = data.draw(st.integers(0, 2_000_000))
            holding = [group for low, high, group in bin_edges(side.bins) if low <= number < high]
            assert len(holding) == 1


def test_professions_of_the_acs_are_professions_of_the_travel_survey() -> None:
    for year in ("2015", "2016", "2017", "2018", "2019"):
        entry = load_harmonies("NHTS", "2017", year).entries["occat__occp"]
        variable = load_codebook(f"acs_{year}").persons.variables["occp"]
        groups: dict[str, set[str]] = {}
        for label, group in entry.recipient.groups_of(variable.labels).items():
            prefix = label.split("-")[0] if label[3:4] == "-" else "no prefix"
            groups.setdefault(entry.names[group - 1], set()).add(prefix)
        professions = {"MGR", "BUS", "FIN", "CMM", "ENG", "SCI", "CMS", "LGL", "EDU", "ENT", "MED"}
        assert groups["Professional, managerial, technical"] - {"no prefix"} == professions, year
        assert groups["Sales or service"] == {"HLS", "PRT", "EAT", "CLN", "PRS", "SAL"}
        trades = groups["Manufacturing, construction, maintenance, farming"] - {"no prefix"}
        assert trades == {"FFF", "CON", "EXT", "RPR", "PRD", "TRN"}
        assert groups["Clerical"] == {"OFF"} and groups["Something else"] == {"MIL"}


def test_incomes_of_the_acs_are_in_dollars_of_the_donors_year() -> None:
    table = pa.table({"hincp": [100_000.0], "year": pa.array([2015], pa.int16())})
    columns = {name: table[name] for name in table.column_names}
    side = load_harmonies("AHS", "2019", "2015").entries["hincp__hincp"].recipient
    # The CPI-U rose from 237.017 to 255.657.
    assert recode(columns, side, Place("", "", "", ""))[0] == pytest.approx(107_864.4, abs=0.1)
    entry = load_harmonies("NHTS", "2017", "2015").entries["hhfaminc__hincp"]
    # 97,000 dollars of 2015 were 100,316 of 2017.
    columns["hincp"] = pa.chunked_array([[97_000.0]])
    assert (
        entry.names[int(recode(columns, entry.recipient, Place("", "", "", ""))[0]) - 1]
        == "$100,000 to $124,999"
    )
    paper = load_harmonies("NHTS", "2017", "2015", "paper").entries["hhfaminc__hincp"].recipient
    assert entry.names[int(recode(columns, paper, Place("", "", "", ""))[0]) - 1] == "$75,000 to $99,999"


@pytest.mark.parametrize(
    ("variable", "level", "told"),
    [
        ("cooltype", "No air conditioning", "code -2, "),
        ("cooltype", "Central air conditioning system", "code 1, "),
        ("cooltype", "Ice", ""),
    ],
)
def test_the_code_behind_a_level_is_told_of_skips_too(variable: str, level: str, told: str) -> None:
    place = Place("pair", "harmony", "donor", "RECS.yaml", "recs_2015")
    assert place.code_of(variable, level) == told
