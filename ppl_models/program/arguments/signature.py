"""The signature of a program: which parameters are data, and which are arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Annotated, Any, get_args, get_origin

import numpy as np

from ppl_models.data.derived import ROW_WEIGHTS, derived_arguments
from ppl_models.data.kinds import BY_TYPE, FEATURE_AXIS, Kind, Reals
from ppl_models.errors import InputError

#: what a program that generates is told: no data, wherever it stands, where it has a default
SIZES = ("rows", "sequences", "graphs", "features", "positions")
NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def data_parameters(function: Callable) -> dict[str, type[Kind]]:
    """The program's data parameters and what kind of data each takes.

    Data stand before the ``*`` and are None, or have no default, where the program generates them;
    sizes such as ``rows`` are arguments anywhere.

    >>> def program(x=None, clusters=2, rows=None): ...
    >>> list(data_parameters(program)), list(arguments_of(program))
    (['x'], ['clusters', 'rows'])
    """
    parameters = inspect.signature(function, eval_str=True).parameters
    kinds = {n: _kind(p.annotation) for n, p in parameters.items() if _holds_data(p)}
    if not kinds:
        raise InputError(
            f"{getattr(function, '__name__', 'the program')} takes no data: its data are the "
            "parameters before the *, as in def program(x=None, *, clusters)"
        )
    return kinds


def keeps_feature_axis(function: Callable) -> set[str]:
    """Names of the data parameters whose single column has an axis of its own."""
    parameters = inspect.signature(function, eval_str=True).parameters
    return {n for n, p in parameters.items() if FEATURE_AXIS in get_args(p.annotation)[1:]}


def undeclared_parameters(function: Callable) -> set[str]:
    """Names of the data parameters without a declared kind, which take numbers of any kind.

    >>> def program(x=None, index=None): ...
    >>> sorted(undeclared_parameters(program))
    ['index', 'x']
    """
    parameters = inspect.signature(function, eval_str=True).parameters
    return {n for n in data_parameters(function) if not _kinds(parameters[n].annotation)}


def by_type(function: Callable) -> dict[str, type[Kind]]:
    """The data parameters that take the columns of their kind out of one table.

    >>> from ppl_models.models.mixed_mixture import mixed_mixture
    >>> list(by_type(mixed_mixture))
    ['numbers', 'counts', 'categories', 'bits']
    """
    parameters = inspect.signature(function, eval_str=True).parameters
    kinds = data_parameters(function)
    return {n: k for n, k in kinds.items() if BY_TYPE in get_args(parameters[n].annotation)[1:]}


def arguments_of(function: Callable) -> dict[str, Parameter]:
    """All other parameters of the program that are given to it, by name."""
    parameters = inspect.signature(function).parameters
    named = {n: p for n, p in parameters.items() if p.kind in NAMED and not _holds_data(p)}
    return {n: p for n, p in named.items() if n != ROW_WEIGHTS}


def defaults(run: Callable) -> dict[str, Any]:
    """The options of a method: its keyword-only parameters, with defaults."""
    parameters = inspect.signature(run).parameters
    return {n: p.default for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def split(
    function: Callable, run: Callable, options: Mapping[str, Any], method: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sort what was given by name into the program's and the method's.

    A number, text or None for a parameter that stands among the data says that it is none:
    ``fit(program, y, seed=0, items=12)`` for ``def program(y, items)``.

    Raises:
        InputError: a name that neither takes.
    """
    mine, others = set(arguments_of(function)), set(defaults(run))
    mine |= {n for n in set(options) - others if n in data_parameters(function)}
    for name in sorted(set(options) - set(arguments_of(function)) - others):
        if name in mine and not is_argument(options[name]):
            raise InputError(
                f"'{name}' is a data parameter of the program (before the *): give it with the "
                f"data, as {{'{name}': ...}}, or make it an argument, as in def program(x=None, "
                f"*, {name})"
            )
        if name in mine:
            continue
        raise InputError(
            f"there is no argument '{name}': the program takes "
            f"{', '.join(sorted(mine)) or 'none'}; method '{method}' takes "
            f"{', '.join(sorted(others)) or 'none'}"
        )
    for name in derived_arguments(function):
        if name in options and options[name] is not None and not isinstance(options[name], int):
            raise InputError(
                f"'{name}' is computed from the fitted data, so that no value can be given: leave "
                "it out, or remove its mark FromData"
            )
    return (
        {n: v for n, v in options.items() if n in mine},
        {n: v for n, v in options.items() if n not in mine},
    )


def is_argument(value: Any) -> bool:
    """Whether a value is a number, text or None, and no data.

    >>> is_argument(3), is_argument(None), is_argument([3, 2])
    (True, True, False)
    """
    return value is None or isinstance(value, bool | int | float | str | np.generic)


def _holds_data(parameter: Parameter) -> bool:
    positional = parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    # a size has a default, but for the rows: def program(sequences, lengths) takes both as data
    required = parameter.default is Parameter.empty and parameter.name != "rows"
    positional &= parameter.name not in SIZES or required
    # by identity: a default may be an array
    return positional and (parameter.default is None or parameter.default is Parameter.empty)


def _kind(annotation: Any) -> type[Kind]:
    kinds = _kinds(annotation)
    return kinds[0] if kinds else Reals


def _kinds(annotation: Any) -> list[type[Kind]]:
    candidates = get_args(annotation)[1:] if get_origin(annotation) is Annotated else [annotation]
    return [c for c in candidates if isinstance(c, type) and issubclass(c, Kind)]
