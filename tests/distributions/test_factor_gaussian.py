"""Factor analysers: densities by SciPy, statistics by automatic derivatives, conditionals."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import random
from scipy import stats

from ppl_models.distributions.exponential.factor_gaussian import (
    FactorGaussian,
    IsotropicFactorGaussian,
)
from ppl_models.distributions.exponential.factors.scores import lower_triangular

_g = np.random.default_rng(2)
FEATURES, FACTORS = 4, 2
LOC = _g.normal(0, 2, (3, FEATURES))
LOADINGS = _g.normal(size=(3, FEATURES, FACTORS))
SCALE = _g.uniform(0.5, 1.5, (3, FEATURES))
X = _g.normal(0, 3, (7, FEATURES))
GAPS = X.copy()
GAPS[[0, 2, 3, 3, 5, 5, 5, 5], [1, 0, 0, 2, 0, 1, 2, 3]] = np.nan
WEIGHTS = _g.uniform(size=(3, 7))
CENTRE = jnp.array([0.4, -0.3, 0.1, 0.0])
NAMES = ("loc", "loadings", "scale")


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def _class(isotropic):
    return IsotropicFactorGaussian if isotropic else FactorGaussian


def _parameters(isotropic):
    return LOC, LOADINGS, SCALE[:, 0] if isotropic else SCALE


def _covariances(isotropic):
    noise = np.broadcast_to(SCALE[:, :1], SCALE.shape) if isotropic else SCALE
    return LOADINGS @ LOADINGS.swapaxes(1, 2) + noise[..., None] ** 2 * np.eye(FEATURES)


def _expected(rows, isotropic):
    actual, covariance = np.zeros((3, len(rows))), _covariances(isotropic)
    for k, n in np.ndindex(actual.shape):
        seen = ~np.isnan(rows[n])
        if seen.any():
            part = covariance[k][np.ix_(seen, seen)]
            actual[k, n] = stats.multivariate_normal(LOC[k][seen], part).logpdf(rows[n][seen])
    return actual


def _all_of(rows, missing, isotropic):
    """Densities by every road, and the statistics' slopes beside those of the density itself."""
    value, made = jnp.asarray(rows), _class(isotropic)

    def family(parameters):
        return made(*parameters, validate_args=False)

    @jax.jit
    def look(parameters):
        own = family(parameters)
        arguments = {"missing": missing, "centre": CENTRE}
        prepared = own.prepare(value, **arguments)
        logits, hidden = own.infer_latents(prepared, **arguments)
        statistics = own.prepared_statistics(WEIGHTS, prepared, **arguments)
        passed = own.prepared_statistics(WEIGHTS, hidden, **arguments)

        def of_rows(parameters):
            return (WEIGHTS * family(parameters).contract(value, **arguments)).sum()

        def of_statistics(parameters):
            return family(parameters).expected_log_density(statistics, CENTRE).sum()

        slopes = jax.grad(of_rows)(parameters), jax.grad(of_statistics)(parameters)
        wide = family([p[:, None] for p in parameters])
        roads = {
            "contraction": own.contract(value, **arguments),
            "beside the scores": logits,
            "textbook": wide.pointwise(value),
            "any": wide.log_prob(value),
        }
        return roads, slopes, statistics, passed

    return look(tuple(map(jnp.asarray, _parameters(isotropic))))


CASES = [(False, False), (True, False), (False, True)]
LABELS = ["complete", "gaps", "isotropic"]


@pytest.fixture(scope="module")
def looked():
    with jax.enable_x64(True):
        return {kind: _all_of(GAPS if kind[0] else X, *kind) for kind in CASES}


@pytest.mark.parametrize("kind", CASES, ids=LABELS)
def test_densities_are_scipys(looked, kind):
    expected = _expected(GAPS if kind[0] else X, kind[1])
    for road, actual in looked[kind][0].items():
        np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12, err_msg=road)


@pytest.mark.parametrize("kind", CASES, ids=LABELS)
def test_slope_of_the_statistics_is_that_of_the_density(looked, kind):
    """Fisher's identity: scores expected at the parameters give the same slope."""
    _, (rows, statistics), own, passed = looked[kind]
    for name, one, other in zip(NAMES, rows, statistics, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, err_msg=name)
    assert own.keys() == passed.keys()
    for name in own:
        np.testing.assert_allclose(own[name], passed[name], rtol=1e-12)


@pytest.mark.parametrize("kind", CASES, ids=LABELS)
@pytest.mark.parametrize("flat", [True, False], ids=["flat", "priors"])
def test_modes_of_the_conditionals_are_where_the_slope_is_zero(looked, kind, flat):
    """Of every parameter given the others, under its prior's density."""
    statistics, isotropic = looked[kind][2], kind[1]
    from ppl_models.distributions import InverseGammaScale

    shape = () if isotropic else (FEATURES,)
    priors = {
        "loc": dist.Normal(np.full(FEATURES, 0.5), np.full(FEATURES, 1.5)),
        "loadings": dist.Normal(np.zeros((FEATURES, FACTORS)), np.full((FEATURES, FACTORS), 2.0)),
        "scale": InverseGammaScale(np.full(shape, 2.0), np.full(shape, 1.2)),
    }
    family = _class(isotropic)(*map(jnp.asarray, _parameters(isotropic)), validate_args=False)

    @jax.jit
    def slopes():
        actual = {}
        for name, prior in priors.items():
            values = None if flat else prior
            posterior = family.conditional(name, values, statistics, CENTRE, shared=False)
            mode = posterior.mode()

            def height(value, name=name, prior=prior):
                density = family.replace(**{name: value}).expected_log_density(statistics, CENTRE)
                return density.sum() + (0.0 if flat else prior.log_prob(value).sum())

            actual[name] = mode, jax.grad(height)(mode)
        return actual

    for name, (mode, slope) in slopes().items():
        assert np.isfinite(mode).all(), name
        np.testing.assert_allclose(slope, 0, atol=1e-8, err_msg=name)


def test_loadings_are_turned_and_mean_the_same():
    turned = np.asarray(lower_triangular(jnp.asarray(LOADINGS)))
    np.testing.assert_allclose(
        turned @ turned.swapaxes(1, 2), LOADINGS @ LOADINGS.swapaxes(1, 2), rtol=1e-12
    )
    assert (turned[:, 0, 1] == 0).all()
    assert (np.diagonal(turned, axis1=1, axis2=2) > 0).all()


def test_draws_and_filled_gaps_have_the_conditional_distribution():
    covariance = _covariances(False)[0]
    family = FactorGaussian(LOC[0], LOADINGS[0], SCALE[0])
    rows = jnp.tile(jnp.array([4.0, 1.0, jnp.nan, jnp.nan]), (4000, 1))
    filled, drawn = jax.jit(lambda: (family.complete(random.key(0), rows),
                                     family.sample(random.key(1), (4000,))))()  # fmt: skip
    np.testing.assert_array_equal(filled[:, :2], rows[:, :2])
    gain = np.linalg.solve(covariance[:2, :2], covariance[:2, 2:]).T
    mean = LOC[0, 2:] + gain @ (np.array([4.0, 1.0]) - LOC[0, :2])
    spread = covariance[2:, 2:] - gain @ covariance[:2, 2:]
    known = stats.norm(mean.sum(), np.sqrt(spread.sum()))
    assert stats.kstest(np.asarray(filled[:, 2:].sum(1)), known.cdf).pvalue > 1e-3
    known = stats.norm(LOC[0].sum(), np.sqrt(covariance.sum()))
    assert stats.kstest(np.asarray(drawn.sum(1)), known.cdf).pvalue > 1e-3


@pytest.mark.parametrize("missing", [False, True], ids=["complete", "gaps"])
def test_scores_are_drawn_from_their_posterior(missing):
    family = FactorGaussian(LOC, LOADINGS, SCALE)
    row = np.array([2.0, 1.0, np.nan if missing else 0.5, 3.0])
    arguments = {"missing": missing, "centre": CENTRE}

    @jax.jit
    def drawn(key):
        rows = jnp.tile(jnp.asarray(row), (4000, 1))
        hidden = family.infer_latents(family.prepare(rows, **arguments), **arguments)[1]
        return family.draw_hidden(key, hidden, jnp.full(4000, 2), **arguments)[0].scores

    seen = ~np.isnan(row)
    part, noise = LOADINGS[2][seen], SCALE[2][seen]
    covariance = np.linalg.inv(np.eye(2) + part.T @ (part / noise[:, None] ** 2))
    mean = covariance @ part.T @ ((row - LOC[2])[seen] / noise**2)
    known = stats.norm(mean.sum(), np.sqrt(covariance.sum()))
    assert stats.kstest(np.asarray(drawn(random.key(0))).sum(0), known.cdf).pvalue > 1e-3


@pytest.mark.parametrize("kind", CASES, ids=LABELS)
@pytest.mark.parametrize("flat", [True, False], ids=["flat", "priors"])
@pytest.mark.parametrize("shared", ["", "loc", "loadings", "loc loadings"])
def test_expanded_values_are_where_the_slope_of_the_scores_distribution_is_zero(
    looked, kind, flat, shared
):
    """Of E[log N(f | a, LL')] + log p(μ + Λa, ΛL): in a at L = I, in L at the best a."""
    statistics, isotropic = looked[kind][2], kind[1]
    family = _class(isotropic)(*map(jnp.asarray, _parameters(isotropic)), validate_args=False)
    one_loc, one_loadings = "loc" in shared, "loadings" in shared
    if one_loc:
        family = family.replace(loc=jnp.asarray(LOC[:1]))
    if one_loadings:
        family = family.replace(loadings=jnp.asarray(LOADINGS[:1]))
    priors = {
        "loc": dist.Normal(np.full(FEATURES, 0.5), np.full(FEATURES, 1.5)),
        "loadings": dist.Normal(np.zeros((FEATURES, FACTORS)), np.arange(1.0, 5)[:, None] + [0, 0]),
    }
    told = dict.fromkeys(priors) if flat else priors
    alike = {"loc": one_loc, "loadings": one_loadings}
    moved = jax.jit(lambda: family.expanded(told, statistics, shared=alike))()
    loc, loadings = family.loc, family.loadings

    def height(shift, root):
        inverse = jnp.linalg.inv(root)
        apart = statistics["score"][..., None] * shift[:, None]
        second = statistics["moment"] - apart - apart.mT
        second += statistics["size"][:, None, None] * shift[:, None] * shift[..., None]
        squares = (inverse @ second * inverse).sum((-1, -2))
        scores = (-statistics["size"] * jnp.linalg.slogdet(root)[1] - 0.5 * squares).sum()
        if flat:
            return scores
        places = loc + (loadings @ shift[..., None])[..., 0]
        density = priors["loc"].log_prob(places).sum()
        return scores + priors["loadings"].log_prob(loadings @ root).sum() + density

    def part(new, old):
        return jax.vmap(lambda a, b: jnp.linalg.lstsq(a, b)[0])(
            jnp.broadcast_to(loadings, (len(new), *loadings.shape[1:])), new - old
        )

    if shared == "loc":  # what moves it differs by component
        assert "loc" not in moved
        moved["loc"] = jnp.broadcast_to(loc, (3, FEATURES))
    shift = part(moved["loc"][..., None], loc[..., None])[..., 0]
    eye = jnp.eye(FACTORS)[None].repeat(len(moved["loadings"]), 0)
    root = eye + part(moved["loadings"], loadings)
    np.testing.assert_allclose(loadings @ root, moved["loadings"], rtol=1e-9)
    if shared != "loc":
        np.testing.assert_allclose(jax.grad(height, 0)(shift, eye), 0, atol=1e-8)
    np.testing.assert_allclose(jax.grad(height, 1)(shift, root), 0, atol=1e-8)


@pytest.mark.parametrize("kind", CASES[:2], ids=LABELS[:2])
def test_em_never_falls_from_loadings_that_are_turned(kind):
    """The scores of a step are those of the loadings before it, whichever way these are turned."""
    missing, isotropic = kind
    rows = jnp.asarray(GAPS if missing else X)
    arguments = {"missing": missing, "centre": CENTRE}

    @jax.jit
    def run(parameters):
        def step(parameters, _):
            family = FactorGaussian(*parameters, validate_args=False)
            height = family.contract(rows, **arguments)[0].sum()
            prepared = family.prepare(rows, **arguments)
            statistics = family.prepared_statistics(jnp.ones((1, 7)), prepared, **arguments)
            for name in NAMES:
                posterior = family.conditional(name, None, statistics, CENTRE, shared=False)
                family = family.replace(**{name: posterior.mode()})
            turned = family.canonical("loadings", family.loadings, None)
            return (family.loc, turned, family.scale), (height, turned)

        return jax.lax.scan(step, parameters, None, length=12)[1]

    height, loadings = run(tuple(jnp.asarray(-p[:1] if p.ndim == 3 else p[:1])
                                 for p in _parameters(isotropic)))  # fmt: skip
    assert (np.diff(height) > -1e-9).all()
    assert height[-1] > height[0] + 1
    assert (np.triu(loadings[-1, 0], 1) == 0).all()


def test_loadings_stay_where_the_prior_tells_rotations_apart():
    family = FactorGaussian(LOC, LOADINGS, SCALE)
    alike = dist.Normal(0.0, jnp.ones((FEATURES, FACTORS)))
    apart = dist.Normal(0.0, jnp.ones((FEATURES, FACTORS)).at[:, 1].set(0.5))
    away = dist.Normal(1.0, jnp.ones((FEATURES, FACTORS)))
    for prior, turned in ((alike, True), (apart, False), (away, False)):
        value = family.canonical("loadings", family.loadings, prior)
        assert (np.asarray(value)[:, 0, 1] == 0).all() == turned
