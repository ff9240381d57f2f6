"""The priors of many data sets, and whether they are all that depends on the data.

A program is read once. Other data sets of it differ in their rows, which statistics sum up, and in
the priors that the program sets by its data (its mean, its spread, its number of rows). Those are
read for every data set, and all else is checked to be the same whatever the data: by the trace, in
which nothing else may come from them, and by values, for data sets of different lengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.interpreters import partial_eval
from numpyro import handlers
from numpyro.primitives import Messenger

from ppl_models.distributions.scaled import weigh
from ppl_models.inference.problem import Problem
from ppl_models.program.densities.pieces import Pieces
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.structure import Structure

Data = Mapping[str, np.ndarray]
SEVERAL = 64  #: data sets of one length from which on their priors are read in one compiled pass


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class GroupModel(Model):
    """A program whose priors of some sites are given: those that it sets by a group's data.

    Args:
        known: site -> its prior.
    """

    known: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, known: Mapping[str, Any]) -> GroupModel:
        """A program, the priors of some sites given."""
        return cls(**{f.name: getattr(model, f.name) for f in fields(Model)}, known=dict(known))

    def tree_flatten(self) -> tuple[tuple, tuple]:
        """Arrays are leaves."""
        leaves, static = super().tree_flatten()
        return (*leaves, self.known), static

    @classmethod
    def tree_unflatten(cls, static: tuple, leaves: tuple) -> GroupModel:
        """Inverse of flatten."""
        return cls.of(Model.tree_unflatten(static, leaves[:-1]), leaves[-1])

    def pieces(
        self,
        values: Mapping[str, Any],
        structure: Structure,
        known: Mapping[str, Any] | None = None,
    ) -> Pieces:
        """As of any program, with the given priors in the place of its own."""
        return super().pieces(values, structure, {**(known or {}), **self.known})


def dependence(problem: Problem, others: Sequence[tuple[Model, Structure]]) -> str | None:
    """Why the program cannot be read once for all data sets; None if it can.

    Args:
        problem: the program with the data of one group.
        others: the same program with those of some others, of different lengths if there are.
    """
    structure, known = problem.structure, problem.known_priors
    values = structure.initial(make_key(2))

    def rest(data: Any, values: Globals, known: Any) -> Any:
        return _rest(problem.model.with_data(data).pieces(values, structure, known))

    count = len(jax.tree.leaves(problem.model.data))
    traced = jax.make_jaxpr(rest)(problem.model.data, values, known)
    outputs = [True] * len(traced.jaxpr.outvars)
    used = partial_eval.dce_jaxpr(traced.jaxpr, outputs)[1]
    if any(used[:count]):
        return "its densities depend on the data as a whole, beyond priors of single sites"
    here = _evaluated(problem.model, values, known, structure=structure)
    for model, read in others:
        if read.sites != structure.sites or _any_length(read) != _any_length(structure):
            return "its sites are not the same for all groups"
        there = _evaluated(model, values, known, structure=read)
        pairs = zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True)
        if not all(np.shape(a) == np.shape(b) and np.allclose(a, b, 1e-12, 0) for a, b in pairs):
            return "its densities depend on the number of rows, beyond priors of single sites"
    return None


def _any_length(structure: Structure) -> Structure:
    return replace(structure, rows=0, assignment_shape=structure.assignment_shape[:-1])


def _rest(pieces: Pieces) -> Any:
    """What is left of a program where priors are known: all that a pass over rows needs."""
    parameters = {n: f.named_parameters() for n, f in pieces.families().items()}
    return pieces.log_prior, pieces.log_weights, parameters


@quickly(static=("structure",))
def _evaluated(model: Model, values: Globals, known: Any, *, structure: Structure) -> Any:
    return _rest(model.pieces(values, structure, known))


class _Enough(Exception):
    """The sites of the rows have come, and all priors before them."""


class _UpTo(Messenger):
    def __init__(self, fn: Any, names: tuple[str, ...]):
        super().__init__(fn)
        self.names = names

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and msg["name"] in self.names:
            raise _Enough


def priors_of_groups(problem: Problem, data: Sequence[Data]) -> dict[str, Any]:
    """The priors that do not depend on other sites, by site, their numbers ``(group, ...)``.

    Groups of one length are read in one compiled pass where there are many of them; others one by
    one, by running the program up to its rows, which compiles nothing.

    Args:
        problem: the program with the data of one of the groups.
        data: of every group.
    """
    names = tuple(problem.known_priors)
    own = {n: problem.known_priors[n] for n in names}
    like, tree = jax.tree.flatten(own)
    priors: list[Any] = [None] * len(data)
    lengths: dict[int, list[int]] = {}
    for place, each in enumerate(data):
        lengths.setdefault(len(next(iter(each.values()))), []).append(place)
    at = problem.structure.initial(make_key(0))
    for members in lengths.values():
        alone = len(members) < SEVERAL
        for group in members if alone else ():
            priors[group] = _run(problem, data[group], names, at, tree)
        left = [i for i in members if priors[i] is None]
        if left:
            stacked = {n: np.stack([data[i][n] for i in left]) for n in data[left[0]]}
            several = _of_one_length(problem.model, stacked, at, structure=problem.structure)
            arrays = [np.asarray(v) for v in jax.tree.leaves({n: several[n] for n in names})]
            for place, group in enumerate(left):
                priors[group] = [leaf[place] for leaf in arrays]
    leaves = [_stacked([each[i] for each in priors], leaf) for i, leaf in enumerate(like)]
    return jax.tree.unflatten(tree, leaves)


def _stacked(parts: Sequence[np.ndarray], like: Any) -> np.ndarray:
    stacked = np.empty((len(parts), *np.shape(like)), jnp.result_type(like))
    for place, part in enumerate(parts):
        stacked[place] = part
    return stacked


@quickly(static=("structure",))
def _of_one_length(
    model: Model, data: dict[str, Any], values: Globals, *, structure: Structure
) -> Any:
    def one(data: dict[str, Any]) -> Any:
        rows = len(next(iter(data.values())))
        return model.with_data(data).pieces(values, replace(structure, rows=rows)).priors

    return jax.vmap(one)(data)


def _run(
    problem: Problem, data: Data, names: tuple[str, ...], values: Globals, tree: Any
) -> list[np.ndarray] | None:
    """Numbers of the priors by running the program up to its rows; None where that is not all."""
    held = handlers.substitute(problem.model.with_data(data).held(), data=values)
    program = _UpTo(handlers.seed(held, random.key(0)), problem.structure.row_sites)
    recorder = handlers.trace()
    with recorder:
        try:
            program()
        except _Enough:
            pass
    sites = recorder.trace
    if not all(n in sites and weigh(sites[n])[1] is None for n in names):
        return None
    leaves, read = jax.tree.flatten({n: sites[n]["fn"] for n in names})
    return [np.asarray(v) for v in leaves] if read == tree else None
