"""The arrows of the house: library <- resources <- assets <- definitions, and nothing heavy on import."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source import ROOT, imported, modules, parsed

ORCHESTRATION = {
    "definitions",
    "partitions",
    "jobs",
    "schedules",
    "sensors",
    "running",
    "summary",
    "workers",
    "cli",
    "__main__",
}
HEAVY = {"lightgbm", "faiss", "sklearn", "great_expectations", "matplotlib", "scipy", "numba"}


def test_page_of_the_architecture_names_the_modules_that_know_dagster() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    [named] = re.findall(r"knows no Dagster but in\s(.*?);", page, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", named)) == ORCHESTRATION - {"__main__"}


def library() -> list[Path]:
    top = ROOT / "fusion_pipeline"
    return [p for p in modules("fusion_pipeline") if p.parent != top or p.stem not in ORCHESTRATION]


@pytest.mark.parametrize("path", library(), ids=lambda p: str(p.relative_to(ROOT)))
def test_library_knows_neither_dagster_nor_assets_nor_resources(path: Path) -> None:
    outside = {name.split(".")[0] for name in imported(path)} & {"dagster", "assets", "resources"}
    assert not outside


@pytest.mark.parametrize("path", modules("resources"), ids=lambda p: p.name)
def test_resources_know_no_assets(path: Path) -> None:
    assert not {n for n in imported(path) if n.split(".")[0] == "assets" or "definitions" in n}


@pytest.mark.parametrize("path", modules("assets"), ids=lambda p: p.name)
def test_assets_do_not_know_the_definitions(path: Path) -> None:
    assert not {n for n in imported(path) if n.startswith("fusion_pipeline.definitions")}


def test_every_module_says_what_belongs_there() -> None:
    silent = [str(path.relative_to(ROOT)) for path in modules() if not ast.get_docstring(parsed(path))]
    assert not silent


def test_modules_that_a_module_docstring_points_to_exist() -> None:
    astray = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules()
        for name in re.findall(r"`([\w./]+\.py)`", ast.get_docstring(parsed(path)) or "")
        if not any((folder / name).is_file() for folder in (path.parent, ROOT / "fusion_pipeline", ROOT))
    ]
    assert not astray


def test_root_has_no_python_files_that_would_shadow_libraries() -> None:
    assert not list(ROOT.glob("*.py"))


def test_definitions_import_nothing_heavy() -> None:
    code = "import sys, fusion_pipeline.definitions; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not HEAVY & set(loaded.stdout.split())
