"""A step that takes more than its budget for its rows is warned about; what was reused took nothing."""

import dagster as dg
import pytest

from assets import budgets
from assets.survey import survey_households
from fusion_pipeline.registry import Budget, load_registry

TIGHT = Budget(cpu_seconds=10, cpu_seconds_per_million=100, memory_mb=500)


@pytest.mark.parametrize(
    ("cpu", "memory", "rows", "told"),
    [
        (9, 499, 0, []),
        (11, 499, 0, ["CPU seconds 11, budget 10"]),
        (11, 499, 20_000, []),
        (100, 501, 500_000, ["CPU seconds 100, budget 60", "peak memory MB 501, budget 500"]),
    ],
)
def test_budget_grows_with_rows_and_names_what_is_beyond_it(cpu, memory, rows, told) -> None:
    assert TIGHT.exceeded(cpu, memory, rows) == told


def test_every_budget_of_the_registry_is_checked_and_every_check_has_one() -> None:
    checked = {key.asset_key.to_user_string() for check in budgets.CHECKS for key in check.check_keys}
    assert checked == set(load_registry().budgets)


@pytest.mark.parametrize(
    ("took", "passed", "beyond"),
    [
        ({"reused": False, "CPU seconds": 11.0, "peak memory MB": 400}, False, "CPU seconds 11, budget 10"),
        ({"reused": False, "CPU seconds": 9.0, "peak memory MB": 400}, True, "nothing"),
        ({"reused": True}, True, "nothing"),
        (None, True, "nothing"),
    ],
)
def test_check_warns_by_what_the_last_materialization_took(took, passed, beyond, monkeypatch) -> None:
    tight = load_registry().model_copy(update={"budgets": {"survey/households": TIGHT}})
    monkeypatch.setattr(budgets, "REGISTRY", tight)
    check = budgets.budget_check(survey_households)
    selected = dg.AssetSelection.checks(check)
    job = dg.define_asset_job("look", selected, executor_def=dg.in_process_executor)
    assets = [survey_households.get_asset_spec()]
    definitions = dg.Definitions(assets=assets, asset_checks=[check], jobs=[job])
    with dg.DagsterInstance.ephemeral() as instance:
        earlier = {"reused": False, "CPU seconds": 99.0, "peak memory MB": 9}
        for metadata in [] if took is None else [earlier, took]:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    ["survey", "households"],
                    partition="RECS_2015",
                    metadata={"dagster/row_count": 40, **metadata},
                )
            )
        result = definitions.resolve_job_def("look").execute_in_process(
            instance=instance, tags={"dagster/partition": "RECS_2015"}
        )
    [evaluation] = result.get_asset_check_evaluations()
    assert (evaluation.passed, evaluation.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert evaluation.metadata["beyond"].value == beyond
