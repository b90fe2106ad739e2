"""Data fusion of household surveys: the public API.

``prepare`` chooses predictors and order, ``train`` fits a model set on the donor, ``fuse`` draws implicates for
the recipient, ``analyze`` pools estimates over them, ``sensitivity`` repeats an analysis across two donors over
what no survey tells, and a ``Statistic`` is an estimand of the user's own. Names are imported when first used, so
that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusion_pipeline.fusion.fusing import fuse
    from fusion_pipeline.fusion.modelset import load_model_set
    from fusion_pipeline.fusion.screening import prepare
    from fusion_pipeline.fusion.training import train
    from fusion_pipeline.inference.analyze import analyze
    from fusion_pipeline.inference.estimands import Statistic
    from fusion_pipeline.inference.sensitivity import sensitivity

__all__ = ["Statistic", "analyze", "fuse", "load_model_set", "prepare", "sensitivity", "train"]

_HOMES = {
    "Statistic": "inference.estimands",
    "analyze": "inference.analyze",
    "fuse": "fusion.fusing",
    "load_model_set": "fusion.modelset",
    "prepare": "fusion.screening",
    "sensitivity": "inference.sensitivity",
    "train": "fusion.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
