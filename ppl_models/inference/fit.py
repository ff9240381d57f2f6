"""The one entrance: a program and data in, one DataTree out."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
import xarray as xr
from jax import random

from .. import catalogue
from ..data.derived import derive, derived_arguments
from ..data.kinds import Kind, Observed
from ..data.sequences import coordinates
from ..data.several import read_together
from ..data.vocabulary import Vocabulary
from ..distributions.autoregressive import Autoregressive
from ..errors import InputError, whole_number
from .compiling import make_room
from .problem import Problem
from .program import Model
from .signature import arguments_of, data_parameters, defaults, split
from .sizes import refuse_other_sizes, whole_arguments

PRECISIONS = ("float64", "float32")


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
        The one result, see ``ppl_models.posterior.tree``.

    Raises:
        InputError: what was wrong with the input, where, and what to do.

    >>> import numpy as np
    >>> x = np.concatenate([np.linspace(-1, 1, 20), np.linspace(9, 11, 20)])
    >>> tree = fit("gaussian_mixture", x, method="em", seed=0, clusters=2)
    >>> tree["posterior"]["loc"].values.round(1).ravel().tolist()
    [0.0, 10.0]
    """
    from ..posterior.tree import build_tree

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
        module.check(problem)
        key = random.key(seed)
        result = run(problem, random.fold_in(key, 0), **options)
        attributes = {
            "program": catalogue.program_name(function),
            "method": method,
            "seed": seed,
            "precision": precision,
            "kind": result.kind,
            "arguments": to_json(_given(function, model.arguments)),
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
    from ..posterior.labels.relabel import relabel as bring_into_order

    return bring_into_order(tree, method=relabel, seed=seed)


@contextmanager
def scope(precision: str) -> Any:
    """Precision for as long as a call takes; nothing outside is switched.

    Raises:
        InputError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}: choose one of {', '.join(PRECISIONS)}")
    with jax.enable_x64(precision == "float64"):
        yield


def take_vocabulary(
    arguments: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, list[str]] | None]:
    """A ``Vocabulary`` among a program's arguments: its size for it, its tokens for the data."""
    given = arguments.get("vocabulary")
    if not isinstance(given, Vocabulary):
        return dict(arguments), None
    return {**arguments, "vocabulary": len(given)}, coordinates(given)


def read_data(
    function: Callable, data: Any, like: Mapping[str, Any] | None = None, fresh: bool = True
) -> dict[str, Observed]:
    """Read data for every data parameter.

    Args:
        function: the program.
        data: see :func:`fit`.
        like: coordinates of an earlier reading that these data must have.
        fresh: whether the data are to be fitted (all checks) or new rows.
    """
    kinds = data_parameters(function)
    by_site = isinstance(data, dict) and set(data) <= set(kinds) and len(data) > 0
    if not by_site:
        required = list(kinds)
        if len(required) > 1:
            raise InputError(
                f"the program takes data {', '.join(required)}: give a dict with these names"
            )
        data = {required[0]: data}
    readers = {
        name: partial(_read, kinds[name], value, name, fresh)
        for name, value in data.items()
        if value is not None
    }
    return read_together(readers, like)


def _read(
    kind: type[Kind], value: Any, site: str, fresh: bool, like: Mapping[str, Any] | None
) -> Observed:
    return kind.read(value, site=site, like=like, fresh=fresh)


def read_program(
    function: Callable,
    observed: Mapping[str, Observed],
    arguments: Mapping[str, Any],
    fixed: Mapping[str, Any],
    precision: str,
    fitted: Mapping[str, Observed] | None = None,
) -> tuple[Model, Any]:
    """The model and its structure; arguments that the data determine are filled in.

    Args:
        function: the program.
        observed: the data that it is asked about.
        arguments: of the program.
        fixed: global site -> value that it is held at.
        precision: of floating-point data.
        fitted: the data that it was fitted to, where these are others.
    """
    arguments = dict(arguments)
    signature = inspect.signature(function).parameters
    for reading in observed.values():
        for name, value in reading.arguments.items():
            wanted = name in signature and signature[name].default is inspect.Parameter.empty
            if wanted and name not in arguments:
                arguments[name] = value
    for name, parameter in arguments_of(function).items():
        if parameter.default is inspect.Parameter.empty and name not in arguments:
            raise InputError(f"the program needs {name}=: give it to fit (--{name} or --set)")
    arguments = whole_arguments(function, arguments)
    refuse_other_sizes(arguments, observed)
    data = {n: cast(o.values, precision) for n, o in observed.items()}
    seen = {n: o.values for n, o in (observed if fitted is None else fitted).items()}
    arguments |= derive(function, seen, arguments)
    model = Model(function, data, {n: _plain(v, precision) for n, v in arguments.items()}, {})
    if fixed:
        model = replace(model, fixed=_held(model, fixed, precision))
    structure = model.structure()
    for name, values in data.items():
        gone = np.isnan(values) if values.dtype.kind == "f" else np.zeros(1, bool)
        if name not in structure.emissions and gone.any():
            raise InputError(
                f"'{name}' lacks a cell in row {np.argwhere(gone)[0][0]}, and no site emits it, so "
                "that nothing can be said of it: leave the row out"
            )
    return model, structure


def _given(function: Callable, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without those that are computed from the fitted data whenever needed."""
    derived = derived_arguments(function)
    return {n: v for n, v in arguments.items() if n not in derived}


def _held(model: Model, fixed: Mapping[str, Any], precision: str) -> dict[str, np.ndarray]:
    """Values that sites are held at, in the shapes of the sites."""
    sites = {site.name: site for site in model.structure().sites}
    held = {}
    for name, value in fixed.items():
        if name not in sites:
            raise InputError(f"fixed names '{name}', which is no site of the program")
        array, wanted = np.asarray(value, np.dtype(precision)), sites[name].shape
        try:
            held[name] = np.broadcast_to(array, wanted)
        except ValueError:
            raise InputError(
                f"fixed gives '{name}' the shape {array.shape}: the site has {wanted}"
            ) from None
        try:
            inside = np.all(sites[name].support(held[name]))
        except jax.errors.UnexpectedTracerError:
            continue  # a support that depends on other sites is not known yet
        if not inside:
            raise InputError(f"fixed holds '{name}' at {value}, outside {sites[name].support}")
    return held


def refuse_priors(problem: Problem) -> None:
    """Refuse priors whose arguments are outside their range, which would only give NaN."""
    for name, prior in problem.example.priors.items():
        while hasattr(prior, "base_dist"):
            prior = prior.base_dist
        for argument, constraint in prior.arg_constraints.items():
            if argument in vars(type(prior)) or constraint.is_discrete:
                continue  # derived from another argument, or no number
            value = getattr(prior, argument, None)
            if value is None:
                continue
            try:
                inside = np.all(constraint(np.asarray(value)))
            except ValueError:
                continue  # a range that depends on another argument
            if not inside:
                raise InputError(
                    f"the prior of site '{name}' has {argument}={np.asarray(value).tolist()}: "
                    f"give values in {getattr(constraint, 'base_constraint', constraint)}"
                )


def cast(values: np.ndarray, precision: str) -> np.ndarray:
    """Floating-point data in the precision of the fit, integers as they are."""
    return values.astype(precision) if values.dtype.kind == "f" else values


def _plain(value: Any, precision: str) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value.astype(precision)
    return value.item() if isinstance(value, np.generic) else value


def refuse_unsuitable(problem: Problem, observed: Mapping[str, Observed]) -> None:
    """Refuse data outside the support of the program's emissions."""
    for name, emission in problem.example.emissions.items():
        values = np.asarray(problem.model.data[name])
        seen = ~np.isnan(values) if values.dtype.kind == "f" else values >= 0
        if isinstance(emission, Autoregressive) and emission.needs_whole_rows and not seen.all():
            place = tuple(int(i) for i in np.argwhere(~seen)[0])
            raise InputError(
                f"'{name}' lacks the cell at row {place[0]}, column {place[1]}, and "
                f"{type(emission).__name__} has no density of a row with gaps: leave the row out"
            )
        whole = emission.support
        single = whole
        while hasattr(single, "base_constraint"):
            single = single.base_constraint
        if single.is_discrete is False and not seen.any():
            raise InputError(f"'{name}' has no observed cell: give it data")
        try:
            good = np.asarray(single(np.where(seen, values, 0))) | ~seen
        except (TypeError, ValueError):
            continue  # a support of whole vectors cannot be judged cell by cell
        if good.shape != values.shape or good.all():
            continue
        place = tuple(int(i) for i in np.argwhere(~good)[0])
        wanted = getattr(emission, "data_description", f"values in {whole}")
        where = f"row {place[0]}" + (f", column {place[1]}" if len(place) > 1 else "")
        raise InputError(
            f"site '{name}' emits {wanted}, and {where} is {values[place]}: "
            "recode the data or choose another program"
        )


def to_json(values: Mapping[str, Any]) -> str:
    """Arguments as JSON; arrays as nested lists.

    >>> to_json({"a": np.ones(2), "b": (1, 2)})
    '{"a": {"array": [1.0, 1.0]}, "b": [1, 2]}'
    """

    def encode(value: Any) -> Any:
        if isinstance(value, np.ndarray | jax.Array):
            return {"array": np.asarray(value).tolist()}
        if isinstance(value, np.generic):
            return value.item()
        return repr(value)

    return json.dumps(dict(values), default=encode)


def from_json(text: str) -> dict[str, Any]:
    """Inverse of :func:`to_json`; lists come back as tuples.

    >>> from_json('{"a": {"array": [1.0, 1.0]}, "b": [1, 2]}')
    {'a': array([1., 1.]), 'b': (1, 2)}
    """

    def decode(value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"array"}:
            return np.asarray(value["array"])
        return tuple(decode(v) for v in value) if isinstance(value, list) else value

    return {n: decode(v) for n, v in json.loads(text).items()}
