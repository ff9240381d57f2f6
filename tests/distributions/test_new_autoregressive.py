"""A distribution of sequences from outside the package is served as the package's own are."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints

from ppl_models import fit, generate, impute, log_density, perplexity
from ppl_models.data import Tokens
from ppl_models.distributions.convert import is_own
from ppl_models.distributions.registry import family_class, family_name
from ppl_models.distributions.sequences.autoregressive import Autoregressive, as_autoregressive


class Growing(Autoregressive, dist.Distribution):
    """Tokens of equal probability; the end comes with probability ``ending`` after each."""

    arg_constraints = {"ending": constraints.unit_interval}
    pytree_data_fields = ("ending",)
    pytree_aux_fields = ("tokens", "positions")
    needs_whole_rows = True

    def __init__(self, ending: Any, *, tokens: int, positions: int, validate_args: Any = None):
        self.ending, self.tokens, self.positions = jnp.asarray(ending), tokens, positions
        super().__init__((), (positions,), validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.independent(constraints.integer_interval(0, self.tokens), 1)

    def begin(self, shape: tuple[int, ...]) -> Any:
        return jnp.zeros(shape, bool)

    def read(self, state: Any, token: Any) -> Any:
        return jnp.ones(token.shape, bool)

    def following(self, state: Any) -> Any:
        ending = jnp.where(state, self.ending, 0.0)[..., None]
        each = jnp.broadcast_to((1 - ending) / self.tokens, (*state.shape, self.tokens))
        return jnp.log(jnp.concatenate([each, ending], -1))

    def log_prob(self, value: Any, intermediates: Any = None) -> Any:
        return self.taken_each(jnp.asarray(value)).sum(-1)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        return self.sample_sequences(key, sample_shape)


def growing(tokens: Annotated[Any, Tokens] = None, *, vocabulary, sequences=None, positions=None):
    """Sequences that end by a coin."""
    if tokens is not None:
        sequences, positions = jnp.shape(tokens)
    ending = numpyro.sample("ending", dist.Beta(1.0, 1.0))
    with numpyro.plate("sequence", sequences):
        chain = Growing(ending, tokens=vocabulary, positions=positions)
        return numpyro.sample("tokens", chain, obs=tokens)


@pytest.fixture(scope="module")
def tree() -> Any:
    """Nine tokens in four sequences: Beta(1 + 4, 1 + 5), whose mode is 4 / 9."""
    options = {"method": "map", "seed": 0, "steps": 300, "learning_rate": 0.1, "predictive": 0}
    return fit(growing, ["ab", "b", "abab", "ab"], **options)


def test_it_is_known_as_what_it_is() -> None:
    chain = Growing(0.5, tokens=2, positions=3)
    assert is_own(chain) and as_autoregressive(chain.expand([4])) is chain
    assert family_class(family_name(chain)) is Growing
    every = jnp.array([[0, 2, 2], [1, 2, 2]])
    np.testing.assert_allclose(jnp.exp(chain.log_prob(every)), 0.25, rtol=1e-6)


def test_it_is_fitted_read_and_written(tree: Any) -> None:
    ending = float(tree["posterior"]["ending"].values.item())
    assert abs(ending - 4 / 9) < 0.01
    expected = 4 * np.log(ending) + 5 * np.log(1 - ending) - 9 * np.log(2)
    assert abs(float(log_density(tree).sum()) - expected) < 1e-6
    assert int(perplexity(tree)["tokens"]) == 13
    made = generate(tree, 50, seed=0)["tokens"].values
    ended = (made == 2).argmax(1)
    assert (made[:, 0] < 2).all() and abs((ended == 1).mean() - ending) < 5 * np.sqrt(0.25 / 50)


def test_its_gaps_are_filled_in(tree: Any) -> None:
    filled = impute(tree, [["a", None], [None, "b", None]], seed=0, draws=40)["tokens"].values
    assert (filled[:, 0, 0] == 0).all() and (filled[:, 1, 1] == 1).all()
    assert (filled[:, 0, 1] < 2).all()  # a gap is no end
    assert abs((filled[:, 1, 0] == 0).mean() - 0.5) < 5 * np.sqrt(0.25 / 40)
