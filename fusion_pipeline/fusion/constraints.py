"""Constraints of a plan: rules added to it and checked against a donor before anything is trained.

Belongs here: `constrain`. Does not belong here: the language (`rule_language.py`), obeying rules (`enforcing.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion import variables
from fusion_pipeline.fusion.arguments import listed
from fusion_pipeline.fusion.rule_language import parse_rule
from fusion_pipeline.fusion.rules import broken, table_lookup
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.storage.tables import TableRef

log = logging.getLogger(__name__)


def constrain(
    plan: FusionPlan, rules: Sequence[str], donor: pd.DataFrame | pa.Table | TableRef
) -> FusionPlan:
    """Add rules to a plan that every implicate is to obey.

    Parameters
    ----------
    plan : FusionPlan
    rules : sequence of str
        In the language of `fusion.rule_language`: structural zeros, bounds (constants or columns of the recipient),
        levels.
    donor : frame, table or handle
        The donor that the plan is for. Columns that only the recipient has are checked when it is fused.

    Returns
    -------
    FusionPlan

    Raises
    ------
    TrainingError
        If a rule is not in the language, contradicts the order of the plan or a column's kind or levels, or is broken
        by every donor it binds.

    Notes
    -----
    Rules change no model and no draw that obeys them: a value that breaks its rule is drawn again from what is
    allowed. So the models must know what a rule asks: a condition on a column of the donor that is neither predictor of
    its step nor fused before is warned of, because then too many values are drawn again, and their mean moves.
    Donors that break a rule are counted in the log; they are never drawn where it applies.

    Examples
    --------
    >>> import fusion_pipeline as fp
    >>> donor, recipient = fp.example_tables()
    >>> plan = fp.FusionPlan.chained(["size", "fuel"], ["group", "income", "tenure"], "weight")
    >>> plan = fp.constrain(plan, ["size >= 40", 'fuel == 0 if group == "a"'], donor)
    >>> plan.rules
    ('size >= 40', 'fuel == 0 if group == "a"')
    """
    rules = listed("constrain, rules", rules, TrainingError)
    constrained = replace(plan, rules=(*plan.rules, *rules))
    present = set(variables.column_names(donor, "donor", TrainingError))
    for rule in [parse_rule(text) for text in rules]:
        if not {rule.variable, *rule.columns} <= present:
            continue
        step = next(step for step in plan.steps if rule.variable in step.variables)
        asked = rule.condition.columns if rule.condition else ()
        if unseen := [c for c in asked if c not in step.predictors and c not in step.variables]:
            log.warning(
                "rule `%s` asks for %s, which step %s does not predict from, so its values are distorted: "
                "add it to the predictors",
                rule.text,
                ", ".join(unseen),
                step.name,
            )
        table = variables.as_table(donor, [rule.variable, *rule.columns], "donor", TrainingError)
        lookup = table_lookup(table, "donor", TrainingError)
        rule.check(lambda name, lookup=lookup: lookup(name)[1])  # type: ignore[misc]
        count = broken([rule], lookup)[rule.text]
        bound = min(table.num_rows, int(rule.applies(lookup).sum()) if rule.condition else table.num_rows)
        if count and count == bound:
            raise TrainingError(
                f"rule `{rule.text}`",
                f"is broken by all {count} donors it binds.",
                "Correct the rule: no donor could be drawn where it applies.",
            )
        if count:
            log.warning("rule `%s` is broken by %d of %d donors it binds", rule.text, count, bound)
    return constrained
