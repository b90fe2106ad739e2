"""Where predictors make few cells, fused cells are the donors' cells, whatever the file's order and the weights."""

import numpy as np
import pandas as pd
import pytest

import fusion_pipeline as fp

N = 4_000
QUICK = {"leaves": (4,), "patience": 5, "folds": 3, "bootstraps": 0}
CELLS = ["owner", "urban"]


@pytest.fixture(scope="module")
def donor() -> pd.DataFrame:
    """Two binary predictors; `size` rises with both; `late` is weighted ninefold where it is true of owners."""
    random = np.random.default_rng(0)
    owner, urban = random.random(N) < 0.5, random.random(N) < 0.5
    late = random.random(N) < np.where(urban, 0.9, 0.1)
    size = random.normal(size=N) + 2 * owner + urban
    weight = np.where(owner & late, 9.0, 1.0)
    return pd.DataFrame(
        {"owner": owner, "urban": urban, "late": late, "size": size, "half": size / 2, "weight": weight}
    )


@pytest.fixture(scope="module")
def recipient() -> pd.DataFrame:
    return pd.DataFrame({"owner": [False, False, True, True] * 1000, "urban": [False, True] * 2000})


def fused(donor, recipient, folder, y, weight=None) -> pd.DataFrame:
    models = fp.train(donor, y=y, x=CELLS, weight=weight, out=folder, **QUICK)
    return fp.fuse(recipient, models, implicates=5, retain=CELLS).to_pandas()


@pytest.mark.parametrize("y", ["size", ["size", "half"]], ids=["alone", "in a block"])
def test_the_order_of_the_donor_file_decides_nothing(donor, recipient, tmp_path, y) -> None:
    drawn = fused(donor.sort_values("size"), recipient, tmp_path, [y])
    true, found = (table.groupby(CELLS)["size"].agg(["mean", "std"]) for table in (donor, drawn))
    assert found["mean"].to_numpy() == pytest.approx(true["mean"].to_numpy(), abs=0.15)
    assert found["std"].to_numpy() == pytest.approx(true["std"].to_numpy(), rel=0.1)
    # A thousand donors a cell, told apart by folds only; of a block, a pool cut among equals would have ten.
    assert drawn.groupby(CELLS)["size"].nunique().min() > (300 if y == "size" else 60)


def test_weights_that_tell_of_the_answer_itself_are_kept_in_every_cell(donor, recipient, tmp_path) -> None:
    drawn = fused(donor, recipient, tmp_path, ["late"], "weight").groupby(CELLS).late.mean()
    weighted = donor.assign(yes=donor.late * donor.weight).groupby(CELLS)[["yes", "weight"]].sum()
    assert drawn.to_numpy() == pytest.approx((weighted.yes / weighted.weight).to_numpy(), abs=0.04)
