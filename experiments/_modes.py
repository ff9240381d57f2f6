"""Number of modes of the density of a Gaussian mixture, a label-invariant quantity.

A component is not necessarily a cluster, since two of them may share one mode. From the centre of
every component the density is maximised by Carreira-Perpiñán's (2000) fixed point,
x ← (Σ_k r_k Σ_k⁻¹)⁻¹ Σ_k r_k Σ_k⁻¹ μ_k with the responsibilities r of x; distinct ends are counted.
(In two dimensions a mixture may have a mode that no component's centre leads to; that is rare.)
"""

from __future__ import annotations

import numpy as np
import xarray as xr

STEPS = 2000
STOP = 1e-8  #: of a step, in standard deviations of the data
APART = 0.05  #: fixed points farther apart than this are different modes, in the same unit


def count_modes(tree: xr.DataTree, spread: np.ndarray, draws: int = 400) -> np.ndarray:
    """Number of modes of the density at each of ``draws`` draws, evenly spaced.

    Args:
        tree: a fit of a Gaussian mixture of any covariance.
        spread: standard deviation of every feature (feature,).
        draws: the largest number of draws used.

    Returns:
        Counts (draw,).
    """
    weights, loc, covariance = components(tree, draws)
    ends = run_em(weights, loc / spread, covariance / np.outer(spread, spread))
    distance = np.linalg.norm(ends[:, :, None] - ends[:, None], axis=-1)
    return np.array([distinct(table) for table in distance])


def distinct(distance: np.ndarray) -> int:
    """Number of points with no earlier point nearby, from their distances (point, point).

    >>> distinct(np.array([[0.0, 0.01, 3.0], [0.01, 0.0, 3.0], [3.0, 3.0, 0.0]]))
    2
    """
    return sum(not (row[:i] < APART).any() for i, row in enumerate(distance))


def components(tree: xr.DataTree, draws: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, centres and covariances of all components, each (draw, cluster, ...)."""
    posterior = tree["posterior"].dataset.stack(sample=("chain", "draw"))
    posterior = posterior.transpose("sample", "cluster", ...)
    total = posterior.sizes["sample"]
    posterior = posterior.isel(sample=np.linspace(0, total - 1, min(draws, total)).astype(int))
    weights, loc = posterior["weights"].values, posterior["loc"].values
    shape = (*loc.shape, loc.shape[-1])
    if "covariance" not in posterior:
        scale = posterior["scale"].values
        scale = scale[..., None] if scale.ndim == 2 else scale
        return weights, loc, np.broadcast_to((scale**2)[..., None], shape) * np.eye(shape[-1])
    dims = ("sample", *[d for d in ("cluster",) if d in posterior["covariance"].dims],
            "feature", "feature_other")  # fmt: skip
    covariance = posterior["covariance"].transpose(*dims).values
    covariance = covariance if covariance.ndim == 4 else covariance[:, None]
    return weights, loc, np.broadcast_to(covariance, shape)


def run_em(weights: np.ndarray, loc: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Fixed points reached from every centre, (draw, cluster, feature).

    >>> ends = run_em(np.array([[0.5, 0.5]]), np.array([[[-0.5], [0.5]]]), np.ones((1, 2, 1, 1)))
    >>> bool(np.abs(ends).max() < 1e-3)
    True
    """
    precision = np.linalg.inv(covariance)
    with np.errstate(divide="ignore"):
        constant = (np.log(weights) + 0.5 * np.linalg.slogdet(precision)[1])[:, None]
    pulled = np.einsum("dkfg,dkg->dkf", precision, loc)
    at = loc.copy()
    for _ in range(STEPS):
        off = at[:, :, None] - loc[:, None]
        log = constant - 0.5 * np.einsum("dskf,dkfg,dskg->dsk", off, precision, off)
        responsibilities = np.exp(log - log.max(-1, keepdims=True))
        matrix = np.einsum("dsk,dkfg->dsfg", responsibilities, precision)
        vector = np.einsum("dsk,dkf->dsf", responsibilities, pulled)
        moved = np.linalg.solve(matrix, vector[..., None])[..., 0]
        farthest, at = np.abs(moved - at).max(), moved
        if farthest < STOP:
            break
    return at
