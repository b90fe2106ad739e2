"""Changes of a pair's files: a publisher's revision of raw ones, and a cause why one cannot be made."""

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef
from tests.conftest import PAIR
from tests.lineage import Made

RECS, ACS = ("survey/raw", "RECS_2015"), ("acs/raw", "2015")


def change_answer(layout: Layout, raw: Made) -> None:
    """Change one answer in the first record of a simulated raw file of households, of RECS or the ACS."""
    asset, vintage = raw
    found = TableRef(layout.table(tuple(asset.split("/")), vintage)).read().to_pylist()
    [path] = [Path(row["path"]) for row in found if row["role"] == "households"]
    assert path.is_relative_to(layout.simulated_raw)
    if path.suffix != ".csv":
        _change_archived(path)
        return
    header, first, *rest = path.read_text().splitlines(keepends=True)
    cells = first.rstrip("\n").split(",")
    column = header.rstrip("\n").split(",").index("TOTROOMS")
    cells[column] = "5" if cells[column] != "5" else "6"
    path.write_text("".join([header, ",".join(cells) + "\n", *rest]))


def _change_archived(path: Path) -> None:
    """Change the number of bedrooms of the first occupied unit of an archive's first member."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name).decode() for name in archive.namelist()}
    name = next(n for n in members if n.endswith(".csv"))
    header, *rows = members[name].splitlines()
    bedrooms, persons = (header.split(",").index(column) for column in ("BDSP", "NP"))
    # Of vacant units nothing is made.
    number, row = next(
        (i, cells)
        for i, cells in enumerate(r.split(",") for r in rows)
        if int(cells[persons]) > 0 and cells[bedrooms].strip("0") in ("2", "3")
    )
    row[bedrooms] = {"2": "3", "3": "2"}[row[bedrooms].strip("0")]
    rows[number] = ",".join(row)
    members[name] = "\n".join([header, *rows]) + "\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in members.items():
            archive.writestr(member, text)


def double_incomes(path: Path) -> None:
    """Double the income of every interview in the household files of an archive of the CEI."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            if "fmli" in name:
                header, *rows = data.decode().splitlines()
                position = header.split(",").index("FINCBTXM")
                cells = [row.split(",") for row in rows]
                for row in cells:
                    row[position] = str(2 * int(row[position]) + 1)
                data = "\n".join([header, *map(",".join, cells), ""]).encode()
            archive.writestr(name, data)


@contextlib.contextmanager
def in_the_way(layout: Layout, implicate: int) -> Iterator[None]:
    """Take an implicate away and put a file where the folder of its row blocks has to stand: it cannot be drawn."""
    file = layout.implicate(PAIR, implicate)
    file.unlink()
    obstacle = file.parent.with_name(f".{file.parent.name}.parts")
    obstacle.touch()
    try:
        yield
    finally:
        obstacle.unlink()
