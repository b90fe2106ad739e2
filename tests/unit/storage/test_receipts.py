"""An artefact is reused exactly when it is what would be made now."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.receipts import Recipe, read_receipt, why_made, write_receipt
from resources.store import FusionStore

RECIPE = Recipe("fusion/models", "A__B", "1", {"seed": 1, "locations": ["state"]})
INPUT = "fusion/plan[A__B]"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A plan, and a model set made from it, both with receipts."""
    layout = Layout(tmp_path)
    for path in (layout.plan("A__B"), layout.model_set("A__B") / "manifest.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    record(layout, "fusion/plan", {}, "p1", [layout.plan("A__B")])
    record(layout, RECIPE.asset, {INPUT: "p1"}, "m1", [layout.model_set("A__B")])
    return layout


def record(
    layout: Layout, asset: str, inputs: dict, version: str, paths: list[Path], sound: bool = True
) -> None:
    settings = RECIPE.settings if asset == RECIPE.asset else {}
    provenance = {
        "asset": asset,
        "partition": "A__B",
        "code_version": "1",
        "inputs": inputs,
        "settings": settings,
    }
    write_receipt(layout, asset, "A__B", version, paths, provenance=provenance, sound=sound)


def reason(layout: Layout, recipe: Recipe = RECIPE) -> str | None:
    return why_made(layout, recipe, read_receipt(layout, recipe.asset, recipe.partition))


def test_same_code_settings_inputs_and_bytes_are_reused(layout) -> None:
    assert reason(layout) is None


def test_what_was_told_of_an_artefact_holds_only_while_its_bytes_are_as_they_were_written(layout) -> None:
    store, models = FusionStore(root=str(layout.root)), dg.AssetKey(["fusion", "models"])
    assert store.whole(models, "A__B").version == "m1"
    (layout.model_set("A__B") / "manifest.json").write_text("manifest")
    assert store.whole(models, "A__B") is None
    assert store.whole(models, "A__C") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"code_version": "2"}, "code version 1 became 2"),
        ({"settings": {"seed": 2, "locations": ["state"]}}, "changed: seed"),
        ({"settings": {"seed": 1}}, "changed: locations"),
        ({"settings": {"seed": 1, "locations": ["state"], "order": "given"}}, "changed: order"),
        ({"partition": "A__C"}, "no receipt of an earlier one"),
    ],
)
def test_change_of_the_recipe_is_named(layout, change, said) -> None:
    assert reason(layout, replace(RECIPE, **change)) == said


def test_another_version_of_an_input_is_named(layout) -> None:
    record(layout, "fusion/plan", {}, "p2", [layout.plan("A__B")])
    assert reason(layout) == f"another version of {INPUT}"


def test_input_without_a_receipt_is_another_version(layout) -> None:
    layout.receipt(("fusion", "plan"), "A__B").unlink()
    assert reason(layout) == f"another version of {INPUT}"


def test_file_that_was_changed_or_lost_is_named(layout) -> None:
    file = layout.model_set("A__B") / "manifest.json"
    file.write_text("other")
    assert reason(layout) == "models/A__B/manifest.json is not as it was written"
    file.unlink()
    assert reason(layout) == "models/A__B/manifest.json is missing"


def test_folder_that_stands_aside_after_a_kill_is_put_back_and_reused(layout) -> None:
    folder = layout.model_set("A__B")
    folder.rename(folder.with_name(f".{folder.name}.old"))
    assert reason(layout) is None
    assert folder.is_dir()


def test_what_failed_a_blocking_check_is_made_again(layout) -> None:
    record(layout, RECIPE.asset, {INPUT: "p1"}, "m1", [layout.model_set("A__B")], sound=False)
    assert reason(layout) == "a blocking check failed"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": "m1"}'])
def test_damaged_receipt_means_making_it_again(layout, text) -> None:
    layout.receipt(("fusion", "models"), "A__B").write_text(text)
    assert reason(layout) == "no receipt of an earlier one"


def test_receipts_of_chunks_and_of_what_has_no_partition_lie_apart(tmp_path) -> None:
    layout = Layout(tmp_path)
    assert layout.receipt(("fusion", "implicates"), "A__B|01-05").parts[-3:] == (
        "implicates",
        "A__B",
        "01-05.json",
    )
    assert layout.receipt(("geography", "raw")).parts[-2:] == ("geography", "raw.json")


def test_input_that_need_not_be_there_is_one_once_it_is(layout) -> None:
    record(
        layout, RECIPE.asset, {INPUT: "p1", "quality/internal[A__B]": None}, "m1", [layout.model_set("A__B")]
    )
    assert reason(layout) is None
    (folder := layout.internal("A__B")).mkdir(parents=True)
    (folder / "summary.json").write_text("{}")
    record(layout, "quality/internal", {}, "v1", [folder])
    assert reason(layout) == "another version of quality/internal[A__B]"
