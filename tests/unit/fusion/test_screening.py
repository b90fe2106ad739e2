import numpy as np
import pandas as pd
import pytest

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion import correlations, lasso, screening
from fusion_pipeline.fusion.donors import load_donors
from fusion_pipeline.fusion.screening import prepare
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep


@pytest.fixture(scope="module")
def survey() -> pd.DataFrame:
    random = np.random.default_rng(0)
    n = 3000
    frame = pd.DataFrame({f"noise_{j}": random.normal(size=n) for j in range(40)})
    frame["income"] = random.normal(size=n)
    frame["copy"] = frame.income + 0.3 * random.normal(size=n)
    frame["place"] = pd.Categorical.from_codes(random.integers(0, 4, n), list("nesw"))
    frame["flat"] = 1.0
    frame["gaps"] = frame.income.where(random.random(n) < 0.8)
    frame["easy"] = 3 * frame.income + 2 * (frame.place == "s") + 0.2 * random.normal(size=n)
    frame["hard"] = 0.4 * frame.easy + 3 * random.normal(size=n)
    frame["late"] = frame.hard + 0.5 * random.normal(size=n)
    frame["kind"] = pd.Categorical(
        np.where(frame.place == "n", "p", np.where(random.random(n) < 0.5, "q", "r"))
    )
    frame["weight"] = random.uniform(1, 2, n)
    return frame


X = [f"noise_{j}" for j in range(40)] + ["income", "copy", "place", "flat", "gaps"]


def steps(plan):
    return {step.name: step.predictors for step in plan.steps}


def test_the_screen_keeps_what_explains_and_drops_noise(survey):
    chosen = steps(prepare(survey, ["easy"], X, "weight"))["easy"]
    assert {"income", "place"} <= set(chosen)
    assert not [name for name in chosen if name.startswith("noise")]


def test_the_variable_that_explains_another_goes_first_and_becomes_its_predictor(survey):
    plan = prepare(survey, ["late", "hard", "easy"], X, "weight")
    assert plan.steps[0].name == "easy"
    chained = steps(plan)
    assert "easy" in chained["hard"] or "late" in chained["hard"]
    later = max(("hard", "late"), key=list(chained).index)
    assert {"hard", "late"} - {later} <= set(chained[later])


def test_a_given_order_is_kept(survey):
    plan = prepare(survey, ["late", ["hard", "easy"], "kind"], X, "weight", order="given")
    assert [step.variables for step in plan.steps] == [("late",), ("hard", "easy"), ("kind",)]


def test_forced_predictors_are_kept_in_every_step(survey):
    plan = prepare(survey, ["easy", "kind"], X, "weight", forced=["noise_7"])
    assert all("noise_7" in step.predictors for step in plan.steps)


def test_forcing_what_is_not_a_predictor_is_refused(survey):
    with pytest.raises(TrainingError, match="forced: names nosuch"):
        prepare(survey, ["easy"], X, "weight", forced=["nosuch"])


def test_constant_predictors_are_dropped_by_name(survey, caplog):
    with caplog.at_level("INFO"):
        plan = prepare(survey, ["easy"], X, "weight", forced=["flat"])
    assert "flat" not in plan.steps[0].predictors
    assert "constant predictors dropped: flat" in caplog.text


def test_a_constant_fusion_variable_keeps_one_predictor_and_is_warned_of(survey, caplog):
    assert prepare(survey, ["flat"], ["income"], "weight").steps[0].predictors == ("income",)
    assert "flat is constant: it needs no predictors to be fused" in caplog.text


def test_incomplete_fusion_variables_are_errors(survey):
    with pytest.raises(TrainingError, match="column gaps: is missing for"):
        prepare(survey, ["gaps"], ["income"], "weight")


def test_a_variable_nothing_explains_still_gets_a_predictor(survey):
    assert len(prepare(survey, ["noise_0"], ["noise_1", "noise_2"], None).steps[0].predictors) >= 1


def test_no_step_exceeds_the_number_of_predictors_allowed(survey):
    plan = prepare(
        survey, ["hard", "kind"], X, "weight", max_predictors=3, forced=["noise_1"], deviance=0.999
    )
    assert all(len(step.predictors) <= 4 for step in plan.steps)


def test_weights_decide_what_explains(survey):
    random = np.random.default_rng(1)
    heavy = random.random(len(survey)) < 0.5
    frame = survey.assign(
        target=np.where(heavy, survey.noise_1, survey.noise_2) + 0.1 * random.normal(size=len(survey)),
        weight=np.where(heavy, 1000.0, 1.0),
    )
    assert prepare(frame, ["target"], ["noise_1", "noise_2"], "weight").steps[0].predictors == ("noise_1",)


def test_a_large_donor_is_sampled_with_the_same_answer_for_the_same_seed(survey, monkeypatch):
    monkeypatch.setattr(screening, "MOST_ROWS", 1000)
    first, again = (prepare(survey, ["easy", "hard"], X, "weight", seed=4) for _ in range(2))
    assert first == again
    assert "income" in first.steps[0].predictors


def test_the_smallest_model_reaching_the_deviance_is_chosen(survey):
    few = len(prepare(survey, ["hard"], X, "weight", deviance=0.8).steps[0].predictors)
    many = len(prepare(survey, ["hard"], X, "weight", deviance=0.9999).steps[0].predictors)
    assert few < many


def test_rank_correlations_are_those_of_households_repeated_by_their_weight():
    random = np.random.default_rng(2)
    values, weight = random.integers(0, 6, 300), random.integers(1, 9, 300)
    repeated = pd.Series(np.repeat(values, weight)).rank(pct=True).to_numpy()
    ours = np.repeat(correlations._ranks(values, weight.astype(float)), weight)
    # Shares of weight below and half at a value are the mid-ranks, less half a household.
    np.testing.assert_allclose(ours, repeated - 0.5 / weight.sum(), atol=1e-6)


def test_weights_decide_which_columns_are_candidates(survey, monkeypatch):
    monkeypatch.setattr(lasso, "LEAST_CANDIDATES", 1)
    random = np.random.default_rng(3)
    heavy = random.random(len(survey)) < 0.5
    frame = survey.assign(
        target=np.where(heavy, survey.noise_1, survey.noise_2),
        weight=np.where(heavy, 1.0, 0.002),
    )
    found = correlations.Correlations.build(
        load_donors(frame, FusionPlan((FusionStep(("target",), ("noise_1", "noise_2")),), "weight"), None),
        [("target",)],
        ["noise_1", "noise_2"],
    )
    target = found.targets["target"][0][0]
    assert found.ranks[target, found.columns["noise_1"][0]] > 0.95
    assert abs(found.ranks[target, found.columns["noise_2"][0]]) < 0.05


def test_a_lasso_path_that_does_not_reach_is_reported_by_name(survey, caplog):
    with caplog.at_level("WARNING"):
        prepare(survey, ["hard", "easy"], X, "weight", max_predictors=1, deviance=0.99)
    assert "2 steps of the LASSO path do not reach 99 % of what the full model explains" in caplog.text
    assert "for hard" in caplog.text
    caplog.clear()
    with caplog.at_level("WARNING"):
        prepare(survey, ["hard", "easy"], X, "weight")
    assert "LASSO path" not in caplog.text


def explained(frame: pd.DataFrame, y: str, x: list[str]) -> float:
    """R² of least squares, however collinear the columns."""
    columns = frame[x].to_numpy() - frame[x].to_numpy().mean(axis=0)
    values = frame[y].to_numpy() - frame[y].to_numpy().mean()
    fitted = columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    return float(1 - ((values - fitted) ** 2).sum() / (values**2).sum())


def ill_conditioned(case: str) -> tuple[pd.DataFrame, list[str], int]:
    """Predictors that are many, alike, or more than donors; and how many of them may be used."""
    random = np.random.default_rng(6)
    if case == "more predictors than donors":
        x = random.normal(size=(60, 120))
        y, most = x[:, :5].sum(axis=1) + 0.5 * random.normal(size=60), 100
    elif case == "copies and sums":
        base = random.normal(size=(500, 8))
        near = base + 1e-4 * random.normal(size=base.shape)
        x = np.hstack([base, base, near, base.sum(axis=1, keepdims=True)])
        y, most = base @ np.arange(1, 9) + 2 * random.normal(size=500), 100
    else:
        x = random.normal(size=(900, 90)) + random.normal(size=(900, 1))
        y, most = x @ random.normal(size=90) + random.normal(size=900), 35
    names = [f"x{j}" for j in range(x.shape[1])]
    return pd.DataFrame(x, columns=names).assign(y=y), names, most


@pytest.mark.parametrize("case", ["more predictors than donors", "copies and sums"])
def test_the_chosen_model_explains_its_share_of_the_full_one_however_alike_predictors_are(case):
    frame, names, most = ill_conditioned(case)
    [step] = prepare(frame, ["y"], names, None, max_predictors=most).steps
    candidates = names if case == "copies and sums" else candidates_of(frame, names)
    assert explained(frame, "y", list(step.predictors)) >= 0.95 * explained(frame, "y", candidates)
    assert len(step.predictors) < len(candidates)


def candidates_of(frame: pd.DataFrame, names: list[str]) -> list[str]:
    """Predictors of enough rank correlation, or among the best."""
    strength = frame[names].corrwith(frame["y"], method="spearman").abs().sort_values(ascending=False)
    return strength.index[
        : max(lasso.LEAST_CANDIDATES, int((strength >= screening.CORRELATION).sum()))
    ].tolist()


def test_a_path_that_is_cut_off_is_measured_by_the_full_model_not_by_its_own_end():
    frame, names, most = ill_conditioned("many that count")
    plan = FusionPlan((FusionStep(("y",), tuple(names)),))
    built = correlations.Correlations.build(load_donors(frame, plan, None), [("y",)], names)
    chooser = lasso.Chooser(built, [], 0.95, 0.0, most)
    full = chooser.explicable(("y",), names)
    assert full == pytest.approx(explained(frame, "y", names), abs=1e-3)
    short = chooser.fit(("y",), names)
    assert (short.explained < 0.95 * full) == (short.cut_off == ("y",))
    assert lasso.Chooser(built, [], 0.95, 0.0, 400).fit(("y",), names).explained >= 0.95 * full


def test_the_order_is_that_of_fitting_every_variable_in_every_round(survey):
    y = [("late",), ("hard", "gapless"), ("easy",), ("kind",), ("copy",)]
    frame = survey.assign(gapless=survey.hard.round().clip(lower=0))
    x = [name for name in X if name != "copy"]
    plan = FusionPlan(tuple(FusionStep(step, tuple(x)) for step in y), "weight")
    built = correlations.Correlations.build(load_donors(frame, plan, None), y, x)
    chooser = lasso.Chooser(built, [], 0.95, 0.05, 100)
    kept, remaining, order = [name for name in x if name in built.columns], list(y), []
    while remaining:
        usable = [*kept, *(name for step in order for name in step)]
        others = {s: [name for step in y if step != s for name in step] for s in remaining}
        scores = [
            chooser.fit(step, usable).explained / chooser.explicable(step, [*kept, *others[step]])
            for step in remaining
        ]
        order.append(remaining.pop(int(np.argmax(scores))))
    assert [step.variables for step in prepare(frame, y, x, "weight").steps] == order
