"""Internal validation: implicates held against what the same households really answered.

Belongs here: `validate` and its result. Does not belong here: implicates for donors (`cross_fitting.py`), the parts:
`compared.py`, `subset_estimates.py`, `subset_scores.py`, `dependence.py`, `classifier.py`.

Method: Ummel et al. 2024, "Internal validation" (subsets by grouping variables and their pairs; three metrics smoothed
over subset size), and what it lacks: distances of distributions, dependence, coverage, a classifier, and baselines.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.given import Implicates
from fusion_pipeline.storage.atomic import atomic_directory
from fusion_pipeline.storage.tables import TableRef, write_table
from fusion_pipeline.validation.classifier import real_or_fused
from fusion_pipeline.validation.compared import Compared, Observed, bring_together
from fusion_pipeline.validation.dependence import compare_dependence, predictor_columns
from fusion_pipeline.validation.distributions import ks_distance, total_variation
from fusion_pipeline.validation.subset_estimates import subset_estimates
from fusion_pipeline.validation.subset_scores import EVERYTHING, by_method, by_size, scored

VERSION = "1"
SMALLEST = 30
MOST_IMPLICATES = 10
"""Implicates whose correlations are computed: more change nothing."""
FEWEST_COMPLETE = 50
"""Households with all answers that correlations and the classifier need."""
OVER_ALL = ("value_added", "relative_uncertainty", "coverage", "coverage_between")
RELATIONS = ("fused_fused_slope", "fused_predictor_slope", "auc")
TABLES = ("estimates", "methods", "sizes", "variables", "dependence")


@dataclass(frozen=True)
class Validation:
    """What `validate` found."""

    estimates: pd.DataFrame
    """One row a fold, subset, variable and level; columns as in `subset_estimates.COLUMNS`."""
    methods: pd.DataFrame
    """Error, value added, relative uncertainty and coverage by variable and method."""
    sizes: pd.DataFrame
    """The three metrics smoothed over subset size, by variable and method."""
    variables: pd.DataFrame
    """`variable`, `kind`, `measure` ("KS" or "TV") and `distance` of the fused from the observed distribution."""
    dependence: pd.DataFrame
    """`first`, `second`, `kind` ("fused" or "predictor") and the strength of their dependence, `observed` and
    `fused`."""
    summary: dict[str, float]
    """The figures that checks look at."""
    notes: tuple[str, ...] = ()
    """What a reader has to know, in sentences."""

    def __repr__(self) -> str:
        """Show the figures, and the methods beside each other."""
        figures = "\n".join(f"{name:24s} {value:8.3f}" for name, value in self.summary.items())
        methods = self.methods[self.methods["variable"] == EVERYTHING].drop(columns="variable")
        return "\n".join([figures, methods.to_string(index=False), *self.notes])

    def figure(self, variable: str = EVERYTHING, *, source: str = "") -> bytes:
        """Draw the three metrics against subset size, with the simpler methods: PNG.

        Parameters
        ----------
        variable : all of them together, by default
        source : what the numbers come from
        """
        from fusion_pipeline.validation.internal_figure import internal_figure

        if variable not in set(self.methods["variable"]):
            there = ", ".join(self.methods["variable"].unique())
            raise AnalysisError(f"variable {variable}", "was not validated.", f"Choose one of: {there}.")
        return internal_figure(self.sizes, variable, source=source)

    def write(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON, atomically."""
        with atomic_directory(Path(folder)) as temporary:
            for name in TABLES:
                table = pa.Table.from_pandas(getattr(self, name), preserve_index=False)
                write_table(temporary / f"{name}.parquet", table)
            known = {name: value if np.isfinite(value) else None for name, value in self.summary.items()}
            text = json.dumps({"summary": known, "notes": self.notes}, indent=1)
            (temporary / "summary.json").write_text(text + "\n")

    @classmethod
    def read(cls, folder: Path) -> Validation:
        """Read what `write` wrote."""
        told = json.loads((Path(folder) / "summary.json").read_text())
        tables = {name: TableRef(Path(folder) / f"{name}.parquet").to_pandas() for name in TABLES}
        summary = {name: np.nan if value is None else value for name, value in told["summary"].items()}
        return cls(**tables, summary=summary, notes=tuple(told["notes"]))


def validate(
    implicates: Implicates,
    observed: Observed,
    *,
    groups: Sequence[str],
    variables: Sequence[str] | None = None,
    predictors: Sequence[str] | None = None,
    donors: Observed | None = None,
    folds: str | None = None,
    weight: str | None = "weight",
    smallest: int = SMALLEST,
    level: float = 0.90,
    seed: int = 1,
    threads: int = 1,
    memory_limit: int = 2 << 30,
) -> Validation:
    """Hold implicates against what the same households really answered.

    Parameters
    ----------
    implicates : folder, files, table, frame or DuckDB relation
        Fused variables with `hid` (and `year`, `pid` if the observed table has them) and `implicate`; two implicates
        or more, every household in each.
    observed : frame, table or handle
        The same households with their real answers: keys, fusion variables, groups, predictors, weight. An answer that
        is missing leaves its household out of that variable, on both sides.
    groups : sequence of str
        Columns of `observed` whose groups, and those of all pairs, are the subsets. Numbers and ordered categories
        are cut into five groups; a missing value is a group.
    variables : sequence of str, optional
        Fusion variables; by default all columns that both have.
    predictors : sequence of str, optional
        Columns whose dependence with the fusion variables is compared, that the nearest donor is found by, and that
        the classifier sees; by default the groups.
    donors : frame, table or handle, optional
        Those that the implicates were fused from, for the simpler methods.
    folds : str, optional
        Instead of `donors`: column of `observed` with the fold of each household, if it was fused from the households
        of the other folds (`cross_fitted`). Folds are compared one by one.
    weight : str, optional
        None: every household counts one. A household without weight is in no subset.
    smallest : int
        Households that a subset has at least; smaller ones are counted and left out. One household alone has no margin.
    level : float
        Confidence level of the margins.
    seed : int
        Of the random donors and of the classifier's folds.
    threads, memory_limit : int
        Bounds; threads change no result. Implicates are held in memory.

    Returns
    -------
    Validation
        `summary` has, over all estimates: `error_percent` (median absolute error in percent), `error_ratio` (that over
        the donors' own direct estimate), `value_added` (mean), `relative_uncertainty` (median), `coverage` (of the
        observed estimates by margins of Rubin's rule), `coverage_between` (by the variance between implicates alone),
        `distance` (mean of KS and total variation), `fused_fused_slope`, `fused_predictor_slope`, `auc`. What is not
        defined is NaN.

    Raises
    ------
    AnalysisError
        If implicates have a gap, a household is not in all of them or has a missing fused value, there are fewer than
        two, a column is missing or of another kind, a group was fused itself, a weight is missing or negative or all
        are zero, or no subset is large enough.

    Examples
    --------
    >>> import fusion_pipeline as fp, tempfile
    >>> donor, _ = fp.example_tables(400)
    >>> held, folder = donor.assign(half=donor["hid"] % 2), tempfile.mkdtemp()
    >>> first, second = held[held["half"] == 0], held[held["half"] == 1]
    >>> models = fp.train(first, y=["size"], x=["group", "income"], weight="weight", out=folder, leaves=[4])
    >>> found = fp.validate(fp.fuse(second, models, implicates=3), second, groups=["group", "tenure"], donors=first)
    >>> list(found.methods["method"].unique())
    ['fused', 'direct', 'neighbour', 'random', 'grand']
    """
    if not 0 < level < 1:
        raise AnalysisError(f"level {level}", "is not between 0 and 1.", "Write 0.90 for 90 %.")
    predictors = list(groups if predictors is None else predictors)
    data = bring_together(
        implicates,
        observed,
        variables=variables,
        beside=list(dict.fromkeys([*groups, *predictors])),
        donors=donors,
        folds=folds,
        weight=weight,
        memory_limit=memory_limit,
        threads=threads,
    )
    table, left_out = subset_estimates(data, groups, predictors, smallest=smallest, level=level, seed=seed)
    if table.empty:
        raise AnalysisError(
            f"groups {', '.join(groups)}",
            f"have no subset of {smallest} households or more.",
            "Lower `smallest`, or take groups of fewer values.",
        )
    scores = scored(table)
    methods, distances = by_method(scores), _distances(data)
    dependence, relations = _relations(data, predictors, seed, threads)
    whole = methods[methods["variable"] == EVERYTHING].set_index("method").drop(columns="variable")
    fused, direct = whole.loc["fused"].to_dict(), whole["error_percent"].to_dict().get("direct", 0.0)
    summary = {
        "error_percent": fused["error_percent"],
        "error_ratio": fused["error_percent"] / direct if direct > 0 else np.nan,
        **{name: fused[name] for name in OVER_ALL},
        "distance": distances["distance"].mean(),
        **relations,
    }
    return Validation(
        table,
        methods,
        by_size(scores),
        distances,
        dependence,
        {name: float(value) for name, value in summary.items()},
        _notes(data, left_out, smallest),
    )


def _distances(data: Compared) -> pd.DataFrame:
    """Distance of the fused from the observed distribution of every variable: mean over folds."""
    rows = []
    for name, observed in data.observed.items():
        parts = []
        for fold in data.own_folds:
            rows_of = np.flatnonzero((data.fold == fold) & data.known(name) & (data.weight > 0))
            rows_of = rows_of[rows_of < data.households]
            if not len(rows_of):
                continue
            w, drawn = data.weight[rows_of], data.fused[name][:, rows_of]
            many = np.tile(w, len(drawn))
            if name in data.levels:
                shares = [
                    np.bincount(codes, weights=weight, minlength=len(data.levels[name])) / weight.sum()
                    for codes, weight in ((observed[rows_of], w), (drawn.ravel(), many))
                ]
                parts.append(total_variation(*shares))
            else:
                parts.append(ks_distance(observed[rows_of], w, drawn.ravel(), many))
        kind, measure = ("categorical", "TV") if name in data.levels else ("numeric", "KS")
        rows.append((name, kind, measure, float(np.mean(parts)) if parts else np.nan))
    return pd.DataFrame(rows, columns=["variable", "kind", "measure", "distance"])


def _relations(
    data: Compared, predictors: Sequence[str], seed: int, threads: int
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Compare dependence, and have a classifier look; households with all answers and weight count one each."""
    complete = np.logical_and.reduce([data.known(name) for name in data.observed]) & (data.weight > 0)
    rows = np.flatnonzero(complete[: data.households])
    if len(rows) < FEWEST_COMPLETE:
        nothing = pd.DataFrame(columns=["first", "second", "kind", "observed", "fused"])
        return nothing, dict.fromkeys(RELATIONS, np.nan)
    beside, observed = predictor_columns(data.frame.iloc[rows], predictors), data.answers(rows)
    fused = [data.answers(rows, m) for m in range(min(data.implicates, MOST_IMPLICATES))]
    table, *slopes = compare_dependence(observed, fused, beside)
    drawn = np.stack([columns.values for columns in fused])
    auc = real_or_fused(beside.values, observed.values, drawn, seed, threads)
    return table, dict(zip(RELATIONS, (*slopes, auc), strict=True))


def _notes(data: Compared, left_out: int, smallest: int) -> tuple[str, ...]:
    n, notes = data.households, []
    if left_out:
        notes.append(
            f"{left_out:,} subsets have fewer than {smallest} households with weight and are left out."
        )
    for name, values in data.observed.items():
        known = data.known(name)[:n]
        if missing := int((~known).sum()):
            notes.append(
                f"{name}: {missing:,} households without an observed answer are left out of it on both sides."
            )
        if len(np.unique(values[:n][known])) < 2:
            notes.append(
                f"{name} is the same for all observed households: it has no value added and no correlations."
            )
    if weightless := int((data.weight[:n] <= 0).sum()):
        notes.append(f"{weightless:,} households of weight zero are in no subset.")
    return tuple(notes)
