"""Hidden Markov models against all paths, and beside hmmlearn's."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm, poisson

from ppl_models.errors import InputError
from ppl_models.sklearn import CategoricalHMM, GaussianHMM, PoissonHMM

START = np.array([0.7, 0.3])
MOVES = np.array([[0.9, 0.1], [0.2, 0.8]])
LENGTHS = [20, 30, 1, 9]


def with_parameters(model: Any, **parameters: Any) -> Any:
    model.startprob_, model.transmat_ = START, MOVES
    for name, value in parameters.items():
        setattr(model, name, value)
    return model


def all_paths(emitted: np.ndarray) -> tuple[float, np.ndarray, tuple[int, ...]]:
    """Likelihood, posteriors ``(step, state)`` and the best path, of ``emitted (step, state)``."""
    steps, states = emitted.shape
    total, posterior, best = 0.0, np.zeros((steps, states)), (0.0, ())
    for path in itertools.product(range(states), repeat=steps):
        p = START[path[0]] * np.prod([MOVES[i, j] for i, j in itertools.pairwise(path)])
        p *= np.prod([emitted[t, z] for t, z in enumerate(path)])
        total += p
        posterior[np.arange(steps), path] += p
        best = max(best, (p, path))
    return total, posterior / total, best[1]


def test_gaussian_states_against_all_paths() -> None:
    x = np.array([[0.3], [1.5], [np.nan], [2.2], [-0.4], [1.0], [3.0]])
    loc, variance = np.array([[0.0], [2.0]]), np.array([[1.0], [0.5]])
    model = with_parameters(GaussianHMM(2), means_=loc, covars_=variance)
    emitted = np.where(np.isnan(x), 1.0, norm.pdf(x, loc[:, 0], np.sqrt(variance[:, 0])))
    actual = [all_paths(emitted[:4]), all_paths(emitted[4:])]
    lengths = [4, 3]
    assert model.score(x, lengths=lengths) == pytest.approx(sum(np.log(f[0]) for f in actual))
    posteriors = np.concatenate([f[1] for f in actual])
    np.testing.assert_allclose(model.predict_proba(x, lengths), posteriors)
    assert tuple(model.predict(x, lengths)) == actual[0][2] + actual[1][2]
    np.testing.assert_array_equal(model.decode(x, lengths, "map")[1], posteriors.argmax(1))
    stationary = model.get_stationary_distribution()
    np.testing.assert_allclose(stationary, [2 / 3, 1 / 3])


def test_counts_against_all_paths() -> None:
    x = np.array([[1, 0], [4, 2], [7, 3], [2, 9]])
    rates = np.array([[1.0, 2.0], [5.0, 3.0]])
    model = with_parameters(PoissonHMM(2), lambdas_=rates)
    emitted = poisson.pmf(x[:, None], rates).prod(-1)
    assert model.score(x) == pytest.approx(np.log(all_paths(emitted)[0]))


CODES = np.array([[0.0, 1], [2, 0], [np.nan, 1], [1, np.nan], [0, 0], [2, 1]])
TABLES = [np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]]), np.array([[0.9, 0.1], [0.25, 0.75]])]


def test_columns_of_codes_against_all_paths() -> None:
    """Likelihood, posteriors, and an iteration with a prior, of columns of unlike symbols."""
    emitted = np.ones((len(CODES), 2))
    for t, step in enumerate(CODES):
        for code, table in zip(step, TABLES, strict=True):
            emitted[t] *= 1 if np.isnan(code) else table[:, int(code)]
    likelihood, posterior, best = all_paths(emitted)
    priors = [2.0, np.array([[1.0, 3.0]])]
    model = CategoricalHMM(2, init_params="", params="e", n_iter=1, emissionprob_prior=priors)
    with_parameters(model, emissionprob_=TABLES)
    assert model.score(CODES) == pytest.approx(np.log(likelihood))
    np.testing.assert_allclose(model.predict_proba(CODES), posterior)
    assert tuple(model.predict(CODES)) == best
    assert model.aic(CODES) == pytest.approx(-2 * np.log(likelihood) + 2 * (2 * 2 + 2 * 1))
    model.fit(CODES)
    for column, prior, fitted in zip(CODES.T, priors, model.emissionprob_, strict=True):
        counts = posterior.T @ (column[:, None] == np.arange(fitted.shape[1])) + prior - 1
        np.testing.assert_allclose(fitted, counts / counts.sum(1, keepdims=True))


def test_columns_of_codes_are_drawn_by_their_tables() -> None:
    drawn = with_parameters(CategoricalHMM(2, n_features=(3, 2)), emissionprob_=TABLES)
    x, states = drawn.sample(20_000, random_state=0)
    assert drawn.n_features == (3, 2) and x.shape == (20_000, 2)
    for state, j in itertools.product(range(2), range(2)):
        seen = x[states == state, j]
        shares = np.bincount(seen, minlength=3 - j) / len(seen)
        # four standard errors of a share of at least 6000 steps
        np.testing.assert_allclose(shares, TABLES[j][state], atol=4 * np.sqrt(0.25 / 6000))
    # a column that is always the same says nothing: the fit is that of the others
    alone = CategoricalHMM(2, random_state=0).fit(x[:200, :1])
    beside = CategoricalHMM(2, random_state=0).fit(np.c_[x[:200, :1], np.zeros(200)])
    np.testing.assert_allclose(beside.emissionprob_[0], alone.emissionprob_, atol=1e-10)
    assert beside.n_features == (3, 1) and alone.n_features == 3


def test_codes_that_the_tables_lack_are_refused() -> None:
    def held(**options: Any) -> Any:
        return with_parameters(CategoricalHMM(2, **options), emissionprob_=TABLES)

    with pytest.raises(InputError, match="row 1, column 1 of X has the code 2, and there are 2"):
        held().score([[2, 1], [0, 2]])
    with pytest.raises(InputError, match="column 1 of X has the code 2"):  # not as if missing
        held(init_params="").fit([[2, 1], [0, 2]])
    with pytest.raises(InputError, match="column 0 of X has the code 3"):
        CategoricalHMM(2, n_features=(3, 2)).fit([[3, 1], [0, 0]])
    with pytest.raises(InputError, match="X has 1 columns, and emissionprob_ is of 2"):
        held(init_params="").fit([[0], [1]])
    with pytest.raises(InputError, match=r"emissionprob_\[1\] must have the shape \(2, 3\)"):
        held(n_features=3).score([[0, 0]])
    with pytest.raises(InputError, match=r"'n_features' parameter .* Got \(3,\) instead"):
        CategoricalHMM(2, n_features=(3,)).fit([[0, 0], [1, 1]])
    with pytest.raises(InputError, match="emissionprob_prior has 1 priors"):
        held(init_params="", emissionprob_prior=[1.0]).fit([[0, 0]])
    gap = [[0, np.nan], [1, np.nan]]
    with pytest.raises(InputError, match="column 1 of X has no value: leave it out, or say by n_"):
        CategoricalHMM(2).fit(gap)
    said = CategoricalHMM(2, n_features=(2, 4)).fit(gap)
    left_out = CategoricalHMM(2).fit([[0], [1]])
    assert said.emissionprob_[1].shape == (2, 4) and left_out.n_features == 2


def test_an_impossible_sequence() -> None:
    model = with_parameters(
        CategoricalHMM(2), emissionprob_=np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    )
    assert model.score([[0], [2]]) == -np.inf
    with pytest.raises(InputError, match="sequence 1 has probability zero"):
        model.predict_proba([[0], [1], [2]], [2, 1])
    with pytest.raises(InputError, match="has the code 3"):
        model.score([[3]])


def test_lengths() -> None:
    x = np.arange(6.0)[:, None]
    model = with_parameters(
        GaussianHMM(2), means_=np.array([[0.0], [3.0]]), covars_=np.ones((2, 1))
    )
    # hmmlearn's position of lengths, and labels in their place, which are no lengths
    assert model.score(x, [2, 4]) == model.score(x, lengths=[2, 4]) != model.score(x)
    assert model.score(x, np.zeros(6)) == model.score(x)
    with pytest.raises(InputError, match="sum to the 6 rows"):
        model.score(x, lengths=[2, 3])
    with pytest.raises(InputError, match="say lengths="):
        model.score(x, np.ones(6, int))


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")
@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_the_fit_is_hmmlearns(kind: str) -> None:
    hmm = pytest.importorskip("hmmlearn.hmm")
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 2)) + np.repeat([[0, 0], [4, 1]], 30, axis=0)
    covariances = {
        "full": np.tile(np.eye(2), (2, 1, 1)),
        "tied": np.eye(2),
        "diag": np.ones((2, 2)),
        "spherical": np.ones(2),
    }
    fits = []
    for module in (GaussianHMM, hmm.GaussianHMM):
        model = module(2, kind, init_params="", n_iter=5, tol=0)
        with_parameters(model, means_=np.array([[0.0, 0.0], [3.0, 1.0]]), covars_=covariances[kind])
        fits.append(model.fit(x, lengths=LENGTHS))
    ours, theirs = fits
    for name in ("startprob_", "transmat_", "means_", "_covars_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-10)
    assert ours.score(x, lengths=LENGTHS) == pytest.approx(theirs.score(x, LENGTHS))
    assert ours.aic(x, LENGTHS) == pytest.approx(theirs.aic(x, LENGTHS))
    assert ours.bic(x, LENGTHS) == pytest.approx(theirs.bic(x, LENGTHS))
    assert ours.decode(x, LENGTHS)[0] == pytest.approx(theirs.decode(x, LENGTHS)[0])


def test_drawn_sequences_are_recovered() -> None:
    drawn = with_parameters(
        CategoricalHMM(2), emissionprob_=np.array([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7]])
    )
    x, states = drawn.sample(4000, random_state=0)
    model = CategoricalHMM(2, random_state=3, n_iter=300, tol=1e-4).fit(x)
    order = model.emissionprob_[:, 0].argsort()[::-1]
    np.testing.assert_allclose(model.emissionprob_[order], drawn.emissionprob_, atol=0.07)
    np.testing.assert_allclose(model.transmat_[np.ix_(order, order)], MOVES, atol=0.07)
    assert (order.argsort()[model.predict(x)] == states).mean() > 0.85
    assert model.n_features == 3 and model.get_params()["n_features"] is None
    history = model.monitor_.history
    assert history[1] >= history[0]
