"""The ACS fused onto itself: fusion of variables whose truth is known in every area.

Belongs here: a donor survey made from a sample of the recipient, with its areas hidden; fusion of proxies, one at a
time; the values that were held out. Does not belong here: what is concluded for margins (`inference/area_error.py`),
comparison with other methods (`known_truth.py`), where the households come from.

A donor survey is small and does not say where its households live, so nobody can check its fused variables in a small
area. But the recipient has variables of its own that are not predictors: as proxies they are taken away, fused from a
sample as small as the donor survey, with the same predictors and the same ignorance of place, and held against what
the recipient's households really answered.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.training import train
from fusion_pipeline.geography.area_effects import components, fit_area_effects
from fusion_pipeline.geography.area_model import fit_area_model
from fusion_pipeline.geography.candidates import Candidates, Location
from fusion_pipeline.geography.evidence import signals
from fusion_pipeline.geography.profiles import Features, profiles
from fusion_pipeline.geography.puma_imputation import DRAWS, draw_pumas
from fusion_pipeline.randomness import stream

VERSION = "2"
SMALLEST_SAMPLE = 100
SPATIAL = "area.."
HOUSEHOLD = "household"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Design:
    """What the made-up donor survey is like.

    Parameters
    ----------
    area : column of the small area that is estimated for, unique over states
    disclosed : columns that the donor survey tells of a household's place; donors live in another area of the same
        combination as far as anyone knows
    predictors : columns that both surveys have; list what is disclosed here too if it shall predict
    donors : number of donor households
    weight : column of household weights
    implicates, seed : as in `fuse`
    draws : areas drawn for each donor
    options : further settings of `train`
    """

    area: str
    disclosed: tuple[str, ...]
    predictors: tuple[str, ...]
    donors: int
    weight: str = "weight"
    implicates: int = 10
    seed: int = 1
    draws: int = DRAWS
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Whereabouts:
    """Where donors may live, and what is known of the areas.

    Parameters
    ----------
    candidates : areas of each donor
    known : spatial predictors, a row an area in the order of the candidates' positions
    weight : (areas,)
    """

    candidates: Candidates
    known: pd.DataFrame
    weight: np.ndarray

    def drawn(
        self, proxy: pd.Series, spatial: Sequence[str], design: Design, weight: np.ndarray
    ) -> np.ndarray:
        """(donors, draws) positions of areas drawn given predictors and one fusion variable, as PUMAs are imputed."""
        of_place = components(self.known[list(spatial)].to_numpy(np.float64), self.weight)
        effects = fit_area_effects(
            signals(pa.table({str(proxy.name): pa.array(proxy.to_numpy())})),
            self.candidates.features(self.candidates.profiles),
            self.candidates.expected(of_place),
            of_place,
            weight,
        )
        return draw_pumas(self.candidates, design.seed, design.draws, effects)[0]


@dataclass(frozen=True)
class SelfFused:
    """One proxy, fused and true, for the recipients in their order."""

    variable: str
    drawn: np.ndarray
    """(implicates, n) float32; shares as 0 and 1."""
    truth: np.ndarray
    """(n,) float64."""


@dataclass(frozen=True)
class SelfFusion:
    """A donor sample with imputed areas, and the other households as recipients.

    Parameters
    ----------
    donor, recipient : frames with predictors, spatial predictors and proxies
        Donors keep their true area in `area` for baselines; their spatial predictors here are those of one area drawn
        from their predictors, and nothing else is fused from place.
    proxies : numbers and yes/no (boolean) columns, none of them a predictor
    spatial : spatial predictors
    own : proxy -> spatial predictors that are made from it, which do not predict it
    design : Design
    where : candidates of the donors, from which areas are drawn for each proxy
    """

    donor: pd.DataFrame
    recipient: pd.DataFrame
    proxies: tuple[str, ...]
    spatial: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]]
    design: Design
    where: Whereabouts

    @classmethod
    def of(cls, households: pd.DataFrame, proxies: Sequence[str], design: Design) -> SelfFusion:
        """Sample donors, summarize areas, and impute the areas of the donors.

        Parameters
        ----------
        households : frame with the columns of `design` and the proxies; categories are categorical or boolean
        proxies, design : as above

        Raises
        ------
        AnalysisError
            If a column is missing, has missing values or an unfit type, if there are too few households for the sample,
            or if there are fewer than two areas.
        """
        _check(households, proxies, design)
        chosen = sampled(len(households), design)
        donor, recipient = (households[rows].reset_index(drop=True) for rows in (chosen, ~chosen))
        summaries = area_summaries(recipient, [*design.predictors, *proxies], design)
        home = summaries.index.get_indexer(pd.Index(recipient[design.area]))
        candidates = _candidates(donor, recipient, home, len(summaries), design)
        weight = np.bincount(home, weights=recipient[design.weight])
        believed = draw_pumas(candidates, design.seed, 1)[0][:, 0]
        names = list(summaries.columns)
        for frame, areas in ((donor, believed), (recipient, home)):
            frame[names] = summaries.to_numpy(np.float32)[areas]
        own = {name: (SPATIAL + name,) for name in proxies}
        where = Whereabouts(candidates, summaries, weight)
        return cls(donor, recipient, tuple(proxies), tuple(names), own, design, where)

    def predictors(self, variable: str) -> list[str]:
        """Name the predictors of a proxy: no other proxy, and not its own summary."""
        own = self.own.get(variable, ())
        return [*self.design.predictors, *(name for name in self.spatial if name not in own)]

    def training_table(self, variable: str) -> pd.DataFrame:
        """Donors below each other for each draw of their areas given a proxy; weights are divided among draws."""
        x, design = self.predictors(variable), self.design
        spatial = [name for name in self.spatial if name in x]
        weight = self.donor[design.weight].to_numpy(np.float64)
        areas = self.where.drawn(self.donor[variable], spatial, design, weight)
        kept = self.donor[[design.weight, variable, *x]].assign(**{HOUSEHOLD: np.arange(len(self.donor))})
        table = pd.concat([kept] * design.draws, ignore_index=True)
        table[spatial] = self.where.known[spatial].to_numpy(np.float32)[areas.T.reshape(-1)]
        table[design.weight] = np.tile(weight / design.draws, design.draws)
        return table

    def fused(
        self,
        out: Path,
        recipients: np.ndarray | None = None,
        only: Sequence[str] | None = None,
        threads: int = 1,
    ) -> Iterator[SelfFused]:
        """Fuse the proxies, each by itself, so that none is a predictor of another.

        Parameters
        ----------
        out : folder of the model sets
        recipients : (n,) bool, optional
            Recipients to fuse onto; all by default.
        only : proxies to fuse; all by default
        threads : models fitted at the same time
        """
        design = self.design
        onto = self.recipient if recipients is None else self.recipient[recipients].reset_index(drop=True)
        wanted = self.proxies if only is None else [v for v in self.proxies if v in only]
        for number, variable in enumerate(wanted, start=1):
            _log.info("fusing proxy %d of %d: %s", number, len(wanted), variable)
            x = self.predictors(variable)
            models = train(
                self.training_table(variable),
                y=[variable],
                x=x,
                weight=design.weight,
                groups=HOUSEHOLD,
                draws=design.draws,
                out=out / variable,
                seed=design.seed,
                threads=threads,
                **design.options,
            )
            table = fuse(
                onto[x], models, implicates=design.implicates, seed=design.seed, retain=(), threads=threads
            )
            assert isinstance(table, pa.Table)
            drawn = _as_numbers(table[variable]).reshape(design.implicates, len(onto))
            yield SelfFused(variable, drawn, onto[variable].to_numpy(np.float64))


def sampled(households: int, design: Design) -> np.ndarray:
    """Draw which households are donors: (households,) bool."""
    rows = stream(design.seed, "self-fusion", "donors").permutation(households)[: design.donors]
    chosen = np.zeros(households, dtype=bool)
    chosen[rows] = True
    return chosen


def _candidates(
    donor: pd.DataFrame, recipient: pd.DataFrame, home: np.ndarray, areas: int, design: Design
) -> Candidates:
    """Areas that donors may live in, as PUMA imputation finds them: those of the disclosed place."""
    first, second = (
        _booleans_as_categories(pa.Table.from_pandas(f[list(design.predictors)], preserve_index=False))
        for f in (donor, recipient)
    )
    of_donor, of_recipient = profiles(first, second, design.predictors)
    places = _rows_by(recipient, design.disclosed)
    weight = recipient[design.weight].to_numpy(np.float64)
    features = Features.of(of_recipient, weight)
    locations = []
    for place, rows in _rows_by(donor, design.disclosed).items():
        there = places.get(place)
        if there is None:
            raise AnalysisError(
                f"disclosed place {place}",
                "has donors and no recipients.",
                "Disclose larger places, or take more households.",
            )
        model = fit_area_model(features(of_recipient.take(there)), home[there], weight[there])
        locations.append(Location(str(place), rows, model, 1.0, np.zeros(areas)))
    return Candidates(locations, of_donor, features)


def _rows_by(frame: pd.DataFrame, names: Sequence[str]) -> dict[object, np.ndarray]:
    grouped = frame.groupby(list(names), observed=True).indices
    return {key: np.asarray(rows) for key, rows in grouped.items()}


def area_summaries(recipient: pd.DataFrame, columns: Sequence[str], design: Design) -> pd.DataFrame:
    """Summarize columns by area: weighted means of numbers, shares of levels; places are left out.

    Returns
    -------
    pd.DataFrame
        One row an area, float columns named `area..<column>` or `area..<column>.<level>`; the first level of a
        category is left out, because the shares sum to one.
    """
    weight = recipient[design.weight].to_numpy(np.float64)
    codes, areas = pd.factorize(recipient[design.area], sort=True)
    total = np.bincount(codes, weights=weight)
    summaries: dict[str, np.ndarray] = {}
    for name in columns:
        if name in design.disclosed:
            continue
        values = recipient[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            parts = {f"{name}.{level}": values == level for level in values.cat.categories[1:]}
        else:
            parts = {name: values}
        for label, part in parts.items():
            summaries[SPATIAL + label] = (
                np.bincount(codes, weights=weight * part.to_numpy(np.float64)) / total
            )
    return pd.DataFrame(summaries, index=areas)


def is_share(values: pd.Series) -> bool:
    """Tell a yes/no column from a number."""
    return bool(pd.api.types.is_bool_dtype(values))


def _as_numbers(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    if pa.types.is_string(column.type):
        return (column.to_pandas().str.lower() == "true").to_numpy(np.float32)
    return column.cast(pa.float32()).to_numpy()


def _booleans_as_categories(table: pa.Table) -> pa.Table:
    for j, column in enumerate(table.schema):
        if pa.types.is_boolean(column.type):
            # Always both levels in one order, whichever comes first in a table.
            codes = table[j].combine_chunks().cast(pa.int8())
            table = table.set_column(j, column.name, pa.DictionaryArray.from_arrays(codes, ["no", "yes"]))
    return table


def _check(households: pd.DataFrame, proxies: Sequence[str], design: Design) -> None:
    where = "self-fusion"
    needed = [design.area, design.weight, *design.disclosed, *design.predictors, *proxies]
    if absent := [name for name in needed if name not in households.columns]:
        raise AnalysisError(where, f"lacks the column {absent[0]}.", "Add it, or leave it out of the design.")
    if both := [name for name in proxies if name in design.predictors]:
        raise AnalysisError(
            f"{where}, proxy {both[0]}",
            "is a predictor, so it would be fused from itself.",
            "Take it out of one.",
        )
    for name in needed:
        if missing := int(households[name].isna().sum()):
            raise AnalysisError(
                f"{where}, column {name}", f"has {missing:,} missing values.", "Fill or drop them first."
            )
    for name in proxies:
        if not (is_share(households[name]) or pd.api.types.is_numeric_dtype(households[name])):
            raise AnalysisError(
                f"{where}, proxy {name}",
                f"is {households[name].dtype}.",
                "Give a number, or a yes/no column for one of its levels.",
            )
    if not SMALLEST_SAMPLE <= design.donors <= len(households) // 2:
        raise AnalysisError(
            f"{where}, {design.donors:,} donors",
            f"cannot be taken from {len(households):,} households.",
            f"Choose {SMALLEST_SAMPLE} to half of them.",
        )
    if households[design.area].nunique() < 2:
        raise AnalysisError(f"{where}, area {design.area}", "has one value.", "Give two areas or more.")
