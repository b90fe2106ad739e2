"""The data dictionary of a survey-year as one HTML page: searched in the browser, with its harmonies side by side.

Belongs here: laying the dictionary out. Does not belong here: its content (`dictionary.py`, the harmony files). The
page needs nothing else: style and search are in it, and it holds no outside address. Same content, same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import pyarrow as pa

from fusion_pipeline.harmonize.definitions import Harmony
from fusion_pipeline.page import html_page, page_style
from fusion_pipeline.storage.atomic import atomic_file
from fusion_pipeline.surveys.dictionary_harmonies import Words, harmony_sections
from fusion_pipeline.text import as_text

VERSION = "3"
_LEVELS_SHOWN = 12
"""Levels beyond these fold away."""

_STYLE = page_style(
    """
.search + section h2 { border: 0; margin-top: .6rem; }
.source { color: var(--muted); margin: 0 0 1.2rem; }
.search { position: sticky; top: 0; z-index: 1; display: flex; gap: 1rem; align-items: center; padding: .8rem 0;
  background: #fff; border-bottom: 1px solid var(--line); }
.search input { flex: 1; max-width: 36rem; padding: .55rem .8rem; font: inherit; border: 1px solid #cbd2d9;
  border-radius: 6px; }
.search input:focus { outline: 2px solid var(--accent); border-color: transparent; }
.search output { color: var(--muted); font-size: .85rem; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; font-size: .86rem; }
th { text-align: left; color: var(--muted); font-weight: 600; border-bottom: 2px solid var(--line); }
th, td { padding: .5rem 1rem .5rem 0; vertical-align: top; overflow-wrap: anywhere; }
td { border-bottom: 1px solid var(--line); }
code { font: .86rem/1.4 ui-monospace, Menlo, Consolas, monospace; color: var(--accent); }
.raw, .universe { color: var(--muted); font-size: .8rem; display: block; }
.levels { margin: 0; padding: 0; list-style: none; } .levels li { padding: .05rem 0; }
details summary { color: var(--accent); cursor: pointer; }
.variables th:nth-child(1) { width: 17%; } .variables th:nth-child(2) { width: 32%; }
.variables th:nth-child(3) { width: 9%; } .variables th:nth-child(4) { width: 27%; }
.harmonies th:nth-child(1) { width: 14%; } .harmonies tr.head td { background: var(--soft); padding-left: .6rem; }
.none { display: none; } .nothing { color: var(--muted); padding: 1rem 0; }
@media (max-width: 45rem) {
  .variables thead { display: none; } .variables, .variables tbody, .variables tr, .variables td { display: block; }
  .variables tr { border-bottom: 1px solid var(--line); padding: .5rem 0; } .variables tr.none { display: none; }
  .variables td { border: 0; padding: .1rem 0; } .variables td:empty { display: none; }
  .harmonies th:nth-child(1) { width: 26%; } .harmonies td, .harmonies th { padding-right: .5rem; }
  .search { flex-wrap: wrap; gap: .3rem 1rem; } .search input { min-width: 0; flex-basis: 100%; }
}
@media print { .search { display: none; } body { max-width: none; padding: 0; } }
""",
    width="76rem",
    text="15px/1.5",
    below_title=".4rem",
    colours="--soft: #f2f8fb; ",
)

_SEARCH = """
const box = document.querySelector('input'), told = document.querySelector('output');
const rows = [...document.querySelectorAll('[data-text]')], nothing = document.querySelector('.nothing');
function search() {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
  const shown = {variable: 0, pair: 0}, all = {variable: 0, pair: 0};
  for (const row of rows) {
    const there = words.every(word => row.dataset.text.includes(word));
    row.classList.toggle('none', !there);
    const counted = row.dataset.kind === 'variable' || row.classList.contains('head');
    shown[row.dataset.kind] += there && counted;
    all[row.dataset.kind] += counted;
  }
  for (const section of document.querySelectorAll('section')) {
    section.classList.toggle('none', !section.querySelector('tbody tr:not(.none)'));
  }
  nothing.classList.toggle('none', rows.some(row => !row.classList.contains('none')));
  told.textContent = shown.variable + ' of ' + all.variable + ' variables' +
    (all.pair ? ', ' + shown.pair + ' of ' + all.pair + ' harmonies' : '');
}
box.addEventListener('input', search);
search();
""".strip()


def write_page(path: Path, page: str) -> str:
    """Write a page atomically, and give its digest."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(page.encode())
    return hashlib.sha256(page.encode()).hexdigest()[:32]


def page_of(
    title: str,
    source: str,
    dictionary: pa.Table,
    harmonies: Sequence[Harmony] = (),
    words: Words | None = None,
    *,
    files: Sequence[str] = (),
) -> str:
    """Lay the page out.

    Parameters
    ----------
    title, source : survey-year, and the publisher's codebook
    dictionary : as `dictionary.dictionary` makes it, of one or more kinds of records
    harmonies : those of the survey-year, whichever side of them it is
    words : descriptions of the variables on both sides of the harmonies, by survey and vintage
    files : names of the publisher's files, which tell their version
    """
    records: dict[str, list[Mapping[str, object]]] = {}
    for row in dictionary.to_pylist():
        records.setdefault(row["record"], []).append(row)
    parts = [_variables(kind, rows) for kind, rows in records.items()]
    parts += harmony_sections(harmonies, words or {})
    named = f" Files: {', '.join(files)}." if files else ""
    body = f"""<h1>{escape(title)}</h1>
<p class="source">{escape(source)}.{escape(named)}</p>
<div class="search"><input type="search" aria-label="Search" placeholder="Search names, descriptions, levels"
 autofocus><output></output></div>
{chr(10).join(parts)}
<p class="nothing none">Nothing found. Fewer or shorter words find more.</p>
<script>
{_SEARCH}
</script>"""
    return html_page(title, _STYLE, body)


def _variables(kind: str, rows: Sequence[Mapping[str, object]]) -> str:
    lines = "\n".join(_variable(row) for row in rows)
    head = "".join(
        f"<th>{name}</th>" for name in ("Variable", "Description", "Type", "Levels or range", "Weighted")
    )
    return (
        f'<section>\n<h2>{escape(kind.capitalize())}</h2>\n<table class="variables">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>\n</section>"
    )


def _variable(row: Mapping[str, object]) -> str:
    name, values = str(row["variable"]), str(row["values"] or "")
    kind = " ".join(str(row[part]) for part in ("type", "unit") if row[part])
    raw = f'<span class="raw">{escape(str(row["raw"]))}</span>' if row["raw"] else ""
    universe = f'<span class="universe">{escape(str(row["universe"]))}</span>' if row["universe"] else ""
    levels = values.split(" | ") if row["mode"] is not None else [values]
    cells = (
        f"<code>{escape(name)}</code>{raw}",
        escape(str(row["description"])) + universe,
        escape(kind),
        _folded(levels),
        _summary(row),
    )
    text = " ".join(str(row[part] or "") for part in ("variable", "raw", "description", "universe", "values"))
    opening = f'<tr data-kind="variable" data-text="{escape(text.lower(), quote=True)}">'
    return f"{opening}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _summary(row: Mapping[str, object]) -> str:
    if row["mode"] is not None:
        text = f"{float(str(row['mode_share'])):.0%} {escape(str(row['mode']))}"
    elif row["weighted_mean"] is not None and row["type"] != "identifier" and row["variable"] != "weight":
        text = f"mean {escape(as_text(row['weighted_mean']))}"
    else:
        text = ""
    missing = f'<span class="raw">{as_text(row["n_missing"])} missing</span>' if row["n_missing"] else ""
    drawn = f'<span class="raw">{as_text(row["n_imputed"])} imputed</span>' if row["n_imputed"] else ""
    asked = f'<span class="raw">{as_text(row["n_outside"])} not asked</span>' if row["n_outside"] else ""
    return text + asked + missing + drawn


def _folded(levels: Sequence[str]) -> str:
    items = [f"<li>{escape(level)}</li>" for level in levels if level]
    if len(items) <= _LEVELS_SHOWN:
        return f'<ul class="levels">{"".join(items)}</ul>'
    return (
        f'<details><summary>{len(items)} levels</summary><ul class="levels">{"".join(items)}</ul></details>'
    )
