"""Hidden chains that textbooks give numbers of, and the counts that everybody fits."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ppl_models import distributions as families
from ppl_models.data import earthquakes
from ppl_models.distributions import HiddenMarkov


def test_umbrella_world():
    """Russell and Norvig (2010), §15.2, with Wikipedia's five days: umbrella on all but one."""
    umbrella = families.BernoulliVector(np.array([[0.9], [0.2]]))
    chain = HiddenMarkov([0.5, 0.5], [[0.7, 0.3], [0.3, 0.7]], umbrella, positions=5)
    days = np.array([1.0, 1.0, 0.0, 1.0, 1.0])[None, :, None]
    np.testing.assert_allclose(chain.log_prob(days), -3.3725, atol=5e-5)
    rain = [0.8673, 0.8204, 0.3075, 0.8204, 0.8673]
    np.testing.assert_allclose(
        chain.state_probabilities(jnp.asarray(days))[0, :, 0], rain, atol=5e-5
    )


def test_rain_and_sun():
    """Wikipedia's example of Viterbi's algorithm: walk, shop, clean."""
    activity = families.CategoricalVector(np.array([[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]]), (3,))
    chain = HiddenMarkov([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], activity, positions=3)
    days = jnp.array([0.0, 1.0, 2.0])[None, :, None]
    np.testing.assert_array_equal(chain.most_likely_states(days), [[1, 0, 0]])
    flat = chain.components()
    prepared = flat.prepare(days, missing=False, centre=jnp.zeros(()))
    best, _ = flat.infer_latents(prepared, missing=False, centre=jnp.zeros(()), how="best")
    np.testing.assert_allclose(np.exp(best), [[0.01344]], rtol=1e-10)
    np.testing.assert_allclose(np.exp(chain.log_prob(days)), [0.033612], rtol=1e-10)
    proportions = [[0.2317, 0.7683], [0.6241, 0.3759], [0.8640, 0.1360]]
    np.testing.assert_allclose(chain.state_probabilities(days)[0], proportions, atol=5e-5)


ZUCCHINI = [
    (391.9189, [19.3645], [[1.0]], [1.0]),
    (342.3183, [15.4723, 26.1254], [[0.9340, 0.0660], [0.1285, 0.8715]], [0.6608, 0.3392]),
    (
        329.4603,
        [13.1457, 19.7211, 29.7144],
        [[0.9546, 0.0244, 0.0210], [0.0498, 0.8994, 0.0508], [0.0, 0.1966, 0.8034]],
        [0.4436, 0.4045, 0.1519],
    ),
]


@pytest.mark.parametrize("row", ZUCCHINI, ids=["1", "2", "3"])
def test_earthquakes_at_the_published_parameters(row):
    """Zucchini, MacDonald and Langrock (2016), §1.4 and table 3.1; parameters are rounded there."""
    published, rate, transition, initial = row
    counts = earthquakes()["count"].to_numpy(float)[None, :, None]
    emission = families.PoissonVector(np.array(rate)[:, None])
    chain = HiddenMarkov(initial, transition, emission, positions=counts.shape[1])
    np.testing.assert_allclose(chain.log_prob(counts), [-published], atol=2e-3)
