"""What one gives up for what: quality of the engine under other settings. Run: python benchmarks/tradeoff.py

Makes the missing runs of `quality.py recs` (both directions, one seed) and draws docs/images/tradeoff.png from
all of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

HERE = Path(__file__).resolve().parent
FIGURE = HERE.parent / "docs" / "images" / "tradeoff.png"
SETTINGS: dict[str, dict[str, object]] = {
    "default": {},
    "no sets": {"bootstraps": 0},
    "3 sets": {"bootstraps": 3},
    "40 sets": {"bootstraps": 40},
    "pools to 30": {"neighbours": 30},
    "pools to 500": {"neighbours": 500},
}
PANELS = (
    (
        ("AUC", "real against fused: AUC, .5 is best"),
        ("subset coverage, between only", "coverage between implicates, .90 is best"),
    ),
    (
        ("subset MdAPE", "error of subset estimates, %"),
        ("fused-fused slope", "slope of correlations, 1 is best"),
    ),
)
SPLITS = ("odd", "even")


def main() -> None:
    """Score every setting and draw one against the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--shared", type=Path, default=HERE.parents[1] / "shared", help="folder of peer/")
    parser.add_argument("--out", type=Path, default=HERE.parent / "data" / "quality")
    given = parser.parse_args()
    means = {name: _mean(name, given.shared, given.out) for name in SETTINGS}
    figure, axes = plt.subplots(1, len(PANELS), figsize=(10, 4.2))
    for axis, ((x, x_title), (y, y_title)) in zip(axes, PANELS, strict=True):
        for name, mean in means.items():
            axis.plot(mean[x], mean[y], "o", color="#0b6e99" if name == "default" else "#9bb8c4")
            beside = (6, -13) if name == "default" else (6, 4)  # others lie close to it
            axis.annotate(name, (mean[x], mean[y]), xytext=beside, textcoords="offset points", fontsize=9)
        axis.set(xlabel=x_title, ylabel=y_title)
        axis.margins(0.2)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=110, metadata={"Software": None})
    measures = [measure for panel in PANELS for measure, _ in panel]
    print(f"| setting | {' | '.join(measures)} |\n|---|{'---:|' * len(measures)}")
    for name, mean in means.items():
        print(f"| {name} | {' | '.join(f'{mean[m]:.3f}' for m in measures)} |")


def _mean(name: str, shared: Path, out: Path) -> dict[str, float]:
    """Mean of both directions; `quality.py` keeps what it has made."""
    label = name.replace(" ", "_")
    call = ["recs", "--shared", shared, "--out", out, "--label", label, "--seeds", "1"]
    command = [sys.executable, HERE / "quality.py", *call, "--options", json.dumps(SETTINGS[name])]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    runs = [json.loads((out / "recs" / f"{label}-{s}-1" / "figures.json").read_text()) for s in SPLITS]
    return {measure: float(np.mean([run[measure] for run in runs])) for measure in runs[0]}


if __name__ == "__main__":
    main()
