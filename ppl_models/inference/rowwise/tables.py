"""Tables of probabilities that rows are looked up in: counts, and their conditionals, closed form.

The labels of an annotator, the words of a topic, the topics of a document: whatever indices a
program looks them up by, the expected log-density of the rows is Σ_j c_j log θ_j plus what does not
depend on θ. The counts c are then θ ∂/∂θ of it, one gradient, and the conditional under a Dirichlet
prior is a Dirichlet distribution: Dempster, Laird and Rubin (1977), section 4.1; of annotators,
Dawid and Skene (1979). Which sites are such tables is found out by evaluating that: the counts must
be the same wherever the global sites are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, random
from numpyro.distributions import constraints

from ppl_models.distributions.conditionals import (
    BlockDirichletConditional,
    Conditional,
    DirichletConditional,
)
from ppl_models.distributions.priors.broadcast import plain_prior
from ppl_models.distributions.priors.scales_and_blocks import BlockDirichlet
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import soft
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.trace.structure import Structure

AGREES = {"float64": 1e-6, "float32": 1e-3}  #: relative difference of counts at two places


@dataclass(frozen=True)
class Table:
    """A site of probabilities; static.

    Args:
        name: of the site.
        blocks: lengths of the distributions side by side on the last axis.
    """

    name: str
    blocks: tuple[int, ...]

    def even(self, value: Array) -> Array:
        """All entries of a distribution equal, in the shape of a value."""
        one = np.concatenate([np.full(n, 1 / n) for n in self.blocks])
        return jnp.broadcast_to(jnp.asarray(one, jnp.result_type(value)), jnp.shape(value))

    def conditional(self, prior: Any, counts: Array) -> Conditional:
        """The conditional given the counts.

        Args:
            prior: Dirichlet or blocks of Dirichlets, plates and all; None for a flat one.
            counts: in the shape of the site.
        """
        known = None if prior is None else plain_prior(prior, counts.shape)
        total = counts + (1.0 if known is None else known.concentration)
        if len(self.blocks) > 1:
            return BlockDirichletConditional(total, self.blocks)
        return DirichletConditional(total)


def table_counts(
    expected: Callable[[Globals], Array], values: Globals, tables: Sequence[Table]
) -> Globals:
    """Expected counts of every entry of the tables, in the sites' shapes.

    The gradient is taken where all entries are equal: the counts are the same there, and next to
    probabilities of 0 and 1, which NumPyro clips, it would be lost.

    Args:
        expected: log-density of the rows, without priors, as a function of the global sites.
        values: of the global sites.
        tables: what to count.

    >>> def expected(values):
    ...     return 3 * jnp.log(values["p"][0]) + 2 * jnp.log(values["p"][1])
    >>> table_counts(expected, {"p": jnp.array([1.0, 0.0])}, [Table("p", (2,))])["p"].tolist()
    [3.0, 2.0]
    """
    even = {t.name: t.even(values[t.name]) for t in tables}
    slopes = jax.grad(lambda trial: expected({**values, **trial}))(even)
    return {n: jnp.clip(slopes[n] * even[n], 0) for n in even}


def find_tables(
    problem: Problem, names: Sequence[str], expected: Callable, *, flat: bool
) -> tuple[Table, ...]:
    """The tables among global sites: those whose conditionals are Dirichlet distributions.

    Args:
        problem: program and data.
        names: of global sites.
        expected: ``(model, structure, values, weights, flat=True)``, the expected log-density of
            the rows where they have these weights of the clusters.
        flat: whether the priors are left out.
    """
    structure = problem.structure
    if structure.factors or structure.chain is not None or structure.locals or structure.undrawable:
        return ()
    sites = {site.name: site for site in structure.sites}
    blocks = {n: _blocks(problem, sites[n], flat=flat) for n in names}
    if not any(blocks.values()):
        return ()
    above = frozenset[str]().union(*(problem.dependencies[n] for n in structure.names))
    candidates = tuple(Table(n, b) for n, b in blocks.items() if b and n not in above)
    if not candidates:
        return ()
    agreed = _agreed(
        problem.model, random.key(7), structure=structure, tables=candidates, expected=expected
    )
    return tuple(t for t in candidates if bool(np.asarray(agreed[t.name])))


def _blocks(problem: Problem, site: Any, *, flat: bool) -> tuple[int, ...]:
    """Lengths of the distributions of a site whose prior counts add to; none of others."""
    known = plain_prior(problem.example.priors[site.name], site.shape)
    if isinstance(known, BlockDirichlet):
        return known.blocks
    if isinstance(known, dist.Dirichlet) or (flat and site.support is constraints.simplex):
        return (int(site.shape[-1]),)
    return ()


@quickly(static=("structure", "tables", "expected"))
def _agreed(
    model: Model,
    key: Array,
    *,
    structure: Structure,
    tables: tuple[Table, ...],
    expected: Callable,
) -> dict[str, Array]:
    """Whether the counts of each are the same wherever the global sites are."""
    first_key, *keys = random.split(key, 4)
    weights, _ = soft(
        model.logits(structure.initial(first_key, radius=1.0), structure), jnp.ones(structure.rows)
    )
    agreed = []
    for place in (structure.initial(k, radius=1.0) for k in keys):
        own = {t.name: place[t.name] for t in tables}

        def of_tables(trial: Globals, place: Globals = place) -> Array:
            return expected(model, structure, {**place, **trial}, weights, flat=True)

        slopes = jax.grad(of_tables)(own)
        agreed.append({n: slopes[n] * own[n] for n in own})
    close = AGREES[str(weights.dtype)]

    def same(first: Array, *others: Array) -> Array:
        gap = jnp.stack([jnp.abs(other - first).max() for other in others]).max()
        most = jnp.abs(first).max()
        return (gap <= close * most) & (first.min() >= -close * most)

    return jax.tree.map(same, *agreed)
