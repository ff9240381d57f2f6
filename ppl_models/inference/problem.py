"""What a method is asked: a program with its data, and what was read off both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.convert import as_family
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.distributions.sequences.autoregressive import Autoregressive, as_autoregressive
from ppl_models.inference.last_states import LastStates
from ppl_models.inference.method import Capability, Lack
from ppl_models.inference.statistics.chunks import ASSIGNED, Chunks, cut
from ppl_models.program.block_rows import RowBlocks
from ppl_models.program.densities.pieces import Pieces
from ppl_models.program.model import KNOWN_CLUSTER, Model, evaluate
from ppl_models.program.own_data import OwnData, computed_from_own_data
from ppl_models.program.parameters.axes import cluster_axes, state_axes
from ppl_models.program.parameters.component_densities import (
    ClusterDensities,
    StateDensities,
    TermDensities,
    mixture_terms,
)
from ppl_models.program.parameters.dependencies import hyperparameters, site_dependencies
from ppl_models.program.parameters.exchangeability import (
    LabelSwaps,
    clusters_exchangeable,
    label_swaps,
    states_exchangeable,
)
from ppl_models.program.parameters.label_symmetry import Densities, LabelSymmetry, find_symmetry
from ppl_models.program.parameters.parameter_map import ParameterMap, read_parameter_map
from ppl_models.program.rows.order import rows_depend_on_places
from ppl_models.program.rows.padding import padded
from ppl_models.program.runtime.checkpoint import Checkpoint
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.structure import Structure


@dataclass(frozen=True)
class Problem:
    """A program, its data and what was read off it; each thing is read when first asked for.

    Args:
        model: the program with data, arguments and fixed sites.
        structure: what was read off its trace.
        progress: whether to show progress bars.
        same_program: a problem of the same program with other data of the same shape, whose
            reading is taken over.
        prepared: the data cut into chunks, where somebody has cut them.
        known_row_order: ``row_order``, where it was found out before.
        blocks: all rows in blocks, of which the model's data are a sample.
        checkpoint: where the method's states are kept.
        last_states: where its Markov chains end, and where those of a fit before ended.
    """

    model: Model
    structure: Structure
    progress: bool = False
    same_program: Problem | None = field(default=None, repr=False)
    prepared: Chunks | None = field(default=None, repr=False)
    known_row_order: bool | None = field(default=None, repr=False)
    blocks: RowBlocks | None = field(default=None, repr=False)
    checkpoint: Checkpoint | None = field(default=None, repr=False)
    last_states: LastStates | None = field(default=None, repr=False)

    def on_data(self, model: Model, chunks: Chunks) -> Problem:
        """The same problem on other data, which may be traced: nothing is read anew."""
        return replace(self, model=model, same_program=self, prepared=chunks)

    def with_locals(self) -> Problem:
        """The same problem, its rows' own continuous sites drawn or fitted like global ones."""
        if not self.structure.locals:
            return self
        structure = self.structure.with_locals()
        return Problem(
            self.model,
            structure,
            self.progress,
            checkpoint=self.checkpoint,
            last_states=self.last_states,
        )

    @cached_property
    def padded(self) -> Problem | None:
        """The same problem on padded rows, where that gives the same answer; see ``padding``."""
        if self.same_program is not None or self.prepared is not None or self.blocks is not None:
            return None
        wider = padded(self.model, self.structure)
        if wider is None:
            return None
        return Problem(*wider, self.progress, known_row_order=self.known_row_order)

    @property
    def program(self) -> tuple[Model, Structure]:
        """The program and its structure."""
        return self.model, self.structure

    @property
    def read_from(self) -> Problem | None:
        """The problem of the same program whose reading is reused; None if there is none."""
        return self.padded if self.same_program is None else self.same_program

    # ---- what was read off the program -------------------------------------------------------

    @cached_property
    def example(self) -> Pieces:
        """The program's densities at arbitrary values of the global sites."""
        if self.read_from is not None:
            return self.read_from.example
        values = self.structure.initial(make_key(0))
        return evaluate(self.model, values, structure=self.structure)

    @cached_property
    def dependencies(self) -> dict[str, frozenset[str]]:
        """Site -> the global sites that its distribution depends on."""
        if self.read_from is not None:
            return self.read_from.dependencies
        return site_dependencies(self.model, self.structure)

    @cached_property
    def parameter_map(self) -> ParameterMap:
        """Which site is which parameter."""
        if self.read_from is not None:
            return self.read_from.parameter_map
        return read_parameter_map(self.model, self.structure, self.dependencies)

    @property
    def exchangeable(self) -> bool:
        """Whether all clusters, or states, may change places without a change of the density."""
        return self.labels.full

    @cached_property
    def labels(self) -> LabelSymmetry:
        """Which components may change places, and which axes of the sites go with them.

        Of exponential families the parameters tell it, without a pass over the data. Clusters that
        rows are known to be of stay where they are.
        """
        if self.read_from is not None:
            return self.read_from.labels
        known = self.model.data.get(KNOWN_CLUSTER)
        if known is None:
            return self._program_labels()
        named = {int(k) for k in np.unique(np.asarray(known)) if k >= 0}
        return self._program_labels().without(
            named, "labels= says which cluster some rows are of, which tells the clusters apart"
        )

    def _program_labels(self) -> LabelSymmetry:
        axes: Mapping[str, tuple[int, ...]] = {}
        if self.states and states_exchangeable(
            self.model, self.structure, self.parameter_map, self.states
        ):
            known = state_axes(self.structure, self.parameter_map, self.states)
            axes = {name: own for name, (own, _) in known.items()}
        elif clusters_exchangeable(self.model, self.structure, self.parameter_map):
            axes = cluster_axes(self.structure, self.parameter_map)
        if axes:
            count = self.states or self.structure.clusters
            places = {n: tuple((a, 0) for a in own) for n, own in axes.items() if own}
            return LabelSymmetry(count, (tuple(range(count)),), places, reason="")
        densities = self.component_densities
        if densities is None:
            return LabelSymmetry()
        return find_symmetry(densities, self.model, self.structure, self.parameter_map)

    @cached_property
    def component_densities(self) -> Densities | None:
        """Densities by cluster, by hidden state or by term of a mixture; None where none are."""
        if self.structure.assignment is not None:
            return ClusterDensities(self.model.without_labels(), self.structure)
        if self.states:
            return StateDensities(self.model, self.structure, self.states)
        if self.terms:
            return TermDensities(self.model, self.structure, self.terms)
        return None

    @cached_property
    def terms(self) -> int:
        """Number of terms of an emission that is a mixture distribution; else 0."""
        emissions = list(self.example.emissions.values())
        return mixture_terms(self.model, self.structure, emissions[0])

    @cached_property
    def label_swaps(self) -> LabelSwaps | None:
        """What label swaps permute, where clusters are not exchangeable; None where they are."""
        if self.read_from is not None:
            return self.read_from.label_swaps
        if self.structure.assignment is None or self.exchangeable:
            return None
        if KNOWN_CLUSTER in self.model.data:  # a swap is judged by counts, not by whose rows
            return None
        return label_swaps(self.model, self.structure, self.parameter_map, self.example.priors)

    @cached_property
    def known_priors(self) -> dict[str, Any]:
        """The priors that do not depend on other sites: read once, for any number of passes."""
        return {n: p for n, p in self.example.priors.items() if not self.dependencies.get(n)}

    @property
    def independent_priors(self) -> dict[str, Any] | None:
        """The priors of all global sites where none depends on another site; else None."""
        known = self.known_priors
        return known if set(known) == set(self.structure.names) else None

    @cached_property
    def own_data(self) -> OwnData | None:
        """Why new data cannot be drawn: their distribution is computed from the data themselves."""
        return computed_from_own_data(self.model, self.structure)

    @cached_property
    def row_order(self) -> bool:
        """Whether a row's density depends on its place or on the other rows."""
        if self.structure.own_axes:
            return True
        if self.known_row_order is not None:
            return self.known_row_order
        if self.same_program is not None:
            return self.same_program.row_order
        return rows_depend_on_places(self.model, self.structure)

    @cached_property
    def rowwise_plans(self) -> dict[bool, Any]:
        """Cache of :func:`.rowwise.m_step.rowwise_plan`, by whether priors are left out."""
        return {} if self.read_from is None else self.read_from.rowwise_plans

    @property
    def cells(self) -> int:
        """Number of densities per cluster in a pass: of rows, or of the cells that make them up."""
        units = self.model.units
        several = 0 if units is None else sum(len(place) for place in units.rows.values())
        return max(self.structure.rows, several)

    @cached_property
    def free_sites(self) -> tuple[str, ...]:
        """The global sites that the likelihood knows: all but the parameters of priors."""
        if self.read_from is not None:
            return self.read_from.free_sites
        above = hyperparameters(self.dependencies, self.structure)
        return tuple(name for name in self.structure.names if name not in above)

    # ---- emissions ---------------------------------------------------------------------------

    @cached_property
    def emission_families(self) -> dict[str, ExponentialFamily | None]:
        """Emission -> its family, one batch axis: the component.

        None where it is no exponential family, or where its parameters differ from row to row.
        """
        families: dict[str, ExponentialFamily | None] = {}
        for name, emission in self.example.emissions.items():
            by_cell = name in self.structure.indexed or self.structure.panel
            family = None if by_cell else as_family(emission)
            by_row = family is not None and family.batch_shape[-1:] not in ((), (1,))
            families[name] = None if family is None or by_row else family.components()
        return families

    @cached_property
    def families(self) -> dict[str, ExponentialFamily]:
        """The emission families.

        Raises:
            UnsupportedError: an emission that is none; see ``capabilities.FAMILIES``.
        """
        return self.example.families()

    @cached_property
    def autoregressive(self) -> dict[str, Autoregressive]:
        """Emission -> its distribution, of those that are written token by token."""
        every = {n: as_autoregressive(e) for n, e in self.example.emissions.items()}
        return {n: emission for n, emission in every.items() if emission is not None}

    @cached_property
    def latent(self) -> bool:
        """Whether an emission has latent variables of its own, such as a state path."""
        return any(f is not None and f.latent for f in self.emission_families.values())

    @cached_property
    def states(self) -> int:
        """Number of hidden states of a program without another discrete site; else 0."""
        if self.structure.assignment is not None or not self.latent:
            return 0
        return max((f.states for f in self.emission_families.values() if f is not None), default=0)

    @cached_property
    def sums_rows_up(self) -> bool:
        """Whether sufficient statistics sum the rows up: families and weights that rows share."""
        if self.read_from is not None:
            return self.read_from.sums_rows_up
        if self.structure.locals or self.structure.given_locals:
            return False
        weights = self.example.log_weights
        common = weights is None or weights.shape[1] == 1
        families = all(f is not None for f in self.emission_families.values())
        if self.structure.by_logits:
            return False
        return common and families and self.moving_scale is None

    # ---- data --------------------------------------------------------------------------------

    @cached_property
    def chunks(self) -> Chunks:
        """The data, cut into chunks."""
        if self.prepared is not None:
            return self.prepared
        weights, by_row = self.model.weights, dict(self.scales)
        if KNOWN_CLUSTER in self.model.data:
            by_row[KNOWN_CLUSTER] = np.asarray(self.model.data[KNOWN_CLUSTER], float)
        present = None
        if self.model.padding:
            weights, present = None, np.asarray(weights) > 0
        return cut(self.model.data, self.families, scales=by_row, weights=weights, present=present)

    @cached_property
    def scales(self) -> dict[str, np.ndarray]:
        """The factors of the rows' log-densities, as chunks of the data hold them.

        ``(row,)`` by emission, and under ``ASSIGNED`` those of the assignment; of sites that
        ``numpyro.handlers.scale`` or ``mask`` multiplies. See ``capabilities.FIXED_SCALES``.
        """
        if self.read_from is not None:
            return self.read_from.scales
        factors = {}
        for name, scale in self.example.scales.items():
            key = ASSIGNED if name == self.structure.assignment else name
            row = np.asarray(scale, float)
            row = row[0] if row.ndim > 1 else row
            factors[key] = np.broadcast_to(row, (self.structure.rows,))
        return factors

    @cached_property
    def moving_scale(self) -> str | None:
        """A site whose factor depends on the cluster or on global sites; None where none does."""
        if self.read_from is not None:
            return self.read_from.moving_scale
        scales = self.example.scales
        if not scales:
            return None
        values = self.structure.initial(make_key(3))
        other = evaluate(self.model, values, structure=self.structure)
        for name, scale in scales.items():
            by_cluster = np.ndim(scale) > 1 and bool((scale != scale[:1]).any())
            if by_cluster or not np.array_equal(scale, other.scales[name]):
                return name
        return None

    @cached_property
    def deviations(self) -> dict[str, Any]:
        """Standard deviation of every feature of real-valued data, over rows or over all steps."""
        if self.blocks is not None:
            return {n: jax.device_put(self.blocks.summary.deviation) for n in self.families}
        deviations = {}
        for name, family in self.families.items():
            value = np.asarray(self.model.data[name], float)
            steps = family.latent and value.ndim > 2
            if self.model.weights is not None:
                shape = (len(value), *[1] * (value.ndim - 1))
                weights = np.where(missing_cells(value), 0, np.reshape(self.model.weights, shape))
                over = (0, 1) if steps else 0
                mean = np.nansum(weights * value, axis=over) / weights.sum(over)
                square = np.nansum(weights * (value - mean) ** 2, axis=over) / weights.sum(over)
                deviations[name] = jax.device_put(np.sqrt(square))
                continue
            deviations[name] = jax.device_put(np.nanstd(value, axis=(0, 1) if steps else 0))
        return deviations

    # ---- capabilities ------------------------------------------------------------------------

    @cached_property
    def _lacks(self) -> dict[Capability, Lack | None]:
        return {}

    def lack(self, capability: Capability) -> Lack | None:
        """Why a capability is not offered; None if it is. Checked once and remembered."""
        if capability not in self._lacks:
            self._lacks[capability] = capability.lack(self)
        return self._lacks[capability]

    def offers(self, *capabilities: Capability) -> bool:
        """Whether all of these are offered, asked in their order."""
        return all(self.lack(capability) is None for capability in capabilities)
