"""Results as data frames, whose index joins back on the data."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.errors import InputError
from ppl_models.posterior.density.prediction import predict
from ppl_models.posterior.paths import best_paths, hides_paths, state_probabilities


def to_frame(tree: xr.DataTree, group: str = "posterior") -> pd.DataFrame:
    """The draws of all parameters, a row a draw and a column a number.

    See `assignments` for the rows.

    Args:
        tree: a fit.
        group: of the tree, with the dimensions chain and draw.

    Returns:
        A frame indexed by chain and draw; a column of an array is called ``loc[0, waiting]`` by
        the labels of its axes. Draws of an assignment of every row are left out: `assignments`.

    Raises:
        InputError: no such group, or one without draws.

    >>> from ppl_models import fit
    >>> tree = fit("poisson_mixture", [1, 2, 3, 9, 8, 9], method="em", seed=0, clusters=2)
    >>> to_frame(tree).columns.tolist()
    ['rate[0]', 'rate[1]', 'weights[0]', 'weights[1]']
    """
    if group not in tree.children:
        raise InputError(f"the fit has no group '{group}': it has {', '.join(tree.children)}")
    columns, index = {}, None
    for name, variable in tree[group].data_vars.items():
        if not {"chain", "draw"} <= set(variable.dims) or "row" in variable.dims:
            continue
        axes = [dim for dim in variable.dims if dim not in ("chain", "draw")]
        values = variable.transpose("chain", "draw", *axes).values
        flat = values.reshape(values.shape[0] * values.shape[1], -1)
        labels = itertools.product(*[[str(v) for v in variable[dim].values] for dim in axes])
        for label, column in zip(labels, flat.T, strict=True):
            columns[f"{name}[{', '.join(label)}]" if axes else str(name)] = column
        index = pd.MultiIndex.from_product(
            [variable["chain"].values, variable["draw"].values], names=["chain", "draw"]
        )
    if index is None:
        raise InputError(f"group '{group}' has no draws: give posterior or prior")
    return pd.DataFrame(columns, index=index)


def assignments(tree: xr.DataTree, data: object = None) -> pd.DataFrame:
    """The cluster of every row, or the hidden state of every step.

    See `predict` and `best_paths`, which it puts into a table.

    Args:
        tree: a fit with clusters or hidden states.
        data: new rows (default: the fitted ones).

    Returns:
        A frame indexed by the labels of the rows, so that ``data.join(assignments(tree))`` puts
        them beside the data: the most probable ``cluster``, its ``probability``, and
        ``probability_0``, ... of every cluster. Of hidden states it is indexed by sequence and
        position, and the column is ``state``, that of the most probable path.

    Raises:
        InputError: a fit without clusters or hidden states.

    >>> from ppl_models import fit
    >>> counts = pd.Series([1, 2, 30, 28], index=["a", "b", "c", "d"], name="count")
    >>> tree = fit("poisson_mixture", counts, method="em", seed=0, clusters=2)
    >>> counts.to_frame().join(assignments(tree))["cluster"].nunique()
    2
    """
    if hides_paths(tree, data):
        return _of_steps(best_paths(tree, data), state_probabilities(tree, data))
    table = predict(tree, data)
    unit = str(table.dims[0])
    frame = pd.DataFrame(index=pd.Index(table[unit].values, name=unit))
    probabilities = table.values
    frame["cluster"] = np.asarray(table["cluster"].values)[probabilities.argmax(1)]
    frame["probability"] = probabilities.max(1)
    for k, label in enumerate(table["cluster"].values):
        frame[f"probability_{label}"] = probabilities[:, k]
    return frame


def annotate(tree: xr.DataTree, adata: Any, key: str = "cluster") -> Any:
    """Write the clusters of a fit into an AnnData object that has its rows.

    See `predict`; AnnData is that of Virshup et al. (2021), bioRxiv 2021.12.16.473007.

    Args:
        tree: a fit with clusters.
        adata: observations, whose names are the labels of the fitted rows.
        key: ``obs[key]`` becomes the most probable cluster, a category, and
            ``obsm[f"{key}_probabilities"]`` the probabilities ``(observation, cluster)``.

    Returns:
        The object, changed in place.

    Raises:
        InputError: observations that the fit has no rows of, or no AnnData.

    >>> from types import SimpleNamespace
    >>> from ppl_models import fit
    >>> counts = pd.Series([1, 2, 30, 28], index=["a", "b", "c", "d"], name="count")
    >>> tree = fit("poisson_mixture", counts, method="em", seed=0, clusters=2)
    >>> obs = pd.DataFrame(index=["b", "d"])
    >>> adata = SimpleNamespace(obs=obs, obs_names=obs.index, obsm={})  # or anndata.AnnData
    >>> annotate(tree, adata).obs["cluster"].nunique()
    2
    """
    if not hasattr(adata, "obs_names"):
        raise InputError(
            f"adata is {type(adata).__name__}, which has no observations: give the fit first and "
            "an AnnData after it, annotate(tree, adata)"
        )
    frame = assignments(tree)
    frame.index = frame.index.map(str)
    unknown = [name for name in adata.obs_names if name not in frame.index]
    if unknown:
        raise InputError(
            f"observation '{unknown[0]}' is not a row of the fit ({len(unknown)} such "
            "observations in all): fit the AnnData itself, or data with its observation names "
            "as labels"
        )
    frame = frame.loc[list(adata.obs_names)]
    adata.obs[key] = pd.Categorical(frame["cluster"], _present(frame))
    adata.obsm[f"{key}_probabilities"] = frame.filter(regex="^probability_").to_numpy()
    return adata


def _present(frame: pd.DataFrame) -> list[Any]:
    """Clusters with at least one row, in order."""
    present = set(frame["cluster"])
    numbers = not any(isinstance(label, str) for label in present)
    if numbers:
        return sorted(present)
    names = (name.removeprefix("probability_") for name in frame.columns[2:])
    return [name for name in names if name in present]


def _of_steps(paths: xr.DataArray, probabilities: xr.DataArray) -> pd.DataFrame:
    """Values of all steps, without the padding after a sequence's end."""
    sequence, position = (str(dim) for dim in paths.dims)
    row, step = np.nonzero(paths.values >= 0)
    index = pd.MultiIndex.from_arrays(
        [paths[sequence].values[row], paths[position].values[step]], names=[sequence, position]
    )
    states, each = paths.values[row, step], probabilities.values[row, step]
    frame = pd.DataFrame({"state": np.asarray(probabilities["state"].values)[states]}, index=index)
    frame["probability"] = each[np.arange(len(states)), states]
    for k, label in enumerate(probabilities["state"].values):
        frame[f"probability_{label}"] = each[:, k]
    return frame
