"""Checkpoints of fits: which methods write them, and the settings that identify a fit."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ppl_models.errors import UnsupportedError
from ppl_models.inference.method import declaration, methods_that
from ppl_models.inference.problem import Problem
from ppl_models.program.arguments.json_text import to_json
from ppl_models.program.arguments.known_values import known_values
from ppl_models.program.reading import given_arguments
from ppl_models.program.runtime.checkpoint import Checkpoint, digest


def settings_of(method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that tell a fit from another: but not a sampler's number of draws.

    Args:
        method: its name.
        options: its options.

    >>> settings_of("gibbs", {"draws": 10, "warmup": 5})
    {'warmup': 5}
    """
    draws = declaration(method).kind == "draws"
    return {n: v for n, v in options.items() if not (draws and n == "draws")}


def refuse_checkpoint(method: str) -> None:
    """Refuse a method whose state is not kept.

    Raises:
        UnsupportedError: the methods that keep theirs.
    """
    if not declaration(method).keeps_states:
        those = " or ".join(methods_that(lambda each: each.keeps_states))
        raise UnsupportedError(
            f"method {method!r} keeps no states on disk: leave checkpoint= out, or use {those}"
        )


def keeping_states(problem: Problem, folder: str | Path, **settings: Any) -> Problem:
    """The problem, whose method keeps its states in a folder.

    Args:
        problem: program and data.
        folder: of the states.
        **settings: that tell the fit from another, as texts or numbers.

    Raises:
        InputError: a folder of another fit.
    """
    model = problem.model
    data = {**model.data, **known_values(model.arguments)}
    if model.weights is not None:
        data["weights of rows"] = model.weights
    fingerprint = {
        **settings,
        "source": _source(model.function),
        "arguments": to_json(given_arguments(model.function, model.arguments)),
        "fixed": to_json(model.held_values),
        "data": digest({n: np.asarray(v) for n, v in data.items()}),
        "rows in blocks": None if problem.blocks is None else problem.blocks.summary.to_text(),
    }
    return replace(problem, checkpoint=Checkpoint.open(folder, fingerprint))


def _source(function: Any) -> str:
    """The program's text, where it has one."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return repr(getattr(function, "__qualname__", function))
