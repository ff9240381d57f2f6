"""What a person is told when something that they gave cannot be used."""

from __future__ import annotations

import operator
from typing import Any

LARGEST = 2**63 - 1  #: what random keys and arrays count up to


class InputError(ValueError):
    """The input is wrong: the message says what, where, and what to do, in one sentence.

    The command line prints the message alone and exits with status 2.
    """


class UnsupportedError(InputError):
    """A method cannot serve a program: the message names the site and the way out."""


class ProgramFailed(InputError):
    """A program that raised an error of its own when it was run on the data."""


def whole_number(name: str, value: Any, *, minimum: int | None = 1) -> int:
    """A whole number that somebody gave, in Python's own type.

    Args:
        name: of the argument, for the message.
        value: what was given.
        minimum: smallest value allowed; None for no bound.

    Raises:
        InputError: a fraction, text, a truth value, nothing, or a number out of range.

    >>> whole_number("rows", 3), whole_number("seed", 0, minimum=0)
    (3, 0)
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (minimum is not None and number < minimum):
        wanted = "" if minimum is None else f" from {minimum} up"
        raise InputError(f"{name} is {value!r:.40}: give a whole number{wanted}")
    if number > LARGEST:
        raise InputError(f"{name} is {value!r:.40}: give a whole number of at most {LARGEST}")
    return number
