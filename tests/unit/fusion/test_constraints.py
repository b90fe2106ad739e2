"""Rules hold in every implicate, and whoever obeys without them keeps what he drew."""

import json
import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fusion_pipeline as fp
from fusion_pipeline.errors import FusingError, TrainingError
from fusion_pipeline.examples import make_population
from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.rule_language import parse_condition, parse_rule
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep
from fusion_pipeline.fusion.training import train

M = 4
QUICK = {"leaves": (4,), "patience": 3, "folds": 3, "centres": 60, "bootstraps": 2}
SHARES = ("share_1", "share_2", "share_3")


@pytest.fixture(scope="module")
def recipient() -> pd.DataFrame:
    random = np.random.default_rng(4)
    frame = make_population(250, seed=2)[["hid", "year", "group", "income", "tenure"]]
    return frame.assign(
        limit=np.where(random.random(250) < 0.3, np.nan, random.uniform(50, 250, 250)),
        floor=random.uniform(0, 0.3, 250),
        connected=random.random(250) < 0.6,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    x = ("group", "income", "tenure")
    plan = FusionPlan(
        (
            FusionStep(("size",), x),
            FusionStep(("fuel",), (*x, "size")),
            FusionStep(("cool",), (*x, "fuel")),
            FusionStep(SHARES, (*x, "size")),
        ),
        "weight",
    )
    return train(make_population(900, 1), plan, out=tmp_path_factory.mktemp("m") / "set", **QUICK)


def under(models, *rules):
    """Return the model set with rules added to its plan: training knows nothing of them."""
    plan = replace(models.plan, rules=rules)
    return replace(models, manifest=models.manifest | {"plan": plan.to_dict()})


@pytest.fixture(scope="module")
def free(trained, recipient) -> pd.DataFrame:
    return fuse(recipient, trained, implicates=M).to_pandas()


def fused(trained, recipient, *rules, **settings) -> pd.DataFrame:
    return fuse(recipient, under(trained, *rules), implicates=M, **settings).to_pandas()


def repeat(column: pd.Series) -> np.ndarray:
    return np.tile(column.to_numpy(), M)


def test_a_structural_zero_holds_and_nobody_else_is_touched(trained, recipient, free):
    drawn = fused(trained, recipient, "fuel == 0 unless connected")
    connected = repeat(recipient.connected)
    assert (drawn.fuel[~connected] == 0).all()
    pd.testing.assert_frame_equal(drawn[connected], free[connected])
    obeyed = ~connected & (free.fuel == 0).to_numpy()
    assert obeyed.any()
    pd.testing.assert_frame_equal(drawn[obeyed], free[obeyed])


def test_what_obeys_stays_and_what_does_not_becomes_another_donors_value(trained, recipient, free):
    drawn = fused(trained, recipient, "size <= limit")
    limit = repeat(recipient.limit)
    known = ~np.isnan(limit)
    assert (drawn["size"][known] <= limit[known]).all()
    kept = ~(free["size"].to_numpy() > limit)
    pd.testing.assert_frame_equal(drawn[kept], free[kept])
    donors = set(make_population(900, 1)["size"])
    inside = limit > min(donors)
    assert set(drawn["size"][inside]) <= donors


def test_a_bound_no_donor_reaches_becomes_the_value(trained, recipient):
    drawn = fused(trained, recipient, "size >= 1000 if connected")
    connected = repeat(recipient.connected)
    assert (drawn["size"][connected] == 1000).all()
    assert drawn["size"].dtype == "int32"


def test_a_bound_that_the_type_cannot_hold_is_an_error_and_does_not_wrap_around(trained, recipient):
    with pytest.raises(FusingError, match=r"fusion variable size: is 3e\+09 by a rule, .* int32 cannot hold"):
        fused(trained, recipient, "size >= 3000000000 if connected")


def test_a_zero_that_is_forbidden_becomes_a_donors_amount(trained, recipient, free):
    drawn = fused(trained, recipient, "fuel > 0 if tenure")
    rents = repeat(recipient.tenure)
    assert (drawn.fuel[rents] > 0).all()
    assert (free.fuel[rents] == 0).any()
    kept = ~rents | (free.fuel > 0).to_numpy()
    pd.testing.assert_frame_equal(drawn[kept], free[kept])


def test_classes_are_drawn_among_those_allowed(trained, recipient, free):
    drawn = fused(trained, recipient, 'cool in ["yes"] if group == "a"')
    bound = repeat(recipient.group.astype(str)) == "a"
    assert (drawn.cool[bound] == "yes").all()
    kept = ~bound | (free.cool == "yes").to_numpy()
    pd.testing.assert_frame_equal(drawn[kept], free[kept])


def test_identities_of_a_block_survive_a_bound_on_one_of_its_variables(trained, recipient, free):
    drawn = fused(trained, recipient, "share_1 >= floor", "share_2 <= 0.6")
    np.testing.assert_allclose(drawn[list(SHARES)].sum(axis=1), 1)
    assert (drawn.share_1 >= repeat(recipient.floor)).all()
    assert drawn.share_2.max() <= 0.6
    kept = ((free.share_1 >= repeat(recipient.floor)) & (free.share_2 <= 0.6)).to_numpy()
    assert 0.2 < kept.mean() < 0.95
    pd.testing.assert_frame_equal(drawn[kept], free[kept])


def test_a_bound_may_be_what_was_fused_before(trained, recipient, free):
    drawn = fused(trained, recipient, "fuel <= size")
    assert (drawn.fuel <= drawn["size"]).all()
    pd.testing.assert_frame_equal(drawn[free.fuel <= free["size"]], free[free.fuel <= free["size"]])


def test_a_block_that_no_donor_can_give_is_an_error_with_the_number_of_rows(trained, recipient):
    with pytest.raises(
        FusingError, match=r"rules on share_1\+share_2\+share_3: are obeyed by no donor for 250 rows"
    ):
        fused(trained, recipient, "share_1 >= 2")


def test_rules_that_contradict_each_other_are_an_error(trained, recipient):
    with pytest.raises(FusingError, match="leave size no value in 250 of 250 rows"):
        fused(trained, recipient, "size <= 10", "size >= 20")


def test_a_draw_under_a_rule_has_the_distribution_cut_to_what_is_allowed(tmp_path):
    random = np.random.default_rng(7)
    n = 1500
    frame = pd.DataFrame(
        {"x": random.integers(0, 2, n), "y": np.where(random.random(n) < 0.4, 0, random.gamma(3, 1, n))}
    )
    models = train(
        frame, y=["y"], x=["x"], out=tmp_path / "m", **QUICK | {"bootstraps": 0, "neighbours": 400}
    )
    target = pd.DataFrame({"x": random.integers(0, 2, 6000)})
    cut = fuse(target, under(models, "y <= 3"), implicates=1, retain=())["y"].to_numpy()
    plain = fuse(target, models, implicates=1, retain=())["y"].to_numpy()
    # Of the draws without the rule, those that obey: a sample of the same distribution.
    allowed = plain[plain <= 3]
    assert cut.max() <= 3
    assert (cut == 0).mean() == pytest.approx((allowed == 0).mean(), abs=0.04)
    assert cut[cut > 0].mean() == pytest.approx(allowed[allowed > 0].mean(), abs=0.06)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["size", "fuel"]),
    st.sampled_from(["<=", ">=", "<", ">"]),
    st.one_of(st.floats(1, 300), st.just("limit")),
    st.sampled_from(
        ["", " if connected", " unless connected", " if not tenure and income > 0", ' if group in ["a", "c"]']
    ),
)
def test_any_bound_holds_in_every_implicate_and_leaves_the_others_alone(
    trained, recipient, free, least_memory, variable, sign, bound, condition
):
    rule = f"{variable} {sign} {bound}{condition}"
    least = least_memory(recipient, under(trained, rule), M, threads=2)
    drawn = fused(trained, recipient, rule, threads=2, memory_limit=least)
    bind = {
        "": np.ones(250, bool),
        " if connected": recipient.connected,
        " unless connected": ~recipient.connected,
        " if not tenure and income > 0": ~recipient.tenure & (recipient.income > 0),
        ' if group in ["a", "c"]': recipient.group.isin(["a", "c"]),
    }[condition]
    limit = repeat(recipient.limit) if bound == "limit" else np.full(250 * M, bound)
    bind = np.tile(np.asarray(bind), M) & ~np.isnan(limit)

    def obeys(values: np.ndarray) -> np.ndarray:
        return {"<=": values <= limit, ">=": values >= limit, "<": values < limit, ">": values > limit}[sign]

    assert obeys(drawn[variable].to_numpy())[bind].all()
    kept = ~bind | obeys(free[variable].to_numpy())
    pd.testing.assert_frame_equal(drawn[kept], free[kept])


def test_splitting_over_calls_and_threads_changes_no_constrained_draw(trained, recipient, least_memory):
    rules = ("fuel == 0 unless connected", "size <= limit", "share_1 >= floor", 'cool == "no" if tenure')
    models = under(trained, *rules)
    whole = fuse(recipient, models, implicates=M, threads=2)
    least = least_memory(recipient, models, M)
    again = [fuse(recipient, models, implicates=[m], memory_limit=least) for m in range(1, M + 1)]
    for m, alone in enumerate(again):
        assert alone.equals(whole.slice(m * 250, 250)), m


def test_a_child_is_fused_in_the_universe_of_its_parent_and_nowhere_else(recipient, tmp_path):
    donor = make_population(700, 1)
    donor["connected"] = donor.fuel > 0
    donor["cool"] = donor.cool.where(donor.connected, "other")
    x = ("group", "income", "connected")
    plan = FusionPlan(
        (
            FusionStep(("fuel",), x, universe="connected"),
            FusionStep(("cool",), (*x, "fuel"), universe="fuel > 0", outside="other"),
            FusionStep(("size",), x, universe='cool == "yes"'),
        )
    )
    models = train(donor, plan, out=tmp_path / "m", **QUICK)
    drawn = fuse(recipient, fp.load_model_set(tmp_path / "m"), implicates=M).to_pandas()
    connected = repeat(recipient.connected)
    assert ((drawn.fuel > 0) == connected).all()
    assert ((drawn.cool == "other") == ~connected).all()
    assert ((drawn["size"] == 0) == (drawn.cool != "yes")).all()
    assert set(models.donors["fuel"].to_numpy()[models.pools(0).donors] > 0) == {True}


def test_rules_of_the_plan_come_back_from_disk_and_are_obeyed_from_there(recipient, tmp_path):
    plan = FusionPlan.chained(["size"], ["group", "income"])
    plan = fp.constrain(plan, ["size <= limit"], make_population(300, 1))
    train(make_population(300, 1), plan, out=tmp_path / "m", **QUICK)
    models = fp.load_model_set(tmp_path / "m")
    assert models.plan.rules == ("size <= limit",)
    assert json.loads((tmp_path / "m" / "manifest.json").read_text())["format"] == 3
    drawn = fuse(recipient, models, implicates=1).to_pandas()
    assert not (drawn["size"] > recipient.limit.to_numpy()).any()
    with pytest.raises(FusingError, match="column limit: is missing"):
        fuse(recipient.drop(columns="limit"), models, implicates=1)


def test_how_many_values_a_rule_changed_is_logged(trained, recipient, free, caplog):
    with caplog.at_level(logging.INFO, logger="fusion_pipeline"):
        fused(trained, recipient, "size <= limit")
    count = int((free["size"].to_numpy() > repeat(recipient.limit)).sum())
    assert f"rule `size <= limit`: {count} values were drawn again" in caplog.text


def test_donors_that_break_a_rule_are_counted_and_a_rule_all_break_is_refused(caplog):
    donor = make_population(300, 1)
    plan = FusionPlan.chained(["size", "fuel"], ["group", "income"])
    fp.constrain(plan, ["size <= 150"], donor)
    assert f"broken by {(donor['size'] > 150).sum()} of 300 donors" in caplog.text
    with pytest.raises(TrainingError, match="is broken by all 300 donors it binds"):
        fp.constrain(plan, ["size <= 0"], donor)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("size", "is not in the language"),
        ("size <= 3 * 4", "is not in the language"),
        ("size <= __import__('os').getpid()", "is not in the language"),
        ("size <= 3 if fuel if cool", "is not in the language"),
        ("size in 3", "is not in the language"),
        ("weight2 <= 3", "is about weight2, which is not fused"),
        ("size <= fuel", "reads fuel, which is not fused before size"),
        ("size <= group", "uses the category group as bound"),
        ('size == "big"', "gives the number size levels"),
        ("cool <= 3", "bounds cool, which is categorical"),
        ('cool in ["always"]', "names 'always', which is no level of cool"),
        ("size <= 3 if group", "column group: is categorical and cannot be a universe or condition"),
        ('size <= 3 if group == "z"', "names 'z', which is no level of group"),
        ("size <= 3 if group > 1", "compares the levels of group by size"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_before_training(rule, message):
    plan = FusionPlan.chained(["size", "fuel", "cool"], ["group", "income"])
    with pytest.raises(TrainingError, match=message):
        fp.constrain(plan, [rule], make_population(100, 1))


def test_what_is_missing_obliges_to_nothing():
    from fusion_pipeline.fusion.variables import Variable

    number, truth = Variable("n", "continuous", "double"), Variable("t", "categorical", "bool")
    columns = {"n": (np.array([[1.0], [np.nan]]), number), "t": (np.array([[-1], [0]]), truth)}
    true, known = parse_condition("n > 0 and t").truth(columns.__getitem__)
    assert true[:, 0].tolist() == [False, False]
    assert known[:, 0].tolist() == [False, True], "one false term settles it"
    lower, upper = parse_rule("y <= n unless t").bounds(columns.__getitem__, number)
    assert np.isinf(lower).all()
    assert np.isinf(upper).all()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@settings(max_examples=60)
@given(bound=st.floats(-60_000, 60_000), sign=st.sampled_from(["<=", "<", ">=", ">"]))
def test_a_value_put_on_a_bound_keeps_to_it_in_the_columns_own_type(dtype, bound, sign):
    from fusion_pipeline.fusion.variables import Variable

    kind = {"float32": "float", "float16": "halffloat"}[dtype]
    variable = Variable("y", "continuous", kind)
    lower, upper = parse_rule(f"y {sign} {bound!r}").bounds(lambda _: None, variable)
    stored = float(variable.hold(upper if "<" in sign else lower)[0, 0])
    assert {"<=": stored <= bound, "<": stored < bound, ">=": stored >= bound, ">": stored > bound}[sign]
    assert abs(stored - bound) <= 2 * np.spacing(np.dtype(dtype).type(abs(bound)))


def test_a_bound_between_two_float32_numbers_holds_in_the_fused_column(tmp_path):
    donor = make_population(200, 1).assign(amount=lambda f: f["fuel"].astype("float32") + 1)
    models = train(donor, y=["amount"], x=["group"], out=tmp_path / "m", **QUICK)
    recipient = donor[["group"]].head(60)
    for sign, bound in ((">=", 100_000.1), ("<=", 0.1), ("<=", 0.3), (">=", 100_000.3)):
        drawn = fuse(recipient, under(models, f"amount {sign} {bound}"), implicates=1)["amount"].to_numpy()
        exact = drawn.astype(np.float64)
        assert (exact >= bound if sign == ">=" else exact <= bound).all()
        assert abs(exact - bound).max() < 0.01
    named = fuse(recipient, under(models, "amount == 0.1"), implicates=1)["amount"].to_numpy()
    assert (named == np.float32(0.1)).all()


def test_a_block_is_fused_in_its_universe_and_nowhere_else(recipient, tmp_path):
    donor = make_population(900, 1).assign(connected=lambda f: f.fuel > 0)
    shares = ("share_1", "share_2", "share_3", "cool")
    donor.loc[~donor["connected"], ["share_1"]] = np.nan
    plan = FusionPlan(
        (FusionStep(shares, ("group", "income", "connected"), universe="connected", outside="other"),),
        "weight",
    )
    train(donor, plan, out=tmp_path / "m", **QUICK)
    models = fp.load_model_set(tmp_path / "m")
    drawn = fuse(recipient, models, implicates=M).to_pandas()
    connected = repeat(recipient.connected)
    assert (drawn.loc[~connected, list(SHARES)] == 0).all(axis=None)
    assert ((drawn["cool"] == "other") == ~connected).all()
    inside = set(map(tuple, donor.loc[donor["connected"], list(shares)].to_numpy()))
    assert set(map(tuple, drawn.loc[connected, list(shares)].to_numpy())) <= inside
    bound = fuse(recipient, under(models, "share_1 >= 0.3"), implicates=M).to_pandas()
    assert bound.loc[connected, "share_1"].min() >= 0.3
    assert (bound.loc[~connected, "share_1"] == 0).all(), "rules bind where there is something to draw"


def test_a_rule_that_asks_for_what_the_models_do_not_know_is_warned_of(caplog):
    donor, _ = fp.example_tables(donors=60)
    plan = fp.FusionPlan.chained(["fuel"], ["income"], "weight")
    fp.constrain(plan, ["fuel >= 0 unless tenure"], donor)
    assert "asks for tenure, which step fuel does not predict from" in caplog.text
    caplog.clear()
    fp.constrain(plan, ["fuel >= 0 if income > 1"], donor)
    assert "does not predict from" not in caplog.text
