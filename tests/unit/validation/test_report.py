"""The report is one whole, well-formed, self-contained HTML file."""

from __future__ import annotations

import base64
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.errors import StorageError
from fusion_pipeline.validation.figures import similarity
from fusion_pipeline.validation.report import CAUTION, LONG_TABLE, Section, write_report

VOID = {"meta", "img", "br", "link"}


class _Reader(HTMLParser):
    """Checks that tags nest, and gathers what a browser would show or fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def _read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    return reader


@cache
def _figure() -> bytes:
    return similarity(pd.DataFrame({"predictor": ["a", "b"], "similarity": [0.9, 0.7]}))


def _content() -> dict:
    table = pd.DataFrame(
        {
            "state": ["01", "10"],
            "year": [2015, 2015],
            "estimate": [1234567.8, 0.0123456],
            "n": [12345, 7],
            "margin": [np.nan, np.inf],
            "complete": [True, False],
        }
    )
    sections = [
        Section("Estimates", "First paragraph.\n\nSecond one.", _figure(), table),
        Section("Nothing but a title"),
    ]
    return {"title": "RECS_2015__ACS_2015", "summary": {"implicates": 10, "seed": 1}, "sections": sections}


def test_the_report_is_well_formed_and_needs_nothing_else(tmp_path):
    write_report(tmp_path / "r.html", **_content())
    page = _read(tmp_path / "r.html")
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert all(a.startswith(("data:image/png;base64,", "#")) for a in page.addresses)
    assert "http" not in (tmp_path / "r.html").read_text()


def test_the_figure_in_the_report_is_the_figure(tmp_path):
    write_report(tmp_path / "r.html", **_content())
    image = next(a for a in _read(tmp_path / "r.html").addresses if a.startswith("data:"))
    assert base64.b64decode(image.removeprefix("data:image/png;base64,")) == _figure()


def test_the_report_says_what_fused_records_are_true_of(tmp_path):
    write_report(tmp_path / "r.html", title="t", summary={}, sections=[])
    assert CAUTION in "".join(_read(tmp_path / "r.html").text)
    assert CAUTION.startswith("Fused records are true of populations, not of persons.")


def test_numbers_are_readable_and_identifiers_are_left_alone(tmp_path):
    write_report(tmp_path / "r.html", **_content())
    cells = _read(tmp_path / "r.html").cells
    assert cells == [
        *["state", "year", "estimate", "n", "margin", "complete"],
        *["01", "2015", "1,234,568", "12,345", "–", "yes"],
        *["10", "2015", "0.01235", "7", "∞", "no"],
    ]


@given(st.text(max_size=40).filter(lambda t: "\r" not in t and "\x00" not in t))
def test_any_text_is_shown_as_it_is_and_never_as_markup(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("report") / "r.html"
    table = pd.DataFrame({f"c{text}": [text]})
    sections = [Section(f"s{text}", f"x{text}", None, table)]
    write_report(path, title=f"t{text}", summary={f"k{text}": text}, sections=sections)
    page = _read(path)
    expected = [
        "html",
        "head",
        "meta",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "h1",
        "dl",
        "div",
        "dt",
        "dd",
    ]
    expected += ["p", "nav", "ol", "li", "a", "main", "section", "h2"]
    assert page.tags[: len(expected)] == expected
    assert {"script", "b", "img"}.isdisjoint(page.tags)
    assert page.cells[1] == text


def test_markup_in_names_is_escaped(tmp_path):
    bad = '<script>alert("1")</script> & <b>'
    section = Section(bad, bad, _figure(), pd.DataFrame({bad: [bad]}))
    write_report(tmp_path / "r.html", title=bad, summary={bad: bad}, sections=[section])
    text = (tmp_path / "r.html").read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 10
    _read(tmp_path / "r.html")


def test_contents_link_to_every_section_and_to_no_part(tmp_path):
    parts = (Section("Of one", "words"), Section("Of another", figure=_figure()))
    sections = [Section("Shares", parts=parts), Section("Means")]
    write_report(tmp_path / "r.html", title="t", summary={}, sections=sections)
    page = _read(tmp_path / "r.html")
    assert [a for a in page.addresses if a.startswith("#")] == ["#s1", "#s2"]
    text = (tmp_path / "r.html").read_text()
    assert all(f'<section id="s{number}">' in text for number in (1, 2))
    # A figure bears its title.
    assert page.tags.count("h3") == 1
    assert "Of another" not in "".join(page.text)


def test_two_sections_of_one_title_are_refused(tmp_path):
    sections = [Section("Shares"), Section("Means"), Section("Shares")]
    with pytest.raises(ValueError, match="called Shares"):
        write_report(tmp_path / "r.html", title="t", summary={}, sections=sections)


@pytest.mark.parametrize(
    ("rows", "drawn", "folds"), [(LONG_TABLE, False, 0), (LONG_TABLE + 1, False, 1), (2, True, 1)]
)
def test_long_tables_and_those_beside_a_figure_fold_away(tmp_path, rows, drawn, folds):
    table = pd.DataFrame({"n": range(rows)})
    figure = _figure() if drawn else None
    write_report(tmp_path / "r.html", title="t", summary={}, sections=[Section("T", "", figure, table)])
    page = _read(tmp_path / "r.html")
    assert page.tags.count("details") == folds
    assert len(page.cells) == 1 + rows


def test_headlines_come_before_everything_else(tmp_path):
    write_report(tmp_path / "r.html", **_content(), headlines={"Mean use": "30 ± 2"})
    text = (tmp_path / "r.html").read_text()
    assert text.index("Mean use") < text.index("implicates") < text.index("<nav>") < text.index("<main>")


def test_the_same_content_gives_the_same_bytes(tmp_path):
    write_report(tmp_path / "a.html", **_content())
    write_report(tmp_path / "b.html", **_content())
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_a_failed_report_leaves_the_earlier_one(tmp_path, monkeypatch):
    path = tmp_path / "r.html"
    write_report(path, **_content())
    before = path.read_bytes()
    with pytest.raises(ValueError, match="'Figure' is not a PNG"):
        write_report(path, title="t", summary={}, sections=[Section("Figure", figure=b"<svg>")])

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StorageError, match="No space left"):
        write_report(path, title="t", summary={}, sections=[])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
