"""What light models cost an imputation: answers hidden on purpose, drawn again, and held against what was answered.

    python benchmarks/imputation.py [--donors 3000]

Simulated surveys; in each, 15 % of the answers to some variables are hidden. `thorough` fills them as a fusion
variable would be drawn (all rows, all predictors, settings of `train`), `light` as `impute` does by default. Agreement
is the share of draws that are the hidden category, or the correlation of drawn with hidden numbers; distance is the
total variation distance of the two distributions, or the Kolmogorov-Smirnov statistic.
"""

from __future__ import annotations

import measure  # first: sets how OpenMP waits

# isort: split
import argparse
import inspect
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.stats import ks_2samp

from fusion_pipeline.fusion.imputation import TUNING, impute
from fusion_pipeline.fusion.training import train
from fusion_pipeline.randomness import stream
from fusion_pipeline.registry import load_registry
from fusion_pipeline.simulate import simulate_folders
from fusion_pipeline.storage.tables import categorical, codes_of, levels_of
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest

HIDDEN = {
    "RECS_2015": ("moneypy", "householder_race", "education", "totsqft_en", "fuelheat"),
    "NHTS_2017": ("hhfaminc", "hhvehcnt", "place", "homeown", "annmiles"),
    "2015": ("hincp", "grntp", "ybl", "hfl", "elep", "mv"),
}
SHARE = 0.15
THOROUGH = {name: inspect.signature(train).parameters[name].default for name in TUNING} | {
    "most_rows": None,
    "most_predictors": None,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--donors", type=int, default=3_000)
    donors = parser.parse_args().donors
    rows = []
    for key, names in HIDDEN.items():
        table = microdata(key, donors)
        hidden, masks = hide(table, [name for name in names if name in table.column_names])
        for kind, settings in (("thorough", THOROUGH), ("light", {})):
            with measure.measured(f"{key} {kind}") as taken:
                drawn = impute(hidden, columns=usable(hidden), weight="weight", **settings)
            found = {name: quality(table[name], drawn[name], mask) for name, mask in masks.items()}
            rows += [
                {"survey": key, "variable": name, "models": kind, "agreement": a, "distance": d}
                for name, (a, d) in found.items()
            ]
            mean = np.mean(list(found.values()), axis=0)
            print(f"{key} {kind}: {taken.cpu:.1f} CPU s, agreement {mean[0]:.3f}, distance {mean[1]:.3f}")
    wide = pd.DataFrame(rows).set_index(["survey", "variable", "models"]).unstack()  # noqa: PD010
    print(wide.round(3).to_string())


def microdata(key: str, donors: int) -> pa.Table:
    """Simulate and ingest the households of a survey-year."""
    vintage = load_registry().survey_year(key)
    with tempfile.TemporaryDirectory() as folder:
        simulate_folders(Path(folder), [vintage.folder], households=donors, donors=donors, seed=1)
        parts = {
            role: [RawPart(Path(folder) / vintage.folder / file.name, (), file.member)]
            for role, file in vintage.files.items()
        }
        return ingest(parts["households"], load_codebook(vintage.codebook), "households", parts)


def usable(table: pa.Table) -> list[str]:
    """Name the variables of a table: neither keys nor weights."""
    keys = ("hid", "year", "weight", "puma10")
    return [name for name in table.column_names if name not in keys and not name.startswith("rep_")]


def hide(table: pa.Table, names: list[str]) -> tuple[pa.Table, dict[str, np.ndarray]]:
    """Take answers away, and say which."""
    masks = {}
    for name in names:
        column = table[name]
        known = column.is_valid().to_numpy()
        masks[name] = known & (stream(1, "hide", name).random(table.num_rows) < SHARE)
        if pa.types.is_dictionary(column.type):
            codes = np.where(masks[name], -1, codes_of(column))
            gappy = categorical(codes, levels_of(column), ordered=column.type.ordered)
        else:
            gappy = pa.array(column.to_numpy(), column.type, mask=masks[name] | ~known)
        table = table.set_column(table.column_names.index(name), name, gappy)
    return table, masks


def quality(true: pa.ChunkedArray, drawn: pa.ChunkedArray, mask: np.ndarray) -> tuple[float, float]:
    """Hold draws against what was hidden: agreement and distance."""
    if pa.types.is_dictionary(true.type):
        answers, draws = codes_of(true)[mask], codes_of(drawn)[mask]
        shares = [np.bincount(c, minlength=len(levels_of(true))) / mask.sum() for c in (answers, draws)]
        return float((answers == draws).mean()), float(np.abs(shares[0] - shares[1]).sum() / 2)
    answers, draws = (column.to_numpy()[mask].astype(float) for column in (true, drawn))
    return float(np.corrcoef(answers, draws)[0, 1]), float(ks_2samp(answers, draws, method="asymp").statistic)


if __name__ == "__main__":
    main()
