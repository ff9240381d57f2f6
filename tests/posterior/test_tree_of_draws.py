"""The one result of draws: likelihoods of whole rows and sequences, LOO, and ``lp`` by SciPy."""

from __future__ import annotations

import arviz as az
import jax
import numpy as np
import numpyro
import pytest
import xarray as xr
from scipy import stats

SAMPLE = ("chain", "draw")
#: groups of any fit by draws
GROUPS = {
    "posterior",
    "sample_stats",
    "log_likelihood",
    "observed_data",
    "posterior_predictive",
    "prior",
    "prior_predictive",
}


def test_draws_of_a_chain_in_closed_form(built_ins, trees):
    row = built_ins["markov_chain"]
    tree = trees(row, "exact", chains=2, draws=100)
    assert set(tree.children) == GROUPS | {"log_prior"}
    assert tree.attrs["kind"] == "draws"
    assert tree["posterior/transition"].dims == (*SAMPLE, "token", "next_token")
    assert tree["log_likelihood/tokens"].shape == (2, 100, 8)
    # a sequence's log-likelihood is that of the whole sequence
    initial, transition = (
        np.log(tree["posterior"][n].values[0, 0]) for n in ("initial", "transition")
    )
    for n, sequence in enumerate(row.data):
        total = initial[sequence[0]]
        for before, after in zip(sequence[:-1], sequence[1:], strict=True):
            total += transition[before, after] if before < 3 else 0.0
        np.testing.assert_allclose(tree["log_likelihood/tokens"].values[0, 0, n], total)


def _by_hand(tree):
    """Marginal log-likelihoods of the univariate mixture, by NumPyro's own mixture."""
    posterior, x = tree["posterior"], tree["observed_data/x"].values
    with jax.enable_x64(True):
        mixture = numpyro.distributions.MixtureSameFamily(
            numpyro.distributions.Categorical(posterior["weights"].values[..., None, :]),
            numpyro.distributions.Normal(
                posterior["loc"].values[..., None, :], posterior["scale"].values[..., None, :]
            ),
        )
        return np.asarray(mixture.log_prob(x))


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")  # so few rows are influential
def test_loo_equals_that_of_the_mixture_marginalised_by_hand(drawn):
    actual = _by_hand(drawn)
    np.testing.assert_allclose(drawn["log_likelihood/x"].values, actual, rtol=1e-9)
    hand = xr.DataTree.from_dict(
        {
            "posterior": drawn["posterior"].to_dataset(),
            "log_likelihood": xr.Dataset({"x": ((*SAMPLE, "row"), actual)}),
        }
    )
    ours, theirs = az.loo(drawn), az.loo(hand)
    np.testing.assert_allclose(ours.elpd, theirs.elpd, rtol=1e-9)
    np.testing.assert_allclose(ours.se, theirs.se, rtol=1e-9)
    assert ours.n_data_points == 14


def test_draws_by_nuts_read_as_they_are(drawn):
    assert GROUPS | {"responsibilities", "starts"} <= set(drawn.children)
    assert drawn.attrs["kind"] == "draws"
    summary = az.summary(drawn, var_names=["weights", "loc"])
    assert len(summary) == 4
    for name in ("lp", "diverging", "energy", "step_size"):
        assert drawn["sample_stats"][name].shape == (2, 150)
    # responsibilities are means over all draws, components in the order of the draws
    posterior, x = drawn["posterior"].dataset, drawn["observed_data/x"].values[:, None]
    z = (x - posterior["loc"].values[..., None, :]) / posterior["scale"].values[..., None, :]
    logits = -0.5 * z**2 - np.log(posterior["scale"].values[..., None, :])
    density = np.exp(logits) * posterior["weights"].values[..., None, :]
    proportion = (density / density.sum(-1, keepdims=True)).mean((0, 1))
    np.testing.assert_allclose(
        drawn["responsibilities/responsibilities"].values, proportion, rtol=1e-6
    )


def test_lp_is_the_log_joint_density_of_every_draw(drawn, built_ins):
    row = built_ins["gaussian_mixture univariate"]
    point = {n: drawn["posterior"][n].values[1, 7] for n in row.sites}
    mean, variance = row.data.mean(), row.data.var()
    alpha = np.full(2, row.interior["concentration"])
    prior = stats.dirichlet(alpha).logpdf(point["weights"] / point["weights"].sum())
    prior += stats.norm(mean, 2 * np.sqrt(variance)).logpdf(point["loc"]).sum()
    unit = np.diff(np.sort(row.data)).min()  # and 7 rows a cluster
    a, b = 2.5 / (variance / 4), (unit * 7 / 2) ** 2 / 12
    rate = stats.geninvgauss(2.5, 2 * np.sqrt(a * b), scale=np.sqrt(b / a))
    prior += rate.logpdf(point["scale_rate"])
    square = stats.invgamma(2.0, scale=point["scale_rate"]).logpdf(point["scale"] ** 2)
    prior += (square + np.log(2 * point["scale"])).sum()
    total = drawn["log_likelihood/x"].values[1, 7].sum() + prior
    np.testing.assert_allclose(drawn["sample_stats/lp"].values[1, 7], total, rtol=1e-9)
