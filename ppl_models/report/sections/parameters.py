"""Tables of parameters: posterior summaries for draws, values by component for a point."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import arviz_stats
import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.plots.drawing.components import transition_axes
from ppl_models.plots.drawing.parameters import (
    foremost_sites,
    global_variables,
    shown_parameters,
    total_count,
)
from ppl_models.plots.drawing.reading import axis_names, emission_of, is_point
from ppl_models.plots.drawing.style import readable
from ppl_models.plots.transitions import labelled_parameters, transition_table
from ppl_models.posterior.result.arviz_axes import with_own_axes
from ppl_models.posterior.result.names import component, component_labels
from ppl_models.posterior.result.schema import facts_of
from ppl_models.report.page import Block
from ppl_models.report.tables import INTERVAL, number

MOST_NUMBERS = 60
MOST_COLUMNS = 16


def parameter_blocks(tree: xr.DataTree) -> Iterator[Block]:
    """The tables of parameters that fit this tree."""
    if transition_axes(emission_of(tree))[-2:] == ("token", "next_token"):
        text = "The most probable next tokens after each token, with their probabilities."
        yield Block("Transitions", text, table=next_tokens(tree), level=3)
    elif is_point(tree):
        table, others = component_values(tree), other_values(tree)
        if len(table.columns):
            shown, text = table.iloc[:, :MOST_COLUMNS], ""
            if len(shown.columns) < len(table.columns):
                text = f"Shown are the first {MOST_COLUMNS} of {len(table.columns):,} columns."
            yield Block(f"Parameters by {table.index.name}", text, table=shown, level=3)
        if len(others):
            yield Block("Other parameters", table=others, level=3)
    else:
        table = summary_table(tree)
        total = total_count(tree["posterior"].to_dataset()[global_variables(tree)])
        text = f"Posterior mean, standard deviation and {INTERVAL:.0%} interval."
        if total > MOST_NUMBERS:
            text += f" Shown are the foremost of {total:,} numbers."
        yield Block("Parameters", text, table=table, level=3)


def summary_table(tree: xr.DataTree) -> pd.DataFrame:
    """ArviZ's summary of the first parameters, each row rounded by its standard deviation."""
    parameters = shown_parameters(tree, MOST_NUMBERS)
    shown = xr.DataTree.from_dict({"posterior": with_own_axes(parameters)})
    table = pd.DataFrame(arviz_stats.summary(shown, ci_prob=INTERVAL, round_to="none"))
    repeated = _mirrored(parameters)
    table = table.loc[[label for label in table.index if label not in repeated]].astype(float)
    places = np.clip(1 - np.floor(np.log10(table["sd"].clip(lower=1e-12))), 0, 6).astype(int)
    names = {"mean": "mean", "sd": "sd", "eti94_lb": "3%", "eti94_ub": "97%"}
    texts = {
        name: [number(value, digits) for value, digits in zip(table[column], places, strict=True)]
        for column, name in names.items()
    }
    others = {"ESS": table["ess_bulk"], "R-hat": table["r_hat"]}
    return pd.DataFrame(texts, index=table.index).assign(**others)


def _is_symmetric(values: xr.DataArray) -> bool:
    """Whether the last two axes are those of a matrix of features by features."""
    first, last = (str(dim) for dim in ("", *values.dims)[-2:])
    return last == f"{first}_other"


def _mirrored(dataset: xr.Dataset) -> set[str]:
    """Labels of the entries above the diagonal of symmetric matrices, which are redundant."""
    labels = set()
    for name, values in dataset.data_vars.items():
        if _is_symmetric(values):
            rows, columns = (axis_names(values, str(dim)) for dim in values.dims[-2:])
            leading = [axis_names(values, str(dim)) for dim in values.dims[2:-2]]
            first = ["".join(f"{name}, " for name in place) for place in product(*leading)]
            above = [(i, j) for i in range(len(rows)) for j in range(len(columns)) if j > i]
            labels |= {f"{name}[{k}{rows[i]}, {columns[j]}]" for k in first for i, j in above}
    return labels


def _ordered(tree: xr.DataTree) -> list[str]:
    """The parameters, weights and those of emissions first."""
    order = foremost_sites(tree)
    return sorted(
        global_variables(tree), key=lambda name: order.index(name) if name in order else len(order)
    )


def _component_dim(tree: xr.DataTree) -> str:
    return "state" if facts_of(tree).states and not facts_of(tree).clusters else "cluster"


def component_values(tree: xr.DataTree) -> pd.DataFrame:
    """The values of a point by cluster or hidden state, one column a feature."""
    posterior = tree["posterior"].to_dataset().isel(chain=0, draw=0)
    dim = _component_dim(tree)
    columns: dict[str, np.ndarray] = {}
    for name in _ordered(tree):
        values = posterior[name]
        if values.dims[:1] == (dim,):
            flat = values.values.reshape(values.sizes[dim], -1)
            columns |= {f"{name}{label}": flat[:, i] for i, label in _entries(values, dim)}
    labels = component_labels(tree, posterior.sizes.get(dim, 0))
    return pd.DataFrame(columns, index=pd.Index(labels, name=dim))


def other_values(tree: xr.DataTree) -> pd.DataFrame:
    """The values of a point's variables without a component axis, one per row."""
    posterior = tree["posterior"].to_dataset().isel(chain=0, draw=0)
    dim = _component_dim(tree)
    numbers = {
        f"{name}{label}": float(posterior[name].values.flat[i])
        for name in _ordered(tree)
        if posterior[name].dims[:1] != (dim,)
        for i, label in _entries(posterior[name], dim)
    }
    return pd.DataFrame({"value": pd.Series(numbers, dtype=float)})


def _entries(values: xr.DataArray, component: str) -> list[tuple[int, str]]:
    """Position and label, such as "[length, width]", of the numbers of one component.

    Of a symmetric matrix only the diagonal and what is below it.
    """
    dims = [str(dim) for dim in values.dims]
    dims = dims[1:] if dims[:1] == [component] else dims
    if not dims:
        return [(0, "")]
    names = [axis_names(values, dim) for dim in dims]
    index = np.indices([len(part) for part in names]).reshape(len(dims), -1).T
    symmetric = _is_symmetric(values)
    return [
        (position, f"[{', '.join(part[i] for part, i in zip(names, row, strict=True))}]")
        for position, row in enumerate(index)
        if not symmetric or row[-1] <= row[-2]
    ]


def next_tokens(tree: xr.DataTree, *, at_most: int = 4) -> pd.DataFrame:
    """For every token the most probable next ones with their probabilities, best first.

    One column a place, or one column a cluster.
    """
    parameters = labelled_parameters(tree, emission_of(tree))
    if "cluster" not in parameters["transition"].dims:
        texts = _next_tokens(parameters, at_most)
        names = ["most probable", *(f"{place}." for place in range(2, at_most + 1))]
        frame = pd.DataFrame.from_dict(texts, orient="index")
        return frame.set_axis(names[: frame.shape[1]], axis=1).rename_axis("token")
    columns = {
        component(tree, "cluster", k): {
            t: ", ".join(after) for t, after in _next_tokens(chain, 3).items()
        }
        for k, chain in enumerate(
            parameters.isel(cluster=k) for k in range(parameters.sizes["cluster"])
        )
    }
    return pd.DataFrame(columns).rename_axis("token")


def _next_tokens(parameters: xr.Dataset, at_most: int) -> dict[str, list[str]]:
    """Token -> the most probable next ones of one chain."""
    matrix, rows, columns = transition_table(parameters)
    texts = {}
    for name, probabilities in zip(rows, np.nan_to_num(matrix), strict=True):
        best = np.argsort(-probabilities, kind="stable")[:at_most]
        texts[readable(name)] = [f"{readable(columns[j])} ({probabilities[j]:.0%})" for j in best]
    return texts
