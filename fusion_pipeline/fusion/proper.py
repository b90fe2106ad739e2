"""Proper implicates: every implicate is drawn from one of several sets of redrawn donor weights.

Belongs here: which implicate uses which set. Does not belong here: redrawing weights (`donors.py`), draws
(`chain.py`).

Implicates drawn from one and the same fitted models differ by the draws alone, as if the donors told exactly how the
population is made up; intervals from their variance are then too short (Rubin 1987, ch. 4). Each set here stands for
another population that could have given these donors (Rubin 1981), and implicate m is drawn from set
(m - 1) mod B + 1: a matter of its number alone, so of nothing else that is fused at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from fusion_pipeline.fusion.chain import Chain
from fusion_pipeline.fusion.modelset import ModelSet


class SetChains:
    """The chains of all sets of a model set.

    Parameters
    ----------
    models : ModelSet
    seed : int
    stream_name : str
    """

    def __init__(self, models: ModelSet, seed: int, stream_name: str) -> None:
        numbers = range(1, models.bootstraps + 1) or (0,)
        self._chains = [Chain(models.redrawn(number), seed, stream_name) for number in numbers]

    @property
    def bytes_per_row(self) -> int:
        """Estimate of the memory one row of one implicate takes at most while it is in work."""
        return self._chains[0].bytes_per_row

    def run(self, features: np.ndarray, block: int, implicates: Sequence[int]) -> list[dict[str, pa.Array]]:
        """Draw all fusion variables of a block, as `Chain.run` does, every implicate from its set."""
        drawn: dict[int, dict[str, pa.Array]] = {}
        for position, chain in enumerate(self._chains):
            own = [m for m in implicates if (m - 1) % len(self._chains) == position]
            if own:
                drawn |= dict(zip(own, chain.run(features, block, own), strict=True))
        return [drawn[m] for m in implicates]
