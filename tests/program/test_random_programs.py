"""Random small programs: density, responsibilities and draws are those of bare NumPyro."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from jax.scipy.special import logsumexp as logsumexp_
from numpyro import handlers
from scipy.special import logsumexp, softmax

from ppl_models import fit, predict
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.assignment_draws import draw_clusters
from ppl_models.posterior.density.rows import RowLogits
from ppl_models.posterior.labels.relabel import relabel
from ppl_models.posterior.simulate.predictive import draw_data
from ppl_models.program.log_joint import log_joint
from ppl_models.program.model import Model


def _beside(name):
    """A module beside this file, which pytest does not put on the path."""
    path = Path(__file__).with_name(f"{name}.py")
    specification = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(sys.modules[name])
    return sys.modules[name]


made = _beside("random_programs")
Draft, ROWS = made.Draft, made.ROWS
SETTINGS = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
KEYS = st.integers(0, 5)


def problem_of(draft):
    data = made.with_gaps(*made.data_of(draft))
    model = Model(made.program_of(draft), data, {}, {})
    return Problem(model, model.structure())


def check_density(draft, seed):
    """Density and responsibilities, of a program at values of its global sites."""
    with jax.enable_x64(True):
        problem = problem_of(draft)
        model, structure = problem.model, problem.structure
        values = structure.initial(jax.random.key(seed))
        logits = model.logits(values, structure)
        table, prior = made.by_numpyro(draft, values)
        np.testing.assert_allclose(logits, table, rtol=1e-9, atol=1e-9)
        expected = logsumexp(table, axis=0).sum() + prior
        actual = log_joint(model, structure, values)
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)
        probabilities = RowLogits(logits[None], structure.rows).responsibilities(hard=False)[0]
        np.testing.assert_allclose(probabilities, softmax(table, axis=0).T, rtol=1e-7, atol=1e-12)


@settings(max_examples=5, **SETTINGS)  # (400 of them: make long)
@given(made.drafts(), KEYS)
@example(Draft(2, "covariate", "within", ("poisson",), "scale by data", "rows", None, False), 0)
@example(
    Draft(3, "stick", None, ("multivariate", "student"), "mask by row", "x", "closed", True), 1
)
@example(Draft(2, "group", None, ("normal",), None, "rows", None, True, "reparam"), 0)
def test_density_and_responsibilities(draft, seed):
    check_density(draft, seed)


@pytest.mark.long
@settings(max_examples=400, **SETTINGS)
@given(made.drafts(), KEYS)
def test_density_and_responsibilities_of_many(draft, seed):
    check_density(draft, seed)


# ---- draws -------------------------------------------------------------------------------------


def check_draws(draft, seed):
    """Means of drawn clusters and of drawn data, row by row."""
    count = 3000
    with jax.enable_x64(True):
        problem = problem_of(draft)
        model, structure = problem.model, problem.structure
        values = structure.initial(jax.random.key(seed))
        table, _ = made.by_numpyro(draft, values)
        keys = jax.random.split(jax.random.key(1), count)
        logits = model.logits(values, structure)
        chosen = jax.vmap(lambda key: draw_clusters(key, logits))(keys)
        probabilities = (np.asarray(chosen)[..., None] == np.arange(structure.clusters)).mean(0)
        np.testing.assert_allclose(
            probabilities, softmax(table, axis=0).T, atol=5 * 0.5 / count**0.5
        )
        held = {n: jnp.broadcast_to(v, (count, *v.shape)) for n, v in values.items()}
        ours = draw_data(problem, held, jax.random.key(2), count)
        covariate = {n: v for n, v in model.data.items() if n in ("t", "weight")}

        def bare(key):
            program = handlers.substitute(made.program_of(draft), data=values)
            trace = handlers.trace(handlers.seed(program, key)).get_trace(**covariate)
            return {n: trace[n]["value"] for n in draft.sites}

        theirs = jax.jit(jax.vmap(bare))(jax.random.split(jax.random.key(3), count))
        for site in draft.sites:
            one, two = (np.asarray(d[site], float) for d in (ours, theirs))
            assert one.shape == two.shape == (count, *np.shape(model.data[site]))
            error = np.sqrt((one.var(0) + two.var(0)) / count)
            assert (abs(one.mean(0) - two.mean(0)) < 5 * error + 1e-12).all(), site
            middle = np.median(two, axis=0)
            proportion = [(d <= middle).mean(0) for d in (one, two)]
            assert (abs(proportion[0] - proportion[1]) < 5 * np.sqrt(0.5 / count)).all(), site


@settings(max_examples=2, **SETTINGS)
@given(made.drafts(), KEYS)
def test_drawn_clusters_and_data(draft, seed):
    check_draws(draft, seed)


@pytest.mark.long
@settings(max_examples=60, **SETTINGS)
@given(made.drafts(), KEYS)
def test_drawn_clusters_and_data_of_many(draft, seed):
    check_draws(draft, seed)


# ---- labels ------------------------------------------------------------------------------------


def check_labels(draft, seed):
    """Relabelled by default and on request: every draw has the density that it had."""
    assume(draft.clusters > 1 or draft.second)
    data = made.with_gaps(*made.data_of(draft))
    options = {"method": "nuts", "seed": seed, "chains": 2, "warmup": 20, "draws": 20}
    program = made.program_of(draft)
    tree = fit(program, data, relabel=None, predictive=0, **options)
    moved = [fit(program, data, predictive=0, **options)]
    try:
        moved.append(relabel(tree))
    except (InputError, UnsupportedError):  # what changes the density is refused
        pass
    names = problem_of(draft).structure.names

    @jax.jit
    def densities(draws):
        def of(values):
            table, prior = made.by_numpyro(draft, values)
            return logsumexp_(table, axis=0).sum() + prior, table

        return jax.lax.map(of, draws)

    def by_hand(tree):
        draws = {n: tree["posterior"][n].values for n in names}
        return densities({n: v.reshape(-1, *v.shape[2:]) for n, v in draws.items()})

    with jax.enable_x64(True):
        before, _ = by_hand(tree)
        for other in moved:
            after, table = by_hand(other)
            np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)
            probabilities = predict(other, by_draw=True).values.reshape(40, ROWS, -1)
            np.testing.assert_allclose(
                probabilities, softmax(table, axis=1).swapaxes(1, 2), atol=1e-5
            )


@pytest.mark.long
@settings(max_examples=8, **SETTINGS)
@given(made.drafts(), KEYS)
def test_relabelled_trees_have_the_density_of_every_draw(draft, seed):
    check_labels(draft, seed)
