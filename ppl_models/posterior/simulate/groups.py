"""New groups: plates larger than in the fit, whose additional entries are drawn.

A site in a plate over groups has a posterior for those that were fitted. Given the other sites, the
entries of a plate are independent, so that a new group's is drawn from the site's distribution at
the same draw of the posterior.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from numpyro.primitives import Messenger

from ppl_models import catalogue
from ppl_models.data.kinds import Categories, Observed
from ppl_models.data.kinds.categories import known_levels
from ppl_models.data.kinds.several import own_labels
from ppl_models.errors import InputError
from ppl_models.posterior.result.restore import RestoredFit
from ppl_models.posterior.result.stored_data import new_rows
from ppl_models.program.arguments.json_text import from_json
from ppl_models.program.arguments.signature import arguments_of, data_parameters


class Continued(Messenger):
    """Hold sites at values for the first entries of their plates; draw the other entries."""

    def __init__(self, fn: Callable, values: Mapping[str, Array]):
        super().__init__(fn)
        self.values = values

    def process_message(self, message: dict[str, Any]) -> None:
        """Set the value of a site that has one."""
        name = message.get("name")
        if message["type"] != "sample" or name is None or name not in self.values:
            return
        value, distribution = jnp.asarray(self.values[name]), message["fn"]
        shape = distribution.shape()
        if value.shape == shape:
            message["value"] = value
            return
        plates = len(distribution.batch_shape)
        same = len(shape) == value.ndim and shape[plates:] == value.shape[plates:]
        if not same or any(new < old for new, old in zip(shape, value.shape, strict=True)):
            raise InputError(
                f"site '{name}' has the shape {value.shape} in the fit, and {shape} with these "
                "arguments: only plates over groups can have more entries"
            )
        drawn = distribution.sample(message["kwargs"]["rng_key"])
        message["value"] = drawn.at[tuple(map(slice, value.shape))].set(value)


def with_arguments(restored: RestoredFit, arguments: Mapping[str, Any]) -> RestoredFit:
    """The fit's program with some of its arguments changed.

    Args:
        restored: a fit.
        arguments: by name, such as the number of groups.

    Raises:
        InputError: an argument that the program does not take.
    """
    known = dict.fromkeys((*arguments_of(restored.model.function), *restored.model.arguments))
    for name in arguments:
        if name not in known:
            raise InputError(
                f"arguments holds '{name}', and {restored.program} takes "
                f"{', '.join(known) or 'none'}"
            )
    model = replace(restored.model, arguments={**restored.model.arguments, **arguments}, units=None)
    return replace(restored, problem=replace(restored.problem, model=model))


def read_covariates(
    tree: xr.DataTree, data: Mapping[str, Any], arguments: Mapping[str, Any] | None
) -> dict[str, Observed]:
    """Covariates of new rows, which may name groups that the fit has not seen.

    Args:
        tree: a fit.
        data: by parameter.
        arguments: of the program that differ from the fit's.

    Raises:
        InputError: new groups, and no argument that makes room for them.
    """
    if not data:  # (and not a table without columns)
        return {}
    labels = _labels_with_new(tree, data, arguments or {})
    return new_rows(tree, dict(data), labels)


def _labels_with_new(
    tree: xr.DataTree, data: Mapping[str, Any], sizes: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """Labels of all axes, extended by new levels of index arrays.

    Args:
        tree: a fit.
        data: covariates of new rows.
        sizes: changed arguments of the program, one of which has to hold the new levels.

    Raises:
        InputError: more levels than any of the sizes.
    """
    like = {n: list(v) for n, v in from_json(tree.attrs["coordinate_labels"]).items()}
    kinds = data_parameters(catalogue.program(tree.attrs["program"]))
    for site, array in data.items():
        if not issubclass(kinds.get(site, object), Categories):
            continue
        known = known_levels(own_labels(like, site)) or {}
        own = known_levels(Categories.read(array, site=site, fresh=False).coords) or {}
        if len(known) != 1 or len(own) != 1:
            continue
        ((column, levels),), (seen,) = known.items(), own.values()
        new = [label for label in seen if label not in levels]
        if not new:
            continue
        count = len(levels) + len(new)
        if not any(isinstance(v, int | np.integer) and v >= count for v in sizes.values()):
            raise InputError(
                f"'{site}' names {len(new)} new levels ('{new[0]}', ...) beside the fit's "
                f"{len(levels)}: give by arguments= the size of their plate, of at least {count}"
            )
        own_name = f"{site}_level" if f"{site}_level" in like else "level"
        like[own_name] = [f"{column}={label}" for label in (*levels, *new)]
    return like
