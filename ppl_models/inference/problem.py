"""What a method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.errors import UnsupportedError
from ppl_models.inference.method import Kind, Method, Treatment
from ppl_models.inference.objective import Objective
from ppl_models.inference.statistics.chunks import Chunks, cut
from ppl_models.program.exchangeability import (
    LabelSwaps,
    clusters_exchangeable,
    label_swaps,
    states_exchangeable,
)
from ppl_models.program.model import Model, Pieces, evaluate
from ppl_models.program.parameter_map import ParameterMap, read_parameter_map
from ppl_models.program.structure import Structure


@dataclass(frozen=True)
class Problem:
    """A program, its data and what was read off it.

    Args:
        model: the program with data, arguments and fixed sites.
        structure: what was read off its trace.
        progress: whether to show progress bars.
    """

    model: Model
    structure: Structure
    progress: bool = False

    @cached_property
    def example(self) -> Pieces:
        """The program's densities at arbitrary values of the global sites."""
        values = self.structure.initial(jax.random.key(0))
        return evaluate(self.model, values, structure=self.structure)

    @cached_property
    def families(self) -> dict[str, ExponentialFamily]:
        """The emission families; refuses a program whose emissions are none."""
        return self.example.families()

    @property
    def latent(self) -> bool:
        """Whether an emission hides something of its own: a path of states."""
        try:
            return any(f.latent for f in self.families.values())
        except UnsupportedError:
            return False

    @cached_property
    def states(self) -> int:
        """Number of states of the hidden paths of a program that assigns nothing else; else 0."""
        if self.structure.assignment is not None or not self.latent:
            return 0
        return max(getattr(f, "states", 0) for f in self.families.values())

    @cached_property
    def chunks(self) -> Chunks:
        """The data, cut into chunks."""
        return cut(self.model.data, self.families)

    @cached_property
    def parameter_map(self) -> ParameterMap:
        """Which site is which parameter."""
        return read_parameter_map(self.model, self.structure)

    @cached_property
    def known_priors(self) -> dict[str, Any]:
        """The priors that do not depend on other sites: read once, for any number of passes."""
        return {
            n: p for n, p in self.example.priors.items() if n not in self.parameter_map.dependent
        }

    def independent_priors(self) -> dict[str, Any] | None:
        """The priors of all global sites where none depends on another site; else None.

        None too where the wiring was not needed so far: to read it costs more than this saves.
        """
        if "parameter_map" not in vars(self) or set(self.known_priors) != set(self.structure.names):
            return None
        return self.known_priors

    @cached_property
    def exchangeable(self) -> bool:
        """Whether clusters, or states, may change places without a change of the density."""
        if self.states:
            return states_exchangeable(self.model, self.structure, self.parameter_map, self.states)
        return clusters_exchangeable(self.model, self.structure, self.parameter_map)

    @cached_property
    def label_swaps(self) -> LabelSwaps | None:
        """How clusters that are not exchangeable trade labels, if there is need of it."""
        if self.structure.assignment is None or self.exchangeable:
            return None
        return label_swaps(self.model, self.structure, self.parameter_map, self.example.priors)

    @cached_property
    def deviations(self) -> dict[str, Any]:
        """Standard deviation of every feature of real-valued data, over rows or over all steps."""
        found = {}
        for name, family in self.families.items():
            value = np.asarray(self.model.data[name], float)
            steps = family.latent and value.ndim > 2
            found[name] = jnp.asarray(np.nanstd(value, axis=(0, 1) if steps else 0))
        return found

    def need_continuous(self, method: str) -> None:
        """Refuse a program with global sites that are whole numbers."""
        for site in self.structure.sites:
            if site.support.is_discrete:
                raise UnsupportedError(
                    f"site '{site.name}' holds whole numbers for all rows, which "
                    f"method='{method}' cannot draw: use method='pitman_yor_gibbs' or 'kneser_ney'"
                )

    def need_statistics(self, method: str) -> None:
        """Refuse a program whose rows no statistics sum up."""
        self.need_continuous(method)
        if self.structure.locals:
            raise UnsupportedError(
                f"site '{self.structure.locals[0]}' is continuous and one for every row, which "
                f"method='{method}' cannot sum out: use method='nuts'"
            )
        _ = self.families
        weights = self.example.log_weights
        if weights is not None and weights.shape[1] != 1:
            raise UnsupportedError(
                f"the weights of site '{self.structure.assignment}' differ from row to row, which "
                f"method='{method}' does not serve: use method='nuts'"
            )

    def need_assignment(self, method: str, *, hidden: bool = False) -> None:
        """Refuse a program without a discrete site to assign (``hidden``: or hidden paths)."""
        if self.structure.assignment is None and not (hidden and self.latent):
            raise UnsupportedError(
                f"the program assigns nothing (it has no discrete hidden site), so that "
                f"method='{method}' has nothing to do: use method='exact', 'em' or 'nuts'"
            )


@dataclass
class Result:
    """What a method found.

    Args:
        values: global site -> ``(chain, draw, ...)``.
        method: the declaration of the method. Of point methods there is one chain of one draw.
        sample_stats: name -> ``(chain, draw)``.
        starts: name -> (dims, array), of point methods.
        path: site -> ``(iteration, ...)``, of the kept start of point methods.
        assignment: ``(chain, draw, row)`` where the method draws or fixes assignments.
        exchangeable: whether clusters mean the same in all draws but for their order, so that
            relabelling makes sense.
        log_prior: site -> ``(chain, draw)``, of sites whose prior the method replaces.
        notes: sentences for the reader: collapsed components, starts that disagree, ...
        attributes: numbers that belong to the fit as a whole, such as ``log_evidence``.
        objective: what was optimised, in the fit or in the search for starts (default: what the
            method declares).
    """

    values: Mapping[str, np.ndarray]
    method: Method
    sample_stats: Mapping[str, np.ndarray]
    starts: Mapping[str, tuple[tuple[str, ...], np.ndarray]] = field(default_factory=dict)
    path: Mapping[str, np.ndarray] = field(default_factory=dict)
    assignment: np.ndarray | None = None
    exchangeable: bool = True
    log_prior: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    attributes: Mapping[str, float] = field(default_factory=dict)
    objective: Objective | None = None

    def __post_init__(self) -> None:
        """What was optimised is what the method declares, if nothing else is said."""
        if self.objective is None:
            self.objective = self.method.objective

    @property
    def kind(self) -> Kind:
        """ "draws" or "point"."""
        return self.method.kind

    @property
    def assignments(self) -> Treatment:
        """Whether assignments and state paths count by probability ("soft") or wholly ("hard")."""
        return self.method.assignments
