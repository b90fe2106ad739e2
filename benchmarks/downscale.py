"""Below the PUMA on a simulated world whose truth is known: error and coverage of 90 % margins, by size of area.

Run: python benchmarks/downscale.py [--pumas 6] [--households 40000] [--own 0.05] [--seed 1]

Everyone in some simulated PUMAs lives in a block group of a tract. A sample has implicates drawn from the truth's own
distribution; six tables count the areas' households. Compared with the true means of every area: the PUMA's
estimate taken for each of its areas, and `downscale` on true tables, on tables that a survey estimated, and on the same
with their margins of error. Coverage is given without and with what areas have beyond their tables, and by how much the
margins widen.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd

import fusion_pipeline as fp
from fusion_pipeline.downscaling.holdout import foretold
from fusion_pipeline.simulate.small_areas import AREAS, SmallAreas, draw_small_areas

PUMA = ["state", "puma10"]
ESTIMATES = {
    "btuel": ("mean(btuel)", None, "electricity"),
    "dollars": ("mean(dollars)", None, "energy bill"),
    "insec": ("proportion(insec)", "Yes", "insecure"),
    "area": ("mean(area)", None, "floor area"),
}
METHODS = ("PUMA's", "true tables", "survey's tables", "with moe")
SIZES = (0, 100, 300, 1_000, 3_000, np.inf)
REPLICATES = [f"rep_{r}" for r in range(1, 81)]


def main() -> None:
    """Draw the world, estimate each way, and print Markdown tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pumas", type=int, default=6)
    parser.add_argument("--households", type=int, default=40_000, help="of each PUMA")
    parser.add_argument("--sample", type=float, default=0.05, help="share of them that have implicates")
    parser.add_argument("--sampled", type=float, default=0.10, help="share behind the survey's tables")
    parser.add_argument("--implicates", type=int, default=10)
    parser.add_argument(
        "--own", type=float, default=0.05, help="what no variable shows, sd of log electricity"
    )
    parser.add_argument("--sorting", type=float, default=0.5, help="how unlike neighbourhoods are")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    world = draw_small_areas(
        given.pumas,
        given.households,
        sample=given.sample,
        implicates=given.implicates,
        own=given.own,
        sorting=given.sorting,
        seed=given.seed,
    )
    compared = pd.concat([_compared(world, area, given.sampled) for area in AREAS], ignore_index=True)
    print(
        f"{given.pumas} PUMAs of {given.households:,} households, {given.sample:.0%} of them with implicates, "
        f"seed {given.seed}."
    )
    compared["size"] = pd.cut(compared["households"], SIZES, right=False)
    for kind, part in compared.groupby("kind", sort=False):
        print(
            f"\nMedian absolute error in percent of the truth, and coverage, {kind} ({part['key'].nunique()}):\n"
        )
        _print(part, "variable")
    print("\nBy households in the area, tracts and block groups, all four estimates:\n")
    _print(compared, "size")
    mean = compared[compared["method"].isin(METHODS[1:])]
    off = (mean["estimate"] - mean["truth"]).abs()
    mean = mean.assign(covered=off <= mean["margin"], without=off <= mean["margin_without"])
    print("\nMeans over areas and variables:\n")
    print(mean.groupby("method")[["without", "covered"]].mean().round(2).to_string())
    print("\nEach table left out (true tables): percent of households in the wrong level, and value added\n")
    for area in AREAS:
        found = foretold(world.households, world.tables(area), area=area, puma=PUMA)
        parts = [
            f"{r.variable} {100 * r.wrong:.0f} ({100 * r.wrong_puma:.0f}), {r.added:.2f}"
            for r in found.itertuples()
        ]
        print(f"{area}: {'; '.join(parts)}")


def _compared(world: SmallAreas, area: str, sampled: float) -> pd.DataFrame:
    truth = world.truth(area)
    found = [_puma_estimates(world, area)]
    tables = world.tables(area, sampled=sampled)
    for method, given in zip(
        METHODS[1:], (world.tables(area), tables.drop(columns="moe"), tables), strict=True
    ):
        start = time.process_time()
        placed = fp.downscale(world.households, given, area=area, puma=PUMA)
        seconds = time.process_time() - start
        print(
            f"{area}, {method}: {placed.pumas['converged'].sum()} of {len(placed.pumas)} PUMAs converged in "
            f"{placed.pumas['iterations'].min()} to {placed.pumas['iterations'].max()} rounds, "
            f"largest gap {placed.areas['gap'].max():.1e}, {seconds:.1f} s CPU"
        )
        result = placed.analyze(
            world.fused,
            world.households,
            estimates=[e for e, _, _ in ESTIMATES.values()],
            replicate_weights=REPLICATES,
        )
        found.append(_tidy(result.table, area).assign(method=method))
    table = pd.concat(found, ignore_index=True)
    true = truth[list(ESTIMATES)].rename_axis("key").reset_index().melt("key", value_name="truth")
    table = table.merge(true, on=["key", "variable"], validate="many_to_one")
    return table.assign(kind=area.replace("_", " ") + "s", households=table["key"].map(truth["households"]))


def _puma_estimates(world: SmallAreas, area: str) -> pd.DataFrame:
    result = fp.analyze(
        world.fused,
        _arrow(world.households),
        estimates=[e for e, _, _ in ESTIMATES.values()],
        by=PUMA,
        replicate_weights=REPLICATES,
    )
    within = world.everyone[[*PUMA, area]].drop_duplicates()
    return _tidy(result.table.merge(within, on=PUMA), area).assign(method=METHODS[0])


def _arrow(frame: pd.DataFrame) -> object:
    import pyarrow as pa

    return pa.Table.from_pandas(frame, preserve_index=False)


def _tidy(table: pd.DataFrame, area: str) -> pd.DataFrame:
    kept = table["level"].isna() | (table["level"] == "Yes")
    columns = [area, "variable", "estimate", "margin", "margin_without"]
    return table[kept].reindex(columns=columns).rename(columns={area: "key"})


def _print(compared: pd.DataFrame, by: str) -> None:
    scored = compared.assign(
        error=100 * (compared["estimate"] / compared["truth"] - 1).abs(),
        covered=(compared["estimate"] - compared["truth"]).abs() <= compared["margin"],
        without=(compared["estimate"] - compared["truth"]).abs()
        <= compared["margin_without"].fillna(compared["margin"]),
        wider=compared["margin"] / compared["margin_without"].fillna(compared["margin"]),
    )
    rows_of = {"index": by, "columns": "method", "observed": True}
    order = list(ESTIMATES) if by == "variable" else sorted(scored[by].unique())
    error = scored.pivot_table("error", aggfunc="median", **rows_of)
    covered, without = (
        scored.pivot_table(name, aggfunc="mean", **rows_of) for name in ("covered", "without")
    )
    wider = scored.pivot_table("wider", aggfunc="median", **rows_of)
    areas = scored.groupby(by, observed=True)["key"].nunique()
    head = [by, "areas", *(f"{m} %" for m in METHODS), *(f"{m} covered" for m in METHODS)]
    rows = [
        [
            ESTIMATES[key][2] if by == "variable" else _size(key),
            f"{areas[key]}",
            *(f"{error.loc[key, m]:.1f}" for m in METHODS),
            f"{covered.loc[key, METHODS[0]]:.2f}",
            *(
                f"{without.loc[key, m]:.2f} → {covered.loc[key, m]:.2f} (×{wider.loc[key, m]:.1f})"
                for m in METHODS[1:]
            ),
        ]
        for key in order
    ]
    for line in (head, ["---", *["---:"] * (len(head) - 1)], *rows):
        print(f"| {' | '.join(line)} |")


def _size(key: pd.Interval) -> str:
    return f"{key.left:,.0f} and more" if np.isinf(key.right) else f"{key.left:,.0f} to {key.right - 1:,.0f}"


if __name__ == "__main__":
    main()
