"""The page of measurements has every section that `make bench` makes, each with the command that makes it."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    specification = importlib.util.spec_from_file_location("benchmarks_run", ROOT / "benchmarks" / "run.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


def test_the_page_has_every_section_in_its_place(runner: ModuleType) -> None:
    text = runner.PAGE.read_text()
    assert list(runner.read_sections(text)) == list(runner.SECTIONS)
    assert runner.page(runner.read_sections(text)).split("\n## ")[1:] == text.split("\n## ")[1:]


def test_every_section_names_the_command_that_makes_it(runner: ModuleType) -> None:
    made = runner.read_sections(runner.PAGE.read_text())
    for title, command in runner.SECTIONS.items():
        assert made[title].startswith(f"`python benchmarks/{' '.join(command)}`, 20"), title


def test_every_script_is_on_the_page_or_named_by_a_document(runner: ModuleType) -> None:
    documents = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    helpers = {"acs_2024", "gower", "households", "measure", "yardstick", "run"}
    scripts = {file.stem for file in (ROOT / "benchmarks").glob("*.py")} - helpers
    assert {script for script in scripts if f"benchmarks/{script}.py" not in documents} == set()


def test_a_script_that_there_is_not_is_refused(
    runner: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "fuse", "fused"])
    with pytest.raises(SystemExit):
        runner.main()
    assert "no such script: fused" in capsys.readouterr().err
