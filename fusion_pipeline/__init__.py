"""Data fusion of household surveys: the public API (`docs/api.md` shows it at work).

``prepare`` chooses predictors and order, ``constrain`` adds rules, ``train`` fits a model set on the donor, ``fuse``
draws implicates for the recipient, ``read_fused`` reads them back, ``analyze`` pools estimates over them,
``compare`` holds estimates against published figures, ``sensitivity`` repeats an analysis across two donors over what
no survey tells, and a ``Statistic`` is an estimand of the user's own. ``downscale`` reaches below the PUMA by
published tables of small areas. ``diagnose`` says how well donor and recipient go together, ``impute`` fills the gaps
of one table.
Names are imported when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusion_pipeline.downscaling.downscale import downscale
    from fusion_pipeline.downscaling.results import Downscaled
    from fusion_pipeline.examples import example_tables
    from fusion_pipeline.fusion.constraints import constrain
    from fusion_pipeline.fusion.diagnostics import diagnose
    from fusion_pipeline.fusion.fusing import fuse
    from fusion_pipeline.fusion.importance import importance
    from fusion_pipeline.fusion.imputation import impute
    from fusion_pipeline.fusion.modelset import load_model_set
    from fusion_pipeline.fusion.monotone import monotonic
    from fusion_pipeline.fusion.reading import read_fused
    from fusion_pipeline.fusion.screening import prepare
    from fusion_pipeline.fusion.specification import FusionPlan, FusionStep
    from fusion_pipeline.fusion.training import train
    from fusion_pipeline.inference.analyze import analyze
    from fusion_pipeline.inference.estimands import Statistic
    from fusion_pipeline.inference.sensitivity import sensitivity
    from fusion_pipeline.validation.external import compare

__all__ = [
    "Downscaled",
    "FusionPlan",
    "FusionStep",
    "Statistic",
    "analyze",
    "compare",
    "constrain",
    "diagnose",
    "downscale",
    "example_tables",
    "fuse",
    "importance",
    "impute",
    "load_model_set",
    "monotonic",
    "prepare",
    "read_fused",
    "sensitivity",
    "train",
]

_HOMES = {
    "Downscaled": "downscaling.results",
    "FusionPlan": "fusion.specification",
    "FusionStep": "fusion.specification",
    "Statistic": "inference.estimands",
    "analyze": "inference.analyze",
    "compare": "validation.external",
    "constrain": "fusion.constraints",
    "diagnose": "fusion.diagnostics",
    "downscale": "downscaling.downscale",
    "example_tables": "examples",
    "fuse": "fusion.fusing",
    "importance": "fusion.importance",
    "impute": "fusion.imputation",
    "load_model_set": "fusion.modelset",
    "monotonic": "fusion.monotone",
    "prepare": "fusion.screening",
    "read_fused": "fusion.reading",
    "sensitivity": "inference.sensitivity",
    "train": "fusion.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
