"""The table of hidden chains' emissions, and the sum over all paths by brute force.

Every emission is one row: its parameters by state, NumPyro's own distribution of a step, and the
density of a step's observed cells by SciPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy import stats

from ppl_models import distributions as families
from ppl_models.distributions import HiddenMarkov

STATES, FEATURES, STEPS = 2, 2, 4
LENGTHS = np.array([4, 2, 3, 1, 4])
LEVELS = (2, 3)
_generator = np.random.default_rng(3)
INITIAL = _generator.dirichlet(np.ones(STATES))
TRANSITION = _generator.dirichlet(np.ones(STATES), STATES)
ENDING = _generator.dirichlet(np.ones(STATES + 1), STATES)
LOC = _generator.normal(0, 2, (STATES, FEATURES))
SCALE = _generator.uniform(0.5, 2, (STATES, FEATURES))
_root = _generator.normal(size=(STATES, FEATURES, FEATURES))
COVARIANCE = _root @ _root.swapaxes(1, 2) + 0.5 * np.eye(FEATURES)
PROBS = _generator.uniform(0.1, 0.9, (STATES, FEATURES))
PROPORTIONS = np.hstack([_generator.dirichlet(np.ones(k), STATES) for k in LEVELS])
RATE = _generator.uniform(0.5, 6, (STATES, FEATURES))
SHAPE = (len(LENGTHS), STEPS, FEATURES)
REAL = _generator.normal(0, 2, SHAPE)
BITS = _generator.integers(0, 2, SHAPE).astype(float)
CODES = np.stack([_generator.integers(0, k, SHAPE[:2]) for k in LEVELS], -1).astype(float)
COUNTS = _generator.poisson(3, SHAPE).astype(float)

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Emission:
    """One row of the table.

    Args:
        name: of the row.
        parameters: ``(state, ...)``, tied ones without the axis.
        family: parameters -> our distribution of a step, the state its last batch axis.
        standard: parameters and states -> NumPyro's distribution of a step.
        log_density: parameters, state and a step with NaN for what is missing -> log-density.
        data: ``(sequence, position, feature)``.
    """

    name: str
    parameters: Parameters
    family: Callable[[Parameters], Any]
    standard: Callable[[Parameters, Any], Any]
    log_density: Callable[[Parameters, int, np.ndarray], float]
    data: np.ndarray


def maximum_likelihood(chain: HiddenMarkov, statistics: Any, centre: Any) -> HiddenMarkov:
    """The chain at the maximum of its likelihood: the mode of every conditional in turn.

    The conditionals are those of flat priors, in the order in which EM takes them.
    """
    own = ("initial", "initial_transition", "transition")
    for name in chain.parameter_dims:
        posterior = chain.conditional(name, None, statistics, centre, shared=name not in own)
        mode = posterior.mode()
        tied = name in own or name in chain.shared_parameters
        chain = chain.replace(**{name: mode if tied else mode[None]})
    return chain


def _gaussian(parameters, state, step):
    covariance = parameters.get("covariance")
    if covariance is None:
        covariance = np.eye(FEATURES) * parameters["scale"][state] ** 2
    elif covariance.ndim == 3:
        covariance = covariance[state]
    seen = ~np.isnan(step)
    if not seen.any():
        return 0.0
    part = covariance[np.ix_(seen, seen)]
    return stats.multivariate_normal.logpdf(step[seen], parameters["loc"][state][seen], part)


def _bernoulli(parameters, state, step):
    seen = ~np.isnan(step)
    return stats.bernoulli.logpmf(step[seen], parameters["probs"][state][seen]).sum()


def _categorical(parameters, state, step):
    blocks = np.split(parameters["probs"][state], np.cumsum(LEVELS)[:-1])
    pairs = zip(blocks, step, strict=True)
    return sum(np.log(block[int(code)]) for block, code in pairs if not np.isnan(code))


def _poisson(parameters, state, step):
    seen = ~np.isnan(step)
    return stats.poisson.logpmf(step[seen], parameters["rate"][state][seen]).sum()


def _levels(parameters, z):
    """NumPyro's categorical distributions of both features, with levels that never occur."""
    first, second = jnp.split(parameters["probs"], [LEVELS[0]], axis=-1)
    first = jnp.pad(first, [(0, 0), (0, LEVELS[1] - LEVELS[0])])
    return dist.Categorical(jnp.stack([first, second], 1)[z]).to_event(1)


EMISSIONS = [
    Emission(
        "spherical",
        {"loc": LOC, "scale": SCALE[:, :1]},
        lambda p: families.SphericalGaussian(p["loc"], p["scale"][..., 0]),
        lambda p, z: dist.Normal(p["loc"][z], p["scale"][z]).to_event(1),
        _gaussian,
        REAL,
    ),
    Emission(
        "diagonal",
        {"loc": LOC, "scale": SCALE},
        lambda p: families.DiagonalGaussian(p["loc"], p["scale"]),
        lambda p, z: dist.Normal(p["loc"][z], p["scale"][z]).to_event(1),
        _gaussian,
        REAL,
    ),
    Emission(
        "tied",
        {"loc": LOC, "covariance": COVARIANCE[0]},
        lambda p: families.TiedGaussian(p["loc"], p["covariance"]),
        lambda p, z: dist.MultivariateNormal(p["loc"][z], p["covariance"]),
        _gaussian,
        REAL,
    ),
    Emission(
        "full",
        {"loc": LOC, "covariance": COVARIANCE},
        lambda p: families.FullGaussian(p["loc"], p["covariance"]),
        lambda p, z: dist.MultivariateNormal(p["loc"][z], p["covariance"][z]),
        _gaussian,
        REAL,
    ),
    Emission(
        "bernoulli",
        {"probs": PROBS},
        lambda p: families.BernoulliVector(p["probs"]),
        lambda p, z: dist.Bernoulli(p["probs"][z]).to_event(1),
        _bernoulli,
        BITS,
    ),
    Emission(
        "categorical",
        {"probs": PROPORTIONS},
        lambda p: families.CategoricalVector(p["probs"], LEVELS),
        _levels,
        _categorical,
        CODES,
    ),
    Emission(
        "poisson",
        {"rate": RATE},
        lambda p: families.PoissonVector(p["rate"]),
        lambda p, z: dist.Poisson(p["rate"][z]).to_event(1),
        _poisson,
        COUNTS,
    ),
]


def chain(emission, parameters=None, initial=INITIAL, transition=TRANSITION):
    """The family under test."""
    step = emission.family(parameters or emission.parameters)
    return HiddenMarkov(initial, transition, step, positions=STEPS)


def ragged(data, *, steps=False, cells=False):
    """Data whose sequences end where they do, with missing steps and cells within them."""
    rows = data.copy()
    rows[np.arange(STEPS) >= LENGTHS[:, None]] = np.nan
    if steps:
        rows[0, 1:3] = rows[2, 0] = np.nan
    if cells:
        rows[0, 0, 1] = rows[1, 1, 0] = rows[4, 2, 1] = np.nan
    return rows


def every_path(emission, row, initial=INITIAL, transition=TRANSITION):
    """All paths of one sequence, ``(path, step)``, and their joint log-densities with it."""
    length = 1 + np.flatnonzero(~np.isnan(row).all(-1))[-1]
    paths = np.array(list(product(range(STATES), repeat=int(length))))
    joint = np.empty(len(paths))
    for n, path in enumerate(paths):
        joint[n] = np.log(initial[path[0]])
        joint[n] += sum(
            emission.log_density(emission.parameters, z, row[t]) for t, z in enumerate(path)
        )
        joint[n] += np.log(transition[path[:-1], path[1:]]).sum()
        if transition.shape[1] > STATES:
            joint[n] += np.log(transition[path[-1], -1])
    return paths, joint


def by_brute_force(emission, rows, **chain):
    return [np.logaddexp.reduce(every_path(emission, row, **chain)[1]) for row in rows]
