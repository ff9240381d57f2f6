"""The draws of a sampler that is still running, or was ended, from its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import xarray as xr

from ppl_models.errors import InputError
from ppl_models.inference.mcmc.chain_states import read_draws
from ppl_models.program.runtime.checkpoint import Checkpoint


def draws_so_far(folder: str | Path) -> xr.DataTree:
    """The draws that a sampler has written to its checkpoint, while it runs or afterwards.

    They are as they were drawn: clusters are not relabelled, and there is no likelihood. To have
    the whole tree, make the same call of ``fit`` again, which goes on from there. Chains that are
    run one after the other are given as far as all of them have come. See `fit` for checkpoints.

    Args:
        folder: that was given to ``fit(checkpoint=)``.

    Returns:
        Groups ``posterior`` and ``sample_stats`` ``(chain, draw, ...)``, which ArviZ reads.

    Raises:
        InputError: no checkpoint of a sampler, or no draws as yet.

    >>> import tempfile
    >>> from ppl_models import fit
    >>> short = {"method": "gibbs", "clusters": 2, "chains": 1, "warmup": 5, "draws": 10}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = fit("poisson_mixture", [1, 2, 9, 8], seed=0, checkpoint=folder, **short)
    ...     dict(draws_so_far(folder)["posterior"]["rate"].sizes)
    {'chain': 1, 'draw': 10, 'cluster': 2}
    """
    checkpoint = Checkpoint(Path(folder))
    chains: list[dict[str, np.ndarray]] = []
    dims: dict[str, list[str]] = {}
    for place in sorted(checkpoint.folder.glob("run_?????.npz")):
        saved = checkpoint.read(place)
        if saved is None or "counts" not in saved:
            continue
        counts = json.loads(str(saved["counts"]))
        dims |= counts["dims"]
        if counts["files"]:
            parts = read_draws(checkpoint, place, len(counts["files"]))
            chains.append({n: np.concatenate([p[n] for p in parts]) for n in parts[0]})
    if not chains:
        raise InputError(
            f"{folder} holds no draws: it is no checkpoint of a sampler, or its chains still warm "
            "up: look again later"
        )
    count = min(len(next(iter(each.values()))) for each in chains)
    together = {n: np.concatenate([each[n][:count] for each in chains], 1) for n in chains[0]}
    groups: dict[str, dict] = {"posterior": {}, "sample_stats": {}}
    for name, drawn in together.items():
        value = drawn.swapaxes(0, 1)
        if name == ".assignment" or not name.startswith("."):
            own = dims.get(name, [f"{name.strip('.')}_dim_{i}" for i in range(value.ndim - 2)])
            groups["posterior"][name.strip(".")] = (("chain", "draw", *own), value)
        elif value.ndim == 2:
            groups["sample_stats"][name[1:]] = (("chain", "draw"), value)
    return xr.DataTree.from_dict({n: xr.Dataset(v) for n, v in groups.items()})
