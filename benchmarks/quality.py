"""How good implicates are: the engine on halves of a real donor, and on made-up households, against held-out truth.

Run: python benchmarks/quality.py [folder with recs.parquet and score.py] [--splits odd even] [--seeds 1 2 3]
     python benchmarks/quality.py --population [--splits odd even] [--seeds 1 2 3]

One half is the donor, the other the recipient whose values are held out; both directions, several seeds of training
and drawing. RECS is scored by the yardstick's own `score.py`; the made-up population by the same measures, computed
in `yardstick.py`. Scores are kept in --out: what is there is not made again, so an interrupted run is repeated to
go on. Prints one Markdown table with a column per run, their mean, and the reference where there is one.

    --options '{"bootstraps": 1}'   settings of `train`, under a --label of their own
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from households import SHARES, SOLO, make_households
from yardstick import Figures, measure

from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.training import train

VARIABLES = ["insulation", "aircon", "square_feet", "electricity", "natural_gas"]
NUMBERS = ["square_feet", "electricity", "natural_gas"]
CLASSES = ["insulation", "aircon"]
PREDICTORS = [
    "income", "age", "race", "education", "employment", "hh_size", "division", "urban_rural", "climate",
    "renter", "home_type", "year_built", "heat_type",
]  # fmt: skip
MADE_UP = [f"number_{j}" for j in range(6)] + [f"rank_{j}" for j in range(4)] + ["class_0", "class_1"]
MADE_UP_NUMBERS = ["use_1", "use_2", "use_3", "months"]
MADE_UP_SUBSETS = ["rank_0", "rank_1", "rank_2", "class_0", "class_1"]
MADE_UP_ROWS = 6_000
REFERENCE = "quality_fm_readme_M40.json"
START = {"odd": 0, "even": 1}


def main() -> None:
    """Train, fuse and score what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    project = Path(__file__).resolve().parents[1]
    parser.add_argument("peer", type=Path, nargs="?", default=project.parent / "shared" / "peer")
    parser.add_argument("--population", action="store_true", help="made-up households instead of RECS")
    parser.add_argument("--splits", nargs="+", default=["odd", "even"], choices=["odd", "even"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--implicates", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--options", type=json.loads, default={})
    parser.add_argument("--label", default="default")
    parser.add_argument("--out", type=Path, default=project / "data" / "quality")
    given = parser.parse_args()
    if not given.population and not (given.peer / "recs.parquet").is_file():
        sys.exit(f"{given.peer} has no recs.parquet: name the folder that has it and score.py.")
    columns: dict[str, Figures] = {}
    for split in given.splits:
        for seed in given.seeds:
            name = f"{given.label}-{split}-{seed}"
            done = given.out / ("population" if given.population else "recs") / name / "figures.json"
            if not done.is_file():
                done.parent.mkdir(parents=True, exist_ok=True)
                figures = (_population if given.population else _recs)(given, split, seed, done.parent)
                done.write_text(json.dumps(figures, indent=1) + "\n")
            columns[f"{split} {seed}"] = json.loads(done.read_text())
    rows = list(next(iter(columns.values())))
    columns["mean"] = {row: float(np.mean([c[row] for c in columns.values()])) for row in rows}
    reference = given.peer / "reference" / REFERENCE
    if not given.population and reference.is_file():
        columns["fusionModel (odd)"] = _read_score(reference)
    print(f"| {given.label} | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for row in rows:
        cells = [f"{c[row]:.4g}" if row in c else "" for c in columns.values()]
        print(f"| {row} | {' | '.join(cells)} |")


def _recs(given: argparse.Namespace, split: str, seed: int, folder: Path) -> Figures:
    recs = pd.read_parquet(given.peer / "recs.parquet")
    donor, recipient = recs.iloc[START[split] :: 2], recs.iloc[1 - START[split] :: 2]
    drawn, figures = _fuse(donor, recipient[PREDICTORS], VARIABLES, None, given, seed, folder)
    drawn.rename(columns={"implicate": "M"}).to_parquet(folder / "implicates.parquet")
    command = [sys.executable, given.peer / "score.py", folder.name, folder / "implicates.parquet"]
    subprocess.run(
        [*command, "--out", folder, "--split", split], check=True, stdout=subprocess.DEVNULL
    )  # its own summary is longer than the table
    (folder / "implicates.parquet").unlink()
    return _read_score(folder / f"quality_{folder.name}.json") | figures


def _population(given: argparse.Namespace, split: str, seed: int, folder: Path) -> Figures:
    # One population: its coefficients come from the same seed as its households.
    everyone = make_households(MADE_UP_ROWS, seed=11)
    donor, recipient = everyone.iloc[START[split] :: 2], everyone.iloc[1 - START[split] :: 2]
    y: list[str | list[str]] = [*SOLO, list(SHARES)]
    drawn, figures = _fuse(donor, recipient[MADE_UP], y, "weight", given, seed, folder)
    numbers = [*MADE_UP_NUMBERS, *SHARES]
    classes = ["cooling", "secure"]
    return measure(recipient, drawn, numbers, classes, MADE_UP, MADE_UP_SUBSETS, "weight") | figures


def _fuse(
    donor: pd.DataFrame,
    recipient: pd.DataFrame,
    y: list[Any],
    weight: str | None,
    given: argparse.Namespace,
    seed: int,
    folder: Path,
) -> tuple[pd.DataFrame, Figures]:
    """Train and fuse; return the implicates, and the CPU seconds of both."""
    start = time.process_time()
    models = train(
        donor.reset_index(drop=True),
        y=y,
        x=list(recipient.columns),
        weight=weight,
        out=folder / "models",
        seed=seed,
        threads=given.threads,
        **given.options,
    )
    trained = time.process_time()
    drawn = fuse(
        recipient.reset_index(drop=True),
        models,
        implicates=given.implicates,
        seed=seed,
        retain=(),
        threads=given.threads,
    )
    seconds = {"train, CPU s": trained - start, "fuse, CPU s": time.process_time() - trained}
    assert not isinstance(drawn, Path)
    return drawn.to_pandas(), seconds


def _read_score(file: Path) -> Figures:
    """Take the rows of the table from what `score.py` wrote."""
    score = json.loads(file.read_text())
    rows: Figures = {}
    for label, key in (("KS", "ks_pooled"), ("CRPS", "crps"), ("record coverage", "pi90_cover")):
        for v in NUMBERS:
            rows[f"{label} {v}"] = score["marginal"][v][key]
    ratio = {f"sd {v}": score["marginal"][v]["sd_sim"] / score["marginal"][v]["sd_truth"] for v in NUMBERS}
    rows = ratio | rows
    for v in CLASSES:
        rows[f"TVD {v}"] = score["marginal"][v]["tvd"]
        rows[f"Brier {v}"] = score["marginal"][v]["brier_fair"]
    every = score["subset"]["ALL"]
    rows |= {
        "subset MdAPE": every["mdape"],
        "value added": every["V_mean"],
        "subset coverage, between only": every["cover90_B_only"],
        "subset coverage, Rubin": every["cover90"],
        "fused-fused slope": score["corr"]["yy_attenuation_slope"],
        "fused-predictor slope": score["corr"]["yx_attenuation_slope"],
        "AUC": score["c2st_auc"][0],
    }
    return rows


if __name__ == "__main__":
    main()
