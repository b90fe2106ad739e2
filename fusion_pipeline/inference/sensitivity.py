"""Sensitivity of an analysis across donors to what no survey has asked together.

Belongs here: pairing two donors' implicates anew so that their variables depend on each other given the predictors, and
the analysis repeated over that dependence. Does not belong here: bounds by formula (`bounds.py`).

Fusion draws a household's y from Y | X and its z from Z | X, independently. Each household has M draws of both, so how
its draws are paired is free: any pairing leaves both conditional distributions, and with them every estimate of one
donor alone, as they are. For a partial correlation rho a household's records of the second donor are dealt to the
implicates in the order of rho * u + sqrt(1 - rho^2) * e, where u are the normal scores of its y over implicates and e
is normal noise: a Gaussian copula given X. Ranks of M draws lose some of it, for which rho is raised as far as it can
be. At -1 and 1 draws are paired in opposite and in equal order: the Frechet bounds given X, as far as M draws show
them. Repeating the analysis over admissible values is the advice of Rubin 1986 (J. Business and Economic Statistics
4:87) and Reiter 2012.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.inference.given import Implicates, Recipient
from fusion_pipeline.inference.output import Estimates
from fusion_pipeline.inference.relation import (
    IMPLICATE,
    KEYS,
    NEST,
    FusedRelation,
    open_fused,
    quoted,
)
from fusion_pipeline.randomness import stream
from fusion_pipeline.storage.tables import categorical, write_table

RHOS = (-1.0, -0.5, 0.0, 0.5, 1.0)
LEAST_IMPLICATES = 5
_ROWS = 1 << 16


def sensitivity(
    implicates: Mapping[str, Implicates],
    static: Recipient | None = None,
    *,
    first: str,
    second: str,
    rhos: Sequence[float] = RHOS,
    seed: int = 1,
    **request: Any,
) -> Estimates:
    """Repeat an analysis over partial correlations of two donors' variables given the predictors.

    Parameters
    ----------
    implicates : mapping of two names
        Two surveys fused onto the same households, at least five implicates each.
    static : as in `analyze`
    first, second : str
        A variable of the first survey and one of the second: the two whose dependence is in question. Numbers, or
        categories in level order. All of a household's variables of the second survey move together.
    rhos : sequence of float
        Partial (rank) correlations, -1 to 1; 0 is what fusion assumes.
    seed : int
    request : the arguments of `analyze`, from `estimates` on

    Returns
    -------
    Estimates
        `.table` as that of `analyze`, with column `rho` in front. Margins hold sampling and implicates, not rho: the
        spread over rho is what the data leave open.

    Raises
    ------
    AnalysisError
        If there are not two surveys, too few implicates, a variable is not of its survey, a rho is out of range, or as
        `analyze` does.

    Notes
    -----
    Pairing anew mixes the implicates' models within a household, which can lower the variance between implicates;
    standard errors are therefore never less than those of the implicates as they were fused.

    Examples
    --------
    >>> import numpy as np, pyarrow as pa
    >>> import fusion_pipeline as fp
    >>> draw = np.random.default_rng(1).normal
    >>> keys = {"implicate": np.repeat(np.arange(1, 7), 50), "hid": np.tile(np.arange(50), 6)}
    >>> energy, travel = pa.table(keys | {"use": draw(size=300)}), pa.table(keys | {"miles": draw(size=300)})
    >>> found = fp.sensitivity(
    ...     {"energy": energy, "travel": travel}, first="use", second="miles", rhos=(0, 0.5),
    ...     estimates=["correlation(use, miles)"], weight=None,
    ... )
    >>> found.table["estimate"].round(1).tolist()
    [0.0, 0.5]
    """
    from scipy.special import stdtrit

    if len(implicates) != 2:
        raise AnalysisError("implicates", f"are of {len(implicates)} surveys.", "Give two, by name.")
    if bad := [rho for rho in rhos if not -1 <= rho <= 1]:
        raise AnalysisError(f"rho {bad[0]}", "is no correlation.", "Give values from -1 to 1.")
    limits = {name: request[name] for name in ("memory_limit", "threads") if name in request}
    (name_a, fused_a), (name_b, _) = implicates.items()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = analyze(implicates, static, **request)
        runs = []
        with open_fused(implicates, None, **limits) as relation, tempfile.TemporaryDirectory() as folder:
            pairing = _Pairing(relation, (first, name_a), (second, name_b))
            for number, rho in enumerate(rhos):
                target = Path(folder, str(number))
                pairing.write(float(rho), target, seed)
                runs.append(
                    analyze({name_a: fused_a, name_b: target}, static, **request).table.assign(rho=float(rho))
                )
    keys = [*base.by, "estimand", "level"]
    table = pd.concat(runs, ignore_index=True)
    # Text keys: groups that are missing in the one and not in the other make no trouble.
    at = pd.MultiIndex.from_frame(base.table[keys].astype(str))
    least = pd.Series(base.table["standard_error"].to_numpy(), index=at).reindex(
        pd.MultiIndex.from_frame(table[keys].astype(str))
    )
    table["standard_error"] = np.fmax(table["standard_error"], least.to_numpy())
    table["margin"] = stdtrit(table["df"], (1 + base.level) / 2) * table["standard_error"]
    table.insert(0, "rho", table.pop("rho"))
    reach = float(np.mean(_scores(base.implicates) ** 2))
    note = (
        f"rho is the partial correlation of {first} ({name_a}) and {second} ({name_b}) given the predictors; "
        "no survey tells it, and fusion takes it as 0. "
        f"With {base.implicates} implicates it can be shown from {-reach:.2f} to {reach:.2f}; what lies beyond "
        "is shown as these ends."
    )
    return Estimates(table, ("rho", *base.by), base.level, base.rule, base.implicates, (note,), base.variance)


class _Pairing:
    """Two surveys' draws of a pair of variables, household by household."""

    def __init__(self, relation: FusedRelation, first: tuple[str, str], second: tuple[str, str]) -> None:
        for name, survey in (first, second):
            if relation.column(name, "variable").origin != survey:
                raise AnalysisError(
                    f"variable {name}",
                    f"is not of {survey}.",
                    "Name a variable of each survey, in their order.",
                )
        if NEST in relation.columns:
            raise AnalysisError("implicates", "come in nests.", "Give those of one nest.")
        self.relation = relation
        self.members = [member[0] for member in relation.members()[0]]
        if len(self.members) < LEAST_IMPLICATES:
            raise AnalysisError(
                "implicates",
                f"are {len(self.members)}: too few draws a household to pair them anew.",
                f"Fuse at least {LEAST_IMPLICATES}; 20 and more show the extremes.",
            )
        self.second = [
            c for c in relation.columns.values() if c.origin == second[1] and c.name not in (*KEYS, IMPLICATE)
        ]
        self.keys = [name for name in KEYS if name in relation.columns]
        self.frame = [self._draws(first[0]), self._draws(second[0])]

    def write(self, rho: float, folder: Path, seed: int) -> None:
        """Write the second survey's implicates, dealt anew for one rho."""
        deal = self._deal(rho, seed)
        columns: dict[str, list[pa.Array]] = {}
        for column in self.second:
            values, levels = self._column(column.name)
            dealt = np.take_along_axis(values, deal, axis=1)
            columns[column.name] = [
                categorical(part.astype(np.int64), levels, ordered=column.ordered)
                if levels is not None
                else pa.array(part, mask=np.isnan(part))
                for part in dealt.T
            ]
        keys = self._keys()
        for position, member in enumerate(self.members):
            table = pa.table({**keys, **{name: parts[position] for name, parts in columns.items()}})
            write_table(folder / f"implicate={member:02d}" / "part-0.parquet", table)

    def _deal(self, rho: float, seed: int) -> NDArray[np.int64]:
        """Choose, for every household and implicate, the implicate its second record comes from."""
        y, z = self.frame
        scores = _scores(y.shape[1])
        reach = float(np.mean(scores**2))
        rho = float(np.clip(rho / reach, -1, 1))
        scores = scores / np.sqrt(reach)
        deal = np.empty(y.shape, dtype=np.int64)
        for block, begin in enumerate(range(0, len(y), _ROWS)):
            part = slice(begin, begin + _ROWS)
            random = stream(seed, "sensitivity", f"{rho:.6f}", block)
            rows = y[part].shape
            u = scores[_ranks(y[part], random)]
            aim = rho * u + np.sqrt(1 - rho * rho) * random.standard_normal(rows)
            by_z = np.argsort(_ranks(z[part], random), axis=1)
            deal[part] = np.take_along_axis(by_z, _ranks(aim, random), axis=1)
        return deal

    def _draws(self, name: str) -> NDArray[np.float64]:
        return self._column(name)[0]

    def _column(self, name: str) -> tuple[NDArray[np.float64], list[str] | None]:
        """Read a column of all implicates: (households, M), codes for categories."""
        column = self.relation.columns[name]
        order = ", ".join(f"i.{quoted(key)}" for key in self.keys)
        levels: list[str] | None = None
        parts = []
        for member in self.members:
            sql = (
                f"SELECT {column.sql} AS v FROM {self.relation.source} WHERE i.{quoted(IMPLICATE)} = {member} "
                f"ORDER BY {order}"
            )
            values = self.relation.arrow(sql)["v"].combine_chunks()
            if column.numeric:
                parts.append(values.fill_null(np.nan).to_numpy(zero_copy_only=False))
                continue
            text = values.to_pandas()
            levels = levels or list(column.levels or self._levels(name))
            parts.append(pd.Categorical(text, categories=levels).codes.astype(np.float64))
        return np.stack(parts, axis=1), levels

    def _levels(self, name: str) -> list[str]:
        column = self.relation.columns[name]
        return self.relation.query(
            f"SELECT DISTINCT {column.sql} AS v FROM {self.relation.source} WHERE v IS NOT NULL ORDER BY v"
        )["v"].tolist()

    def _keys(self) -> dict[str, pa.ChunkedArray]:
        order = ", ".join(f"i.{quoted(key)}" for key in self.keys)
        first = f"i.{quoted(IMPLICATE)} = {self.members[0]}"
        sql = f"SELECT {order} FROM {self.relation.source} WHERE {first} ORDER BY {order}"
        table = self.relation.arrow(sql)
        return {name: table[name] for name in self.keys}


def _scores(count: int) -> NDArray[np.float64]:
    """Expected normal order statistics (Blom 1958); their mean square is the largest correlation of paired draws."""
    from scipy.special import ndtri

    return ndtri((np.arange(1, count + 1) - 0.375) / (count + 0.25))


def _ranks(values: NDArray[Any], random: np.random.Generator) -> NDArray[np.int64]:
    """Rank each row, 0 the least, ties at random."""
    shuffled = random.random(values.shape).argsort(axis=1)
    order = np.take_along_axis(values, shuffled, axis=1).argsort(axis=1, kind="stable")
    ranks = np.empty(values.shape, dtype=np.int64)
    np.put_along_axis(
        ranks, np.take_along_axis(shuffled, order, axis=1), np.arange(values.shape[1])[None, :], axis=1
    )
    return ranks
