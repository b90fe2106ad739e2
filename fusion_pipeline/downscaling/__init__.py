"""Below the PUMA: households of a PUMA reweighted to the published tables of the small areas within it.

`tables.py` reads and checks the tables, `fitting.py` fits one PUMA, `downscale.py` goes through all PUMAs,
`results.py` is what was found, `estimating.py` makes estimates by small area, `pair.py` does all that for a fusion
pair, and `holdout.py` measures how well tables foretell what they do not count.
"""
