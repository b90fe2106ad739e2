"""How figures look: one canvas, one palette, one place for title, unit and source.

Belongs here: drawing surface and bytes. Does not belong here: what is drawn (`figures.py`). Figures are made
without pyplot, which keeps state and windows; the same input gives the same bytes.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DONOR, FUSED, ALERT = "#9aa5b1", "#0b6e99", "#c8553d"
WHISKER = "#8fbfd3"
INK, MUTED, LINE = "#1f2933", "#616e7c", "#e4e7eb"
DPI = 100
MAX_BYTES = 50_000
"""Figures are stored with every materialization in the event log."""

_SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#cbd2d9",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "legend.frameon": False,
}


TITLE_SIZE, SMALLEST_TITLE = 12, 8.5
"""Points; a long title is set smaller, goes on in a second line, and is cut when it is longer still."""
TITLE_SIGNS = 9.5
"""Characters an inch of a title of the full size."""
SECOND_LINE = 0.2
"""Inches by which a title's second line moves down what is below it."""


class Canvas:
    """A figure with title, subtitle and source, whose margins are given in inches.

    Use as a context manager: matplotlib's settings hold inside only.
    """

    def __init__(
        self, title: str, subtitle: str, source: str, *, width: float = 7.2, height: float = 3.6
    ) -> None:
        self.title, self.subtitle, self.source = title, subtitle, source
        fitting = TITLE_SIZE * width * TITLE_SIGNS / len(title or " ")
        self._size = min(TITLE_SIZE, max(SMALLEST_TITLE, fitting))
        self._heading = wrapped(title, int(TITLE_SIZE / self._size * width * TITLE_SIGNS)).split("\n")
        self._lower = SECOND_LINE * (len(self._heading) - 1)
        self.width, self.height = width, height + self._lower

    def __enter__(self) -> Canvas:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._context: Any = mpl.rc_context(_SETTINGS)  # type: ignore[arg-type]
        self._context.__enter__()
        self.figure: Figure = Figure(figsize=(self.width, self.height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        for line, text in enumerate(self._heading):
            self._write(text, 0.24 + line * SECOND_LINE, size=self._size, weight="bold")
        self._write(self.subtitle, 0.47 + self._lower, color=MUTED)
        self._write(self.source, self.height - 0.12, color=MUTED, size=7.5)
        return self

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(*error)

    def axes(
        self,
        *,
        left: float = 0.65,
        right: float = 0.2,
        top: float = 0.75,
        bottom: float = 0.75,
        **options: Any,
    ) -> Axes:
        """Add axes with these margins to the figure's edges, in inches."""
        box = (
            left / self.width,
            bottom / self.height,
            (self.width - left - right) / self.width,
            (self.height - self._lower - top - bottom) / self.height,
        )
        return self.figure.add_axes(box, **options)

    def png(self, *, dpi: int = DPI, logged: bool = True, keep: Sequence[str] = ()) -> bytes:
        """Render to PNG.

        Parameters
        ----------
        dpi : dots an inch
        logged : kept in the event log, for which full colour would be too large: a palette is used, and a figure beyond
            `MAX_BYTES` is an error
        keep : colours that the palette has to have exactly, such as those of a legend
        """
        from PIL import Image, ImageColor

        buffer = io.BytesIO()
        # Without the version of matplotlib, which would change the bytes with every release.
        self.figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        if not logged:
            return buffer.getvalue()
        full = Image.open(buffer).convert("RGB")
        image = full.quantize(colors=128, dither=Image.Dither.NONE)
        if keep:
            palette = Image.new("P", (1, 1))
            exact = [part for colour in keep for part in ImageColor.getrgb(colour)]
            palette.putpalette([*exact, *(image.getpalette() or [])[: 3 * 128]])
            image = full.quantize(palette=palette, dither=Image.Dither.NONE)
        small = io.BytesIO()
        image.save(small, format="PNG", optimize=True)
        if small.tell() >= MAX_BYTES:
            raise ValueError(f"figure {self.title!r} takes {small.tell():,} bytes; draw fewer items")
        return small.getvalue()

    def _write(self, text: str, down: float, **style: Any) -> None:
        self.figure.text(0.16 / self.width, 1 - down / self.height, text, ha="left", va="baseline", **style)


def shortened(text: str, most: int = 34) -> str:
    """Shorten a label to fit beside an axis."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def wrapped(text: str, width: int = 34) -> str:
    """Break a label into at most two lines."""
    lines = textwrap.wrap(text, width) or [""]
    return "\n".join(lines if len(lines) <= 2 else [lines[0], shortened(" ".join(lines[1:]), width)])


def label_margin(labels: list[str]) -> float:
    """Inches that labels need to the left of an axis."""
    longest = max((len(line) for label in labels for line in label.splitlines()), default=0)
    return 0.35 + 0.072 * longest
