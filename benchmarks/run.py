"""Run every benchmark, one after another, and write docs/benchmarks.md: `make bench`, on a machine otherwise idle.

The coverage table needs the demo's run (`make demo`).
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
SECTIONS = {
    "Simulating the surveys": ["simulate.py"],
    "Ingesting the ACS": ["ingest.py"],
    "Harmonizing, and imputing donor PUMAs": ["harmonize.py"],
    "Screening and training": ["train.py"],
    "Fusing": ["fuse.py"],
    "The tasks that fusionModel was timed on": ["reference.py"],
    "The national job": ["national.py"],
    "How cost grows": ["growth.py"],
    "Three pairs, one after another and two at once": ["concurrent_pairs.py"],
    "Analyzing": ["analyze.py", "--households", "1300000"],
    "Coverage of 90 % margins on the simulated truth": ["margins.py"],
    "Pooling rules: Reiter 2012, Tables 1 to 3": ["reiter.py"],
}


def main() -> None:
    """Run the scripts and write the page."""
    parts = [
        "# Benchmarks\n\nWritten by `make bench`; each section names its command. Ratios to the calibration loop "
        f"can be compared between machines, seconds cannot. Machine: {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}."
    ]
    for title, command in SECTIONS.items():
        print(title, flush=True)
        done = subprocess.run(
            [sys.executable, str(HERE / command[0]), *command[1:]],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        parts.append(f"## {title}\n\n`python benchmarks/{' '.join(command)}`\n\n{done.stdout.strip()}")
    PAGE.write_text("\n\n".join(parts) + "\n")
    print(f"→ {PAGE}")


if __name__ == "__main__":
    main()
