"""`predict`, `generate`, `loo` and others, for every group of `fit_many`.

``predict``, ``log_density``, ``generate``, ``loo`` and ``diagnose`` as ``ppl_models`` exports them
take a tree of many groups too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache, wraps
from typing import Any

import numpy as np

GROUPED = "group_facts"  #: attribute of a fit of many groups, see ``posterior.result.schema``


@cache
def by_group(function: Callable) -> Callable:
    """A function of a fit that takes a fit of many groups too.

    Args:
        function: of the package, one of those that this module knows by name.
    """
    name = function.__name__

    @wraps(function)
    def asked(tree: Any, *positional: Any, **options: Any) -> Any:
        if GROUPED not in getattr(tree, "attrs", {}):
            return function(tree, *positional, **options)
        return _ASKED[name](function, tree, *positional, **options)

    return asked


def _fitted(tree: Any) -> Iterator[tuple[int, Any]]:
    """Numbers and labels of the groups that have a fit."""
    table = tree["groups"].to_dataset()
    for place in np.flatnonzero(table["fitted"].values):
        yield int(place), table["group"].values[place]


def _rows(function: Callable, tree: Any, data: Any = None, **options: Any) -> Any:
    """``predict`` and ``log_density``: of the fitted rows, or of new ones with ``by`` as a label.

    Of new rows ``by=`` and ``columns=`` say which group each is of, as ``fit_many`` takes them. The
    coordinate ``group_index`` of the result is the number of a row's group.
    """
    import xarray as xr

    from ppl_models.errors import InputError
    from ppl_models.many.group import as_fitted, rows_of
    from ppl_models.many.split import split
    from ppl_models.many.tree import GROUP_INDEX

    by, columns = options.pop("by", None), options.pop("columns", False)
    parts, places = [], []
    if data is None:
        for place, label in _fitted(tree):
            parts.append(function(as_fitted(tree, label), **options))
            places.append(rows_of(tree, place))
        numbers = [place for place, _ in _fitted(tree)]
    else:
        new_rows = split(data, by, columns=columns)
        known = {label: place for place, label in _fitted(tree)}
        numbers = []
        for number, label in enumerate(new_rows.labels):
            if label not in known:
                raise InputError(f"there is no fit of group {label!r}: leave its rows out")
            rows = np.flatnonzero(new_rows.group == number)
            parts.append(function(as_fitted(tree, label), _taken(new_rows.data, rows), **options))
            places.append(rows)
            numbers.append(known[label])
    unit = tree.attrs["plate"]
    index = [np.full(part.sizes[unit], n) for part, n in zip(parts, numbers, strict=True)]
    parts = [
        part.assign_coords({GROUP_INDEX: (unit, i)}) for part, i in zip(parts, index, strict=True)
    ]
    joined = xr.concat(parts, unit, join="outer", coords="minimal", compat="override")
    return joined.isel({unit: np.argsort(np.concatenate(places), kind="stable")})


def _taken(data: Any, rows: np.ndarray) -> Any:
    if isinstance(data, dict):
        return {n: _taken(v, rows) for n, v in data.items()}
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    return data[rows] if hasattr(data, "shape") else [data[i] for i in rows]


def _generated(function: Callable, tree: Any, rows: int, *, seed: int, **options: Any) -> Any:
    """``generate``: so many rows of every group, ``(group, row, ...)``."""
    import pandas as pd
    import xarray as xr

    from ppl_models.many.group import as_fitted

    parts, labels = [], []
    for place, label in _fitted(tree):
        own = int(np.random.SeedSequence([seed, place]).generate_state(1)[0])
        parts.append(function(as_fitted(tree, label), rows, seed=own, **options))
        labels.append(label)
    return xr.concat(parts, pd.Index(labels, name="group"), join="outer")


def _left_out(function: Callable, tree: Any, **options: Any) -> Any:
    """``loo``: a table of the groups: elpd, its standard error, p, and rows with large Pareto k."""
    import pandas as pd

    from ppl_models.many.group import as_fitted

    rows = []
    for _, label in _fitted(tree):
        with warnings.catch_warnings():
            # ArviZ warns of every group: the table tells of all of them
            warnings.filterwarnings("ignore", "Estimated shape parameter", UserWarning)
            answer = function(_where_evaluated(as_fitted(tree, label)), **options)
        bad = int((np.asarray(answer.pareto_k) > answer.good_k).sum())
        rows.append(
            {"group": label, "elpd": answer.elpd, "se": answer.se, "p": answer.p, "bad_k": bad}
        )
    return pd.DataFrame(rows).set_index("group")


def _where_evaluated(one: Any) -> Any:
    """A fit with those draws alone at which the rows' log-densities are kept."""
    if "log_likelihood" not in one.children or one.attrs["kind"] != "draws":
        return one
    draws = one["log_likelihood"]["draw"].values
    for name in ("posterior", "sample_stats"):
        dataset = one[name].to_dataset()
        one[name].dataset = dataset.isel(draw=np.isin(dataset["draw"].values, draws))
    return one


def _diagnosed(function: Callable, tree: Any, **options: Any) -> Any:
    """``diagnose``: whether the groups can be trusted, and a table of them, doubtful ones first."""
    from ppl_models.many.doubts import diagnose_groups

    return diagnose_groups(tree)


_ASKED: dict[str, Callable] = {
    "predict": _rows,
    "log_density": _rows,
    "generate": _generated,
    "loo": _left_out,
    "diagnose": _diagnosed,
}
