"""The recipient as fusing sees it: checked columns, blocks of rows, features in the donor's levels.

Belongs here: reading and checking the recipient. Does not belong here: predictions and draws (`fusing.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.errors import FusingError
from fusion_pipeline.fusion import variables
from fusion_pipeline.fusion.arguments import listed
from fusion_pipeline.fusion.modelset import ModelSet
from fusion_pipeline.fusion.rules import Lookup, table_lookup
from fusion_pipeline.fusion.variables import Variable
from fusion_pipeline.storage.tables import TableRef, levels_of, table_digest

BLOCK_ROWS = 1 << 14
"""Rows that share a random stream per variable and implicate. Another number would give other draws."""

IDENTIFIERS = ("year", "hid")
"""Columns that are retained if nothing else is said."""


@dataclass(frozen=True)
class Recipient:
    """A recipient that fits a model set; `predictors` are described as the donor had them."""

    source: pa.Table | TableRef
    retain: tuple[str, ...]
    predictors: Mapping[str, Variable]
    digest: str
    conditions: tuple[str, ...] = ()
    """Columns that the plan's universes and rules read."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.source.num_rows

    @property
    def block_count(self) -> int:
        """Number of row blocks."""
        return -(-self.rows // BLOCK_ROWS)

    @property
    def _columns(self) -> list[str]:
        return list(dict.fromkeys([*self.retain, *self.predictors, *self.conditions]))

    def blocks(self) -> Iterator[pa.Table]:
        """Read in blocks of exactly `BLOCK_ROWS` rows; only the last may be shorter."""
        if isinstance(self.source, pa.Table):
            for number in range(self.block_count):
                yield self.source.slice(number * BLOCK_ROWS, BLOCK_ROWS)
            return
        held: list[pa.Table] = []
        count = 0
        for piece in self.source.batches(BLOCK_ROWS, self._columns):
            held.append(piece)
            count += piece.num_rows
            if count >= BLOCK_ROWS:
                joined = pa.concat_tables(held).unify_dictionaries()
                yield joined.slice(0, BLOCK_ROWS)
                held, count = [joined.slice(BLOCK_ROWS)], count - BLOCK_ROWS
        if count:
            yield pa.concat_tables(held).unify_dictionaries()

    def features(self, block: pa.Table) -> np.ndarray:
        """Return (rows, predictors) float32 features of a block; a level the donor has not is missing."""
        matrix = np.empty((block.num_rows, len(self.predictors)), dtype=np.float32)
        for j, (name, variable) in enumerate(self.predictors.items()):
            matrix[:, j] = variables.feature(block[name], variable)
        return matrix

    def lookup(self, block: pa.Table) -> Lookup:
        """Look up the columns of a block that universes and rules read."""
        return table_lookup(block, "recipient", FusingError)

    def unseen(self, block: pa.Table) -> dict[tuple[str, str], int]:
        """Count the rows of a block per predictor and level that no donor can have."""
        counts = {}
        for name, variable in self.predictors.items():
            if variable.type == "dictionary":
                for level in sorted(set(map(str, levels_of(block[name]))) - set(variable.levels)):
                    hits = pc.sum(pc.equal(block[name].cast(pa.string()), level)).as_py()
                    if hits:
                        counts[name, level] = int(hits)
        return counts


def open_recipient(
    recipient: pd.DataFrame | pa.Table | TableRef, models: ModelSet, retain: Sequence[str] | None
) -> Recipient:
    """Check that a recipient fits a model set; without `retain`, its `IDENTIFIERS` are retained.

    Raises
    ------
    FusingError
        Naming the column that is missing, of another kind than the donor's, or both retained and fused.
    """
    names = variables.column_names(recipient, "recipient", FusingError)
    retain = (
        [name for name in IDENTIFIERS if name in names]
        if retain is None
        else listed("fuse, retain", retain, FusingError)
    )
    if clash := sorted({*retain} & {*models.variables, "implicate"}):
        raise FusingError(
            f"recipient, column {clash[0]}",
            "is retained, and fusing makes a column of that name.",
            "Leave it out of `retain`, or rename it.",
        )
    plan = models.plan
    columns = list(dict.fromkeys([*retain, *models.predictors, *plan.conditions]))
    source: pa.Table | TableRef
    if isinstance(recipient, TableRef):
        stand_in = pd.DataFrame(columns=recipient.columns, dtype=float)
        variables.as_table(stand_in, columns, "recipient", FusingError)
        source, head = recipient, next(recipient.batches(1, columns), None)
        with recipient.path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    else:
        source = head = variables.as_table(recipient, columns, "recipient", FusingError)
        digest = table_digest(source)
    if head is None or head.num_rows == 0:
        raise FusingError("recipient", "has no rows.", "Check the step that made it.")
    for name, expected in models.predictors.items():
        found = variables.describe(head[name], name, "recipient", FusingError)
        if _sort(found) != _sort(expected):
            raise FusingError(
                f"recipient, column {name}",
                f"is {_sort(found)}, the donor's is {_sort(expected)}.",
                "Make it the same kind in both, as the harmony defines it.",
            )
    _check_conditions(head, models)
    return Recipient(source, tuple(retain), models.predictors, digest, plan.conditions)


def _check_conditions(head: pa.Table, models: ModelSet) -> None:
    def describe(name: str) -> Variable:
        if name in models.variables:
            return models.variables[name]
        return variables.describe(head[name], name, "recipient", FusingError)

    for rule in models.plan.parsed_rules:
        rule.check(describe)
    for step in models.plan.steps:
        for term in step.condition.terms if step.condition else ():
            term.check(describe(term.column), "recipient")


def _sort(variable: Variable) -> str:
    if variable.kind != "categorical":
        return "numeric"
    return "boolean" if variable.type == "bool" else "categorical"
