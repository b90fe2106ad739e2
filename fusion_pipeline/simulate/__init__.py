"""A population with known truth, written as raw files in each survey's public layout.

`simulate(out, pairs)` writes a mirror folder: the donors and ACS years that the pairs need, and the files that describe
places, each with the official names, codes, widths and blanks, and beside them the truth about every household.
Places (`place.py`) influence households (`population.py`), both influence energy (`energy.py`); two surveys
(`recs.py`, `acs.py`) draw independent samples (`sampling.py`) and ask their own questions.
"""

from fusion_pipeline.simulate.mirror import VERSION, simulate, simulate_folders

__all__ = ["VERSION", "simulate", "simulate_folders"]
