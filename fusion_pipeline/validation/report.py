"""The report of a fusion pair: one HTML file that needs nothing else.

Belongs here: laying out text, tables and figures. Does not belong here: their content (`marginals.py`,
`figures.py`, `inference`). No scripts, no outside address; the same content gives the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from operator import itemgetter
from pathlib import Path

import pandas as pd

from fusion_pipeline.geography.pumas import PUMAS
from fusion_pipeline.page import html_page, page_style
from fusion_pipeline.storage.atomic import atomic_file
from fusion_pipeline.text import as_text

CAUTION = (
    "Fused records are true of populations, not of persons. Each fused value is a draw from what similar donor "
    "households reported; no household in this file reported it. Use means, shares and totals of groups, over "
    "all implicates and with their margins of error. Relations between variables that come from different "
    "donors rest on the assumption that they are independent given the harmonized predictors."
)
_IDENTIFIERS = frozenset({"year", "hid", "pid", "state", *PUMAS, "implicate"})

_STYLE = page_style(
    """
p { margin: .6rem 0; max-width: 44rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem 1.5rem; margin: 0; }
dt { color: var(--muted); font-size: .8rem; }
dd { margin: 0; font-size: .95rem; font-weight: 600; overflow-wrap: break-word; }
.caution { margin: 2rem 0 0; padding: .8rem 1.1rem; max-width: none; border-left: 4px solid var(--accent);
  background: #f2f8fb; }
nav { margin: 1.5rem 0 0; font-size: .9rem; } nav a { color: var(--accent); margin-right: 1.2rem; }
img { display: block; max-width: 100%; height: auto; margin: 1rem 0 1rem -1rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--muted); font-weight: 600; border-bottom: 2px solid var(--line); }
th, td { padding: .32rem 1.1rem .32rem 0; white-space: nowrap; }
td { border-bottom: 1px solid var(--line); } .number { text-align: right; }
@media print { body { max-width: none; padding: 0; } section { break-inside: avoid; } nav { display: none; } }
""",
    width="56rem",
    text="16px/1.55",
    below_title="1.5rem",
)


@dataclass(frozen=True)
class Section:
    """One part of a report."""

    title: str
    text: str = ""
    """Paragraphs, separated by blank lines."""
    figure: bytes | None = None
    """PNG."""
    table: pd.DataFrame | None = None


def write_report(
    path: Path,
    *,
    title: str,
    summary: Mapping[str, object],
    sections: Sequence[Section],
    caution: str = CAUTION,
) -> None:
    """Write a report to one self-contained HTML file, atomically.

    Parameters
    ----------
    title : str
        Such as the fusion pair.
    summary : mapping
        Label to value, shown on top.
    sections : sequence of Section
    caution : str
        What a reader must know before the numbers.

    Raises
    ------
    ValueError
        If a figure is not a PNG.
    StorageError
        If the file cannot be written; an earlier report stays.
    """
    page = _page(title, summary, sections, caution)
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _page(title: str, summary: Mapping[str, object], sections: Sequence[Section], caution: str) -> str:
    facts = "\n".join(
        f"<div><dt>{escape(str(k))}</dt><dd>{escape(as_text(v))}</dd></div>" for k, v in summary.items()
    )
    first = {s.title: i for i, s in reversed(list(enumerate(sections, 1)))}
    links = "\n".join(f'<a href="#s{i}">{escape(t)}</a>' for t, i in sorted(first.items(), key=itemgetter(1)))
    parts = "\n".join(_section(i, s) for i, s in enumerate(sections, 1))
    body = f"""<header>
<h1>{escape(title)}</h1>
<dl>
{facts}
</dl>
<p class="caution">{escape(caution)}</p>
<nav>
{links}
</nav>
</header>
<main>
{parts}
</main>"""
    return html_page(title, _STYLE, body)


def _section(number: int, section: Section) -> str:
    parts = [f'<section id="s{number}">', f"<h2>{escape(section.title)}</h2>"]
    parts += [f"<p>{escape(text.strip())}</p>" for text in section.text.split("\n\n") if text.strip()]
    if section.figure is not None:
        if not section.figure.startswith(b"\x89PNG\r\n\x1a\n"):
            raise ValueError(f"the figure of section {section.title!r} is not a PNG")
        data = base64.b64encode(section.figure).decode("ascii")
        parts.append(f'<img alt="{escape(section.title)}" src="data:image/png;base64,{data}">')
    if section.table is not None:
        parts.append(_table(section.table))
    return "\n".join([*parts, "</section>"])


def _table(frame: pd.DataFrame) -> str:
    numeric = [_is_number(frame[name]) for name in frame.columns]
    plain = [str(name) in _IDENTIFIERS for name in frame.columns]
    kinds = [' class="number"' if n else "" for n in numeric]
    head = "".join(
        f"<th{kind}>{escape(str(name).replace('_', ' '))}</th>"
        for kind, name in zip(kinds, frame.columns, strict=True)
    )
    rows = [
        "<tr>"
        + "".join(
            f"<td{kind}>{escape(str(value) if as_is and not pd.isna(value) else as_text(value))}</td>"
            for kind, as_is, value in zip(kinds, plain, row, strict=True)
        )
        + "</tr>"
        for row in frame.itertuples(index=False, name=None)
    ]
    body = "\n".join(rows)
    return (
        f'<div class="table"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
