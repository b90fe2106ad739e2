"""A pair is validated on its own donors by its job, and its report tells what was found."""

import pytest

from fusion_pipeline.running import JobRun, run_all
from fusion_pipeline.storage.receipts import read_receipt
from fusion_pipeline.validation.internal import Validation
from fusion_pipeline.validation.subset_scores import EVERYTHING
from tests.conftest import PAIR

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(complete_pair):
    """The pair, validated after its report was made, whose text before is kept."""
    made = complete_pair
    before = made.layout.report(PAIR).read_text()
    runs = [JobRun("validate_pair", PAIR), JobRun("publish_pair", PAIR)]
    outcomes = [outcome for _, outcome in run_all(runs, made.settings, made.instance) if outcome is not None]
    return made, before, outcomes


def test_fused_variables_are_worth_more_than_any_simpler_method(run) -> None:
    made, _, _ = run
    found = Validation.read(made.layout.internal(PAIR))
    whole = found.methods[found.methods["variable"] == EVERYTHING].set_index("method")
    assert whole["value_added"].idxmax() == "fused"
    assert whole["error_percent"].idxmin() == "fused"
    assert set(found.methods["variable"]) >= {"btuel", "cooltype", "insec", "dollarel", EVERYTHING}
    assert found.estimates["fold"].nunique() == 2


def test_checks_warn_at_most_and_say_what_they_found(run) -> None:
    _, _, (validated, _) = run
    told = {check.check_name: check for check in validated.checks}
    assert set(told) == {"subset_error", "coverage", "real_or_fused", "budget"}
    assert told["subset_error"].metadata["found"].value < 1
    assert all(not check.blocking for check in told.values())


def test_report_is_made_again_with_a_section_and_nothing_else_is(run) -> None:
    made, before, (_, published) = run
    assert "Internal validation" not in before
    assert "Internal validation" in made.layout.report(PAIR).read_text()
    assert len(published.materialized) - len(published.reused) == 1
    receipt = read_receipt(made.layout, "quality/report", PAIR)
    validated = read_receipt(made.layout, "quality/internal", PAIR)
    assert receipt.provenance["inputs"][f"quality/internal[{PAIR}]"] == validated.version


def test_second_time_all_is_reused(run) -> None:
    made, _, _ = run
    runs = [JobRun("validate_pair", PAIR), JobRun("publish_pair", PAIR)]
    again = [outcome for _, outcome in run_all(runs, made.settings, made.instance) if outcome is not None]
    assert all(len(outcome.reused) == len(outcome.materialized) for outcome in again)
