"""How many harmonies a draft would have proposed: drafts of pairs that are harmonized, against their harmonies.

    python benchmarks/drafts.py

Recall: share of the harmonies' pairs of variables among the proposals. Precision: share of the proposals that are such,
and of those that a draft has first.
"""

from fusion_pipeline.harmonize import load_harmonies
from fusion_pipeline.harmonize.drafting import proposals
from fusion_pipeline.surveys.codebook import load_codebook

PAIRS = (
    ("RECS", "2015", "2015"),
    ("RECS", "2020", "2019"),
    ("NHTS", "2017", "2017"),
    ("AHS", "2019", "2019"),
    ("CEI", "2015-2019", "2019"),
)
LIKELY = 0.4
"""Alikeness of the proposals that stand first."""


def main() -> None:
    """Print a line for every pair, and for all."""
    totals = [0] * 6
    for survey, vintage, year in PAIRS:
        entries = load_harmonies(survey, vintage, year).entries.values()
        wanted = {(entry.donor.var, entry.recipient.var) for entry in entries}
        drafted = proposals(load_codebook(f"{survey.lower()}_{vintage}"), load_codebook(f"acs_{year}"))
        first = {(p.donor.name, p.recipient.name) for p in drafted}
        shown = first | {(p.donor.name, other.name) for p in drafted for other in p.others}
        likely = {(p.donor.name, p.recipient.name) for p in drafted if p.score >= LIKELY}
        counts = (
            len(first & wanted), len(wanted), len(first), len(shown & wanted), len(likely), len(likely & wanted),
        )  # fmt: skip
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        print(_line(f"{survey} {vintage}, ACS {year}", *counts))
    print(_line("all", *totals))


def _line(
    name: str, hits: int, harmonized: int, proposed: int, beside: int, likely: int, likely_hits: int
) -> str:
    return (
        f"{name}: {hits} of {harmonized} harmonies proposed (recall {hits / harmonized:.0%}), {beside} with the next "
        f"best beside them, {proposed} proposals (precision {hits / proposed:.0%}), {likely} of them of {LIKELY} and "
        f"more (precision {likely_hits / likely:.0%})"
    )


if __name__ == "__main__":
    main()
