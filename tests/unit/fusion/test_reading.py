import gc

import pandas as pd
import pytest

import fusion_pipeline as fp
from fusion_pipeline.errors import StorageError


@pytest.fixture(scope="module")
def folder(models, recipient, tmp_path_factory):
    out = tmp_path_factory.mktemp("fused")
    return fp.fuse(recipient.head(80), models, implicates=12, out=out)


@pytest.fixture(scope="module")
def whole(models, recipient) -> pd.DataFrame:
    return fp.fuse(recipient.head(80), models, implicates=12).to_pandas()


def test_what_was_written_is_read(folder, whole):
    pd.testing.assert_frame_equal(fp.read_fused(folder, to="pandas"), whole)


def test_implicates_columns_and_keys_choose(folder, whole, recipient):
    keys = recipient.loc[[3, 50, 7], ["year", "hid"]]
    chosen = fp.read_fused(folder, implicates=[11, 2], columns=["cool", "size"], keys=keys, to="pandas")
    expected = pd.concat([whole[whole.implicate == m] for m in (11, 2)])
    expected = expected[expected.hid.isin(keys.hid)][["implicate", "cool", "size"]]
    pd.testing.assert_frame_equal(chosen, expected.reset_index(drop=True))
    assert fp.read_fused(folder, implicates=2, columns=["hid"]).num_rows == 160


def test_keys_may_be_categories(folder, whole):
    chosen = fp.read_fused(folder, keys={"cool": ["yes"]}, to="pandas")
    assert len(chosen) == (whole.cool == "yes").sum()


def test_batches_are_read_one_after_another(folder, whole):
    batches = fp.read_fused(folder, columns=["size"], to="batches")
    first = next(batches)
    assert first.num_rows == 80
    assert 80 + sum(batch.num_rows for batch in batches) == len(whole)


def test_a_duckdb_relation_outlives_the_call_and_gives_the_same_numbers(folder, whole, recipient):
    relation = fp.read_fused(
        folder, implicates=[1, 4], columns=["size"], keys={"hid": recipient.hid[:20]}, to="duckdb"
    )
    gc.collect()
    found = relation.aggregate("implicate, sum(size) AS total").order("implicate").fetchall()
    part = whole[whole.implicate.isin([1, 4]) & whole.hid.isin(recipient.hid[:20])]
    assert found == [(m, int(total)) for m, total in part.groupby("implicate")["size"].sum().items()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"implicates": [3, 13]}, r"implicate=13/part-0.parquet: is not there \(12 implicates are: 1, 2"),
        ({"columns": ["siez"]}, r"column siez: is not there \(it has year, hid, size"),
        ({"keys": {"pid": [1]}}, "column pid: is not there"),
        ({"implicates": []}, r"read_fused, implicates: is \[\]"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(folder, arguments, message):
    with pytest.raises(StorageError, match=message):
        fp.read_fused(folder, **arguments)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(StorageError, match="holds no implicates"):
        fp.read_fused(tmp_path)


def test_implicates_of_two_fusions_are_not_read_as_one(models, recipient, tmp_path):
    fp.fuse(recipient.head(20), models, implicates=3, out=tmp_path)
    fp.fuse(recipient.head(20), models, implicates=[2], out=tmp_path, seed=2)
    message = r"implicate=02/part-0.parquet: differs from .*implicate=01/.*implicate=03/.* in seed"
    with pytest.raises(StorageError, match=message):
        fp.read_fused(tmp_path)
    assert fp.read_fused(tmp_path, implicates=[1, 3]).num_rows == 40
