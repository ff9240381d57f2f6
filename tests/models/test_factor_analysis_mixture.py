"""Factor analysers: maxima in closed form, by scikit-learn and by a general optimiser; draws."""

from __future__ import annotations

import numpy as np
import pytest
from numpyro import handlers
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.decomposition import FactorAnalysis

from ppl_models import fit, generate, impute, log_density
from ppl_models.errors import InputError
from ppl_models.evaluation.candidates import parameter_count
from ppl_models.inference.problem import Problem
from ppl_models.models.factor_analysis_mixture import factor_analysis_mixture
from ppl_models.program.model import Model

_g = np.random.default_rng(8)
FEATURES, FACTORS = 5, 2
LOADINGS = _g.normal(size=(2, FEATURES, FACTORS)) * 1.5
NOISE = _g.uniform(0.4, 1.0, (2, FEATURES))
CENTRES = np.array([np.zeros(FEATURES), np.full(FEATURES, 6.0)])
KIND = np.arange(160) % 2
ROWS = (
    CENTRES[KIND]
    + np.einsum("ndq,nq->nd", LOADINGS[KIND], _g.normal(size=(160, FACTORS)))
    + NOISE[KIND] * _g.normal(size=(160, FEATURES))
)
ONE = ROWS[KIND == 0]
#: of one factor: rows of two have several modes where they are explained by one
BY_ONE = (
    CENTRES[KIND]
    + LOADINGS[KIND, :, 0] * _g.normal(size=(160, 1))
    + NOISE[KIND] * _g.normal(size=(160, FEATURES))
)
OPTIONS = {"method": "em", "seed": 0, "factors": FACTORS, "priors": "flat", "tolerance": 1e-14,
         "iterations": 20_000, "predictive": 0}  # fmt: skip


def _covariances(point):
    noise = np.broadcast_to(point["scale"].T, (FEATURES, len(point["loc"]))).T
    loadings = point["loadings"]
    return loadings @ loadings.swapaxes(1, 2) + noise[..., None] ** 2 * np.eye(FEATURES)


def _point(tree):
    return {n: v.values[0, 0] for n, v in tree["posterior"].data_vars.items()}


@pytest.fixture(scope="module")
def isotropic():
    return fit("factor_analysis_mixture", ONE, clusters=1, noise="isotropic", starts=1, **OPTIONS)


def test_one_cluster_with_isotropic_noise_is_probabilistic_pca(isotropic):
    """Tipping and Bishop (1999), eqs. 7 and 8: by the eigenvectors of the covariance."""
    lengths, axes = np.linalg.eigh(np.cov(ONE.T, bias=True))
    lengths, axes = lengths[::-1], axes[:, ::-1]
    noise = lengths[FACTORS:].mean()
    loadings = axes[:, :FACTORS] * np.sqrt(lengths[:FACTORS] - noise)
    point = _point(isotropic)
    covariance = loadings @ loadings.T + noise * np.eye(FEATURES)
    np.testing.assert_allclose(point["loc"][0], ONE.mean(0), rtol=1e-6)
    np.testing.assert_allclose(_covariances(point)[0], covariance, rtol=1e-4, atol=1e-4)
    best = multivariate_normal(ONE.mean(0), covariance).logpdf(ONE).sum()
    assert abs(float(log_density(isotropic).sum()) - best) < 1e-6
    # turned to one of the rotations that mean the same
    assert (np.triu(point["loadings"][0], 1) == 0).all()
    assert (np.diagonal(point["loadings"][0]) > 0).all()


@pytest.mark.long
def test_one_cluster_is_factor_analysis():
    tree = fit("factor_analysis_mixture", ONE, clusters=1, starts=1, **OPTIONS)
    known = FactorAnalysis(FACTORS, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(ONE)
    assert abs(float(log_density(tree).sum()) - known.score(ONE) * len(ONE)) < 1e-6
    np.testing.assert_allclose(
        _covariances(_point(tree))[0], known.get_covariance(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.long
@pytest.mark.parametrize("noise", ["diagonal", "isotropic"])
def test_two_clusters_reach_the_maximum_of_the_likelihood(noise):
    """By a general optimiser on SciPy's density, from the true parameters."""
    width = FEATURES if noise == "diagonal" else 1

    def log_likelihood(vector):
        proportion, loc = 1 / (1 + np.exp(-vector[0])), vector[1:11].reshape(2, FEATURES)
        point = {"loc": loc, "loadings": vector[11:31].reshape(2, FEATURES, FACTORS),
                 "scale": np.exp(vector[31:].reshape(2, width))}  # fmt: skip
        each = [multivariate_normal(m, s).logpdf(ROWS)
                for m, s in zip(loc, _covariances(point), strict=True)]  # fmt: skip
        return logsumexp(np.log([[proportion], [1 - proportion]]) + each, axis=0).sum()

    start = np.r_[0, CENTRES.ravel(), LOADINGS.ravel(), np.log(NOISE[:, :width]).ravel()]
    best = minimize(lambda v: -log_likelihood(v), start, options={"maxiter": 2000})
    tree = fit("factor_analysis_mixture", ROWS, clusters=2, noise=noise, starts=2, **OPTIONS)
    assert abs(float(log_density(tree).sum()) + best.fun) < 1e-5


def test_unknown_noise_and_too_many_factors_are_refused():
    for values, said in (({"factors": 4}, "at most 3"), ({"factors": 0}, "at least 1"),
                        ({"factors": 1, "noise": "round"}, "noise is 'round'")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            handlers.seed(factor_analysis_mixture, 0)(clusters=2, rows=3, features=3, **values)


@pytest.mark.long
@pytest.mark.parametrize("priors", ["flat", "program"])
@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_em_never_falls(priors, gaps):
    rows = ROWS.copy()
    if gaps:
        rows[::7, 0] = rows[3::11, 1:4] = np.nan
    tree = fit("factor_analysis_mixture", rows, method="em", seed=0, clusters=2, factors=1,
               starts=3, priors=priors, predictive=0)  # fmt: skip
    path = tree["starts/objective"].values
    assert not (np.diff(path, axis=1) < -1e-9 * (1 + np.abs(path[:, 1:]))).any()
    assert np.isfinite(log_density(tree)).all()
    if gaps:
        assert np.isfinite(impute(tree, seed=0)["x"].values).all()


@pytest.mark.parametrize("apart", [3, 3_000])
@pytest.mark.parametrize("priors", ["flat", "program"])
@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_em_finds_groups_however_far_apart(apart, priors, gaps):
    """A start that explains the way from one group to another by the factor does not stay there."""
    draws = np.random.default_rng(4)
    kind = np.arange(200) % 2
    rows = apart * kind[:, None] + draws.normal(size=(200, 1)) + 0.5 * draws.normal(size=(200, 4))
    complete = rows.copy()
    if gaps:
        rows[::9, 0] = rows[3::11, 1:3] = np.nan
    tree = fit("factor_analysis_mixture", rows, method="em", seed=1, clusters=2, starts=4,
               iterations=300, priors=priors, predictive=0, precision="float64")  # fmt: skip
    starts = tree["starts"]
    assert starts["converged"].all()
    path = starts["objective"].values
    assert not (np.diff(path, axis=1) < -1e-9 * (1 + np.abs(path[:, 1:]))).any()
    point = _point(tree)
    order = np.argsort(point["loc"][:, 0])
    means = [complete[kind == k].mean(0) for k in (0, 1)]
    np.testing.assert_allclose(point["loc"][order], means, atol=0.5 if apart == 3 else 0.05)
    assert (np.abs(point["loadings"]) < 2).all()


@pytest.mark.long
@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_gibbs_and_nuts_agree(gaps):
    """On what rotations do not change."""
    import arviz as az

    rows = BY_ONE.copy()
    if gaps:
        rows[::5, 0] = rows[3::6, 1:3] = np.nan
    arguments = {"seed": 0, "clusters": 2, "factors": 1, "chains": 2, "predictive": 0}
    gibbs = fit(
        "factor_analysis_mixture", rows, method="gibbs", warmup=500, draws=6000, **arguments
    )
    nuts = fit("factor_analysis_mixture", rows, method="nuts", warmup=500, draws=1500, **arguments)
    for name in ("loc", "scale", "weights", "product"):
        both = []
        for tree in (gibbs, nuts):
            sites = tree["posterior"].dataset
            loadings = sites["loadings"].isel(factor=0)
            other = loadings.rename(feature="feature_other")
            sites = sites.assign(product=loadings * other)
            first = sites["loc"].isel(feature=0).mean(["chain", "draw"]).values
            sites = sites.isel(cluster=np.argsort(first))[[name]]
            ess = az.ess(sites)[name].values
            assert (ess > 50).all(), (name, ess)
            mean, sd = (
                getattr(sites[name], of)(["chain", "draw"]).values for of in ("mean", "std")
            )
            both.append((mean, sd / np.sqrt(ess)))
        (one, error), (second, its) = both
        assert (np.abs(one - second) < 5 * np.hypot(error, its)).all(), name


@pytest.mark.long
def test_generated_rows_have_the_covariance(isotropic):
    drawn = generate(isotropic, 20_000, seed=0)["x"].values.reshape(-1, FEATURES)
    actual, expected = np.cov(drawn.T), _covariances(_point(isotropic))[0]
    assert np.abs(actual - expected).max() < 5 * np.sqrt(2 / 20_000) * np.diagonal(expected).max()


@pytest.mark.parametrize(("clusters", "wanted"), [(1, 19), (2, 39)])
def test_parameters_are_counted_without_rotations(clusters, wanted):
    read = Model(factor_analysis_mixture, {"x": ROWS}, {"clusters": clusters, "factors": 2}, {})
    assert parameter_count(Problem(read, read.structure())) == wanted
