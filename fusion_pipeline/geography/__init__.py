"""Place: which PUMAs lie where, what is known of each, and in which one a donor household probably lives.

Belongs here: the PUMA concordance (`concordance.py`), spatial predictors (`predictors.py`, from
`summaries.py` and `dataset_summaries.py`), donor PUMA imputation (`puma_imputation.py`, with `candidates.py` and
`area_effects.py`); state facts in `states.csv`. Does not belong here: harmonized predictors, fusion.
"""
