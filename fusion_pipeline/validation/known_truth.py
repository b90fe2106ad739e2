"""Fused estimates of small areas beside their truth, and the area errors measured from them.

Belongs here: one row a group with truth, estimates and parts of the variance; the area error of a self-fusion. Does
not belong here: fusion of proxies (`self_fusion.py`), the area component (`inference/area_error.py`), other methods
(`baselines.py`), accuracy and coverage (`area_scores.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.area_error import AreaError, Proxy, estimate_icc
from fusion_pipeline.inference.area_groups import FEWEST_AREAS, concentration, explained
from fusion_pipeline.inference.estimators import Mean, Sample
from fusion_pipeline.inference.pooling import rubin
from fusion_pipeline.inference.weights import Weights
from fusion_pipeline.validation import baselines
from fusion_pipeline.validation.self_fusion import SelfFused, SelfFusion

SMALLEST_GROUP = 20
FEWEST_WIDER = 5
METHODS = ("fused", "direct", "place", "neighbour", "forest")
"""Fused; donors of the group, as if its area were disclosed; donors of the disclosed place; nearest donor; random
forest."""
_log = logging.getLogger(__name__)
MeasuredOn = Mapping[str, str | int | float | list[str]]


@dataclass
class KnownTruth:
    """Every fused proxy held against the truth.

    Five kinds of groups: `group` (everyone of a class), `wider` (wider areas), `place` (what donors disclose), `area`,
    and `part` (those of the class in the area).

    Parameters
    ----------
    setting : donors, recipients and design
    recipients : (n,) bool, recipients that are fused onto
    group : column of the classes
    wider : columns that make up a wider area, of whole areas
    methods : to be compared
    """

    setting: SelfFusion
    recipients: np.ndarray
    group: str
    wider: tuple[str, ...]
    methods: Sequence[str] = METHODS
    _tables: list[pd.DataFrame] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Number groups, and find nearest donors once for all proxies."""
        design, donor = self.setting.design, self.setting.donor
        self.frame = self.setting.recipient[self.recipients].reset_index(drop=True)
        if self.group not in self.frame.columns:
            raise AnalysisError(f"group {self.group}", "is no column of the households.", "Name one.")
        self.weight = self.frame[design.weight].to_numpy(np.float64)
        columns = {
            "area": (design.area,),
            "part": (design.area, self.group),
            "wider": self.wider,
            "place": design.disclosed,
            "group": (self.group,),
        }
        self.levels = {level: _numbered(self.frame, donor, names) for level, names in columns.items()}
        self.area = self.levels["area"][0]
        self.everyone = {level: self._shares(columns[level]) for level in ("area", "wider")}
        if "neighbour" in self.methods:
            own = {name for names in self.setting.own.values() for name in names}
            shared = [*design.predictors, *(name for name in self.setting.spatial if name not in own)]
            self.nearest = baselines.nearest_donor(
                *(baselines.features(f, shared) for f in (donor, self.frame))
            )

    def add(self, fused: SelfFused) -> pd.DataFrame:
        """Compare one proxy; returns one row a group of 20 households or more."""
        values = self._others(fused.variable)
        known = explained(fused.drawn[0].astype(float), fused.drawn[1].astype(float), self.weight, self.area)
        parts = []
        for level, (cells, keys, donors) in self.levels.items():
            table = self._pooled(fused.drawn, cells, len(keys))
            for name, h in (("area", "h"), ("wider", "h_wider")):
                table[h], partial = concentration(
                    cells, self.levels[name][0], self.weight, len(keys), self.everyone[name]
                )
                table["partial"] = partial if name == "area" else table["partial"]
            table["truth"] = baselines.group_means(fused.truth, self.weight, cells, len(keys))
            for method, prediction in values.items():
                table[method] = baselines.group_means(prediction, self.weight, cells, len(keys))
            if "direct" in self.methods:
                values_of = self.setting.donor[fused.variable].to_numpy(np.float64)
                weights_of = self.setting.donor[self.setting.design.weight].to_numpy(np.float64)
                table["direct"] = baselines.group_means(values_of, weights_of, donors, len(keys))
            table.insert(0, "level", level)
            table.insert(1, "key", keys)
            parts.append(table)
        found = pd.concat(parts, ignore_index=True)
        found.insert(0, "variable", fused.variable)
        found = found.assign(
            residual_share=known.residual_share,
            spread=known.spread,
            sd=float(np.sqrt(np.cov(fused.truth, aweights=self.weight))),
            grand=np.average(fused.truth, weights=self.weight),
        )
        found = found[found["n"] >= SMALLEST_GROUP].reset_index(drop=True)
        self._tables.append(found)
        return found

    @property
    def table(self) -> pd.DataFrame:
        """All proxies so far."""
        return pd.concat(self._tables, ignore_index=True)

    def _shares(self, names: Sequence[str]) -> np.ndarray:
        """Shares of everyone, of the areas that are fused onto and then of the others."""
        whole = self.setting.recipient
        keys, weight = _keys(whole, names), whole[self.setting.design.weight].to_numpy(np.float64)
        _, own = pd.factorize(keys[self.recipients], sort=True)
        order = pd.Index([*own, *sorted(set(keys) - set(own))])
        return np.asarray(np.bincount(order.get_indexer(keys), weights=weight) / weight.sum())

    def _pooled(self, drawn: np.ndarray, cells: np.ndarray, count: int) -> pd.DataFrame:
        weights = Weights.plain(self.weight)
        rows = np.arange(len(cells))
        found = [
            Mean(("v",)).within(Sample(cells, count, rows, weights, {"v": values.astype(float)}, {}))
            for values in drawn
        ]
        # A group of one household has no variance within: it is dropped below for its size.
        pooled = rubin([w.estimate[:, 0] for w in found], [np.nan_to_num(w.variance[:, 0]) for w in found])
        return pd.DataFrame(
            {
                "n": found[0].n.astype(int),
                "effective_n": found[0].effective_n,
                "fused": pooled.estimate,
                "within": pooled.within,
                "between": pooled.between,
                "implicates": len(drawn),
                "variance": pooled.variance,
                "df": pooled.df,
            }
        )

    def _others(self, variable: str) -> dict[str, np.ndarray]:
        donor, design = self.setting.donor, self.setting.design
        values, weight = donor[variable].to_numpy(np.float64), donor[design.weight].to_numpy(np.float64)
        found: dict[str, np.ndarray] = {}
        if "place" in self.methods:
            cells, keys, donors = self.levels["place"]
            found["place"] = baselines.group_means(values, weight, donors, len(keys))[cells]
        if "neighbour" in self.methods:
            found["neighbour"] = values[self.nearest]
        if "forest" in self.methods:
            matrices = [baselines.features(f, self.setting.predictors(variable)) for f in (donor, self.frame)]
            found["forest"] = baselines.forest_means(matrices[0], values, weight, matrices[1], design.seed)
        return found


def _numbered(
    frame: pd.DataFrame, donor: pd.DataFrame, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the groups of recipients: group of each, names of groups, group of each donor (-1 for none)."""
    cells, keys = pd.factorize(_keys(frame, names), sort=True)
    return cells, np.asarray(keys, dtype=object), pd.Index(keys).get_indexer(_keys(donor, names))


def _keys(frame: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    text = frame[names[0]].astype(str)
    for name in names[1:]:
        text = text + "|" + frame[name].astype(str)
    return text


def measure_area_error(
    table: pd.DataFrame,
    area: Sequence[str],
    wider: Sequence[str],
    measured_on: MeasuredOn,
    *,
    complete: bool = True,
) -> AreaError:
    """Measure area errors on all proxies of a table of `KnownTruth`.

    Parameters
    ----------
    table : of `KnownTruth`
    area, wider : columns of the recipient that make up one area, and one wider area
    measured_on : what to say about the data
    complete : whether the recipients that will be analyzed are everyone
    """
    proxies = []
    for variable, rows in table.groupby("variable", sort=False):
        levels = {level: _errors(rows[rows["level"] == level]) for level in ("area", "part")}
        if min(len(errors) for errors in levels.values()) < FEWEST_AREAS:
            _log.info("proxy of area errors %s is left out: it varies in fewer than ten groups", variable)
            continue
        icc = {level: estimate_icc(*errors.to_numpy().T) for level, errors in levels.items()}
        proxies.append(
            Proxy(
                variable=str(variable),
                icc=icc["area"].value,
                standard_error=icc["area"].standard_error,
                icc_finer=icc["part"].value,
                icc_wider=_wider(rows[rows["level"] == "wider"], icc["area"].value),
                part=1 - float(rows.loc[rows["level"] == "part", "partial"].mean()),
                residual_share=float(rows["residual_share"].iloc[0]),
                spread=float(rows["spread"].iloc[0]),
                areas=icc["area"].areas,
            )
        )
    return AreaError(
        area=tuple(area),
        wider=tuple(wider),
        complete=complete,
        proxies=tuple(proxies),
        measured_on=dict(measured_on),
    )


def _wider(groups: pd.DataFrame, icc: float) -> float | None:
    """Part of the icc that areas of a wider one have in common, by moments: E e^2 = known + S ((icc - c) H + c
    H_wider)."""
    errors = _errors(groups)
    if len(errors) < FEWEST_WIDER:
        return None
    excess = (errors["error"] ** 2 - errors["known"]) / errors["residual"]
    h, h_wider = groups.loc[errors.index, "h"], groups.loc[errors.index, "h_wider"]
    return float((excess - icc * h).mean() / (h_wider - h).mean())


def _errors(groups: pd.DataFrame) -> pd.DataFrame:
    """Error, variance that the implicates tell, and residual variance of the groups in which the proxy varies."""
    found = pd.DataFrame(
        {
            "error": groups["fused"] - groups["truth"],
            "known": (1 + 1 / groups["implicates"]) * groups["between"],
            "residual": groups["residual_share"] * groups["within"] * groups["effective_n"],
        }
    )
    return found[found["residual"] > 0]


def area_error_of(
    setting: SelfFusion,
    recipients: np.ndarray,
    *,
    group: str,
    area: Sequence[str],
    wider: Sequence[str],
    folder: Path,
    measured_on: MeasuredOn,
    complete: bool = True,
    threads: int = 1,
) -> AreaError:
    """Fuse all proxies and measure their area errors.

    Parameters
    ----------
    setting, recipients, group : as in `KnownTruth`
    area, wider, complete : as in `measure_area_error`; the setting has the columns `wider` too
    folder : of the proxies' model sets
    measured_on : what to say about the data
    threads : models fitted at the same time

    Returns
    -------
    AreaError
        Without proxies, and so not `measured`, where fewer than ten areas have 20 households or more, or fewer than ten
        of their parts: then nothing is fused.
    """
    truth = KnownTruth(setting, recipients, group, tuple(wider), methods=())
    for level in ("area", "part"):
        households = np.bincount(truth.levels[level][0])
        if (households >= SMALLEST_GROUP).sum() < FEWEST_AREAS:
            return AreaError(area=tuple(area), proxies=(), measured_on=dict(measured_on))
    for fused in setting.fused(folder, recipients, threads=threads):
        truth.add(fused)
    return measure_area_error(truth.table, area, wider, measured_on, complete=complete)
