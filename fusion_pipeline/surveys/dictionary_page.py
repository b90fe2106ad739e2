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

from fusion_pipeline.harmonize.definitions import Entry, Harmony, Interval, Side
from fusion_pipeline.page import html_page, page_style
from fusion_pipeline.storage.atomic import atomic_file
from fusion_pipeline.text import as_text

VERSION = "1"
_LEVELS_SHOWN = 12
"""Levels beyond these fold away."""

_STYLE = page_style(
    """
.search + h2 { border: 0; margin-top: .6rem; }
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
.none { display: none; }
@media print { .search { display: none; } body { max-width: none; padding: 0; } }
""",
    width="76rem",
    text="15px/1.5",
    below_title=".4rem",
    colours="--soft: #f2f8fb; ",
)

_SEARCH = """
const box = document.querySelector('input'), told = document.querySelector('output');
const rows = [...document.querySelectorAll('[data-text]')];
function search() {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const there = words.every(word => row.dataset.text.includes(word));
    row.classList.toggle('none', !there);
    shown += there && row.dataset.kind === 'variable';
  }
  told.textContent = shown + ' of ' + rows.filter(row => row.dataset.kind === 'variable').length + ' variables';
}
box.addEventListener('input', search);
search();
""".strip()


def write_page(
    path: Path, title: str, source: str, dictionary: pa.Table, harmonies: Sequence[Harmony] = ()
) -> str:
    """Write the page, atomically.

    Parameters
    ----------
    title, source : survey-year, and the publisher's codebook
    dictionary : as `dictionary.dictionary` makes it, of one or more kinds of records
    harmonies : those whose donor the survey-year is

    Returns
    -------
    Digest of the page.
    """
    page = page_of(title, source, dictionary, harmonies).encode()
    with atomic_file(path) as temporary:
        temporary.write_bytes(page)
    return hashlib.sha256(page).hexdigest()[:32]


def page_of(title: str, source: str, dictionary: pa.Table, harmonies: Sequence[Harmony] = ()) -> str:
    """Lay the page out; parameters as in `write_page`."""
    records: dict[str, list[Mapping[str, object]]] = {}
    for row in dictionary.to_pylist():
        records.setdefault(row["record"], []).append(row)
    parts = [_variables(kind, rows) for kind, rows in records.items()]
    parts += [_harmony(harmony) for harmony in harmonies]
    body = f"""<h1>{escape(title)}</h1>
<p class="source">{escape(source)}</p>
<div class="search"><input type="search" aria-label="Search" placeholder="Search names, descriptions, levels"
 autofocus><output></output></div>
{chr(10).join(parts)}
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
        f'<h2>{escape(kind.capitalize())}</h2>\n<table class="variables">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"
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
    return f"{_row('variable', text)}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _summary(row: Mapping[str, object]) -> str:
    if row["mode"] is not None:
        text = f"{float(str(row['mode_share'])):.0%} {escape(str(row['mode']))}"
    elif row["weighted_mean"] is not None and row["type"] != "identifier":
        text = f"mean {escape(as_text(row['weighted_mean']))}"
    else:
        text = ""
    missing = f'<span class="raw">{as_text(row["n_missing"])} missing</span>' if row["n_missing"] else ""
    return text + missing


def _folded(levels: Sequence[str]) -> str:
    items = [f"<li>{escape(level)}</li>" for level in levels if level]
    if len(items) <= _LEVELS_SHOWN:
        return f'<ul class="levels">{"".join(items)}</ul>'
    return (
        f'<details><summary>{len(items)} levels</summary><ul class="levels">{"".join(items)}</ul></details>'
    )


def _harmony(harmony: Harmony) -> str:
    donor, recipient = (f"{s.survey} {s.vintage}" for s in (harmony.donor, harmony.recipient))
    lines = "\n".join(_pair(name, entry) for name, entry in sorted(harmony.entries.items()))
    return (
        f"<h2>In common with {escape(recipient)}</h2>\n"
        f'<table class="harmonies">\n<thead><tr><th></th><th>{escape(donor)}</th><th>{escape(recipient)}</th></tr>'
        f"</thead>\n<tbody>\n{lines}\n</tbody>\n</table>"
    )


def _pair(name: str, entry: Entry) -> str:
    sides = (entry.donor, entry.recipient)
    rows = [["", *(f"<code>{escape(side.var)}</code>{_made(side)}" for side in sides)]]
    for group in dict.fromkeys(number for side in sides for number in side.groups):
        rows.append([escape(entry.names[group - 1]), *(escape(_group(side, group)) for side in sides)])
    text = " ".join([name, *(_group(side, group) for side in sides for group in side.groups)])
    tags = [_row("pair", text, "head"), *(_row("pair", text) for _ in rows[1:])]
    return "\n".join(
        f"{tag}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for tag, cells in zip(tags, rows, strict=True)
    )


def _made(side: Side) -> str:
    parts = [side.expr or "", f"{side.agg} of persons" if side.agg else ""]
    said = ", ".join(part for part in parts if part)
    return f'<span class="raw">{escape(said)}</span>' if said else ""


def _group(side: Side, group: int) -> str:
    if side.map is not None:
        return "; ".join(side.map.get(group, ()))
    return ", ".join(_interval(interval) for interval in (side.bins or {}).get(group, ()))


def _interval(interval: Interval) -> str:
    low, high = interval
    if low is None:
        return f"below {as_text(high)}"
    return f"{as_text(low)} or more" if high is None else f"{as_text(low)} to under {as_text(high)}"


def _row(kind: str, text: str, style: str = "") -> str:
    named = f' class="{style}"' if style else ""
    return f'<tr{named} data-kind="{kind}" data-text="{escape(text.lower(), quote=True)}">'
