"""Networks: links between the units that are assigned to clusters, and what pairs of these do."""

from __future__ import annotations

import xarray as xr

from ppl_models.plots.drawing.reading import observed
from ppl_models.posterior.result.schema import SAMPLE, EmissionFacts, facts_of


def block_site(tree: xr.DataTree) -> str | None:
    """The site that has a number for every pair of clusters; None where there is none.

    Args:
        tree: a fit.
    """
    for name, values in tree["posterior"].dataset.data_vars.items():
        dims = [str(d) for d in values.dims if d not in SAMPLE]
        if len(dims) == 2 and dims[0] == "cluster" and dims[1].startswith("cluster_"):
            return str(name)
    return None


def adjacency(tree: xr.DataTree, emission: EmissionFacts) -> xr.DataArray | None:
    """Links of a network ``(from, to)``, NaN where they are not known; None of other data.

    The data of a network are square: a row and a column for every unit that is assigned. What
    they are depends on pairs of clusters.

    Args:
        tree: a fit.
        emission: one of its observed sites.
    """
    facts, data = facts_of(tree), observed(tree, emission.site)
    if data is None or not facts.clusters or data.ndim != 2 or block_site(tree) is None:
        return None
    if data.shape != (facts.units, facts.units):
        return None
    plain = data.drop_vars([n for n in data.coords], errors="ignore")
    return plain.rename(dict(zip(data.dims, ("from", "to"), strict=True)))
