"""Checks of arguments that a program annotates as whole numbers, before it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np

from ppl_models.data.kinds import Observed
from ppl_models.errors import InputError, whole_number
from ppl_models.program.arguments.annotations import typed_parameters
from ppl_models.rectangular import rectangular

#: arguments of which none makes no sense; others may be 0 or have words of their own for it
COUNTS = (
    "clusters", "discounts", "embedding", "hidden", "max_tree_depth", "nodes", "states",
    "vocabulary", "width",
)  # fmt: skip
INTEGERS = (int, tuple[int, ...])


def whole_arguments(function: Callable, options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, those annotated ``int`` or ``tuple[int, ...]`` as such.

    Args:
        function: a program or a method.
        options: arguments by name.

    Raises:
        InputError: one of them is something else.

    >>> def program(x=None, *, levels: tuple[int, ...], scale: float = 1.0): ...
    >>> whole_arguments(program, {"levels": np.array([3.0, 2.0]), "scale": 0.5})
    {'levels': (3, 2), 'scale': 0.5}
    """
    parameters = typed_parameters(function)
    return {
        n: _integer(n, v, parameters[n].annotation) if n in parameters else v
        for n, v in options.items()
    }


def _integer(name: str, value: Any, annotation: Any) -> Any:
    union = isinstance(annotation, type(int | None))
    kinds = set(get_args(annotation) if union else (annotation,))
    if value is None and type(None) in kinds:
        return value
    kinds -= {type(None)}
    if kinds == {INTEGERS[0]}:
        return whole_number(name, value, minimum=1 if name in COUNTS else None)
    return _several(name, value) if kinds == {INTEGERS[1]} else value


def numeric_lists(function: Callable, options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, lists of numbers as arrays where a number is expected.

    A list in which all are whole numbers may be sizes, unless the signature says ``float``.

    Args:
        function: a program.
        options: arguments by name.

    >>> def program(x=None, *, levels=None, scale: float = 1.0): ...
    >>> numeric_lists(program, {"levels": (3, 2), "scale": [1, 2]})
    {'levels': (3, 2), 'scale': array([1., 2.])}
    """
    parameters = typed_parameters(function)
    arrays = dict(options)
    for name, value in options.items():
        if not isinstance(value, list | tuple) or name not in parameters:
            continue
        annotation = parameters[name].annotation
        numbers = float in {annotation, *get_args(annotation)}
        array = rectangular(value)
        if array is None:
            continue
        if array.size and (array.dtype.kind == "f" or (numbers and array.dtype.kind in "iu")):
            arrays[name] = array.astype(float)
    return arrays


def _several(name: str, value: Any) -> tuple[int, ...]:
    array = rectangular(value)
    numbers = array is not None and array.ndim == 1 and array.dtype.kind in "iuf"
    if array is None or not numbers or ((array < 1) | (array != np.floor(array))).any():
        raise InputError(
            f"{name} is {value!r:.40}: give a tuple of whole numbers from 1 up, as {name}=(3, 2), "
            f"or {name}=(3,) for a single one"
        )
    return tuple(int(number) for number in array)


def refuse_more_clusters(arguments: Mapping[str, Any], observed: Mapping[str, Observed]) -> None:
    """Refuse to fit more clusters than there are rows.

    Args:
        arguments: of the program.
        observed: the data that it is fitted to.

    Raises:
        InputError: both numbers.
    """
    clusters = arguments.get("clusters")
    rows = min(len(o.values) for o in observed.values())
    if clusters is not None and whole_number("clusters", clusters) > rows:
        raise InputError(
            f"there are {rows} rows and {clusters} clusters: give at most as many clusters as rows"
        )


def refuse_other_sizes(arguments: Mapping[str, Any], observed: Mapping[str, Observed]) -> None:
    """Refuse fewer tokens than the data have, and rows of another width.

    Args:
        arguments: of the program.
        observed: its data.

    Raises:
        InputError: which size does not go with the data.
    """
    width, vocabulary = arguments.get("width"), arguments.get("vocabulary")
    for site, reading in observed.items():
        wide = reading.arguments.get("width", width)
        if width != wide:
            raise InputError(
                f"width is {width}, and the rows of {site} have width {wide}: leave width out"
            )
        tokens = reading.arguments.get("vocabulary")
        if vocabulary is not None and isinstance(tokens, int) and vocabulary < tokens:
            raise InputError(
                f"vocabulary is {vocabulary}, and {site} holds {tokens} distinct tokens: leave "
                "vocabulary out, or give Vocabulary.from_sequences(...) with unknown= for the rest"
            )
