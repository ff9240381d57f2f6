"""Sites of which some entries are held: known components beside unknown ones.

A handler around the program draws the unknown entries alone, under a name of their own, and gives
the program the complete value: the site ``loc`` with a known row becomes

    loc_unknown ~ the prior of the other rows
    loc = the known rows and these                              (a deterministic site)

so that every method sees an ordinary program. Known entries are constants: they do not inform the
hyper-parameters of the others. The unknown entries of a Dirichlet vector, divided by their sum,
have a Dirichlet distribution: of known π_1 = c,

    (π_2, ..., π_K) = (1 - c) Dirichlet(a_2, ..., a_K).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array
from numpyro.distributions.distribution import ExpandedDistribution
from numpyro.primitives import Messenger, apply_stack

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.priors.broadcast import part_of
from ppl_models.distributions.priors.scales_and_blocks import plain
from ppl_models.errors import InputError
from ppl_models.program.trace.axes import site_axes

SUFFIX = "_unknown"  #: of the name of the site that the entries that are not held have


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class PartlyFixed:
    """A site some entries of which are held.

    Args:
        values: of the whole site; NaN where it is not held.
        unknown: which entries are not held, as bytes of a boolean array; static.
    """

    values: Any
    unknown: bytes

    @classmethod
    def of(cls, values: np.ndarray) -> PartlyFixed:
        """Entries that are NaN are not held."""
        return cls(values, missing_cells(values).tobytes())

    @property
    def mask(self) -> np.ndarray:
        """Which entries are not held, in the site's shape."""
        return np.frombuffer(self.unknown, bool).reshape(np.shape(self.values))

    def tree_flatten(self) -> tuple[tuple[Any], bytes]:
        """The values are leaves."""
        return (self.values,), self.unknown

    @classmethod
    def tree_unflatten(cls, unknown: bytes, leaves: tuple[Any]) -> PartlyFixed:
        """Inverse of flatten."""
        return cls(leaves[0], unknown)


class Holding(Messenger):
    """Give the program sites whose held entries have their values, and draw the others."""

    def __init__(self, fn: Callable | None, held: Mapping[str, PartlyFixed]):
        super().__init__(fn)
        self.held = held
        self.completions: dict[str, Callable[[Array], Array]] = {}
        self.event_dims: dict[str, tuple[str, ...]] = {}

    def process_message(self, message: dict[str, Any]) -> None:
        """Replace the site's distribution by that of its unknown entries."""
        name = str(message.get("name"))
        if name in {f"_{site}{SUFFIX}_log_det" for site in self.held}:
            # the volume of an unconstrained space, which the plates around the site have expanded
            while isinstance(message["fn"], ExpandedDistribution):
                message["fn"] = message["fn"].base_dist
            message["cond_indep_stack"] = []
        if message["type"] != "sample" or name not in self.held or message["is_observed"]:
            return
        known = self.held[name]
        dims = site_axes(name, message, known.mask.ndim)
        event = message["fn"].event_dim
        self.event_dims[name] = dims[len(dims) - event :]
        message["fn"], self.completions[name + SUFFIX], axes = _rest(
            name, message["fn"], known, dims
        )
        message["name"] = name + SUFFIX
        message["cond_indep_stack"] = []
        message["infer"] = {**message["infer"], "event_dims": axes}

    def postprocess_message(self, message: dict[str, Any]) -> None:
        """Give the program the complete value."""
        # handlers outside have seen the unknown entries; the program gets all of them
        complete = self.completions.get(str(message.get("name")))
        if complete is not None and message["type"] == "sample":
            name = str(message["name"]).removesuffix(SUFFIX)
            # a deterministic site, whose event axes have the names that the program gave them
            site: dict[str, Any] = {
                "type": "deterministic",
                "name": name,
                "value": complete(message["value"]),
                "cond_indep_stack": [],
                "infer": {"event_dims": self.event_dims[name]},
            }
            message["value"] = apply_stack(site)["value"]


def _rest(
    name: str, fn: Any, known: PartlyFixed, dims: tuple[str, ...]
) -> tuple[Any, Callable[[Array], Array], list[str]]:
    """The distribution of the unknown entries, the function that completes them, and their axes."""
    base, mask = plain(fn), known.mask
    values = jnp.asarray(known.values)
    event = base.event_dim
    if event and not whole_events(mask, event):  # some of the shares of a Dirichlet vector
        left = np.flatnonzero(mask)
        remainder = 1 - jnp.where(mask, 0, values).sum()
        prior = dist.Dirichlet(jnp.broadcast_to(base.concentration, mask.shape)[left])
        return prior, lambda drawn: values.at[left].set(remainder * drawn), [f"{name}_entry"]
    batch = mask.reshape(*mask.shape[: mask.ndim - event], -1).any(-1) if event else mask
    rows = batch.reshape(len(batch), -1)
    if (rows == rows[:, :1]).all():  # whole components, whose other axes stay as they are
        index: Any = (np.flatnonzero(rows[:, 0]),)
        axes = [f"{name}_entry", *dims[1:]]
    else:
        index = np.nonzero(batch)
        axes = [f"{name}_entry", *dims[batch.ndim :]]
    prior = part_of(fn, index, name)
    drawn_from = prior.to_event(len(prior.batch_shape))
    return drawn_from, lambda drawn: values.at[index].set(drawn), axes


def whole_events(mask: np.ndarray, event_dim: int) -> bool:
    """Whether every event (a vector, a matrix) is wholly known or wholly unknown."""
    events = mask.reshape(*mask.shape[: mask.ndim - event_dim], -1)
    return bool((events.all(-1) == events.any(-1)).all())


def partly_fixed(name: str, values: np.ndarray, support: Any) -> np.ndarray | PartlyFixed:
    """Values that a site is held at; of a part of it where some are NaN.

    Args:
        name: of the site.
        values: in its shape.
        support: of the site.

    Raises:
        InputError: held values outside the support, or a part of a vector or matrix that has no
            meaning by itself.

    >>> partly_fixed("weights", np.array([0.25, np.nan]), dist.constraints.simplex)
    array([0.25, 0.75])
    """
    gone = missing_cells(values)
    if not gone.any():
        return values
    if gone.all():
        raise InputError(f"fixed has no value for any entry of '{name}': leave it out")
    event = support.event_dim
    single = support
    while hasattr(single, "base_constraint"):
        event_of_one = single.base_constraint.event_dim
        single, event = single.base_constraint, event_of_one
    if whole_events(gone, event):
        filled = np.where(gone, np.asarray(single.feasible_like(jnp.asarray(values))), values)
        if not np.all(single(filled)):
            raise InputError(f"fixed holds '{name}' at {values.tolist()}, outside {single}")
        return PartlyFixed.of(values)
    if single is not dist.constraints.simplex or values.ndim != 1:
        raise InputError(
            f"fixed holds a part of a {'vector' if event == 1 else 'matrix'} of '{name}', whose "
            "entries cannot be fixed separately: give all entries of a component, or NaN for all"
        )
    held_sum = np.nansum(values)
    if (values[~gone] < 0).any() or not held_sum < 1:
        raise InputError(
            f"fixed holds probabilities of '{name}' that sum to {held_sum:g}: give non-negative "
            "ones that leave a remainder for the others"
        )
    if gone.sum() == 1:
        return np.where(gone, 1 - held_sum, values)
    return PartlyFixed.of(values)
