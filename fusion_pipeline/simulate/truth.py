"""The truth beside the mirror: what every simulated household uses, pays and lacks.

Belongs here: the tables in `truth/`, with the names and labels of processed surveys. Does not belong here:
anything a survey publishes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fusion_pipeline.simulate.energy import Energy
from fusion_pipeline.simulate.place import Places
from fusion_pipeline.simulate.quality import FOOD_SECURITY, UNIT_SIZES, Quality
from fusion_pipeline.storage.tables import categorical, encode

Array = np.ndarray

COOLTYPE = (
    "No air conditioning",
    "Central air conditioning system",
    "Individual window/wall or portable units",
    "Both a central system and individual units",
)
FREQUENCY = ("Never", "1 or 2 months", "Some months", "Almost every month")
_FREQUENCY_OF_CODE = np.array([0, 3, 2, 1])
_ROWS = 1 << 16


def truth_table(
    places: Places,
    hid: Array,
    place: Array,
    energy: Energy,
    quality: Quality | None = None,
    puma: str = "puma10",
) -> pa.Table:
    """Return ids, true location, all RECS fusion variables, and `mean_btuel` = E[btuel | everything else].

    With `quality`, also the AHS fusion variables. `puma` as in `true_places`.
    """
    columns = true_places(places, hid, place, puma)
    for name in (
        "btuel",
        "btung",
        "btulp",
        "btufo",
        "dollarel",
        "dollarng",
        "dollarlp",
        "dollarfo",
        "mean_btuel",
    ):
        columns[name] = pa.array(getattr(energy, name).astype(np.float64))
    columns["cooltype"] = categorical(energy.cooling, COOLTYPE)
    for name in ("scalee", "scaleg", "scaleb"):
        columns[name] = categorical(_FREQUENCY_OF_CODE[getattr(energy, name)], FREQUENCY, ordered=True)
    for name in ("insec", "noheat", "noac"):
        columns[name] = categorical(np.where(getattr(energy, name), 0, 1), ("Yes", "No"))
    return pa.table(columns | (true_quality(quality) if quality else {}))


def true_quality(quality: Quality) -> dict[str, pa.Array]:
    """Return the AHS fusion variables."""
    return {
        "cold": categorical(quality.cold.astype(int), ("No", "Yes")),
        "hmrenew": categorical(np.where(quality.hmrenew, 0, 1), ("Yes", "No")),
        "fsstatus": categorical(quality.fsstatus, FOOD_SECURITY),
        "ratinghs": pa.array(quality.ratinghs.astype(np.int8)),
        "unitsize": categorical(quality.unitsize, UNIT_SIZES, ordered=True),
    }


def true_places(places: Places, hid: Array, place: Array, puma: str = "puma10") -> dict[str, pa.Array]:
    """Return ids and true location; `puma` names the column of the PUMA, whose definitions are one in this world."""
    return {
        "hid": pa.array(hid.astype(np.int64)),
        "state": categorical(places.state[place], places.states["fips"].tolist()),
        puma: _pumas(places, place),
    }


class TruthWriter:
    """Append truth tables to one Parquet file in row groups of bounded size."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._pending: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None

    def append(self, table: pa.Table) -> None:
        """Add rows."""
        self._pending.append(table)
        if sum(t.num_rows for t in self._pending) >= _ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is pending and finish the file."""
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> TruthWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _flush(self) -> None:
        if not self._pending:
            return
        table = encode(pa.concat_tables(self._pending), {"source": "simulated"})
        self._pending = []
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)


def _pumas(places: Places, place: Array) -> pa.DictionaryArray:
    levels, codes = np.unique(places.puma, return_inverse=True)
    return categorical(codes[place], levels.tolist())
