"""Below the PUMA: households of a PUMA reweighted to the published tables of the small areas within it.

`tables.py` reads and checks the tables, `households.py` the households, `fitting.py` fits one PUMA, `downscale.py` goes
through all PUMAs, `results.py` is what was found, `estimating.py` makes estimates by small area, `pair.py` does all
that for a fusion pair. `holdout.py` measures how well tables foretell what they do not count, `explaining.py` how much
of a variable they explain, and `beyond.py` makes of both what margins have to hold besides sampling.
"""
