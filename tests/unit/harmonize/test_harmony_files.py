import pytest

from fusion_pipeline.errors import RegistryError
from fusion_pipeline.harmonize import load_harmony

SMALL = """
donor: {survey: RECS, vintage: "2015"}
recipient: {survey: ACS, vintage: "2015"}
harmonies:
  sex__sexp:
    kind: categorical
    ordered: false
    donor: {var: sex, level: household, map: {1: [Female], 2: [Male]}}
    recipient: {var: sexp, level: person, agg: reference, map: {1: [Woman], 2: [Man]}}
"""


def load(tmp_path, text):
    folder = tmp_path / "current"
    folder.mkdir(exist_ok=True)
    (folder / "A__B.yaml").write_text(text)
    return load_harmony("A__B", "current", folder=tmp_path)


@pytest.mark.parametrize(("harmony_set", "count"), [("current", 23), ("paper", 24)])
def test_recs_2015_has_the_published_number_of_harmonies(harmony_set, count):
    assert len(load_harmony("RECS_2015__ACS_2015", harmony_set).entries) == count


@pytest.mark.parametrize("harmony_set", ["current", "paper"])
def test_both_sides_of_every_recs_harmony_have_the_same_groups(harmony_set):
    entries = load_harmony("RECS_2015__ACS_2015", harmony_set).entries.values()
    assert all(e.donor.groups == e.recipient.groups != [] for e in entries if e.is_categorical)


def test_only_the_paper_set_has_tablets_and_its_own_fuel_groups():
    paper, current = (load_harmony("RECS_2015__ACS_2015", s).entries for s in ("paper", "current"))
    assert set(paper) - set(current) == {"numtablet__handheld"}
    assert {n for n in current if current[n] != paper[n]} == {"fuelheat__hfl"}


def test_income_bins_cover_every_income_once():
    bins = load_harmony("RECS_2015__ACS_2015").entries["moneypy__hincp"].recipient.bins
    edges = [interval for group in sorted(bins) for interval in bins[group]]
    assert edges[0][0] is None and edges[-1][1] is None
    assert [high for _, high in edges[:-1]] == [low for low, _ in edges[1:]]


def test_a_harmony_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(RegistryError, match=r"RECS_1999__ACS_2015.*it has RECS_2015__ACS_2015"):
        load_harmony("RECS_1999__ACS_2015")


def test_a_sound_file_loads(tmp_path):
    assert list(load(tmp_path, SMALL).entries) == ["sex__sexp"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("agg: reference, ", "", "agg has to be declared for a person variable"),
        ("{var: sex, level: household, ", "{var: sex, level: household, agg: sum, ", "and only for one"),
        ("agg: reference", "agg: max", "agg max is not one of reference"),
        ("ordered: false", "ordered: false\n    colour: red", "colour"),
        ("    ordered: false\n", "", "ordered has to be declared"),
        ("2: [Male]", "3: [Male]", "the sides differ in groups"),
        ("2: [Man]", "2: [Man], 3: [Child]", "the sides differ in groups"),
        ("2: [Male]", "2: [Female]", "level 'Female' is in two groups"),
        ("sex__sexp", "sex__other", "should be named sex__sexp"),
        ("map: {1: [Female], 2: [Male]}", "map: {1: [Female]}, bins: {2: [[0, 1]]}", "both map and bins"),
        ("map: {1: [Female], 2: [Male]}", "bins: {1: [[0, 2]], 2: [[1, 3]]}", "overlap at 1"),
        ("map: {1: [Female], 2: [Male]}", "bins: {1: [[2, 2]], 2: [[3, 4]]}", "is empty"),
        ("map: {1: [Female]", "expr: a + b, map: {1: [Female]", "needs bins instead of map"),
        ("kind: categorical", "kind: numeric", "ordered has to be declared"),
        ("kind: categorical", "kind: categorical_binned", "when a side has bins"),
    ],
)
def test_a_contradiction_is_refused_by_name(tmp_path, old, new, message):
    assert old in SMALL
    with pytest.raises(RegistryError, match=message):
        load(tmp_path, SMALL.replace(old, new, 1))


def test_groups_are_numbered_without_gaps(tmp_path):
    with pytest.raises(RegistryError, match="groups have to be 1, 2"):
        load(tmp_path, SMALL.replace("2: [", "4: ["))


def test_an_expression_that_does_not_parse_is_refused(tmp_path):
    text = SMALL.replace("map: {1: [Female], 2: [Male]}", 'expr: "a +", bins: {1: [[0, 1]], 2: [[1, 2]]}')
    with pytest.raises(RegistryError, match="is not an expression"):
        load(tmp_path, text)
