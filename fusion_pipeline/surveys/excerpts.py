"""The records of a file that are wanted of it, made to look as the file they stand in for has them.

Belongs here: what `Excerpt` of the registry says, done to blocks of text. Does not belong here: which file has which
excerpt (`registry.yaml`), what the text means (`coding.py`).
"""

from __future__ import annotations

import fnmatch
import functools

import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.raw.entries import Excerpt, FoldedFlag
from fusion_pipeline.surveys.reading import strings


def excerpt(batch: pa.RecordBatch, wanted: Excerpt) -> pa.RecordBatch:
    """Take the records wanted, and convert their columns.

    Parameters
    ----------
    batch : texts, with the columns that the excerpt needs
    wanted : the registry's entry

    Returns
    -------
    The records wanted, in their order, with the same columns; a column that is not in the batch is not converted, and
    a cell that is no whole number is not multiplied.
    """
    spelt = {name.lower(): name for name in batch.schema.names}
    begins = [
        pc.starts_with(pc.utf8_trim_whitespace(strings(batch.column(spelt[raw.lower()]))), pattern=text)
        for raw, text in wanted.begins.items()
    ]
    batch = batch.filter(functools.reduce(pc.and_, begins))
    for raw, folded in wanted.fold.items():
        if raw.lower() in spelt:
            flags = batch.column(spelt[folded.flag.lower()])
            batch = _replace(
                batch, spelt[raw.lower()], _fold(batch.column(spelt[raw.lower()]), flags, folded)
            )
    for pattern, factor in wanted.times.items():
        for name in fnmatch.filter(spelt, pattern.lower()):
            batch = _replace(batch, spelt[name], _multiply(batch.column(spelt[name]), factor))
    return batch


def _replace(batch: pa.RecordBatch, name: str, texts: pa.Array) -> pa.RecordBatch:
    position = batch.schema.get_field_index(name)
    coded = pa.types.is_dictionary(batch.schema.field(position).type)
    return batch.set_column(position, name, texts.dictionary_encode() if coded else texts)


def _fold(amounts: pa.Array, flags: pa.Array, folded: FoldedFlag) -> pa.Array:
    codes = pc.utf8_trim_whitespace(strings(flags))
    stays = pc.is_in(codes, value_set=pa.array(["", folded.amount]))
    return pc.if_else(stays, strings(amounts), codes)


def _multiply(column: pa.Array, factor: int) -> pa.Array:
    texts = strings(column)
    whole = pc.match_substring_regex(texts, r"^\s*-?\d{1,15}\s*$")
    numbers = pc.utf8_trim_whitespace(pc.if_else(whole, texts, "0")).cast(pa.int64())
    return pc.if_else(whole, pc.multiply(numbers, factor).cast(pa.string()), texts)
