"""The fusion engine: from donor microdata to implicates for a recipient.

`screening` chooses predictors and fusion order (a `specification.FusionPlan`), `training` fits the conditional
expectations (`boosting`) and the donor pools (`matching`) into a `modelset.ModelSet`, `fusing` predicts and draws
(`drawing`) for the recipient. `variables` says what kind of variable a column is and turns columns into features.
"""
