"""Hidden Markov models: a Markov chain of states, and what each state emits."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro.distributions import Distribution, constraints

from ppl_models import device
from ppl_models.distributions.convert import as_family
from ppl_models.distributions.exponential.family import ExponentialFamily, Statistics
from ppl_models.distributions.gap_branches import by_gaps
from ppl_models.distributions.hmm.by_row import by_row
from ppl_models.distributions.hmm.forward_backward import PathFactors, PathPosterior
from ppl_models.distributions.hmm.general_emission import GeneralEmission
from ppl_models.distributions.hmm.markov_chain import MarkovChain
from ppl_models.distributions.hmm.sequence_format import (
    SequenceFormat,
    UpToLastObserved,
    observed_steps,
)
from ppl_models.distributions.hmm.state_emissions import StateEmissions
from ppl_models.distributions.hmm.state_paths import StatePaths
from ppl_models.distributions.hmm.trellis import Trellis, posterior


class HiddenMarkov(StatePaths, ExponentialFamily):
    """Sequences x₁ … x_T emitted along a Markov chain of hidden states z₁ … z_T.

        p(x) = Σ_z initial[z₁] Π_t transition[z_t, z_t+1] Π_t p(x_t | z_t)

    With ``initial_transition`` B the Markov chain is of second order: the next state depends on
    two.

        p(x) = Σ_z initial[z₁] B[z₁, z₂] Π_t transition[z_t-1, z_t, z_t+1] Π_t p(x_t | z_t)

    A datum is ``(position, ...)``: an emission's datum at every step. A sequence ends with its
    last step that has an observed cell; steps within it may be missing (NaN; -1 among codes),
    wholly or, where the emission factorises, in part.

    Rabiner (1989), A tutorial on hidden Markov models; Zucchini and MacDonald (2009).

    Args:
        initial: ``batch + (state,)``.
        transition: ``batch + (state, state)``; or ``(state, state + 1)``, whose last column is
            the probability of ending after the state. Of second order one axis of states more.
        emission: a distribution, of this package or of NumPyro, whose last batch axis is the
            state.
        positions: number of positions of a datum.
        initial_transition: of second order, what follows the first state: ``batch + (state,
            state)``, or with as many columns as ``transition`` has.

    Raises:
        InputError: ``initial_transition`` and ``transition`` that do not fit; an emission without
            an axis of states.

    >>> from ppl_models.distributions import UnivariateGaussian
    >>> states = UnivariateGaussian(jnp.array([0.0, 5.0]), jnp.ones(2))
    >>> model = HiddenMarkov(jnp.array([1.0, 0.0]), jnp.full((2, 2), 0.5), states, positions=2)
    >>> round(float(model.log_prob(jnp.array([0.0, 5.0]))), 3)
    -2.531
    """

    latent = True
    component_picture = "transitions"
    factorises = True
    pytree_data_fields = ("markov_chain", "emission")
    pytree_aux_fields = ("positions",)
    arg_constraints: ClassVar[dict[str, Any]] = {
        "initial": constraints.simplex,
        "initial_transition": constraints.independent(constraints.simplex, 1),
        "transition": constraints.independent(constraints.simplex, 1),
    }

    def __init__(
        self,
        initial: Any,
        transition: Any,
        emission: Any,
        *,
        positions: int,
        initial_transition: Any = None,
        validate_args: bool | None = None,
    ):
        family = as_family(emission) or GeneralEmission.by_state(emission)
        self.markov_chain = MarkovChain.of(initial, transition, initial_transition)
        self.emission, self.positions = family, int(positions)
        batch = jnp.broadcast_shapes(self.markov_chain.batch_shape, family.batch_shape[:-1])
        super().__init__(batch, (self.positions, *family.event_shape), validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        """Parameters of the Markov chain and of the emission are the model's own."""
        for part in ("markov_chain", "emission"):
            held = self.__dict__.get(part)
            if held is not None and name in held.parameter_dims:
                return getattr(held, name)
        raise AttributeError(name)

    # ---- parameters --------------------------------------------------------------------------

    def get_args(self) -> dict[str, Any]:
        """Parameters to validate; the emission has validated its own."""
        return self.markov_chain.parameters

    @property
    def parameter_dims(self) -> dict[str, int]:  # type: ignore[override]
        """Those of the Markov chain and of the emission."""
        return {**self.markov_chain.parameter_dims, **self._emissions.parameter_dims}

    @property
    def parameter_axes(self) -> dict[str, tuple[str, ...]]:  # type: ignore[override]
        """Those of the Markov chain and of the emission."""
        return {**self.markov_chain.parameter_axes, **self._emissions.parameter_axes}

    @property
    def shared_parameters(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the emission."""
        return self.emission.shared_parameters

    @property
    def states(self) -> int:  # type: ignore[override]
        """Number of states."""
        return self.markov_chain.states

    @property
    def state_distribution(self) -> Any:  # type: ignore[override]
        """The emission as the program wrote it."""
        general = isinstance(self.emission, GeneralEmission)
        return self.emission.distribution if general else self.emission

    def named_parameters(self) -> dict[str, Array]:
        """Those of the Markov chain and of the emission, which have a value for every state."""
        named = super().named_parameters()
        own = set(self.emission.parameter_dims) - set(self.shared_parameters)
        if isinstance(self.emission, GeneralEmission):
            chain = {n: v for n, v in named.items() if n not in self.emission.parameter_dims}
            return chain | self.emission.named_parameters()
        return {n: self._by_state(v) if n in own else v for n, v in named.items()}

    def _by_state(self, value: Array) -> Array:
        """A parameter with an axis of states: one number for all of them is spread over it."""
        value = value[:, None] if value.ndim == 1 else value
        component, _, *event = value.shape
        return jnp.broadcast_to(value, (component, self.states, *event))

    @property
    def ends(self) -> bool:
        """Whether the Markov chain ends by itself."""
        return self.markov_chain.ends

    @property
    def data_description(self) -> str:  # type: ignore[override]
        """What a step must be."""
        return self.emission.data_description

    @property
    def support(self) -> Any:
        """That of a step, at every step."""
        return constraints.independent(self.emission.support, 1)

    @property
    def keeps_rows(self) -> bool:  # type: ignore[override]
        """Whether the steps themselves are statistics of the emission."""
        return self.emission.keeps_rows

    def static_arguments(self) -> dict[str, Any]:
        """The number of positions."""
        return {"positions": self.positions}

    def replace(self, **parameters: Array) -> HiddenMarkov:
        """The same model with other parameters."""
        chain = {n: parameters.pop(n, v) for n, v in self.markov_chain.parameters.items()}
        emission = self.emission.replace(**parameters) if parameters else self.emission
        return type(self)(**chain, emission=emission, positions=self.positions, validate_args=False)

    @property
    def _emissions(self) -> StateEmissions:
        return StateEmissions(self.emission, self.states)

    @property
    def _is_alone(self) -> bool:
        """Whether there is one component, whatever the batch axes."""
        return math.prod(self.batch_shape) == 1

    # ---- sequences ---------------------------------------------------------------------------

    @property
    def sequences(self) -> SequenceFormat:
        """Which cells of a datum are observed, and where a sequence ends."""
        return UpToLastObserved()

    def centre(self, value: Array) -> Array:
        """That of all steps."""
        return self.emission.centre(self._emissions.steps(value))

    def start_points(self, value: Array) -> Array:
        """Steps as points, ``(position × sequence, coordinate)``."""
        return self.emission.start_points(self._emissions.steps(value))

    def observed_points(self, value: Array) -> Array:
        """Steps with an observed cell."""
        return observed_steps(self.sequences, value).reshape(-1)

    def lengths(self, value: np.ndarray) -> np.ndarray | None:
        """Positions of every sequence that a pass needs."""
        return self.sequences.needed(value)

    def has_missing_cells(self, value: Any) -> bool:
        """Whether steps are missing in part (those that are missing as a whole are left out)."""
        return bool(self.emission.event_dim and self.sequences.in_part(np.asarray(value)))

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Any:
        """Steps as the emission needs them, which have an observed cell, and lengths."""
        cells, seen = self.sequences.observed(value), observed_steps(self.sequences, value)
        steps = self._emissions.prepare(value, cells, seen, missing=missing, centre=centre)
        return {"steps": steps, "seen": seen, "lengths": self.sequences.lengths(value)}

    def numbers_per_row(self, value: Any, *, missing: bool) -> int:
        """Numbers that a pass has at hand for each sequence."""
        paths = self.markov_chain.path_states
        numbers = math.prod(self.batch_shape) * paths * value.shape[1]
        if device.is_wide():  # blocks of steps are entered from every state
            numbers += numbers * paths // device.BLOCK_STEPS
        return math.prod(value.shape[1:]) * 2 + 6 * numbers

    def _factors(self, prepared: Any) -> PathFactors:
        """Of paths that end where their sequences do."""
        lengths, positions = prepared["lengths"], len(prepared["seen"])
        return self.markov_chain.factors_of(lengths, self.sequences.cut(lengths, positions))

    def _trellis(
        self, prepared: Any, *, missing: bool, centre: Array, exact: bool = False
    ) -> Trellis:
        """All paths; if ``exact``, impossible steps have ``-inf``, which has no gradient."""
        log_densities = self._emissions.log_densities(
            prepared["steps"], prepared["seen"], missing=missing, centre=centre, exact=exact
        )
        log_densities = self.markov_chain.per_path_state(log_densities, 1)
        return Trellis(self._factors(prepared), log_densities, prepared["lengths"])

    # ---- densities ---------------------------------------------------------------------------

    def logits(self, prepared: Any, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, sequence)``, paths summed out."""
        return self._trellis(prepared, missing=missing, centre=centre).log_likelihood()

    def impossible(self, prepared: Any, *, missing: bool, centre: Array) -> Array | None:
        """No path that is possible has steps that are."""
        trellis = self._trellis(prepared, missing=missing, centre=centre, exact=True)
        return jnp.isneginf(trellis.log_likelihood())

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-density of whole sequences, paths and missing steps summed out."""
        one_for_all = not self.batch_shape or self.batch_shape[-1] == 1
        if jnp.ndim(value) != self.event_dim + 1 or not one_for_all:
            return by_row(self, jnp.asarray(value), HiddenMarkov.log_prob)
        flat, known = self.components(), None
        if not isinstance(value, jax.core.Tracer):
            known = self.has_missing_cells(value)
        value = jnp.asarray(value)
        centre = jax.lax.stop_gradient(flat.centre(value))

        def contract(missing: bool) -> Array:
            return flat.contract(value, missing=missing, centre=centre)

        if known is not None or not self.emission.event_dim:
            logits = contract(bool(known))
        elif self.emission.factorises:  # cells that are missing cost little
            logits = contract(True)
        else:
            logits = by_gaps(self.sequences.in_part(value), contract)
        return logits.reshape(self.batch_shape[:-1] + (len(value),))

    # ---- expected statistics -------------------------------------------------------------------

    def infer_latents(
        self,
        prepared: Any,
        *,
        missing: bool,
        centre: Array,
        how: str = "mean",
        key: Array | None = None,
    ) -> tuple[Array, Any]:
        """Log-densities ``(component, sequence)``, and what is known of the paths."""
        trellis = self._trellis(prepared, missing=missing, centre=centre)
        if how == "mean":
            log_density, filtered = trellis.forward()
            return log_density, prepared | {"filtered": filtered}
        if how == "best":
            log_density, path = trellis.best_path()
        else:
            assert key is not None
            log_density, path = trellis.sample_path(key)
        return log_density, prepared | {"pairs": path, "path": self.markov_chain.last_state(path)}

    @property
    def draws_missing(self) -> bool:
        """Whether cells of a step are missing in part and do not drop out."""
        return not self.emission.factorises

    def with_drawn_cells(self, key: Array, prepared: Any, chosen: Array, centre: Array) -> Any:
        """Rows with drawn paths, of whose steps the missing cells are drawn too.

        Needed where features are correlated: what is expected of a cell that is missing is no draw.
        """
        family = self._emissions.at(prepared["path"].reshape(-1))
        key = random.fold_in(key, 1)  # the paths were drawn by the key itself
        complete = family.complete(key, prepared["steps"])
        steps = self._emissions.flat.prepare(complete, missing=False, centre=centre)
        return prepared | {"steps": steps}

    def path_posterior(self, inferred: Any, weights: Array) -> PathPosterior:
        """The posterior of paths under ``weights (component, sequence)``; see `infer_latents`."""
        return posterior(self._factors(inferred), inferred, weights)

    def chunk_statistics(
        self, weights: Array, prepared: Any, *, missing: bool, centre: Array
    ) -> Any:
        """Expected first states and transitions, and the emission's statistics."""
        if not {"filtered", "pairs"} & prepared.keys():
            prepared = self.infer_latents(prepared, missing=missing, centre=centre)[1]
        paths = self.path_posterior(prepared, weights)
        return self._statistics(paths, prepared, missing=missing, centre=centre)

    def _statistics(
        self, paths: PathPosterior, prepared: Any, *, missing: bool, centre: Array
    ) -> dict[str, Any]:
        lengths, seen = prepared["lengths"], prepared["seen"]
        cut = self.sequences.cut(lengths, len(seen))
        emitted = self._emissions.chunk_statistics(
            self.markov_chain.last_states(paths.states, 1),
            prepared["steps"],
            seen,
            missing=missing,
            centre=centre,
        )
        chain = self.markov_chain.expected_statistics(paths, lengths, cut)
        return {"chain": chain, "emitted": emitted}

    def finalize(self, added: Any, *, missing: bool, centre: Array) -> Statistics:
        """Those of the Markov chain and those of the emission, each by its name."""
        emission = self._emissions.flat
        emitted = emission.finalize(added["emitted"], missing=missing, centre=centre)
        return {**added["chain"], **emitted}

    def seed_statistics(
        self, weights: Array, value: Array, *, missing: bool, centre: Array
    ) -> Statistics:
        """Statistics under given probabilities of the states, ``(state, step × sequence)``."""
        prepared = self.prepare(value, missing=missing, centre=centre)
        shape = prepared["seen"].shape
        active = jnp.arange(shape[0])[:, None] < prepared["lengths"]
        states = weights.reshape(self.states, *shape) * active
        flat = self.components()
        paths = jax.tree.map(lambda v: v[None], flat.markov_chain.independent_posterior(states))
        added = flat._statistics(paths, prepared, missing=missing, centre=centre)
        return flat.finalize(added, missing=missing, centre=centre)

    # ---- updates -------------------------------------------------------------------------------

    def _of_emission(self, statistics: Statistics) -> Statistics:
        chain = self.markov_chain.parameter_dims
        return {n: v for n, v in statistics.items() if n not in chain}

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        emitted = self._emissions.expected_log_density(self._of_emission(statistics), centre)
        return self.markov_chain.expected_log_density(statistics) + emitted

    def conditional(
        self,
        parameter: str,
        prior: Distribution | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Dirichlets for the Markov chain; the emission's own conditionals for its parameters."""
        if parameter in self.markov_chain.parameter_dims:
            return self.markov_chain.conditional(parameter, prior, statistics, shared=shared)
        if len(self.initial) > 1:
            return None
        return self._emissions.conditional(
            parameter, prior, self._of_emission(statistics), centre, shared=shared
        )

    def collapsed(self, deviation: Array) -> Array:
        """Whether a state has shrunk onto a step or a plane."""
        return self._emissions.collapsed(deviation)
