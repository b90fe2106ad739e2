"""Boundaries of the simulated world, as files, and estimates by PUMA and by state."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fusion_pipeline.mapping.boundaries import Boundaries, read_boundaries
from fusion_pipeline.simulate.boundaries import writers
from fusion_pipeline.simulate.place import Places, build_places

SEED = 3


@pytest.fixture(scope="session")
def places() -> Places:
    return build_places(SEED)


@pytest.fixture(scope="session")
def files(places, tmp_path_factory):
    """Paths of the boundary files by definition and role."""
    folder = tmp_path_factory.mktemp("boundaries")
    found = {}
    for name, write in writers(places, SEED).items():
        found[name] = folder / f"{name.replace('/', '_')}.zip"
        write(found[name])
    return found


@pytest.fixture(scope="session")
def pumas(files) -> Boundaries:
    states = read_boundaries(files["puma10/state_boundaries"])
    return read_boundaries(files["puma10/boundaries"]).with_outlines(states)


@pytest.fixture
def estimates(places) -> pd.DataFrame:
    """By PUMA, as `analyze` gives them; Montana (30) is not covered."""
    rng = np.random.default_rng(1)
    n = len(places)
    table = pd.DataFrame(
        {
            "state": places.fips,
            "puma10": places.puma,
            "estimand": "mean(btuel)",
            "variable": "btuel",
            "level": None,
            "estimate": rng.gamma(20, 2, n),
            "margin": rng.gamma(4, 1, n),
            "n": rng.integers(20, 300, n),
            "source": "fused",
        }
    )
    return table[table["state"] != "30"].reset_index(drop=True)


@pytest.fixture
def by_state(estimates) -> pd.DataFrame:
    mean = estimates.groupby("state")[["estimate", "margin", "n"]].mean().reset_index()
    return mean.assign(estimand="mean(btuel)", variable="btuel", level=None, n=100)
