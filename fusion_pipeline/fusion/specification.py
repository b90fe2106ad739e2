"""What is fused, in which order, from which predictors: the plan of a fusion pair.

Belongs here: the plan, its consistency, its JSON form. Does not belong here: how a plan is found
(`screening.py`) or carried out (`training.py`, `fusing.py`).

A step fuses one variable, or a block of variables that always come from one and the same donor. Steps are taken
in order, and what was fused may be a predictor afterwards (chained fusion; Ummel et al. 2024, "General strategy").
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion.arguments import listed, text
from fusion_pipeline.fusion.rule_language import parse_condition, parse_rule
from fusion_pipeline.fusion.rules import Condition, Rule

IMPLICATE = "implicate"
"""Column of fused tables with the number of the implicate."""
DONOR_WEIGHT = "donor weight"
"""How the columns of a model set's donors begin that have weights."""


@dataclass(frozen=True)
class FusionStep:
    """One step of the fusion order.

    Parameters
    ----------
    variables : tuple of str
        The fusion variable; more than one make a block.
    predictors : tuple of str
        Harmonized and spatial predictors, and fusion variables of earlier steps.
    universe : str, optional
        A condition (`rule_language.py`) on columns of the recipient and fusion variables of earlier steps, such as
        ``"fuel"`` (it is positive) or ``'tenure == "rent"'``: the step is trained and fused only where it is true.
        Elsewhere a number is 0. What is missing is not known to be true.
    outside : str, optional
        The level that a category (every category of a block) has outside its universe.
    outliers_by : str, optional
        A categorical column of the donor. Within its groups, donors whose value is a local outlier are not used.

    Examples
    --------
    >>> FusionStep(("share_1", "share_2"), ("income",)).is_block
    True
    """

    variables: tuple[str, ...]
    predictors: tuple[str, ...]
    universe: str | None = None
    outliers_by: str | None = None
    outside: str | None = None

    @cached_property
    def condition(self) -> Condition | None:
        """The universe, parsed."""
        return None if self.universe is None else parse_condition(self.universe)

    @property
    def name(self) -> str:
        """Name of the step in messages and random streams."""
        return "+".join(self.variables)

    @property
    def is_block(self) -> bool:
        """Whether several variables come from one donor."""
        return len(self.variables) > 1


@dataclass(frozen=True)
class FusionPlan:
    """Steps in fusion order.

    Parameters
    ----------
    steps : tuple of FusionStep
    weight : str, optional
        Column of donor weights; without it every donor counts the same.
    products : mapping of str to (str, str)
        Variables computed after drawing as the product of two fused ones, such as
        ``{"dollarel": ("price_dollarel", "btuel")}``. They may be predictors of later steps.
    internal : tuple of str
        Fusion variables that are not written out, such as ``price_dollarel``.
    rules : tuple of str
        What must be true of every fused record, in the language of `rule_language.py`: bounds, levels, structural
        zeros. They change no model and no draw that obeys them (`constraints.constrain` checks them against a donor).

    Raises
    ------
    TrainingError
        If the plan contradicts itself; the message names step and column.

    Examples
    --------
    >>> plan = FusionPlan.chained(["size", ["share_1", "share_2"]], ["group", "income"], "weight")
    >>> plan.steps[1].predictors, plan.predictors
    (('group', 'income', 'size'), ('group', 'income'))
    """

    steps: tuple[FusionStep, ...]
    weight: str | None = None
    products: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    internal: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.steps:
            raise TrainingError("fusion plan", "has no steps.", "Name at least one fusion variable.")
        if self.weight is not None:
            text("fusion plan, weight", self.weight, TrainingError)
        for step in self.steps:
            listed(f"fusion plan, step {step.variables!r}, variables", step.variables, TrainingError)
        drawn = [v for step in self.steps for v in step.variables]
        everything = [*drawn, *self.products]
        if repeated := sorted({v for v in everything if everything.count(v) > 1}):
            raise TrainingError(
                f"fusion plan, variable {repeated[0]}", "is fused twice.", "List every fusion variable once."
            )
        if reserved := [v for v in everything if v == IMPLICATE or v.startswith(DONOR_WEIGHT)]:
            raise TrainingError(
                f"fusion plan, variable {reserved[0]}",
                "has a name that fused tables and model sets use themselves.",
                "Rename it in the donor.",
            )
        if unknown := [v for v in self.internal if v not in everything]:
            raise TrainingError(
                f"fusion plan, internal variable {unknown[0]}", "is not fused.", "Correct `internal`."
            )
        for product, factors in self.products.items():
            if unknown := [f for f in factors if f not in drawn]:
                raise TrainingError(
                    f"fusion plan, product {product}",
                    f"needs {unknown[0]}, which no step fuses.",
                    "Add a step for it, or correct `products`.",
                )
        if self.weight in everything:
            raise TrainingError(
                f"fusion plan, weight {self.weight}",
                "is fused too.",
                "Name another column of weights, or none.",
            )
        for position, step in enumerate(self.steps):
            self._check_step(position, step, everything)
        for rule in self.parsed_rules:
            self._check_rule(rule, everything)

    @cached_property
    def parsed_rules(self) -> tuple[Rule, ...]:
        """The rules, parsed."""
        return tuple(parse_rule(text) for text in self.rules)

    def rules_of(self, step: FusionStep) -> tuple[Rule, ...]:
        """Return the rules on variables of a step."""
        return tuple(rule for rule in self.parsed_rules if rule.variable in step.variables)

    @property
    def variables(self) -> tuple[str, ...]:
        """Output columns in fusion order; a product follows the step that completes its factors."""
        return tuple(v for v in self.known_after(len(self.steps)) if v not in self.internal)

    def known_after(self, steps: int) -> tuple[str, ...]:
        """Return the variables that have fused values once that many steps are done, in order."""
        known: list[str] = []
        for step in self.steps[:steps]:
            known += step.variables
            known += self._completed(step, known)
        return tuple(known)

    def products_after(self, position: int) -> tuple[str, ...]:
        """Return the products that the step at `position` completes."""
        step = self.steps[position]
        return tuple(self._completed(step, (*self.known_after(position), *step.variables)))

    @property
    def predictors(self) -> tuple[str, ...]:
        """Columns the recipient must have: all predictors that are not fused, in order of first use."""
        fused = self.known_after(len(self.steps))
        return tuple(dict.fromkeys(p for step in self.steps for p in step.predictors if p not in fused))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Columns that universes and rules read from the recipient, predictors or not, in order of first use."""
        fused = self.known_after(len(self.steps))
        used = [column for step in self.steps if step.condition for column in step.condition.columns]
        used += [column for rule in self.parsed_rules for column in rule.columns]
        return tuple(dict.fromkeys(column for column in used if column not in fused))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values; what a plan does not use is left out."""
        raw = asdict(self)
        for step in raw["steps"]:
            if step["outside"] is None:
                del step["outside"]
        if not self.rules:
            del raw["rules"]
        return raw

    def to_json(self) -> str:
        """Return the plan as JSON."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> FusionPlan:
        """Read what `to_json` wrote."""
        raw = json.loads(text)
        steps = tuple(
            FusionStep(
                tuple(s["variables"]),
                tuple(s["predictors"]),
                s["universe"],
                s["outliers_by"],
                s.get("outside"),
            )
            for s in raw["steps"]
        )
        products = {name: (first, second) for name, (first, second) in raw["products"].items()}
        return cls(steps, raw["weight"], products, tuple(raw["internal"]), tuple(raw.get("rules", ())))

    @classmethod
    def chained(
        cls, y: Sequence[str | Sequence[str]], x: Sequence[str], weight: str | None = None
    ) -> FusionPlan:
        """Fuse `y` in the order given; every step uses all of `x` and everything fused before.

        Raises
        ------
        TrainingError
            As `blocks` and `harmonized` do.
        """
        steps: list[FusionStep] = []
        earlier: list[str] = []
        found = blocks(y)
        x = harmonized(x, found)
        for variables in found:
            steps.append(FusionStep(variables, (*x, *earlier)))
            earlier += variables
        return cls(tuple(steps), weight)

    def _completed(self, step: FusionStep, known: Sequence[str]) -> Iterator[str]:
        for product, factors in self.products.items():
            if set(factors) & set(step.variables) and set(factors) <= set(known):
                yield product

    def _check_step(self, position: int, step: FusionStep, everything: Sequence[str]) -> None:
        where = f"fusion plan, step {position + 1} ({step.name})"
        known = self.known_after(position)
        for names, what in ((step.variables, "variables"), (step.predictors, "predictors")):
            listed(f"{where}, {what}", names, TrainingError)
        if not step.variables or not step.predictors:
            raise TrainingError(where, "needs a variable and a predictor.", "Add them, or drop the step.")
        for predictor in step.predictors:
            if predictor in step.variables:
                raise TrainingError(where, f"uses {predictor} to predict itself.", "Leave it out.")
            if predictor in everything and predictor not in known:
                raise TrainingError(
                    where,
                    f"uses {predictor}, which is not fused before it.",
                    "Change the order or the predictors.",
                )
            if predictor == self.weight:
                raise TrainingError(where, f"uses the weight {predictor} as predictor.", "Leave it out.")
        read = step.condition.columns if step.condition else ()
        if unknown := [c for c in read if c not in known and c not in self.predictors]:
            raise TrainingError(
                where,
                f"has the universe {step.universe}, and {unknown[0]} is neither fused before it nor a predictor.",
                "Change the order, or make it a predictor.",
            )
        if step.outside is not None and not read:
            raise TrainingError(where, "has `outside` and no universe.", "Give both, or neither.")

    def _check_rule(self, rule: Rule, everything: Sequence[str]) -> None:
        where = f"fusion plan, rule `{rule.text}`"
        found = [i for i, step in enumerate(self.steps) if rule.variable in step.variables]
        if not found:
            what = "a product" if rule.variable in self.products else "not fused"
            raise TrainingError(
                where, f"is about {rule.variable}, which is {what}.", "Bound a variable that a step draws."
            )
        known = self.known_after(found[0])
        if unknown := [c for c in rule.columns if c in everything and c not in known]:
            raise TrainingError(
                where,
                f"reads {unknown[0]}, which is not fused before {rule.variable}.",
                "Change the fusion order, or turn the rule round.",
            )


def blocks(y: Sequence[str | Sequence[str]]) -> list[tuple[str, ...]]:
    """Turn names and lists of names into tuples: one step each.

    Raises
    ------
    TrainingError
        If they are one text, no names, or not distinct.
    """
    if isinstance(y, str):
        raise TrainingError("fusion variables (y)", f"are the text {y!r}.", f"Give a list, such as [{y!r}].")
    try:
        found = [(item,) if isinstance(item, str) else tuple(item) for item in y]
    except TypeError as problem:
        raise TrainingError(
            "fusion variables (y)", f"are {y!r}.", "Give a list of names, and of lists of names for blocks."
        ) from problem
    listed("fusion variables (y)", [name for step in found for name in step], TrainingError)
    return found


def harmonized(x: Sequence[str], steps: Sequence[Sequence[str]]) -> list[str]:
    """Return the predictors that donor and recipient have in common.

    Raises
    ------
    TrainingError
        If they are one text, not distinct, or among the fusion variables.
    """
    names = listed("predictors (x)", x, TrainingError)
    if both := [name for name in names if any(name in step for step in steps)]:
        raise TrainingError(
            f"predictors (x), column {both[0]}", "is a fusion variable (y) too.", "Name it in one of them."
        )
    return names
