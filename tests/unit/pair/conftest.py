"""The command line in a data folder of its own, and implicates small enough to know every number."""

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from fusion_pipeline.cli import main
from fusion_pipeline.cli.root import console
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import categorical, write_table
from tests.conftest import PAIR


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call the command line with its data folder in a temporary one, and no terminal."""
    for name in ("FUSION_RAW", "FUSION_SOURCE", "FUSION_SEED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FUSION_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(console, "_width", 250)
    return lambda *arguments: CliRunner().invoke(main, ["--quiet", *arguments])


@pytest.fixture
def fused(tmp_path) -> Layout:
    """Two ACS households in two implicates: mean electricity 20 and 22, weighted 1 to 3."""
    layout = Layout(tmp_path / "data" / "simulated")
    year, hid = pa.array([2015, 2015], pa.int16()), pa.array([1, 2])
    households = pa.table(
        {
            "year": year,
            "hid": hid,
            "weight": [1.0, 3.0],
            "state": categorical(np.array([0, 0]), ["10"]),
            "puma10": categorical(np.array([0, 0]), ["00101"]),
        }
    )
    write_table(layout.table(("acs", "households"), "2015"), households)
    origin = {"model_set": "a" * 64, "recipient": "b" * 64, "seed": 1, "stream": PAIR}
    for implicate, values in ((1, [20.0, 20.0]), (2, [10.0, 26.0])):
        table = pa.table({"year": year, "hid": hid, "btuel": values})
        write_table(layout.implicate(PAIR, implicate), table, origin)
    return layout
