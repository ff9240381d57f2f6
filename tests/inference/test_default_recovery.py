"""What default fits find: groups however far apart, and no new row impossible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.mixture import GaussianMixture

from ppl_models import fit, fit_many, group, log_density

GIBBS = {"chains": 1, "warmup": 200, "draws": 100}
POINT = {"seed": 0, "starts": 1, "predictive": 0}


@pytest.mark.parametrize("method", ["em", pytest.param("hard", marks=pytest.mark.long)])
def test_many_clusters_of_sparse_bits_keep_new_rows_possible(method: str) -> None:
    generator = np.random.default_rng(3)
    probs = generator.beta(0.1, 1.0, (20, 40))
    bits = generator.binomial(1, probs[generator.integers(20, size=600)])
    tree = fit("bernoulli_mixture", bits[:400], method=method, clusters=100, **POINT)
    fitted = tree["posterior/probs"].values
    assert fitted.min() > 0 and fitted.max() < 1
    assert np.isfinite(log_density(tree, bits[400:]).values).all()


def test_a_combination_of_levels_that_was_never_seen_is_possible() -> None:
    levels = [["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"]]
    seen = pd.DataFrame([["a", "b", "c"], ["b", "c", "a"]] * 30)
    for column, names in enumerate(levels):
        seen[column] = pd.Categorical(seen[column], names)
    tree = fit("categorical_mixture", seen, method="em", clusters=2, **POINT)
    rare, usual = log_density(tree, [["a", "a", "d"], ["a", "b", "c"]]).values
    # one observation a feature, shared out among two classes and the levels
    own = [(30 + 1 / (2 * m)) / (30 + 1 / 2) for m in (2, 3, 4)]
    other = [1 / (2 * m) / (30 + 1 / 2) for m in (2, 3, 4)]
    first = [own[0], other[1], other[2]]
    second = [other[0], other[1], other[2]]
    np.testing.assert_allclose(
        rare, np.log(0.5 * np.prod(first) + 0.5 * np.prod(second)), rtol=1e-6
    )
    np.testing.assert_allclose(usual, np.log(0.5 * np.prod(own) + 0.5 * np.prod(other)), rtol=1e-6)


def _two_groups(distance: float, scale: float) -> np.ndarray:
    generator = np.random.default_rng(4)
    return np.concatenate([generator.normal(0, 1, 50), generator.normal(distance, scale, 50)])


#: distance of the second group and its scale, that of the first being 1
GROUPS = [(30.0, 1.0), (3000.0, 1.0), (500.0, 100.0), (0.0, 30.0)]


@pytest.mark.parametrize(("distance", "scale"), GROUPS)
@pytest.mark.parametrize("method", ["em", "gibbs"])
def test_default_fits_find_two_groups(method: str, distance: float, scale: float) -> None:
    x = _two_groups(distance, scale)
    more: dict[str, Any] = {"starts": 4} if method == "em" else GIBBS
    tree = fit("gaussian_mixture", x, method=method, clusters=2, seed=1, predictive=0, **more)
    actual = tree["posterior"].median(("chain", "draw"))
    order = np.argsort(actual["scale"].values if distance == 0 else actual["loc"].values)
    groups = [x[:50], x[50:]]
    wanted = np.array([group.std() for group in groups])
    # of nested groups the rows in the middle are of either, and scales pull at each other
    near = 0.15 if scale == 1 else 0.3
    np.testing.assert_allclose(actual["scale"].values[order], wanted, rtol=near)
    np.testing.assert_allclose(
        actual["loc"].values[order], [group.mean() for group in groups], atol=0.6 * scale
    )
    np.testing.assert_allclose(actual["weights"].values[order], 0.5, atol=0.1)


@pytest.mark.parametrize(("distance", "scale"), [(3.0, 1.0), (0.0, 30.0), (15.0, 5.0)])
def test_default_modes_are_as_likely_as_maxima_of_the_likelihood(
    distance: float, scale: float
) -> None:
    x = _two_groups(distance, scale)
    tree = fit("gaussian_mixture", x, method="em", clusters=2, seed=1, predictive=0, starts=4)
    own, best = GaussianMixture(2, n_init=10, random_state=0), -np.inf
    for start in (None, [[0.0], [distance]]):
        own.set_params(means_init=start)
        best = max(best, own.fit(x[:, None]).score(x[:, None]) * len(x))
    assert float(tree["log_likelihood/x"].sum()) > best - 1.0


def test_four_starts_find_nested_groups_whatever_the_seed() -> None:
    x = _two_groups(0.0, 30.0)
    many = fit_many("gaussian_mixture", {str(s): x for s in range(4)}, clusters=2, starts=4, seed=3)
    four = {"method": "em", "clusters": 2, "starts": 4, "predictive": 0}
    fits = [fit("gaussian_mixture", x, seed=seed, **four) for seed in (1, 3, 9)]
    for tree in [*fits, *(group(many, str(s)) for s in range(4))]:
        scales = np.sort(tree["posterior/scale"].values.ravel())
        np.testing.assert_allclose(scales, [x[:50].std(), x[50:].std()], rtol=0.3)


@pytest.mark.parametrize("decimals", [0, -1])
def test_repeated_values_draw_no_cluster(decimals: int) -> None:
    # one group rounded so that a third, and then nearly all, of the rows repeat a value
    x = np.random.default_rng(5).normal(0, 1.0, 100) * (1.0 if decimals == 0 else 6.0)
    x = x.round(decimals)
    tree = fit("gaussian_mixture", x, method="em", clusters=2, seed=1, predictive=0, starts=4)
    unit = 10.0**-decimals
    # what rounding leaves: unit / √12, of a cluster of average size
    assert tree["posterior/scale"].values.min() > 0.2 * unit


@pytest.mark.parametrize("distance", [30.0, 3000.0])
def test_default_fits_find_two_hidden_states(distance: float) -> None:
    generator = np.random.default_rng(6)
    states = np.tile(np.repeat([0, 1, 0, 1], 15), (2, 1))
    x = distance * states + generator.normal(size=states.shape) * np.array([1.0, 3.0])[states]
    tree = fit("hidden_markov", x[..., None], method="em", states=2, **POINT | {"starts": 4})
    fitted = tree["posterior"].isel(chain=0, draw=0)
    order = np.argsort(fitted["loc"].values[:, 0])
    wanted = np.array([x[states == k].std() for k in (0, 1)])
    np.testing.assert_allclose(fitted["scale"].values[order, 0], wanted, rtol=0.15)
