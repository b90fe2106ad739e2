"""The project's own source, each file parsed once a process."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("fusion_pipeline", "assets", "resources")


def modules(*packages: str) -> list[Path]:
    """Files of packages, all of the project's by default."""
    return sorted(path for package in packages or PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    """Syntax tree of a file; nobody may change it."""
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file's syntax tree."""
    return tuple(ast.walk(parsed(path)))


@cache
def calls(path: Path) -> tuple[tuple[str, str], ...]:
    """Each call in a file: the name of what is called, and the same with what it belongs to."""
    found = [node.func for node in nodes(path) if isinstance(node, ast.Call)]
    return tuple(
        (func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", ""), ast.unparse(func))
        for func in found
    )


@cache
def imported(path: Path) -> frozenset[str]:
    """Dotted names of the modules that a file imports, and of what it takes out of them."""
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)
