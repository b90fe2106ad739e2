"""One seed, many independent streams: every draw is named, so it does not depend on how work was split.

Belongs here: making generators. Does not belong here: drawing.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator that belongs to a seed and a name.

    Parameters
    ----------
    seed : int
        The seed of the settings.
    names : str or int
        What is drawn, from the general to the particular, such as
        ``("RECS_2015__ACS_2015", "fuse", "btuel", implicate, row_block)``.

    Returns
    -------
    numpy.random.Generator
        Philox, keyed by SHA-256 of seed and names: streams with different names are independent, and the
        same name always gives the same numbers.
    """
    text = "\x1f".join([str(int(seed)), *(f"{type(name).__name__}:{name}" for name in names)])
    key = np.frombuffer(hashlib.sha256(text.encode()).digest()[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
