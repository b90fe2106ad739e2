"""Fused marginals against the donor's: means, spreads, zero shares and level shares.

Belongs here: comparisons of single numbers over all implicates, streamed. Does not belong here: whole
distributions (`distributions.py`), figures (`figures.py`), the joined relation (`inference/relation.py`).

Differences are counted in standard errors of the donor's estimate. A difference of a few of them is no error
by itself: donor and recipient sample different populations, often in different years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.relation import Column, FusedRelation, Implicates, listing, open_fused
from fusion_pipeline.storage.tables import TableRef

Array = NDArray[np.float64]


def compare_marginals(
    donor: pd.DataFrame | pa.Table | TableRef,
    fused: Implicates,
    static: pa.Table | TableRef | None,
    variables: Sequence[str],
    *,
    weight: str = "weight",
    replicate_weights: Sequence[str] = (),
    replicate_scale: float | None = None,
    memory_limit: int | str | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Compare the weighted marginals of fusion variables with the donor's own.

    Parameters
    ----------
    donor : table with the fusion variables and `weight`
    fused, static : as in `inference.analyze.analyze`
    variables : sequence of str
        Fusion variables, numeric or categorical.
    replicate_weights, replicate_scale : optional
        Of the donor, for its standard errors; scale 4/R unless given. Without, the ratio variance.

    Returns
    -------
    pd.DataFrame
        `variable`; `level`: a category, or `mean`, `sd`, `zero share` of a numeric variable (the last where
        zeros occur); `donor`, `donor_standard_error`, `fused`; `difference`, (fused - donor) in donor
        standard errors.

    Raises
    ------
    AnalysisError
        If a variable or weight is unknown, or numeric on one side only.

    Notes
    -----
    Standard error of sd: that of the mean of (x - mean)^2, divided by 2 sd (linearisation).
    """
    with open_fused(fused, static, memory_limit=memory_limit, threads=threads) as relation:
        columns = [relation.column(name, "variable") for name in variables]
        frame = donor_frame(donor, [*variables, weight, *replicate_weights])
        for column in columns:
            _check_kind(column, frame[column.name])
        weights = _DonorWeights.of(frame, weight, replicate_weights, replicate_scale)
        fused_weight = relation.column(weight, "weight").sql
        numeric = [c for c in columns if c.numeric]
        categorical = [c for c in columns if not c.numeric]
        moments = _fused_moments(relation, numeric, fused_weight) if numeric else {}
        shares = _fused_shares(relation, categorical, fused_weight) if categorical else {}
    parts = []
    for column in columns:
        values = frame[column.name]
        if column.numeric:
            part = _compare_numeric(
                values.to_numpy(np.float64, na_value=np.nan), weights, moments[column.name]
            )
        else:
            part = _compare_levels(values, weights, shares[column.name], column.levels)
        part.insert(0, "variable", column.name)
        parts.append(part)
    result = pd.concat(parts, ignore_index=True)
    gap, error = result["fused"] - result["donor"], result["donor_standard_error"]
    with np.errstate(divide="ignore", invalid="ignore"):
        result["difference"] = np.where(gap == 0, 0.0, gap.to_numpy() / error.to_numpy())
    return result


def comparable_donors(donor: TableRef, recipient: TableRef, locations: Sequence[str]) -> pa.Table:
    """Keep the donors of the locations in which there are recipients: one state is not held against the nation.

    Parameters
    ----------
    donor, recipient : tables that share the location columns
    locations : sequence of str
        Their disclosed location columns, such as `recs_division`.

    Returns
    -------
    pa.Table
        Donors whose every location occurs among the recipients; all donors where none is left.
    """
    table = donor.read()
    kept = pa.array(np.ones(table.num_rows, dtype=bool))
    for name in locations:
        covered = recipient.read([name])[name].cast(pa.string()).unique()
        kept = pc.and_(kept, pc.is_in(table[name].cast(pa.string()), value_set=covered))
    return table.filter(kept) if pc.any(kept).as_py() else table


def donor_frame(donor: pd.DataFrame | pa.Table | TableRef, names: Sequence[str]) -> pd.DataFrame:
    """Read some of the donor's columns.

    Raises
    ------
    AnalysisError
        If a column does not exist; the message lists those that do.
    """
    there = list(donor.columns) if isinstance(donor, pd.DataFrame | TableRef) else donor.column_names
    for name in names:
        if name not in there:
            raise AnalysisError(
                f"donor, column {name}", "does not exist.", f"Choose among: {listing(there)}."
            )
    names = list(dict.fromkeys(names))
    if isinstance(donor, TableRef):
        return donor.to_pandas(names)
    return donor[names] if isinstance(donor, pd.DataFrame) else donor.select(names).to_pandas()


@dataclass(frozen=True)
class _DonorWeights:
    main: Array
    replicates: Array
    scale: float

    @classmethod
    def of(
        cls, frame: pd.DataFrame, weight: str, replicates: Sequence[str], scale: float | None
    ) -> _DonorWeights:
        main = frame[weight].to_numpy(np.float64)
        matrix = frame[list(replicates)].to_numpy(np.float64)
        return cls(main, matrix, 4 / max(len(replicates), 1) if scale is None else scale)

    def at(self, rows: NDArray[np.bool_]) -> _DonorWeights:
        return _DonorWeights(self.main[rows], self.replicates[rows], self.scale)

    def mean(self, x: Array) -> tuple[float, float]:
        """Weighted mean and its standard error."""
        mean = float(np.average(x, weights=self.main))
        if self.replicates.shape[1]:
            means = x @ self.replicates / self.replicates.sum(axis=0)
            return mean, float(np.sqrt(self.scale * np.sum((means - mean) ** 2)))
        n, total = len(x), self.main.sum()
        if n < 2:
            return mean, np.nan
        return mean, float(np.sqrt(n / (n - 1) * np.sum((self.main * (x - mean)) ** 2)) / total)


def _compare_numeric(x: Array, weights: _DonorWeights, fused: dict[str, float]) -> pd.DataFrame:
    there = ~np.isnan(x)
    x, weights = x[there], weights.at(there)
    mean, mean_error = weights.mean(x)
    variance, variance_error = weights.mean((x - mean) ** 2)
    sd = np.sqrt(variance)
    rows = [("mean", mean, mean_error, fused["mean"])]
    rows.append(("sd", sd, variance_error / (2 * sd) if sd > 0 else 0.0, fused["sd"]))
    zero, zero_error = weights.mean((x == 0).astype(np.float64))
    if zero > 0 or fused["zero share"] > 0:
        rows.append(("zero share", zero, zero_error, fused["zero share"]))
    return pd.DataFrame(rows, columns=["level", "donor", "donor_standard_error", "fused"])


def _compare_levels(
    values: pd.Series, weights: _DonorWeights, fused: dict[str, float], levels: Sequence[str] | None
) -> pd.DataFrame:
    there = values.notna().to_numpy()
    text = values[there].astype(str).to_numpy()
    if pd.api.types.is_bool_dtype(values):
        text = np.char.lower(text.astype(str))
    weights = weights.at(there)
    own = (
        list(map(str, values.cat.categories))
        if isinstance(values.dtype, pd.CategoricalDtype)
        else sorted(set(text))
    )
    order = list(dict.fromkeys([*own, *(levels or sorted(fused))]))
    rows = [
        (level, *weights.mean((text == level).astype(np.float64)), fused.get(level, 0.0)) for level in order
    ]
    return pd.DataFrame(rows, columns=["level", "donor", "donor_standard_error", "fused"])


def _fused_moments(relation: FusedRelation, columns: Sequence[Column], w: str) -> dict[str, dict[str, float]]:
    terms = []
    for j, column in enumerate(columns):
        x = column.sql
        terms += [
            f"fsum({w}) FILTER ({x} IS NOT NULL) AS w_{j}",
            f"fsum({w} * {x}) AS wx_{j}",
            f"fsum({w} * {x} * {x}) AS wxx_{j}",
            f"fsum({w}) FILTER ({x} = 0) AS zero_{j}",
        ]
    sums = relation.query(f"SELECT {', '.join(terms)} FROM {relation.source}").astype(np.float64).iloc[0]
    found = {}
    for j, column in enumerate(columns):
        if not sums[f"w_{j}"] > 0:
            raise AnalysisError(
                f"variable {column.name}",
                "has no weighted value in the implicates.",
                "Check the static table.",
            )
        mean = sums[f"wx_{j}"] / sums[f"w_{j}"]
        variance = max(0.0, sums[f"wxx_{j}"] / sums[f"w_{j}"] - mean**2)
        zero = 0.0 if np.isnan(sums[f"zero_{j}"]) else sums[f"zero_{j}"] / sums[f"w_{j}"]
        found[column.name] = {"mean": mean, "sd": float(np.sqrt(variance)), "zero share": zero}
    return found


def _fused_shares(relation: FusedRelation, columns: Sequence[Column], w: str) -> dict[str, dict[str, float]]:
    found = {}
    for column in columns:
        sql = f"SELECT {column.sql} AS level, sum({w}) AS w FROM {relation.source} WHERE level IS NOT NULL GROUP BY ALL"
        counts = relation.query(sql).set_index("level")["w"].astype(np.float64)
        found[column.name] = {str(k): float(v) for k, v in (counts / counts.sum()).items()}
    return found


def _check_kind(column: Column, values: pd.Series) -> None:
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if numeric != column.numeric:
        kinds = ("numeric", "categorical") if numeric else ("categorical", "numeric")
        raise AnalysisError(
            f"variable {column.name}",
            f"is {kinds[0]} in the donor and {kinds[1]} in the implicates.",
            "Give the donor table that the model set was trained on.",
        )
