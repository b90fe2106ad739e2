"""LightGBM's text models as flat arrays.

Belongs here: reading the text, and what a decision type says. Does not belong here: fitting (`boosting.py`), where
values stand among the thresholds (`placement.py`), laying trees out (`layout.py`) and walking them (`program.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from fusion_pipeline.errors import StorageError

IS_CATEGORY, DEFAULT_LEFT = 1, 2
"""Bits of LightGBM's decision type; bits 2 and 3 say what a numeric split treats as missing: nothing, zero, NaN."""


@dataclass(frozen=True)
class Forest:
    """The trees of one model.

    Parameters
    ----------
    feature, threshold, decision : (nodes,) int32, float64, uint8
        Split feature, threshold (or number of the category set), LightGBM's decision type.
    left, right : (nodes,) int32
        Node the split leads to; a negative number is leaf ``~number``.
    leaf : (leaves,) float64
    roots : (trees,) int32
    sets : tuple of frozenset of int
        Categories that go left.
    outputs : int
        Numbers predicted for a row: classes of a multiclass model, else 1. Trees take turns.
    transform : "identity", "sigmoid" or "softmax"
        From sums of leaves to predictions.
    steepness : float
        Of the sigmoid.
    """

    feature: np.ndarray
    threshold: np.ndarray
    decision: np.ndarray
    left: np.ndarray
    right: np.ndarray
    leaf: np.ndarray
    roots: np.ndarray
    sets: tuple[frozenset[int], ...]
    outputs: int
    transform: Literal["identity", "sigmoid", "softmax"]
    steepness: float = 1.0

    def splits(self) -> Iterator[tuple[int, float, int]]:
        """Yield (feature, threshold or number of the set, decision type) of every node."""
        return zip(self.feature.tolist(), self.threshold.tolist(), self.decision.tolist(), strict=True)


def read_forest(text: str, where: str) -> Forest:
    """Read a LightGBM text model.

    Parameters
    ----------
    text : str
    where : str
        File, for messages.

    Raises
    ------
    StorageError
        If it is no such model, or one with linear leaves, averaged trees or an objective never used here.
    """
    head, *blocks = text.split("\nTree=")
    fields = _fields(head)
    if "num_tree_per_iteration" not in fields:
        raise _unreadable(where, "is not a LightGBM text model")
    if "average_output" in head:
        raise _unreadable(where, "averages its trees")
    transform, steepness = _transform(fields.get("objective", "regression"), where)
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("feature", "threshold", "decision", "left", "right", "leaf")
    }
    roots: list[int] = []
    sets: list[frozenset[int]] = []
    nodes = leaves = 0
    for block in blocks:
        tree = _fields(block.split("\nend of trees")[0])
        if tree.get("is_linear", "0") != "0":
            raise _unreadable(where, "has linear leaves")
        value = _numbers(tree, "leaf_value", np.float64)
        parts["leaf"].append(value)
        if len(value) == 1:
            roots.append(~leaves)
        else:
            decision = _numbers(tree, "decision_type", np.uint8)
            threshold = _numbers(tree, "threshold", np.float64)
            threshold[decision & IS_CATEGORY > 0] += len(sets)
            for side in ("left", "right"):
                child = _numbers(tree, f"{side}_child", np.int32)
                parts[side].append(np.where(child < 0, child - leaves, child + nodes))
            parts["feature"].append(_numbers(tree, "split_feature", np.int32))
            parts["threshold"].append(threshold)
            parts["decision"].append(decision)
            sets += _category_sets(tree)
            roots.append(nodes)
            nodes += len(decision)
        leaves += len(value)
    types = {"feature": np.int32, "decision": np.uint8, "left": np.int32, "right": np.int32}
    arrays = {
        name: np.concatenate(found or [np.empty(0)]).astype(types.get(name, np.float64))
        for name, found in parts.items()
    }
    return Forest(
        **arrays,
        roots=np.array(roots, dtype=np.int32),
        sets=tuple(sets),
        outputs=int(fields["num_tree_per_iteration"]),
        transform=transform,
        steepness=steepness,
    )


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _numbers(tree: Mapping[str, str], name: str, dtype: type) -> np.ndarray:
    return np.array(tree[name].split(), dtype=np.float64).astype(dtype)


def _category_sets(tree: Mapping[str, str]) -> list[frozenset[int]]:
    if int(tree.get("num_cat", 0)) == 0:
        return []
    bounds = [int(b) for b in tree["cat_boundaries"].split()]
    words = [int(w) for w in tree["cat_threshold"].split()]
    return [
        frozenset(32 * i + bit for i, word in enumerate(words[a:b]) for bit in range(32) if word >> bit & 1)
        for a, b in pairwise(bounds)
    ]


def _transform(objective: str, where: str) -> tuple[Literal["identity", "sigmoid", "softmax"], float]:
    name, *options = objective.split()
    given = dict(option.split(":", 1) for option in options if ":" in option)
    if name in ("regression", "quantile") and "sqrt" not in options:
        return "identity", 1.0
    if name == "binary":
        return "sigmoid", float(given.get("sigmoid", 1))
    if name == "multiclass":
        return "softmax", 1.0
    raise _unreadable(where, f"has the objective {objective}")


def _unreadable(where: str, what: str) -> StorageError:
    return StorageError(where, f"{what}; it cannot be used for fusing.", "Train the model set again.")
