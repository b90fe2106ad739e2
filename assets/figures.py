"""Figures and tables as Dagster metadata: the UI renders Markdown with inline PNGs.

Belongs here: the wrapping. Does not belong here: drawing (`fusion_pipeline/validation/figures.py`).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg
import pandas as pd

from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.text import as_text


def image(*pngs: bytes) -> dg.MarkdownMetadataValue:
    """Show PNGs one below the other. They live in the event log: keep each below 50 kB."""
    encoded = (base64.b64encode(png).decode() for png in pngs)
    return dg.MetadataValue.md("\n\n".join(f"![figure](data:image/png;base64,{text})" for text in encoded))


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """Show rows as a Markdown table; marks and line breaks in a cell end no cell."""
    lines = [headings, ["---"] * len(headings), *rows]
    cells = ([" ".join(str(cell).split()).replace("|", "\\|") for cell in line] for line in lines)
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(line)} |" for line in cells))


def plan_table(plan: FusionPlan) -> dg.MarkdownMetadataValue:
    """Show the steps of a fusion plan."""
    rows = [
        (number, step.name, step.universe or "", len(step.predictors), ", ".join(step.predictors))
        for number, step in enumerate(plan.steps, start=1)
    ]
    return markdown_table(("step", "fused", "where positive", "predictors", "names"), rows)


def reasons(left_out: Mapping[str, str]) -> dg.MarkdownMetadataValue:
    """Show what was left out, by name, and why."""
    return markdown_table(("left out", "why"), left_out.items() or [("nothing", "")])


def frame_table(frame: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """Show a small frame."""
    rows = [[as_text(value) for value in row] for row in frame.itertuples(index=False)]
    return markdown_table([str(column) for column in frame.columns], rows)
