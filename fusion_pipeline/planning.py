"""The plan of a fusion pair: its fusion variables in order, each with its predictors, universe, price and rules.

Belongs here: what of the pair's entry in the registry its tables can carry, as a plan of the engine. Does not belong
here: choosing predictors and order (`fusion/screening.py`), the tables (`preparation.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from fusion_pipeline.fusion.constraints import constrain
from fusion_pipeline.fusion.rule_language import parse_condition, parse_rule, with_levels
from fusion_pipeline.fusion.screening import prepare
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep
from fusion_pipeline.harmonize.definitions import Harmony
from fusion_pipeline.preparation import Price, price_name
from fusion_pipeline.registry import FusionPair
from fusion_pipeline.storage.artefacts import PairTables

_log = logging.getLogger(__name__)


def plan_pair(
    pair: FusionPair, harmony: Harmony, prepared: PairTables, training: pa.Table, *, seed: int
) -> FusionPlan:
    """Screen predictors, choose the order, and add what the registry says of prices, universes and rules.

    Parameters
    ----------
    harmony : of one donor of the pair, whose groups the rules may name
    prepared : both sides of the pair
    training : what the models are fitted to (`preparation.training_table`)
    """
    there = training.column_names
    steps = [[name for name in ([s] if isinstance(s, str) else s.block) if name in there] for s in pair.fuse]
    plan = prepare(
        training,
        y=[step for step in steps if step],
        x=[name for name in prepared.recipient.columns if name not in ("year", "hid")],
        weight="weight",
        forced=[name for name in pair.forced if name in there],
        order=pair.order,
        seed=seed,
    )
    plan = add_price_steps(plan, pair.prices, there)
    plan = add_universes(plan, pair.universes, there)
    return constrain(plan, rules_at_hand(pair.rules, harmony, there), prepared.donor)


def add_price_steps(plan: FusionPlan, prices: Sequence[Price], table_columns: Sequence[str]) -> FusionPlan:
    """Append the price steps to a plan: a draw of the price where the quantity is positive, then the product.

    Outlying prices within the categories of `outliers_by`, if a price names it, are not used as donors, as in the
    reference's production runs. Predictors that the tables have not are left out; `absent_predictors` names them.
    """
    steps, products, internal = list(plan.steps), dict(plan.products), list(plan.internal)
    for price in prices:
        name = price_name(price.expenditure)
        if name not in table_columns:
            continue
        predictors = tuple(p for p in price.predictors if p in table_columns)
        group = price.outliers_by if price.outliers_by in table_columns else None
        steps.append(FusionStep((name,), predictors, universe=price.quantity, outliers_by=group))
        products[price.expenditure] = (name, price.quantity)
        internal.append(name)
    return replace(plan, steps=tuple(steps), products=products, internal=tuple(internal))


def add_universes(plan: FusionPlan, universes: Mapping[str, str], table_columns: Sequence[str]) -> FusionPlan:
    """Give the steps of a plan their universes, by variable, as far as the tables have what these read."""
    steps = []
    for step in plan.steps:
        condition = parse_condition(universes[step.name]) if step.name in universes else None
        if condition and set(condition.columns) <= set(table_columns):
            step = replace(step, universe=condition.text)
        steps.append(step)
    return replace(plan, steps=tuple(steps))


def rules_at_hand(rules: Sequence[str], harmony: Harmony, table_columns: Sequence[str]) -> tuple[str, ...]:
    """Give the rules of a pair that its tables can carry; groups of harmonized predictors by their numbers.

    What is left out is logged: a rule is about variables that the donors' files cannot give.
    """
    levels = {
        name: {group: str(number) for number, group in enumerate(entry.names, 1)}
        for name, entry in harmony.entries.items()
        if entry.names
    }
    kept = []
    for text in rules:
        rule = parse_rule(text)
        if absent := [name for name in (rule.variable, *rule.columns) if name not in table_columns]:
            _log.info("rule `%s` is left out: %s is not there", text, absent[0])
        else:
            kept.append(with_levels(text, levels))
    return tuple(kept)


def absent_predictors(
    forced: Sequence[str], prices: Sequence[Price], table_columns: Sequence[str]
) -> dict[str, str]:
    """Name the columns that a pair's plan asks for and its tables have not, and what happens without them."""
    absent = {name: "would be in every step" for name in forced if name not in table_columns}
    for price in prices:
        if price_name(price.expenditure) not in table_columns:
            continue
        for name in price.predictors:
            if name not in table_columns:
                absent.setdefault(name, f"would predict {price_name(price.expenditure)}")
        if price.outliers_by and price.outliers_by not in table_columns:
            absent.setdefault(price.outliers_by, "outlying prices stay among the donors without it")
    for name, consequence in absent.items():
        _log.info("predictor %s is not in this pair's tables: %s", name, consequence)
    return absent
