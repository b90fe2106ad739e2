"""One block of the recipient through all steps of a model set, for several implicates at a time.

Belongs here: predictions of a step, universes, products, and the values handed from step to step. Does not belong
here: blocks, threads and files (`fusing.py`), the draws (`drawing.py`).

Method: Ummel et al. 2024, "General strategy": steps in fusion order, each drawn value a predictor of later steps;
the fusion variables of a block come from one donor; zero inflation is drawn first, then the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from fusion_pipeline.fusion import variables
from fusion_pipeline.fusion.drawing import PoolDraw, draw_classes
from fusion_pipeline.fusion.modelset import DONOR_WEIGHT, ModelSet
from fusion_pipeline.fusion.specification import FusionStep
from fusion_pipeline.fusion.variables import Variable
from fusion_pipeline.randomness import stream

if TYPE_CHECKING:
    import lightgbm as lgb


@dataclass(frozen=True)
class _Models:
    """Boosters of a fusion variable: class or zero probabilities (`choosers`: one or none), mean and quantiles."""

    variable: Variable
    classes: np.ndarray
    choosers: tuple[lgb.Booster, ...]
    values: tuple[lgb.Booster, ...]


@dataclass(frozen=True)
class _Step:
    """A step with everything loaded.

    The models' features are the recipient's features `own` at positions `own_at`, and the fused variables named in
    `fused`, with their positions.
    """

    step: FusionStep
    own: np.ndarray
    own_at: np.ndarray
    fused: tuple[tuple[str, int], ...]
    models: tuple[_Models, ...]
    pools: PoolDraw | None
    products: tuple[str, ...]


class Chain:
    """The steps of a model set, ready to draw.

    Parameters
    ----------
    models : ModelSet
    seed : int
    stream_name : str
    """

    def __init__(self, models: ModelSet, seed: int, stream_name: str) -> None:
        self._plan = models.plan
        self._variables = models.variables
        self._seed, self._stream_name = seed, stream_name
        weight = variables.numbers(models.donors[DONOR_WEIGHT])
        self._donors = {
            name: _values(models.donors[name], models.variables[name])
            for name in models.donors.column_names
            if name != DONOR_WEIGHT
        }
        position = {name: j for j, name in enumerate(models.predictors)}
        self._steps = [_load_step(models, i, position, weight) for i in range(len(self._plan.steps))]

    @property
    def bytes_per_row(self) -> int:
        """Estimate of the memory one row of one implicate takes at most while it is in work."""
        widest = max(len(s.step.predictors) for s in self._steps)
        coordinates = max(sum(len(m.values) + len(m.classes) + 1 for m in s.models) for s in self._steps)
        return 2 * 4 * widest + 3 * 8 * coordinates + 2 * 8 * len(self._variables) + 64

    def run(self, features: np.ndarray, block: int, implicates: Sequence[int]) -> list[dict[str, pa.Array]]:
        """Draw all fusion variables of a block.

        Parameters
        ----------
        features : (n, predictors) float32
            Of the recipient, in the order of the model set's predictors.
        block : int
            Number of the block, which names its random streams.
        implicates : sequence of int

        Returns
        -------
        One dict of columns per implicate: the plan's output variables in fusion order.
        """
        shape = (len(implicates), len(features))
        drawn: dict[str, np.ndarray] = {}
        for step in self._steps:
            uniform = np.stack(
                [self._uniform(step.step.name, m, block, shape[1]) for m in implicates], axis=1
            )
            _draw_step(step, self._donors, features, drawn, uniform)
            for product in step.products:
                first, second = self._plan.products[product]
                drawn[product] = drawn[first].astype(np.float64) * drawn[second]
        return [
            {name: self._variables[name].to_arrow(drawn[name][i]) for name in self._plan.variables}
            for i in range(len(implicates))
        ]

    def _uniform(self, step: str, implicate: int, block: int, rows: int) -> np.ndarray:
        # Always two numbers a row, so that a row's draw does not depend on what other rows drew.
        return stream(self._seed, self._stream_name, "fuse", step, implicate, block).random((2, rows))


def _load_step(models: ModelSet, position: int, place: dict[str, int], weight: np.ndarray) -> _Step:
    step = models.plan.steps[position]
    own = [(place[name], j) for j, name in enumerate(step.predictors) if name in place]
    loaded = []
    for name in step.variables:
        variable = models.variables[name]
        found = models.models(position, name)
        choosers = tuple(b for r, b in found if r.role in ("classes", "zero"))
        values = tuple(b for r, b in found if r.role not in ("classes", "zero"))
        loaded.append(_Models(variable, np.array(found[0][0].classes, dtype=np.int32), choosers, values))
    pools = models.pools(position)
    return _Step(
        step,
        np.array([source for source, _ in own], dtype=np.intp),
        np.array([target for _, target in own], dtype=np.intp),
        tuple((name, j) for j, name in enumerate(step.predictors) if name not in place),
        tuple(loaded),
        None if pools is None else PoolDraw(pools, weight),
        models.plan.products_after(position),
    )


def _values(column: pa.ChunkedArray, variable: Variable) -> np.ndarray:
    return variables.codes(column, variable) if variable.kind == "categorical" else variables.numbers(column)


def _draw_step(
    step: _Step,
    donors: dict[str, np.ndarray],
    features: np.ndarray,
    drawn: dict[str, np.ndarray],
    uniform: np.ndarray,
) -> None:
    """Add the step's variables, (implicates, n) each, to `drawn`; `uniform` is (2, implicates, n)."""
    choice, place = uniform
    active = np.ones(choice.shape, dtype=bool)
    if step.step.universe is not None:
        active = drawn[step.step.universe] > 0
    if step.pools is None:
        models = step.models[0]
        [predicted] = _predict(step, models.choosers, features, drawn, active)
        probabilities = predicted if predicted.ndim == 2 else np.column_stack([1 - predicted, predicted])
        drawn[models.variable.name] = models.classes[draw_classes(probabilities, choice[active])].reshape(
            choice.shape
        )
        return
    if not step.step.is_block:
        models = step.models[0]
        if models.choosers:
            [zero] = _predict(step, models.choosers, features, drawn, active)
            active[active] = choice[active] >= zero
        expected = np.column_stack(_predict(step, models.values, features, drawn, active))
        expected[:, 1:].sort(axis=1)
    else:
        expected = _block_expectations(step, features, drawn, active)
    result = {m.variable.name: np.zeros(choice.shape, donors[m.variable.name].dtype) for m in step.models}
    ends = np.cumsum(active.sum(axis=1))
    for i, end in enumerate(ends):
        rows = np.flatnonzero(active[i])
        # Searched per implicate: what a search returns must not depend on what else is in the batch.
        chosen = step.pools.donors(expected[end - len(rows) : end], place[i, rows])
        for name, values in result.items():
            values[i, rows] = donors[name][chosen]
    drawn.update(result)


def _block_expectations(
    step: _Step, features: np.ndarray, drawn: dict[str, np.ndarray], active: np.ndarray
) -> np.ndarray:
    columns = []
    for models in step.models:
        expected = np.column_stack(_predict(step, models.choosers + models.values, features, drawn, active))
        if models.values:
            expected[:, -len(models.values) + 1 :].sort(axis=1)
        columns.append(expected)
    return np.column_stack(columns)


def _predict(
    step: _Step,
    boosters: Sequence[lgb.Booster],
    features: np.ndarray,
    drawn: dict[str, np.ndarray],
    active: np.ndarray,
) -> list[np.ndarray]:
    """Predict for the active rows, implicate after implicate: (rows,) or (rows, classes) per booster."""
    implicate, row = np.nonzero(active)
    if step.fused:
        matrix = np.empty((len(row), len(step.step.predictors)), dtype=np.float32)
        matrix[:, step.own_at] = features[np.ix_(row, step.own)]
        for name, j in step.fused:
            matrix[:, j] = drawn[name][implicate, row]
        back = np.arange(len(row))
    else:
        # Nothing fused among the predictors: the same for all implicates, so predicted once.
        anywhere = np.flatnonzero(active.any(axis=0))
        matrix = features[np.ix_(anywhere, step.own)]
        back = np.searchsorted(anywhere, row)
    if len(matrix) == 0:
        return [np.empty(0) for _ in boosters]
    return [np.asarray(booster.predict(matrix, num_threads=1))[back] for booster in boosters]
