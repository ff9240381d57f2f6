"""Data, predictions, assignments and labels of a fit, read by its facts.

Axes have the same names in every plot: ``row`` and ``feature`` of tables, ``sequence`` and
``position`` of tokens and graphs, and ``feature`` besides of series of vectors.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
import xarray as xr

from ppl_models.data.kinds.several import own_labels
from ppl_models.data.missing import missing_cells
from ppl_models.errors import InputError
from ppl_models.posterior.result.schema import EmissionFacts, cluster_weights, facts_of

SEQUENCES = ("Tokens", "Graphs", "Series")  #: data kinds whose units are whole sequences


#: how a group comes into a tree
SOURCES = {
    "similarity": "give coassignment(tree), or partition(tree)",
    "responsibilities": "use predict(tree), which computes them where a fit does not keep them",
    "starts": "fit by a method that reports its starts, as method='em'",
    "comparison": "give the table of choose_clusters, or of compare",
}


def group(tree: xr.DataTree, name: str, purpose: str) -> xr.Dataset:
    """One group of the tree as a dataset.

    Raises:
        InputError: when the tree lacks it; the message names the purpose and where it comes from.
    """
    if name not in tree.children:
        source = SOURCES.get(name, "give the result of fit")
        raise InputError(f"the tree has no group {name!r}, which {purpose} needs: {source}")
    return tree[name].to_dataset()


def is_point(tree: xr.DataTree) -> bool:
    """Whether the tree holds one point rather than draws."""
    return tree.attrs.get("kind") == "point"


def is_restorable(tree: xr.DataTree) -> bool:
    """Whether the tree names its program and arguments, so that the program can be restored."""
    return {"program", "arguments", "fixed"} <= set(tree.attrs)


def emission_of(tree: xr.DataTree, site: str | None = None) -> EmissionFacts:
    """The facts of an observed site (default: the main one).

    Raises:
        InputError: no observed site of that name.
    """
    facts = facts_of(tree)
    by_site = {emission.site: emission for emission in facts.emissions}
    if site is not None and site not in by_site:
        raise InputError(f"There is no observed site {site!r}: choose from {', '.join(by_site)}.")
    return facts.emission if site is None else by_site[site]


def observed(tree: xr.DataTree, site: str | None = None) -> xr.DataArray | None:
    """The data of an observed site; None if the tree does not hold them.

    Args:
        tree: a fit.
        site: which observed site (default: the main one).

    Returns:
        ``(row, feature)`` or ``(row,)``, missing cells NaN; of tokens and graphs codes
        ``(sequence, position)``; of series of vectors ``(row, feature)``, a row a step.
    """
    return _values(tree, "observed_data", emission_of(tree, site))


def predictive(
    tree: xr.DataTree, which: Literal["prior", "posterior"], site: str | None = None
) -> xr.DataArray | None:
    """Replicated data with one axis ``sample`` in place of chain and draw; None if absent."""
    values = _values(tree, f"{which}_predictive", emission_of(tree, site))
    return None if values is None else as_samples(values.to_dataset(name="site"))["site"]


def series(tree: xr.DataTree, site: str | None = None) -> xr.DataArray | None:
    """Sequences of vectors ``(sequence, position, feature)``, NaN after their end; else None."""
    emission = emission_of(tree, site)
    if emission.kind != "Series" or "observed_data" not in tree.children:
        return None
    values = tree["observed_data"].to_dataset().get(emission.site)
    if values is None:
        return None
    values = _canonical(values, emission)
    values = values if "feature" in values.dims else values.expand_dims(feature=1, axis=-1)
    return values.where(~_missing(values)).astype(float)


def sequence_steps(values: xr.DataArray) -> np.ndarray:
    """Number of steps ``(sequence,)`` of series of vectors ``(sequence, position, feature)``."""
    seen = values.notnull().any("feature").transpose("sequence", "position").values
    return np.where(seen, np.arange(1, seen.shape[1] + 1), 0).max(1)


def _values(tree: xr.DataTree, name: str, emission: EmissionFacts) -> xr.DataArray | None:
    if name not in tree.children or emission.site not in tree[name].data_vars:
        return None
    values = _canonical(tree[name].to_dataset()[emission.site], emission)
    if emission.kind in ("Tokens", "Graphs"):
        return values
    absent = _missing(values)
    values = values.where(~absent) if bool(absent.any()) else values
    return _steps(tree, emission, values) if emission.kind == "Series" else values


def _missing(values: xr.DataArray) -> xr.DataArray:
    return values.copy(data=missing_cells(values.values))


def _canonical(values: xr.DataArray, emission: EmissionFacts) -> xr.DataArray:
    """The array with its axes renamed as plots call them."""
    names = ("sequence", "position", "feature") if emission.kind in SEQUENCES else (
        "row", "feature",
    )  # fmt: skip
    renamed = {own: name for own, name in zip(emission.dims, names, strict=False) if own != name}
    clash = [name for name in renamed.values() if name in values.coords]
    return values.drop_vars(clash).rename(renamed)


def _steps(tree: xr.DataTree, emission: EmissionFacts, values: xr.DataArray) -> xr.DataArray:
    """Steps of sequences of vectors as rows, as many as the observed sequences have."""
    plain = values.drop_vars(["sequence", "position"], errors="ignore")
    rows = plain.stack(row=("sequence", "position"), create_index=False)
    data = series(tree, emission.site)
    if data is not None and (data.sizes["sequence"], data.sizes["position"]) == (
        values.sizes["sequence"], values.sizes["position"],
    ):  # fmt: skip
        inside = np.arange(data.sizes["position"]) < sequence_steps(data)[:, None]
        rows = rows.isel(row=np.flatnonzero(inside))
    return rows.transpose(..., "row", *[dim for dim in ("feature",) if dim in rows.dims])


def as_samples(dataset: xr.Dataset, at_most: int | None = None) -> xr.Dataset:
    """Chains and draws as one axis ``sample``, evenly thinned over all chains.

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


def responsibilities(tree: xr.DataTree) -> xr.DataArray:
    """Assignment probabilities ``(row, cluster)``.

    Raises:
        InputError: when the tree has none.
    """
    values = group(tree, "responsibilities", "a plot of assignments")["responsibilities"]
    unit = facts_of(tree).unit
    values = values if unit == "row" else values.rename({unit: "row"})
    return values.transpose("row", "cluster")


def mean_weights(tree: xr.DataTree) -> np.ndarray | None:
    """Posterior mean of the cluster weights ``(cluster,)``; None where there are no clusters.

    Where a method assigns rows wholly, or every row has weights of its own, the fraction of the
    rows that each cluster holds.
    """
    facts = facts_of(tree)
    if not facts.clusters:
        return None
    weights = cluster_weights(tree)
    if weights is not None and facts.assignments == "soft":
        return weights.mean(["chain", "draw"]).values
    if "responsibilities" in tree.children:
        return responsibilities(tree).mean("row").values
    return None if weights is None else weights.mean(["chain", "draw"]).values


def thinned_rows(rows: int, at_most: int) -> np.ndarray:
    """Indices of at most that many rows, evenly spaced.

    >>> thinned_rows(10, 4)
    array([0, 3, 6, 9])
    """
    if rows <= at_most:
        return np.arange(rows)
    return np.linspace(0, rows - 1, at_most).astype(int)


def axis_names(array: xr.DataArray, dim: str = "feature") -> list[str]:
    """The labels of an axis as strings; numbered where it has none."""
    if dim in array.coords:
        return [str(name) for name in array[dim].values]
    return [f"{dim} {index}" for index in range(array.sizes[dim])]


def known_labels(tree: xr.DataTree, emission: EmissionFacts) -> dict[str, list[str]]:
    """Labels that the data were read with by axis ("feature", "level", "token", "offset")."""
    labels: dict[str, Any] = json.loads(tree.attrs.get("coordinate_labels", "{}"))
    return {n: [str(v) for v in values] for n, values in own_labels(labels, emission.site).items()}


def feature_names(tree: xr.DataTree, emission: EmissionFacts, count: int) -> list[str]:
    """Names of the features of an emission; numbered where the data have none."""
    names = known_labels(tree, emission).get("feature", [])
    if len(emission.dims) == 1:  # one number a row: its column's name, if it has one
        return names if len(names) == 1 and not names[0].isdigit() else [emission.site]
    data = tree["observed_data"].to_dataset() if "observed_data" in tree.children else xr.Dataset()
    if emission.site in data and emission.kind not in ("Tokens", "Graphs"):
        last = emission.dims[-1]
        names = axis_names(data[emission.site], last) if last in data.coords else names
    return names if len(names) == count else [f"feature {index}" for index in range(count)]


def token_names(tree: xr.DataTree, site: str | None = None) -> list[str]:
    """The tokens in the order of their codes, without <end>; numbers where they have no names."""
    emission = emission_of(tree, site)
    labels = known_labels(tree, emission)
    if "token" in labels:
        return labels["token"]
    data = observed(tree, site)
    data = predictive(tree, "posterior", site) if data is None else data
    return [] if data is None else [str(code) for code in range(int(data.max()))]


def level_names(tree: xr.DataTree, emission: EmissionFacts, feature: str) -> list[str] | None:
    """The levels of one feature in the order of their codes; None where they have no names.

    Levels are labelled "feature=level"; data of one column have no other levels than its own.
    """
    parts = [level.rpartition("=") for level in known_labels(tree, emission).get("level", [])]
    single = len(emission.dims) == 1 and len({name for name, _, _ in parts}) == 1
    return [level for name, _, level in parts if single or name == feature] or None


def decoded(
    tree: xr.DataTree, emission: EmissionFacts, feature: str, codes: np.ndarray
) -> np.ndarray:
    """Codes as the names of their levels where there are names, else the codes as they are."""
    names = level_names(tree, emission, feature)
    if names is None:
        return codes
    known = [np.isfinite(code) and 0 <= code < len(names) for code in codes.astype(float)]
    return np.array(
        [names[int(code)] if ok else "–" for code, ok in zip(codes, known, strict=True)], object
    )
