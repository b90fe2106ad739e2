"""Maps of estimates and of their margins of error, by state or PUMA.

`boundaries` says where areas lie: read from the Census Bureau's cartographic files (`shapefile`), or a grid of tiles
(`tiles`). `canvas` projects them onto a sheet, `choropleth` joins them with estimates and makes classes, `png` and
`page` draw.
Does not belong here: estimates (`inference/`), figures that are no maps (`validation/figures.py`).
"""
