"""How often 90 % margins cover the simulated truth, by size of area: `python benchmarks/margins.py`.

Needs the demo's run (`make demo`). Prints one row an area: estimates, share covered, and the share per variable.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from fusion_pipeline.estimating import estimate_pair
from fusion_pipeline.geography.concordance import add_areas
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef

PAIR = "RECS_2015__ACS_2015"
NUMERIC = ["btuel", "btung", "btulp", "btufo", "dollarel", "dollarng", "dollarlp", "dollarfo"]
CATEGORICAL = ["insec", "noheat", "noac", "cooltype"]
AREAS: dict[str, list[str]] = {
    "nation": [],
    "division": ["division"],
    "state": ["state"],
    "PUMA": ["state", "puma10"],
}


def main() -> None:
    """Compare estimates with the truth of the same households and print Markdown."""
    layout = Layout(load_settings(source="simulated").root)
    if not layout.implicates(PAIR).is_dir():
        sys.exit("The demo has not run here: `make demo` first.")
    households = _households(layout)
    header = ["area", "estimates", "covered", *NUMERIC, *CATEGORICAL]
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for area, by in AREAS.items():
        compared = _compare(layout, households, by)
        shares = compared.groupby("variable")["covered"].mean()
        cells = [f"{shares[v]:.2f}" for v in (*NUMERIC, *CATEGORICAL)]
        print(f"| {area} | {len(compared):,} | {compared['covered'].mean():.3f} | {' | '.join(cells)} |")


def _households(layout: Layout) -> pd.DataFrame:
    acs = TableRef(layout.table(("acs", "households"), "2015"))
    frame = add_areas(acs.read(["hid", "weight", "state", "puma10"])).to_pandas()
    truth = pd.read_parquet(Path(layout.simulated_raw, "truth", "acs_2015.parquet"))
    return frame.merge(truth.drop(columns=["state", "puma10"]), on="hid", validate="one_to_one")


def _compare(layout: Layout, households: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    texts = [f"mean({v})" for v in NUMERIC] + [f"proportion({v})" for v in CATEGORICAL]
    estimates = estimate_pair(PAIR, layout, texts, by).table
    indicators = {(v, None): households[v].to_numpy(float) for v in NUMERIC} | {
        (v, level): (households[v].astype(str) == level).to_numpy(float)
        for v in CATEGORICAL
        for level in {
            *households[v].astype(str),
            *estimates.loc[estimates["variable"] == v, "level"].dropna(),
        }
    }
    keys = [households[c].astype(str) for c in by] or [pd.Series("", index=households.index)]
    weight = households["weight"].to_numpy(float)
    total = pd.Series(weight).groupby([k.to_numpy() for k in keys]).sum()
    truth = {}
    for (variable, level), values in indicators.items():
        means = pd.Series(weight * values).groupby([k.to_numpy() for k in keys]).sum() / total
        for key, mean in means.items():
            truth[(*(key if isinstance(key, tuple) else (key,)), variable, level)] = mean
    places = estimates[by].astype(str).to_numpy() if by else np.full((len(estimates), 1), "")
    levels = [level if isinstance(level, str) else None for level in estimates["level"]]
    rows = zip(places, estimates["variable"], levels, strict=True)
    expected = np.array([truth[(*place, variable, level)] for place, variable, level in rows])
    covered = np.abs(estimates["estimate"] - expected) <= estimates["margin"]
    return estimates.assign(covered=covered)


if __name__ == "__main__":
    main()
