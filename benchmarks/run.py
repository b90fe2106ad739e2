"""Run benchmarks, one after another, and write docs/benchmarks.md: `make bench`, on a machine otherwise idle.

Named scripts renew their sections alone (`python benchmarks/run.py fuse train`); the page is written after each, so
that what was measured stays when a later one fails. The coverage table needs the run of `make demo`. Quality has a
yardstick of its own (`quality.py`, `areas.py`), as have the runs on real files (`real_runs.py`).
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
SECTIONS = {
    "Simulating the surveys": ["simulate.py"],
    "Simulating 1.3 million households": ["simulate.py", "--households", "1300000"],
    "Ingesting the ACS": ["ingest.py"],
    "Harmonizing, and imputing donor PUMAs": ["harmonize.py"],
    "The same with the donors of NHTS 2017": ["harmonize.py", "--donors", "129696"],
    "Screening and training": ["train.py"],
    "Planning many variables": ["prepare.py"],
    "Fusing": ["fuse.py"],
    "The tasks that fusionModel was timed on": ["reference.py"],
    "The national job": ["national.py"],
    "How cost grows": ["growth.py"],
    "A chunk of implicates, and all years of all donors": ["chunk.py"],
    "Three pairs, one after another and two at once": ["concurrent_pairs.py"],
    "Analyzing": ["analyze.py"],
    "Coverage of 90 % margins on the simulated truth": ["margins.py"],
    "Pooling rules: Reiter 2012, Tables 1 to 3": ["reiter.py"],
}


def main() -> None:
    """Run the scripts and write the page; end with code 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    scripts = sorted({Path(command[0]).stem for command in SECTIONS.values()})
    parser.add_argument(
        "scripts", nargs="*", metavar="script", help=f"renew these alone: {', '.join(scripts)}"
    )
    wanted = parser.parse_args().scripts
    if unknown := set(wanted) - set(scripts):
        parser.error(f"no such script: {', '.join(sorted(unknown))}")
    sections = read_sections(PAGE.read_text()) if PAGE.exists() else {}
    failed = []
    for title, command in SECTIONS.items():
        if wanted and Path(command[0]).stem not in wanted:
            continue
        print(title, flush=True)
        done = subprocess.run(
            [sys.executable, str(HERE / command[0]), *command[1:]], stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            failed.append(title)
            continue
        sections[title] = f"{_made_by(command)}\n\n{done.stdout.strip()}"
        PAGE.write_text(page(sections))
    print(f"→ {PAGE}")
    if failed:
        sys.exit(f"Failed, and as they were on the page: {', '.join(failed)}")


def page(sections: dict[str, str]) -> str:
    """Compose the page of those sections that there are, in the order of `SECTIONS`."""
    head = (
        "# Benchmarks\n\nWritten by `make bench`; each section names its command and its day. Ratios to the "
        f"calibration loop can be compared between machines, seconds cannot. Machine: {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}."
    )
    if missing := [f"{title} (`{SECTIONS[title][0]}`)" for title in SECTIONS if title not in sections]:
        head += f"\n\nNot measured yet: {', '.join(missing)}."
    parts = [f"## {title}\n\n{sections[title]}" for title in SECTIONS if title in sections]
    return "\n\n".join([head, *parts]) + "\n"


def read_sections(text: str) -> dict[str, str]:
    """Read the sections of a page, by title."""
    parts = (part.split("\n", maxsplit=1) for part in text.split("\n## ")[1:])
    return {title.strip(): body.strip() for title, body in parts}


def _made_by(command: list[str]) -> str:
    return f"`python benchmarks/{' '.join(command)}`, {datetime.now(UTC):%Y-%m-%d}"


if __name__ == "__main__":
    main()
