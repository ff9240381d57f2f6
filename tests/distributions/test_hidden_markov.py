"""Hidden Markov chains' densities: NumPyro's own enumeration, and all paths by brute force."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan
from numpyro.contrib.funsor import config_enumerate, enum, log_density
from numpyro.handlers import mask

from ppl_models.distributions import HiddenMarkov
from ppl_models.errors import InputError


def test_log_density_equals_numpyros_enumeration(hidden, emission):
    """The chain written with NumPyro's ``scan`` and enumerated by funsor."""
    rows = hidden.ragged(emission.data)
    start = np.full(len(rows), hidden.STATES)
    kind = int if emission.name == "categorical" else float

    def program(initial, transition, parameters):
        # the first state is drawn from one row more of the table
        table = jnp.concatenate([transition, initial[None]])

        def step(carry, values):
            before, t = carry
            with numpyro.plate("sequence", len(rows), dim=-1):
                z = numpyro.sample("z", dist.Categorical(table[before]))
                with mask(mask=t < hidden.LENGTHS):
                    numpyro.sample("x", emission.standard(parameters, z), obs=values.astype(kind))
            return (z, t + 1), None

        steps = jnp.asarray(np.nan_to_num(rows)).swapaxes(0, 1)
        scan(step, (jnp.asarray(start), 0), steps)

    @jax.jit
    def both(*values):
        prepared = enum(config_enumerate(program), first_available_dim=-2)
        initial, transition, parameters = values
        ours = hidden.chain(emission, parameters, initial, transition).log_prob(jnp.asarray(rows))
        return log_density(prepared, values, {}, {})[0], ours

    actual, ours = both(*map(jnp.asarray, (hidden.INITIAL, hidden.TRANSITION)), emission.parameters)
    np.testing.assert_allclose(ours.sum(), actual, rtol=1e-10)


def test_missing_steps_and_cells_are_summed_out(hidden, emission):
    chosen = [hidden.ragged(emission.data, steps=True, cells=c) for c in (False, True)]

    @jax.jit
    def look(traced):
        """Where the data are known, and where they are not."""
        chains = [
            hidden.chain(emission, transition=table) for table in (hidden.TRANSITION, hidden.ENDING)
        ]
        return [[c.log_prob(r) for r in rows for c in chains] for rows in (chosen, traced)]

    expected = [
        hidden.by_brute_force(emission, rows, transition=table)
        for rows in chosen
        for table in (hidden.TRANSITION, hidden.ENDING)
    ]
    for actual in look(chosen):
        np.testing.assert_allclose(actual, expected, rtol=1e-10)


def test_best_paths_have_the_largest_joint_density_of_all(hidden, emission):
    rows = hidden.ragged(emission.data, steps=True, cells=True)
    expected = [max(hidden.every_path(emission, row, transition=hidden.ENDING)[1]) for row in rows]

    @jax.jit
    def best(rows):
        flat = hidden.chain(emission, transition=hidden.ENDING).components()
        arguments = {"missing": True, "centre": flat.centre(rows)}
        return flat.infer_latents(flat.prepare(rows, **arguments), **arguments, how="best")[0][0]

    np.testing.assert_allclose(best(jnp.asarray(rows)), expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["tied", "categorical"])
def test_density_of_components_of_rows_and_of_one_row(hidden, name):
    """Chains of every batch: a component for all rows, a component a row, and a single row."""
    emission = next(e for e in hidden.EMISSIONS if e.name == name)
    other = {n: v if n == "covariance" else v[::-1] for n, v in emission.parameters.items()}
    rows = hidden.ragged(emission.data, steps=True)
    tied = emission.name == "tied"
    stacked = {
        n: v if tied and n == "covariance" else np.stack([v, other[n]])
        for n, v in emission.parameters.items()
    }
    enumerated = {
        n: v if tied and n == "covariance" else np.expand_dims(v, 1) for n, v in stacked.items()
    }
    chosen = np.array([0, 1, 1, 0, 1])
    by_row = {n: v if tied and n == "covariance" else v[chosen] for n, v in stacked.items()}

    @jax.jit
    def look(rows):
        return {
            "each": jnp.stack(
                [hidden.chain(emission, p).log_prob(rows) for p in (stacked_0, other)]
            ),
            "components": hidden.chain(emission, enumerated).log_prob(rows),
            "a component a row": hidden.chain(emission, by_row).log_prob(rows),
            "one row": hidden.chain(emission).log_prob(rows[2]),
        }

    stacked_0 = emission.parameters
    actual = look(jnp.asarray(rows))
    each = np.asarray(actual["each"])
    assert not np.allclose(each[0], each[1])
    np.testing.assert_allclose(actual["components"], each, rtol=1e-10)
    np.testing.assert_allclose(actual["a component a row"], each[chosen, np.arange(5)], rtol=1e-10)
    np.testing.assert_allclose(actual["one row"], each[0, 2], rtol=1e-10)


def test_expected_statistics_have_the_slope_of_the_density(hidden, emission):
    """Fisher's identity, at weights that differ from sequence to sequence."""
    rows = hidden.ragged(emission.data, steps=True, cells=True)
    weights = jnp.arange(1.0, 6.0)
    missing = hidden.chain(emission).has_missing_cells(rows)
    values = jax.tree.map(jnp.asarray, (hidden.INITIAL, hidden.ENDING, emission.parameters))

    @jax.jit
    def both(values):
        def chain(values):
            return hidden.chain(emission, values[2], values[0][None], values[1][None]).components()

        centre = jnp.full(hidden.FEATURES, 0.3)
        statistics = chain(values).expected_statistics(
            weights[None], jnp.asarray(rows), missing=missing, centre=centre
        )

        def density(values):
            prepared = chain(values).contract(jnp.asarray(rows), missing=missing, centre=centre)
            return (prepared[0] * weights).sum()

        def joint(values):
            return chain(values).expected_log_density(statistics, centre).sum()

        return jax.grad(density)(values), jax.grad(joint)(values), statistics

    slope, expected, statistics = both(values)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10), slope, expected
    )
    lengths = np.array([4, 2, 3, 1, 4])
    np.testing.assert_allclose(statistics["initial"].sum(), weights.sum())
    np.testing.assert_allclose(statistics["transition"].sum(), weights @ lengths)
    np.testing.assert_allclose(statistics["transition"][..., -1].sum(), weights.sum())


@pytest.mark.parametrize("name", ["tied", "categorical"])
def test_maxima_under_the_statistics_climb_the_density(hidden, name):
    emission = next(e for e in hidden.EMISSIONS if e.name == name)
    rows = hidden.ragged(emission.data, steps=True)

    @jax.jit
    def run_em(chain):
        def step(chain, _):
            flat = chain.components()
            centre = flat.centre(jnp.asarray(rows))
            total, looked = flat.infer_latents(
                flat.prepare(jnp.asarray(rows), missing=False, centre=centre),
                missing=False, centre=centre,
            )  # fmt: skip
            weights = jnp.ones_like(total)
            statistics = flat.prepared_statistics(weights, looked, missing=False, centre=centre)
            return hidden.maximum_likelihood(flat, statistics, centre), total.sum()

        return jax.lax.scan(step, chain.components(), None, length=4)[1]

    # full covariances of so few steps collapse after a few more
    totals = np.asarray(
        run_em(
            hidden.chain(emission, initial=hidden.INITIAL[None], transition=hidden.TRANSITION[None])
        )
    )
    assert np.isfinite(totals).all()
    assert (np.diff(totals) > 0).all()


def test_an_emission_without_states_is_refused(hidden):
    with pytest.raises(InputError, match="StudentT has no batch axis"):
        HiddenMarkov(hidden.INITIAL, hidden.TRANSITION, dist.StudentT(3.0), positions=2)
