"""Maps as files: pictures that stay the same, pages that need nothing and believe nothing."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.output import Estimates
from fusion_pipeline.mapping.choropleth import choropleth
from fusion_pipeline.mapping.page import page
from fusion_pipeline.mapping.png import draw
from fusion_pipeline.mapping.tiles import tiles
from fusion_pipeline.validation.style import MAX_BYTES

EVIL = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'


class Elements(HTMLParser):
    """Counts the elements of a page and keeps the text of its JSON."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.facts, self._inside = "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._inside = ("type", "application/json") in attrs

    def handle_data(self, data):
        if self._inside:
            self.facts += data
            self._inside = False


def test_the_page_holds_every_area_with_its_numbers(estimates, pumas):
    chart = choropleth(estimates, pumas, unit="kBtu")
    read = Elements(page(chart))
    facts = json.loads(read.facts)
    assert facts["unit"] == "kBtu"
    assert len(facts["areas"]) == len(chart.areas) == len(estimates) + 1
    assert read.tags.count("tr") == len(estimates) + 1


def test_text_of_the_data_is_never_markup(estimates, pumas):
    plain, evil = (
        Elements(page(choropleth(estimates, pumas, title=text, unit=text, source=text)))
        for text in ("x", EVIL)
    )
    assert plain.tags == evil.tags
    assert json.loads(evil.facts)["unit"] == EVIL


def test_the_page_names_no_address_and_forbids_itself_to_load_any(by_state):
    text = page(choropleth(by_state, tiles("state")))
    assert not re.search(r"(https?:)?//[a-z]|@import|url\((?!#)", re.sub(r"// [A-Z].*", "", text))
    assert "default-src 'none'" in text


def test_the_picture_shows_the_colours_of_both_layers_and_is_the_same_again(by_state):
    chart = choropleth(by_state, tiles("state"))
    picture = draw(chart, small=True)
    assert len(picture) < MAX_BYTES
    assert draw(chart, small=True) == picture
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).reshape(-1, 3)
    seen = {"#{:02x}{:02x}{:02x}".format(*map(int, colour)) for colour in np.unique(pixels, axis=0)}
    # Of every class, occurs it or not: the legend has them all.
    assert {colour for layer in chart.layers for colour in layer.shades} <= seen


def test_an_unknown_ending_is_an_error(by_state, tmp_path):
    found = Estimates(by_state, ("state",), 0.9, "rubin", 5)
    with pytest.raises(AnalysisError, match=r"\.png, \.html"):
        found.map(tmp_path / "map.svg")


def test_one_of_several_estimands_is_chosen_by_name_and_boundaries_by_file(by_state, files, tmp_path):
    both = pd.concat([by_state, by_state.assign(estimand="sum(btuel)", estimate=1e6)])
    found = Estimates(both, ("state",), 0.9, "rubin", 5)
    with pytest.raises(AnalysisError, match="Choose one"):
        found.map(tmp_path / "map.html")
    written = found.map(
        tmp_path / "map.html", estimate="sum(btuel)", boundaries=files["puma10/state_boundaries"]
    )
    facts = json.loads(Elements(written.read_text()).facts)
    assert {row[1] for row in facts["areas"]} == {"1,000,000", ""}


def test_the_example_of_the_documents_draws_both_kinds_of_map(tmp_path, monkeypatch):
    text = (Path(__file__).parents[3] / "docs" / "inference.md").read_text()
    [example] = [
        block
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        if ".map(" in block and "rng" in block
    ]
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs/inference.md", "exec"), {})
    assert (tmp_path / "electricity.html").read_text().count("<path data-estimate") == 51
    assert (tmp_path / "electricity.png").read_bytes().startswith(b"\x89PNG")
