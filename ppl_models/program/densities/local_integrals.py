"""Continuous sites of the rows (factor scores, random effects) integrated out of a row's density.

Given the global sites and a row's cluster, the row's own continuous sites u have the density
p(u, x_n | z_n = k, θ), of whose logarithm gradient and Hessian are had for all rows at once: rows
are independent given the global sites, so that the gradient of the sum is every row's own.

Where the logarithm is quadratic in u (a linear Gaussian program) the integral is
p(û, x) (2π)^{d/2} |P|^{-1/2} with mode û and precision P. Elsewhere it is found by importance
sampling: normal distributions, narrow and wide, about the modes that Newton's method finds from
four starts, by the balance heuristic, at points of a lattice that is shifted at random, whose
spread over the shifts is the standard error.

Owen and Zhou (2000), Safe and effective importance sampling, Journal of the American Statistical
Association 95; Tierney and Kadane (1986) for the modes; Cranley and Patterson (1976) for the
shifts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from jax.scipy.special import logsumexp, ndtri

from ppl_models.program.densities.local_densities import (
    Density,
    density_of,
    dimension,
    expand,
    trace_at_vectors,
)
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.sites import is_real

if TYPE_CHECKING:
    from ppl_models.program.model import Model
    from ppl_models.program.trace.structure import Structure

SHIFTS = 8  #: of the points, whose spread is the standard error
POINTS = (16, 32)  #: a proposal and shift, in one dimension and in several
#: How much wider the proposals are than Laplace's approximation, over the root of the dimension. A
#: lattice wants weights that fall to zero in the tails, and the wide one serves heavy tails.
WIDER = (0.5, 2.0)
STARTS = 4  #: of Newton's method
STEPS = 60  #: of it at most
PLACES = (0.3, 1.0, 3.0, 10.0)  #: distances at which a density is compared with a quadratic one
ABREAST = 32  #: points side by side


# ---- linear Gaussian programs --------------------------------------------------------------------


def with_integrals(model: Model, structure: Structure) -> Structure:
    """The structure, which says whether the rows' continuous sites have an exact integral."""
    if not structure.locals or not _are_gaussian(model, structure):
        return structure
    return replace(structure, gaussian_locals=True)


def _are_gaussian(model: Model, structure: Structure) -> bool:
    """Whether the rows' log-density is quadratic in their continuous sites.

    It is compared with its second-order expansion at points near and far.
    """
    if any(not is_real(site.support) for site in structure.local_sites):
        return False
    values = structure.initial(make_key(6))
    departure = float(_departure(model, values, structure=structure))
    tolerance = 1e-9 if jnp.result_type(float) == jnp.float64 else 1e-4
    return bool(departure < tolerance)


@quickly(static=("structure",))
def _departure(model: Model, values: Mapping[str, Array], *, structure: Structure) -> Array:
    """Largest relative difference of the rows' log-densities from quadratic ones."""
    shape = (structure.rows, dimension(structure))
    origin, *others = random.normal(random.key(7), (1 + len(PLACES), *shape))
    steps = jnp.stack([distance * other for distance, other in zip(PLACES, others, strict=True)])

    def of_cluster(cluster: Array) -> Array:
        density = density_of(model, values, structure, jnp.full(structure.rows, cluster))
        value, gradient, hessian = expand(density, origin)

        def at(step: Array) -> Array:
            second = jnp.einsum("ri,rij,rj->r", step, hessian, step)
            first = (gradient * step).sum(1)
            expected = value + first + second / 2
            size = 1 + jnp.abs(value) + jnp.abs(first) + jnp.abs(second)
            return jnp.max(jnp.abs(density(origin + step) - expected) / size)

        return lax.map(at, steps).max()

    return lax.map(of_cluster, jnp.arange(structure.clusters)).max()


def _gaussian(density: Density, shape: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Log-integral of a quadratic log-density; mode and lower Cholesky factor of the precision."""
    start = jnp.zeros(shape)
    _, gradient, hessian = expand(density, start)
    factor = jnp.linalg.cholesky(-hessian)
    middle = start + _solve(factor, gradient)
    # from the mode once more: far from it the value has lost digits
    value, vjp = jax.vjp(density, middle)
    (gradient,) = vjp(jnp.ones_like(value))
    move = _solve(factor, gradient)
    log_scale = jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)).sum(1)
    constant = shape[1] / 2 * math.log(2 * math.pi)
    return value + (gradient * move).sum(1) / 2 + constant - log_scale, middle + move, factor


def _with_slope(value: Array, density: Density, mode: Array, factor: Array) -> Array:
    """A log-integral with its derivative in what the density depends on, by Fisher's identity.

    It is the expected derivative of log p(u, x | θ) given the row, which is quadratic in u: the
    mean over the points û ± √d P^{-1/2} e_i of as many dimensions d is exact. (That of a second
    derivative is EM's, of the completed rows.)

    Args:
        value: log-integrals ``(row,)``.
        density: of the rows' vectors, which the derivative is of.
        mode: ``(row, dimension)``.
        factor: lower Cholesky factor of the precision, ``(row, dimension, dimension)``.
    """
    size = mode.shape[1]
    units = jnp.sqrt(jnp.asarray(size, mode.dtype)) * jnp.eye(size, dtype=mode.dtype)

    def both_sides(unit: Array) -> Array:
        wanted = jnp.broadcast_to(unit, mode.shape)[..., None]
        move = jax.scipy.linalg.solve_triangular(jnp.swapaxes(factor, 1, 2), wanted, lower=False)
        return (density(mode + move[..., 0]) + density(mode - move[..., 0])) / 2

    expected = lax.map(both_sides, units).mean(0)
    return value + (expected - lax.stop_gradient(expected))


def _solve(factor: Array, vectors: Array) -> Array:
    return jax.scipy.linalg.cho_solve((factor, True), vectors[..., None])[..., 0]


# ---- importance sampling -------------------------------------------------------------------------


# (products of many small matrices, which XLA has no fast ones for)
def _along(axes: Array, coordinates: Array) -> Array:
    """Vectors with these coordinates along axes, which are the columns ``(..., i, j)``."""
    return (axes * coordinates[..., None, :]).sum(-1)


def _onto(axes: Array, vectors: Array) -> Array:
    """Coordinates of vectors along axes."""
    return (axes * vectors[..., :, None]).sum(-2)


def _find_mode(density: Density, start: Array) -> tuple[Array, Array, Array]:
    """Modes by Newton's method, with the curvatures there and their axes, of every row."""
    tolerance = 1e-8 if start.dtype == jnp.float64 else 1e-4
    shares = jnp.array([1.0, 0.3, 0.03], start.dtype)[:, None, None]

    def curvatures(vectors: Array) -> tuple[Array, Array, Array]:
        _, gradient, hessian = expand(density, vectors)
        usable = jnp.isfinite(hessian).all((1, 2), keepdims=True)
        identity = jnp.eye(start.shape[1], dtype=start.dtype)
        curvature, axes = jnp.linalg.eigh(jnp.where(usable, -hessian, identity))
        return jnp.where(jnp.isfinite(gradient), gradient, 0), jnp.abs(curvature), axes

    def step(state: tuple) -> tuple:
        vectors, value, _, count = state
        gradient, curvature, axes = curvatures(vectors)
        along = _onto(axes, gradient) / jnp.maximum(curvature, 1e-6)
        move = _along(axes, along)
        # a step is no longer than the way from the origin, lest it leaps over to another mode
        length = jnp.linalg.norm(move, axis=1, keepdims=True)
        most = 1 + jnp.linalg.norm(vectors, axis=1, keepdims=True)
        trials = vectors + shares * jnp.minimum(1, most / (length + 1e-30)) * move
        heights = jax.vmap(density)(trials)
        heights = jnp.where(jnp.isnan(heights), -jnp.inf, heights)
        best = heights.argmax(0)
        highest = heights.max(0)
        better = highest > value
        chosen = jnp.take_along_axis(trials, best[None, :, None], axis=0)[0]
        gain = jnp.where(better, highest - value, 0)
        vectors = jnp.where(better[:, None], chosen, vectors)
        return vectors, jnp.where(better, highest, value), gain.max(), count + 1

    def goes_on(state: tuple) -> Array:
        return (state[2] > tolerance) & (state[3] < STEPS)

    first = density(start)
    first = jnp.where(jnp.isnan(first), -jnp.inf, first)
    state = (start, first, jnp.array(jnp.inf, start.dtype), jnp.zeros((), int))
    vectors = lax.while_loop(goes_on, step, state)[0]
    _, curvature, axes = curvatures(vectors)
    return vectors, jnp.maximum(curvature, 1e-4), axes


@lru_cache(maxsize=32)
def _lattice(dimension: int) -> np.ndarray:
    """A lattice of the unit cube, ``(point, dimension)``, Korobov's with the least error.

    Of points i (1, a, a², ...) / n the a whose worst-case error is least for periodic functions
    with square-integrable mixed derivatives; Sloan and Joe (1994), Lattice Methods, section 4.
    """

    count = POINTS[dimension > 1]

    def points(generator: int) -> np.ndarray:
        powers = [pow(generator, power, count) for power in range(dimension)]
        return np.arange(count)[:, None] * np.array(powers) % count / count

    def log_error(cube: np.ndarray) -> float:
        bernoulli = cube**2 - cube + 1 / 6
        return float(np.logaddexp.reduce(np.log1p(bernoulli).sum(1)))

    return min((points(generator) for generator in range(1, count, 2)), key=log_error)


def _normal_points(dimension: int, proposals: int, dtype: Any) -> Array:
    """Normal points ``(proposal, shift, point, dimension)`` of a lattice shifted at random."""
    shifts = np.random.default_rng(0).uniform(size=(proposals, SHIFTS, 1, dimension))
    return ndtri(jnp.asarray((_lattice(dimension) + shifts) % 1.0, dtype).clip(1e-9, 1 - 1e-7))


def _proposals(density: Density, shape: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """Normal proposals: means, curvatures and their axes ``(proposal, row, ...)``, and widths."""
    drawn = random.normal(random.key(8), (STARTS // 2, *shape))
    start = jnp.sign(drawn) * (0.5 + jnp.abs(drawn))
    # on both sides, for one in the middle may be on a saddle
    modes = lax.map(partial(_find_mode, density), jnp.concatenate([start, -start]))
    narrow, wide = (1 + more / math.sqrt(shape[1]) for more in WIDER)
    mean, curvature, axes = (jnp.concatenate([v, v[:: STARTS // 2]]) for v in modes)
    return mean, curvature, axes, jnp.array([*[narrow] * STARTS, wide, wide], start.dtype)


def _weighted(
    density: Density, shape: tuple[int, int], proposing: Density | None = None
) -> tuple[Array, Callable]:
    """Log-weights of points ``(proposal, shift, point, row)``, and the vectors of chosen ones.

    Args:
        density: of the rows' vectors.
        shape: ``(row, dimension)``.
        proposing: the density about whose modes points are proposed (default: the same).
    """
    mean, curvature, axes, width = _proposals(density if proposing is None else proposing, shape)
    points = _normal_points(shape[1], len(width), mean.dtype)
    root = jnp.sqrt(curvature)
    log_scale = jnp.log(curvature).sum(2) / 2 - shape[1] * jnp.log(width)[:, None]
    constant = shape[1] / 2 * math.log(2 * math.pi) + math.log(len(width))
    # rows last, which loops run over: (proposal, [coordinate, axis,] row)
    middle = jnp.moveaxis(mean, 1, -1)
    inwards = jnp.moveaxis(axes * root[:, :, None, :] / width[:, None, None, None], 1, -1)
    outwards = jnp.moveaxis(axes * width[:, None, None, None] / root[:, :, None, :], 1, -1)

    def log_proposal(vectors: Array) -> Array:
        scaled = (inwards * (vectors - middle)[:, :, None]).sum(1)
        return logsumexp(log_scale - (scaled**2).sum(1) / 2, axis=0) - constant

    def of_proposal(each: tuple) -> Array:
        middle, outwards, points = each

        def weigh_point(point: Array) -> Array:
            vectors = middle + (outwards * point[:, None]).sum(1)
            weight = density(vectors.T) - log_proposal(vectors)
            return jnp.where(jnp.isnan(weight), -jnp.inf, weight)

        flat = points.reshape(-1, shape[1])
        log_weights = lax.map(weigh_point, flat, batch_size=min(ABREAST, len(flat)))
        return log_weights.reshape(*points.shape[:2], shape[0])

    def vectors_of(chosen: Array) -> Array:
        """Vectors ``(row, dimension)`` of one point a row, by its number."""
        proposal, rows = chosen // (points.shape[1] * points.shape[2]), jnp.arange(shape[0])
        chosen_points = points.reshape(-1, shape[1])[chosen]
        return middle[proposal, :, rows] + (
            outwards[proposal, :, :, rows] * chosen_points[:, None]
        ).sum(-1)

    return lax.map(of_proposal, (middle, outwards, points)), vectors_of


# ---- what is asked -------------------------------------------------------------------------------


def integrated_logits(model: Model, values: Mapping[str, Array], structure: Structure) -> Array:
    """``log p(z_n = k, x_n)``, continuous sites integrated out, ``(shift, cluster, row)``.

    The density is the mean over the shifts: of a linear Gaussian program there is one, of others
    there are several, whose spread says how exact it is.

    Args:
        model: the program with its data.
        values: global sites.
        structure: what was read off the program.
    """
    shape = (structure.rows, dimension(structure))

    def of_cluster(cluster: Array) -> Array:
        assignment = jnp.full(structure.rows, cluster)
        density = density_of(model, values, structure, assignment)
        # where the points are is no part of a derivative (of which a search for modes has none)
        there = lax.stop_gradient(dict(values))
        proposing = density_of(model, there, structure, assignment)
        if structure.gaussian_locals:
            value, mode, factor = _gaussian(proposing, shape)
            return _with_slope(value, density, mode, factor)[None]
        weights, _ = _weighted(density, shape, proposing)
        return logsumexp(weights, axis=(0, 2)) - math.log(weights.shape[0] * weights.shape[2])

    return jnp.moveaxis(lax.map(of_cluster, jnp.arange(structure.clusters)), 0, 1)


def points_a_row(structure: Structure) -> int:
    """Points at which the density of a row is evaluated, about."""
    size = dimension(structure)
    if structure.gaussian_locals:
        return 2 + 2 * size
    return SHIFTS * (STARTS + 2) * POINTS[size > 1] + 10 * STARTS * (2 * size + 5)


def mean_of_shifts(logits: Array) -> Array:
    """Logarithm of the densities' mean over the shifts, which are the first axis."""
    if logits.shape[0] == 1:
        return logits[0]
    return logsumexp(logits, axis=0) - math.log(logits.shape[0])


def draw_locals(
    model: Model, values: Mapping[str, Array], structure: Structure, assignment: Array, key: Array
) -> dict[str, Array]:
    """The rows' continuous sites drawn given the rows, their clusters and the global sites.

    Args:
        model: the program with its data.
        values: global sites.
        structure: what was read off the program.
        assignment: clusters ``(row,)``.
        key: random key.
    """
    shape = (structure.rows, dimension(structure))
    density = density_of(model, values, structure, assignment)
    if structure.gaussian_locals:
        _, mode, factor = _gaussian(density, shape)
        noise = random.normal(key, shape, mode.dtype)
        vectors = (
            mode
            + jax.scipy.linalg.solve_triangular(
                jnp.swapaxes(factor, 1, 2), noise[..., None], lower=False
            )[..., 0]
        )
    else:
        weights, vectors_of = _weighted(density, shape)
        vectors = vectors_of(random.categorical(key, weights.reshape(-1, shape[0]), axis=0))
    return trace_at_vectors(model, values, structure, vectors, assignment)[0].values


@quickly(static=("structure",))
def local_modes(
    model: Model, values: Mapping[str, Array], *, structure: Structure
) -> dict[str, Array]:
    """The rows' continuous sites where their density given all else is highest.

    It is the density of their unconstrained images, given the rows, their most probable clusters
    and the global sites.

    Args:
        model: the program with its data.
        values: global sites.
        structure: what was read off the program.
    """
    assignment = jnp.zeros(structure.rows, int)
    if structure.assignment is not None:
        assignment = model.logits(values, structure).argmax(0)
    shape = (structure.rows, dimension(structure))
    density = density_of(model, values, structure, assignment)
    if structure.gaussian_locals:
        modes = _gaussian(density, shape)[1]
    else:
        modes = _highest(density, _proposals(density, shape)[0][:STARTS])
    return trace_at_vectors(model, values, structure, modes, assignment)[0].values


def _highest(density: Density, places: Array) -> Array:
    """Of several places ``(place, row, dimension)`` every row's own with the highest density."""
    best = lax.map(density, places).argmax(0)
    return jnp.take_along_axis(places, best[None, :, None], axis=0)[0]
