"""Locations and loadings moved to where the scores have mean 0 and covariance I again.

Given the scores of the rows, a location and loadings that explain the rows by scores far from 0
are as good as those that explain them by scores about 0, so that EM creeps from one to the other.
PX-EM lets the scores be Normal(a, R): under what an E-step expects of them their density rises
with a and R, and the rows are then explained as well by the location μ + Λ a and the loadings Λ L,
where R = L L'. Liu, Rubin and Wu (1998), Parameter expansion to accelerate EM: the PX-EM algorithm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array

from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.exponential.family import Statistics

ROUNDING = 100  #: units in the last place of the scores' squares that a variance of them may lose


def expanded(
    loc: Array,
    loadings: Array,
    statistics: Statistics,
    priors: Mapping[str, Any | None],
    shared: Mapping[str, bool],
) -> dict[str, Array]:
    """Locations ``(component, feature)`` and loadings ``(component, feature, factor)``, moved.

    The log joint density never falls: a and R each maximise what the E-step expects of it, with the
    priors at the moved values.

    Args:
        loc: ``(component, feature)``.
        loadings: ``(component, feature, factor)``.
        statistics: see ``score_sums``.
        priors: normal priors of those of the two that may move (None: flat).
        shared: whether all components have the same value of them.
    """
    size, score, moment = (statistics[n] for n in ("size", "score", "moment"))
    if shared.get("loadings") and shared.get("loc"):
        size, score, moment = (v.sum(0, keepdims=True) for v in (size, score, moment))
        loc, loadings = loc[:1], loadings[:1]
    mean, moved = jnp.zeros_like(score), {}
    if "loc" in priors and (not shared["loc"] or shared.get("loadings")):
        mean = _mean(loc, loadings, size, score, priors["loc"])
        moved["loc"] = loc + matmul(loadings, mean[..., None])[..., 0]
    if "loadings" in priors:
        across = mean[..., None] * score[..., None, :]
        squares = mean[..., None] * mean[..., None, :]
        about = moment - across - jnp.swapaxes(across, -1, -2) + size[..., None, None] * squares
        if shared["loadings"]:
            size, moment, about = (v.sum(0, keepdims=True) for v in (size, moment, about))
            loadings = loadings[:1]
        root = _root(loadings, size, moment, about, priors["loadings"])
        moved["loadings"] = matmul(loadings, root)
    return moved


def _mean(loc: Array, loadings: Array, size: Array, score: Array, prior: Any | None) -> Array:
    """The best mean a of the scores: of ``-N |a|²/2 + a's`` and the prior density of μ + Λ a."""
    factors = loadings.shape[-1]
    precision = size[..., None, None] * jnp.eye(factors, dtype=score.dtype)
    linear = score
    if prior is not None:
        inverse = jnp.broadcast_to(prior.scale**-2, loc.shape)
        pull = inverse * (prior.loc - loc)
        weighed = jnp.swapaxes(loadings * inverse[..., None], -1, -2)
        precision = precision + matmul(weighed, loadings)
        linear = linear + matmul(jnp.swapaxes(loadings, -1, -2), pull[..., None])[..., 0]
    mean = jnp.linalg.solve(precision, linear[..., None])[..., 0]
    return jnp.where(jnp.isfinite(mean).all(-1, keepdims=True), mean, 0)


def _root(loadings: Array, size: Array, moment: Array, about: Array, prior: Any | None) -> Array:
    """L, where R = L L' is the best covariance of the scores.

    With S / N = G G' and R = G Y G', of ``-N log|R| / 2 - tr(R⁻¹ S) / 2`` and the prior density of
    Λ L, which is ``-tr(R B) / 2``, the best Y solves D Y² + N Y = N for D = G'BG. The identity
    where the prior tells factors apart or its mean is not 0, and where rounding has left no digits
    of S.
    """
    eye = jnp.eye(loadings.shape[-1], dtype=about.dtype)
    some = jnp.where(size > 0, size, 1)[..., None, None]
    root = jnp.linalg.cholesky(about / some)
    least = (jnp.diagonal(root, axis1=-2, axis2=-1) ** 2).min(-1)
    largest = (jnp.diagonal(moment, axis1=-2, axis2=-1) / some[..., 0]).max(-1)
    known = (size > 0) & (least > ROUNDING * float(jnp.finfo(root.dtype).eps) * largest)
    if prior is not None:
        scale = jnp.broadcast_to(prior.scale, loadings.shape)
        known &= ((scale == scale[..., :1]) & (prior.loc == 0)).all((-1, -2))
        relative = matmul(loadings / scale, jnp.where(known[..., None, None], root, eye))
        lengths, axes = jnp.linalg.eigh(matmul(jnp.swapaxes(relative, -1, -2), relative))
        number = some[..., 0]
        shrunk = 2 * number / (number + jnp.sqrt(number**2 + 4 * number * jnp.clip(lengths, 0)))
        root = matmul(root, axes * jnp.sqrt(shrunk)[..., None, :])
    return jnp.where(known[..., None, None], root, eye)
