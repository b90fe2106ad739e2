"""What a user may hand over to be analysed: implicates and the recipient, in any of the forms the library knows.

Belongs here: telling the forms apart and making Arrow tables or lists of files of them. Does not belong here: reading
and joining them (`relation.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.fusion.variables import as_table
from fusion_pipeline.storage.tables import TableRef

if TYPE_CHECKING:
    import duckdb

IMPLICATE = "implicate"
Implicates: TypeAlias = (
    "pa.Table | pd.DataFrame | duckdb.DuckDBPyRelation | Path | str | Sequence[Path | str]"
)
"""A table of all implicates with column `implicate`, a folder `implicate=NN/part-0.parquet`, or some of its files."""
Recipient: TypeAlias = pa.Table | pd.DataFrame | TableRef


def surveys_of(implicates: Implicates | Mapping[str, Implicates]) -> dict[str, pa.Table | list[Path]]:
    """Take the implicates of each survey as a table or as the files of a dataset.

    Raises
    ------
    AnalysisError
        If a folder holds none, or it is something else.
    """
    named = implicates if isinstance(implicates, Mapping) else {"fused": implicates}
    if not named:
        raise AnalysisError("implicates", "are of no survey.", "Give those of one, or of several by name.")
    return {name: _survey(given) for name, given in named.items()}


def recipient_of(given: Recipient) -> pa.Table | TableRef:
    """Take the recipient as an Arrow table, or as a handle to a file.

    Raises
    ------
    AnalysisError
        If it is something else.
    """
    if isinstance(given, pd.DataFrame):
        return as_table(given, list(given.columns), "static table", AnalysisError)
    if isinstance(given, pa.Table | TableRef):
        return given
    raise AnalysisError(
        "static table", f"is a {type(given).__name__}.", "Give a frame, an Arrow table or TableRef(path)."
    )


def listed(given: Any) -> list[Any]:
    """Make a list of one text or object, or of several: a text alone is not a list of its letters."""
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]


def _survey(given: Any) -> pa.Table | list[Path]:
    if isinstance(given, pd.DataFrame):
        return as_table(given, list(given.columns), "implicates", AnalysisError)
    if isinstance(given, pa.Table):
        return given
    if hasattr(given, "to_arrow_table"):
        return given.to_arrow_table()
    if isinstance(given, str | Path):
        files = sorted(Path(given).glob(f"**/{IMPLICATE}=*/*.parquet"))
    elif isinstance(given, Sequence) and all(isinstance(file, str | Path) for file in given):
        files = [Path(file) for file in given]
    else:
        raise AnalysisError(
            "implicates",
            f"are a {type(given).__name__}.",
            "Give a folder, its files, a frame, an Arrow table or a DuckDB relation.",
        )
    if not files:
        raise AnalysisError(
            str(given), "holds no implicates (implicate=NN/part-0.parquet).", "Fuse the pair first."
        )
    return files
