"""Padded rows: the problem that a method is given, and its result with the padding removed."""

from __future__ import annotations

from dataclasses import replace

from ppl_models.inference.method import declaration
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result


def for_method(method: str, problem: Problem) -> Problem:
    """The problem on padded rows where the method and the program allow it.

    Args:
        method: name of the method.
        problem: program and data.
    """
    if not declaration(method).pads_rows or problem.padded is None:
        return problem
    return problem.padded


def without_padding(result: Result, rows: int) -> Result:
    """A method's result without the entries of padding rows.

    Args:
        result: of the method.
        rows: how many there are.
    """
    if result.assignment is None:
        return result
    return replace(result, assignment=result.assignment[..., :rows])
