"""How long, and in how much memory, the raw files of one fusion pair are simulated: donors, ACS year, geography, truth.

Run `python benchmarks/simulate.py [--households N] [--donors N]`; the row printed is Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from measure import calibrate, measured, table

from fusion_pipeline.settings import load_settings
from fusion_pipeline.simulate import simulate

PAIR = "RECS_2015__ACS_2015"


def main() -> None:
    """Simulate under measurement."""
    settings = load_settings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--households", type=int, default=settings.simulated_households)
    parser.add_argument("--donors", type=int, default=settings.simulated_donors)
    asked = parser.parse_args()
    label = f"simulate {PAIR}, {asked.households:,} ACS households and {asked.donors:,} donors"
    with tempfile.TemporaryDirectory() as folder, measured(label) as result:
        simulate(
            Path(folder) / "raw",
            [PAIR],
            households=asked.households,
            donors=asked.donors,
            seed=settings.seed,
        )
    print(table([result], calibrate()))


if __name__ == "__main__":
    main()
