"""Hand-made trees as ``fit`` would have written them: with facts, and validated by their schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ppl_models.inference.objective import LOG_POSTERIOR, Objective
from ppl_models.posterior.labels.apply import named_places
from ppl_models.posterior.result.schema import (
    FACTS,
    EmissionFacts,
    FitFacts,
    ParameterFacts,
    write_facts,
)
from ppl_models.posterior.result.validation import validate
from ppl_models.program.arguments.json_text import to_json
from ppl_models.program.parameters.label_symmetry import LabelSymmetry

GAUSSIAN = "ppl_models.distributions.exponential.gaussian"
SPHERICAL = f"{GAUSSIAN}:SphericalGaussian"
FULL = f"{GAUSSIAN}_full:FullGaussian"
SAMPLE = ("chain", "draw")


def as_fit(
    groups: Mapping[str, xr.Dataset],
    *,
    family: str = SPHERICAL,
    parameters: tuple[str, ...] = ("loc", "scale"),
    clusters: int = 0,
    states: int = 0,
    kind: str = "draws",
    method: str = "nuts",
    assignments: str = "soft",
    objective: Objective | None = LOG_POSTERIOR,
    configuration: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """A tree of groups with the facts and attributes of a fit.

    Args:
        groups: the posterior has the sites ``parameters`` and, of a mixture, perhaps ``weights``.
        family: class of the emission.
        parameters: names of its parameters, each of which is the site of its name.
        clusters: number of clusters; 0 for no mixture.
        states: number of hidden states.
        kind: "draws" or "point".
        method: name of the method.
        assignments: "soft" or "hard".
        objective: of the starts.
        configuration: options of the method.
    """
    groups = {"sample_stats": xr.Dataset(), **groups}
    posterior, data = groups["posterior"], groups["observed_data"]["x"]
    unit = str(data.dims[0])
    known = {name: _parameter(posterior[name], clusters) for name in parameters}
    component = "cluster" if clusters else "state" if states else None
    facts = FitFacts(
        unit=unit,
        assignment="z" if clusters else None,
        weights="weights" if clusters and "weights" in posterior else None,
        clusters=clusters,
        states=states,
        assignments=assignments if clusters or states else "none",
        objective=objective,
        emissions=(
            EmissionFacts(
                "x", family, "Reals", tuple(map(str, data.dims)), component, parameters=known
            ),
        ),
        labels=_labels(posterior, clusters or states),
    )
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        FACTS: write_facts(facts),
        "kind": kind,
        "method": method,
        "program": "hand_made",
        "precision": "float64",
        "configuration": to_json(configuration or {}),
        "data_site": "x",
        "plate": unit,
    }
    validate(tree)
    return tree


def _labels(posterior: xr.Dataset, components: int) -> LabelSymmetry:
    """All components are exchangeable, along the axes that are called by them."""
    axes = {str(n): named_places(v) for n, v in posterior.data_vars.items() if n != "assignment"}
    classes = (tuple(range(components)),) if components > 1 else ()
    return LabelSymmetry(components, classes, {n: p for n, p in axes.items() if p}, reason="")


def _parameter(variable: xr.DataArray, clusters: int) -> ParameterFacts:
    dims = tuple(str(d) for d in variable.dims if d not in SAMPLE)
    shared = bool(clusters) and "cluster" not in dims
    return ParameterFacts(str(variable.name), shared, dims)


def point(**configuration: Any) -> xr.DataTree:
    """A point of a program without sites."""
    groups = {
        "posterior": xr.Dataset(coords={"chain": [0], "draw": [0]}),
        "observed_data": rows(4, features=2),
    }
    return as_fit(groups, parameters=(), kind="point", method="em", configuration=configuration)


def rows(count: int, features: int | None = None, seed: int = 0) -> xr.Dataset:
    """Observed data of no interest, ``x (row[, feature])``."""
    shape = (count,) if features is None else (count, features)
    values = np.random.default_rng(seed).normal(size=shape)
    return xr.Dataset({"x": (("row", "feature")[: len(shape)], values)})
