"""Which implicates of a pair may be pooled."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from fusion_pipeline.errors import AnalysisError, StorageError
from fusion_pipeline.estimating import implicates_of
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import write_table
from resources.store import FusionStore

PAIR = "RECS_2015__ACS_2015"
ORIGIN = {"model_set": "a" * 64, "recipient": "b" * 64, "seed": 1, "stream": PAIR}


@pytest.fixture
def layout(tmp_path) -> Layout:
    """Eleven implicates of one origin: more than sort as text."""
    layout = Layout(tmp_path / "simulated")
    for implicate in range(1, 12):
        write(layout, implicate, ORIGIN)
    return layout


def write(layout: Layout, implicate: int, provenance: dict | None) -> None:
    table = pa.table({"year": [2015], "hid": [1], "btuel": [2.0]})
    write_table(layout.implicate(PAIR, implicate), table, provenance)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_implicates_of_one_origin_are_found_in_order(layout) -> None:
    assert implicates_of(PAIR, layout) == [layout.implicate(PAIR, m) for m in range(1, 12)]


def test_only_as_many_implicates_as_are_asked_for_are_pooled(layout) -> None:
    write(layout, 11, ORIGIN | {"seed": 2})
    assert implicates_of(PAIR, layout, 10) == [layout.implicate(PAIR, m) for m in range(1, 11)]
    with pytest.raises(AnalysisError, match=r"holds 11 implicates, not 12"):
        implicates_of(PAIR, layout, 12)


def test_implicates_of_no_chunk_go_with_their_receipts_and_the_others_stay(layout) -> None:
    for chunk in ("01-05", "06-10", "11-11"):
        write_text(layout.receipt(("fusion", "implicates"), f"{PAIR}|{chunk}"), "{}")
    chunks = {"01-05": (1, 2, 3, 4, 5), "06-07": (6, 7)}
    store = FusionStore(root=str(layout.root))
    assert store.remove_implicates_beyond(PAIR, chunks, force=True) == [8, 9, 10, 11]
    assert implicates_of(PAIR, layout) == [layout.implicate(PAIR, m) for m in range(1, 8)]
    receipts = layout.receipt(("fusion", "implicates"), f"{PAIR}|01-05").parent
    assert [path.name for path in receipts.iterdir()] == ["01-05.json"]


def test_implicates_of_a_larger_number_are_not_removed_unless_forced_and_the_setting_is_named(layout) -> None:
    receipt = layout.receipt(("fusion", "implicates"), f"{PAIR}|11-11")
    write_text(receipt, "{}")
    write(layout, 13, ORIGIN)
    there = sorted(layout.root.rglob("*"))
    with pytest.raises(StorageError, match=r"implicates 8-11, 13 beyond the 7.*FUSION_IMPLICATES=13"):
        FusionStore(root=str(layout.root)).remove_implicates_beyond(PAIR, {"01-07": range(1, 8)}, force=False)
    assert sorted(layout.root.rglob("*")) == there


@pytest.mark.parametrize(
    ("key", "other"), [("model_set", "c" * 64), ("recipient", "c" * 64), ("seed", 2), ("stream", "other")]
)
def test_implicate_of_another_origin_is_named_with_the_remedy(layout, key, other) -> None:
    write(layout, 11, ORIGIN | {key: other})
    with pytest.raises(AnalysisError, match=rf"implicate=11.*same {key} as implicate=01.*Delete.*chunks"):
        implicates_of(PAIR, layout)


def test_implicate_without_provenance_is_not_pooled(layout) -> None:
    write(layout, 11, None)
    with pytest.raises(AnalysisError, match=r"implicate=11.*model_set.*unknown"):
        implicates_of(PAIR, layout)


def test_gap_in_the_numbers_is_named(layout) -> None:
    layout.implicate(PAIR, 7).unlink()
    with pytest.raises(AnalysisError, match=r"implicate=08.*implicate 7 should be.*make implicate 7 again"):
        implicates_of(PAIR, layout)


def test_implicates_that_only_the_other_origin_has_are_named_with_the_setting_that_leads_to_them(
    layout,
) -> None:
    told = f"holds no implicates. Make them with `fusion run {PAIR}`."
    with pytest.raises(AnalysisError, match=f"{re.escape(told)} Those of .* FUSION_SOURCE=simulated leads"):
        implicates_of(PAIR, layout.other)
    with pytest.raises(AnalysisError, match=f"{re.escape(told.replace(PAIR, 'A__B'))}$"):
        implicates_of("A__B", layout.other)


@pytest.mark.parametrize("name", ["implicate=1", "implicate=copy"])
def test_folder_that_is_no_implicates_is_named(layout, name) -> None:
    folder = layout.implicates(PAIR) / name
    layout.implicate(PAIR, 1).parent.rename(folder) if name[-1] == "1" else folder.mkdir()
    write_table(folder / "part-0.parquet", pa.table({"hid": [1]}), ORIGIN)
    with pytest.raises(AnalysisError, match=rf"{name}/part-0"):
        implicates_of(PAIR, layout)
