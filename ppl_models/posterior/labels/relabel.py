"""Relabel a result: the same component keeps the same number in all draws, and it can be undone.

The posterior of a mixture does not change when components are renumbered, so a sampler is free to
renumber them between chains and draws, and the mean, the R-hat and the plots of a component mean
nothing until each draw has been given the permutation that brings it in line with the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import xarray as xr

from ppl_models.data.kinds import Observed
from ppl_models.errors import InputError, UnsupportedError, whole_number
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.posterior.build.label_facts import deterministic_values
from ppl_models.posterior.labels.allocations import (
    ASSIGNMENT,
    CLUSTER,
    Allocations,
    Responsibilities,
    choose_rows,
    dataset_of,
    require_draws,
)
from ppl_models.posterior.labels.apply import is_component_wise, permute_tree
from ppl_models.posterior.labels.convergence import convergence
from ppl_models.posterior.labels.ecr import mean_responsibilities
from ppl_models.posterior.labels.methods import METHODS, Evidence, Relabelling
from ppl_models.posterior.labels.names import refuse_named
from ppl_models.posterior.labels.permutations import compose, invert, permute
from ppl_models.posterior.result.restore import RestoredFit
from ppl_models.posterior.result.schema import cluster_weights, facts_of, thinning_of

#: Responsibilities of the whole data are averaged over at most so many draws, evenly spaced.
AVERAGED_DRAWS = 400


def relabel(
    tree: xr.DataTree,
    method: str = "ecr",
    *,
    variable: str | xr.DataArray | None = None,
    rows_used: int = 2000,
    seed: int = 0,
    responsibilities: Responsibilities | None = None,
) -> xr.DataTree:
    """A new tree in which every component has the same number in all draws.

    Every posterior variable with a dim ``cluster`` is permuted, one that also has
    ``cluster_next`` on both axes, assignments and responsibilities with them. At the end
    components are sorted by posterior mean weight, the largest first (not after ``"order"``,
    whose order is the one asked for). A tree that was relabelled before is relabelled from its
    original draws. Papastamoulis and Iliopoulos (2010); Stephens (2000); a survey is Papastamoulis
    (2016), label.switching, Journal of Statistical Software 69.

    Args:
        tree: a result with draws.
        method: ``"ecr"`` (agreement with the assignments of the draw of highest ``lp``),
            ``"ecr-iterative"`` (with the most frequent assignments), ``"stephens"``
            (Kullback-Leibler, on responsibilities) or ``"order"``.
        variable: for ``"order"``: the name of a posterior variable with one number a component,
            or such an array, as ``tree["posterior"]["loc"].sel(feature="height")``; default: the
            cluster weights.
        rows_used: permutations are found from at most so many rows, a subsample with this
            ``seed``, and applied to all.
        seed: of the subsample.
        responsibilities: ``(tree, rows=, draws=) -> (draw, row, cluster)``; default: computed by
            the program. Not needed where assignments were drawn (except by ``"stephens"``).

    Returns:
        The tree with a group ``labels``: ``permutation (chain, draw, cluster)`` from the original
        draws, ``margin`` and ``unclear (chain, draw)``; its attributes ``method``,
        ``share_unclear``, ``margin_unit``; and below it ``rhat_before``, ``rhat_after``,
        ``ess_before``, ``ess_after`` of the component-wise variables. A tree without a dim
        ``cluster`` comes back as it is, with an attribute ``labels`` that says so.

    Raises:
        InputError: for a tree of a point method, an unknown method or variable, or a tree that
            lacks what the method needs.

    >>> from ppl_models import fit
    >>> x = np.r_[np.linspace(-1, 1, 20), np.linspace(9, 11, 20)]
    >>> options = {"clusters": 2, "draws": 50, "predictive": 0, "relabel": None}
    >>> tree = fit("gaussian_mixture", x, method="gibbs", seed=0, **options)
    >>> relabel(tree, "stephens")["labels"].attrs["share_unclear"]
    0.0
    """
    whole_number("seed", seed, minimum=0)
    whole_number("rows_used", rows_used)
    require_draws(tree, "relabelling")
    refuse_named(tree, "relabelling")
    if method not in METHODS:
        raise InputError(
            f"There is no relabelling method {method!r}: choose one of {', '.join(METHODS)}."
        )
    allocations = Allocations(unrelabel(tree), responsibilities)
    labels = allocations.facts.labels
    if labels.components and not labels.classes:
        raise UnsupportedError(
            f"relabelling permutes components that are exchangeable, and here {labels.reason}: "
            "read the draws as they are, by component where chains agree, else by quantities that "
            "do not depend on labels (partition, coassignment, log_density)"
        )
    return relabelled(allocations, method, variable=variable, rows_used=rows_used, seed=seed)


def relabelled(
    allocations: Allocations,
    method: str,
    *,
    variable: str | xr.DataArray | None = None,
    rows_used: int = 2000,
    seed: int = 0,
) -> xr.DataTree:
    """:func:`relabel` of a fit's allocations with their original labels."""
    if not allocations.components:
        return _as_drawn(allocations.tree, "the fit has no components: nothing to relabel")
    if not allocations.facts.labels.classes:
        return _as_drawn(
            allocations.tree, f"labels are as drawn: {allocations.facts.labels.reason}"
        )
    rule = METHODS[method]
    rows = choose_rows(allocations.unit[1] if rule.by_rows else 0, rows_used, seed)
    relabelling = rule.permutations(Evidence(allocations, rows, variable))
    if rule.by_rows:
        relabelling = _largest_first(allocations, relabelling)
    result = _permuted(allocations, relabelling)
    result["labels"].attrs |= {"method": method, "rows_used": len(rows), "seed": seed}
    return result


def without_switching(
    tree: xr.DataTree,
    problem: Problem,
    result: Result,
    observed: Mapping[str, Observed],
    method: str | None,
    seed: int,
) -> xr.DataTree:
    """A new fit's tree, label switching undone where there are draws of exchangeable components.

    Args:
        tree: of the result.
        problem: program and data.
        result: of the method.
        observed: the data as they were read.
        method: of relabelling; None leaves labels as they were drawn.
        seed: of the subsample of rows.
    """
    drawn = result.kind == "draws" and result.exchangeable
    if method is None or not drawn or not facts_of(tree).components:
        return tree
    fitted = RestoredFit.of_result(tree, problem, result, observed)
    return relabelled(Allocations(tree, fitted=fitted), method, seed=seed)


def _as_drawn(tree: xr.DataTree, why: str) -> xr.DataTree:
    result = tree.copy()
    result.attrs["labels"] = why
    return result


def unrelabel(tree: xr.DataTree) -> xr.DataTree:
    """The tree with the labels of its original draws, exactly; the inverse of :func:`relabel`.

    See `relabel`: Papastamoulis (2016), label.switching.

    Args:
        tree: a fit; one that was never relabelled is copied.

    Returns:
        A new tree without the group ``labels``.

    >>> from ppl_models import fit
    >>> x = np.r_[np.linspace(-1, 1, 20), np.linspace(9, 11, 20)]
    >>> options = {"clusters": 2, "draws": 50, "predictive": 0, "relabel": None}
    >>> tree = fit("gaussian_mixture", x, method="gibbs", seed=0, **options)
    >>> unrelabel(relabel(tree)).identical(tree)
    True
    """
    if "labels" not in tree.children:
        return tree.copy()
    refuse_named(tree, "going back to the labels of the original draws")
    labels = dataset_of(tree, "labels", inherit=False)
    permutation = labels["permutation"].transpose("chain", "draw", CLUSTER)
    inverse = permutation.copy(data=invert(permutation.values))
    symmetry = facts_of(tree).labels
    result = permute_tree(tree, inverse, symmetry)
    originals = {name: labels[f"{name}_before"] for name in symmetry.recomputed}
    if originals:
        posterior = dataset_of(result, "posterior", inherit=False)
        result["posterior"].dataset = posterior.assign(originals)
    if "responsibilities_before" in labels:
        dataset = dataset_of(result, "responsibilities", inherit=False)
        now = dataset["responsibilities"]
        before = labels["responsibilities_before"].transpose(*now.dims)
        restored = now.copy(data=before.values)
        result["responsibilities"].dataset = dataset.assign(responsibilities=restored)
    del result["labels"]
    result.attrs.pop("labels", None)
    return result


def _largest_first(allocations: Allocations, relabelling: Relabelling) -> Relabelling:
    """Components sorted by posterior mean weight, or else by their mean number of rows."""
    permutation = relabelling.permutation
    weights = cluster_weights(allocations.tree)
    if weights is not None:
        drawn = weights.transpose("chain", "draw", CLUSTER).values
        every = thinning_of(allocations.shape[1], drawn.shape[1])
        numbered = np.arange(len(permutation)).reshape(allocations.shape)[:, ::every]
        sizes = permute(drawn.reshape(-1, drawn.shape[-1]), permutation[numbered.ravel()])
    elif (counts := allocations.counts()) is not None:
        sizes = permute(counts, permutation)
    else:
        return relabelling
    mean = sizes.mean(axis=0)
    order = np.arange(len(mean))
    for members in map(np.array, allocations.facts.labels.classes):
        order[members] = members[np.argsort(-mean[members], kind="stable")]
    last = np.broadcast_to(order, permutation.shape)
    return replace(relabelling, permutation=compose(permutation, last))


def _permuted(allocations: Allocations, relabelling: Relabelling) -> xr.DataTree:
    """The tree permuted, with its group ``labels``."""
    original = allocations.tree
    posterior = dataset_of(original, "posterior", inherit=False)
    sample = {dim: posterior[dim] for dim in ("chain", "draw") if dim in posterior.coords}
    shape = allocations.shape
    permutation = xr.DataArray(
        relabelling.permutation.reshape(*shape, -1), dims=("chain", "draw", CLUSTER), coords=sample
    )
    if CLUSTER in posterior.coords:
        permutation = permutation.assign_coords({CLUSTER: posterior[CLUSTER]})
    symmetry = allocations.facts.labels
    result = permute_tree(original, permutation, symmetry)
    if symmetry.recomputed:
        _recompute(allocations, result)
    labels = xr.Dataset(
        {
            "permutation": permutation,
            "margin": (("chain", "draw"), relabelling.margin.reshape(shape)),
            "unclear": (("chain", "draw"), relabelling.unclear.reshape(shape)),
        }
    )
    labels.attrs = {
        "share_unclear": float(relabelling.unclear.mean()),
        "margin_unit": relabelling.margin_unit,
    }
    for name in symmetry.recomputed:
        labels[f"{name}_before"] = posterior[name]
    if "responsibilities" in original.children:
        before = dataset_of(original, "responsibilities")["responsibilities"]
        labels["responsibilities_before"] = before
        _renew_responsibilities(allocations, result, relabelling.permutation)
    result["labels"] = xr.DataTree(labels)
    _report(original, result)
    result.attrs["labels"] = "relabelled: see the group 'labels'"
    return result


def _recompute(allocations: Allocations, result: xr.DataTree) -> None:
    """Recompute, from the permuted sites, deterministic sites that are not simply permuted."""
    fitted, symmetry = allocations.fitted, allocations.facts.labels
    with fitted.scope():
        values = fitted.at_sites_of(result)
        variables = [
            deterministic_values(
                fitted.model,
                {n: v[draw] for n, v in values.items()},
                structure=fitted.structure,
                names=symmetry.recomputed,
            )
            for draw in range(fitted.samples)
        ]
    posterior = dataset_of(result, "posterior", inherit=False)
    renewed = {}
    for name in symmetry.recomputed:
        old = posterior[name].transpose("chain", "draw", ...)
        renewed[name] = old.copy(data=np.stack([f[name] for f in variables]).reshape(old.shape))
    result["posterior"].dataset = posterior.assign(renewed)


def _report(original: xr.DataTree, result: xr.DataTree) -> None:
    """R-hat and ESS of the component-wise variables, before and after, below ``labels``."""
    labels = facts_of(original).labels
    for moment, tree in (("before", original), ("after", result)):
        posterior = dataset_of(tree, "posterior", inherit=False)
        names = [
            name
            for name, variable in posterior.data_vars.items()
            if is_component_wise(variable, labels) and name != ASSIGNMENT
        ]
        rhat, ess = convergence(posterior[names])
        result[f"labels/rhat_{moment}"] = xr.DataTree(rhat)
        result[f"labels/ess_{moment}"] = xr.DataTree(ess)


def _renew_responsibilities(
    allocations: Allocations, result: xr.DataTree, permutation: np.ndarray
) -> None:
    """The posterior mean responsibilities under the new labels.

    A permutation that all draws share moves columns. Otherwise the old mean is a mixture of
    labellings that no permutation can repair, so it is computed again.
    """
    dataset = dataset_of(result, "responsibilities", inherit=False)
    old = dataset["responsibilities"].transpose(..., CLUSTER)
    if (permutation == permutation[0]).all():
        values = old.values[:, permutation[0]]
    else:
        values = _mean_of_draws(allocations, permutation)
    renewed = old.copy(data=values.astype(old.dtype))
    renewed = renewed.transpose(*dataset["responsibilities"].dims)
    result["responsibilities"].dataset = dataset.assign(responsibilities=renewed)


def _mean_of_draws(allocations: Allocations, permutation: np.ndarray) -> np.ndarray:
    """Mean ``(row, cluster)`` of relabelled responsibilities over evenly spaced draws."""
    count = len(permutation)
    draws = np.unique(np.linspace(0, count - 1, min(count, AVERAGED_DRAWS)).astype(int))
    rows = np.arange(allocations.unit[1])
    blocks = allocations.blocks(rows, draws, cache_bytes=0)
    return mean_responsibilities(blocks, permutation[draws])
