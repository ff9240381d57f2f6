"""Annotations of parameters as types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter


def typed_parameters(function: Callable) -> Mapping[str, Parameter]:
    """Parameters with annotations as types; as texts where only a type checker can read them.

    >>> def program(x=None, *, clusters: int): ...
    >>> typed_parameters(program)["clusters"].annotation
    <class 'int'>
    """
    try:
        return inspect.signature(function, eval_str=True).parameters
    except NameError:  # a name under TYPE_CHECKING
        return inspect.signature(function).parameters
