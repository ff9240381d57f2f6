"""Arguments of a program that are computed from the data that it is fitted to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

ROW_WEIGHTS = "row_weights"  #: parameter of a program that is told how often each row counts
#: data parameter of a program whose rows have several lines each: how often each line counts
LINE_WEIGHTS = "line_weights"


@dataclass(frozen=True)
class FromData:
    """Marks an argument that `fit` computes from the data and keeps for new rows.

    A program that predicts from what it has seen (counts, neighbours) declares
    ``seen: Annotated[Any, FromData(count)] = None``. What is computed is not stored in a fit: it
    is computed again from the observed data that the fit carries.

    Args:
        make: called with the data's values and, by their names, those of the program's arguments
            that it takes, ``row_weights`` (how often each row counts, or None) among them; gives
            an array or a registered dataclass of arrays.
    """

    make: Callable[..., Any]


def derived_arguments(function: Callable) -> dict[str, FromData]:
    """The program's arguments that are marked.

    >>> from ppl_models.models.markov_chain import markov_chain
    >>> derived_arguments(markov_chain)
    {}
    """
    marked = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        for mark in get_args(parameter.annotation)[1:]:
            if isinstance(mark, FromData):
                marked[name] = mark
    return marked


def derive(
    function: Callable,
    data: Mapping[str, np.ndarray],
    arguments: Mapping[str, Any],
    row_weights: np.ndarray | None = None,
) -> dict[str, Any]:
    """Compute the marked arguments.

    Args:
        function: the program.
        data: the values that it is (or was) fitted to, by data parameter.
        arguments: the program's other arguments; its defaults stand in for those not given.
        row_weights: how often each of these rows counts, ``(row,)`` (default: once).
    """
    defaults = {n: p.default for n, p in inspect.signature(function).parameters.items()}
    every_argument = {**defaults, **arguments, ROW_WEIGHTS: row_weights}
    derived = {}
    for name, mark in derived_arguments(function).items():
        wanted = set(inspect.signature(mark.make).parameters)
        named = {n: v for n, v in every_argument.items() if n in wanted}
        derived[name] = mark.make(**{**named, **{n: v for n, v in data.items() if n in wanted}})
    return derived
