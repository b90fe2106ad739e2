"""Published tables of small areas: counts of households by area, variable and level, read and checked.

Belongs here: what a file of tables must look like, and the categories of the households it is held against. Does not
belong here: what becomes of tables that contradict each other or the households (`fitting.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError, GeographyError
from fusion_pipeline.storage.tables import TableRef

Frame: TypeAlias = pd.DataFrame | pa.Table | TableRef
VARIABLE, LEVEL, COUNT, MOE = "variable", "level", "count", "moe"
Z90 = 1.6448536269514722
"""The Census Bureau publishes margins of error at 90 %."""
_KEY_SEPARATOR = " "


@dataclass(frozen=True)
class PumaTables:
    """The tables of one PUMA."""

    areas: tuple[str, ...]
    counts: tuple[NDArray[np.float64], ...]
    """(A, L) of each variable, in the order of `AreaTables.levels`."""
    errors: tuple[NDArray[np.float64], ...] | None
    """Standard errors of the counts."""


@dataclass(frozen=True)
class AreaTables:
    """Checked tables of all areas."""

    levels: dict[str, tuple[str, ...]]
    """Variables in the order of the file, and the levels of each: those of the households."""
    pumas: dict[str, PumaTables]
    """By PUMA, as `puma_keys` writes it, in order."""

    @classmethod
    def of(
        cls, tables: Frame, households: pd.DataFrame, *, area: str, puma: Sequence[str], where: str = "tables"
    ) -> AreaTables:
        """Check tables against the households of the same PUMAs.

        Parameters
        ----------
        tables : columns `area`, those of `puma`, `variable`, `level`, `count`, and optionally `moe`, the margin of
            error at 90 %. Cells that are not listed count zero.
        households : all variables of the tables as categories, text, truth values or whole numbers
        where : name of the tables in messages

        Raises
        ------
        GeographyError
            If an area is in two PUMAs, or a PUMA of the tables has no household.
        AnalysisError
            If a column is missing, a count or margin is missing, negative or infinite, a cell is listed twice, a
            variable is none of the households or has missing values there, or a level is none of its levels.
        """
        frame = as_frame(tables)
        wanted = [area, *puma, VARIABLE, LEVEL, COUNT]
        if absent := [name for name in wanted if name not in frame]:
            raise AnalysisError(
                f"{where}, column {absent[0]}",
                f"is not there; there are {', '.join(map(str, frame.columns))}.",
                f"Give the columns {', '.join(wanted)}, and {MOE} if there are margins of error.",
            )
        if frame.empty:
            raise AnalysisError(where, "have no rows.", "Give a row for each area, variable and level.")
        codes = pd.DataFrame({name: frame[name].astype("str") for name in (area, VARIABLE, LEVEL)})
        codes["puma"] = puma_keys(frame, puma, where)
        _check_places(codes, area, set(puma_keys(households, puma, "households")), where)
        for name in (COUNT, *([MOE] if MOE in frame else [])):
            codes[name] = _amounts(frame[name], codes, area, where)
        repeated = codes.duplicated([area, VARIABLE, LEVEL])
        if repeated.any():
            raise AnalysisError(
                f"{where}, {_cell(codes[repeated].iloc[0], area)}", "is listed twice.", "Give each cell once."
            )
        levels = {v: _levels(households, v, where) for v in dict.fromkeys(codes[VARIABLE])}
        for variable, found in codes.groupby(VARIABLE, sort=False)[LEVEL]:
            if unknown := sorted(set(found) - set(levels[str(variable)])):
                raise AnalysisError(
                    f"{where}, {variable} = {unknown[0]}",
                    f"is a level that no household can have; there are {', '.join(levels[str(variable)])}.",
                    "Write levels as the households have them, or merge levels in both.",
                )
        pumas = {str(key): _of_puma(part, area, levels) for key, part in codes.groupby("puma")}
        return cls(levels, pumas)


def as_frame(table: Frame, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table, or some of its columns, into a frame."""
    if isinstance(table, TableRef):
        return table.to_pandas(columns)
    if isinstance(table, pa.Table):
        return (table.select(list(columns)) if columns is not None else table).to_pandas()
    return table[list(columns)] if columns is not None else table


def read_tables(path: Path) -> pd.DataFrame:
    """Read tables from a .csv or .parquet file; codes stay text, so that no leading zero is lost.

    Raises
    ------
    AnalysisError
        If the file is not there, of another kind, or not readable.
    """
    if path.suffix not in (".csv", ".parquet") or not path.is_file():
        raise AnalysisError(
            str(path), "is no .csv or .parquet file.", "Name the file of the small-area tables."
        )
    if path.suffix == ".parquet":
        return TableRef(path).to_pandas()
    try:
        frame = pd.read_csv(path, dtype="str", keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise AnalysisError(
            str(path), f"cannot be read ({error}).", "Write it as UTF-8 with a header."
        ) from error
    for name in (COUNT, MOE):
        if name in frame:
            frame[name] = pd.to_numeric(frame[name], errors="coerce")
    return frame


def puma_keys(frame: pd.DataFrame, puma: Sequence[str], where: str) -> pd.Series:
    """Write the PUMA of each row as one text.

    Raises
    ------
    GeographyError
        If a column is missing or has gaps.
    """
    for name in puma:
        if name not in frame or frame[name].isna().any():
            what = (
                f"is missing in {int(frame[name].isna().sum()):,} rows." if name in frame else "is not there."
            )
            raise GeographyError(
                f"{where}, column {name}", what, "Every row needs its PUMA: name its columns with `puma`."
            )
    text = frame[puma[0]].astype("str")
    for name in puma[1:]:
        text = text + _KEY_SEPARATOR + frame[name].astype("str")
    return text


def _check_places(codes: pd.DataFrame, area: str, known: set[str], where: str) -> None:
    pairs = codes[[area, "puma"]].drop_duplicates()
    twice = pairs[area].duplicated()
    if twice.any():
        first = pairs.loc[twice, area].iloc[0]
        both = " and ".join(pairs.loc[pairs[area] == first, "puma"])
        raise GeographyError(
            f"{where}, {area} {first}",
            f"is in the PUMAs {both}.",
            "Small areas lie in one PUMA each: correct it.",
        )
    if unknown := sorted(set(pairs["puma"]) - known):
        raise GeographyError(
            f"{where}, PUMA {unknown[0]}",
            f"has no household ({len(unknown)} such PUMAs in all).",
            "Check the census of the PUMAs, or leave its areas out of the tables.",
        )


def _amounts(column: pd.Series, codes: pd.DataFrame, area: str, where: str) -> NDArray[np.float64]:
    if not pd.api.types.is_numeric_dtype(column):
        raise AnalysisError(f"{where}, column {column.name}", "is no number.", "Give counts of households.")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    unfit = ~(np.isfinite(values) & (values >= 0))
    if unfit.any():
        row = int(np.argmax(unfit))
        raise AnalysisError(
            f"{where}, {_cell(codes.iloc[row], area)}",
            f"has the {column.name} {values[row]:g} ({int(unfit.sum()):,} such cells).",
            "Counts and margins are numbers from 0; leave out the area's table if it is suppressed.",
        )
    return values


def _cell(row: pd.Series, area: str) -> str:
    return f"{area} {row[area]}, {row[VARIABLE]} = {row[LEVEL]}"


def _levels(households: pd.DataFrame, variable: str, where: str) -> tuple[str, ...]:
    if variable not in households:
        raise AnalysisError(
            f"{where}, variable {variable}",
            f"is no column of the households; they have {', '.join(map(str, households.columns))}.",
            "Name a column of the households, or derive it first.",
        )
    column = households[variable]
    if column.isna().any():
        raise AnalysisError(
            f"households, {variable}",
            f"is missing in {int(column.isna().sum()):,} households.",
            "Impute it, or leave its table out.",
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        return tuple(map(str, column.cat.categories))
    if pd.api.types.is_float_dtype(column):
        raise AnalysisError(
            f"households, {variable}", "is a number without classes.", "Cut it into the classes of the table."
        )
    return tuple(map(str, sorted(column.unique())))


def _of_puma(part: pd.DataFrame, area: str, levels: dict[str, tuple[str, ...]]) -> PumaTables:
    areas = tuple(sorted(part[area].unique()))

    def wide(name: str) -> tuple[NDArray[np.float64], ...]:
        found = []
        for variable, known in levels.items():
            cells = part[part[VARIABLE] == variable]
            table = np.zeros((len(areas), len(known)))
            at = tuple(pd.Categorical(cells[c], list(of)).codes for c, of in ((area, areas), (LEVEL, known)))
            table[at] = cells[name]
            found.append(table)
        return tuple(found)

    moe = wide(MOE) if MOE in part else None
    return PumaTables(areas, wide(COUNT), None if moe is None else tuple(m / Z90 for m in moe))
