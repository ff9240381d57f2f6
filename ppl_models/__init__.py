"""Hidden structure, written once as a NumPyro program: density, clusters, imputation, posterior.

    data -> program -> inference -> posterior (one xarray.DataTree) -> plots and report

Names are imported when they are first used, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .inference.fit import fit
    from .posterior.creation import generate, impute
    from .posterior.prediction import log_density, predict
    from .posterior.storage import load, save
    from .report import write_report

_PLACES = {
    "fit": "inference.fit",
    "generate": "posterior.creation",
    "impute": "posterior.creation",
    "load": "posterior.storage",
    "log_density": "posterior.prediction",
    "predict": "posterior.prediction",
    "save": "posterior.storage",
    "write_report": "report",
}

__all__ = [
    "fit",
    "generate",
    "impute",
    "load",
    "log_density",
    "predict",
    "save",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
