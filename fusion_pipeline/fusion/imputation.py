"""Imputation: the gaps of one table, filled by the engine that fuses two.

Belongs here: which variable is filled when, from what, and several completed copies. Does not belong here: models and
draws (`training.py`, `fusing.py`), what counts as missing in a survey (`surveys/imputing.py`).

Method: variables in the order of how many values they lack; each is trained on the rows that have it and drawn for
the others, with every complete variable as predictor, those filled before among them. Further cycles draw each
variable again from all others (chained equations; van Buuren 2007). Copies are drawn from redrawn weights of the known
rows, so that they differ by what is not known about the model too (Rubin 1987). They share the models: in the rows
learned from, what was filled before is the first copy's in one row, the second's in the next, and so on; every copy is
drawn from what it has itself.

A gap deserves less effort than a fusion variable: a sample of rows, the predictors that matter most, and models tuned
lightly (`TUNING`). `benchmarks/imputation.py` says what that costs in accuracy, and what it saves.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion import fusing, screening, training, variables
from fusion_pipeline.fusion.arguments import listed, text, whole
from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.screening import strongest
from fusion_pipeline.fusion.specification import IMPLICATE
from fusion_pipeline.fusion.training import train
from fusion_pipeline.logs import details
from fusion_pipeline.randomness import stream
from fusion_pipeline.storage.tables import TableRef, codes_of, levels_of

ENGINE = f"{screening.VERSION}.{training.VERSION}.{fusing.VERSION}"
"""Version of the engine: screen, models (`boosting.py` has none of its own) and draws."""
VERSION = f"{ENGINE}.2"
TUNING: Mapping[str, Any] = MappingProxyType(
    {
        "folds": 3,
        "leaves": (8,),
        "learning_rate": 0.2,
        "class_learning_rate": 0.3,
        "patience": 8,
        "centres": 500,
        "neighbours": 50,
    }
)
"""Settings of `train` for a gap, where the caller gives none."""
SCREENED_ROWS = 5_000
"""Rows that predictors are chosen on: enough to rank them."""
log = logging.getLogger(__name__)


def impute(
    table: pd.DataFrame | pa.Table | TableRef,
    *,
    columns: Sequence[str] | None = None,
    withheld: Mapping[str, Collection[str]] | None = None,
    weight: str | None = None,
    copies: int | None = None,
    cycles: int = 1,
    most_rows: int | None = 20_000,
    most_predictors: int | None = 20,
    seed: int = 1,
    threads: int = 1,
    stream_name: str = "impute",
    **settings: Any,
) -> pa.Table:
    """Fill the missing values of a table with values of similar rows.

    Parameters
    ----------
    table : frame, table or handle
        Never changed. Missing is null or NaN.
    columns : sequence of str, optional
        What is filled, and what it is filled from; without it all but `weight`. Others are handed through.
    withheld : mapping, optional
        Column to those that it must not be filled from, such as its own parts; names that the table has not are
        passed over.
    weight : str, optional
        Column of weights.
    copies : int, optional
        How many completed tables to draw; without it one, by the table's own weights.
    cycles : int
        How many times every variable is drawn. With one, a variable follows those that lack fewer values, and theirs do
        not follow it.
    most_rows : int or None
        Rows that a variable is learned and drawn from: a sample, where more have a value; None: all.
    most_predictors : int or None
        Each variable is filled from that many others at most, screened as by `prepare`; None: from all.
    seed, threads, stream_name
        As in `fuse`; the result depends on seed and name only.
    **settings
        Of `train`, such as ``folds`` or ``leaves``; by default those of `TUNING`.

    Returns
    -------
    Table with the columns and rows given. With `copies`, the copies one below the other, after a column `implicate`
    (int16): what `analyze` pools. A column without any value stays as it is, and is logged.

    Raises
    ------
    TrainingError
        If a column is unknown or no number, boolean or category, or too few rows have a value to learn from.

    Examples
    --------
    >>> import fusion_pipeline as fp
    >>> donor, _ = fp.example_tables()
    >>> gaps = donor[["group", "income", "size"]].copy()
    >>> gaps.loc[:49, "size"] = None
    >>> whole = fp.impute(gaps, leaves=[4])
    >>> whole["size"].null_count, whole.column_names
    (0, ['group', 'income', 'size'])
    """
    cycles = whole("impute, cycles", cycles, 1, TrainingError)
    counts = {"copies": copies, "most_rows": most_rows, "most_predictors": most_predictors}
    copies, most_rows, most_predictors = (
        None if count is None else whole(f"impute, {name}", count, 1, TrainingError)
        for name, count in counts.items()
    )
    _check_settings(settings, withheld)
    text("impute, stream_name", stream_name, TrainingError)
    names = variables.column_names(table, "table", TrainingError)
    if copies is not None and IMPLICATE in names:
        raise TrainingError(
            f"table, column {IMPLICATE}", "is there, and copies make a column of that name.", "Rename it."
        )
    given = variables.as_table(table, names, "table", TrainingError)
    chosen = names if columns is None else listed("impute, columns", columns, TrainingError)
    used = [name for name in chosen if name != weight]
    if unknown := [name for name in (*used, *([] if weight is None else [weight])) if name not in names]:
        raise TrainingError(f"table, column {unknown[0]}", "is missing.", "Correct `columns` or `weight`.")
    if not used or not given.num_rows:
        what = "has no rows." if used else "has no column to fill."
        raise TrainingError("table", what, "Check the step that made it, and `columns`.")
    gaps = {}
    for name in used:
        variables.describe(given[name], name, "table", TrainingError)
        missing = variables.missing(given[name])
        if missing.all():
            log.info("%s: no row has a value; it stays missing", name)
        elif missing.any():
            gaps[name] = missing
    order = sorted(gaps, key=lambda name: int(gaps[name].sum()))
    settings = {**TUNING, "seed": seed, "threads": threads, "bootstraps": copies or 0, **settings}
    filler = _Filler(
        used, withheld or {}, gaps, order, weight, most_rows, most_predictors, stream_name, settings
    )
    done = filler.fill([given] * (copies or 1), cycles)
    if copies is None:
        return done[0]
    return pa.concat_tables(
        part.add_column(0, "implicate", pa.array(np.full(part.num_rows, copy, dtype=np.int16)))
        for copy, part in enumerate(done, start=1)
    )


def _check_settings(settings: Mapping[str, Any], withheld: Any) -> None:
    """Refuse settings that `train` has not, or that `impute` makes itself."""
    allowed = set(signature(training.train).parameters) - {"donor", "plan", "y", "x", "out"}
    if unknown := sorted(set(settings) - allowed):
        raise TrainingError(
            f"impute, {unknown[0]}", "is no setting of a gap's models.", f"Give some of {sorted(allowed)}."
        )
    if withheld is not None and not isinstance(withheld, Mapping):
        raise TrainingError(
            "impute, withheld", f"is {withheld!r}.", "Give a mapping of a column to a list of columns."
        )
    for name, others in (withheld or {}).items():
        listed(f"impute, withheld of {name}", others, TrainingError)


@dataclass(frozen=True)
class _Filler:
    """What all copies have in common; `gaps` says where each column of `order` has no value."""

    used: Sequence[str]
    withheld: Mapping[str, Collection[str]]
    gaps: Mapping[str, np.ndarray]
    order: Sequence[str]
    weight: str | None
    most_rows: int | None
    most_predictors: int | None
    stream_name: str
    settings: Mapping[str, Any]

    def fill(self, copies: Sequence[pa.Table], cycles: int) -> list[pa.Table]:
        """Draw completed tables, beginning with one for each that has all the gaps."""
        tables = list(copies)
        usable = [name for name in self.used if not variables.missing(tables[0][name]).all()]
        varying = [name for name in usable if len(tables[0][name].unique()) > 1]
        complete = [name for name in varying if name not in self.gaps]
        for cycle in range(cycles):
            for name in self.order:
                never = {name, *self.withheld.get(name, ())}
                others = [other for other in varying if other not in never]
                # Where nothing is complete, gaps and all: models take missing predictors.
                known = [other for other in complete if other not in never]
                predictors = others if cycle or not known else known
                stream_name = self.stream_name if cycle == 0 else f"{self.stream_name}, cycle {cycle + 1}"
                tables = self._draw(tables, name, predictors, stream_name)
                if cycle == 0 and name in varying:
                    complete.append(name)
                log.info("%s: %d missing values imputed", name, int(self.gaps[name].sum()))
        return tables

    def _draw(
        self, tables: Sequence[pa.Table], name: str, predictors: list[str], stream_name: str
    ) -> list[pa.Table]:
        """Fill one column of every copy."""
        gap = self.gaps[name]
        answers = tables[0].filter(pa.array(~gap))[name]
        if len(answers.unique()) == 1:
            # One answer only: nothing to model, and the gaps can be filled with it alone.
            only = answers.take(pa.array(np.zeros(gap.sum(), dtype=np.int64)))
            return [_filled(table, name, gap, only) for table in tables]
        if not predictors:
            raise TrainingError(
                f"table, column {name}",
                "has no other column to be filled from.",
                "Add a column, or `columns`.",
            )
        seed = self.settings["seed"]
        weights = [] if self.weight is None else [self.weight]
        known = self._learned(tables, [*predictors, name, *weights]).filter(pa.array(~gap))
        if self.most_rows is not None:
            known = _sample(known, self.most_rows, seed, name)
        predictors = self._screened(known, name, predictors)
        filled = []
        with tempfile.TemporaryDirectory() as folder, details():
            models = train(
                known.select([*predictors, name, *weights]),
                y=[name],
                x=predictors,
                weight=self.weight,
                out=Path(folder) / "models",
                **self.settings,
            )
            for copy, table in enumerate(tables, start=1):
                drawn = fuse(
                    table.filter(pa.array(gap)).select(predictors),
                    models,
                    implicates=[copy],
                    seed=seed,
                    retain=(),
                    threads=self.settings["threads"],
                    stream_name=stream_name,
                )
                assert isinstance(drawn, pa.Table)
                filled.append(_filled(table, name, gap, drawn[name]))
        return filled

    def _learned(self, tables: Sequence[pa.Table], names: Sequence[str]) -> pa.Table:
        """Return columns with what was filled taken from the copies in turn, row by row."""
        learned = tables[0].select(names)
        if len(tables) == 1:
            return learned
        rows = np.arange(learned.num_rows)
        at = pa.array(rows % len(tables) * learned.num_rows + rows)
        for i, name in enumerate(names):
            if name in self.gaps:
                stacked = pa.chunked_array([c for t in tables for c in t[name].chunks], learned[name].type)
                learned = learned.set_column(i, name, stacked.unify_dictionaries().take(at))
        return learned

    def _screened(self, known: pa.Table, name: str, predictors: list[str]) -> list[str]:
        """Choose the predictors that matter most."""
        if self.most_predictors is None or len(predictors) <= self.most_predictors:
            return predictors
        rows = _sample(known, SCREENED_ROWS, self.settings["seed"], name)
        if len(rows[name].unique()) == 1:
            return predictors[: self.most_predictors]
        return strongest(rows, name, predictors, self.weight, self.most_predictors)


def _sample(table: pa.Table, most: int, seed: int, name: str) -> pa.Table:
    if table.num_rows <= most:
        return table
    rows = stream(seed, "impute", "rows", name).choice(table.num_rows, most, replace=False)
    return table.take(pa.array(np.sort(rows)))


def _filled(table: pa.Table, name: str, gap: np.ndarray, drawn: pa.ChunkedArray) -> pa.Table:
    """Put what was drawn into the gaps of a column; its type and levels, and every answer given, stay as they are."""
    column = table[name]
    if pa.types.is_dictionary(column.type):
        levels = levels_of(column)
        indices = codes_of(column)
        indices[gap] = variables.codes(drawn, variables.describe(column, name, "table", TrainingError))
        array = pa.DictionaryArray.from_arrays(
            pa.array(indices, mask=indices < 0).cast(column.type.index_type),
            pa.array(levels, column.type.value_type),
            ordered=column.type.ordered,
        )
        return table.set_column(table.column_names.index(name), name, array)
    rows = np.arange(table.num_rows)
    rows[gap] = table.num_rows + np.arange(gap.sum())
    both = pa.chunked_array([*column.chunks, *drawn.cast(column.type).chunks], column.type)
    return table.set_column(table.column_names.index(name), name, both.take(pa.array(rows)))
