"""Figures typed from a survey's report are those of its microdata."""

import pandas as pd
import pytest

from fusion_pipeline.geography.concordance import areas
from fusion_pipeline.validation.published import load_published


@pytest.mark.realdata
def test_tables_of_the_recs_report_are_those_of_its_microdata(shared) -> None:
    columns = ["DIVISION", "NWEIGHT", "BTUNG", "COOLTYPE"]
    raw = pd.read_csv(
        shared / "data" / "recs_2015" / "recs2015_public_v4_reconstructed.csv.gz", usecols=columns
    )
    names = dict(enumerate(areas("division")[:7], start=1)) | {8: "Mountain", 9: "Mountain", 10: "Pacific"}
    area = raw["DIVISION"].map(names)
    homes = raw["NWEIGHT"] / 1e6
    with_it = {"homes_with_gas": raw["BTUNG"] > 0, "homes_with_cooling": raw["COOLTYPE"] > 0}
    declared = {b.name: b.figures.values for b in load_published().benchmarks if b.name.startswith("homes_")}
    for name, is_it in with_it.items():
        for label, rows in [*((a, area == a) for a in declared[name]), ("United States", area.notna())]:
            figure = declared[name if label in declared[name] else f"{name}_nation"][label]
            assert figure == pytest.approx((homes[rows & is_it].sum(), homes[rows].sum()), abs=0.051), label
