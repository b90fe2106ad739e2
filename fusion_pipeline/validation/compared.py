"""Observed and fused answers of the same households, as arrays side by side.

Belongs here: bringing implicates and an observed table together, and refusing what cannot be compared. Does not belong
here: estimates and scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError, choose_among
from fusion_pipeline.fusion.variables import as_table
from fusion_pipeline.inference.given import Implicates
from fusion_pipeline.inference.microdata import Factor, Microdata
from fusion_pipeline.inference.relation import IMPLICATE, KEYS, NEST, FusedRelation, open_fused
from fusion_pipeline.inference.weights import ReplicateDesign, checked
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation.dependence import Columns

Values: TypeAlias = NDArray[Any]
Observed: TypeAlias = pd.DataFrame | pa.Table | TableRef
TRUTH = {"True": "true", "False": "false"}
"""Truth values are text in these words."""


@dataclass(frozen=True)
class Compared:
    """Households whose fused answers are held against the observed ones, followed by donors if these are others.

    With n households that are compared and N - n further donors:

    Parameters
    ----------
    observed : variable -> (N,) float32, or int16 codes of `levels`; NaN or -1 where there is no answer
    fused : variable -> (M, n), likewise, none missing
    levels : levels of every categorical variable
    weight : (N,) float64
    fold : (N,) int64; donors of a household are those of other folds
    frame : (N rows) grouping variables and predictors
    """

    observed: Mapping[str, Values]
    fused: Mapping[str, Values]
    levels: Mapping[str, tuple[str, ...]]
    weight: NDArray[np.float64]
    fold: NDArray[np.int64]
    frame: pd.DataFrame

    @property
    def implicates(self) -> int:
        """M."""
        return len(next(iter(self.fused.values())))

    @property
    def households(self) -> int:
        """Count those that are compared."""
        return next(iter(self.fused.values())).shape[1]

    @property
    def own_folds(self) -> NDArray[np.int64]:
        """Folds of the households that are compared."""
        return np.unique(self.fold[: self.households])

    def donors(self, fold: int) -> NDArray[np.bool_]:
        """Say who are the donors of a fold: (N,)."""
        return (self.fold != fold) & (self.weight > 0)

    def answers(self, rows: NDArray[np.int64], implicate: int | None = None) -> Columns:
        """Give the fusion variables of some households as columns: a number one, a category an indicator a level.

        Parameters
        ----------
        rows : households, below n for an implicate
        implicate : position of one, from 0; the observed answers without it
        """
        columns: list[Values] = []
        own: list[str] = []
        for name, observed in self.observed.items():
            values = observed[rows] if implicate is None else self.fused[name][implicate, rows]
            levels = self.levels.get(name)
            parts = [values] if levels is None else [values == code for code in range(len(levels))]
            columns += [part.astype(np.float64) for part in parts]
            own += [name] * len(parts)
        return Columns(np.column_stack(columns), tuple(own), tuple(name in self.levels for name in own))

    def known(self, variable: str) -> NDArray[np.bool_]:
        """Say who answered: (N,)."""
        values = self.observed[variable]
        return values >= 0 if variable in self.levels else ~np.isnan(values)


def bring_together(
    implicates: Implicates,
    observed: Observed,
    *,
    variables: Sequence[str] | None,
    beside: Sequence[str],
    donors: Observed | None,
    folds: str | None,
    weight: str | None,
    memory_limit: int,
    threads: int | None,
) -> Compared:
    """Bring implicates and observed answers together, household by household.

    Parameters are those of `validate`; `beside` are the grouping variables and predictors.

    Raises
    ------
    AnalysisError
        As `validate` does.
    """
    ours = _frame(observed, "observed")
    if missing := [name for name in (*beside, *([folds] if folds else [])) if name not in ours]:
        raise _absent("observed", missing[0], ours)
    if donors is not None and folds is not None:
        raise AnalysisError(
            "donors and folds",
            "were both given.",
            "Give folds if the observed households are each other's donors, else donors.",
        )
    keys = [key for key in KEYS if key in ours]
    if "hid" not in keys:
        raise AnalysisError("observed, column hid", "is missing.", "Add the household ids that were fused.")
    if ours.duplicated(keys).any():
        row = ours.loc[ours.duplicated(keys), keys].iloc[0]
        raise AnalysisError("observed", f"has {row.to_dict()} more than once.", "Give one row a household.")
    static = pa.Table.from_pandas(ours[keys], preserve_index=False)
    with open_fused(implicates, static, memory_limit=memory_limit, threads=threads) as relation:
        names = _variables(relation, ours, variables, beside)
        others = None if donors is None else _frame(donors, "donors")
        if others is not None and (lacking := [n for n in (*names, *beside) if n not in others]):
            raise _absent("donors", lacking[0], others)
        everyone = [ours] if others is None else [ours, others]
        read, levels, drawn = _read(relation, names, everyone, len(ours), memory_limit)
    fold = np.zeros(sum(map(len, everyone)), dtype=np.int64)
    if folds is not None:
        if ours[folds].isna().any():
            raise AnalysisError(
                f"observed, column {folds}", "has missing values.", "Give every household its fold."
            )
        fold = pd.factorize(ours[folds], sort=True)[0].astype(np.int64)
    fold[len(ours) :] = -1
    frame = pd.concat([f[list(beside)] for f in everyone], ignore_index=True)
    frame = pd.DataFrame({name: _plain(frame[name], ours[name]) for name in beside})
    weights = np.concatenate([_weight(f, weight) for f in everyone])
    if not (weights[: len(ours)] > 0).any():
        raise AnalysisError(
            f"weight {weight}", "is zero everywhere: no estimate is defined.", "Correct the weights."
        )
    return Compared(read, drawn, levels, weights, fold, frame)


def _read(
    relation: FusedRelation, names: Sequence[str], everyone: Sequence[pd.DataFrame], n: int, memory_limit: int
) -> tuple[dict[str, Values], dict[str, tuple[str, ...]], dict[str, Values]]:
    """Read observed answers, levels and fused answers of every variable."""
    members, _ = relation.members()
    if len(members) < 2:
        raise AnalysisError(
            "implicates",
            f"are {len(members)}: nothing can be said about the variance between them.",
            "Fuse two or more.",
        )
    if (needed := 4 * len(members) * n * len(names)) > memory_limit:
        raise AnalysisError(
            f"{len(members)} implicates of {n:,} households and {len(names)} variables",
            f"take {needed / 2**20:,.0f} MB, more than the memory limit.",
            "Validate a sample of the households, or some variables at a time.",
        )
    data = Microdata(relation)
    observed: dict[str, Values] = {}
    levels: dict[str, tuple[str, ...]] = {}
    fused: dict[str, Values] = {}
    keys: dict[str, str] = {}
    places: dict[str, NDArray[np.int16]] = {}
    for name in names:
        column = pd.concat([f[name] for f in everyone], ignore_index=True)
        numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
        if numeric != data.is_number(name, "variable"):
            kinds = ("numeric", "categorical") if numeric else ("categorical", "numeric")
            raise AnalysisError(
                f"variable {name}",
                f"is {kinds[0]} in the observed table and {kinds[1]} in the implicates.",
                "Convert one of them.",
            )
        if numeric:
            keys[name] = data.number(name, "variable")
            observed[name] = column.to_numpy(np.float32, na_value=np.nan)
            fused[name] = np.empty((len(members), n), dtype=np.float32)
            continue
        factor = data.category(name, "variable")
        keys[name] = factor.key
        observed[name], levels[name], places[name] = _coded(column, factor)
        fused[name] = np.empty((len(members), n), dtype=np.int16)
    data.weigh(None, ReplicateDesign.of((), None, "sdr"))
    for position, member in enumerate(members):
        block = data.read(member)
        if len(block.rows) != n:
            raise AnalysisError(
                f"implicate {member[-1]}",
                f"has {len(block.rows):,} of the {n:,} observed households: a group would not be the same in all.",
                "Give all implicates of one run, and the observed households that were fused.",
            )
        for name in names:
            codes, numbers = block.codes.get(keys[name]), block.values.get(keys[name])
            found = numbers if codes is None else codes
            assert found is not None
            missing = int((np.isnan(found) if codes is None else found < 0).sum())
            if missing:
                raise AnalysisError(
                    f"implicate {member[-1]}, variable {name}",
                    f"has {missing:,} missing values.",
                    "Fuse it again: an implicate has a value for every household.",
                )
            fused[name][position] = found if codes is None else places[name][codes]
    return observed, levels, fused


def _coded(column: pd.Series, factor: Factor) -> tuple[NDArray[np.int16], tuple[str, ...], NDArray[np.int16]]:
    """Give codes of the observed answers, all levels, and where the implicates' own levels stand among these."""
    if pd.api.types.is_bool_dtype(column.dtype):
        column = column.astype("category")
    values = column if isinstance(column.dtype, pd.CategoricalDtype) else column.astype("category")
    own = [TRUTH.get(str(level), str(level)) for level in values.cat.categories]
    theirs = [TRUTH.get(label, label) for label in factor.labels]
    levels = tuple(dict.fromkeys([*own, *theirs]))
    places = np.array([levels.index(label) for label in theirs], dtype=np.int16)
    return values.cat.codes.to_numpy().astype(np.int16), levels, places


def _variables(
    relation: FusedRelation, ours: pd.DataFrame, wanted: Sequence[str] | None, beside: Sequence[str]
) -> list[str]:
    """Name the variables to be compared: those asked for, or all that both sides have."""
    fused = [name for name in relation.columns if name not in (*KEYS, IMPLICATE, NEST)]
    names = list(wanted) if wanted is not None else [n for n in fused if n in ours and n not in beside]
    for name in names:
        if name not in fused:
            raise AnalysisError(f"variable {name}", "is not in the implicates.", choose_among(name, fused))
        if name not in ours:
            raise _absent("observed", name, ours)
    if not names:
        raise AnalysisError(
            "implicates and observed table", "have no variable in common.", "Name columns that both have."
        )
    if both := [name for name in beside if name in names]:
        raise AnalysisError(
            f"column {both[0]}",
            "is a fusion variable, and its groups would differ between implicates.",
            "Take groups and predictors that were not fused.",
        )
    return names


def _frame(given: Observed, where: str) -> pd.DataFrame:
    names = list(given.column_names if isinstance(given, pa.Table) else given.columns)
    if isinstance(given, pd.DataFrame):
        return given.reset_index(drop=True)
    return as_table(given, names, where, AnalysisError).to_pandas()


def _weight(frame: pd.DataFrame, weight: str | None) -> NDArray[np.float64]:
    if weight is None:
        return np.ones(len(frame))
    if weight not in frame:
        raise _absent("observed", weight, frame)
    values = frame[weight].to_numpy(np.float64, na_value=np.nan)
    checked(values, np.empty((len(values), 0), dtype=np.float32), weight, "")
    return values


def _plain(column: pd.Series, like: pd.Series) -> pd.Series:
    """Make a number or truth value float64, and all else a category, with the observed table's levels if stated."""
    if isinstance(like.dtype, pd.CategoricalDtype):
        return column.astype(like.dtype)
    if pd.api.types.is_numeric_dtype(like.dtype):
        return pd.Series(column.to_numpy(np.float64, na_value=np.nan))
    return column.astype("string").astype("category")


def _absent(where: str, name: str, frame: pd.DataFrame) -> AnalysisError:
    return AnalysisError(
        f"{where}, column {name}", "does not exist.", choose_among(name, map(str, frame.columns))
    )
