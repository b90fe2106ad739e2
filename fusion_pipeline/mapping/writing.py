"""Maps as files: `.png` or `.html`, by the ending.

Belongs here: choosing the drawing and writing it. Does not belong here: drawing (`png.py`, `page.py`).
"""

from __future__ import annotations

from pathlib import Path

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.mapping.choropleth import Choropleth
from fusion_pipeline.storage.atomic import atomic_file

FORMATS = (".png", ".html")


def write_map(path: Path, chart: Choropleth) -> Path:
    """Write a map: two panels as PNG, or a page on which one points at areas.

    Raises
    ------
    AnalysisError
        If the ending is neither `.png` nor `.html`.
    """
    if path.suffix not in FORMATS:
        raise AnalysisError(
            str(path), "has no ending known for maps.", f"Choose one of: {', '.join(FORMATS)}."
        )
    if path.suffix == ".png":
        from fusion_pipeline.mapping.png import draw

        content = draw(chart)
    else:
        from fusion_pipeline.mapping.page import page

        content = page(chart).encode()
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
    return path
