"""The blocks of docs/your-own-survey.md, followed in order in a checkout of their own, lead to an estimate."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.serving import program

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Reader:
    """Somebody who does what the page says and keeps what the commands printed."""

    def __init__(self, checkout: Path) -> None:
        """Copy the project's sources, and nothing that was made."""
        for name in ("fusion_pipeline", "assets", "resources"):
            shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(ROOT / name, checkout)
        self.checkout = checkout
        self.printed: list[str] = []
        self.exported: dict[str, str] = {}

    def follow(self, language: str, block: str) -> None:
        """Write a file that a block is named for, or run its commands."""
        named = re.match(r"# (\S+?)(?:, (\w+))?\n", block)
        if language == "sh":
            self._run(block)
        elif named is None:
            pytest.fail(f"a block of {language} that says not which file it is:\n{block}")
        elif named[2]:
            self._merge(self.checkout / named[1], named[2], block[named.end() :])
        else:
            file = self.checkout / named[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block)

    def _merge(self, file: Path, section: str, entry: str) -> None:
        text = file.read_text()
        assert text.count(f"\n{section}:\n") == 1
        file.write_text(text.replace(f"\n{section}:\n", f"\n{section}:\n{entry}"))

    def _run(self, commands: str) -> None:
        # One shell for the whole page would hide which block failed; what a block exports reaches the next.
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("FUSION_", "DAGSTER_", "PYTHON"))}
        path = f"{program('python').parent}{os.pathsep}{kept['PATH']}"
        threads = {"FUSION_THREADS": "1", "PYTHONPATH": str(self.checkout), "COLUMNS": "200"}
        done = subprocess.run(
            ["bash", "-e", "-c", f"{commands}\nenv -0 > .environment"],
            cwd=self.checkout,
            env={**kept, "PATH": path, **threads, **self.exported},
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        self.printed.append(done.stdout + done.stderr)
        after = (self.checkout / ".environment").read_text().split("\0")
        self.exported = {n: v for n, _, v in (e.partition("=") for e in after) if n.startswith("FUSION_")}


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Reader:
    """A reader who has come to the end of the page."""
    reader = Reader(tmp_path_factory.mktemp("checkout"))
    blocks = BLOCK.findall((ROOT / "docs" / "your-own-survey.md").read_text())
    assert {language for language, _ in blocks} == {"python", "sh", "yaml"}
    for language, block in blocks:
        reader.follow(language, block)
    return reader


def test_draft_leaves_out_the_column_that_the_page_names(reader) -> None:
    assert "REMARK is left out: it holds text" in reader.printed[0]
    assert {path.suffix for path in (reader.checkout / "pets").rglob("*") if path.is_file()} == {".yaml"}


def test_estimates_of_the_fused_survey_have_margins_in_every_region(reader) -> None:
    last = reader.printed[-1]
    assert "PETS_2015__ACS_2015, public data" in last
    rows = {region: [line for line in last.splitlines() if region in line] for region in REGIONS}
    for region, lines in rows.items():
        assert len([line for line in lines if "Dog" in line]) == 1, region
        assert len([line for line in lines if "vet" in line]) == 1, region


def test_who_has_no_pet_pays_no_vet_in_any_implicate(reader) -> None:
    from fusion_pipeline.storage.tables import read_table

    folder = reader.checkout / "trial" / "public" / "implicates" / "PETS_2015__ACS_2015"
    files = sorted(folder.rglob("*.parquet"))
    assert len(files) == 10
    for file in files:
        fused = read_table(file, ["pet", "vet"]).to_pandas()
        assert len(fused) == 2000
        assert ((fused["pet"] == "No pet") == (fused["vet"] == 0)).all()
    assert 0.3 < (fused["pet"] != "No pet").mean() < 0.7


REGIONS = ("Northeast", "Midwest", "South", "West")
