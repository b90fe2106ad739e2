"""PUMAs and the locations they lie in, as arrays; and small helpers of everything that draws places.

Belongs here: looking up locations and PUMAs, the order in which households are taken. Does not belong here:
the imputation itself (`puma_imputation.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.concordance import find_pumas, puma_ids
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.storage.tables import codes_of, levels_of

Array = np.ndarray


@dataclass(frozen=True)
class Places:
    """The concordance as arrays: rows, and the PUMAs (`ids`, ascending) they belong to."""

    ids: Array
    puma: Array
    weight: Array
    codes: Array
    levels: dict[str, list[str]]
    covered: Array
    state_levels: list[str]
    column: str
    """Of the PUMA; says of which definition these are."""
    puma_levels: list[str]
    by_puma: Array

    @classmethod
    def read(cls, concordance: pa.Table, locations: Sequence[str], covered_states: Sequence[str]) -> Places:
        concordance = concordance.unify_dictionaries()
        ids, puma = np.unique(puma_ids(concordance, "concordance"), return_inverse=True)
        weight = concordance["weight"].to_numpy().astype(np.float64)
        levels, codes = {}, []
        for name in locations:
            if name not in concordance.column_names:
                raise GeographyError(
                    f"location {name}",
                    f"is not a column of the concordance (it has {', '.join(concordance.column_names)}).",
                    "Correct the pair's `locations` in fusion_pipeline/registry.yaml.",
                )
            levels[name] = levels_of(concordance[name])
            codes.append(codes_of(concordance[name]))
        covered = np.isin(ids // 100_000, [int(s) for s in covered_states]) if covered_states else ids >= 0
        stacked = np.stack(codes, axis=1) if codes else np.empty((len(puma), 0), dtype=np.int64)
        column = puma_column(concordance.column_names, "concordance")
        states, pumas = levels_of(concordance["state"]), levels_of(concordance[column])
        return cls(
            ids,
            puma,
            weight,
            stacked,
            levels,
            covered,
            states,
            column,
            pumas,
            np.bincount(puma, weights=weight),
        )

    def weights_within(self, combination: Array) -> Array:
        """(n_pumas,) the concordance's weight of each PUMA inside a combination of locations."""
        inside = ((self.codes == combination) | (combination < 0)).all(axis=1)
        if not inside.any():
            raise GeographyError(
                f"donor location {self.label(combination)}",
                "is a combination that the concordance has not.",
                "Check the donor's location columns against the concordance.",
            )
        return np.bincount(self.puma[inside], weights=self.weight[inside], minlength=len(self.ids))

    def label(self, combination: Array) -> str:
        parts = zip(self.levels.items(), combination, strict=True)
        return ", ".join(f"{name}={levels[code] if code >= 0 else '(any)'}" for (name, levels), code in parts)

    def positions(self, table: pa.Table, where: str) -> Array:
        """Position of each row's PUMA in `ids`."""
        return find_pumas(self.ids, self.column, table, where)

    def combinations(self, donor: pa.Table) -> Array:
        """(donors, locations) positions of what a donor discloses in the concordance's levels; -1: not disclosed."""
        codes = [self.location_codes(donor, name) for name in self.levels]
        return np.stack(codes, axis=1) if codes else np.empty((donor.num_rows, 0), dtype=np.int64)

    def location_codes(self, donor: pa.Table, name: str) -> Array:
        """Positions of a donor's locations in the concordance's levels; -1: not disclosed."""
        if name not in donor.column_names:
            raise GeographyError(
                "donor table", f"has no location column {name}.", "Keep it when the donor is harmonized."
            )
        column = donor[name].cast(pa.string()).combine_chunks().dictionary_encode()
        labels = column.dictionary.to_pylist()
        levels = self.levels[name]
        if unknown := [label for label in labels if label not in levels]:
            raise GeographyError(
                f"donor table, column {name}",
                f"holds {unknown[0]!r}, which the concordance has not (it has {', '.join(levels[:12])}).",
                "Give the level the concordance's name in the donor's codebook.",
            )
        lookup = np.array([levels.index(label) for label in labels] + [-1])
        return lookup[column.indices.fill_null(len(labels)).to_numpy()]


def by_household(table: pa.Table) -> Array:
    """Row numbers in the order of survey, year and household: the same whatever the order of rows."""
    keys = [np.asarray(table["hid"].to_numpy())]
    if "year" in table.column_names:
        keys.append(table["year"].to_numpy())
    if "survey" in table.column_names:
        keys.append(np.unique(table["survey"].to_pandas().astype(str), return_inverse=True)[1])
    return np.lexsort(keys)


def draw_by_weight(weight: Array, uniform: Array) -> Array:
    """Draw positions in proportion to weight, one for every uniform number in [0, 1)."""
    cumulated = np.cumsum(weight)
    drawn = np.searchsorted(cumulated, uniform * cumulated[-1], side="right")
    return np.minimum(drawn, np.flatnonzero(weight)[-1])


def set_column(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    """Replace a column, or append it."""
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)
