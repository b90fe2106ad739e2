"""Estimands as they are written: `mean(btuel)`, `quantile(income, 0.9)`, `logistic(insec ~ income + tenure)`.

Belongs here: reading them, and what each asks of its columns. Does not belong here: expressions inside them
(`expressions.py`), estimation (`estimators.py`, `distribution.py`, `regression.py`, `bounding.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.bounding import bounding
from fusion_pipeline.inference.distribution import Gini, Quantile, ordered
from fusion_pipeline.inference.estimators import (
    Array,
    Codes,
    Correlation,
    Count,
    Estimator,
    Mean,
    Proportion,
    Ratio,
    Sample,
    Share,
    Sum,
)
from fusion_pipeline.inference.given import listed
from fusion_pipeline.inference.regression import Regression

NUMBER, CATEGORY, EITHER = "numeric", "categorical", "any"
_KINDS: dict[str, tuple[tuple[str, ...], type[Estimator] | None]] = {
    "mean": ((NUMBER,), Mean),
    "sum": ((NUMBER,), Sum),
    "proportion": ((CATEGORY,), Proportion),
    "count": ((CATEGORY,), Count),
    "median": ((NUMBER,), None),
    "quantile": ((NUMBER,), None),
    "ratio": ((NUMBER, NUMBER), Ratio),
    "share": ((NUMBER,), Share),
    "correlation": ((NUMBER, NUMBER), Correlation),
    "gini": ((NUMBER,), Gini),
    "linear": ((), None),
    "logistic": ((), None),
    "bounds": ((), None),
}
KNOWN = (
    "mean(variable), sum(variable), proportion(variable), count(variable), median(variable), "
    "quantile(variable, 0.9), ratio(variable, variable), share(variable), correlation(variable, variable), "
    "gini(variable), linear(outcome ~ term + term), logistic(outcome ~ term + term), "
    "bounds(variable, variable | common + common)"
)


@dataclass(frozen=True)
class Statistic:
    """A statistic of the user's own.

    Parameters
    ----------
    name : str
        Names it in the results.
    variables : sequence of str
        Columns or expressions it needs.
    function : callable
        Called with a frame of these columns (records without missing values; categories as text) and their
        weights; returns a number, or a mapping of labels to numbers, the same labels every time.

    Examples
    --------
    >>> import numpy as np, pyarrow as pa
    >>> import fusion_pipeline as fp
    >>> fused = pa.table({"implicate": [1, 1, 2, 2], "hid": [7, 8, 7, 8], "use": [1.0, 3.0, 2.0, 3.0]})
    >>> most = fp.Statistic("most", ["use"], lambda frame, weights: float(np.max(frame["use"])))
    >>> fp.analyze(fused, estimates=[most], weight=None).table["estimate"].tolist()
    [3.0]
    """

    name: str
    variables: Sequence[str]
    function: Callable[[pd.DataFrame, np.ndarray], float | Mapping[str, float]]

    def __post_init__(self) -> None:
        """Take one variable for a list of one."""
        object.__setattr__(self, "variables", tuple(listed(self.variables)))


@dataclass(frozen=True)
class Argument:
    """An expression, and whether it has to be numeric or categorical."""

    text: str
    kind: str


@dataclass(frozen=True)
class Estimand:
    """An estimand as it was written."""

    text: str
    name: str
    arguments: tuple[Argument, ...]
    p: float = 0.5
    statistic: Statistic | None = None

    @property
    def variable(self) -> str:
        """What results call its variable: the outcome of a regression, the two of bounds, the arguments of others."""
        shown = {"linear": 1, "logistic": 1, "bounds": 2}.get(self.name)
        return ", ".join(argument.text for argument in self.arguments[:shown])

    def estimator(self, keys: Sequence[str], levels: Sequence[tuple[str, ...] | None]) -> Estimator:
        """Make the estimator.

        Parameters
        ----------
        keys : names of the arguments' columns in the samples
        levels : levels of the categorical arguments, None for numbers
        """
        columns = tuple(keys)
        if self.statistic is not None:
            return Own(columns, statistic=self.statistic, levels=tuple(levels))
        if self.name in ("median", "quantile"):
            return Quantile(columns, p=self.p)
        if self.name in ("proportion", "count"):
            return (Proportion if self.name == "proportion" else Count)(
                columns, labels=tuple(levels[0] or ())
            )
        if self.name in ("linear", "logistic"):
            labels = ["(intercept)"]
            for argument, known in zip(self.arguments[1:], levels[1:], strict=True):
                labels += [argument.text] if known is None else [f"{argument.text}={v}" for v in known[1:]]
            return Regression(
                columns, labels=tuple(labels), levels=tuple(levels[1:]), logistic=self.name == "logistic"
            )
        if self.name == "bounds":
            return bounding(self.text, [argument.text for argument in self.arguments], columns, levels)
        made = _KINDS[self.name][1]
        assert made is not None
        return made(columns)


def read_estimand(asked: str | Statistic) -> Estimand:
    """Read an estimand.

    Raises
    ------
    AnalysisError
        If it is not known or has another number of arguments, listing those there are.
    """
    if isinstance(asked, Statistic):
        arguments = tuple(Argument(text, EITHER) for text in asked.variables)
        return Estimand(asked.name, "statistic", arguments, statistic=asked)
    if not isinstance(asked, str):
        raise AnalysisError(
            f"estimate {asked}",
            f"is a {type(asked).__name__}.",
            "Write it as text, or give Statistic(name, variables, function).",
        )
    match = re.fullmatch(r"\s*(\w+)\s*\(\s*(.+?)\s*\)\s*", asked, flags=re.DOTALL)
    if match is None or match[1] not in _KINDS:
        raise AnalysisError(f"estimate {asked}", "is not known.", f"Write one of: {KNOWN}.")
    name, inside = match[1], match[2]
    if name in ("linear", "logistic"):
        return _regression(asked, name, inside)
    if name == "bounds":
        return _bounds(asked, inside)
    parts = split(inside, ",")
    p = 0.5
    if name == "quantile":
        p = _share(asked, parts.pop() if len(parts) == 2 else "")
    kinds = _KINDS[name][0]
    if len(parts) != len(kinds) or not all(parts):
        wanted = f"needs {len(kinds)} argument{'s' if len(kinds) > 1 else ''}, not {len(parts)}."
        raise AnalysisError(f"estimate {asked}", wanted, f"Write one of: {KNOWN}.")
    return Estimand(asked, name, tuple(Argument(t, k) for t, k in zip(parts, kinds, strict=True)), p)


def split(text: str, mark: str) -> list[str]:
    """Split at a mark outside parentheses and quotes."""
    parts, depth, quote, begin = [], 0, "", 0
    for at, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == mark and depth == 0:
            parts.append(text[begin:at].strip())
            begin = at + 1
    return [*parts, text[begin:].strip()]


def _regression(asked: str, name: str, inside: str) -> Estimand:
    sides = split(inside, "~")
    terms = split(sides[1], "+") if len(sides) == 2 else []
    if not terms or not all([sides[0], *terms]):
        raise AnalysisError(
            f"estimate {asked}",
            "is no formula.",
            f"Write {name}(outcome ~ term + term); sums in parentheses.",
        )
    return Estimand(asked, name, (Argument(sides[0], NUMBER), *(Argument(term, EITHER) for term in terms)))


def _bounds(asked: str, inside: str) -> Estimand:
    sides = split(inside, "|")
    two, common = split(sides[0], ","), split(sides[1], "+") if len(sides) == 2 else []
    if len(sides) > 2 or len(two) != 2 or not all([*two, *common]):
        raise AnalysisError(
            f"estimate {asked}",
            "does not name two variables.",
            "Write bounds(variable, variable | common + common); sums and || in parentheses.",
        )
    return Estimand(asked, "bounds", tuple(Argument(text, EITHER) for text in (*two, *common)))


def _share(asked: str, text: str) -> float:
    try:
        p = float(text)
    except ValueError:
        p = np.nan
    if not 0 < p < 1:
        raise AnalysisError(
            f"estimate {asked}", "names no share between 0 and 1.", "Write quantile(variable, 0.9)."
        )
    return p


class Own(Estimator):
    """A user's own statistic: its function called for every cell, weight and replicate."""

    def __init__(
        self, columns: tuple[str, ...], *, statistic: Statistic, levels: tuple[tuple[str, ...] | None, ...]
    ) -> None:
        super().__init__(columns)
        object.__setattr__(self, "statistic", statistic)
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "answered", [])

    statistic: Statistic
    levels: tuple[tuple[str, ...] | None, ...]
    answered: list[tuple[str | None, ...]]
    """Labels of all answers so far: implicates are worked on side by side, and the first decides."""
    bounded: ClassVar[bool] = False

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """Call the function; labels follow from its first answer."""
        order, starts = ordered(cells, sample.count)
        w, answers = sample.weights, {}
        for cell in range(sample.count):
            rows = order[starts[cell] : starts[cell + 1]]
            if not len(rows):
                continue
            frame, at = self._frame(sample, rows), sample.rows[rows]
            columns = [w.main[at], *w.replicates[at].T.astype(np.float64)]
            answers[cell] = [self._call(frame, weight) for weight in columns]
            for answer in answers[cell]:
                self._settle(tuple(answer))
        labels = self.labels
        out = np.full((sample.count, len(labels), 1 + w.replicates.shape[1]), np.nan)
        for cell, results in answers.items():
            out[cell] = np.array([[result[label] for label in labels] for result in results]).T
        return out

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """Unknown: nothing is known about the function. `analyze` uses the bootstrap instead."""
        return np.full_like(estimate, np.nan)

    def _frame(self, sample: Sample, rows: Codes) -> pd.DataFrame:
        columns = {}
        for text, key, levels in zip(self.statistic.variables, self.columns, self.levels, strict=True):
            if levels is None:
                columns[text] = sample.values[key][rows]
            else:
                columns[text] = np.asarray(levels, dtype=object)[sample.codes[key][rows]]
        return pd.DataFrame(columns)

    def _settle(self, labels: tuple[str | None, ...]) -> None:
        self.answered.append(labels)
        if labels != self.answered[0]:
            raise AnalysisError(
                f"statistic {self.statistic.name}",
                f"gives {_words(labels)} in one group and {_words(self.answered[0])} in another.",
                "Return the same labels every time, in the same order.",
            )
        del self.answered[1:]
        object.__setattr__(self, "labels", labels)

    def _call(self, frame: pd.DataFrame, weight: np.ndarray) -> dict[str | None, float]:
        try:
            answer = self.statistic.function(frame, weight)
            if isinstance(answer, Mapping):
                return {str(label): float(value) for label, value in answer.items()}
            return {None: float(answer)}
        except Exception as error:
            raise AnalysisError(
                f"statistic {self.statistic.name}",
                f"fails for a group of {len(frame):,} records ({type(error).__name__}: {error}).",
                f"It is called with a frame of {', '.join(self.statistic.variables)} and an array of weights, and "
                "returns a number, or a mapping of labels to numbers.",
            ) from error


def _words(labels: tuple[str | None, ...]) -> str:
    return ", ".join("a number" if label is None else label for label in labels)
