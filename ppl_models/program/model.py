"""Reading a program: what is global, what is assigned, what is emitted, and along which plates.

A :class:`Model` is a program together with its data and arguments. Run under a trace with the
assignment held at every value at once, it tells everything that a method needs:

    priors(globals)      the prior of every global site
    log_weights          log P(z = k), (cluster,)
    emissions            p(x | z = k) of every emission site, one component a cluster
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro import handlers
from numpyro.distributions import CategoricalLogits

from ppl_models import catalogue
from ppl_models.data.derived import ROW_WEIGHTS
from ppl_models.distributions.convert import unwrap
from ppl_models.distributions.missing_cells import observed_log_prob
from ppl_models.distributions.priors.scales_and_blocks import prior_density
from ppl_models.distributions.scaled import ScaledPrior, times, weigh
from ppl_models.program.arguments.known_values import KnownArray, with_known_values
from ppl_models.program.chains import chain_densities
from ppl_models.program.densities import given_densities, pair_passes, units
from ppl_models.program.densities.local_integrals import (
    integrated_logits,
    mean_of_shifts,
)
from ppl_models.program.densities.pieces import Pieces, combine
from ppl_models.program.densities.units import Units, by_row
from ppl_models.program.handlers.all_rows import AllRows
from ppl_models.program.handlers.enumeration import AllValues
from ppl_models.program.handlers.improper import InSupport
from ppl_models.program.handlers.partly_fixed import Holding, PartlyFixed
from ppl_models.program.handlers.scan_carries import OneTypeOfCarry
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.structure_reading import structure_of
from ppl_models.program.trace import chains
from ppl_models.program.trace.data_sites import (
    log_factor,
    possible_values,
)
from ppl_models.program.trace.structure import Structure
from ppl_models.submodules import bind_submodules

bind_submodules("numpyro")  # ArviZ, imported before it, loads it lazily

Globals = dict[str, Array]
#: key of the data under which the known cluster of every row is, -1 where it is not known; no
#: parameter has such a name. See ``known_clusters``.
KNOWN_CLUSTER = "known cluster"


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class Model:
    """A program with its data, its arguments and the global sites that are held fixed.

    Array-valued data, arguments and fixed values are leaves, all else is static: a compiled
    function serves every model that differs in numbers only.

    Args:
        function: the program.
        data: site name -> data, as the program's own parameters are called.
        arguments: the program's other arguments.
        fixed: global site -> value that it is held at.
        units: which row each cell belongs to, of programs whose rows have several; see ``units``.
        weights: how often each row counts ``(row,)``; None: once.
        partly: global site -> which of its entries are held, and at what.
        pairs: which two rows each cell of a network belongs to; see ``pair_reading``.
        padding: whether rows of weight 0 are padding and all others count once; see ``padding``.
    """

    function: Callable
    data: dict[str, Any]
    arguments: dict[str, Any]
    fixed: dict[str, Any]
    units: Units | None = None
    weights: Any = None
    partly: dict[str, PartlyFixed] = field(default_factory=dict)
    pairs: Any = None
    padding: bool = False

    def tree_flatten(self) -> tuple[tuple, tuple]:
        """Arrays are leaves."""
        dynamic = {k: v for k, v in self.arguments.items() if _is_array(v)}
        static = tuple(
            sorted((k, _hashable(v)) for k, v in self.arguments.items() if not _is_array(v))
        )
        leaves = (self.data, dynamic, self.fixed, self.units, self.weights, self.partly, self.pairs)
        return leaves, (self.function, static, self.padding)

    @classmethod
    def tree_unflatten(cls, static: tuple, leaves: tuple) -> Model:
        """Inverse of flatten."""
        data, dynamic, fixed, units, weights, partly, pairs = leaves
        arguments = dict(static[1]) | dynamic
        return cls(static[0], data, arguments, fixed, units, weights, partly, pairs, static[2])

    def with_data(self, data: Mapping[str, Any]) -> Model:
        """The same program on other rows, each of which counts once."""
        return replace(self, data=dict(data), units=None, weights=None, pairs=None, padding=False)

    def knowing(self, names: Collection[str]) -> Model:
        """The same program with data of these names as constants of it; see ``known_values``."""
        known = {n: KnownArray(v) for n, v in self.data.items() if n in names}
        data = {n: v for n, v in self.data.items() if n not in names}
        return replace(self, data=data, arguments={**self.arguments, **known})

    def without_labels(self) -> Model:
        """The same program with no cluster of any row known."""
        if KNOWN_CLUSTER not in self.data:
            return self
        return replace(self, data={n: v for n, v in self.data.items() if n != KNOWN_CLUSTER})

    def possible(self, logits: Array) -> Array:
        """Log-densities ``(cluster, row)``, ``-inf`` where the row is known to be elsewhere."""
        known = self.data.get(KNOWN_CLUSTER)
        return logits if known is None else only_known(logits, known)

    def summed(self, by_row: Array) -> Array:
        """The weighted sum over rows of ``(..., row)``."""
        if self.weights is None:
            return by_row.sum(-1)
        # a row of weight 0 may have probability 0
        return jnp.where(self.weights > 0, by_row * self.weights, 0).sum(-1)

    def row_count(self, structure: Structure) -> Any:
        """How many rows there are, each counted as often as it weighs."""
        return structure.rows if self.weights is None else self.weights.sum()

    @property
    def held_values(self) -> dict[str, Any]:
        """Site -> value that it is held at, NaN where it is not."""
        return {**self.fixed, **{n: known.values for n, known in self.partly.items()}}

    def run(self, **handled: Any) -> Any:
        """Call the program with those of the data that are its parameters."""
        if self.partly:
            with Holding(None, self.partly):
                return self._run()
        return self._run()

    def _run(self) -> Any:
        parameters = inspect.signature(self.function).parameters
        data = {n: v for n, v in self.data.items() if n in parameters}
        if not catalogue.is_built_in(self.function):
            # NumPy's arrays take no traced index, such as the step of a scan; the package's own
            # programs have none, and need no copies
            with jax.ensure_compile_time_eval():
                data = {
                    n: jnp.asarray(v) if isinstance(v, np.ndarray) else v for n, v in data.items()
                }
        if self.weights is not None and ROW_WEIGHTS in parameters:
            data[ROW_WEIGHTS] = self.weights
        return OneTypeOfCarry(AllRows(self.function))(**data, **with_known_values(self.arguments))

    # ---- reading -----------------------------------------------------------------------------

    def structure(self) -> Structure:
        """Read the program's sites (by abstract evaluation: nothing is computed)."""
        return structure_of(self)

    def held(self) -> Callable:
        """The program with fixed sites held, and values for priors that cannot be drawn from."""
        if not self.fixed:
            return InSupport(self.run)
        # a program may index them by an assignment, which NumPy's arrays do not take in a trace
        held = {n: jnp.asarray(v) for n, v in self.fixed.items()}
        return InSupport(handlers.condition(self.run, data=held))

    # NumPyro checks constants outside the trace, and each check would be compiled for itself:
    # `structure` has had them all checked
    def trace_at(
        self, values: Mapping[str, Array], structure: Structure, assignment: Any = None
    ) -> dict[str, Any]:
        """Trace with global sites at ``values`` and the assignment at all values (or as given)."""
        program = handlers.substitute(self.held(), data=dict(values))
        if structure.chain is not None:
            path = jnp.zeros((), jnp.int32) if assignment is None else jnp.asarray(assignment)
            held = structure.chain.held(structure.chain.paths_of(path))
            program = handlers.substitute(program, data=held)
            trace = handlers.trace(handlers.seed(program, random.key(0))).get_trace()
            return chains.merge_steps(trace)[0]
        if structure.indexed:  # a cell may look up another row's value: all rows have one
            shape = structure.assignment_shape
            none = jnp.zeros(shape, int)
            assignment = none if assignment is None else jnp.reshape(assignment, shape)
        elif assignment is None:
            assignment = jnp.arange(structure.clusters)[:, None]
        program = AllValues(program, structure.values_of(assignment))
        return handlers.trace(handlers.seed(program, random.key(0))).get_trace()

    def pieces(
        self,
        values: Mapping[str, Array],
        structure: Structure,
        known: Mapping[str, Any] | None = None,
    ) -> Pieces:
        """Priors, weights and emissions with the global sites at ``values``.

        Args:
            values: of the global sites.
            structure: what was read off the program.
            known: priors that were read before and do not depend on other sites. Inside a loop
                they spare the passes over the data that the program sets its priors by.
        """
        trace, priors, log_prior, factors, log_locals = self._priors(values, structure, known)
        if structure.chain is not None:
            of_states, by_step = chain_densities.of_states(self, values, structure)
            return Pieces(priors, log_prior, by_step, None, of_states, {}, factors)
        sites, scales = {}, {}
        for name in structure.row_sites:
            sites[name], scale = weigh(trace[name])
            if structure.labelled is not None and name in structure.discrete:
                scale = trace[name].get("scale")  # the mask says which rows are known
            if scale is not None:
                scales[name] = scale
        log_weights, weights = None, None
        if structure.indexed and structure.assignment is not None:
            weights = unwrap(sites[structure.assignment])
            log_weights = units.log_weights(self, values, structure)
            if structure.combined:
                logits = log_weights.T
                weights = CategoricalLogits(logits[0] if len(logits) == 1 else logits)
        elif structure.assignment is not None:
            combine(structure, sites, scales)
            weights = unwrap(sites[structure.assignment])
            log_weights = weights.log_prob(jnp.arange(structure.clusters)[:, None])
            log_weights = log_weights.reshape(structure.clusters, -1)
        emissions = {name: unwrap(sites[name]) for name in structure.emissions}
        added, possible = None, None
        if structure.row_factors and not structure.indexed:
            added = sum((log_factor(trace[n]) for n in structure.row_factors), jnp.zeros(()))
        if structure.labelled is not None and not structure.indexed:
            values_at = structure.values_of(jnp.arange(structure.clusters)[:, None])
            possible = possible_values(structure, trace, values_at)
        return Pieces(
            priors,
            log_prior,
            log_weights,
            weights,
            emissions,
            scales,
            factors,
            added,
            possible,
            log_locals,
        )

    def _priors(
        self,
        values: Mapping[str, Array],
        structure: Structure,
        known: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], Array, dict[str, Array], Any]:
        """The trace, the priors, ``log_prior``, the factors and ``log_locals``."""
        trace = self.trace_at(values, structure)
        priors, log_prior = dict(known or {}), jnp.zeros(())
        skipped = {
            *structure.row_sites,
            *structure.locals,
            *structure.factors,
            *structure.row_factors,
        }
        skipped |= set(structure.seen)
        skipped |= set(() if structure.chain is None else structure.chain.own_sites)
        log_locals: Any = 0.0
        for name, site in trace.items():
            if site["type"] != "sample" or name in skipped:
                continue
            if name not in self.fixed:
                fn, scale = weigh(site)
                prior = site["fn"] if scale is None else ScaledPrior(fn, scale)
                priors.setdefault(name, prior)
                density = prior_density(priors[name], site["value"])
                if name not in structure.given_locals:
                    log_prior += density.sum()
                elif structure.assignment is None:
                    log_locals += by_row(density, site, structure)
                else:  # by cluster, where it depends on the assignment
                    log_locals += density
        factors = {n: log_factor(trace[n]).sum() for n in structure.factors}
        log_prior += sum(factors.values())
        return trace, priors, log_prior, factors, log_locals

    def log_prior(self, values: Mapping[str, Array], structure: Structure) -> Array:
        """Log prior density of the global sites, and the program's factors."""
        return self._priors(values, structure)[2]

    def logits(self, values: Mapping[str, Array], structure: Structure) -> Array:
        """``log p(z_n = k, x_n)`` of the data's rows, ``(cluster, row)``.

        Of a chain, whose steps are its rows, ``log p(z_t = k | x) + log p(x_t | x_1 ... x_{t-1})``:
        its sums over states add up to the log-density of the series, its softmax is the smoothed
        probability of a state.

        Of a network, whose cells depend on two rows, see ``pair_passes.logits``.

        Continuous sites of the rows are integrated out, or given, see ``Structure.with_locals``.
        Of rows whose cluster is known it is ``-inf`` for all others.
        """
        return self.possible(self._logits(values, structure))

    def _logits(self, values: Mapping[str, Array], structure: Structure) -> Array:
        """:meth:`logits` of rows of unknown clusters."""
        if structure.locals:
            return mean_of_shifts(integrated_logits(self, values, structure))
        if structure.coupled:
            return pair_passes.logits(self, values, structure)
        if structure.indexed:
            return units.logits(self, values, structure)
        if structure.chain is not None:
            return chain_densities.logits(self, values, structure)
        pieces = self.pieces(values, structure)
        total = jnp.zeros((structure.clusters, 1)) + pieces.log_locals
        if pieces.log_weights is not None:
            scale = pieces.scales.get(str(structure.assignment))
            total = total + times(scale, pieces.log_weights)
        for name, emission in pieces.emissions.items():
            density = observed_log_prob(emission, self.data[name])
            total = total + times(pieces.scales.get(name), density)
        if pieces.row_factors is not None:
            total = total + pieces.row_factors
        total = jnp.broadcast_to(total, (structure.clusters, structure.rows))
        return total if pieces.possible is None else jnp.where(pieces.possible, total, -jnp.inf)

    def log_joint_given(
        self, values: Mapping[str, Array], structure: Structure, assignment: Array | None
    ) -> Array:
        """Log joint density of globals, assignments and rows at given assignments ``(row,)``.

        The state before the first step of a chain is summed out.
        """
        if structure.chain is not None:
            assert assignment is not None
            along = chain_densities.log_density_along(self, values, structure, assignment)
            return along + self.log_prior(values, structure)
        return given_densities.log_joint_given(self, values, structure, assignment)


def only_known(logits: Array, known: Array) -> Array:
    """Log-densities ``(cluster, row)``, ``-inf`` where a row is known to be of another cluster.

    Args:
        logits: ``log p(z = k, x_n)``; one column where all rows share them.
        known: cluster of every row ``(row,)``, negative where it is not known.
    """
    clusters = jnp.arange(logits.shape[0])[:, None]
    return jnp.where((known < 0) | (known == clusters), logits, -jnp.inf)


@quickly(static=("structure",))
def evaluate(model: Model, values: Globals, *, structure: Structure) -> Pieces:
    """:meth:`Model.pieces`, compiled once for all values."""
    return model.pieces(values, structure)


def _is_array(value: Any) -> bool:
    return isinstance(value, jax.Array | np.ndarray) or is_dataclass(value)


def _hashable(value: Any) -> Any:
    return tuple(_hashable(v) for v in value) if isinstance(value, list | tuple) else value
