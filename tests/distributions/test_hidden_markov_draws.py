"""Hidden Markov chains' draws: their moments, their ends, and missing cells filled in."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ppl_models.distributions import HiddenMarkov

DRAWS = 20_000


def test_draws_have_the_moments_of_states_and_of_pairs(hidden):
    """Means by position, and the product of neighbours, which only the chain makes dependent."""
    chain = hidden.chain(hidden.EMISSIONS[1])
    drawn, path = jax.jit(lambda key: chain.sample_with_path(key, (DRAWS,)))(random.key(0))
    drawn, path = np.asarray(drawn), np.asarray(path)
    assert drawn.shape == (DRAWS, hidden.STEPS, hidden.FEATURES) and path.shape == (
        DRAWS,
        hidden.STEPS,
    )
    proportion = hidden.INITIAL
    for t in range(hidden.STEPS):
        error = drawn[:, t].std(0) / np.sqrt(DRAWS)
        assert (np.abs(drawn[:, t].mean(0) - proportion @ hidden.LOC) < 5 * error).all()
        assert abs((path[:, t] == 1).mean() - proportion[1]) < 5 * np.sqrt(0.25 / DRAWS)
        if t + 1 < hidden.STEPS:
            pair = np.einsum("i,ij,id,jd->d", proportion, hidden.TRANSITION, hidden.LOC, hidden.LOC)
            products = drawn[:, t] * drawn[:, t + 1]
            error = products.std(0) / np.sqrt(DRAWS)
            assert (np.abs(products.mean(0) - pair) < 5 * error).all()
        proportion = proportion @ hidden.TRANSITION


def test_draws_of_chains_that_share_an_emission_are_their_own(hidden):
    step = hidden.EMISSIONS[1].family(hidden.EMISSIONS[1].parameters)
    chain = HiddenMarkov(
        np.tile(hidden.INITIAL, (400, 1)), hidden.TRANSITION, step, positions=hidden.STEPS
    )
    drawn, path = (np.asarray(v) for v in jax.jit(chain.sample_with_path)(random.key(1)))
    inside = drawn[path == 0][:, 0]
    assert len(inside) > 300
    assert abs(inside.mean() - hidden.LOC[0, 0]) < 5 * hidden.SCALE[0, 0] / np.sqrt(len(inside))
    assert 0.8 * hidden.SCALE[0, 0] < inside.std() < 1.2 * hidden.SCALE[0, 0]


def test_draws_that_end_are_missing_from_there_on(hidden):
    diagonal = hidden.EMISSIONS[1]
    chain = hidden.chain(diagonal, transition=hidden.ENDING)
    drawn, path = jax.jit(lambda key: chain.sample_with_path(key, (DRAWS,)))(random.key(2))
    drawn, path = np.asarray(drawn), np.asarray(path)
    over = np.isnan(drawn).all(-1)
    np.testing.assert_array_equal(over, np.isnan(drawn).any(-1))
    np.testing.assert_array_equal(over, path == -1)
    assert (np.diff(over.astype(int), axis=1) >= 0).all() and not over[:, 0].any()
    proportion = hidden.INITIAL
    for t in range(1, hidden.STEPS):
        proportion = proportion @ hidden.ENDING[:, : hidden.STATES]
        assert abs((~over[:, t]).mean() - proportion.sum()) < 5 * np.sqrt(0.25 / DRAWS)


@pytest.mark.parametrize("name", ["full", "bernoulli"])
def test_filled_cells_follow_their_posterior(hidden, name):
    """Cells are mixtures over the states that the whole sequence leaves to their step."""
    emission = next(e for e in hidden.EMISSIONS if e.name == name)
    rows = hidden.ragged(emission.data, steps=True)
    chain = hidden.chain(emission)
    fill = jax.jit(jax.vmap(lambda key: chain.complete(key, jnp.asarray(rows))))
    filled = np.asarray(fill(random.split(random.key(3), DRAWS)))
    seen = ~np.isnan(rows)
    np.testing.assert_array_equal(filled[:, seen], np.broadcast_to(rows[seen], (DRAWS, seen.sum())))
    for row, step in ((0, 1), (0, 2), (2, 0)):
        paths, joint = hidden.every_path(emission, rows[row])
        proportion = np.exp(joint - np.logaddexp.reduce(joint))
        proportion = np.array([proportion[paths[:, step] == z].sum() for z in range(hidden.STATES)])
        centre = emission.parameters["probs" if name == "bernoulli" else "loc"]
        cells = filled[:, row, step]
        error = cells.std(0) / np.sqrt(DRAWS)
        assert (np.abs(cells.mean(0) - proportion @ centre) < 5 * error).all()
        if name == "full":
            products = cells[:, 0] * cells[:, 1]
            second = hidden.COVARIANCE[:, 0, 1] + hidden.LOC[:, 0] * hidden.LOC[:, 1]
            error = products.std() / np.sqrt(DRAWS)
            assert abs(products.mean() - proportion @ second) < 5 * error
    assert np.isnan(filled[:, 1, 2:]).all()  # after the end of a sequence nothing is filled in


@pytest.mark.parametrize("name", ["tied", "full"])
def test_statistics_of_drawn_paths_and_cells_are_those_that_were_expected(hidden, name):
    """On average; what is expected of correlated cells that are missing is no draw of them."""
    emission = next(e for e in hidden.EMISSIONS if e.name == name)
    rows = jnp.asarray(hidden.ragged(emission.data, steps=True, cells=True))
    flat = hidden.chain(
        emission, initial=hidden.INITIAL[None], transition=hidden.TRANSITION[None]
    ).components()
    centre, ones = jnp.full(hidden.FEATURES, 0.3), jnp.ones((1, len(rows)))

    @jax.jit
    def look(keys):
        prepared = flat.prepare(rows, missing=True, centre=centre)

        def drawn(key):
            path_key, cell_key = random.split(key)
            actual = flat.infer_latents(
                prepared, missing=True, centre=centre, how="draw", key=path_key
            )[1]
            chosen = jnp.zeros(len(rows), int)
            actual = flat.with_drawn_cells(cell_key, actual, chosen, centre)
            return flat.prepared_statistics(ones, actual, missing=False, centre=centre)

        return jax.vmap(drawn)(keys), flat.prepared_statistics(
            ones, prepared, missing=True, centre=centre
        )

    drawn, expected = look(random.split(random.key(0), 4_000))
    assert set(drawn) == set(expected)
    for statistic, values in drawn.items():
        error = np.asarray(values.std(0)) / np.sqrt(len(values))
        off = np.abs(np.asarray(values.mean(0) - expected[statistic]))
        assert (off < 5 * error + 1e-9).all(), statistic
