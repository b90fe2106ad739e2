"""Cells: one group each, in every implicate; groupings with totals, and pooling cell by cell.

Belongs here: numbering groups, crossings with totals, results of all implicates laid out as arrays and pooled. Does not
belong here: the pooling rules (`pooling.py`), estimation within an implicate (`estimators.py`).
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.estimators import Array, Within
from fusion_pipeline.inference.microdata import Block, Factor
from fusion_pipeline.inference.pooling import Rule

TOTALS = ("none", "rollup", "cube")
Member = tuple[int, ...]


@dataclass(frozen=True)
class Grouping:
    """The factors of one crossing, the others being totalled over."""

    factors: tuple[Factor, ...]
    crossed: tuple[bool, ...]

    def cells(self, block: Block) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Number the groups of a block's records.

        Returns
        -------
        cells : (n,) number of each record's group; -1 for records without weight or outside the filter
        groups : (cells, factors) codes, -1 for missing, -2 for the total over a factor
        """
        there = block.kept & (block.weights.main[block.rows] > 0)
        packed = np.zeros(len(there), dtype=np.int64)
        for factor, crossed in zip(self.factors, self.crossed, strict=True):
            packed *= len(factor.values) + 2
            if crossed:
                packed += block.codes[factor.key] + 2
        cells = np.full(len(there), -1, dtype=np.int64)
        cells[there], found = pd.factorize(packed[there], sort=True)
        groups = np.empty((len(found), len(self.factors)), dtype=np.int64)
        for k in reversed(range(len(self.factors))):
            found, rest = np.divmod(found, len(self.factors[k].values) + 2)
            groups[:, k] = rest - 2
        return cells, groups


def groupings(factors: Sequence[Factor], totals: str) -> list[Grouping]:
    """List the crossings: the finest alone, those that drop factors from the right, or all.

    Raises
    ------
    AnalysisError
        If `totals` is none of these.
    """
    count = len(factors)
    if totals not in TOTALS:
        raise AnalysisError(f"totals {totals}", "is not known.", f"Choose one of: {', '.join(TOTALS)}.")
    if totals == "none" or not count:
        crossed = [(True,) * count]
    elif totals == "rollup":
        crossed = [(True,) * k + (False,) * (count - k) for k in range(count, -1, -1)]
    else:
        crossed = list(itertools.product((True, False), repeat=count))
    return [Grouping(tuple(factors), which) for which in crossed]


@dataclass
class Results:
    """One estimand's results: per implicate, the groups (cells, factors) and what was found in them."""

    parts: dict[Member, list[tuple[NDArray[np.int64], Within]]]
    df: float
    """Complete-data degrees of freedom of the replicates, infinite without."""
    parameters: int = 1
    absent: float = np.nan
    """The estimate in an implicate that has no record of a group: 0 for sums, which are known there."""

    def pool(self, rule: Rule, level: float) -> tuple[NDArray[np.int64], pd.DataFrame]:
        """Pool every cell over the implicates that have it.

        Returns
        -------
        groups : (groups, factors) codes
        pd.DataFrame
            One row a group and label with anything in it: `_group`, `_label` (positions), `estimate`,
            `standard_error`, `margin` (confidence `level`), `df`, `n`, `effective_n`, `missing_information`, `M`, and
            `_within`, the mean variance within implicates. Empty if the estimand is not defined anywhere.
        """
        groups, estimate, variance, n, effective = self._stacked()
        # Twelve digits, so that implicates that agree do so exactly whatever the order of summation.
        estimate, variance = significant(estimate, 12), significant(variance, 12)
        known = ~np.isnan(estimate)
        counts = known.sum(axis=0)
        first = np.argsort(~known, axis=0, kind="stable")
        nests = len({member[:-1] for member in self.parts})
        parts = []
        for implicates in np.unique(counts[counts > 0]):
            group, label = np.nonzero(counts == implicates)
            at = (first[:implicates, group, label], group, label)
            q, u, size = estimate[at], variance[at], n[at[0], group]
            complete = np.minimum(np.maximum(size.mean(axis=0) - self.parameters, 0), self.df)
            if rule.is_nested:
                if implicates < len(estimate):
                    # Nests with gaps have no rule: an estimate without margin.
                    q, u = q.mean(axis=0)[None, None], u.mean(axis=0)[None, None]
                else:
                    shape = (nests, len(q) // nests, -1)
                    q, u = q.reshape(shape), u.reshape(shape)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pooled = rule.combine(q, u, complete)
            numbers = {
                "estimate": pooled.estimate,
                "standard_error": pooled.standard_error,
                "margin": pooled.margin(level),
                "df": pooled.df,
                "missing_information": pooled.missing_information,
                "_within": pooled.within,
                "effective_n": effective[at[0], group].mean(axis=0),
            }
            part = pd.DataFrame({name: significant(values, 9) for name, values in numbers.items()})
            part["n"] = np.rint(size.mean(axis=0)).astype(np.int64)
            parts.append(part.assign(M=int(implicates), _group=group, _label=label))
        if not parts:
            return groups, pd.DataFrame()
        return groups, pd.concat(parts, ignore_index=True)

    def _stacked(self) -> tuple[NDArray[np.int64], Array, Array, Array, Array]:
        """Lay all implicates out as arrays (M, groups, labels) and (M, groups); NaN where there is nothing."""
        members = sorted(self.parts)
        tables = [np.concatenate([g for g, _ in self.parts[m]]) for m in members]
        groups, inverse = np.unique(np.concatenate(tables), axis=0, return_inverse=True)
        where = np.split(inverse.reshape(-1), np.cumsum([len(t) for t in tables])[:-1])
        labels = max(w.estimate.shape[1] for m in members for _, w in self.parts[m])
        wide = (len(members), len(groups), labels)
        estimate, variance = np.full(wide, self.absent), np.full(wide, 0 * self.absent)
        n, effective = np.zeros(wide[:2]), np.zeros(wide[:2])
        for position, (member, rows) in enumerate(zip(members, where, strict=True)):
            within = [w for _, w in self.parts[member]]
            estimate[position, rows] = np.concatenate([w.estimate for w in within])
            variance[position, rows] = np.concatenate([w.variance for w in within])
            n[position, rows] = np.concatenate([w.n for w in within])
            effective[position, rows] = np.concatenate([w.effective_n for w in within])
        return groups, estimate, variance, n, effective


def significant(values: Array, digits: int) -> Array:
    """Round to significant digits."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(values))))
        rounded = np.rint(values * factor) / factor
    return np.where(np.isfinite(rounded), rounded, values)
