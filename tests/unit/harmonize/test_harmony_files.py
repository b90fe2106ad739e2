"""What the harmony files say: how they are written, what they refuse, what differs between vintages."""

import pytest
import yaml

from fusion_pipeline.errors import RegistryError
from fusion_pipeline.harmonize import load_harmonies
from fusion_pipeline.harmonize.documents import Document, Pair
from fusion_pipeline.harmonize.loading import all_harmonies, load_document, resolve

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
        ("donor: Male", "donor: Female", "level 'Female' is in two groups"),
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
