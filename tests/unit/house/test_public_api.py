"""The public API is documented by examples that run."""

import doctest
import importlib
import re
import sys
from pathlib import Path

import pytest

import fusion_pipeline as fp

ROOT = Path(__file__).parents[3]
ELSEWHERE = {"prepare"}
"""Its example is in docs/api.md."""


@pytest.mark.parametrize("name", sorted(set(fp.__all__) - ELSEWHERE))
def test_examples_of_a_public_name_run(name):
    thing = getattr(fp, name)
    module = importlib.import_module(thing.__module__)
    examples = [
        test for test in doctest.DocTestFinder(recurse=False).find(thing, name, module) if test.examples
    ]
    assert examples, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in examples:
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "api.md").read_text(), re.S | re.M)


@pytest.mark.slow
def test_the_guide_runs_as_it_stands(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks(), start=1):
        exec(compile(block, f"docs/api.md, block {number}", "exec"), names)
    assert names["models"].plan.rules == ("size <= limit", 'cool == "no" unless tenure')


def test_the_guide_shows_every_public_name():
    shown = set(re.findall(r"\bfp\.(\w+)", "\n".join(blocks())))
    assert set(fp.__all__) - shown == {"load_model_set"}


def test_every_name_is_listed_and_importing_the_package_imports_nothing_heavy():
    import subprocess

    assert dir(fp) == sorted(fp.__all__)
    code = "import sys, fusion_pipeline; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not {"numpy", "pandas", "pyarrow", "lightgbm", "duckdb"} & set(loaded.stdout.split())
    with pytest.raises(AttributeError, match="has no attribute 'fussion'"):
        fp.fussion  # noqa: B018
