"""EM: it never steps back, ends where the density is flat, and agrees with other programs."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture

from ppl_models import catalogue, fit, log_density
from ppl_models.data import old_faithful
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Model

PRECISE = {"starts": 4, "tolerance": 1e-13}
SKLEARN = {"spherical": "spherical", "diagonal": "diag", "tied": "tied", "full": "full"}
HOLES = [(0, 1), (3, 0), (5, 1), (8, 0), (11, 1)]


def assert_never_down(tree):
    """No start's objective falls by more than rounding."""
    objective = tree["starts/objective"].values
    steps = np.diff(objective, axis=1)
    slack = 1e-9 * (1 + np.abs(objective[:, 1:]))
    assert ((steps >= -slack) | np.isnan(steps)).all()
    assert np.isfinite(objective[:, 0]).all()


def assert_flat(program, data, arguments, tree, tolerance=2e-3):
    """The gradient of the log joint density vanishes at the tree's point."""
    with jax.enable_x64(True):
        model = Model(catalogue.program(program), data, arguments, {})
        problem = Problem(model, model.structure())
        structure = problem.structure

        @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
        def look(values):
            free = structure.space.unconstrain(values)

            def height(free):
                values = structure.space.constrain(free)
                rows = jax.scipy.special.logsumexp(model.logits(values, structure), axis=0)
                return rows.sum() + model.pieces(values, structure).log_prior

            return jax.value_and_grad(height)(free)

        values = {n: tree["posterior"][n].values[0, 0] for n in structure.names}
        height, slope = look(values)
    np.testing.assert_allclose(tree["sample_stats/lp"].values[0, 0], height, rtol=1e-9)
    for site, gradient in slope.items():
        np.testing.assert_allclose(gradient, 0, atol=tolerance, err_msg=site)


def test_soft_never_steps_back_and_ends_where_it_is_flat(em_program, fitted):
    tree = fitted(em_program, "em", **PRECISE)
    assert_never_down(tree)
    assert tree["starts/converged"].values.any()
    arguments = {**em_program.arguments, **em_program.interior}
    assert_flat(em_program.name, {em_program.site: em_program.data}, arguments, tree)


def test_every_start_is_reported_and_the_best_kept(built_ins, fitted):
    tree = fitted(built_ins["gaussian_mixture full"], "em", **PRECISE)
    starts = tree["starts"]
    assert starts["objective"].dims == ("start", "iteration")
    assert starts.sizes["start"] == 4
    assert int(starts["best"].sum()) == 1
    final = starts["final"].values[starts["best"].values].item()
    assert final == starts["final"].values.max() == tree["sample_stats/lp"].values.item()
    assert set(starts["initialization"].values) == {"k-means++", "random", "shells"}
    counts = np.isfinite(starts["objective"].values).sum(1)
    np.testing.assert_array_equal(counts, starts["iterations"].values)
    assert (np.diff(tree["posterior/weights"].values[0, 0]) <= 0).all()


def test_path_leads_to_the_point(built_ins, fitted):
    tree = fitted(built_ins["gaussian_mixture full"], "em", **PRECISE)
    path = tree["path"]
    assert path["loc"].dims == ("iteration", "cluster", "feature")
    for name in ("weights", "loc", "covariance"):
        last = path[name].isel(iteration=-1).values
        np.testing.assert_array_equal(last, tree["posterior"][name].values[0, 0])
    assert float(path["objective"][-1]) == tree["sample_stats/lp"].values.item()


def test_bernoulli_step_is_the_step_by_hand(built_ins, fitted):
    row = built_ins["bernoulli_mixture"]
    path = fitted(row, "em", **PRECISE)["path"]
    weights, probs, x = path["weights"].values, path["probs"].values, row.data
    alpha = row.interior["concentration"]
    ones, zeros = row.interior["ones"], row.interior["zeros"]
    for i in range(len(weights) - 1):
        logits = x @ np.log(probs[i]).T + (1 - x) @ np.log(1 - probs[i]).T + np.log(weights[i])
        proportion = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        counts = proportion.sum(0)
        new_weights = (counts + alpha - 1) / (len(x) + len(counts) * (alpha - 1))
        new_probs = (proportion.T @ x + ones - 1) / (counts[:, None] + ones + zeros - 2)
        np.testing.assert_allclose(weights[i + 1], new_weights, rtol=1e-9)
        np.testing.assert_allclose(probs[i + 1], new_probs, rtol=1e-9)


#: log-likelihoods of mclust with two components (Scrucca et al. 2016); spherical has none
MCLUST = {"full": -1130.26407, "diagonal": -1147.80635, "tied": -1140.18676}


@pytest.mark.parametrize(
    "covariance",
    ["full", *(pytest.param(c, marks=pytest.mark.long) for c in ("diagonal", "spherical", "tied"))],
)
def test_maximum_likelihood_is_no_worse_than_scikit_learns(covariance):
    x = np.asarray(old_faithful(), float)
    flat = {"priors": "flat", "predictive": 0, "starts": 8, "tolerance": 1e-12}
    options = {"clusters": 2, "covariance": covariance, **flat}
    tree = fit("gaussian_mixture", x, method="em", seed=0, **options)
    ours = float(tree["log_likelihood/x"].sum())
    options = {
        "covariance_type": SKLEARN[covariance],
        "reg_covar": 1e-12,
        "tol": 1e-12,
        "max_iter": 5000,
    }
    theirs = GaussianMixture(2, n_init=5, random_state=0, **options).fit(x)
    assert ours >= theirs.score(x) * len(x) - 1e-6
    assert ours >= MCLUST.get(covariance, -np.inf) - 1e-3
    # and theirs, started at ours, has nowhere to go
    posterior = {n: v.values[0, 0] for n, v in tree["posterior"].dataset.items()}
    precision = (
        posterior["scale"] ** -2.0
        if "scale" in posterior
        else np.linalg.inv(posterior["covariance"])
    )
    held = GaussianMixture(
        2,
        weights_init=posterior["weights"],
        means_init=posterior["loc"],
        precisions_init=precision,
        **options,
    ).fit(x)
    np.testing.assert_allclose(held.score(x) * len(x), ours, rtol=1e-9)
    np.testing.assert_allclose(held.means_, posterior["loc"], rtol=1e-3)
    np.testing.assert_allclose(log_density(tree).values, held.score_samples(x), atol=1e-4)


def _observed(x, weights, loc, covariance):
    """Log-likelihood of incomplete rows under a Gaussian mixture, by SciPy."""
    total = 0.0
    for row in x:
        seen = ~np.isnan(row)
        parts = [
            stats.multivariate_normal.logpdf(row[seen], m[seen], s[np.ix_(seen, seen)])
            for m, s in zip(loc, covariance, strict=True)
        ]
        total += logsumexp(np.log(weights) + np.array(parts))
    return total


@pytest.mark.parametrize("covariance", [pytest.param("diagonal", marks=pytest.mark.long), "full"])
def test_missing_cells_are_left_out_of_the_objective(built_ins, covariance):
    row = built_ins[f"gaussian_mixture {covariance}"]
    x = row.data.copy()
    x[tuple(np.transpose(HOLES))] = np.nan
    options = {"clusters": 2, "covariance": covariance, "concentration": 2.0}
    tree = fit("gaussian_mixture", x, method="em", seed=0, predictive=0, **PRECISE, **options)
    assert_never_down(tree)
    assert_flat("gaussian_mixture", {"x": x}, options, tree)
    actual = {n: v.values[0, 0] for n, v in tree["posterior"].dataset.items()}
    matrices = actual.get("covariance")
    if matrices is None:
        matrices = np.array([np.diag(s**2) for s in actual["scale"]])
    expected = _observed(x, actual["weights"], actual["loc"], matrices)
    np.testing.assert_allclose(float(tree["log_likelihood/x"].sum()), expected, rtol=1e-10)


def test_collapsing_components_are_reported_and_never_nan():
    x = np.concatenate([np.zeros(6), np.random.default_rng(0).normal(5, 1, 8)])
    tree = fit(
        "gaussian_mixture",
        x,
        method="em",
        seed=0,
        clusters=2,
        priors="flat",
        starts=4,
        predictive=0,
    )
    for variable in tree["posterior"].data_vars.values():
        assert np.isfinite(variable.values).all()
    collapsed = tree["starts/collapsed"].values
    assert collapsed.any()
    assert "collapsed" in tree.attrs["notes"]
    assert not collapsed[tree["starts/best"].values].all() or collapsed.all()
    # the program's priors keep every start off the six equal rows
    fitted = fit(
        "gaussian_mixture",
        x,
        method="em",
        seed=0,
        clusters=2,
        starts=4,
        predictive=0,
        concentration=2.0,
    )
    assert not fitted["starts/collapsed"].values.any()


def test_same_seed_same_numbers_and_nothing_compiles_twice(built_ins, monkeypatch):
    # compiled programs are forgotten where a process of many tests runs short of memory maps
    monkeypatch.setattr("ppl_models.fitting.make_room", lambda: False)
    row = built_ins["gaussian_mixture full"]
    compiled = []

    def listen(event, seconds, **_):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    def run(data, seed):
        return fit(row.name, data, method="em", seed=seed, predictive=0, **PRECISE, **row.options)

    first = run(row.data, 3)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        again = run(row.data, 3)
        moved = run(row.data * 2 + 1, 4)  # other numbers, same shapes
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled == []
    for name, variable in first["posterior"].data_vars.items():
        np.testing.assert_array_equal(variable.values, again["posterior"][name].values)
    # and in other units the answer is the same, whichever of equal clusters comes first
    locs = (np.sort(tree["posterior/loc"].values, axis=2) for tree in (moved, first))
    np.testing.assert_allclose(next(locs), 2 * next(locs) + 1, rtol=1e-4)


@pytest.mark.parametrize("method", ["em", "hard"])
def test_iterations_are_a_limit(built_ins, method):
    row = built_ins["gaussian_mixture full"]
    tree = fit(
        row.name,
        row.data,
        method=method,
        seed=0,
        predictive=0,
        starts=4,
        iterations=2,
        **row.options,
    )
    assert tree["starts/iterations"].values.max() <= 2
    if not tree["starts/converged"].values[tree["starts/best"].values].all():
        assert "did not converge" in tree.attrs["notes"]


@pytest.mark.long
def test_em_and_its_hard_limit_find_kinds_of_hidden_chains(own):
    """Sequences of steps about 0 and 3 or about 5 and 9, in long stretches."""
    generator = np.random.default_rng(4)
    kind, state = np.arange(16) % 2, np.arange(20) // 5 % 2
    means = np.array([[0.0, 3.0], [5.0, 9.0]])
    x = means[kind][:, state] + generator.normal(size=(16, 20))
    for method in ("em", "hard"):
        options = {"method": method, "seed": 0, "starts": 4, "predictive": 0}
        tree = fit(own.mixture_of_hidden_chains, x, **options)
        best = tree["responsibilities/responsibilities"].values.argmax(1)
        assert (best == kind).all() or (best != kind).all(), method
        actual = np.sort(tree["posterior/mean"].values[0, 0].ravel())
        np.testing.assert_allclose(actual, np.sort(means.ravel()), atol=0.5)
