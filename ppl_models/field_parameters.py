"""Programs that take their data as one dict: its entries become data parameters.

    def program(data, K): ... data["x"] ... data["y"]        as a person writes it
    def program(x=None, y=None, *, K): ...                   as all else reads it

Numbers among the entries (``data["N"]``, as in Stan) become arguments. The name of such a program
says its entries, so that it is found again by its name alone.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from inspect import Parameter
from typing import Any

_NAME = re.compile(
    r"(?P<program>.+) of (?P<parameter>\w+)\[(?P<fields>[\w, ]*);(?P<sizes>[\w, ]*)\]"
)


@functools.lru_cache(maxsize=64)
def with_fields(
    function: Callable, parameter: str, fields: tuple[str, ...], sizes: tuple[str, ...]
) -> Callable:
    """The program with a parameter for every entry of its dict; equal arguments, equal function.

    Args:
        function: the program.
        parameter: that takes the dict.
        fields: entries that are data; those that are not given are None.
        sizes: entries that are numbers or words.

    >>> def program(data, K): return data["x"], data["N"], K
    >>> flat = with_fields(program, "data", ("x",), ("N",))
    >>> inspect.signature(flat), flat(x=[1, 2], N=2, K=3)
    (<Signature (x=None, *, N, K)>, ([1, 2], 2, 3))
    """
    own = inspect.signature(function).parameters
    others = [
        p.replace(kind=Parameter.KEYWORD_ONLY)
        for n, p in own.items()
        if n != parameter and p.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    ]

    @functools.wraps(function)
    def program(*data: Any, **arguments: Any) -> Any:
        arguments |= dict(zip(fields, data, strict=False))
        held = {name: arguments.pop(name, None) for name in (*fields, *sizes)}
        return function(**{parameter: held}, **arguments)

    signature = [Parameter(n, Parameter.POSITIONAL_OR_KEYWORD, default=None) for n in fields]
    signature += [Parameter(n, Parameter.KEYWORD_ONLY) for n in sizes]
    program.__signature__ = inspect.Signature([*signature, *others])  # type: ignore[attr-defined]
    held = f"{parameter}[{', '.join(fields)};{', '.join(sizes)}]"
    program.__qualname__ = f"{getattr(function, '__qualname__', 'program')} of {held}"
    return program


def named_fields(name: str) -> tuple[str, str, tuple[str, ...], tuple[str, ...]] | None:
    """Program, parameter, fields and sizes that a name says; None of any other program.

    >>> named_fields("file.py:program of data[x, y;N]")
    ('file.py:program', 'data', ('x', 'y'), ('N',))
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    fields, sizes = (
        tuple(n.strip() for n in match[part].split(",") if n.strip())
        for part in ("fields", "sizes")
    )
    return match["program"], match["parameter"], fields, sizes
