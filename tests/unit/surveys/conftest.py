from __future__ import annotations

import gzip
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion_pipeline.surveys.codebook import Codebook, load_codebook
from fusion_pipeline.surveys.ingest import RawPart

TOY = """
survey: TOY
vintage: "2020"
year: 2020
source: made up
missing_codes: ["-9"]
not_applicable_codes: ["-2", ""]
households:
  id: {hid: ID, letters: {HU: 1}}
  weight: WT
  replicates: {raw: "WT{}", count: 2, method: half samples, scale: 1/2}
  keep: {WT: 1.., STATUS: 1..1}
  adjustments:
    prices: {raw: ADJ, divisor: 1000000}
  locations: [puma]
  variables:
    puma: {raw: PUMA, description: Area, type: place, width: 5}
    fuel:
      raw: FUEL
      description: Heating fuel
      type: factor
      not_applicable: No heating
      levels: {01: Gas, 02: Wood, 3..9: Other}
    late: {raw: LATE, description: Paid late, type: ordered, levels: {0: Never, 2: Sometimes, 1: Often}}
    cold: {raw: COLD, description: Was cold, type: ordered, levels: {0: Never, 2: Sometimes, 1: Often}}
    rooms: {raw: ROOMS, description: Rooms, type: integer, unit: rooms, range: 1..20}
    rent:
      raw: RENT
      description: Monthly rent
      type: integer
      unit: dollars
      values: {1: 0, 2: 40}
      not_applicable: 0
      range: 4..9999
      adjust: prices
    area: {raw: AREA, description: Floor area, type: number, range: 0..}
  derived:
    insecure:
      description: Late or cold
      type: factor
      levels: {"true": Yes, "false": No}
      expression: any(late != "Never", cold != "Never")
    crowding: {description: Area per room, type: number, expression: area / rooms}
persons:
  id: {hid: ID, pid: LINE, letters: {HU: 1}}
  weight: PWT
  variables:
    age: {raw: AGE, description: Age, type: integer, range: 0..99}
"""

HEADER = "ID,wt,wt1,WT2,STATUS,ADJ,PUMA,FUEL,LATE,COLD,ROOMS,RENT,AREA,UNUSED"
ROW = "1,10,5,15,1,1100000,00100,1,0,0,4,500,80.5,x"


@pytest.fixture
def write_codebook(tmp_path: Path) -> Callable[..., Codebook]:
    """Write a codebook under a name and load it."""

    def write(text: str, name: str = "toy") -> Codebook:
        (tmp_path / f"{name}.yaml").write_text(textwrap.dedent(text))
        return load_codebook(name, tmp_path)

    return write


@pytest.fixture
def toy(write_codebook: Callable[..., Codebook]) -> Codebook:
    """A codebook with one variable of every kind."""
    return write_codebook(TOY)


@pytest.fixture
def toy_file(tmp_path: Path) -> Callable[..., RawPart]:
    """Write a raw household file from rows that differ from a valid one in the cells named."""

    def write(*changes: dict[str, str], name: str = "toy.csv", without: tuple[str, ...] = ()) -> RawPart:
        columns = HEADER.split(",")
        valid = dict(zip(columns, ROW.split(","), strict=True))
        rows = [valid | {"ID": str(i)} | change for i, change in enumerate(changes, start=1)]
        kept = [c for c in columns if c not in without]
        text = "\n".join([",".join(kept), *(",".join(row[c] for c in kept) for row in rows)]) + "\n"
        path = tmp_path / name
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(text.encode()))
        elif name.endswith(".zip"):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("part.csv", text)
                archive.writestr("readme.pdf", "not a table")
        else:
            path.write_text(text)
        return RawPart(path)

    return write
