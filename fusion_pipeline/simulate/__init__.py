"""A population with known truth, written as raw files in each survey's public layout.

`simulate(out)` writes a mirror folder: RECS 2015, the ACS of every year that a pair fuses onto, and the files that
describe places, each with the official names, codes, widths and blanks, and beside them the truth about every
household.
Places (`place.py`) influence households (`population.py`), both influence energy (`energy.py`); two surveys
(`recs.py`, `acs.py`) draw independent samples (`sampling.py`) and ask their own questions.
"""

from fusion_pipeline.simulate.mirror import VERSION, simulate

__all__ = ["VERSION", "simulate"]
