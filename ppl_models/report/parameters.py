"""Tables of parameters: posterior summaries for draws, values by cluster for a point."""

from __future__ import annotations

from collections.abc import Iterator

import arviz_stats
import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.plots.arviz_views import FIRST, parameters, shown_parameters
from ppl_models.plots.drawing.reading import family, feature_names, is_point
from ppl_models.plots.drawing.style import readable
from ppl_models.plots.transitions import transition_table
from ppl_models.report.page import Block
from ppl_models.report.tables import number

INTERVAL = 0.94
MOST_NUMBERS = 60
MOST_COLUMNS = 16


def parameter_blocks(tree: xr.DataTree) -> Iterator[Block]:
    """The tables of parameters that fit this tree."""
    if family(tree) == "chain":
        yield Block("The most probable next tokens", table=next_tokens(tree), level=3)
    elif is_point(tree):
        table, others = cluster_values(tree), other_values(tree)
        if len(table.columns):
            yield Block("Parameters by cluster", table=table, level=3)
        if len(others):
            yield Block("Other parameters", table=others, level=3)
    else:
        table = summary_table(tree)
        posterior = tree["posterior"].to_dataset()
        total = sum(_size(posterior[name]) for name in foremost(tree))
        text = f"Posterior mean, standard deviation and {INTERVAL:.0%} interval."
        if total > MOST_NUMBERS:
            text += f" There are {total:,} numbers; the foremost are shown."
        yield Block("Parameters", text, table=table, level=3)


def foremost(tree: xr.DataTree) -> list[str]:
    """The parameters, weights first."""
    return sorted(
        parameters(tree), key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)
    )


def _size(values: xr.DataArray) -> int:
    return values.size // (values.sizes.get("chain", 1) * values.sizes.get("draw", 1))


def summary_table(tree: xr.DataTree) -> pd.DataFrame:
    """ArviZ's summary of the foremost parameters, each line rounded by its standard deviation."""
    shown = xr.DataTree.from_dict({"posterior": shown_parameters(tree, MOST_NUMBERS)})
    table = pd.DataFrame(arviz_stats.summary(shown, ci_prob=INTERVAL, round_to="none"))
    repeated = _mirrored(shown["posterior"].to_dataset())
    table = table.loc[[label for label in table.index if label not in repeated]].astype(float)
    places = np.clip(1 - np.floor(np.log10(table["sd"].clip(lower=1e-12))), 0, 6).astype(int)
    names = {"mean": "mean", "sd": "sd", "eti94_lb": "3%", "eti94_ub": "97%"}
    texts = {
        name: [number(value, digits) for value, digits in zip(table[column], places, strict=True)]
        for column, name in names.items()
    }
    others = {"ESS": table["ess_bulk"], "R-hat": table["r_hat"]}
    return pd.DataFrame(texts, index=table.index).assign(**others)


def _mirrored(dataset: xr.Dataset) -> set[str]:
    """Labels of the entries above the diagonal of symmetric matrices, which tell nothing new."""
    labels = set()
    for name, values in dataset.data_vars.items():
        if values.dims[-2:] == ("feature", "feature_other"):
            rows, columns = (feature_names(values, str(dim)) for dim in values.dims[-2:])
            first = [""]
            if "cluster" in values.dims:
                first = [f"{k}, " for k in values["cluster"].values]
            above = [(i, j) for i in range(len(rows)) for j in range(len(columns)) if j > i]
            labels |= {f"{name}[{k}{rows[i]}, {columns[j]}]" for k in first for i, j in above}
    return labels


def cluster_values(tree: xr.DataTree) -> pd.DataFrame:
    """The values of a point by cluster, one column a feature."""
    posterior = tree["posterior"].to_dataset().isel(chain=0, draw=0)
    columns: dict[str, np.ndarray] = {}
    for name in foremost(tree):
        values = posterior[name]
        if values.dims[:1] == ("cluster",):
            flat = values.values.reshape(values.sizes["cluster"], -1)
            columns |= {f"{name}{label}": flat[:, i] for i, label in _entries(values)}
    kept = dict(list(columns.items())[:MOST_COLUMNS])
    index = pd.RangeIndex(posterior.sizes.get("cluster", 0), name="cluster")
    return pd.DataFrame(kept, index=index)


def other_values(tree: xr.DataTree) -> pd.DataFrame:
    """The values of a point's variables that belong to no cluster, one a line."""
    posterior = tree["posterior"].to_dataset().isel(chain=0, draw=0)
    numbers = {
        f"{name}{label}": float(posterior[name].values.flat[i])
        for name in foremost(tree)
        if "cluster" not in posterior[name].dims
        for i, label in _entries(posterior[name])
    }
    return pd.DataFrame({"value": pd.Series(numbers, dtype=float)})


def _entries(values: xr.DataArray) -> list[tuple[int, str]]:
    """Position and label, such as "[length, width]", of the numbers of one cluster.

    Of a symmetric matrix only the diagonal and what is below it.
    """
    dims = [str(dim) for dim in values.dims if dim not in ("chain", "draw", "cluster")]
    if not dims:
        return [(0, "")]
    names = [feature_names(values, dim) for dim in dims]
    index = np.indices([len(part) for part in names]).reshape(len(dims), -1).T
    symmetric = dims == ["feature", "feature_other"]
    return [
        (position, f"[{', '.join(part[i] for part, i in zip(names, row, strict=True))}]")
        for position, row in enumerate(index)
        if not symmetric or row[1] <= row[0]
    ]


def next_tokens(tree: xr.DataTree, *, at_most: int = 4) -> pd.DataFrame:
    """For every token the most probable next ones with their probabilities."""
    matrix, rows, columns = transition_table(tree["posterior"].to_dataset())
    table = {}
    for position, name in enumerate(rows):
        values = np.nan_to_num(matrix[position])
        best = np.argsort(-values, kind="stable")[:at_most]
        table[readable(name)] = [f"{readable(columns[j])} ({values[j]:.0%})" for j in best]
    names = ["most probable", *(f"{place}." for place in range(2, at_most + 1))]
    frame = pd.DataFrame.from_dict(table, orient="index")
    return frame.set_axis(names[: frame.shape[1]], axis=1).rename_axis("token")
