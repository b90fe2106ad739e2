"""Figures are real PNGs, small, reproducible, and hold what they are about."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fusion_pipeline.validation import figures
from fusion_pipeline.validation.style import MAX_BYTES, Canvas, shortened, wrapped

SOURCE = "RECS 2015 (donor), ACS 2015 (recipient), 10 implicates, weighted"


def _differences() -> pd.DataFrame:
    z = [*np.linspace(-5, 5, 39), np.nan]
    return pd.DataFrame({"variable": "btuel", "level": [f"level {i}" for i in range(40)], "z": z})


def _distribution(scale: str = "log", zero: bool = True) -> pd.DataFrame:
    edges = np.geomspace(1, 500, 33) if scale == "log" else np.linspace(-5, 80_000, 33)
    shape = np.exp(-(np.linspace(-2, 2, 32) ** 2))
    frame = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "donor": shape, "fused": shape[::-1] * 1.1})
    if zero:
        frame = pd.concat([pd.DataFrame([{"low": 0.0, "high": 0.0, "donor": 9.0, "fused": 8.0}]), frame])
    frame[["donor", "fused"]] /= frame[["donor", "fused"]].sum()
    return frame.assign(variable="btung", scale=scale)


def _shares(levels: int) -> pd.DataFrame:
    share = np.linspace(1, 2, levels) / np.linspace(1, 2, levels).sum()
    labels = [f"Individual window/wall or portable units, kind {i}" for i in range(levels)]
    return pd.DataFrame(
        {
            "variable": "cooltype",
            "level": labels,
            "donor": share,
            "donor_standard_error": 0.01,
            "fused": share[::-1],
        }
    )


def _predictors(n: int) -> pd.DataFrame:
    names = [f"householder_race__rac1p_{i}" for i in range(n)]
    return pd.DataFrame(
        {"predictor": names, "similarity": np.linspace(0.6, 1, n), "share": np.linspace(0, 9, n)}
    )


def _estimates(groups: int, level: str | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "state": [f"{i:02d}" for i in range(groups)],
            "estimand": "mean(btuel)" if level is None else "proportion(insec)",
            "level": level,
            "estimate": np.linspace(0.1, 0.9, groups),
            "margin": np.linspace(0.05, 0.02, groups),
            "n": np.arange(groups) + 10,
        }
    )


def _panels(n: int) -> list[pd.DataFrame]:
    """Predictors of many groups with long names, and numbers of many values, in turn."""
    random = np.random.default_rng(0)
    panels = []
    for i in range(n):
        size, is_number = (16, i % 3 == 2) if i % 3 == 2 else (2 + 7 * (i % 2), False)
        edges = np.linspace(0, 90_000, size + 1) if is_number else np.full(size + 1, np.nan)
        labels = [f"Some college, less than 1 year, {i}" for i in range(size)]
        frame = pd.DataFrame({"label": labels, "low": edges[:-1], "high": edges[1:]})
        frame["donor"], frame["recipient"] = random.dirichlet(np.ones(size), 2)
        panels.append(frame.assign(predictor=f"educ__schl_{i}", similarity=0.5))
    return panels


DRAWN = {
    "distribution on a logarithmic scale": lambda: figures.distribution(
        _distribution(), unit="kBTU", source=SOURCE
    ),
    "distribution on a linear scale": lambda: figures.distribution(
        _distribution("linear", False), source=SOURCE
    ),
    "two shares": lambda: figures.shares(_shares(2), source=SOURCE),
    "twenty shares": lambda: figures.shares(_shares(20), source=SOURCE),
    "differences": lambda: figures.differences(_differences(), beyond=3, source=SOURCE),
    "similarity": lambda: figures.similarity(_predictors(40), source=SOURCE),
    "six panels side by side": lambda: figures.side_by_side(_panels(6), source=SOURCE)[0],
    "one panel": lambda: figures.side_by_side(_panels(1))[0],
    "importance": lambda: figures.importance(_predictors(200), variable="btuel", source=SOURCE),
    "importance of everything": lambda: figures.importance(_predictors(2)),
    "estimates": lambda: figures.estimates(_estimates(30), ["state"], unit="kWh", source=SOURCE),
    "estimates of a proportion": lambda: figures.estimates(_estimates(1, "yes"), ["state"]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_a_small_png_and_the_same_every_time(name):
    png = DRAWN[name]()
    assert len(png) < MAX_BYTES
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert image.width == 720
        assert image.height >= 150
        colours = image.convert("RGB").getcolors(1 << 20)
    assert len(colours) > 20
    assert DRAWN[name]() == png


def _texts(monkeypatch: pytest.MonkeyPatch, draw) -> set[str]:
    """All text that a figure shows."""
    from matplotlib.text import Text

    seen: set[str] = set()
    original = Canvas.png

    def png(self):
        data = original(self)
        seen.update(text.get_text() for text in self.figure.findobj(Text))
        return data

    monkeypatch.setattr(Canvas, "png", png)
    draw()
    return seen


def test_a_distribution_says_variable_unit_source_and_zero_share(monkeypatch):
    frame = _distribution()
    texts = _texts(monkeypatch, lambda: figures.distribution(frame, unit="thousand BTU", source=SOURCE))
    zero = f"{100 * frame['donor'].iloc[0]:.1f}"
    assert {"Distribution of btung", "btung, thousand BTU", SOURCE, "zero", zero, "donor", "fused"} <= texts


def test_similarity_counts_what_is_below_the_threshold(monkeypatch):
    frame = pd.DataFrame({"predictor": ["a", "b", "c"], "similarity": [0.95, 0.79, 0.8]})
    texts = _texts(monkeypatch, lambda: figures.similarity(frame))
    assert "similarity of weighted distributions, 1 = alike; 1 of 3 below 0.8" in texts


def test_estimates_keep_the_groups_with_most_records_and_say_so(monkeypatch):
    frame = _estimates(12)
    texts = _texts(monkeypatch, lambda: figures.estimates(frame, ["state"], unit="kWh", most=5))
    assert "kWh, whiskers: 90 % margin of error; the 5 of 12 groups with most records" in texts
    assert {"07", "11"} <= texts
    assert "06" not in texts


def test_importance_adds_up_the_rows_of_a_predictor(monkeypatch):
    frame = pd.DataFrame({"predictor": ["a", "b", "a"], "share": [1.0, 2.0, 5.0]})
    texts = _texts(monkeypatch, lambda: figures.importance(frame))
    assert {"75.0", "25.0"} <= texts


def test_labels_are_cut_or_broken_to_fit():
    assert shortened("a" * 40, 10) == "a" * 9 + "…"
    assert shortened("short", 10) == "short"
    assert wrapped("Individual window/wall or portable units", 20) == "Individual\nwindow/wall or port…"
    assert wrapped("") == ""


def test_a_figure_too_large_for_the_event_log_is_refused(monkeypatch):
    monkeypatch.setattr("fusion_pipeline.validation.style.MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="'What predicts the fusion variables' takes"):
        figures.importance(_predictors(2))


def test_importing_the_figures_does_not_import_matplotlib_and_drawing_leaves_its_settings_alone():
    script = (
        "import sys, fusion_pipeline.validation.figures as f, fusion_pipeline.inference.analyze\n"
        "heavy = {'matplotlib', 'scipy', 'dagster', 'sklearn', 'lightgbm', 'PIL', 'requests'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import matplotlib as mpl, pandas as pd\n"
        "before = mpl.rcParams.copy()\n"
        "f.similarity(pd.DataFrame({'predictor': ['a'], 'similarity': [0.9]}))\n"
        "assert mpl.rcParams.copy() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_side_by_side_pools_small_groups_and_goes_on_in_a_second_figure(monkeypatch):
    assert [len(figures.side_by_side(_panels(n))) for n in (0, 6, 7, 12)] == [0, 1, 2, 2]
    panel = _panels(2)[1]
    panel["donor"] = [0.3, 0.2, 0.2, 0.1, 0.1, 0.07, 0.02, 0.005, 0.005]
    panel["recipient"] = panel["donor"]
    texts = _texts(monkeypatch, lambda: figures.side_by_side([panel]))
    assert {"3 others", "donor", "recipient"} <= texts
    assert any("educ__schl_1, similarity 0.50" in text for text in texts)
