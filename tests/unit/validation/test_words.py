"""Columns of fused tables are described in the words of the codebooks, with their units."""

import pyarrow as pa
import pytest

from assets.publishing import column_schema
from fusion_pipeline.fusion.recipient import IDENTIFIERS
from fusion_pipeline.registry import load_registry
from fusion_pipeline.validation.words import columns_of

REGISTRY = load_registry()
# One pair for each set of donors: others have the same variables, or fewer.
PAIRS = {pair.donors: name for name, pair in REGISTRY.pairs.items()}


@pytest.mark.parametrize("pair", PAIRS.values())
def test_every_column_of_a_pair_s_implicates_is_described(pair: str) -> None:
    entry = REGISTRY.pair(pair)
    schema = pa.schema([(name, pa.float32()) for name in (*IDENTIFIERS, *entry.variables)])
    told = {column.name: column.description for column in column_schema(schema, columns_of(pair)).columns}
    assert [name for name, text in told.items() if not text] == []


def test_amounts_have_the_unit_of_the_codebook() -> None:
    told = columns_of("RECS_2015__ACS_2015")
    assert told["btuel"].endswith("(thousand Btu)")
    assert told["dollarel"].endswith("(US dollars)")
    assert not told["cooltype"].endswith(")")
