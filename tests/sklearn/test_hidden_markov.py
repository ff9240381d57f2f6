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
