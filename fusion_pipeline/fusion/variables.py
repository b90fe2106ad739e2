"""What kind of variable a column is, and how a column becomes numbers a model can read.

Belongs here: kinds (categorical, continuous, zero-inflated), levels, features. Does not belong here: which
variables are used (`screening.py`), models (`boosting.py`).

Kinds follow from the column: an Arrow dictionary (pandas category) or boolean is categorical, any other number is
continuous, and a number with a spike at zero is zero-inflated (`is_zero_inflated`). Integers stay integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.errors import FusingError, FusionError
from fusion_pipeline.storage.tables import TableRef, categorical, levels_of

ZERO_SHARE = 0.01
"""Fewer zeros than this cannot support a model of their own."""
ZERO_EXCESS = 1.5
"""How much more frequent than its neighbours suggest zero must be."""


@dataclass(frozen=True)
class Variable:
    """A column as the model set remembers it.

    Parameters
    ----------
    name : str
    kind : "categorical", "continuous" or "zero-inflated"
    type : str
        ``"dictionary"``, ``"bool"``, or the Arrow name of the number (``"int32"``, ``"double"``, ...).
    levels : tuple of str
        Of a dictionary, in order, as text: donor and recipient have a level in common if they write it alike.
    ordered : bool
        Whether the order of the levels means anything.
    level_type : str
        What the levels are: ``"string"``, or the Arrow name of a number or truth value. Other levels become text.
    """

    name: str
    kind: Literal["categorical", "continuous", "zero-inflated"]
    type: str
    levels: tuple[str, ...] = ()
    ordered: bool = False
    level_type: str = "string"

    @property
    def classes(self) -> int:
        """Number of classes of a categorical variable."""
        return 2 if self.type == "bool" else len(self.levels)

    @property
    def is_nominal(self) -> bool:
        """Whether its codes mean nothing to a tree: LightGBM must split them as categories."""
        return self.type == "dictionary" and not self.ordered and len(self.levels) > 2

    def to_arrow(self, values: np.ndarray) -> pa.Array:
        """Turn codes (categorical) or numbers into a column of the type the donor had."""
        if self.type == "dictionary":
            kind = pa.type_for_alias(self.level_type)
            return categorical(values, self.levels, ordered=self.ordered, kind=kind)
        if self.type == "bool":
            return pa.array(values.astype(bool))
        return pa.array(self.hold(values))

    @property
    def dtype(self) -> np.dtype:
        """Type of a number."""
        return np.dtype(pa.type_for_alias(self.type).to_pandas_dtype())

    @property
    def is_exact(self) -> bool:
        """Whether float64 holds every number of its type: all but the integers of 64 bits."""
        return self.dtype.kind not in "iu" or self.dtype.itemsize < 8

    def hold(self, values: np.ndarray) -> np.ndarray:
        """Convert numbers to the type of the variable.

        Raises
        ------
        FusingError
            If an integer is beyond the type, which only a rule can ask for.
        """
        if self.dtype.kind in "iu" and values.dtype != self.dtype and values.size:
            # Compared as Python's numbers, which are exact: the largest int64 is no float64.
            possible, extremes = np.iinfo(self.dtype), (values.min().item(), values.max().item())
            if beyond := [v for v in extremes if not possible.min <= v <= possible.max]:
                raise FusingError(
                    f"fusion variable {self.name}",
                    f"is {beyond[0]:g} by a rule, which its type {self.type} cannot hold.",
                    "Give the donor's column a wider type, or correct the rule.",
                )
        return values.astype(self.dtype)

    def inward(self, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Move float64 bounds of a number inward to values of its type, so that a value put on one keeps to it."""
        if self.dtype.kind in "iu":
            return np.ceil(lower), np.floor(upper)
        if self.dtype == np.float64:
            return lower, upper
        with np.errstate(over="ignore"):
            low, high = lower.astype(self.dtype), upper.astype(self.dtype)
        end = self.dtype.type(np.inf)
        low = np.where(low < lower, np.nextafter(low, end), low)
        high = np.where(high > upper, np.nextafter(high, -end), high)
        return low.astype(np.float64), high.astype(np.float64)

    def to_json(self) -> dict[str, Any]:
        """Return the fields, for a manifest; that levels are text goes without saying."""
        raw = asdict(self) | {"levels": list(self.levels)}
        if self.level_type == "string":
            del raw["level_type"]
        return raw

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Variable:
        """Read what `to_json` gave."""
        return cls(**(dict(raw) | {"levels": tuple(raw["levels"])}))


def column_names(data: Any, where: str, error: type[FusionError]) -> list[str]:
    """List the columns of what should be a frame, table or handle, and refuse anything else."""
    if not isinstance(data, pd.DataFrame | pa.Table | TableRef):
        raise error(where, f"is a {type(data).__name__}.", "Give a frame, an Arrow table or a TableRef.")
    return list(data.column_names if isinstance(data, pa.Table) else data.columns)


def as_table(
    data: pd.DataFrame | pa.Table | TableRef, columns: Sequence[str], where: str, error: type[FusionError]
) -> pa.Table:
    """Take the named columns of a frame or table; what was given is never changed.

    Raises
    ------
    FusionError
        Of the class given, naming a column that is missing or has no Arrow type.
    """
    names = column_names(data, where, error)
    if repeated := [c for c in columns if names.count(c) > 1]:
        raise error(
            f"{where}, column {repeated[0]}", "is there more than once.", "Rename or drop one of them."
        )
    if absent := [c for c in columns if c not in names]:
        raise error(
            f"{where}, column {absent[0]}",
            "is missing.",
            f"Add it, or leave it out of the plan (the table has {', '.join(map(str, names[:12]))} ...).",
        )
    if isinstance(data, TableRef):
        return data.read(columns)
    if isinstance(data, pa.Table):
        return data.select(list(columns)).unify_dictionaries()
    arrays = []
    for name in columns:
        try:
            arrays.append(pa.Array.from_pandas(data[name]))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as problem:
            raise error(
                f"{where}, column {name}",
                f"holds Python objects of several types ({problem}).",
                "Convert it to numbers or to a categorical.",
            ) from problem
    return pa.table(dict(zip(columns, arrays, strict=True)))


def describe(
    column: pa.ChunkedArray, name: str, where: str, error: type[FusionError], weight: np.ndarray | None = None
) -> Variable:
    """Decide the kind of a column. Zero inflation is looked for only if weights are given.

    Raises
    ------
    FusionError
        Of the class given, if the column is neither number, boolean nor categorical.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        levels = tuple(str(level) for level in levels_of(column))
        of = kind.value_type
        plain = pa.types.is_integer(of) or pa.types.is_floating(of) or pa.types.is_boolean(of)
        return Variable(
            name, "categorical", "dictionary", levels, bool(kind.ordered), str(of) if plain else "string"
        )
    if pa.types.is_boolean(kind):
        return Variable(name, "categorical", "bool")
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise error(
            f"{where}, column {name}",
            f"is of type {kind}; numbers, booleans and categoricals can be modelled.",
            "Convert it, for instance with astype('category').",
        )
    if weight is not None:
        values = numbers(column)
        known = ~np.isnan(values)
        if is_zero_inflated(values[known], weight[known]):
            return Variable(name, "zero-inflated", str(kind))
    return Variable(name, "continuous", str(kind))


def is_zero_inflated(values: np.ndarray, weight: np.ndarray) -> bool:
    """Say whether zero is a state of its own ("has none") and not just a small number.

    Parameters
    ----------
    values, weight : (n,) float64

    Notes
    -----
    Three conditions on weighted shares p: zeros make up at least 1 %; all other values lie on one side of zero;
    and p(0) > 1.5 p(v1) max(1, p(v1) / p(v2)), where v1, v2 are the two values nearest to zero. The right-hand
    side continues the distribution of the other values to zero: exactly for a geometric distribution, generously
    for a Poisson or a normal one, so that a small count is not taken for inflated, while values that hardly
    repeat (amounts, shares) expect almost no zeros at all. Only one value besides zero: inflated, because "zero
    or that value" is then described without error.
    """
    zero = values == 0
    total = weight.sum()
    if total <= 0 or not zero.any() or weight[zero].sum() < ZERO_SHARE * total:
        return False
    rest = values[~zero]
    if rest.size == 0 or (rest.min() < 0 < rest.max()):
        return False
    distinct, inverse = np.unique(np.abs(rest), return_inverse=True)
    if distinct.size == 1:
        return True
    share = np.bincount(inverse, weight[~zero])
    expected = share[0] * max(1.0, share[0] / share[1] if share[1] > 0 else np.inf)
    return bool(weight[zero].sum() > ZERO_EXCESS * expected)


def numbers(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Return numeric or boolean values as float64, missing as NaN; integers beyond 2^53 are rounded."""
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def values_to_draw(column: pa.ChunkedArray, variable: Variable) -> np.ndarray:
    """Return what draws of a column give: codes; else numbers, exact ones, as float64 where that holds them.

    What is missing means nothing here: no draw gives it.
    """
    if variable.kind == "categorical":
        return codes(column, variable)
    if variable.is_exact:
        return numbers(column)
    return np.asarray(pc.fill_null(column, 0).to_numpy(), dtype=variable.dtype)


def codes(column: pa.ChunkedArray, variable: Variable) -> np.ndarray:
    """Return 0-based class codes (n,) int32 in the variable's own levels; -1 where missing or not a level."""
    if variable.type == "bool":
        values = numbers(column)
        return np.where(np.isnan(values), -1, values).astype(np.int32)
    position = {level: i for i, level in enumerate(variable.levels)}
    translate = np.array([position.get(str(level), -1) for level in levels_of(column)] + [-1], dtype=np.int32)
    if column.num_chunks == 0:
        return np.empty(0, dtype=np.int32)
    indices = column.combine_chunks().indices if column.num_chunks > 1 else column.chunk(0).indices
    return translate[
        pc.fill_null(indices.cast(pa.int32()), len(translate) - 1).to_numpy(zero_copy_only=False)
    ]


def feature(column: pa.ChunkedArray, variable: Variable) -> np.ndarray:
    """Return one feature (n,) float32: numbers as they are, codes for categories, NaN for missing."""
    if variable.kind == "categorical":
        return encode_codes(codes(column, variable))
    return numbers(column).astype(np.float32)


def encode_codes(classes: np.ndarray) -> np.ndarray:
    """Return class codes as a feature."""
    return np.where(classes < 0, np.float32(np.nan), classes.astype(np.float32))


def missing(column: pa.ChunkedArray) -> np.ndarray:
    """Return where a column has no value: null or NaN."""
    return np.asarray(pc.is_null(column, nan_is_null=True).to_numpy(), dtype=bool)
