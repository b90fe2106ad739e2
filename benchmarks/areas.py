"""Small areas whose truth is known: the ACS fused onto itself; error, value added and coverage of 90 % margins.

Run: make areas, or python benchmarks/areas.py [--states 04 13 ...] [--seed 2] [--shared ../shared]

Donors are 2 % of the households of all 17 states of the ACS 2024 extract; of their place only state and metropolitan status
are told. Eleven variables are taken away, fused one by one, and held against what the households of each PUMA answered.

Settings were chosen on the development states with seed 1: CO DC MA OK RI WY (08 11 25 40 44 56). What is printed by default is
of the other eleven with seed 2. The icc of every variable is taken from the other variables only ("with"); `transfer` takes
it, of the other variables again, from another run's file.

What has been fused is kept in --out: the same command again prints without fusing. Figures and tables go to --docs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from acs_2024 import PREDICTORS, PROXIES, STATES, read_households

from fusion_pipeline.inference.area_error import AreaError
from fusion_pipeline.validation.known_truth import (
    METHODS,
    KnownTruth,
    accuracy,
    coverage,
    measure_area_error,
    with_margins,
)
from fusion_pipeline.validation.self_fusion import Design, SelfFusion

DEVELOPMENT = ("08", "11", "25", "40", "44", "56")
TEST = tuple(state for state in STATES if state not in DEVELOPMENT)


def main() -> None:
    """Fuse what is missing, print Markdown tables, and draw the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    project = Path(__file__).resolve().parents[1]
    parser.add_argument("--states", nargs="+", default=list(TEST), choices=STATES, help="fused onto and scored")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--donors", type=float, default=0.02, help="share of the households of all 17 states")
    parser.add_argument("--implicates", type=int, default=10)
    parser.add_argument("--variables", nargs="+", default=list(PROXIES), choices=PROXIES)
    parser.add_argument("--transfer", type=Path, help="area_error.json of other states")
    parser.add_argument("--shared", type=Path, default=project.parent / "shared")
    parser.add_argument("--out", type=Path, default=project / "data" / "areas")
    parser.add_argument("--docs", type=Path, help="folder for the figures")
    given = parser.parse_args()
    name = f"{'-'.join(sorted(given.states))}_{given.seed}_{given.donors:g}_{given.implicates}"
    file = given.out / name / "groups.parquet"
    done = pd.read_parquet(file) if file.is_file() else pd.DataFrame({"variable": []})
    missing = [v for v in given.variables if v not in set(done["variable"])]
    if missing:
        done = _compare(given, missing, done, file)
    table = done[done["variable"].isin(given.variables)]
    error = measure_area_error(
        table,
        ["area"],
        {"survey": "ACS 2024", "states": sorted(given.states), "donor_share": given.donors, "seed": given.seed},
    )
    error.write(file.parent / "area_error.json")
    scored = with_margins(table, error)
    _print(table, scored, error, given)
    if given.docs:
        from fusion_pipeline.validation.area_figures import coverage_figure, error_figure

        given.docs.mkdir(parents=True, exist_ok=True)
        (given.docs / "areas_error.png").write_bytes(error_figure(accuracy(table)))
        (given.docs / "areas_coverage.png").write_bytes(coverage_figure(coverage(scored, ["level", "variable"])))


def _compare(given: argparse.Namespace, missing: list[str], done: pd.DataFrame, file: Path) -> pd.DataFrame:
    data = given.shared / "data"
    if not (data / "acs_2024").is_dir():
        sys.exit(f"{data / 'acs_2024'} is not there: name the folder with --shared.")
    households = read_households(
        data / "acs_2024", data / "spatial" / "acs5_county" / "puma_cbsa_crosswalk.parquet"
    )
    design = Design(
        area="area",
        disclosed=("state", "metro"),
        predictors=PREDICTORS,
        donors=round(given.donors * len(households)),
        implicates=given.implicates,
        seed=given.seed,
    )
    setting = SelfFusion(households, PROXIES, design)
    onto = setting.recipient["state"].isin(given.states).to_numpy()
    truth = KnownTruth(setting, onto, "age_group")
    for fused in setting.fused(file.parent / "models", onto, missing):
        done = pd.concat([done, truth.add(fused)], ignore_index=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        done.to_parquet(file)
        print(f"{fused.variable}: done", file=sys.stderr, flush=True)
    return done


def _print(table: pd.DataFrame, scored: pd.DataFrame, error: AreaError, given: argparse.Namespace) -> None:
    areas = table.loc[table["level"] == "area", "area"].nunique()
    print(f"States {' '.join(sorted(given.states))}, {areas} PUMAs, seed {given.seed}, M = {given.implicates}.\n")
    print("Median absolute error by PUMA in percent, and value added:\n")
    found = accuracy(table)
    found = found[found["level"] == "area"].pivot(index="variable", columns="method")
    order = list(dict.fromkeys(table["variable"]))
    print(_markdown(
        ["variable", *(f"{m} %" for m in METHODS), *(f"added {m}" for m in METHODS)],
        [[v, *(f"{found.loc[v, ('error_percent', m)]:.1f}" for m in METHODS),
          *(f"{found.loc[v, ('value_added', m)]:.2f}" for m in METHODS)] for v in order],
    ))  # fmt: skip
    print("\nCoverage of 90 % margins: implicates only / Rubin / with the area component (icc of the other variables):\n")
    columns = ["between_only", "without", "with_area", "widening", "width_sd"]
    levels = {level: coverage(scored[scored["level"] == level], ["variable"]).set_index("variable") for level in ("area", "part")}
    iccs = {p.variable: p for p in error.proxies}
    print(_markdown(
        ["variable", "icc", *(f"{name}, {c}" for name in ("PUMA", "PUMA x age") for c in ("between", "Rubin", "with", "wider", "width/sd"))],
        [[v, f"{iccs[v].icc:.4f} ±{iccs[v].standard_error:.4f}", *(f"{levels[k].loc[v, c]:.2f}" for k in ("area", "part") for c in columns)] for v in order]
        + [["**mean**", "", *(f"{levels[k][c].mean():.3f}" for k in ("area", "part") for c in columns)]],
    ))  # fmt: skip
    print("\nBy number of households in the group:\n")
    by_size = coverage(scored, ["level", "size"]).sort_values(["level", "households"])
    print(_markdown(
        ["level", "households", "groups", "Rubin", "with", "wider"],
        [[r.level, r.size, f"{r.groups:,}", f"{r.without:.3f}", f"{r.with_area:.3f}", f"{r.widening:.2f}"] for r in by_size[["level", "size", "groups", "without", "with_area", "widening"]].itertuples(index=False)],
    ))  # fmt: skip
    if given.transfer:
        moved = with_margins(table, AreaError.read(given.transfer))
        shares = coverage(moved, ["level"]).set_index("level")["with_area"]
        print(f"\nWith the icc of {given.transfer.parent.name}: PUMA {shares['area']:.3f}, PUMA x age {shares['part']:.3f}.")


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
