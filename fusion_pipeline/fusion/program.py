"""Several forests as one program that predicts a whole step.

Belongs here: running the compiled traversal (`kernels.walk`) and turning sums of leaves into predictions. Does not
belong here: the arrays it reads (`layout.py`), what predictions are for (`chain.py`).

All implicates of a household share its own predictors and differ only in what was fused before. A tree is therefore
walked once per household with a 64-bit mask of the implicates that are still together: a node on an own predictor
sends all of them one way, a node on a fused variable may split the mask. Values are compared as LightGBM compares
them, by their position among the thresholds of the models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fusion_pipeline.fusion.compiling import compiled
from fusion_pipeline.fusion.forest import Forest
from fusion_pipeline.fusion.kernels import walk
from fusion_pipeline.fusion.layout import Layout
from fusion_pipeline.fusion.placement import Placement

TOGETHER = 64
"""Implicates walked through a tree at a time: the bits of a mask."""


class Program:
    """Some forests over the same features, laid out to be walked together.

    Parameters
    ----------
    forests : sequence of Forest
        Their outputs follow one another.
    own, fused : mapping of int to int
        Features that all implicates share, and the others: position in the forests to feature of the placement.
    own_placement, fused_placement : Placement
        Finished; both may have been collected from other programs too.
    """

    def __init__(
        self,
        forests: Sequence[Forest],
        own: Mapping[int, int],
        fused: Mapping[int, int],
        own_placement: Placement,
        fused_placement: Placement,
    ) -> None:
        self.forests = tuple(forests)
        self.outputs = sum(forest.outputs for forest in forests)
        layout = Layout(own, fused, own_placement, fused_placement)
        layout.collect(forests)
        for forest in forests:
            layout.add(forest)
        self._arrays = layout.arrays()
        self.is_shared = not any(f in fused for forest in forests for f, _, _ in forest.splits())

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What it holds in memory."""
        return (
            *self._arrays,
            *(array for f in self.forests for array in (f.feature, f.threshold, f.left, f.leaf)),
        )

    def predict(self, codes: np.ndarray, fused: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Return what LightGBM's `predict` returns, for every row and implicate.

        Parameters
        ----------
        codes : (n, columns) uint16
            From the placement of own features.
        fused : (n, columns, m) uint16
            From the placement of fused features; m is the number of implicates, at most `TOGETHER`.
        active : (n,) uint64
            Bit i: whether implicate i of the row is wanted. What the others get means nothing.

        Returns
        -------
        (n, outputs, m) float64; (n, outputs, 1) if the program `is_shared`, one number for all implicates.
        """
        if self.is_shared:
            active = (active != 0).astype(np.uint64)
        sums = np.zeros((len(codes), self.outputs, 1 if self.is_shared else fused.shape[2]))
        compiled(walk)(*self._arrays, np.ascontiguousarray(codes), fused, active, sums)
        first = 0
        for forest in self.forests:
            _transform_sums(sums[:, first : first + forest.outputs], forest)
            first += forest.outputs
        return sums


def _transform_sums(sums: np.ndarray, forest: Forest) -> None:
    """Turn sums of leaves into predictions, in place."""
    if forest.transform == "sigmoid":
        with np.errstate(over="ignore"):
            np.exp(np.multiply(sums, -forest.steepness, out=sums), out=sums)
        np.reciprocal(np.add(sums, 1, out=sums), out=sums)
    elif forest.transform == "softmax":
        sums -= sums.max(axis=1, keepdims=True)
        np.exp(sums, out=sums)
        sums /= sums.sum(axis=1, keepdims=True)
