"""The page of a map as a reader uses it, on a screen and on a phone, with mouse, finger and keys."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect

from fusion_pipeline.inference.output import Estimates
from fusion_pipeline.simulate.boundaries import writers
from fusion_pipeline.simulate.place import build_places

pytestmark = pytest.mark.ui
PICTURES = Path(__file__).parents[2] / "artifacts" / "ui"
SIZES = {"screen": (1200, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def map_file(tmp_path_factory) -> Path:
    """Estimates by PUMA of the simulated world without Montana."""
    folder = tmp_path_factory.mktemp("map")
    places = build_places(1)
    writers(places, 1)["puma10/boundaries"](folder / "pumas.zip")
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"state": places.fips, "puma10": places.puma, "estimate": places.hdd / 100})
    table = table.assign(margin=rng.gamma(4, 1, len(table)), n=50, estimand="mean(x)", level=None)
    found = Estimates(table[table["state"] != "30"], ("state", "puma10"), 0.9, "rubin", 5)
    return found.map(folder / "map.html", boundaries=folder / "pumas.zip", title="A map", unit="kBtu")


@pytest.fixture(params=SIZES)
def opened(request, browser: Browser, map_file: Path):
    """The page at one of the sizes; the test fails if it logs an error or asks for anything."""
    width, height = SIZES[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
    page, amiss = context.new_page(), []
    page.on("console", lambda message: amiss.append(message.text))
    page.on("pageerror", lambda error: amiss.append(str(error)))
    page.on("request", lambda asked: amiss.append(asked.url) if asked.url != map_file.as_uri() else None)
    page.goto(map_file.as_uri())
    yield page
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"map_{request.param}.png")
    context.close()
    assert not amiss


def about(page: Page):
    return page.locator(".about")


def test_pointing_at_an_area_shows_its_name_estimate_margin_and_n(opened: Page) -> None:
    opened.locator("svg.map .areas path").nth(100).hover()
    expect(about(opened)).to_contain_text("area")
    for word in ("Estimate", "Margin", "±", "kBtu", "50"):
        expect(about(opened)).to_contain_text(word)


def test_arrow_keys_move_to_the_neighbour_on_that_side(opened: Page) -> None:
    box = "path => path.getBoundingClientRect().x"
    opened.locator("svg.map").focus()
    for key, east in (("ArrowRight", True), ("ArrowLeft", False)):
        before = opened.locator("path.chosen").evaluate(box)
        opened.keyboard.press(key)
        after = opened.locator("path.chosen").evaluate(box)
        assert (after > before) == east


def test_the_margin_is_shown_on_demand(opened: Page) -> None:
    path = opened.locator("svg.map .areas path").nth(10)
    fill = "path => getComputedStyle(path).fill"
    first = path.evaluate(fill)
    expect(opened.locator(".key.margin")).to_be_hidden()
    opened.get_by_text("Margin of error", exact=True).click()
    expect(opened.locator(".key.margin")).to_be_visible()
    expect(opened.locator(".key.estimate")).to_be_hidden()
    assert path.evaluate(fill) != first


def test_an_area_is_found_by_name_and_zoomed_to(opened: Page) -> None:
    opened.get_by_label("Find an area").fill("Delaware, area")
    expect(about(opened)).to_contain_text("Delaware")
    scale = "path => path.getScreenCTM().a"
    whole = opened.locator("path.chosen").evaluate(scale)
    opened.get_by_label("Zoom in").click()
    assert opened.locator("path.chosen").evaluate(scale) == pytest.approx(2 * whole)
    expect(opened.locator("path.chosen")).to_be_in_viewport()


def test_nothing_is_wider_than_the_window(opened: Page) -> None:
    wide = opened.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
