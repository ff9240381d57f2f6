"""Restoring the program of a fit from its tree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from ppl_models.data.kinds import Observed
from ppl_models.data.kinds.several import value_names
from ppl_models.errors import InputError, UnsupportedError, whole_number
from ppl_models.inference.missing_cells import refuse_missing_cells
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.posterior.result.recent import RECENT
from ppl_models.posterior.result.schema import (
    FACTS,
    GROUP_FACTS,
    HIDDEN,
    MANY,
    ROW_ORDER,
    FitFacts,
    facts_of,
    weights_and_labels,
)
from ppl_models.posterior.result.stored_data import (
    along_axes,
    completed,
    computed_sites,
    fitted_data,
    new_rows,
    read_stored,
)
from ppl_models.program.chains.chain_data import by_step, step_dims
from ppl_models.program.model import KNOWN_CLUSTER, Model
from ppl_models.program.rows.order import ADVICE, PLACES, SEVERAL_CELLS
from ppl_models.program.runtime.precision import scope
from ppl_models.program.trace.structure import Structure


@dataclass(frozen=True)
class RestoredFit:
    """A restored fit: its program, structure and draws, and the rows to evaluate.

    Internal functions take a restored fit instead of a tree: restoring traces the program, which
    takes longer than most computations with it.

    Args:
        tree: the fit.
        facts: what it says of itself.
        problem: the program with the rows.
        observed: the rows as they were read, by data parameter.
        values: global sites ``(sample, ...)``, the draws of one chain after the other's.
        shape: chains and draws.
        fitted: whether the rows are those that the program was fitted to.
    """

    tree: xr.DataTree
    facts: FitFacts
    problem: Problem
    observed: dict[str, Observed]
    values: dict[str, np.ndarray]
    shape: tuple[int, int]
    fitted: bool = True

    @classmethod
    def of_result(
        cls,
        tree: xr.DataTree,
        problem: Problem,
        result: Result,
        observed: Mapping[str, Observed],
    ) -> RestoredFit:
        """The restored fit, from the objects of a running ``fit``, without reading the tree."""
        values = {n: v.reshape(-1, *v.shape[2:]) for n, v in result.values.items()}
        shape = tree["posterior"].sizes["chain"], tree["posterior"].sizes["draw"]
        return cls(tree, facts_of(tree), problem, dict(observed), values, shape)

    @property
    def model(self) -> Model:
        """The program with the rows."""
        return self.problem.model

    @property
    def structure(self) -> Structure:
        """What was read off the program's trace."""
        return self.problem.structure

    @property
    def unit(self) -> str:
        """Name of the rows' dimension."""
        return self.facts.unit

    @property
    def samples(self) -> int:
        """Draws of all chains; 1 where every site is fixed."""
        return math.prod(self.shape) if self.values else 1

    @property
    def hard(self) -> bool:
        """Whether assignments are hard: each row belongs to its best cluster (and best path)."""
        return self.facts.assignments == "hard"

    @property
    def program(self) -> str:
        """Name of the program, for messages."""
        return str(self.tree.attrs["program"])

    def scope(self) -> AbstractContextManager[None]:
        """The floating-point precision of the fit, within which all of it is computed."""
        return precision_of(self.tree)

    def at(self, samples: Any) -> dict[str, np.ndarray]:
        """Global sites of some samples (positions or a slice); None: of all."""
        if samples is None:
            return self.values
        return {n: v[samples] for n, v in self.values.items()}

    def at_sites_of(self, tree: xr.DataTree) -> dict[str, np.ndarray]:
        """Global sites ``(sample, ...)`` of a tree of the same program."""
        return _values(tree, self.structure, None)[0]

    def rows(self, rows: Any) -> tuple[Model, Structure]:
        """The program with some of the rows (positions or a slice), not read anew."""
        chosen = np.arange(self.structure.rows)[rows]
        if np.array_equal(chosen, np.arange(self.structure.rows)):
            return self.model, self.structure
        data = {n: np.asarray(v)[rows] for n, v in self.model.data.items()}
        count = len(chosen)
        if self.problem.row_order:
            why = SEVERAL_CELLS if self.structure.indexed else PLACES
            raise UnsupportedError(f"{why}, so that a part of the rows has none: {ADVICE}")
        part = self.model.with_data(data)
        if self.model.weights is not None:
            part = replace(part, weights=np.asarray(self.model.weights)[rows])
        return part, replace(self.structure, rows=count)

    def dataset(self, variables: Mapping[str, Any]) -> xr.Dataset:
        """Data sites with the names of their features, levels and tokens.

        Args:
            variables: site -> dimensions and values.
        """
        dataset = xr.Dataset(variables)
        names: dict[str, Any] = {}
        for observed in self.observed.values():
            for dim, labels in observed.coords.items():
                if dim in dataset.sizes and len(labels) == dataset.sizes[dim]:
                    names[dim] = np.asarray(labels)
            if "token" in observed.coords:
                dataset.attrs["token"] = [str(t) for t in observed.coords["token"]]
        return dataset.assign_coords(names)

    def unit_coordinates(self) -> dict[str, np.ndarray]:
        """Labels of the exchangeable units."""
        if self.structure.unit_count == self.structure.rows:
            return self.row_coordinates()
        unit, count = self.structure.unit, self.structure.unit_count
        known = (o.coords.get(unit, ()) for o in self.observed.values())
        named = next((labels for labels in known if len(labels) == count), np.arange(count))
        return {unit: np.asarray(named)}

    def by_row(
        self, table: np.ndarray, leading: tuple[str, ...], trailing: tuple[str, ...], name: str
    ) -> xr.DataArray:
        """A table ``(..., row, ...)`` with names; of several series ``(..., series, step, ...)``.

        Args:
            table: the numbers.
            leading: names of the axes before the rows'.
            trailing: of those behind.
            name: of the result.
        """
        coords = self.row_coordinates()
        rows: tuple[str, ...] = (self.unit,)
        if self.structure.chain is not None:
            rows = step_dims(self.structure, self.unit)
            table = by_step(table, self.structure, len(leading))
        if len(rows) > 1:
            steps = np.arange(self.structure.rows // self.structure.unit_count)
            coords = {**self.unit_coordinates(), rows[1]: steps}
        return xr.DataArray(table, coords, (*leading, *rows, *trailing), name=name)

    def row_coordinates(self) -> dict[str, np.ndarray]:
        """Labels of the rows, numbers where they have none."""
        count = self.structure.rows
        # (what a column of codes stands for, before the places of as many lines)
        several = len(self.observed) > 1
        coded = value_names(self.observed).get(self.unit) if several else None
        known = next(iter(self.observed.values())).coords.get(self.unit)
        labels = next((n for n in (coded, known) if n is not None and len(n) == count), None)
        return {self.unit: np.arange(count) if labels is None else np.asarray(labels)}


def precision_of(tree: xr.DataTree) -> AbstractContextManager[None]:
    """Context manager: compute in the floating-point precision of a fit."""
    return scope(tree.attrs.get("precision", "float64"))


@contextmanager
def restored(
    tree: xr.DataTree, data: Any = None, *, draws: int | None = None
) -> Iterator[RestoredFit]:
    """:func:`restore`, and the fit's precision for as long as the block takes.

    A public function ``f(tree, ...)`` opens this and passes the restored fit to an internal
    function.

    Args:
        tree: a fit.
        data: as of :func:`restore`.
        draws: as of :func:`restore`.
    """
    with precision_of(tree):
        yield restore(tree, data, draws=draws)


def restore(tree: xr.DataTree, data: Any = None, *, draws: int | None = None) -> RestoredFit:
    """Read the tree's program on new rows (default: on those that it was fitted to).

    To be called within the fit's precision, as :func:`restored` does.

    Args:
        tree: a fit.
        data: rows in any container that ``fit`` takes.
        draws: use at most this many draws a chain, evenly spaced.

    Raises:
        InputError: not a fit, rows that do not fit its features, levels or tokens, or fewer than
            one draw.
    """
    if draws is not None:
        whole_number("draws", draws)
    if GROUP_FACTS in tree.attrs:
        raise InputError(MANY)
    if FACTS not in tree.attrs or "posterior" not in tree.children:
        raise InputError("this tree is no fit of ppl_models: it lacks its facts or a posterior")
    if data is None:
        problem, observed = RECENT.get(tree, lambda: _on_fitted_rows(tree))
    elif tree.attrs.get(ROW_ORDER, 0):
        raise UnsupportedError(f"{PLACES}, so that new rows have none of their own: {ADVICE}")
    else:
        known = fitted_data(tree)
        rows = completed(new_rows(tree, data), known)
        problem = _problem(tree, rows, known)
        refuse_missing_cells(problem, fitted=True)
        observed = along_axes(rows, problem.model, problem.structure)
    values, shape = _values(tree, problem.structure, draws)
    return RestoredFit(tree, facts_of(tree), problem, observed, values, shape, data is None)


def _on_fitted_rows(tree: xr.DataTree) -> tuple[Problem, dict[str, Observed]]:
    """The program on its fitted rows, and these rows with the sites computed from them."""
    known = fitted_data(tree)
    problem = _problem(tree, known, known, *weights_and_labels(tree))
    return problem, known | computed_sites(known, problem.model, problem.structure)


def _problem(
    tree: xr.DataTree,
    observed: Mapping[str, Observed],
    known: Mapping[str, Observed],
    weights: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> Problem:
    """The program, read on the observed data.

    Raises:
        InputError: a program with a latent variable for every row.
    """
    model, structure = read_stored(tree, observed, known, weights)
    if labels is not None:
        model = replace(model, data={**model.data, KNOWN_CLUSTER: labels})
    return Problem(model, structure, known_row_order=bool(tree.attrs.get(ROW_ORDER, 0)))


def _values(
    tree: xr.DataTree, structure: Structure, draws: int | None
) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
    """Global sites ``(sample, ...)`` of evenly spaced draws; chains and draws."""
    posterior = tree["posterior"].dataset
    every = thinning(posterior.sizes["draw"], draws)
    posterior = posterior.isel(draw=slice(None, None, every))
    hidden = xr.Dataset()
    if HIDDEN in tree.children:
        hidden = tree[HIDDEN].dataset.isel(draw=slice(None, None, every))
    values = {}
    own = () if structure.chain is None else structure.unit_sites
    shapes = {site.name: site.shape for site in structure.sites}
    for name, shape in shapes.items():
        source = posterior if name in posterior else hidden
        array = source[name].transpose("chain", "draw", ...).values
        if name in own and array.shape[2:] != shape:
            raise UnsupportedError(
                f"site '{name}' is one for every {structure.unit}, and these data have others than "
                "the fit: give the same ones, or fit the program to these data"
            )
        values[name] = array.reshape(-1, *array.shape[2:])
    return values, (posterior.sizes["chain"], posterior.sizes["draw"])


def thinning(count: int, draws: int | None) -> int:
    """Stride that thins ``count`` draws to at most ``draws``.

    >>> thinning(1000, 300), thinning(1000, None)
    (3, 1)
    """
    return 1 if draws is None else max(1, count // draws)
