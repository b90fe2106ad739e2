"""The donor as training sees it: checked columns, weights, features, and who takes part in a step.

Belongs here: reading and checking the donor table. Does not belong here: models (`boosting.py`), the order of work
(`training.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion import variables
from fusion_pipeline.fusion.rules import table_lookup
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep
from fusion_pipeline.fusion.variables import Variable
from fusion_pipeline.randomness import stream
from fusion_pipeline.storage.tables import TableRef

OUTLIER_NEIGHBOURS = 10
OUTLIER_FACTOR = -2.75
"""A donor whose negative outlier factor, at that many neighbours, is smaller is a local outlier."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Donors:
    """Donors of positive weight.

    `weight` (n,) float64 has mean 1; `groups` (n,) int32 are the units that folds must not split.
    """

    table: pa.Table
    weight: np.ndarray
    groups: np.ndarray | None

    @property
    def count(self) -> int:
        """Number of donors."""
        return len(self.weight)

    def describe(self, name: str, rows: np.ndarray | None = None) -> Variable:
        """Describe a column; with `rows`, as the fusion variable of those donors."""
        if rows is None:
            return variables.describe(self.table[name], name, "donor", TrainingError)
        return variables.describe(
            self.table[name].take(rows), name, "donor", TrainingError, self.weight[rows]
        )

    def features(self, names: Sequence[str], rows: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """Return (rows, names) float32 features and the positions of unordered categories."""
        described = [self.describe(name) for name in names]
        matrix = np.empty((len(rows), len(names)), dtype=np.float32)
        for j, variable in enumerate(described):
            matrix[:, j] = variables.feature(self.table[variable.name], variable)[rows]
        return matrix, [j for j, variable in enumerate(described) if variable.is_nominal]

    def label(self, variable: Variable, rows: np.ndarray) -> np.ndarray:
        """Return codes or numbers of a fusion variable, as float64."""
        column = self.table[variable.name]
        if variable.kind == "categorical":
            return variables.codes(column, variable)[rows].astype(np.float64)
        return variables.numbers(column)[rows]

    def rows_of(self, step: FusionStep, least: int) -> np.ndarray:
        """Return the donors of a step: in its universe, not outliers.

        Raises
        ------
        TrainingError
            If a fusion variable is missing or infinite there, or fewer than `least` donors are left.
        """
        inside = np.ones(self.count, dtype=bool)
        if step.condition is not None:
            for term in step.condition.terms:
                term.check(self.describe(term.column), "donor")
            inside &= step.condition.truth(table_lookup(self.table, "donor", TrainingError))[0][:, 0]
        for name in step.variables:
            absent = int((variables.missing(self.table[name]) & inside).sum())
            if absent:
                raise TrainingError(
                    f"donor, column {name}",
                    f"is missing for {absent} of {int(inside.sum())} donors; a fusion variable must be complete.",
                    "Impute it or drop these donors before training.",
                )
            if self.describe(name).kind != "categorical":
                infinite = int((np.isinf(variables.numbers(self.table[name])) & inside).sum())
                if infinite:
                    raise TrainingError(
                        f"donor, column {name}",
                        f"is infinite for {infinite} of {int(inside.sum())} donors.",
                        "Correct it or drop these donors before training.",
                    )
        rows = np.flatnonzero(inside)
        if step.outliers_by is not None:
            rows = self._without_outliers(step, rows)
        if len(rows) < least:
            raise TrainingError(
                f"donor, step {step.name}",
                f"has {len(rows)} donors; at least {least} are needed.",
                "Drop the step, widen its universe, or use fewer folds.",
            )
        return rows

    def _without_outliers(self, step: FusionStep, rows: np.ndarray) -> np.ndarray:
        from sklearn.neighbors import LocalOutlierFactor

        by = self.describe(str(step.outliers_by))
        if (
            by.kind != "categorical"
            or step.is_block
            or self.describe(step.variables[0]).kind == "categorical"
        ):
            raise TrainingError(
                f"donor, step {step.name}",
                f"looks for outliers by {by.name}: this needs one numeric fusion variable and a categorical column.",
                "Correct `outliers_by`.",
            )
        group = variables.codes(self.table[by.name], by)[rows]
        values = variables.numbers(self.table[step.variables[0]])[rows]
        keep = np.ones(len(rows), dtype=bool)
        for code in np.unique(group):
            members = np.flatnonzero(group == code)
            if len(members) > OUTLIER_NEIGHBOURS:
                # Prices that are one price but for rounding make their neighbourhood endlessly dense, and every
                # other price an outlier: a price counts once, to three digits.
                prices, of_price = np.unique(_three_digits(values[members]), return_inverse=True)
                if len(prices) > OUTLIER_NEIGHBOURS:
                    factor = LocalOutlierFactor(n_neighbors=OUTLIER_NEIGHBOURS).fit(prices[:, None])
                    keep[members] = (factor.negative_outlier_factor_ >= OUTLIER_FACTOR)[of_price]
        log.info(
            "%s: %d of %d donors are local outliers and not used", step.name, int((~keep).sum()), len(rows)
        )
        return rows[keep]


def _three_digits(values: np.ndarray) -> np.ndarray:
    unit = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(values), 1e-300))) - 2)
    return np.round(values / unit) * unit


def load_donors(donor: pd.DataFrame | pa.Table | TableRef, plan: FusionPlan, groups: str | None) -> Donors:
    """Read the columns a plan needs, check the weights, and leave donors of zero weight out.

    A factor that the donor does not have is computed where its product and the other factor are there:
    see `price`.

    Raises
    ------
    TrainingError
        If a column is missing or cannot be modelled, or a weight is missing, negative, or all are zero; or as
        `price` does.
    """
    present = set(donor.column_names if isinstance(donor, pa.Table) else donor.columns)
    ratios = {}
    for product, (first, second) in plan.products.items():
        for factor, other in ((first, second), (second, first)):
            if factor not in present and {product, other} <= present:
                ratios[factor] = (product, other)
    used = [
        *(v for step in plan.steps for v in (*step.variables, *step.predictors)),
        *(step.outliers_by for step in plan.steps if step.outliers_by),
        *(column for step in plan.steps if step.condition for column in step.condition.columns),
    ]
    wanted = [name for name in used if name not in ratios] + [
        name for pair in ratios.values() for name in pair
    ]
    wanted += [name for name in (plan.weight, groups) if name is not None]
    table = variables.as_table(donor, list(dict.fromkeys(wanted)), "donor", TrainingError)
    if not table.num_rows:
        raise TrainingError("donor", "has no rows.", "Check the step that made it.")
    for factor, (product, other) in ratios.items():
        table = table.append_column(factor, price(table, product, other))
    weight = _weights(table, plan.weight)
    keep = weight > 0
    if not keep.all():
        log.info("%d donors of weight zero are left out", int((~keep).sum()))
        table, weight = table.filter(pa.array(keep)), weight[keep]
    for name in dict.fromkeys(used):
        variables.describe(table[name], name, "donor", TrainingError)
    units = None
    if groups is not None:
        units = _units(table[groups].combine_chunks())
    return Donors(table, weight / weight.mean(), units)


def _units(column: pa.Array) -> np.ndarray:
    """Number the units of a column; donors without one are each a unit of their own."""
    encoded = pc.dictionary_encode(column)
    unknown = np.asarray(encoded.is_null())
    units = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int32)
    units[unknown] = len(encoded.dictionary) + np.arange(unknown.sum())
    return units


def price(table: pa.Table, expenditure: str, quantity: str) -> pa.Array:
    """Divide an expenditure by its quantity.

    Returns
    -------
    Price in the expenditure's unit per unit of the quantity: 0 where the quantity is not positive, missing where
    either is missing.

    Raises
    ------
    TrainingError
        If an expenditure stands beside a zero quantity.
    """
    paid, used = variables.numbers(table[expenditure]), variables.numbers(table[quantity])
    contradictory = int(((used == 0) & (paid != 0) & ~np.isnan(paid)).sum())
    if contradictory:
        raise TrainingError(
            f"fusion variable {expenditure}",
            f"is not 0 in {contradictory} households whose {quantity} is 0.",
            "Fuse it as a variable of its own, or correct the survey's codebook.",
        )
    found = np.divide(paid, used, out=np.zeros_like(used), where=~(used <= 0))
    return pa.array(found, mask=np.isnan(found))


def bayesian_bootstrap(donors: Donors, seed: int, number: int) -> np.ndarray:
    """Redraw the donors' weights: one draw from the posterior of how common each kind of donor is.

    Parameters
    ----------
    donors : Donors
    seed, number : int
        `number` is that of the set, from 1.

    Returns
    -------
    (n,) float64 with mean 1: Dirichlet(1, ..., 1) shares, one for each unit (of `groups`, else donor), times weights.

    Notes
    -----
    Rubin 1981, "The Bayesian bootstrap". Drawing donors with such shares, drawn anew for each implicate, instead of
    with fixed ones is what makes hot-deck imputation proper (Rubin & Schenker 1986, "approximate Bayesian bootstrap").
    """
    units = np.arange(donors.count) if donors.groups is None else donors.groups
    share = stream(seed, "bootstrap", number).standard_exponential(int(units.max()) + 1)
    weight = donors.weight * share[units]
    return weight / weight.mean()


def _weights(table: pa.Table, name: str | None) -> np.ndarray:
    if name is None:
        return np.ones(table.num_rows)
    where = f"donor, weight {name}"
    variables.describe(table[name], name, "donor", TrainingError)
    if absent := int(variables.missing(table[name]).sum()):
        raise TrainingError(
            where, f"is missing for {absent} donors.", "Give every donor a weight, or drop them."
        )
    weight = variables.numbers(table[name])
    if negative := int((weight < 0).sum()):
        raise TrainingError(
            where, f"is negative for {negative} donors.", "Set them to zero, or drop these donors."
        )
    if not np.isfinite(weight).all() or weight.sum() == 0:
        raise TrainingError(
            where, f"is zero or infinite for all {len(weight)} donors.", "Name the right column of weights."
        )
    return weight
