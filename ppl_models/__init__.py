"""Hidden structure, written once as a NumPyro program: density, clusters, imputation, posterior.

    data -> program -> inference -> posterior (one xarray.DataTree) -> plots and report

Names are imported when they are first used, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppl_models.data.blocks.source import open_blocks
    from ppl_models.diagnostics.checks import loo_pit, sensitivity
    from ppl_models.diagnostics.diagnose import diagnose
    from ppl_models.evaluation.calibration import calibrate
    from ppl_models.evaluation.choose_clusters import choose_clusters
    from ppl_models.evaluation.graph_statistics import graph_discrepancy
    from ppl_models.evaluation.loo import loo
    from ppl_models.fitting import fit
    from ppl_models.inference.mcmc.so_far import draws_so_far
    from ppl_models.many.fit_many import fit_many
    from ppl_models.many.group import group
    from ppl_models.posterior.density.prediction import log_density, predict
    from ppl_models.posterior.density.sequences import perplexity, token_probabilities
    from ppl_models.posterior.density.to_file import predict_to
    from ppl_models.posterior.frames import annotate, assignments, to_frame
    from ppl_models.posterior.labels.names import name_clusters
    from ppl_models.posterior.labels.relabel import relabel, unrelabel
    from ppl_models.posterior.online.extend import extend
    from ppl_models.posterior.online.update import update
    from ppl_models.posterior.partition.of_tree import coassignment, partition
    from ppl_models.posterior.paths import (
        best_paths,
        draw_paths,
        forecast,
        state_probabilities,
    )
    from ppl_models.posterior.result.storage import load, save
    from ppl_models.posterior.simulate.generate import generate
    from ppl_models.posterior.simulate.graph_generation import generate_graphs
    from ppl_models.posterior.simulate.impute import impute
    from ppl_models.report import write_report

_PLACES = {
    "annotate": "posterior.frames",
    "assignments": "posterior.frames",
    "best_paths": "posterior.paths",
    "calibrate": "evaluation.calibration",
    "choose_clusters": "evaluation.choose_clusters",
    "coassignment": "posterior.partition.of_tree",
    "diagnose": "diagnostics.diagnose",
    "draw_paths": "posterior.paths",
    "draws_so_far": "inference.mcmc.so_far",
    "extend": "posterior.online.extend",
    "fit": "fitting",
    "fit_many": "many.fit_many",
    "forecast": "posterior.paths",
    "generate": "posterior.simulate.generate",
    "generate_graphs": "posterior.simulate.graph_generation",
    "graph_discrepancy": "evaluation.graph_statistics",
    "group": "many.group",
    "impute": "posterior.simulate.impute",
    "load": "posterior.result.storage",
    "log_density": "posterior.density.prediction",
    "loo": "evaluation.loo",
    "loo_pit": "diagnostics.checks",
    "name_clusters": "posterior.labels.names",
    "open_blocks": "data.blocks.source",
    "partition": "posterior.partition.of_tree",
    "perplexity": "posterior.density.sequences",
    "predict": "posterior.density.prediction",
    "predict_to": "posterior.density.to_file",
    "relabel": "posterior.labels.relabel",
    "save": "posterior.result.storage",
    "sensitivity": "diagnostics.checks",
    "state_probabilities": "posterior.paths",
    "to_frame": "posterior.frames",
    "token_probabilities": "posterior.density.sequences",
    "unrelabel": "posterior.labels.relabel",
    "update": "posterior.online.update",
    "write_report": "report",
}

#: those that take a fit of many groups too
_BY_GROUP = ("diagnose", "generate", "log_density", "loo", "predict")

__all__ = [
    "annotate",
    "assignments",
    "best_paths",
    "calibrate",
    "choose_clusters",
    "coassignment",
    "diagnose",
    "draw_paths",
    "draws_so_far",
    "extend",
    "fit",
    "fit_many",
    "forecast",
    "generate",
    "generate_graphs",
    "graph_discrepancy",
    "group",
    "impute",
    "load",
    "log_density",
    "loo",
    "loo_pit",
    "name_clusters",
    "open_blocks",
    "partition",
    "perplexity",
    "predict",
    "predict_to",
    "relabel",
    "save",
    "sensitivity",
    "state_probabilities",
    "to_frame",
    "token_probabilities",
    "unrelabel",
    "update",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        attribute = getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
        if name not in _BY_GROUP:
            return attribute
        return importlib.import_module(".many.questions", __name__).by_group(attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
