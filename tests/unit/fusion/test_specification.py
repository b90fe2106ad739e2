import pytest

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep


def energy_plan() -> FusionPlan:
    return FusionPlan(
        (
            FusionStep(("btuel",), ("income",)),
            FusionStep(("price",), ("division", "btuel"), universe="btuel", outliers_by="division"),
            FusionStep(("insec",), ("income", "dollarel")),
        ),
        "weight",
        {"dollarel": ("price", "btuel")},
        ("price",),
    )


def test_a_plan_survives_json():
    assert FusionPlan.from_json(energy_plan().to_json()) == energy_plan()


def test_output_leaves_internal_factors_out_and_puts_a_product_where_it_is_complete():
    assert energy_plan().variables == ("btuel", "dollarel", "insec")


def test_recipient_needs_only_what_is_not_fused():
    assert energy_plan().predictors == ("income", "division")


def test_chained_steps_see_everything_fused_before():
    plan = FusionPlan.chained(["a", ["b", "c"], "d"], ["x"], "w")
    assert plan.steps[2].predictors == ("x", "a", "b", "c")


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ((), "no steps"),
        ((FusionStep(("a",), ("x",)), FusionStep(("a",), ("x",))), "variable a"),
        ((FusionStep(("a",), ("b",)), FusionStep(("b",), ("x",))), "uses b, which is not fused before"),
        ((FusionStep(("a",), ("x",), universe="q"),), "universe q"),
        ((FusionStep(("a",), ("x", "w")),), "weight w"),
        ((FusionStep(("a",), ()),), "needs a variable and a predictor"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused_by_name(steps, named):
    with pytest.raises(TrainingError, match=named):
        FusionPlan(steps, "w")


def test_a_product_needs_fused_factors():
    with pytest.raises(TrainingError, match="product p: needs q"):
        FusionPlan((FusionStep(("a",), ("x",)),), None, {"p": ("a", "q")})
