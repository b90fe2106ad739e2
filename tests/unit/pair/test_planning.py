"""The plan of a pair: price steps, universes and rules that its tables can carry."""

import logging

import pytest

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep
from fusion_pipeline.harmonize import pair_harmonies
from fusion_pipeline.planning import absent_predictors, add_price_steps, add_universes, rules_at_hand
from fusion_pipeline.preparation import price_name
from fusion_pipeline.registry import PriceStep, load_registry

GAS = PriceStep(
    expenditure="bill",
    quantity="gas",
    predictors=("division", "building", "gas"),
    outliers_by="recs_division",
)


def plan() -> FusionPlan:
    return FusionPlan((FusionStep(("gas",), ("division", "income")),), weight="weight")


def test_price_step_draws_where_the_quantity_is_positive_and_its_product_is_published() -> None:
    columns = ["division", "income", "gas", price_name("bill")]
    extended = add_price_steps(plan(), [GAS], columns)
    step = extended.steps[-1]
    assert (step.variables, step.universe) == (("price_bill",), "gas")
    # The building type is not among the columns and therefore left out.
    assert step.predictors == ("division", "gas")
    assert extended.products == {"bill": ("price_bill", "gas")}
    assert extended.variables == ("gas", "bill")
    assert extended.weight == "weight"


@pytest.mark.parametrize(
    ("columns", "group"),
    [(["recs_division", "gas", "price_bill"], "recs_division"), (["gas", "price_bill"], None)],
)
def test_outlying_prices_are_sought_within_the_named_column_if_it_is_known(columns, group) -> None:
    assert add_price_steps(plan(), [GAS], columns).steps[-1].outliers_by == group


def test_no_outlying_price_is_sought_where_the_pair_names_no_column() -> None:
    price, columns = GAS.model_copy(update={"outliers_by": None}), ["recs_division", "gas", "price_bill"]
    assert add_price_steps(plan(), [price], columns).steps[-1].outliers_by is None
    assert "recs_division" not in absent_predictors([], [price], ["gas", "price_bill"])


def test_prices_of_the_energy_surveys_name_their_division() -> None:
    pairs = load_registry().pairs
    assert pairs["RECS_2015__ACS_2015"].prices and pairs["RECS_2020__ACS_2019"].prices
    named = {price.outliers_by for pair in pairs.values() for price in pair.prices}
    assert named == {"recs_division"}


def test_price_that_could_not_be_made_adds_no_step() -> None:
    assert add_price_steps(plan(), [GAS], ["division", "gas"]) == plan()


def test_predictors_that_are_asked_for_and_not_there_are_named_and_logged(caplog) -> None:
    caplog.set_level(logging.INFO, "fusion_pipeline.planning")
    absent = absent_predictors(["income", "race"], [GAS], ["division", "income", "gas", "price_bill"])
    assert absent == {
        "race": "would be in every step",
        "building": "would predict price_bill",
        "recs_division": "outlying prices stay among the donors without it",
    }
    assert all(name in caplog.text for name in absent)


def test_price_that_could_not_be_made_asks_for_no_predictors() -> None:
    assert absent_predictors([], [GAS], ["division", "gas"]) == {}


def vehicles(*more: str) -> list[str]:
    return ["hhveh", "newest", *more]


def test_a_step_gets_its_universe_unless_what_that_reads_is_not_there() -> None:
    plan = FusionPlan.chained(vehicles(), ["income"])
    limited = add_universes(plan, {"newest": "hhveh > 0"}, vehicles("income"))
    assert [step.universe for step in limited.steps] == [None, "hhveh > 0"]
    assert add_universes(plan, {"newest": "hhvehcnt > 0"}, vehicles("income")) == plan


RECS = load_registry().pair("RECS_2015__ACS_2015")
HARMONY = pair_harmonies(RECS, load_registry())["RECS_2015"]


def test_rules_name_groups_and_tables_have_their_numbers() -> None:
    groups = HARMONY.entries["fuelheat__hfl"].names
    found = rules_at_hand(RECS.rules, HARMONY, ["btung", "btulp", "btufo", "fuelheat__hfl"])
    fuels = {"btung": "Natural gas", "btulp": "Propane", "btufo": "Fuel oil"}
    assert list(found) == [
        f"{fuel} > 0 if fuelheat__hfl == '{groups.index(group) + 1}'" for fuel, group in fuels.items()
    ]
    with pytest.raises(TrainingError, match="'Peat', which is no level of fuelheat__hfl"):
        rules_at_hand(["btung > 0 if fuelheat__hfl == 'Peat'"], HARMONY, ["btung", "fuelheat__hfl"])


def test_a_rule_about_what_a_file_lacks_is_left_out_and_logged(caplog) -> None:
    caplog.set_level(logging.INFO, "fusion_pipeline.planning")
    assert len(rules_at_hand(RECS.rules, HARMONY, ["btung", "btufo", "fuelheat__hfl"])) == 2
    assert "btulp is not there" in caplog.text


@pytest.mark.parametrize("name", load_registry().pairs)
def test_rules_and_universes_of_a_pair_fit_its_variables_and_their_order(name) -> None:
    pair = load_registry().pair(name)
    [harmony, *_] = pair_harmonies(pair, load_registry()).values()
    y = [[step] if isinstance(step, str) else list(step.block) for step in pair.fuse]
    names = [*harmony.entries, *pair.locations]
    there = [*names, *(variable for step in y for variable in step)]
    rules = rules_at_hand(pair.rules, harmony, there)
    assert len(rules) == len(pair.rules)
    plan = add_universes(FusionPlan.chained(y, names), pair.universes, there)
    assert {s.name: s.universe for s in plan.steps if s.universe} == pair.universes
    if any(
        set(rule.columns) & set(pair.variables) for rule in FusionPlan(plan.steps, rules=rules).parsed_rules
    ):
        # A rule that reads a fusion variable needs it fused before.
        assert pair.order == "given"
