"""Fused estimates of small areas against their truth, beside what other methods give; and the area errors they have.

Belongs here: one row a group with truth, estimates and parts of the variance; the area error measured from them; tables of
accuracy and coverage. Does not belong here: fusion of proxies (`self_fusion.py`), the area component (`inference/area_error.py`),
other methods (`baselines.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.area_error import (
    AreaError,
    Proxy,
    area_variance,
    concentration,
    estimate_icc,
    residual_share,
    total_df,
)
from fusion_pipeline.inference.estimators import Mean, Sample
from fusion_pipeline.inference.pooling import rubin
from fusion_pipeline.inference.weights import Weights
from fusion_pipeline.validation import baselines
from fusion_pipeline.validation.self_fusion import SelfFused, SelfFusion

SMALLEST_GROUP = 20
METHODS = ("fused", "direct", "place", "neighbour", "forest")
"""Fused; donors of the area, as if it were disclosed; donors of the disclosed place; nearest donor; random forest."""
SIZES = ((0, 100), (100, 200), (200, 400), (400, 800), (800, np.inf))
"""Classes of group size, by households."""


@dataclass
class KnownTruth:
    """Every fused proxy held against the truth, by area and by area x group.

    Parameters
    ----------
    setting : donors, recipients and design
    recipients : (n,) bool, recipients that are fused onto
    group : column whose levels part the areas
    """

    setting: SelfFusion
    recipients: np.ndarray
    group: str
    methods: Sequence[str] = METHODS
    _tables: list[pd.DataFrame] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Number areas and parts of areas, and find nearest donors once for all proxies."""
        design = self.setting.design
        self.frame = self.setting.recipient[self.recipients].reset_index(drop=True)
        if self.group not in self.frame.columns:
            raise AnalysisError(f"group {self.group}", "is no column of the households.", "Name one.")
        self.weight = self.frame[design.weight].to_numpy(np.float64)
        self.area, names = pd.factorize(self.frame[design.area], sort=True)
        part, labels = pd.factorize(self.frame[self.group].astype(str), sort=True)
        cells, there = pd.factorize(self.area * len(labels) + part, sort=True)
        self.levels = {
            "area": (self.area, pd.DataFrame({"area": names, "group": ""}), np.arange(len(names))),
            "part": (
                cells,
                pd.DataFrame({"area": names[there // len(labels)], "group": labels[there % len(labels)]}),
                there // len(labels),
            ),
        }
        shared = [*design.predictors, *(s for s in self.setting.spatial if s.split("..")[1] not in self.setting.proxies)]
        self.shared = shared
        if "neighbour" in self.methods:
            donor, recipient = (baselines.features(f, shared) for f in (self.setting.donor, self.frame))
            self.nearest = baselines.nearest_donor(donor, recipient)

    def add(self, fused: SelfFused) -> pd.DataFrame:
        """Compare one proxy; returns one row a group of both levels."""
        values = self._others(fused.variable)
        share = residual_share(fused.drawn[0].astype(float), fused.drawn[1].astype(float), self.weight)
        spread = float(np.sqrt(np.cov(fused.truth, aweights=self.weight)))
        parts = []
        for level, (cells, labels, area_of) in self.levels.items():
            count = len(labels)
            table = self._pooled(fused.drawn, cells, count)
            table["h"], table["partial"] = concentration(cells, self.area, self.weight, count)
            table = pd.concat([labels, table], axis=1)
            table["truth"] = baselines.group_means(fused.truth, self.weight, cells, count)
            for method, prediction in values.items():
                table[method] = baselines.group_means(prediction, self.weight, cells, count)
            if "direct" in self.methods:
                table["direct"] = self._direct(fused.variable, labels)
            parts.append(table.assign(level=level, _area=area_of))
        found = pd.concat(parts, ignore_index=True).drop(columns="_area")
        found.insert(0, "variable", fused.variable)
        found = found.assign(
            kind=fused.kind,
            residual_share=share,
            sd=spread,
            grand=np.average(fused.truth, weights=self.weight),
        )
        found = found[found["n"] >= SMALLEST_GROUP].reset_index(drop=True)
        self._tables.append(found)
        return found

    @property
    def table(self) -> pd.DataFrame:
        """All proxies so far."""
        return pd.concat(self._tables, ignore_index=True)

    def _pooled(self, drawn: np.ndarray, cells: np.ndarray, count: int) -> pd.DataFrame:
        weights = Weights(self.weight, np.empty((len(cells), 0), dtype=np.float32))
        rows = np.arange(len(cells))
        found = [
            Mean(("v",)).within(Sample(cells, count, rows, weights, {"v": values.astype(float)}, {}))
            for values in drawn
        ]
        # A group of one household has no variance within: it is dropped below for its size.
        pooled = rubin(
            [w.estimate[:, 0] for w in found], [np.nan_to_num(w.variance[:, 0]) for w in found]
        )
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
            keys = [f[list(design.disclosed)].astype(str).agg("|".join, axis=1) for f in (donor, self.frame)]
            place, names = pd.factorize(keys[0], sort=True)
            means = baselines.group_means(values, weight, place, len(names))
            found["place"] = means[pd.Index(names).get_indexer(keys[1])]
        if "neighbour" in self.methods:
            found["neighbour"] = values[self.nearest]
        if "forest" in self.methods:
            x = [*self.shared, *(s for s in self.setting.spatial if s not in self.shared and s.split("..")[1] != variable)]
            matrices = [baselines.features(f, x) for f in (donor, self.frame)]
            found["forest"] = baselines.forest_means(matrices[0], values, weight, matrices[1], design.seed)
        return found

    def _direct(self, variable: str, labels: pd.DataFrame) -> np.ndarray:
        donor, design = self.setting.donor, self.setting.design
        keys = pd.MultiIndex.from_frame(labels)
        parted = bool((labels["group"] != "").any())
        own = pd.MultiIndex.from_arrays(
            [donor[design.area], donor[self.group].astype(str) if parted else np.full(len(donor), "")]
        )
        return baselines.group_means(
            donor[variable].to_numpy(np.float64),
            donor[design.weight].to_numpy(np.float64),
            keys.get_indexer(own),
            len(keys),
        )


def measure_area_error(
    table: pd.DataFrame, area: Sequence[str], measured_on: dict[str, str | int | float | list[str]]
) -> AreaError:
    """Measure area errors on all proxies of a table of `KnownTruth`.

    Parameters
    ----------
    table : of `KnownTruth`
    area : columns of the recipient that make up one area
    measured_on : what to say about the data
    """
    proxies = []
    for variable, rows in table.groupby("variable", sort=False):
        icc = {}
        for level, part in rows.groupby("level"):
            residual = part["residual_share"] * part["within"] * part["effective_n"]
            seen = residual > 0
            known = (1 + 1 / part["implicates"]) * part["between"]
            icc[level] = estimate_icc((part["fused"] - part["truth"])[seen], known[seen], residual[seen])
        proxies.append(
            Proxy(
                variable=str(variable),
                kind=rows["kind"].iloc[0],
                icc=icc["area"].value,
                standard_error=icc["area"].standard_error,
                icc_finer=icc["part"].value,
                part=1 - float(rows.loc[rows["level"] == "part", "partial"].mean()),
                residual_share=float(rows["residual_share"].iloc[0]),
                areas=icc["area"].areas,
            )
        )
    return AreaError(area=tuple(area), proxies=tuple(proxies), measured_on=measured_on)


def with_margins(
    table: pd.DataFrame, error: AreaError, *, leave_out: bool = True, level: float = 0.90
) -> pd.DataFrame:
    """Add 90 % margins without and with the area component, and whether they cover the truth.

    Parameters
    ----------
    table : of `KnownTruth`
    error : measured on the same or on other states
    leave_out : take the icc of every variable from the other variables only

    Returns
    -------
    pd.DataFrame
        With `margin_without`, `margin_with`, `covered_between` (implicates only), `covered_without`, `covered_with`.
    """
    from scipy.special import stdtrit

    parts = []
    for variable, rows in table.groupby("variable", sort=False):
        known = error.without([str(variable)]) if leave_out else error
        expected = known.expected(rows["kind"].iloc[0])
        component = area_variance(
            expected, rows["residual_share"], rows["within"], rows["effective_n"], rows["h"], rows["partial"]
        )
        df = total_df(rows["variance"], rows["df"], component, expected.df)
        q, off = (1 + level) / 2, (rows["fused"] - rows["truth"]).abs()
        between = stdtrit(rows["implicates"] - 1, q) * np.sqrt((1 + 1 / rows["implicates"]) * rows["between"])
        without = stdtrit(rows["df"], q) * np.sqrt(rows["variance"])
        together = stdtrit(df, q) * np.sqrt(rows["variance"] + component)
        parts.append(
            rows.assign(
                margin_without=without,
                margin_with=together,
                covered_between=off <= between,
                covered_without=off <= without,
                covered_with=off <= together,
            )
        )
    return pd.concat(parts, ignore_index=True)


def accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """Median absolute error in percent of the truth, and mean value added, by level, variable and method.

    Notes
    -----
    Value added is max(0, 1 - |estimate - truth| / |grand mean - truth|), Ummel et al. 2024, "Internal validation".
    Groups without a donor have no direct estimate and count as an error of the grand mean's size: value added 0.
    """
    rows = []
    for (level, variable), part in table.groupby(["level", "variable"], sort=False):
        gap = (part["grand"] - part["truth"]).abs()
        for method in (m for m in METHODS if m in part):
            off = (part[method] - part["truth"]).abs().fillna(gap)
            with np.errstate(divide="ignore", invalid="ignore"):
                percent = (100 * off / part["truth"].abs()).where(part["truth"] != 0)
                added = np.maximum(0, 1 - off / gap).where(gap > 0)
            rows.append((level, variable, method, percent.median(), added.mean()))
    return pd.DataFrame(rows, columns=["level", "variable", "method", "error_percent", "value_added"])


def coverage(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Coverage and median width of margins, without and with the area component, by columns of `with_margins`.

    `size` may be among them: the class of the number of households.
    """
    sizes = pd.cut(table["n"], [low for low, _ in SIZES] + [np.inf], right=False, labels=[_size(*s) for s in SIZES])
    grouped = table.assign(
        size=sizes, widening=table["margin_with"] / table["margin_without"], width=2 * table["margin_with"] / table["sd"]
    ).groupby(list(by), sort=False, observed=True)
    return grouped.agg(
        groups=("n", "size"),
        households=("n", "median"),
        between_only=("covered_between", "mean"),
        without=("covered_without", "mean"),
        with_area=("covered_with", "mean"),
        widening=("widening", "median"),
        width_sd=("width", "median"),
    ).reset_index()


def _size(low: float, high: float) -> str:
    return f"{low:.0f}+" if np.isinf(high) else f"{low:.0f} to {high - 1:.0f}"
