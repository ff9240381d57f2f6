"""Starts and swaps of k-means: the J that scikit-learn's ten starts reach is reached or beaten."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from ppl_models import fit
from ppl_models.errors import InputError
from ppl_models.inference.kmeans.hamerly import hamerly
from ppl_models.inference.kmeans.search import greedy_kmeans_plus_plus, improve_by_swaps


def drawn_set(seed: int) -> tuple[np.ndarray, int]:
    """Round groups of unequal size and spread, some of them overlapping."""
    generator = np.random.default_rng(seed)
    clusters, features = int(generator.integers(10, 51)), int(generator.choice([2, 2, 5, 16]))
    rows = 1000
    centres = generator.uniform(0, generator.choice([10, 20, 40]), (clusters, features))
    sizes = generator.dirichlet(np.full(clusters, generator.choice([2, 20])))
    labels = generator.choice(clusters, rows, p=sizes)
    spread = generator.uniform(0.3, 1.5, clusters)[labels][:, None]
    return centres[labels] + generator.normal(size=(rows, features)) * spread, clusters


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[] if seed < 4 else [pytest.mark.long]) for seed in range(20)]
)
def test_default_search_reaches_what_ten_starts_of_scikit_learn_reach(seed: int) -> None:
    x, clusters = drawn_set(seed)
    x = x - x.mean(0)
    generator = np.random.default_rng(seed)
    starts = [x[greedy_kmeans_plus_plus(generator, x, clusters)] for _ in range(4)]
    best = min((hamerly(x, c, 300) for c in starts), key=lambda run: run.objective[-1])
    result = improve_by_swaps(generator, x, best, lambda c, most: hamerly(x, c, most), 300)
    peer = KMeans(clusters, n_init=10, random_state=seed).fit(x).inertia_
    assert result.objective[-1] <= peer * (1 + 1e-6)
    assert (np.diff(result.objective) <= 1e-9 * result.objective[0]).all()


def test_swaps_mend_a_start_with_two_centres_in_one_group() -> None:
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.normal(c, 0.1, 50) for c in (-10, 0, 10)])[:, None]
    stuck = hamerly(x, np.array([[-10.1], [-9.9], [5.0]]), 300)
    assert stuck.objective[-1] > 1000
    mended = improve_by_swaps(generator, x, stuck, lambda c, most: hamerly(x, c, most), 300)
    assert np.allclose(np.sort(mended.centres[-1].ravel()), [-10, 0, 10], atol=0.1)


@pytest.mark.parametrize("clusters", [4, 6])
def test_as_many_centres_as_distinct_rows_are_refused(clusters: int) -> None:
    x = np.array([(3, 4), (3, 4), (8, 1), (8, 1), (20, 2), (20, 2), (21, 2), (21, 2)], float)
    with pytest.raises(InputError, match="4 distinct rows.*at most 3 clusters"):
        fit(
            "gaussian_mixture", x, method="kmeans", seed=0, clusters=clusters,
            covariance="spherical",
        )  # fmt: skip


def test_the_way_out_of_the_refusal_works() -> None:
    x = np.array([(3, 4), (3, 4), (8, 1), (8, 1), (20, 2), (20, 2), (21, 2), (21, 2)], float)
    tree = fit("gaussian_mixture", x, method="kmeans", seed=0, clusters=3, covariance="spherical")
    assert float(tree["sample_stats"]["inertia"].item()) == pytest.approx(1.0)
