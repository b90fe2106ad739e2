"""The report of a fusion pair: one HTML file that needs nothing else.

Belongs here: laying out text, tables and figures. Does not belong here: their content (`marginals.py`,
`figures.py`, `inference`). No scripts, no outside address; the same content gives the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType

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
LONG_TABLE = 12
"""Rows beyond which a table folds away; beside a figure, which shows the same, it always does."""
_IDENTIFIERS = frozenset({"year", "hid", "pid", "state", *PUMAS, "implicate"})

_STYLE = page_style(
    """
p { margin: .6rem 0; max-width: 44rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem 1.5rem; margin: 0; }
dt { color: var(--muted); font-size: .8rem; }
dd { margin: 0; font-size: .95rem; font-weight: 600; overflow-wrap: break-word; }
.caution { margin: 2rem 0 0; padding: .8rem 1.1rem; max-width: none; border-left: 4px solid var(--accent);
  background: #f2f8fb; }
.headlines { margin-bottom: 2rem; } .headlines dd { font-size: 1.15rem; color: var(--accent); }
nav { margin: 1.5rem 0 0; font-size: .9rem; } nav a { color: var(--accent); }
nav ol { margin: .4rem 0 0; padding-left: 1.4rem; columns: 18rem; }
h3 { font-size: 1rem; margin: 2rem 0 .4rem; }
figure { margin: 1.5rem 0; } figcaption { max-width: 44rem; color: var(--muted); font-size: .9rem; }
img { display: block; max-width: 100%; height: auto; margin: 1rem 0 .4rem -1rem; }
summary { color: var(--accent); cursor: pointer; font-size: .9rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--muted); font-weight: 600; border-bottom: 2px solid var(--line); }
th, td { padding: .32rem 1.1rem .32rem 0; white-space: nowrap; }
td { border-bottom: 1px solid var(--line); } .number { text-align: right; }
@media print { body { max-width: none; padding: 0; } figure { break-inside: avoid; } nav { display: none; }
  details::details-content { content-visibility: visible; } summary { display: none; } }
""",
    width="56rem",
    text="16px/1.55",
    below_title="1.5rem",
)


@dataclass(frozen=True)
class Section:
    """A section of a report, or a part of one."""

    title: str
    """Heading of a section. A part has one only if it has no figure, which bears the title itself."""
    text: str = ""
    """Paragraphs, separated by blank lines."""
    figure: bytes | None = None
    """PNG."""
    table: pd.DataFrame | None = None
    parts: tuple[Section, ...] = ()
    """Shown below the rest; they have no parts of their own and are not among the contents."""


def write_report(
    path: Path,
    *,
    title: str,
    summary: Mapping[str, object],
    sections: Sequence[Section],
    headlines: Mapping[str, object] = MappingProxyType({}),
    caution: str = CAUTION,
) -> None:
    """Write a report to one self-contained HTML file, atomically.

    Parameters
    ----------
    title : str
        Such as the fusion pair.
    summary : mapping
        Label to value: what the report is about.
    sections : sequence of Section
    headlines : mapping
        Label to value: the figures to see first, shown large on top.
    caution : str
        What a reader must know before the numbers.

    Raises
    ------
    ValueError
        If a figure is not a PNG, or two sections have one title.
    StorageError
        If the file cannot be written; an earlier report stays.
    """
    page = _page(title, summary, sections, headlines, caution)
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _page(
    title: str,
    summary: Mapping[str, object],
    sections: Sequence[Section],
    headlines: Mapping[str, object],
    caution: str,
) -> str:
    titles = [section.title for section in sections]
    if twice := sorted({title for title in titles if titles.count(title) > 1}):
        raise ValueError(f"several sections are called {', '.join(twice)}")
    links = "\n".join(f'<li><a href="#s{i}">{escape(t)}</a></li>' for i, t in enumerate(titles, 1))
    shown = "\n".join(_section(i, section) for i, section in enumerate(sections, 1))
    body = f"""<header>
<h1>{escape(title)}</h1>
{_facts(headlines, ' class="headlines"') if headlines else ""}
{_facts(summary)}
<p class="caution">{escape(caution)}</p>
<nav>
<ol>
{links}
</ol>
</nav>
</header>
<main>
{shown}
</main>"""
    return html_page(title, _STYLE, body)


def _facts(named: Mapping[str, object], kind: str = "") -> str:
    entries = "\n".join(
        f"<div><dt>{escape(str(name))}</dt><dd>{escape(as_text(value))}</dd></div>"
        for name, value in named.items()
    )
    return f"<dl{kind}>\n{entries}\n</dl>"


def _section(number: int, section: Section) -> str:
    parts = [_part(part) for part in section.parts]
    opening = [f'<section id="s{number}">', f"<h2>{escape(section.title)}</h2>"]
    return "\n".join([*opening, *_content(section), *parts, "</section>"])


def _part(part: Section) -> str:
    heading = [f"<h3>{escape(part.title)}</h3>"] if part.figure is None else []
    return "\n".join([*heading, *_content(part)])


def _content(section: Section) -> list[str]:
    paragraphs = [f"<p>{escape(text.strip())}</p>" for text in section.text.split("\n\n") if text.strip()]
    table = [] if section.table is None else [_table(section.table, folded=section.figure is not None)]
    if section.figure is None:
        return [*paragraphs, *table]
    if not section.figure.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"the figure of section {section.title!r} is not a PNG")
    data = base64.b64encode(section.figure).decode("ascii")
    image = f'<img alt="{escape(section.title)}" src="data:image/png;base64,{data}">'
    caption = ["<figcaption>", *paragraphs, "</figcaption>"] if paragraphs else []
    return ["<figure>", image, *caption, "</figure>", *table]


def _table(frame: pd.DataFrame, *, folded: bool) -> str:
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
    table = (
        f'<div class="table"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )
    if not folded and len(frame) <= LONG_TABLE:
        return table
    return f"<details><summary>Table, {len(frame):,} rows</summary>\n{table}\n</details>"


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
