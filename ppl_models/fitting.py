"""The one entrance: a program and data in, one DataTree out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr
from jax import random

from ppl_models import catalogue
from ppl_models.errors import whole_number
from ppl_models.inference.capabilities import require
from ppl_models.inference.problem import Problem
from ppl_models.inference.suitability import refuse_priors, refuse_unsuitable
from ppl_models.program.compiling import make_room
from ppl_models.program.json_text import to_json
from ppl_models.program.precision import scope
from ppl_models.program.reading import given_arguments, read_data, read_program, take_vocabulary
from ppl_models.program.signature import defaults, split
from ppl_models.program.sizes import whole_arguments


def fit(
    program: str | Callable,
    data: Any,
    *,
    method: str = "nuts",
    seed: int,
    precision: str = "float64",
    fixed: Mapping[str, Any] | None = None,
    progress: bool = False,
    predictive: int = 100,
    relabel: str | None = "ecr",
    **arguments: Any,
) -> xr.DataTree:
    """Fit a program to data.

    Args:
        program: a built-in program's name, ``path/to/file.py:function``, or the function.
        data: an array, a pandas, polars or xarray object, a list of token sequences, or a dict by
            the names of the program's data parameters.
        method: a file of ``inference/methods/``: "em", "exact", "hard", "kmeans", "nuts", ...
        seed: of all random numbers.
        precision: "float64" or "float32", for this call only.
        fixed: global site -> value that it is held at.
        progress: show progress bars on long work.
        predictive: draws of prior and posterior predictive data that are kept.
        relabel: how the clusters of draws are brought into one order ("ecr", "ecr-iterative",
            "stephens"), so that each cluster means the same in every draw; None leaves them.
        **arguments: the program's and the method's own, each by its name. ``vocabulary`` may be a
            ``Vocabulary``, which the sequences are read in; without it their own tokens are.

    Returns:
        The one result, see ``ppl_models.posterior.build.tree``.

    Raises:
        InputError: what was wrong with the input, where, and what to do.

    >>> import numpy as np
    >>> x = np.concatenate([np.linspace(-1, 1, 20), np.linspace(9, 11, 20)])
    >>> tree = fit("gaussian_mixture", x, method="em", seed=0, clusters=2)
    >>> tree["posterior"]["loc"].values.round(1).ravel().tolist()
    [0.0, 10.0]
    """
    from ppl_models.posterior.build.tree import build_tree

    function = catalogue.program(program)
    module = catalogue.method(method)
    run = getattr(module, method)
    program_arguments, options = split(function, run, arguments, method)
    options = whole_arguments(run, options)
    whole_number("seed", seed, least=0)
    whole_number("predictive", predictive, least=0)
    program_arguments, like = take_vocabulary(program_arguments)
    started = time.perf_counter()
    make_room()
    with scope(precision):
        observed = read_data(function, data, like)
        model, structure = read_program(
            function, observed, program_arguments, fixed or {}, precision
        )
        observed = {n: o.along(structure.plate) for n, o in observed.items()}
        problem = Problem(model, structure, progress)
        refuse_unsuitable(problem, observed)
        refuse_priors(problem)
        require(method, problem)
        key = random.key(seed)
        result = run(problem, random.fold_in(key, 0), **options)
        attributes = {
            "program": catalogue.program_name(function),
            "method": method,
            "seed": seed,
            "precision": precision,
            "kind": result.kind,
            "arguments": to_json(given_arguments(function, model.arguments)),
            "fixed": to_json(model.fixed),
            "configuration": to_json(defaults(run) | options),
            "given": to_json(
                {"names": list(arguments), "predictive": predictive, "relabel": relabel}
            ),
            "wall_time_seconds": time.perf_counter() - started,
            **result.attributes,
        }
        tree = build_tree(problem, result, observed, random.fold_in(key, 1), attributes, predictive)
        may_move = result.exchangeable and not structure.locals and problem.exchangeable
    if relabel is None or result.kind != "draws" or not may_move:
        return tree
    from ppl_models.posterior.labels.relabel import relabel as bring_into_order

    return bring_into_order(tree, method=relabel, seed=seed)
