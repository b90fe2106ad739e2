"""The map as a page: one HTML file with a drawing, a little script and nothing from elsewhere.

Belongs here: the body. Does not belong here: what is drawn (`choropleth.py`), the head (`fusion_pipeline/page.py`).
Look and behaviour are in `page.css` and `page.js`. Without scripts the two layers can still be switched, and a table
holds all numbers.

Text of the data is escaped wherever it stands, and the page forbids itself to load anything.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import numpy as np

from fusion_pipeline.geography.concordance import states
from fusion_pipeline.mapping.canvas import WIDTH, Sheet
from fusion_pipeline.mapping.choropleth import Choropleth, Layer
from fusion_pipeline.page import html_page

_FOLDER = Path(__file__).parent
_MANY = 400
"""Areas beyond which borders are hair lines."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_HATCH = (
    '<pattern id="nothing" width="36" height="36" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="36" height="36" fill="#eef0f2"/><rect width="9" height="36" fill="#b6bec7"/></pattern>'
)
_HOW = (
    "Point at an area, or move between areas with the arrow keys while the map has the focus; + and − zoom, "
    "0 shows all."
)


def page(chart: Choropleth) -> str:
    """Write the page of a map."""
    style = (_FOLDER / "page.css").read_text(encoding="utf-8") + _colours(chart)
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    keys = "".join(_key(layer) for layer in chart.layers)
    body = f"""<header>
<h1>{escape(chart.title)}</h1>
<p>{escape(chart.note)}</p>
</header>
<div class="bar">
<fieldset><legend>What the colours show</legend>
<label><input type="radio" name="layer" id="show-estimate" checked>Estimate</label>
<label><input type="radio" name="layer" id="show-margin">Margin of error</label>
</fieldset>
<div class="tools">
<input type="search" placeholder="Find an area" aria-label="Find an area">
<button type="button" id="nearer" aria-label="Zoom in">+</button>
<button type="button" id="farther" aria-label="Zoom out">−</button>
<button type="button" id="all">All</button>
</div>
</div>
<div class="sheet">
{_drawing(chart)}
<aside>
<section class="about" aria-live="polite"><h2>{escape(chart.estimate.title)} and margin</h2><p>{_HOW}</p></section>
{keys}
</aside>
</div>
<footer>
<p>{escape(chart.source)}</p>
<p>Fused records are true of populations, not of persons. Hatched: no estimate, or no margin.</p>
</footer>
{_table(chart)}
<script type="application/json" id="facts">{_facts(chart)}</script>
<script>
{script}</script>"""
    return html_page(chart.title, style, body, _POLICY)


def area_names(chart: Choropleth) -> list[str]:
    """Name every area; a PUMA's name is followed by its state and code."""
    names = []
    for area in chart.areas:
        state = states()[area.state]
        names.append(f"{area.name}, {state.usps} ({area.puma})" if area.puma else area.name)
    return names


def _drawing(chart: Choropleth) -> str:
    layers = [layer.classes for layer in chart.layers]
    areas = "\n".join(
        f'<path data-estimate="{first}" data-margin="{second}" d="{outline}"/>'
        for first, second, outline in zip(*layers, _outlines(chart.sheet), strict=True)
    )
    states_drawn = ""
    if chart.outlines is not None:
        paths = "\n".join(f'<path d="{outline}"/>' for outline in _outlines(chart.outlines))
        states_drawn = f'<g class="outlines">\n{paths}\n</g>'
    texts = "\n".join(f'<text x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>' for x, y, text in chart.labels)
    many = " many" if len(chart.areas) > _MANY else ""
    banded = " banded" if chart.banded else ""
    return f"""<svg class="map{banded}" viewBox="0 0 {WIDTH} {chart.sheet.height}" tabindex="0" role="application"
 aria-label="{escape(f"Map: {chart.title}. {_HOW}")}">
<defs>{_HATCH}</defs>
<g class="areas{many}" fill-rule="evenodd">
{areas}
</g>
{states_drawn}
{texts}
</svg>"""


def _outlines(sheet: Sheet) -> list[str]:
    return ["".join(_outline(ring) for ring in rings) for rings in sheet.rings]


def _outline(ring: np.ndarray) -> str:
    """Write a ring as an SVG path, in steps from point to point, which are shorter than places."""
    steps = " ".join(f"{x},{y}" for x, y in np.diff(ring, axis=0))
    return f"M{ring[0, 0]},{ring[0, 1]}l{steps}z"


def _colours(chart: Choropleth) -> str:
    rules = []
    for layer in chart.layers:
        for number, colour in enumerate(layer.shades):
            shown = f"body:has(#show-{layer.name}:checked)"
            rules.append(f'{shown} svg.map path[data-{layer.name}="{number}"] {{ fill: {colour}; }}')
    return "\n".join(rules)


def _key(layer: Layer) -> str:
    swatches = [
        (f'<rect width="40" height="26" fill="{colour}"/>', label)
        for colour, label in zip(layer.shades, layer.labels, strict=True)
    ]
    if (layer.classes < 0).any():
        swatches.append(('<rect width="40" height="26" fill="url(#nothing)"/>', layer.without))
    items = "".join(
        f'<li><svg viewBox="0 0 40 26" preserveAspectRatio="none" aria-hidden="true">{swatch}</svg>{escape(label)}</li>'
        for swatch, label in swatches
    )
    heading = f"{layer.title}, {layer.unit}" if layer.unit else layer.title
    return f'<section class="key {layer.name}"><h2>{escape(heading)}</h2><ul>{items}</ul></section>\n'


def _table(chart: Choropleth) -> str:
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>"
        for row in sorted(_rows(chart), key=lambda row: row[0])
        if row[1]
    )
    heads = ("area", "estimate", "± margin", "margin, % of the estimate", "n")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return (
        f'<details><summary>All numbers</summary>\n<div class="rows"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div></details>"
    )


def _rows(chart: Choropleth) -> list[tuple[str, ...]]:
    share = ["" if np.isnan(value) else f"{value:.0f}" for value in chart.margin.values]
    cells = chart.cells
    return list(zip(area_names(chart), cells["estimate"], cells["margin"], share, cells["n"], strict=True))


def _facts(chart: Choropleth) -> str:
    """Write what the script shows as JSON that no text of the data can end early."""
    text = json.dumps({"unit": chart.estimate.unit, "areas": _rows(chart)}, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
