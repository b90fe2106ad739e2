"""Numbers and messages that the documents quote are those of the code."""

import re
from pathlib import Path

import pytest

from fusion_pipeline.fusion.boosting import Tuning
from fusion_pipeline.surveys.coding import _REMEDIES

DOCS = Path(__file__).parents[3] / "docs"


def words(name: str) -> str:
    return " ".join((DOCS / name).read_text().split())
