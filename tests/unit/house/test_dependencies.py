"""What the code imports stands in pyproject.toml."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[3]
OWN = {"fusion_pipeline", "assets", "resources"}


def plain(name: str) -> str:
    return name.lower().replace("_", "-")


def test_what_the_code_imports_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for group in ("production", "ray") for name in project["optional-dependencies"][group]]
    listed = [*project["dependencies"], *extras]
    declared = {plain(re.split(r"[\[<>=!~;]", d)[0].strip()) for d in listed}
    homes = packages_distributions()
    imported = set()
    for package in OWN:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    imported.add(node.module.split(".")[0])
    outside = imported - OWN - set(sys.stdlib_module_names)
    undeclared = {n for n in outside if not {plain(d) for d in homes.get(n, [n])} & declared}
    assert not undeclared
