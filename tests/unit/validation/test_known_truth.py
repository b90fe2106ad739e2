"""A survey fused onto itself: areas are hidden, the truth is held against what comes out, and bad input is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.validation import area_figures, baselines
from fusion_pipeline.validation.area_scores import accuracy, coverage, with_margins
from fusion_pipeline.validation.known_truth import KnownTruth, area_error_of, measure_area_error
from fusion_pipeline.validation.self_fusion import Design, SelfFusion, area_summaries

STATES, AREAS, HOUSEHOLDS = 5, 30, 3_000
PROXIES = ("amount", "flag")
DESIGN = Design(
    area="area", disclosed=("state",), predictors=("age", "kind", "state"), donors=300, implicates=3
)


@pytest.fixture(scope="module")
def households() -> pd.DataFrame:
    """Areas differ in `age`, and in `amount` and `flag` beyond it."""
    random = np.random.default_rng(8)
    area = np.arange(HOUSEHOLDS) % AREAS
    shift = random.normal(size=AREAS)
    age = 50 + 8 * shift[area] + 12 * random.normal(size=HOUSEHOLDS)
    own = 0.6 * random.normal(size=AREAS)
    return pd.DataFrame(
        {
            "area": [f"a{a:02d}" for a in area],
            "state": pd.Categorical([f"s{a % STATES}" for a in area]),
            "weight": random.uniform(50, 150, HOUSEHOLDS),
            "age": age,
            "kind": pd.Categorical(np.where(random.random(HOUSEHOLDS) < 0.5, "flat", "house")),
            "class": np.where(age > 50, "old", "young"),
            "amount": 100 + age + 20 * (own[area] + random.normal(size=HOUSEHOLDS)),
            "flag": random.random(HOUSEHOLDS) < 1 / (1 + np.exp(-(age - 50) / 20 - own[area])),
        }
    )


@pytest.fixture(scope="module")
def setting(households) -> SelfFusion:
    return SelfFusion.of(households, PROXIES, DESIGN)


@pytest.fixture(scope="module")
def truth(setting, tmp_path_factory) -> KnownTruth:
    """Both proxies, fused onto four of the five states."""
    onto = (setting.recipient["state"] != "s4").to_numpy()
    truth = KnownTruth(setting, onto, "class", ("state",))
    for fused in setting.fused(tmp_path_factory.mktemp("models"), onto):
        truth.add(fused)
    return truth


def test_donors_are_no_recipients_and_live_where_their_disclosed_place_allows(setting, households) -> None:
    assert len(setting.donor) == 300 and len(setting.recipient) == HOUSEHOLDS - 300
    summaries = area_summaries(setting.recipient, [*DESIGN.predictors, *PROXIES], DESIGN)
    state_of = households.drop_duplicates("area").set_index("area")["state"]
    believed = setting.donor["area..age"].map({np.float32(v): a for a, v in summaries["area..age"].items()})
    assert (believed.map(state_of).astype(str) == setting.donor["state"].astype(str)).all()
    assert (believed != setting.donor["area"]).mean() > 0.5


def test_no_proxy_predicts_a_proxy_nor_its_own_summary_itself(setting) -> None:
    assert "area..amount" not in setting.predictors("amount")
    assert {"area..flag", "area..age", "area..kind.house", "age"} <= set(setting.predictors("amount"))
    assert not {"amount", "flag", "area"} & set(setting.predictors("amount"))


def test_the_same_seed_gives_the_same_donors_and_another_gives_others(households, setting) -> None:
    again = SelfFusion.of(households, PROXIES, DESIGN)
    pd.testing.assert_frame_equal(again.donor, setting.donor)
    other = SelfFusion.of(households, PROXIES, Design(**{**vars(DESIGN), "seed": 2}))
    assert not other.donor["age"].equals(setting.donor["age"])


def test_truth_is_what_the_recipients_answered(truth) -> None:
    rows = truth.table.query("variable == 'amount' and level == 'area'").set_index("key")
    frame = truth.frame
    wanted = frame.groupby("area").apply(
        lambda g: np.average(g["amount"], weights=g["weight"]), include_groups=False
    )
    pd.testing.assert_series_equal(rows["truth"], wanted, check_names=False)
    assert set(rows.index) == set(frame["area"]) and len(rows) == AREAS * 4 // 5
    assert set(truth.table["level"]) == {"area", "part", "wider", "place", "group"}


def test_fused_means_follow_the_truth_and_the_nearest_donor_does_so_less(truth) -> None:
    found = accuracy(truth.table).set_index(["level", "variable", "method"])["value_added"]
    for level in ("area", "part"):
        mean = {m: np.mean([found[level, v, m] for v in PROXIES]) for m in ("fused", "neighbour")}
        assert mean["fused"] > max(0.15, mean["neighbour"])


def test_direct_estimates_are_those_of_the_donors_of_the_group(truth, setting) -> None:
    row = truth.table.query("variable == 'flag' and level == 'area' and key == 'a07'").iloc[0]
    own = setting.donor[setting.donor["area"] == "a07"]
    assert row["direct"] == pytest.approx(np.average(own["flag"], weights=own["weight"]))


def test_area_errors_are_measured_where_areas_differ(truth) -> None:
    error = measure_area_error(truth.table, ["area"], ["state"], {"survey": "simulated"})
    amount = error.proxies[0]
    assert amount.variable == "amount" and amount.areas == 24
    assert (
        0.05 < amount.icc < 0.9
    )  # 0.6^2 of a residual variance of 1 + 0.6^2, less what place and summaries tell
    assert amount.icc_wider is None and not error.measured


def test_margins_with_the_component_are_wider_and_cover_more(truth) -> None:
    error = measure_area_error(truth.table, ["area"], ["state"], {})
    enough = error.model_copy(update={"proxies": error.proxies * 3})
    scored = with_margins(truth.table, enough, leave_out=False)
    assert (scored["margin_with"] >= scored["margin_without"]).all()
    found = coverage(scored, ["level"]).set_index("level")
    assert found.loc["area", "with_area"] > found.loc["area", "without"]
    by_size = coverage(scored, ["level", "size"])
    assert by_size["groups"].sum() == len(scored)
    png = area_figures.areas_figure(
        accuracy(truth.table), coverage(scored, ["level", "variable"]), source="test"
    )
    assert png.startswith(b"\x89PNG")


def test_too_few_areas_are_not_measured_and_nothing_is_fused(households, tmp_path) -> None:
    few = households[households["area"] < "a09"]
    setting = SelfFusion.of(few, PROXIES, Design(**{**vars(DESIGN), "donors": 100}))
    found = area_error_of(
        setting, np.ones(len(setting.recipient), bool), group="class", area=["area"], wider=["state"],
        folder=tmp_path, measured_on={"survey": "simulated"},
    )  # fmt: skip
    assert not found.measured and found.proxies == () and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "design", "proxies", "match"),
    [
        ({"age": np.nan}, {}, PROXIES, "age.*missing"),
        ({}, {"predictors": ("age", "income")}, PROXIES, "lacks the column income"),
        ({}, {}, ("amount", "age"), "proxy age.*predictor"),
        ({}, {}, ("class",), "proxy class"),
        ({}, {"donors": 2_000}, PROXIES, "2,000 donors"),
        ({}, {"donors": 20}, PROXIES, "20 donors"),
        ({"area": "one"}, {}, PROXIES, "one value"),
    ],
)
def test_bad_input_is_named(households, change, design, proxies, match) -> None:
    with pytest.raises(AnalysisError, match=match):
        SelfFusion.of(households.assign(**change), proxies, Design(**{**vars(DESIGN), **design}))


def test_yes_no_predictors_have_the_same_levels_whichever_answer_comes_first(households) -> None:
    design = Design(**{**vars(DESIGN), "predictors": ("age", "flag")})
    for seed in range(6):
        SelfFusion.of(households, ("amount",), Design(**{**vars(design), "seed": seed}))


def test_place_with_donors_alone_is_named(households) -> None:
    lonely = households.assign(
        state=np.where(np.arange(HOUSEHOLDS) == 0, "alone", households["state"].astype(str))
    )
    with pytest.raises(AnalysisError, match="alone"):
        for seed in range(50):
            SelfFusion.of(
                lonely,
                PROXIES,
                Design(**{**vars(DESIGN), "predictors": ("age",), "donors": 1_000, "seed": seed}),
            )


def test_unknown_class_is_named(setting) -> None:
    with pytest.raises(AnalysisError, match="group income"):
        KnownTruth(setting, np.ones(len(setting.recipient), bool), "income", ("state",))


def test_nearest_donor_is_that_by_the_plain_definition() -> None:
    random = np.random.default_rng(1)
    donor, recipient = (random.normal(size=(n, 3)).astype(np.float32) * [1, 10, 0] for n in (40, 25))
    scaled = [(x[:, :2] / donor[:, :2].std(axis=0)) for x in (donor, recipient)]
    distance = ((scaled[1][:, None] - scaled[0][None]) ** 2).sum(axis=2)
    assert (baselines.nearest_donor(donor, recipient) == distance.argmin(axis=1)).all()


def test_forest_predicts_means_and_group_means_are_weighted() -> None:
    random = np.random.default_rng(2)
    x = random.normal(size=(300, 1)).astype(np.float32)
    predicted = baselines.forest_means(
        x, 2.0 * (x[:, 0] > 0), np.ones(300), np.array([[-1.0], [1.0]], np.float32), 1
    )
    assert predicted == pytest.approx([0, 2], abs=0.2)
    means = baselines.group_means(np.array([1.0, 3, 5]), np.array([1.0, 3, 1]), np.array([0, 0, -1]), 2)
    assert means[0] == 2.5 and np.isnan(means[1])
