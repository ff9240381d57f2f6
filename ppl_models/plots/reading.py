"""What the pictures and the report read off a tree, whatever program and method made it."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
import xarray as xr

from ppl_models.errors import InputError

Family = Literal[
    "gaussian", "univariate", "centres", "bernoulli", "categorical", "poisson", "chain", "chains",
    "hidden",
    "other",
]  # fmt: skip


def group(tree: xr.DataTree, name: str, purpose: str) -> xr.Dataset:
    """One group of the tree as a dataset.

    Raises:
        InputError: when the tree lacks it; the message names the purpose.
    """
    if name not in tree.children:
        raise InputError(f"The tree has no group {name!r}, which {purpose} needs: fit again.")
    return tree[name].to_dataset()


def is_point(tree: xr.DataTree) -> bool:
    """Whether the tree holds one point rather than draws."""
    if "kind" in tree.attrs:
        return tree.attrs["kind"] == "point"
    sizes = tree["posterior"].sizes if "posterior" in tree.children else {}
    return sizes.get("chain", 1) * sizes.get("draw", 1) == 1


def family(tree: xr.DataTree) -> Family:
    """Which emission the posterior's variables belong to.

    >>> posterior = xr.Dataset({"rate": (("cluster", "feature"), [[1.0]])})
    >>> family(xr.DataTree.from_dict({"posterior": posterior}))
    'poisson'
    """
    posterior = tree["posterior"].to_dataset() if "posterior" in tree.children else xr.Dataset()
    names = set(posterior.data_vars)
    if "transition" in names and "state" in posterior["transition"].dims:
        return "hidden"
    if {"initial", "transition"} <= names and "token" in posterior["transition"].dims:
        return "chains" if "cluster" in posterior["transition"].dims else "chain"
    if "loc" in names and "cluster" in posterior["loc"].dims:
        if tree.attrs.get("method") == "kmeans":
            return "centres"
        return _gaussian_family(posterior)
    if "probs" in names and "level" in posterior["probs"].dims:
        return "categorical"
    if "probs" in names and {"cluster", "feature"} <= set(posterior["probs"].dims):
        return "bernoulli"
    if "rate" in names and {"cluster", "feature"} <= set(posterior["rate"].dims):
        return "poisson"
    return "other"


def _gaussian_family(posterior: xr.Dataset) -> Family:
    if "scale" not in posterior and "covariance" not in posterior:
        return "centres"
    return "gaussian" if "feature" in posterior["loc"].dims else "univariate"


def observed(tree: xr.DataTree) -> xr.DataArray | None:
    """The data: `x (row, feature)`, `x (row)` or `tokens (sequence, position)`; None if absent.

    Of sequences of vectors every step is a row. Whole numbers have no NaN: a negative one stands
    for a missing cell, and becomes NaN here.
    """
    found = _site(tree, "observed_data")
    if found is None or found.dtype.kind not in "iu" or "position" in found.dims:
        return found
    return found.where(found >= 0) if bool((found < 0).any()) else found


def predictive(tree: xr.DataTree, which: Literal["prior", "posterior"]) -> xr.DataArray | None:
    """Replicated data with one dim `sample` in place of chain and draw; None if absent."""
    found = _site(tree, f"{which}_predictive")
    if found is None:
        return None
    return as_samples(found.to_dataset(name="site"))["site"]


def _site(tree: xr.DataTree, name: str) -> xr.DataArray | None:
    if name not in tree.children or not tree[name].data_vars:
        return None
    dataset, site = tree[name].to_dataset(), str(tree.attrs.get("data_site", "x"))
    values = dataset[site if site in dataset else next(iter(dataset.data_vars))]
    if {"position", "feature"} <= set(values.dims):
        return _steps(tree, values)
    return values if "position" in values.dims else _with_rows(tree, values)


def series(tree: xr.DataTree) -> xr.DataArray | None:
    """Sequences of vectors, `x (sequence, position, feature)`, NaN after their end; else None."""
    if "observed_data" not in tree.children:
        return None
    for values in tree["observed_data"].to_dataset().data_vars.values():
        if {"position", "feature"} <= set(values.dims):
            return values.rename({values.dims[0]: "sequence"}).astype(float)
    return None


def sequence_steps(values: xr.DataArray) -> np.ndarray:
    """Number of steps of every sequence of `values` (sequence, position, feature): (sequence)."""
    seen = values.notnull().any("feature").transpose("sequence", "position").values
    return np.where(seen, np.arange(1, seen.shape[1] + 1), 0).max(1)


def _steps(tree: xr.DataTree, values: xr.DataArray) -> xr.DataArray:
    """Sequences of vectors with every step that the observed sequences have as a row."""
    plate = next(dim for dim in values.dims if dim in ("sequence", tree.attrs.get("plate")))
    plain = values.drop_vars([plate, "position"], errors="ignore")
    rows = plain.stack(row=(plate, "position"), create_index=False)
    data = series(tree)
    if data is not None and (data.sizes["sequence"], data.sizes["position"]) == (
        values.sizes[plate], values.sizes["position"],
    ):  # fmt: skip
        inside = np.arange(data.sizes["position"]) < sequence_steps(data)[:, None]
        rows = rows.isel(row=np.flatnonzero(inside))
    return rows.transpose(..., "row", "feature")


def _with_rows(tree: xr.DataTree, values: xr.DataArray) -> xr.DataArray:
    """The plate that a program of the user's own may call anything, called `row`."""
    plate = tree.attrs.get("plate", "row")
    return values if plate not in values.dims or plate == "row" else values.rename({plate: "row"})


def as_samples(dataset: xr.Dataset, at_most: int | None = None) -> xr.Dataset:
    """Chains and draws as one dim `sample`, evenly thinned over all chains.

    >>> dataset = xr.Dataset({"a": (("chain", "draw"), np.arange(6).reshape(2, 3))})
    >>> as_samples(dataset, 3)["a"].values
    array([0, 2, 5])
    """
    plain = dataset.drop_vars(["chain", "draw"], errors="ignore")
    stacked = plain.stack(sample=("chain", "draw"), create_index=False)
    total = stacked.sizes["sample"]
    if at_most is not None and at_most < total:
        stacked = stacked.isel(sample=np.linspace(0, total - 1, at_most).astype(int))
    return stacked.transpose("sample", ...)


def covariances(parameters: xr.Dataset) -> xr.DataArray | None:
    """Covariance matrices (..., cluster, feature, feature_other) of any covariance family.

    Spherical and diagonal scales are squared onto the diagonal; a tied matrix is repeated for every
    cluster. None where the parameters have no spread (k-means).
    """
    loc = parameters["loc"]
    if "covariance" in parameters:
        matrix = parameters["covariance"]
        if "cluster" not in matrix.dims:
            matrix = matrix.expand_dims(cluster=loc["cluster"].values)
        return matrix.transpose(..., "cluster", "feature", "feature_other")
    if "scale" not in parameters:
        return None
    names = loc["feature"].values if "feature" in loc.coords else np.arange(loc.sizes["feature"])
    identity = xr.DataArray(
        np.eye(len(names)), {"feature": names, "feature_other": names}, ("feature", "feature_other")
    )
    scale = parameters["scale"]
    scale = scale if "feature" not in scale.dims else scale.assign_coords(feature=names)
    matrix = scale**2 * identity
    if "cluster" not in matrix.dims:
        matrix = matrix.expand_dims(cluster=loc["cluster"].values)
    return matrix.transpose(..., "cluster", "feature", "feature_other")


def clusters_of(tree: xr.DataTree) -> list[int]:
    """The cluster indices 0 … K-1.

    Raises:
        InputError: when the tree's posterior has no clusters.
    """
    posterior = group(tree, "posterior", "a picture of clusters")
    if "cluster" not in posterior.dims:
        raise InputError(
            f"The program {tree.attrs.get('program', '?')!r} has no dim 'cluster' in its posterior:"
            " use a picture that does not need clusters."
        )
    return [int(k) for k in range(posterior.sizes["cluster"])]


def responsibilities(tree: xr.DataTree) -> xr.DataArray:
    """Assignment probabilities (row, cluster).

    Raises:
        InputError: when the tree has none.
    """
    values = group(tree, "responsibilities", "a picture of assignments")["responsibilities"]
    return _with_rows(tree, values).transpose("row", "cluster")


def mean_weights(tree: xr.DataTree) -> np.ndarray | None:
    """Posterior means of the weights (cluster); shares of rows where weights mean nothing."""
    posterior = tree["posterior"].to_dataset()
    if "weights" in posterior and tree.attrs.get("method") != "kmeans":
        return posterior["weights"].mean(["chain", "draw"]).values
    if "responsibilities" in tree.children:
        return responsibilities(tree).mean("row").values
    return None


def feature_names(array: xr.DataArray, dim: str = "feature") -> list[str]:
    """The labels of that dim as strings, counted where it has none."""
    if dim in array.coords:
        return [str(name) for name in array[dim].values]
    return [f"{dim} {index}" for index in range(array.sizes[dim])]


def token_names(tree: xr.DataTree) -> list[str]:
    """The tokens in the order of their codes, without <end>; counted where they have no names.

    Programs without a site over tokens have their names from the labels that the data were read
    with.
    """
    posterior = tree["posterior"].to_dataset() if "posterior" in tree.children else xr.Dataset()
    labels = json.loads(tree.attrs.get("coordinate_labels", "{}"))
    for source in (posterior.coords, labels):
        for dim, ends in (("token", 0), ("next_token", 1)):
            if dim in source:
                names = [str(name) for name in np.asarray(source[dim])]
                return names[: len(names) - ends]
    data = observed(tree)
    data = predictive(tree, "posterior") if data is None else data
    return [] if data is None else [str(code) for code in range(int(data.max()))]


def kept_rows(rows: int, at_most: int) -> np.ndarray:
    """Indices of at most that many rows, evenly spaced.

    >>> kept_rows(10, 4)
    array([0, 3, 6, 9])
    """
    if rows <= at_most:
        return np.arange(rows)
    return np.linspace(0, rows - 1, at_most).astype(int)


def kept_features(tree: xr.DataTree, wanted: list[str] | None, at_most: int) -> list[str]:
    """The features to draw: the wanted ones, else those along which the centres differ most.

    Raises:
        InputError: when a wanted feature does not exist.
    """
    loc = tree["posterior"].to_dataset()["loc"]
    names = feature_names(loc)
    if wanted is not None:
        for name in wanted:
            if name not in names:
                raise InputError(f"There is no feature {name!r}: choose from {', '.join(names)}.")
        return list(wanted)
    if len(names) <= at_most:
        return names
    centres = loc.mean(["chain", "draw"])
    between = centres.var([dim for dim in centres.dims if dim != "feature"]).values
    data = observed(tree)
    total = between if data is None else between / (data.var("row", skipna=True).values + 1e-300)
    best = np.sort(np.argsort(-total, kind="stable")[:at_most])
    return [names[index] for index in best]


def level_labels(tree: xr.DataTree, feature: str) -> list[str] | None:
    """The levels of one feature in the order of their codes, by labels "feature=level".

    None where the posterior has no such dim `level`.
    """
    posterior = tree["posterior"].to_dataset() if "posterior" in tree.children else xr.Dataset()
    if "level" not in posterior.coords:
        return None
    parts = [str(level).rpartition("=") for level in posterior["level"].values]
    return [level for name, _, level in parts if name == feature] or None


def decoded(tree: xr.DataTree, feature: str, codes: np.ndarray) -> np.ndarray:
    """Codes as the names of their levels where there are names, else the codes as they are."""
    labels = level_labels(tree, feature)
    if labels is None:
        return codes
    known = [np.isfinite(code) and 0 <= code < len(labels) for code in codes.astype(float)]
    return np.array(
        [labels[int(code)] if ok else "–" for code, ok in zip(codes, known, strict=True)], object
    )
