"""Relabel a result: the same component keeps the same number in all draws, and it can be undone.

The posterior of a mixture does not change when components are renumbered, so a sampler is free to
renumber them between chains and draws, and the mean, the R-hat and the plots of a component mean
nothing until each draw has been given the permutation that brings it in line with the others.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from ppl_models.errors import InputError, whole_number
from ppl_models.posterior.labels.allocations import (
    ASSIGNMENT,
    CLUSTER,
    Responsibilities,
    ResponsibilityBlocks,
    choose_rows,
    component_count,
    dataset_of,
    drawn_assignments,
    require_draws,
    responsibility_function,
    sample_shape,
    unit_dimension,
)
from ppl_models.posterior.labels.apply import is_component_wise, permute_tree
from ppl_models.posterior.labels.convergence import convergence
from ppl_models.posterior.labels.ecr import mean_responsibilities
from ppl_models.posterior.labels.methods import METHODS, Evidence, Relabelling
from ppl_models.posterior.labels.permutations import compose, invert, permute

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
    """A new tree whose components carry the same number in every draw.

    Every posterior variable with a dim ``cluster`` is permuted, one that also has
    ``cluster_next`` on both axes, assignments and responsibilities with them. At the end
    components are sorted by posterior mean weight, the largest first (not after ``"order"``,
    whose order is the one asked for). A tree that was relabelled before starts anew from its
    original draws.

    Args:
        tree: a result with draws.
        method: ``"ecr"`` (agreement with the assignments of the draw of highest ``lp``),
            ``"ecr-iterative"`` (with the most frequent assignments), ``"stephens"``
            (Kullback-Leibler, on responsibilities) or ``"order"``.
        variable: for ``"order"``: the name of a posterior variable with one number a component,
            or such an array, as ``tree["posterior"]["loc"].sel(feature="height")``; default
            ``weights``.
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
    """
    whole_number("seed", seed, least=0)
    whole_number("rows_used", rows_used)
    require_draws(tree, "relabelling")
    if method not in METHODS:
        raise InputError(
            f"There is no relabelling method {method!r}: choose one of {', '.join(METHODS)}."
        )
    if not component_count(tree):
        result = tree.copy()
        result.attrs["labels"] = "no dim 'cluster': nothing to relabel"
        return result
    original = unrelabel(tree)
    rows = choose_rows(_row_count(original, method), rows_used, seed)
    evidence = Evidence(original, rows, variable, responsibilities)
    found = METHODS[method](evidence)
    if method != "order":
        found = _largest_first(original, found)
    result = _relabelled(original, found, responsibilities)
    result["labels"].attrs |= {"method": method, "rows_used": len(rows), "seed": seed}
    return result


def unrelabel(tree: xr.DataTree) -> xr.DataTree:
    """The tree with its original draws, exactly; one that was never relabelled is copied."""
    if "labels" not in tree.children:
        return tree.copy()
    labels = dataset_of(tree, "labels", inherit=False)
    permutation = labels["permutation"].transpose("chain", "draw", CLUSTER)
    result = permute_tree(tree, permutation.copy(data=invert(permutation.values)))
    if "responsibilities_before" in labels:
        dataset = dataset_of(result, "responsibilities", inherit=False)
        now = dataset["responsibilities"]
        before = labels["responsibilities_before"].transpose(*now.dims)
        restored = now.copy(data=before.values)
        result["responsibilities"].dataset = dataset.assign(responsibilities=restored)
    del result["labels"]
    result.attrs.pop("labels", None)
    return result


def _row_count(tree: xr.DataTree, method: str) -> int:
    """Rows to choose from; an ordering looks at none."""
    return 0 if method == "order" else unit_dimension(tree)[1]


def _largest_first(tree: xr.DataTree, found: Relabelling) -> Relabelling:
    """Components sorted by posterior mean weight, descending, or else by their mean share."""
    posterior = dataset_of(tree, "posterior")
    clusters = found.permutation.shape[1]
    if "weights" in posterior and CLUSTER in posterior["weights"].dims:
        weights = posterior["weights"].transpose("chain", "draw", CLUSTER).values
        mean = permute(weights.reshape(-1, clusters), found.permutation).mean(axis=0)
    elif ASSIGNMENT in posterior:
        drawn = drawn_assignments(tree)
        assert drawn is not None
        counts = np.array([np.bincount(row[row >= 0], minlength=clusters) for row in drawn])
        mean = permute(counts, found.permutation).mean(axis=0)
    else:
        return found
    order = np.argsort(-mean, kind="stable")
    last = np.broadcast_to(order, found.permutation.shape)
    return Relabelling(
        compose(found.permutation, last), found.margin, found.unclear, found.margin_unit
    )


def _relabelled(
    original: xr.DataTree, found: Relabelling, responsibilities: Responsibilities | None
) -> xr.DataTree:
    """The tree permuted, with its group ``labels``."""
    posterior = dataset_of(original, "posterior", inherit=False)
    sample = {dim: posterior[dim] for dim in ("chain", "draw") if dim in posterior.coords}
    shape = sample_shape(original)
    permutation = xr.DataArray(
        found.permutation.reshape(*shape, -1), dims=("chain", "draw", CLUSTER), coords=sample
    )
    if CLUSTER in posterior.coords:
        permutation = permutation.assign_coords({CLUSTER: posterior[CLUSTER]})
    result = permute_tree(original, permutation)
    labels = xr.Dataset(
        {
            "permutation": permutation,
            "margin": (("chain", "draw"), found.margin.reshape(shape)),
            "unclear": (("chain", "draw"), found.unclear.reshape(shape)),
        }
    )
    labels.attrs = {
        "share_unclear": float(found.unclear.mean()),
        "margin_unit": found.margin_unit,
    }
    if "responsibilities" in original.children:
        before = dataset_of(original, "responsibilities")["responsibilities"]
        labels["responsibilities_before"] = before
        _renew_responsibilities(original, result, found.permutation, responsibilities)
    result["labels"] = xr.DataTree(labels)
    _report(original, result)
    result.attrs["labels"] = "relabelled: see the group 'labels'"
    return result


def _report(original: xr.DataTree, result: xr.DataTree) -> None:
    """R-hat and ESS of the component-wise variables, before and after, below ``labels``."""
    for moment, tree in (("before", original), ("after", result)):
        posterior = dataset_of(tree, "posterior", inherit=False)
        names = [
            name
            for name, variable in posterior.data_vars.items()
            if is_component_wise(variable) and name != ASSIGNMENT
        ]
        rhat, ess = convergence(posterior[names])
        result[f"labels/rhat_{moment}"] = xr.DataTree(rhat)
        result[f"labels/ess_{moment}"] = xr.DataTree(ess)


def _renew_responsibilities(
    original: xr.DataTree,
    result: xr.DataTree,
    permutation: np.ndarray,
    responsibilities: Responsibilities | None,
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
        values = _mean_of_draws(original, permutation, responsibilities)
    renewed = old.copy(data=values.astype(old.dtype))
    renewed = renewed.transpose(*dataset["responsibilities"].dims)
    result["responsibilities"].dataset = dataset.assign(responsibilities=renewed)


def _mean_of_draws(
    tree: xr.DataTree, permutation: np.ndarray, responsibilities: Responsibilities | None
) -> np.ndarray:
    """Mean ``(row, cluster)`` of relabelled responsibilities over evenly spaced draws."""
    function = responsibility_function(responsibilities)
    count = len(permutation)
    draws = np.unique(np.linspace(0, count - 1, min(count, AVERAGED_DRAWS)).astype(int))
    rows = np.arange(unit_dimension(tree)[1])
    blocks = ResponsibilityBlocks(tree, rows, function, draws=draws, cache_bytes=0)
    return mean_responsibilities(blocks, permutation[draws])
