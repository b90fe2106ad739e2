"""A survey-year and then a whole pair made by clicks, as when a new vintage of a donor arrives.

On the instance of `test_dagster_ui.py` and after it (files of tests run by name): pages of checks show what was checked
last, which is this pair from here on.
"""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from fusion_pipeline.partitions import IMPLICATES
from fusion_pipeline.storage.layout import Layout
from tests.serving import DagsterUI, wait_until

pytestmark = pytest.mark.ui
PICTURES = Path(__file__).parents[2] / "artifacts" / "ui"
DONOR, PAIR = "RECS_2020", "RECS_2020__ACS_2015"
TARGETED = {
    **dict.fromkeys(("harmonized", "located", "prepared", "plan", "models", "microdata"), 1),
    "implicates": len(IMPLICATES.chunks),
}
"""Partitions of each asset that a backfill of one pair has."""
# Text of the smallest element around a link that holds four counts.
ROW = r"e => { while (!/completed(\s+\d+){4}/.test(e.innerText)) e = e.parentElement; return e.innerText; }"
PATIENCE = 600_000
"""Milliseconds for runs on a machine that may be busy with others."""


@pytest.fixture(scope="module", autouse=True)
def pictures() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)


@pytest.fixture(scope="module")
def layout(dagster_ui: DagsterUI) -> Layout:
    return dagster_ui.layout


def test_survey_year_is_materialized_by_clicks(page: Page, layout, dagster_ui) -> None:
    assert not layout.table(("survey", "households"), DONOR).exists()
    dialog = ask_for(page, "survey", DONOR)
    dialog.get_by_role("button", name="Launch 1 run").click()
    page.get_by_role("link", name="View", exact=True).click()
    page.wait_for_url(re.compile("/runs/"))
    run = page.url.split("/runs/")[1].split("?")[0]
    # A failure would be seen at once, not when the patience is over.
    wait_until(lambda: dagster_ui.run_status(run) in ("SUCCESS", "FAILURE"), PATIENCE / 1000, "the run")
    assert dagster_ui.run_status(run) == "SUCCESS"
    expect(page.get_by_text("Success", exact=True)).to_be_visible()
    assert materialized(page, "survey/households", DONOR)
    assert layout.table(("survey", "households"), DONOR).exists()


def test_backfill_of_a_pair_is_launched_by_clicks_and_its_partitions_turn_complete(
    page: Page, layout
) -> None:
    assert layout.table(("survey", "households"), DONOR).exists(), "the test before makes the donor"
    dialog = ask_for(page, "fusion", PAIR)
    dialog.get_by_role("button", name="Preview").click()
    chunks = [f"{PAIR}|{chunk}" for chunk in IMPLICATES.chunks]
    for chunk in chunks:
        expect(page.get_by_text(chunk, exact=True)).to_be_visible()
    page.screenshot(path=PICTURES / "backfill_preview.png")
    page.get_by_role("button", name="OK").click()
    dialog.get_by_role("button", name="Launch backfill").click()
    page.get_by_role("link", name="View", exact=True).click()
    page.wait_for_url(re.compile("/runs/b/"))
    assert {name: counts(page, name)[0] for name in TARGETED} == TARGETED
    page.screenshot(path=PICTURES / "backfill_started.png")
    status = page.get_by_text("Status", exact=True).locator("xpath=..")
    expect(status).to_have_text(re.compile("(Succeeded|Failed|Canceled)$"), timeout=PATIENCE)
    expect(status).to_have_text(re.compile("Succeeded$"))
    expect(page.get_by_text("100% completed")).to_have_count(len(TARGETED))
    # Targeted, in progress, succeeded, failed.
    assert {name: counts(page, name) for name in TARGETED} == {
        name: [count, 0, count, 0] for name, count in TARGETED.items()
    }
    page.screenshot(path=PICTURES / "backfill_completed.png")
    assert all(layout.implicate(PAIR, m).exists() for m in range(1, IMPLICATES.count + 1))
    assert materialized(page, "fusion/microdata", PAIR)


def ask_for(page: Page, group: str, partition: str) -> Locator:
    """Ask for all assets of a group on one partition: the dialog, ready to be launched."""
    page.goto(f"/locations/fusion_pipeline/asset-groups/{group}/lineage")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.locator(".dagster-dialog")
    choice = dialog.get_by_text("Select a partition or create one")
    confirm = dialog.get_by_role("button", name="Confirm")
    # The UI asks first where something upstream was never made, as the pools that the pair does without.
    expect(choice.or_(confirm).first).to_be_visible()
    if confirm.is_visible():
        confirm.click()
    choice.first.click()
    page.get_by_role("menuitem", name=partition).click()
    page.keyboard.press("Escape")
    return dialog


def counts(page: Page, asset: str) -> list[int]:
    """Partitions of an asset on a backfill's page: targeted, in progress, succeeded, failed."""
    row = page.get_by_role("link", name=f"fusion / {asset}").evaluate(ROW)
    return [int(count) for count in re.findall(r"^\d+$", row, re.MULTILINE)]


def materialized(page: Page, asset: str, partition: str) -> bool:
    """Whether the page of an asset's partition says so."""
    page.goto(f"/assets/{asset}?view=partitions&partition={partition}")
    expect(page.get_by_text("Materialized", exact=True)).to_be_visible()
    page.screenshot(path=PICTURES / f"made_{asset.replace('/', '_')}.png")
    return True
