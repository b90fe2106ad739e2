"""What spatial predictors and draws of PUMAs are worth in the simulated world, where every donor's PUMA is known.

Run, after `make demo`: python benchmarks/simulated_place.py [--data data/simulated] [--seed 1]

RECS 2015 onto ACS 2015: donors disclose their RECS division. One mean model (LightGBM, settings of `place.py`) a
variable and scheme is trained on the donors; PUMA means of its predictions for the recipients are held against the
recipients' true answers. `none` knows no place, `division` what is disclosed; `drawn k` are k PUMAs given division and
predictors, `informed k` given all of the pair's fusion variables too (`impute_puma`); `true` is the PUMA where the
donor lives.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from place import LEAF, ROUNDS, TREES

from fusion_pipeline.geography.predictors import MARK, place_predictors
from fusion_pipeline.geography.puma_imputation import Evidence, impute_puma
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef, codes_of

PAIR, YEAR, PUMAS = "RECS_2015__ACS_2015", "2015", "puma10"
VARIABLES = ("btuel", "dollarel", "btung", "insec")
DRAWS = (1, 5, 10)


class World:
    """Donors, recipients, what is known of places, and the truth of both sides."""

    def __init__(self, data: Path) -> None:
        layout, registry = Layout(data), load_registry()
        sides = layout.tables(("fusion", "harmonized"), PAIR)
        self.donor, self.recipient = (TableRef(sides / f"{s}.parquet").read() for s in ("donor", "recipient"))
        self.concordance = TableRef(layout.table(("geography", "concordance"), PUMAS)).read()
        summaries = TableRef(layout.table(("geography", "predictors"), YEAR)).read()
        datasets = {
            name: TableRef(layout.table(("spatial", "summaries"), key))
            for key, (name, pumas) in registry.summaries.items()
            if pumas == PUMAS
        }
        self.places = place_predictors(summaries, datasets, registry.windows, int(YEAR)).table
        self.index = pd.MultiIndex.from_frame(self.places.select(["state", PUMAS]).to_pandas().astype(str))
        names = [name for name in self.places.column_names if MARK in name]
        self.known = self.places.select(names).to_pandas().to_numpy(np.float64)
        truth = data / "raw" / "truth"
        self.of_donor = _truth(truth / "recs_2015.parquet", self.donor)
        self.of_recipient = _truth(truth / "acs_2015.parquet", self.recipient)
        self.home, self.scored_home = (self.areas(t) for t in (self.of_donor, self.of_recipient))
        self.predictors = [name for name in self.donor.column_names if "__" in name]
        self.x, self.scored = (_matrix(t, self.predictors) for t in (self.donor, self.recipient))
        self.weight, self.scored_weight = (t["weight"].to_numpy() for t in (self.donor, self.recipient))
        self.fused = [v for v in registry.pair(PAIR).variables if v in self.of_donor]

    def areas(self, table: pd.DataFrame) -> np.ndarray:
        """Positions of the PUMAs of rows."""
        return self.index.get_indexer(pd.MultiIndex.from_frame(table[["state", PUMAS]].astype(str)))

    def drawn(self, draws: int, seed: int, *, informed: bool) -> np.ndarray:
        """(donors, draws) areas."""
        values = pa.Table.from_pandas(self.of_donor[self.fused], preserve_index=False)
        found = impute_puma(
            self.donor,
            self.recipient,
            self.concordance,
            locations=["recs_division"],
            predictors=self.predictors,
            seed=seed,
            draws=draws,
            evidence=Evidence(values, self.places) if informed else None,
        )
        others = found.draws.to_pandas()
        first = self.areas(found.table.select(["state", PUMAS]).to_pandas())
        rest = (
            self.areas(others).reshape(draws - 1, len(first)) if draws > 1 else np.empty((0, len(first)), int)
        )
        return np.vstack([first, rest]).T

    def score(
        self, variable: str, areas: np.ndarray | None, *, division: bool = False
    ) -> tuple[float, float]:
        """Median absolute error of PUMA means in percent, and the slope of fused on true means."""
        import lightgbm as lgb

        copies = 1 if areas is None else areas.shape[1]
        x, scored = np.tile(self.x, (copies, 1)), self.scored
        if areas is not None:
            x = np.hstack([x, self.known[areas.T.reshape(-1)]])
            scored = np.hstack([scored, self.known[self.scored_home]])
        if division:
            of_area = pd.factorize(self._divisions(), sort=True)[0]
            x = np.column_stack([x, of_area[self.home]])
            scored = np.column_stack([scored, of_area[self.scored_home]])
        y, w = np.tile(_number(self.of_donor[variable]), copies), np.tile(self.weight / copies, copies)
        categories = [x.shape[1] - 1] if division else []
        data = lgb.Dataset(x, y, weight=w / w.mean(), categorical_feature=categories)
        model = lgb.train({**TREES, "min_data_in_leaf": LEAF * copies}, data, ROUNDS)
        truth, fused = _number(self.of_recipient[variable]), model.predict(scored, num_threads=1)
        total = np.bincount(self.scored_home, weights=self.scored_weight)
        there = total > 0
        true, fused = (
            np.bincount(self.scored_home, weights=self.scored_weight * v)[there] / total[there]
            for v in (truth, fused)
        )
        some = true != 0
        return float(100 * np.median(np.abs(fused[some] / true[some] - 1))), float(
            np.polyfit(true, fused, 1)[0]
        )

    def near(self, areas: np.ndarray) -> list[float]:
        """Share of draws in the true PUMA and state; squared distance of spatial predictors / of two at random."""
        state = self.index.get_level_values(0).to_numpy()
        ranks = np.nan_to_num(self.known, nan=0.5)
        apart = ((ranks[areas] - ranks[self.home][:, None]) ** 2).sum()
        among = 2 * ((ranks[self.home] - ranks[self.home].mean(axis=0)) ** 2).sum() * areas.shape[1]
        home = self.home[:, None]
        return [
            float((areas == home).mean()),
            float((state[areas] == state[home]).mean()),
            float(apart / among),
        ]

    def _divisions(self) -> np.ndarray:
        pieces = (
            self.concordance.select(["state", "recs_division"])
            .to_pandas()
            .astype(str)
            .drop_duplicates("state")
        )
        return pieces.set_index("state")["recs_division"].reindex(self.index.get_level_values(0)).to_numpy()


def main() -> None:
    """Print two tables in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data/simulated"))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if not (given.data / "fusion" / "harmonized" / PAIR).is_dir():
        sys.exit(f"{given.data} has no {PAIR}: run `make demo`, or name the folder with --data.")
    world = World(given.data)
    known = {"drawn": False, "informed": True}
    drawn = {
        f"{kind} {k}": world.drawn(k, given.seed, informed=informed)
        for kind, informed in known.items()
        for k in DRAWS
    }
    places = drawn | {"true": world.home[:, None]}
    print(
        f"{world.donor.num_rows:,} donors, {world.recipient.num_rows:,} recipients, {len(world.index)} PUMAs.\n"
    )
    print("| PUMA of a donor | true PUMA | true state | squared distance of spatial predictors / random |")
    print("|---|---:|---:|---:|")
    for name in ("drawn 10", "informed 10"):
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in world.near(drawn[name]))} |")
    print(f"\n| PUMA of a donor in training | {' | '.join(VARIABLES)} |\n|---|{'---:|' * len(VARIABLES)}")
    for name in ("none", "division", *places):
        cells = [world.score(v, places.get(name), division=name == "division") for v in VARIABLES]
        print(f"| {name} | {' | '.join(f'{error:.1f}, {slope:.2f}' for error, slope in cells)} |", flush=True)


def _truth(path: Path, table: pa.Table) -> pd.DataFrame:
    return pd.read_parquet(path).set_index("hid").loc[table["hid"].to_numpy()].reset_index()


def _number(values: pd.Series) -> np.ndarray:
    """Numbers as they are; of yes and no, whether it is yes."""
    return (
        (values == "Yes").to_numpy(float)
        if isinstance(values.dtype, pd.CategoricalDtype)
        else values.to_numpy(float)
    )


def _matrix(table: pa.Table, names: list[str]) -> np.ndarray:
    columns = [table[n] for n in names]
    return np.column_stack(
        [codes_of(c) if pa.types.is_dictionary(c.type) else c.to_numpy().astype(np.float32) for c in columns]
    ).astype(np.float32)


if __name__ == "__main__":
    main()
