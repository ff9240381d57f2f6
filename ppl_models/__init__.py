"""Hidden structure, written once as a NumPyro program: density, clusters, imputation, posterior.

    data -> program -> inference -> posterior (one xarray.DataTree) -> plots and report

Names are imported when they are first used, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .inference.fit import fit
    from .posterior.calibration import calibrate
    from .posterior.checks import loo_pit, sensitivity
    from .posterior.comparison import choose_clusters
    from .posterior.creation import generate, impute
    from .posterior.diagnosis import diagnose
    from .posterior.graph_generation import generate_graphs
    from .posterior.graph_statistics import graph_discrepancy
    from .posterior.labels.relabel import relabel, unrelabel
    from .posterior.loo import loo
    from .posterior.partition.of_tree import coassignment, partition
    from .posterior.paths import best_paths, draw_paths, forecast, state_probabilities
    from .posterior.prediction import log_density, predict
    from .posterior.sequences import perplexity, token_probabilities
    from .posterior.storage import load, save
    from .report import write_report

_PLACES = {
    "best_paths": "posterior.paths",
    "calibrate": "posterior.calibration",
    "choose_clusters": "posterior.comparison",
    "coassignment": "posterior.partition.of_tree",
    "diagnose": "posterior.diagnosis",
    "draw_paths": "posterior.paths",
    "fit": "inference.fit",
    "forecast": "posterior.paths",
    "generate": "posterior.creation",
    "generate_graphs": "posterior.graph_generation",
    "graph_discrepancy": "posterior.graph_statistics",
    "impute": "posterior.creation",
    "load": "posterior.storage",
    "log_density": "posterior.prediction",
    "loo": "posterior.loo",
    "loo_pit": "posterior.checks",
    "partition": "posterior.partition.of_tree",
    "perplexity": "posterior.sequences",
    "predict": "posterior.prediction",
    "relabel": "posterior.labels.relabel",
    "save": "posterior.storage",
    "sensitivity": "posterior.checks",
    "state_probabilities": "posterior.paths",
    "token_probabilities": "posterior.sequences",
    "unrelabel": "posterior.labels.relabel",
    "write_report": "report",
}

__all__ = [
    "best_paths",
    "calibrate",
    "choose_clusters",
    "coassignment",
    "diagnose",
    "draw_paths",
    "fit",
    "forecast",
    "generate",
    "generate_graphs",
    "graph_discrepancy",
    "impute",
    "load",
    "log_density",
    "loo",
    "loo_pit",
    "partition",
    "perplexity",
    "predict",
    "relabel",
    "save",
    "sensitivity",
    "state_probabilities",
    "token_probabilities",
    "unrelabel",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
