"""Results as files, figure and map."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.inference.output import FORMATS
from fusion_pipeline.storage.tables import categorical


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(1)
    states = ["01", "02", "48"]
    table = pa.table(
        {
            "implicate": np.repeat([1, 2], 60),
            "hid": [*range(60)] * 2,
            "state": categorical(np.tile(np.arange(60) % 3, 2), states),
            "puma10": categorical(np.tile(np.arange(60) // 3 % 2, 2), ["00100", "00200"]),
            "100% & more_x": rng.gamma(2, 5, 120),
        }
    )
    request = {"by": ["state", "puma10"], "weight": None, "totals": "cube"}
    return analyze(table, estimates=["mean(100% & more_x)"], **request)


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_is_written_and_can_be_read_again(found, tmp_path, ending):
    path = found.write(tmp_path / f"e{ending}")
    read = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".dta": pd.read_stata, ".xlsx": pd.read_excel}
    if ending in read:
        np.testing.assert_allclose(read[ending](path)["estimate"], found.table["estimate"], rtol=1e-8)
    else:
        text = path.read_text()
        assert text.count("100") >= len(found)
        assert r"100\% \& more\_x" in text if ending == ".tex" else "100% & more_x" in text


def test_an_unknown_ending_is_an_error(found, tmp_path):
    with pytest.raises(AnalysisError, match=r"\.csv, \.parquet"):
        found.write(tmp_path / "e.sav")


def test_figure_and_map_are_images_of_one_estimand(found, tmp_path):
    groups = found.only("mean(100% & more_x)")
    table = groups.table[~groups.table["state"].isin(["(all)"])]
    one = type(groups)(table, groups.by, groups.level, groups.rule, groups.implicates)
    for image in (one.plot(), one.map(tmp_path / "map.png").read_bytes()):
        assert image.startswith(b"\x89PNG")
    with pytest.raises(AnalysisError, match="Choose one of"):
        found.only("mean(y)")


def test_the_caption_names_rule_and_level_and_says_what_fused_records_are(found):
    text = found.to_markdown()
    assert "90 %" in text and "barnard-rubin" in text
    assert "true of populations, not of persons" in text


def test_groups_whose_names_begin_alike_are_different_columns_in_stata(found, tmp_path):
    long = ["income above thirty thousand dollars", "income above thirty thousand dollars or not"]
    table = found.table.rename(columns=dict(zip(found.by, long, strict=True)))
    renamed = type(found)(table, tuple(long), found.level, found.rule, found.implicates)
    back = pd.read_stata(renamed.write(tmp_path / "e.dta"))
    assert list(back.columns[:2]) == ["income_above_thirty_thousand_dol", "income_above_thirty_thousand_d_2"]
    assert back.iloc[:, 1].tolist() == table[long[1]].astype(str).tolist()


def test_expressions_and_notes_of_several_lines_break_no_table(found):
    table = found.table.assign(estimand="mean(a\n| b)")
    notes = ("x is estimated where a\n< b.",)
    broken = type(found)(table, found.by, found.level, found.rule, found.implicates, notes)
    assert broken.to_markdown().count("\n|") == len(table) + 1
    assert "% x is estimated where a < b." in broken.to_latex().splitlines()
    assert "where a\n&lt; b." in broken._repr_html_()
