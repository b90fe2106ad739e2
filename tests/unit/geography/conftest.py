import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.storage.tables import categorical


def labels(values, levels=None):
    levels = levels or sorted({v for v in values if v is not None})
    return categorical(np.array([-1 if v is None else levels.index(v) for v in values]), levels)


@pytest.fixture(scope="session")
def categories():
    """Builder of categorical columns from labels."""
    return labels


@pytest.fixture(scope="session")
def concordance():
    """Three states, three zones; two PUMAs are split between the cold and the hot zone."""
    rows = [
        # state, puma, zone, division, weight
        ("10", "00001", "cold", "Atlantic", 4.0),
        ("10", "00002", "cold", "Atlantic", 2.0),
        ("10", "00002", "hot", "Atlantic", 2.0),
        ("24", "00001", "cold", "Atlantic", 6.0),
        ("24", "00001", "hot", "Atlantic", 2.0),
        ("41", "00001", "mild", "Pacific", 3.0),
        ("41", "00003", "mild", "Pacific", 1.0),
    ]
    state, puma, zone, division, weight = zip(*rows, strict=True)
    return pa.table(
        {
            "state": labels(state),
            "puma10": labels(puma),
            "weight": pa.array(weight),
            "zone": labels(zone),
            "division": labels(division),
        }
    )
