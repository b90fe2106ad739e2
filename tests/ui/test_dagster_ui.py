"""The Dagster UI as a data engineer uses it, in a real browser.

Pictures of what was seen are written to artifacts/ui/ (not under version control), so that a person can look at
them. docs/images/asset_graph.png is a copy of artifacts/ui/asset_graph.png, made with a registry of one pair, and
asset_groups.png is cut out of groups.png; renew both when the graph changes.
"""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from fusion_pipeline.sensors import ON_REQUEST
from tests.lineage import neighbours
from tests.ui.conftest import watched

pytestmark = pytest.mark.ui
PICTURES = Path(__file__).parents[2] / "artifacts" / "ui"
LOCATION = "fusion_pipeline"
GROUPS = ("fusion", "geography", "pool", "quality", "recipient", "spatial", "survey")
# Of every box in the lineage graph: text, whether it is a group's, the four edges on the screen, the colour.
BOXES = """elements => elements.filter(e => e.textContent).map(e => {
  const r = e.getBoundingClientRect(), coloured = e.querySelector("[style*=--minimal-bg]") ?? e;
  const colour = getComputedStyle(coloured).backgroundColor;
  return [e.textContent, e.classList.contains("group"), r.left, r.top, r.right, r.bottom, colour];
})"""
Box = tuple[str, bool, float, float, float, float, str]


@pytest.fixture(scope="module", autouse=True)
def pictures() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)


@pytest.fixture(scope="module")
def assets() -> set[tuple[str, str]]:
    """Group and name of every asset of the code location."""
    from fusion_pipeline.definitions import build_defs

    graph = build_defs().resolve_asset_graph()
    return {(graph.get(key).group_name, key.path[-1]) for key in graph.get_all_asset_keys()}


def test_lineage_of_the_whole_location_shows_every_asset_in_its_group(page: Page, assets) -> None:
    # As high as this, the zoom slider in the corner does not lie over the graph.
    page.set_viewport_size({"width": 1600, "height": 2400})
    graph = _expand(page)
    expect(graph.filter(has_text="report")).to_be_visible()
    # Light: not materialized, or not yet known; red: a run or a check failed.
    for colour in ("light", "red"):
        expect(_coloured(graph, colour)).to_have_count(0)
    boxes = _drawn(graph, lambda drawn: len(drawn) == len(assets) + len({group for group, _ in assets}))
    assert {(_group_around(box, boxes), box[0]) for box in boxes if not box[1]} == assets
    assert {box[0] for box in boxes if box[1]} == {group for group, _ in assets} == set(GROUPS)


def test_graph_of_a_pair_alone_is_green(browser, one_pair, assets) -> None:
    with watched(browser, one_pair, height=2200) as page:
        graph = _expand(page)
        # Green: no partition is missing; the pools have none, and what is made on request was not asked for.
        expect(_coloured(graph, "green")).to_have_count(len(assets) - len(ON_REQUEST))
        boxes = _drawn(graph, lambda drawn: len(drawn) == len(assets) + len(GROUPS))
        assert {(_group_around(box, boxes), box[0]) for box in boxes if not box[1]} == assets
        _picture_of_graph(page, boxes)


@pytest.mark.parametrize("group", GROUPS)
def test_lineage_of_a_group_shows_its_assets_and_their_neighbours(page: Page, assets, group: str) -> None:
    page.set_viewport_size({"width": 2400, "height": 2000})
    page.goto(f"/locations/{LOCATION}/asset-groups/{group}/lineage")
    of_group = [name for of, name in assets if of == group]
    expected = sorted([*of_group, *(asset.split("/")[-1] for asset in neighbours(group))])

    def shown(drawn: list[Box]) -> list[str]:
        # Boxes of the group tell their state below the name where they are drawn large; links to what lies outside
        # of it may carry an icon before the name.
        return sorted(re.sub("^open_in_new|Latest event.*", "", box[0]) for box in drawn)

    boxes = _drawn(page.locator("svg foreignObject"), lambda drawn: shown(drawn) == expected)
    assert shown(boxes) == expected
    page.screenshot(path=PICTURES / f"group_{group}.png")


def test_model_set_of_a_pair_is_materialized_with_its_report_and_importance(page: Page, dagster_ui) -> None:
    page.goto("/assets/fusion/models?view=partitions")
    page.get_by_text(dagster_ui.pair, exact=True).locator("visible=true").click()
    expect(page.get_by_text("Materialized", exact=True)).to_be_visible()
    fitted = int(_metadata(page, "models").inner_text())
    page.screenshot(path=PICTURES / "models.png")

    _metadata(page, "report").get_by_text("[Show Markdown]").click()
    rows = page.locator(".dagster-dialog table tbody tr")
    expect(rows).to_have_count(fitted)
    page.screenshot(path=PICTURES / "models_report.png")
    page.get_by_role("button", name="Close").click()

    _metadata(page, "importance").get_by_text("[Show Markdown]").click()
    _see_figure(page)
    page.screenshot(path=PICTURES / "models_importance.png")


def test_failed_check_of_a_pair_names_what_failed_and_shows_its_figure(page: Page, dagster_ui) -> None:
    page.goto("/assets/fusion/harmonized?view=checks&checkDetail=similarity")
    # So few donors differ from the recipients by chance alone; the pair was made nevertheless: a warning.
    expect(page.get_by_text("Failed", exact=True).last).to_be_visible()
    expect(_metadata(page, "below 0.8")).to_have_text(re.compile(r"^\w+__\w+"))
    expect(page.get_by_text(re.compile("similarity of every harmonized predictor"))).to_be_visible()
    expect(page.get_by_text(dagster_ui.pair, exact=True)).to_be_visible()
    _metadata(page, "similarity").get_by_text("[Show Markdown]").click()
    _see_figure(page)
    page.screenshot(path=PICTURES / "similarity.png")


@pytest.mark.parametrize("check", ["schema", "values"])
def test_expectations_of_the_donor_survey_passed_on_its_partition(page: Page, check: str) -> None:
    page.goto(f"/assets/survey/households?view=checks&checkDetail={check}")
    expect(page.get_by_text("Passed", exact=True)).to_be_visible()
    expect(page.get_by_text("RECS_2015", exact=True)).to_be_visible()
    page.screenshot(path=PICTURES / f"check_{check}.png")
    # Every check says what it wants.
    expect(page.get_by_text(re.compile("are as specified"))).to_be_visible()


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_offers_a_choice_of_partitions(page: Page, group: str) -> None:
    page.goto(f"/locations/{LOCATION}/asset-groups/{group}/lineage")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.locator(".dagster-dialog")
    choice = dialog.get_by_text("Select a partition or create one")
    confirm = dialog.get_by_role("button", name="Confirm")
    # The UI asks first where something upstream was never made, as the pools that the pair does without.
    expect(choice.or_(confirm).first).to_be_visible()
    if confirm.is_visible():
        confirm.click()
    expect(choice).to_be_visible()
    page.screenshot(path=PICTURES / f"choice_{group}.png")


def test_lost_implicates_are_drawn_again_from_the_browser_with_the_same_bytes(page: Page, dagster_ui) -> None:
    files = [dagster_ui.layout.implicate(dagster_ui.pair, m) for m in range(6, 11)]
    before = [file.read_bytes() for file in files]
    lost = (files[1], files[3])
    for file in lost:
        file.unlink()

    page.goto("/assets/fusion/implicates")
    page.get_by_role("button", name="Materialize").click()
    dialog = page.locator(".dagster-dialog")
    for key in (dagster_ui.pair, "06-10"):
        dialog.get_by_text("Select a partition or create one").first.click()
        page.get_by_role("menuitem", name=key).click()
        page.keyboard.press("Escape")
    expect(dialog.get_by_text("1 partition", exact=True)).to_be_visible()
    page.screenshot(path=PICTURES / "launch.png")
    dialog.get_by_role("button", name="Launch 1 run").click()

    page.get_by_role("link", name="View", exact=True).click()
    page.wait_for_url(re.compile("/runs/"))
    run = page.url.split("/runs/")[1].split("?")[0]
    expect(page.get_by_text("Success", exact=True)).to_be_visible(timeout=120_000)
    # What the library logs reaches the run's page.
    page.get_by_placeholder("Filter…", exact=True).fill("wrote implicates")
    expect(page.get_by_text(re.compile("wrote implicates 7, 9 to"))).to_be_visible()
    page.screenshot(path=PICTURES / "run.png")
    assert dagster_ui.run_status(run) == "SUCCESS"
    assert [file.read_bytes() for file in files] == before


def _expand(page: Page) -> Locator:
    """Lineage of all groups, expanded, in the whole of the window: its boxes."""
    page.goto("/asset-groups")
    graph = page.locator("svg foreignObject")
    expect(graph.filter(has_text="quality").first).to_be_visible()
    page.screenshot(path=PICTURES / "groups.png")
    page.mouse.click(1000, page.viewport_size["height"] - 100, button="right")
    page.get_by_role("menuitem", name="Expand all groups").click()
    expect(page).to_have_url(re.compile("expanded="))
    page.reload()  # fits the zoom to the expanded graph
    return graph


def _coloured(graph: Locator, colour: str) -> Locator:
    """Boxes of assets in a colour that tells their state."""
    return graph.locator(f'[style*="--minimal-bg: var(--color-background-{colour})"]')


def _drawn(graph: Locator, complete: Callable[[list[Box]], bool]) -> list[Box]:
    """Boxes of the graph once it is complete and stands still."""
    boxes: list[Box] = []
    for _ in range(80):
        seen = [tuple(box) for box in graph.evaluate_all(BOXES)]
        if seen == boxes and complete(boxes):
            break
        boxes = seen
        graph.page.wait_for_timeout(250)
    return boxes


def _group_around(box: Box, boxes: list[Box]) -> str:
    x, y = (box[2] + box[4]) / 2, (box[3] + box[5]) / 2
    around = [b[0] for b in boxes if b[1] and b[2] < x < b[4] and b[3] < y < b[5]]
    return ", ".join(around)


def _picture_of_graph(page: Page, boxes: list[Box]) -> None:
    left, top = min(box[2] for box in boxes) - 12, min(box[3] for box in boxes) - 12
    right, bottom = max(box[4] for box in boxes) + 12, max(box[5] for box in boxes) + 12
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    image = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    image.quantize(128, dither=Image.Dither.NONE).save(PICTURES / "asset_graph.png", optimize=True)


def _metadata(page: Page, key: str) -> Locator:
    """Value of an entry in the metadata table."""
    row = page.get_by_role("row").filter(has=page.get_by_text(key, exact=True))
    return row.get_by_role("cell").nth(1)


def _see_figure(page: Page) -> None:
    figure = page.locator('.dagster-dialog img[src^="data:image/png;base64,"]')
    expect(figure).to_be_visible()
    assert figure.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
