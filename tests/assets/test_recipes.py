"""What an asset depends on beside inputs and code is in its recipe: a change of it makes the asset again."""

import ast
import inspect
import shutil
import textwrap

import pytest

from assets import recipes
from fusion_pipeline import planning, preparation
from fusion_pipeline.definitions import build_defs
from fusion_pipeline.registry import FusionPair, load_registry
from fusion_pipeline.surveys import allocating, derive
from tests.conftest import PAIR

LIBRARIES = {"preparation": preparation, "planning": planning}
ENTRY = load_registry().pair(PAIR)
OTHER = {
    "donors": ("RECS_2020",),
    "recipient": "2016",
    "harmony_set": "paper",
    "locations": ("state",),
    "forced": (),
    "order": "given",
    "fuse": ENTRY.fuse[::-1],
    "prices": (),
    "location_draws": 3,
    "universes": {"noac": "btuel > 1"},
    "rules": ("btuel >= 1",),
}
"""Another value of every field of a fusion pair."""
BEHIND = {"variables": ("fuse", "prices")}
"""Fields behind a property."""
STEPS = {asset.key.to_user_string(): asset.op.compute_fn.decorated_fn for asset in build_defs().assets}


def fields_read(step) -> set[str]:
    """Fields of a fusion pair that an asset's function reads of the registry's entry, or hands to the library."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(step))))
    names = {"pair"} if step.__module__ in {library.__name__ for library in LIBRARIES.values()} else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            [target] = node.targets
            both = _both_tuples(node)
            targets, values = (target.elts, node.value.elts) if both else ([target], [node.value])
            pairs = zip(targets, values, strict=True)
            names |= {t.id for t, value in pairs if isinstance(t, ast.Name) and _is_entry(value)}
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    read = {
        node.attr
        for node in attributes
        if _is_entry(node.value) or (isinstance(node.value, ast.Name) and node.value.id in names)
    }
    handed = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call) and _hands_over(node)]
    behind = {field for to in handed for field in fields_read(getattr(LIBRARIES[to.value.id], to.attr))}
    return behind | {field for name in read for field in BEHIND.get(name, (name,))}


def _hands_over(call: ast.Call) -> bool:
    return ast.unparse(call.func) in {
        "preparation.locate_pair",
        "preparation.prepare_pair",
        "planning.plan_pair",
    }


def _both_tuples(node: ast.Assign) -> bool:
    return isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)


def _is_entry(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "REGISTRY.pair"


READ = [(name, field) for name, step in STEPS.items() for field in sorted(fields_read(step))]


def test_assets_read_every_field_of_a_pair_but_the_harmony_set_which_the_harmonies_hold() -> None:
    assert (
        {field for _, field in READ}
        == set(FusionPair.model_fields) - {"harmony_set"}
        == {*OTHER} - {"harmony_set"}
    )


@pytest.mark.parametrize(("asset", "field"), READ)
def test_another_entry_of_the_pair_makes_the_assets_again_that_read_it(asset, field, monkeypatch) -> None:
    settings = inspect.getclosurevars(STEPS[asset]).nonlocals["settings"]
    before = settings(PAIR)
    monkeypatch.setitem(recipes.REGISTRY.pairs, PAIR, ENTRY.model_copy(update={field: OTHER[field]}))
    assert settings(PAIR) != before


@pytest.mark.parametrize(
    ("module", "folder", "table", "reads", "not_of_it"),
    [
        (derive, "LOOKUPS", "cpi_u", "2015", "RECS_2015"),
        (derive, "LOOKUPS", "poverty_thresholds_2019", "2015", "RECS_2015"),
        (derive, "LOOKUPS", "cpi_u_monthly", "CEI_2015", "2015"),
        (allocating, "CODES", "cei_ucc", "CEI_2015", "2015"),
    ],
)
def test_another_table_makes_those_again_whose_codebook_names_it(
    module, folder, table, reads, not_of_it, monkeypatch, tmp_path
) -> None:
    before, other = recipes.codebook(reads), recipes.codebook(not_of_it)
    copy = shutil.copytree(getattr(module, folder), tmp_path / "tables")
    with (copy / f"{table}.csv").open("a") as file:
        file.write("\n")
    monkeypatch.setattr(module, folder, copy)
    assert recipes.codebook(reads) != before
    assert recipes.codebook(not_of_it) == other


@pytest.mark.parametrize("name", [*recipes.UNITS, *recipes.COLUMNS])
def test_another_list_of_states_counties_zones_or_columns_makes_the_places_again(
    name, monkeypatch, tmp_path
) -> None:
    before, dataset = recipes.places("puma10"), recipes.dataset("eia_puma10")
    copy = shutil.copytree(recipes.GEOGRAPHY, tmp_path / "geography")
    with (copy / name).open("a") as file:
        file.write("\n")
    monkeypatch.setattr(recipes, "GEOGRAPHY", copy)
    assert recipes.places("puma10") != before
    assert (recipes.dataset("eia_puma10") != dataset) == (name in recipes.UNITS)


@pytest.mark.parametrize("asset", ["quality/external", "quality/report"])
def test_another_replicate_design_or_universe_makes_estimates_again(asset, monkeypatch) -> None:
    settings = inspect.getclosurevars(STEPS[asset]).nonlocals["settings"]
    before = settings(PAIR)
    with monkeypatch.context() as patched:
        content = recipes.load_codebook(recipes.REGISTRY.codebook(ENTRY.recipient))
        design = content.households.replicates.model_copy(update={"scale": 1.0})
        other = content.households.model_copy(update={"replicates": design})
        changed = content.model_copy(update={"households": other})
        patched.setattr(recipes, "load_codebook", lambda name: changed)
        assert settings(PAIR)["replicates"] != before["replicates"]
    patched = ENTRY.model_copy(update={"universes": OTHER["universes"]})
    monkeypatch.setitem(recipes.REGISTRY.pairs, PAIR, patched)
    assert settings(PAIR) != before


def test_what_runs_the_engine_names_its_releases() -> None:
    engine = {
        "survey/households", "survey/persons", "acs/households", "acs/persons", "pool/households",
        "fusion/plan", "fusion/models", "fusion/implicates", "fusion/microdata", "quality/area_error",
        "quality/internal",
    }  # fmt: skip
    partition = {"survey": "RECS_2015", "acs": "2015", "pool": "CEI_2015-2019"}
    for name in engine:
        settings = inspect.getclosurevars(STEPS[name]).nonlocals["settings"]
        found = settings(partition.get(name.split("/")[0], PAIR))["libraries"]
        assert {"lightgbm", "numba", "scikit-learn"} <= set(found), name
