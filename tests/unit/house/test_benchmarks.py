"""The page of measurements is as `make bench` writes it: each section with its command, and what is missing named."""

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


def test_the_page_is_what_the_script_writes(runner: ModuleType) -> None:
    text = runner.PAGE.read_text()
    written, again = text.split("\n\n", 2), runner.page(runner.read_sections(text)).split("\n\n", 2)
    assert written[2] == again[2], "whatever follows title and machine"


def test_every_section_names_the_command_that_makes_it_and_its_day(runner: ModuleType) -> None:
    made = runner.read_sections(runner.PAGE.read_text())
    assert made
    for title, text in made.items():
        assert text.startswith(f"`python benchmarks/{' '.join(runner.SECTIONS[title])}`, 20"), title


def test_a_section_that_was_not_measured_is_named(runner: ModuleType) -> None:
    titles = list(runner.SECTIONS)
    told = runner.page(dict.fromkeys(titles[1:], "`a command`"))
    assert f"Not measured yet: {titles[0]} (`simulate.py`)." in told
    assert list(runner.read_sections(told)) == titles[1:]


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
