"""The fits of many groups as one ``xarray.DataTree``.

Variables of sites have a dimension ``group`` after chain and draw. Rows are kept flat: the group of
each is ``group_index`` along the rows' dimension, in ``observed_data``, ``log_likelihood`` and
``responsibilities``. The group ``groups`` is a table of what is known of each: its number of rows,
of clusters, whether EM converged, and why it failed. What a group lacks is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from ppl_models.data.kinds import Observed
from ppl_models.many.outcome import Outcome
from ppl_models.posterior.result.schema import FACTS, GROUP_FACTS, HIDDEN, facts_of
from ppl_models.program.arguments.json_text import to_json

GROUP_INDEX = "group_index"  #: the number of a row's group


def many_tree(
    like: xr.DataTree,
    observed: Mapping[str, Observed],
    rows: Sequence[np.ndarray],
    labels: np.ndarray,
    outcomes: Sequence[Outcome],
    attributes: Mapping[str, Any],
) -> xr.DataTree:
    """One tree of all groups.

    Args:
        like: the fit of one group, of as many clusters as any has.
        observed: rows of all groups.
        rows: places of each group's rows.
        labels: of the groups.
        outcomes: what was found of each.
        attributes: of the root.
    """
    facts = facts_of(like)
    plate = facts.unit
    posterior = like["posterior"].to_dataset()
    if HIDDEN in like.children:
        posterior = posterior.merge(like[HIDDEN].to_dataset())
    groups = {"posterior": _sites(posterior, outcomes, labels)}
    sample = {"chain": posterior["chain"], "draw": posterior["draw"], "group": labels}
    lp = np.full((posterior.sizes["chain"], posterior.sizes["draw"], len(labels)), np.nan)
    for place, each in enumerate(outcomes):
        if each.lp is not None:
            lp[:, :, place] = each.lp
    groups["sample_stats"] = xr.Dataset({"lp": (("chain", "draw", "group"), lp)}, coords=sample)
    groups |= _by_row(like, observed, rows, outcomes, plate, facts.emission.site)
    groups["groups"] = _table(outcomes, rows, labels)
    tree = xr.DataTree.from_dict(groups)
    copied = {n: v for n, v in like.attrs.items() if n not in (FACTS, "notes", "labels")}
    tree.attrs = {
        **copied,
        **attributes,
        GROUP_FACTS: like.attrs[FACTS],
        "notes": to_json({"notes": _notes(outcomes)}),
    }
    return tree


def _sites(
    like: xr.Dataset,
    outcomes: Sequence[Outcome],
    labels: np.ndarray,
) -> xr.Dataset:
    """Draws of the sites, ``(chain, draw, group, ...)``."""
    names = {n for each in outcomes for n in each.values}
    sites = {}
    for name, variable in like.data_vars.items():
        if name not in names:
            continue  # what is computed of the sites: one group's fit has it
        first = variable.transpose("chain", "draw", ...)
        shape = (*first.shape[:2], len(labels), *first.shape[2:])
        kind = np.result_type(first.dtype, np.float32)
        values = np.full(shape, np.nan, kind)
        for place, each in enumerate(outcomes):
            if each.values:
                value = each.values[str(name)]
                inner = [slice(0, n) for n in value.shape[2:]]
                values[:, :, place][(slice(None), slice(None), *inner)] = value
        dims = ("chain", "draw", "group", *first.dims[2:])
        sites[name] = xr.Variable(dims, values)
    coords = {str(n): c for n, c in like.coords.items()} | {"group": labels}
    used = {d for v in sites.values() for d in v.dims}
    return xr.Dataset(sites, coords={n: c for n, c in coords.items() if n in used})


def _by_row(
    like: xr.DataTree,
    observed: Mapping[str, Observed],
    rows: Sequence[np.ndarray],
    outcomes: Sequence[Outcome],
    plate: str,
    site: str,
) -> dict[str, xr.Dataset]:
    """Data, log-densities and responsibilities of all rows, flat."""
    total = len(next(iter(observed.values())).values)
    index = np.empty(total, np.int64)
    for place, own in enumerate(rows):
        index[own] = place
    named = next(iter(observed.values())).coords.get(next(iter(observed.values())).dims[0])
    names = np.asarray(named) if named is not None and len(named) == total else np.arange(total)
    along: dict[str, Any] = {plate: names, GROUP_INDEX: (plate, index)}
    groups: dict[str, xr.Dataset] = {}
    for name in ("observed_data", "constant_data"):
        if name not in like.children:
            continue
        old = like[name].to_dataset()
        data = {
            n: ((plate, *v.dims[1:]), observed[str(n)].values)
            for n, v in old.data_vars.items()
            if str(n) in observed
        }
        coords = {str(n): c for n, c in old.coords.items() if n != plate}
        groups[name] = xr.Dataset(data, coords={**coords, **along})
    fitted = [(own, each) for own, each in zip(rows, outcomes, strict=True)]
    densities = [each for _, each in fitted if each.log_likelihood is not None]
    if densities:
        chains, draws = densities[0].log_likelihood.shape[:2]  # type: ignore[union-attr]
        table = np.full((chains, draws, total), np.nan)
        for own, each in fitted:
            if each.log_likelihood is not None:
                table[:, :, own] = each.log_likelihood
        coords = {"chain": np.arange(chains), "draw": np.arange(draws) * densities[0].every}
        variable = (("chain", "draw", plate), table)
        groups["log_likelihood"] = xr.Dataset({site: variable}, coords={**coords, **along})
    clusters = max((each.clusters for each in outcomes), default=0)
    if any(each.responsibilities is not None for each in outcomes):
        responsibilities = np.full((total, clusters), np.nan)
        for own, each in fitted:
            if each.responsibilities is not None:
                responsibilities[own] = 0.0
                responsibilities[own, : each.clusters] = each.responsibilities
        groups["responsibilities"] = xr.Dataset(
            {"responsibilities": ((plate, "cluster"), responsibilities)},
            coords={"cluster": np.arange(clusters), **along},
        )
    return groups


def _table(
    outcomes: Sequence[Outcome], rows: Sequence[np.ndarray], labels: np.ndarray
) -> xr.Dataset:
    """What is known of each group, ``(group,)``."""
    names = list(dict.fromkeys(n for each in outcomes for n in each.facts))
    columns = {
        "rows": np.array([len(own) for own in rows]),
        "clusters": np.array([each.clusters for each in outcomes]),
        "fitted": np.array([not each.failure for each in outcomes]),
        "failure": np.array([each.failure for each in outcomes], dtype=str),
    }
    for name in names:
        columns[name] = np.array([float(each.facts.get(name, np.nan)) for each in outcomes])
    return xr.Dataset({n: ("group", v) for n, v in columns.items()}, coords={"group": labels})


def _notes(outcomes: Sequence[Outcome]) -> list[str]:
    failed = sum(bool(each.failure) for each in outcomes)
    notes = (
        [f"{failed} of {len(outcomes)} groups failed: tree['groups'] says why"] if failed else []
    )
    return notes
