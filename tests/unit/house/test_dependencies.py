"""What the code imports stands in pyproject.toml, and what is installed in the locks."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[3]
OWN = {"fusion_pipeline", "assets", "resources"}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKED = re.compile(
    r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;]+)[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def plain(name: str) -> str:
    return name.lower().replace("_", "-")


def named(*extras: str) -> set[str]:
    """Names of the packages that a run needs, and of those of extras."""
    listed = [*PROJECT["dependencies"], *(d for e in extras for d in PROJECT["optional-dependencies"][e])]
    return {plain(re.split(r"[\[<>=!~;]", d)[0].strip()) for d in listed}


def locked(name: str) -> dict[str, tuple[str, str]]:
    """Version and hashes of each package of a lock, which holds nothing else."""
    text = (ROOT / name).read_text()
    assert LOCKED.sub("", text) == ""
    return {plain(package): (version, hashes) for package, version, hashes in LOCKED.findall(text)}


def test_a_run_installs_part_of_what_tests_install_in_the_same_versions():
    run, everything = locked("requirements.lock"), locked("requirements-dev.lock")
    assert run.items() < everything.items()
    assert named("install") <= run.keys()
    assert named(*PROJECT["optional-dependencies"]) <= everything.keys()
    assert not {"pytest", "mypy", "ray", "dagster-postgres"} & run.keys()


def test_what_the_code_imports_is_declared():
    declared = named("production", "ray")
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
