"""Distributions as arguments and results of compiled functions, whatever Python hashes names to.

NumPyro flattens a distribution in the order of a set of strings, which differs from process to
process (``PYTHONHASHSEED``). A compiled function that takes or returns one then differs too, and
misses JAX's cache on disk. Here parameters are flattened in the order of their names. Arrays that
NumPyro calls static, such as the numbers of trials of a multinomial, are leaves here, for they may
be traced.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from numpyro.distributions import Distribution


@jax.tree_util.register_pytree_node_class
class ByName:
    """A distribution whose leaves are in the order of its parameters' names."""

    def __init__(self, distribution: Any) -> None:
        self.distribution = distribution

    def tree_flatten(self) -> tuple[tuple, tuple]:
        """Parameters by name; the class, and what else it holds, are static."""
        kind = type(self.distribution)
        names = kind.gather_pytree_data_fields()
        children, static = self.distribution.tree_flatten()
        order = sorted(range(len(names)), key=lambda i: names[i])
        others = kind.gather_pytree_aux_fields()
        places = [i for i, value in enumerate(static) if isinstance(value, jax.Array | np.ndarray)]
        traced = tuple(sorted(places, key=lambda i: others[i]))
        arrays = tuple(static[i] for i in traced)
        static = tuple(None if i in traced else value for i, value in enumerate(static))
        return (*(by_name(children[i]) for i in order), *arrays), (kind, static, traced)

    @classmethod
    def tree_unflatten(cls, static: tuple, leaves: tuple) -> ByName:
        """Inverse of flatten."""
        kind, held, traced = static
        names = kind.gather_pytree_data_fields()
        children = (plain_trees(leaf) for leaf in leaves[: len(names)])
        arguments = dict(zip(sorted(names), children, strict=True))
        arrays = dict(zip(traced, leaves[len(names) :], strict=True))
        held = tuple(arrays.get(i, value) for i, value in enumerate(held))
        return cls(kind.tree_unflatten(held, tuple(arguments[name] for name in names)))


def _in_set_order(value: Any) -> bool:
    """Whether it is a distribution that lists what it flattens to."""
    if not isinstance(value, Distribution):
        return False
    return len(value.tree_flatten()[0]) == len(type(value).gather_pytree_data_fields())


def by_name(tree: Any) -> Any:
    """The tree with all its distributions as ``ByName``.

    >>> import numpyro.distributions as dist
    >>> import jax
    >>> jax.tree.leaves(by_name({"site": dist.Normal(1.0, 2.0)}))  # loc, scale
    [1.0, 2.0]
    """
    wrap = lambda v: ByName(v) if _in_set_order(v) else v  # noqa: E731
    return jax.tree.map(wrap, tree, is_leaf=_in_set_order)


def plain_trees(tree: Any) -> Any:
    """Inverse of ``by_name``.

    >>> import numpyro.distributions as dist
    >>> plain_trees(by_name([dist.Normal(1.0, 2.0)]))[0].scale
    2.0
    """
    wrapped = lambda v: isinstance(v, ByName)  # noqa: E731
    return jax.tree.map(lambda v: v.distribution if wrapped(v) else v, tree, is_leaf=wrapped)
