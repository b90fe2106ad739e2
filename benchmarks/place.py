"""What knowing less of a donor's place costs, and how much of it PUMA imputation wins back: ACS 2024 onto itself.

Run: python benchmarks/place.py [--disclosed state metro | state] [--states 08 11 ...] [--seed 1] [--donors 5000]

Donors are drawn from all 17 states of the extract; their PUMA is hidden. One mean model (LightGBM) a variable and
scheme is trained on them and predicts every other household of the scored states; PUMA means of the predictions are
held against those of the answers. The spatial predictors are PUMA means of predictors and proxies; the variable's own,
and those it is made of, are left out.

Schemes: `none` and `group` know no place, or what is disclosed; `gower` is one household by Gower's distance (the
reference's way); `expected` trains on the spatial predictors expected over the candidates; `drawn k` trains on k PUMAs
given location and predictors, `informed k` given the variable too (`impute_puma`); `joint k` given all proxies at once,
whose own summaries nobody has then; `true` knows the PUMA. `ridge` is linear in the spatial predictors expected over
the candidates (regression calibration), `ridge true` in those of the true PUMA. In brackets: the share of the way from
`none` to `true`.

Settings of the library were chosen on CO DC MA OK RI WY (08 11 25 40 44 56) with seeds 1 and 2.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from acs_2024 import PREDICTORS, PROXIES, STATES, read_households
from gower import draw_similar

from fusion_pipeline.geography.area_effects import AreaEffects, components, fit_area_effects
from fusion_pipeline.geography.area_model import fit_area_model
from fusion_pipeline.geography.candidates import Candidates, Location
from fusion_pipeline.geography.evidence import signals
from fusion_pipeline.geography.profiles import Features, profiles
from fusion_pipeline.geography.puma_imputation import draw_pumas
from fusion_pipeline.randomness import stream
from fusion_pipeline.validation.self_fusion import Design, area_summaries, sampled

PROJECT = Path(__file__).resolve().parents[1]
DEVELOPMENT = ("08", "11", "25", "40", "44", "56")
MADE_OF = {"income": ("wages", "other_income"), "wages": ("income", "other_income"),
           "other_income": ("income", "wages")}  # fmt: skip
SHOWN = ("income", "property_value", "commute_minutes", "rent")
SCHEMES = ("none", "group", "gower", "expected", "ridge", "ridge true", "drawn 1", "drawn 5", "drawn 10", "informed 1",
           "informed 5", "informed 10", "true", "joint none", "joint ridge true", "joint drawn 5", "joint 5",
           "joint true")  # fmt: skip
TREES = {"objective": "regression", "num_leaves": 15, "learning_rate": 0.09, "feature_fraction": 0.7, "lambda_l2": 1.0,
         "cat_smooth": 30, "seed": 1, "deterministic": True, "force_row_wise": True, "num_threads": 1,
         "verbose": -1}  # fmt: skip
ROUNDS, LEAF = 100, 40


class World:
    """Donors whose PUMA is hidden, the others, and what is known of places."""

    def __init__(self, households: pd.DataFrame, disclosed: tuple[str, ...], donors: int, seed: int, scored):
        self.seed = seed
        place = [name for name in PREDICTORS if name in ("state", "metro")]
        self.predictors = [name for name in PREDICTORS if name not in place]
        design = Design("area", disclosed, PREDICTORS, donors, seed=seed)
        chosen = sampled(len(households), design)
        self.donor, recipient = (households[rows].reset_index(drop=True) for rows in (chosen, ~chosen))
        self.summaries = area_summaries(recipient, [*self.predictors, *PROXIES], design)
        areas = self.summaries.index
        home, weight = areas.get_indexer(recipient["area"]), recipient["weight"].to_numpy()
        self.by_area = np.bincount(home, weights=weight)
        self.home = areas.get_indexer(self.donor["area"])
        self.weight = self.donor["weight"].to_numpy()
        first, second = (_table(frame[self.predictors]) for frame in (self.donor, recipient))
        of_donor, of_recipient = profiles(first, second, self.predictors)
        features = Features.of(of_recipient, weight)
        groups = recipient.groupby(list(disclosed), observed=True).indices
        self.group = np.zeros(donors)
        started = time.process_time()
        locations, self.gower = [], np.empty(donors, dtype=np.int64)
        for number, (place, rows) in enumerate(
            self.donor.groupby(list(disclosed), observed=True).indices.items()
        ):
            there = groups[place]
            model = fit_area_model(features(of_recipient.take(there)), home[there], weight[there])
            locations.append(Location(str(place), rows, model, 1.0, np.zeros(len(areas))))
            self.group[rows] = number
        self.seconds = time.process_time() - started
        for location in locations:
            there = groups[self.donor.loc[location.donors[0], list(disclosed)].pipe(_key)]
            uniform = stream(seed, "gower", location.label).random(len(location.donors))
            drawn = draw_similar(
                of_donor.take(location.donors), of_recipient.take(there), weight[there], uniform
            )
            self.gower[location.donors] = home[there[drawn.candidate]]
        self.candidates = Candidates(locations, of_donor, features)
        self.features = features(of_donor)
        keep = recipient["state"].isin(scored).to_numpy()
        self.scored_features = features(of_recipient.take(np.flatnonzero(keep)))
        self.scored, self.scored_home = recipient[keep].reset_index(drop=True), home[keep]
        self.scored_group = np.zeros(len(self.scored))
        places = self.scored.groupby(list(disclosed), observed=True).indices
        for location in locations:
            of_place = places.get(_key(self.donor.loc[location.donors[0], list(disclosed)]))
            if of_place is not None:
                self.scored_group[of_place] = self.group[location.donors[0]]
        self.x, self.categories = _matrix(self.donor[self.predictors])
        self.x_scored, _ = _matrix(self.scored[self.predictors])

    def known(self, left_out: tuple[str, ...]) -> np.ndarray:
        """(areas, Q) standardized spatial predictors."""
        made = [f"area..{name}" for name in left_out]
        kept = self.summaries.drop(columns=[name for name in self.summaries if name in made])
        return ((kept - kept.mean()) / kept.std()).to_numpy()

    def effects(self, variables: list[str], known: np.ndarray) -> AreaEffects:
        """Effects of place on variables."""
        of_place = components(known, self.by_area)
        return fit_area_effects(
            signals(_table(self.donor[variables])),
            self.features,
            self.candidates.expected(of_place),
            of_place,
            self.weight,
        )

    def drawn(self, draws: int, effects: AreaEffects | None = None) -> np.ndarray:
        """(donors, draws) areas."""
        return draw_pumas(self.candidates, self.seed, draws, effects)[0]

    def quality(self, known: np.ndarray, effects: AreaEffects | None = None) -> list[float]:
        """Probability of the true PUMA, its logarithm, and squared distance of drawn from true spatial predictors."""
        right, log, near, far = [], [], [], []
        for location, rows, probability in self.candidates.by_block():
            if effects is not None:
                told = effects.log_likelihood(rows, location.pumas)
                probability = probability * np.exp(told - told.max(axis=1, keepdims=True))
                probability /= probability.sum(axis=1, keepdims=True)
            own = probability[np.arange(len(rows)), np.searchsorted(location.pumas, self.home[rows])]
            right.append(own)
            log.append(np.log(np.maximum(own, 1e-12)))
            values = known[location.pumas]
            mean = probability @ values
            near.append(
                probability @ values**2 - 2 * mean * known[self.home[rows]] + known[self.home[rows]] ** 2
            )
            far.append((known[self.home[rows]] - known.mean(axis=0)) ** 2)
        join = np.concatenate
        return [join(right).mean(), join(log).mean(), join(near).mean() / (2 * join(far).mean())]

    def predicted(self, variable: str, known: np.ndarray | None, areas: np.ndarray | None) -> np.ndarray:
        """Predictions for the scored households, of a model of donors in `areas` (donors, draws)."""
        copies = 1 if areas is None else areas.shape[1]
        x, scored = np.tile(self.x, (copies, 1)), self.x_scored
        if known is not None and areas is not None:
            x, scored = (
                np.hstack([x, known[areas.T.reshape(-1)]]),
                np.hstack([scored, known[self.scored_home]]),
            )
        return self._trees(variable, x, scored, self.categories, copies)

    def with_group(self, variable: str) -> np.ndarray:
        """Predictions of a model that knows what is disclosed."""
        x, scored = (
            np.column_stack(pair) for pair in ((self.x, self.group), (self.x_scored, self.scored_group))
        )
        return self._trees(variable, x, scored, [*self.categories, self.x.shape[1]], 1)

    def with_expected(self, variable: str, known: np.ndarray) -> np.ndarray:
        """Predictions of a model of expected spatial predictors."""
        x = np.hstack([self.x, self.candidates.expected(known)])
        return self._trees(
            variable, x, np.hstack([self.x_scored, known[self.scored_home]]), self.categories, 1
        )

    def with_ridge(self, variable: str, of_donors: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Predictions of a model that is linear in predictors and (donors, Q) spatial predictors."""
        from sklearn.linear_model import RidgeCV

        model = RidgeCV(alphas=np.logspace(0, 4, 9))
        x = np.hstack([self.features, of_donors])
        model.fit(x, self.donor[variable].to_numpy(float), sample_weight=self.weight / self.weight.mean())
        return model.predict(np.hstack([self.scored_features, known[self.scored_home]]))

    def _trees(self, variable, x, scored, categories, copies) -> np.ndarray:
        import lightgbm as lgb

        y, weight = (np.tile(v, copies) for v in (self.donor[variable].to_numpy(float), self.weight / copies))
        data = lgb.Dataset(x, y, weight=weight / weight.mean(), categorical_feature=categories)
        model = lgb.train({**TREES, "min_data_in_leaf": LEAF * copies}, data, ROUNDS)
        return model.predict(scored, num_threads=1)

    def score(self, variable: str, predicted: np.ndarray) -> tuple[float, float]:
        """Median absolute error of PUMA means in percent, and the slope of predicted on true means."""
        weight, truth = self.scored["weight"].to_numpy(), self.scored[variable].to_numpy(float)
        total = np.bincount(self.scored_home, weights=weight)
        there = total > 0
        true, fused = (
            np.bincount(self.scored_home, weights=weight * v)[there] / total[there]
            for v in (truth, predicted)
        )
        some = true != 0
        error = 100 * np.median(np.abs(fused[some] / true[some] - 1))
        return float(error), float(np.polyfit(true, fused, 1)[0])


def main() -> None:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--disclosed", nargs="+", default=["state", "metro"], choices=("state", "metro"))
    parser.add_argument("--states", nargs="+", default=[s for s in STATES if s not in DEVELOPMENT])
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--donors", type=int, default=5_000)
    parser.add_argument("--variables", nargs="+", default=list(SHOWN), choices=PROXIES)
    parser.add_argument("--schemes", nargs="+", default=list(SCHEMES), choices=SCHEMES)
    parser.add_argument("--shared", type=Path, default=PROJECT.parent / "shared")
    given = parser.parse_args()
    data = given.shared / "data"
    if not (data / "acs_2024").is_dir():
        sys.exit(f"{data / 'acs_2024'} is not there: name the folder with --shared.")
    crosswalk = data / "spatial" / "acs5_county" / "puma_cbsa_crosswalk.parquet"
    households = read_households(data / "acs_2024", crosswalk)
    world = World(households, tuple(given.disclosed), given.donors, given.seed, given.states)
    scored = f"{' '.join(given.states)}, {len(np.unique(world.scored_home))} PUMAs"
    groups = f"{len(world.candidates.locations)} groups, {len(world.by_area)} PUMAs"
    print(f"ACS 2024 onto itself: {given.donors:,} donors of 17 states, seed {given.seed}.")
    print(f"Disclosed: {' x '.join(given.disclosed)} ({groups}). Scored: {scored}.")
    print(f"Finding candidates took {world.seconds:.0f} CPU seconds.")
    rows, quality = [], []
    proxies_known = world.known(PROXIES)
    joint = None
    if any(scheme.startswith("joint") for scheme in given.schemes):
        joint = world.effects(list(PROXIES), proxies_known)
        quality.append(["all proxies", *world.quality(proxies_known, joint)])
    quality.insert(0, ["predictors", *world.quality(proxies_known)])
    for variable in given.variables:
        known = world.known((variable, *MADE_OF.get(variable, ())))
        informed = world.effects([variable], known)
        quality.append([variable, *world.quality(known, informed)])
        for scheme in given.schemes:
            predicted = _predicted(world, scheme, variable, known, informed, proxies_known, joint)
            rows.append([variable, scheme, *world.score(variable, predicted)])
        print(f"{variable}: done", file=sys.stderr, flush=True)
    _print(pd.DataFrame(rows, columns=["variable", "scheme", "error", "slope"]), quality)


def _predicted(world, scheme, variable, known, informed, proxies_known, joint) -> np.ndarray:
    kind, _, number = scheme.rpartition(" ") if scheme[-1].isdigit() else (scheme, "", "")
    if scheme in ("none", "joint none"):
        return world.predicted(variable, None, None)
    if scheme == "group":
        return world.with_group(variable)
    if scheme == "expected":
        return world.with_expected(variable, known)
    if scheme.endswith(("ridge", "ridge true")):
        seen = proxies_known if scheme.startswith("joint") else known
        of_donors = seen[world.home] if scheme.endswith("true") else world.candidates.expected(seen)
        return world.with_ridge(variable, of_donors, seen)
    areas = {
        "gower": lambda: world.gower[:, None],
        "true": lambda: world.home[:, None],
        "joint true": lambda: world.home[:, None],
        "drawn": lambda: world.drawn(int(number)),
        "joint drawn": lambda: world.drawn(int(number)),
        "informed": lambda: world.drawn(int(number), informed),
        "joint": lambda: world.drawn(int(number), joint),
    }[kind]()
    return world.predicted(variable, proxies_known if scheme.startswith("joint") else known, areas)


def _print(found: pd.DataFrame, quality: list) -> None:
    print("\nWhere donors live, given:\n")
    head = [
        "given",
        "probability of the true PUMA",
        "log score",
        "squared distance of spatial predictors / random",
    ]
    print(_markdown(head, [[row[0], *(f"{value:.3f}" for value in row[1:])] for row in quality]))
    variables, schemes = list(dict.fromkeys(found["variable"])), list(dict.fromkeys(found["scheme"]))
    error, slope = (found.pivot_table(values, "scheme", "variable") for values in ("error", "slope"))
    print("\nMedian absolute error of PUMA means in percent, recovered, and slope of fused on true means:\n")
    rows = []
    for scheme in schemes:
        none, true = ("joint none", "joint true") if scheme.startswith("joint") else ("none", "true")
        cells = []
        for v in variables:
            cell = f"{error.loc[scheme, v]:.1f}"
            if {none, true} <= set(schemes) and scheme not in (none, true):
                way = (error.loc[none, v] - error.loc[scheme, v]) / (error.loc[none, v] - error.loc[true, v])
                cell += f" ({way:.2f})"
            cells.append(f"{cell}, {slope.loc[scheme, v]:.2f}")
        rows.append([scheme, *cells])
    print(_markdown(["scheme", *variables], rows))


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _key(values: pd.Series) -> object:
    return tuple(values) if len(values) > 1 else values.iloc[0]


def _table(frame: pd.DataFrame) -> pa.Table:
    flags = frame.select_dtypes("bool").columns
    frame = frame.assign(
        **{name: pd.Categorical(frame[name].astype(str), ["False", "True"]) for name in flags}
    )
    return pa.Table.from_pandas(frame, preserve_index=False)


def _matrix(frame: pd.DataFrame) -> tuple[np.ndarray, list[int]]:
    codes = [isinstance(frame[name].dtype, pd.CategoricalDtype) for name in frame]
    columns = [frame[n].cat.codes if c else frame[n] for n, c in zip(frame, codes, strict=True)]
    return np.column_stack([c.to_numpy(np.float32) for c in columns]), [int(j) for j in np.flatnonzero(codes)]


if __name__ == "__main__":
    main()
