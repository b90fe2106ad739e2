"""Small areas whose truth is known: the ACS fused onto itself; error, value added and coverage of 90 % margins.

Run: python benchmarks/areas.py [--shared ../shared] [--states 08 11 ...] [--seed 2] [--figure FILE]

Donors are 2 % of the households of all 17 states of the ACS 2024 extract; of their place only state and metropolitan
status are told. Sixteen variables are taken away, fused one by one, and held against what the households of each PUMA
answered.

Settings were chosen on the development states with seed 1: CO DC MA OK RI WY (08 11 25 40 44 56). What is run by
default is the other eleven with seed 2. The icc of every variable is taken from the other variables only;
`--transfer` takes it, of the other variables again, from another run's file.

What has been fused is kept in --out after every variable: the same command goes on where it was stopped, and prints
without fusing when all is there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from acs_2024 import PREDICTORS, PROXIES, STATES, read_households

from fusion_pipeline.inference.area_error import AreaError
from fusion_pipeline.storage.atomic import atomic_file
from fusion_pipeline.validation.area_figures import areas_figure
from fusion_pipeline.validation.area_scores import accuracy, coverage, with_margins
from fusion_pipeline.validation.known_truth import METHODS, KnownTruth, measure_area_error
from fusion_pipeline.validation.self_fusion import Design, SelfFusion

DEVELOPMENT = ("08", "11", "25", "40", "44", "56")
TEST = tuple(state for state in STATES if state not in DEVELOPMENT)
PROJECT = Path(__file__).resolve().parents[1]
LEVELS = {
    "area": "PUMA",
    "part": "PUMA x age",
    "wider": "state",
    "place": "disclosed place (state x metropolitan)",
    "group": "age, everywhere",
}
COLUMNS = {"between_only": "implicates only", "without": "Rubin", "with_area": "with component", "widening": "wider",
           "width_sd": "width / sd"}  # fmt: skip


def main() -> None:
    """Fuse what is missing, print Markdown tables, and draw the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--states", nargs="+", default=list(TEST), choices=STATES, help="fused onto and scored"
    )
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--donors", type=float, default=0.02, help="share of the households of all 17 states")
    parser.add_argument("--implicates", type=int, default=10)
    parser.add_argument("--variables", nargs="+", default=list(PROXIES), choices=PROXIES)
    parser.add_argument("--transfer", type=Path, help="area_error.json of another run")
    parser.add_argument("--shared", type=Path, default=PROJECT.parent / "shared")
    parser.add_argument("--out", type=Path, default=PROJECT / "data" / "areas")
    parser.add_argument("--figure", type=Path, default=PROJECT / "docs" / "images" / "areas.png")
    given = parser.parse_args()
    states = sorted(given.states)
    folder = given.out / f"{'-'.join(states)}_{given.seed}_{given.donors:g}_{given.implicates}"
    table = _compared(given, folder)
    measured_on = {"survey": "ACS 2024", "states": states, "donor_share": given.donors, "seed": given.seed}
    error = measure_area_error(table, ["area"], ["state"], measured_on)
    error.write(folder / "area_error.json")
    scored = with_margins(table, error)
    areas = table.loc[table["level"] == "area", "key"].nunique()
    setting = f"states {' '.join(states)}, {areas} PUMAs, {given.donors:.1%} of households as donors, seed {given.seed}"
    print(f"ACS 2024 onto itself: {setting}, M = {given.implicates}.")
    _print_accuracy(table)
    _print_coverage(scored, error)
    if given.transfer:
        moved = with_margins(table, AreaError.read(given.transfer))
        print(f"\nWith the component measured in {given.transfer.parent.name}:\n")
        print(_coverage_table(coverage(moved, ["level"]), "level", LEVELS))
    command = "python benchmarks/areas.py"
    if states != sorted(TEST):
        command += f" --states {' '.join(states)} --seed {given.seed}"
    source = f"ACS 2024 onto itself: {areas} PUMAs, seed {given.seed}, M = {given.implicates}. {command}"
    figure = areas_figure(accuracy(table), coverage(scored, ["level", "variable"]), source=source)
    given.figure.parent.mkdir(parents=True, exist_ok=True)
    given.figure.write_bytes(figure)


def _compared(given: argparse.Namespace, folder: Path) -> pd.DataFrame:
    """Read what was compared before, and fuse and compare the rest."""
    file = folder / "groups.parquet"
    done = pd.read_parquet(file) if file.is_file() else pd.DataFrame({"variable": []})
    missing = [name for name in given.variables if name not in set(done["variable"])]
    if missing:
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
        setting = SelfFusion.of(households, PROXIES, design)
        onto = setting.recipient["state"].isin(given.states).to_numpy()
        truth = KnownTruth(setting, onto, "age_group", ("state",))
        folder.mkdir(parents=True, exist_ok=True)
        for fused in setting.fused(folder / "models", onto, missing):
            done = pd.concat([done, truth.add(fused)], ignore_index=True)
            with atomic_file(file) as temporary:
                done.to_parquet(temporary)
            print(f"{fused.variable}: done", file=sys.stderr, flush=True)
    order = {name: position for position, name in enumerate(given.variables)}
    kept = done[done["variable"].isin(given.variables)]
    return kept.sort_values("variable", key=lambda v: v.map(order), kind="stable", ignore_index=True)


def _print_accuracy(table: pd.DataFrame) -> None:
    found = accuracy(table)
    for level in ("area", "part"):
        print(f"\nMedian absolute error in percent, and value added, by {LEVELS[level]}:\n")
        at_level = found[found["level"] == level]
        part = at_level.pivot_table(["error_percent", "value_added"], "variable", "method")
        rows = [
            [v, *(f"{part.loc[v, ('error_percent', m)]:.1f}" for m in METHODS),
             *(f"{part.loc[v, ('value_added', m)]:.2f}" for m in METHODS)]
            for v in dict.fromkeys(table["variable"])
        ]  # fmt: skip
        mean = part["value_added"].mean()
        rows.append(["**mean**", *("" for _ in METHODS), *(f"{mean[m]:.2f}" for m in METHODS)])
        print(_markdown(["variable", *(f"{m} %" for m in METHODS), *(f"added {m}" for m in METHODS)], rows))


def _print_coverage(scored: pd.DataFrame, error: AreaError) -> None:
    print("\nArea errors of the proxies:\n")
    print(_markdown(
        ["variable", "icc", "icc, PUMA x age", "of it by state", "residual share", "spread of fused means"],
        [[p.variable, f"{p.icc:.4f} ± {p.standard_error:.4f}", f"{p.icc_finer:.4f}",
          "" if p.icc_wider is None else f"{p.icc_wider:.4f}", f"{p.residual_share:.2f}",
          f"{p.spread:.4f}"] for p in error.proxies],
    ))  # fmt: skip
    print("\nCoverage of 90 % margins, by kind of group (means over variables):\n")
    by_variable = coverage(scored, ["level", "variable"])
    means = by_variable.groupby("level", sort=False)[["groups", "households", *COLUMNS]].mean().reset_index()
    means["groups"] *= by_variable["variable"].nunique()
    print(_coverage_table(means, "level", LEVELS))
    for level in ("area", "part"):
        print(f"\nBy variable, {LEVELS[level]}:\n")
        print(_coverage_table(by_variable[by_variable["level"] == level], "variable"))
        print(f"\nBy households in the group, {LEVELS[level]}:\n")
        by_size = coverage(scored[scored["level"] == level], ["size"]).sort_values("households")
        print(_coverage_table(by_size, "size"))
        print(f"\nBy state, {LEVELS[level]}:\n")
        states = scored[scored["level"] == level].assign(state=scored["key"].str[:2])
        print(_coverage_table(coverage(states, ["state"]).sort_values("state"), "state"))


def _coverage_table(found: pd.DataFrame, first: str, names: dict[str, str] | None = None) -> str:
    rows = [
        [str((names or {}).get(row[first], row[first])), f"{row['groups']:,.0f}", f"{row['households']:,.0f}",
         *(f"{row[c]:.3f}" for c in ("between_only", "without", "with_area")), f"{row['widening']:.2f}",
         f"{row['width_sd']:.2f}"]
        for row in found.to_dict("records")
    ]  # fmt: skip
    return _markdown([first, "groups", "households", *COLUMNS.values()], rows)


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
