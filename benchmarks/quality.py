"""How good implicates are: the engine on halves of real donors, and on made-up households, against held-out truth.

Run: python benchmarks/quality.py [TASK] [--shared ../shared] [--splits odd even] [--seeds 1 2 3]

TASK is one of
    recs        RECS 2015, five variables; scored by the yardstick's own `score.py`
    shares      RECS 2015, shares of heating, cooling and other use as a block after three variables
    nhts        NHTS 2017, four opinions of 127,000 households
    population  made-up households, nine variables with a block of three

One half is the donor, the other the recipient whose values are held out; both directions, several seeds of training
and drawing. Scores are kept in --out: what is there is not made again, so an interrupted run is repeated to
go on. Prints one Markdown table with a column per run, their mean, and the reference where there is one.

    --options '{"bootstraps": 1}'   settings of `train`, under a --label of their own
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

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
RECS_SHARES = ["heating_share", "cooling_share", "other_share"]
OPINIONS = ["PLACE", "PRICE", "PTRANS", "TRAVEL"]
TO_SAVE = ["BIKE2SAVE", "WALK2SAVE"]
NHTS_NUMBERS = ["HHSIZE", "HHVEHCNT", "DRVRCNT", "NUMADLT", "YOUNGCHILD", "WRKCOUNT"]
NHTS_ORDERED = ["HHFAMINC", "MSASIZE", "HTPPOPDN"]
NHTS_CLASSES = ["HOMEOWN", "LIF_CYC", "RAIL", "URBAN", "CENSUS_D", "HH_RACE", "HH_HISP", "HBHUR"]
NHTS_SUBSETS = ["HHFAMINC", "CENSUS_D", "HH_RACE", "URBAN", "HOMEOWN", "LIF_CYC"]
REFERENCE = "quality_fm_readme_M40.json"
START = {"odd": 0, "even": 1}


@dataclass(frozen=True)
class Data:
    """Households to halve, and what is fused and scored on them."""

    everyone: pd.DataFrame
    y: Sequence[str | Sequence[str]]
    x: Sequence[str]
    weight: str | None
    numbers: Sequence[str]
    classes: Sequence[str]
    subsets: Sequence[str]
    scoring_weight: str = "weight"


def main() -> None:
    """Train, fuse and score what is missing, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    project = Path(__file__).resolve().parents[1]
    parser.add_argument("task", nargs="?", default="recs", choices=TASKS)
    parser.add_argument(
        "--shared", type=Path, default=project.parent / "shared", help="folder of peer/ and data/"
    )
    parser.add_argument("--splits", nargs="+", default=["odd", "even"], choices=list(START))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--implicates", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--options", type=json.loads, default={})
    parser.add_argument("--label", default="default")
    parser.add_argument("--out", type=Path, default=project / "data" / "quality")
    given = parser.parse_args()
    if given.task != "population" and not (given.shared / "peer" / "recs.parquet").is_file():
        sys.exit(f"{given.shared} has no peer/recs.parquet: name the folder with --shared.")
    data = TASKS[given.task](given.shared)
    columns: dict[str, Figures] = {}
    for split in given.splits:
        for seed in given.seeds:
            name = f"{given.label}-{split}-{seed}"
            done = given.out / given.task / name / "figures.json"
            if not done.is_file():
                done.parent.mkdir(parents=True, exist_ok=True)
                done.write_text(json.dumps(_score(data, given, split, seed, done.parent), indent=1) + "\n")
            columns[f"{split} {seed}"] = json.loads(done.read_text())
    rows = list(next(iter(columns.values())))
    columns["mean"] = {row: float(np.mean([c[row] for c in columns.values()])) for row in rows}
    reference = given.shared / "peer" / "reference" / REFERENCE
    if given.task == "recs" and reference.is_file():
        columns["fusionModel (odd)"] = _read_score(reference)
    print(f"| {given.label} | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for row in rows:
        cells = [f"{c[row]:.4g}" if row in c else "" for c in columns.values()]
        print(f"| {row} | {' | '.join(cells)} |")


def _recs(shared: Path) -> Data:
    everyone = pd.read_parquet(shared / "peer" / "recs.parquet")
    return Data(everyone, VARIABLES, PREDICTORS, None, NUMBERS, CLASSES, [])


def _shares(shared: Path) -> Data:
    everyone = pd.read_parquet(shared / "peer" / "recs.parquet")
    subsets = ["income", "race", "education", "division", "urban_rural", "home_type"]
    return Data(everyone, [*NUMBERS, RECS_SHARES], PREDICTORS, None, RECS_SHARES, [], subsets)


def _nhts(shared: Path) -> Data:
    """Households that answered all questions; negative codes are refusals and the like.

    TRAVEL: strongly agrees (1) to walk or to bike to save money.
    """
    columns = [*OPINIONS[:3], *TO_SAVE, *NHTS_NUMBERS, *NHTS_ORDERED, *NHTS_CLASSES, "WTHHFIN"]
    everyone = pd.read_csv(shared / "data" / "nhts_2017" / "hhpub.csv.gz", usecols=columns)
    everyone = everyone[(everyone[[*OPINIONS[:3], *TO_SAVE]] > 0).all(axis=1)].reset_index(drop=True)
    everyone["TRAVEL"] = (everyone[TO_SAVE] == 1).any(axis=1).astype(int)
    for name in (*OPINIONS, *NHTS_ORDERED, *NHTS_CLASSES):
        everyone[name] = pd.Categorical(everyone[name], ordered=name not in NHTS_CLASSES).rename_categories(
            str
        )
    x = [*NHTS_NUMBERS, *NHTS_ORDERED, *NHTS_CLASSES]
    return Data(everyone, OPINIONS, x, "WTHHFIN", [], OPINIONS, NHTS_SUBSETS, "WTHHFIN")


def _population(_shared: Path) -> Data:
    # One population: its coefficients come from the same seed as its households.
    everyone = make_households(MADE_UP_ROWS, seed=11)
    numbers = [*MADE_UP_NUMBERS, *SHARES]
    y = [*SOLO, list(SHARES)]
    return Data(everyone, y, MADE_UP, "weight", numbers, ["cooling", "secure"], MADE_UP_SUBSETS)


TASKS: dict[str, Callable[[Path], Data]] = {
    "recs": _recs,
    "shares": _shares,
    "nhts": _nhts,
    "population": _population,
}


def _score(data: Data, given: argparse.Namespace, split: str, seed: int, folder: Path) -> Figures:
    donor, truth = data.everyone.iloc[START[split] :: 2], data.everyone.iloc[1 - START[split] :: 2]
    drawn, seconds = _fuse(data, donor, truth[list(data.x)], given, seed, folder)
    if given.task != "recs":
        scored = (data.numbers, data.classes, data.x, data.subsets, data.scoring_weight)
        return measure(truth, drawn, *scored) | seconds
    drawn.rename(columns={"implicate": "M"}).to_parquet(folder / "implicates.parquet")
    score = given.shared / "peer" / "score.py"
    command = [
        sys.executable,
        score,
        folder.name,
        folder / "implicates.parquet",
        "--out",
        folder,
        "--split",
        split,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # its own summary is longer than the table
    (folder / "implicates.parquet").unlink()
    return _read_score(folder / f"quality_{folder.name}.json") | seconds


def _fuse(
    data: Data,
    donor: pd.DataFrame,
    recipient: pd.DataFrame,
    given: argparse.Namespace,
    seed: int,
    folder: Path,
) -> tuple[pd.DataFrame, Figures]:
    """Train and fuse; return the implicates, and the CPU seconds of both."""
    start = time.process_time()
    models = train(
        donor.reset_index(drop=True),
        y=data.y,
        x=data.x,
        weight=data.weight,
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
