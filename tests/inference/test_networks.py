"""Networks, whose edges depend on the clusters of two nodes: against all assignments."""

import itertools
from typing import Annotated, Any

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import log_density as numpyro_log_density
from scipy.special import betaln, gammaln, logsumexp
from scipy.stats import dirichlet

from ppl_models import diagnose, fit, generate, impute, log_density, loo, predict
from ppl_models.data import Bits, Counts, Reals
from ppl_models.errors import UnsupportedError
from ppl_models.program.densities.pair_passes import (
    bound,
    draw_given,
    expected,
    mean_field,
    tables_of,
)
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.precision import scope


def blocks(a: Annotated[Any, Bits] = None, *, clusters):
    """Who knows whom, by a table; a node may know itself."""
    n = a.shape[0]
    w = numpyro.sample("w", dist.Dirichlet(jnp.full(clusters, 2.0)))
    with numpyro.plate("from", clusters, dim=-2), numpyro.plate("to", clusters, dim=-1):
        p = numpyro.sample("p", dist.Beta(1.0, 1.0))
    with numpyro.plate("node", n):
        z = numpyro.sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
    with numpyro.plate("left", n, dim=-2), numpyro.plate("right", n, dim=-1):
        numpyro.sample("a", dist.Bernoulli(p[z[:, None], z[None, :]]), obs=a)


def letters(
    source: Annotated[Any, Counts] = None,
    target: Annotated[Any, Counts] = None,
    letters: Annotated[Any, Counts] = None,
    *,
    people,
):
    """Numbers of letters between people, in long format."""
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(3)))
    rate = numpyro.sample("rate", dist.Gamma(2.0, 0.5).expand([3, 3]).to_event(2))
    with numpyro.plate("person", people):
        z = numpyro.sample("z", dist.Categorical(w))
    with numpyro.plate("pair", len(source)):
        mean = rate[z[source], z[target]]
        numpyro.sample("letters", dist.Poisson(mean), obs=letters)


EDGES = {
    "source": np.array([0, 1, 2, 3, 0, 4, 2, 1]),
    "target": np.array([1, 2, 3, 4, 2, 0, 0, 3]),
    "letters": np.array([3, 0, 5, 1, 2, 7, 0, 4]),
}
TABLE = np.array([
    [1, 1, 1, 0, 0], [1, 0, 1, 0, np.nan], [1, 1, 1, 1, 0], [0, 0, 0, 1, 1], [0, 1, 0, 1, 0]
])  # fmt: skip
CASES = {blocks: ({"a": TABLE}, {"clusters": 2}), letters: (EDGES, {"people": 5})}


@pytest.fixture(scope="module", params=CASES, ids=lambda p: p.__name__)
def network(request):
    program = request.param
    data, arguments = CASES[program]
    with scope("float64"):
        model, structure = read_program(program, read_data(program, data), arguments, {}, "float64")
        values = structure.initial(jax.random.key(3))
        assignments = np.array(
            list(itertools.product(range(structure.clusters), repeat=structure.rows))
        )
        options = {n: jnp.asarray(np.nan_to_num(v)) for n, v in data.items()}

        def one(z):
            total, trace = numpyro_log_density(
                program, (), {**options, **arguments}, {**values, "z": z}
            )
            if program is blocks:
                cells = trace["a"]["fn"].log_prob(trace["a"]["value"])
                total = total - jnp.where(np.isnan(TABLE), cells, 0).sum()
            return total

        joint = np.asarray(jax.jit(jax.vmap(one))(jnp.asarray(assignments)))
        yield model, structure, values, assignments, joint


def test_tables_tell_every_assignment(network):
    model, structure, values, assignments, joint = network
    with scope("float64"):
        tables = tables_of(model, values, structure)
        proportions = jax.nn.one_hot(assignments, structure.clusters, axis=1, dtype=float)
        both = jax.jit(jax.vmap(lambda s: expected(tables, model.pairs, s).sum()))(proportions)
        prior = model.log_prior(values, structure)
    assert structure.coupled and structure.unit_count == 1
    np.testing.assert_allclose(both + prior, joint, rtol=1e-10)


def test_the_bound_rises_and_stays_below(network):
    model, structure, values, _, joint = network
    with scope("float64"):
        tables, prior = tables_of(model, values, structure), model.log_prior(values, structure)
        random = np.random.default_rng(0).dirichlet(np.ones(structure.clusters), structure.rows)
        proportions, heights = jnp.asarray(random.T), []
        for _ in range(4):
            heights.append(float(bound(tables, model.pairs, proportions).sum()))
            proportions = mean_field(tables, model.pairs, proportions, 1)
        actual = float(jax.scipy.special.logsumexp(model.logits(values, structure), axis=0).sum())
    assert (np.diff(heights) >= -1e-12).all()
    exact = logsumexp(joint) - float(prior)
    assert heights[-1] <= exact and actual <= exact
    assert actual > exact - 1.5


def test_draws_are_those_of_the_posterior(network):
    """Gibbs sweeps in turn, many chains side by side, after some sweeps."""
    model, structure, values, assignments, joint = network
    chains = 1500
    with scope("float64"):

        def sweep(z, key):
            return draw_given(key, model, values, structure, z), None

        def run(key):
            first = jnp.zeros(structure.rows, jnp.int32)
            return jax.lax.scan(sweep, first, jax.random.split(key, 40))[0]

        drawn = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(1), chains)))
    probability = np.exp(joint - logsumexp(joint))
    for k in range(structure.clusters):
        exact = (probability[:, None] * (assignments == k)).sum(0)
        error = np.sqrt(exact * (1 - exact) / chains)
        assert (np.abs((drawn == k).mean(0) - exact) < 5 * error + 2e-3).all()


def test_cells_of_three_rows_are_refused():
    def triples(a: Annotated[Any, Reals] = None):
        p = numpyro.sample("p", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        with numpyro.plate("node", 6):
            z = numpyro.sample("z", dist.Bernoulli(0.4))
        with numpyro.plate("triple", len(a)):
            i = jnp.arange(len(a))
            numpyro.sample("a", dist.Normal(p[z[i]] * p[z[i + 1]] + p[z[i + 2]], 1.0), obs=a)

    with pytest.raises(UnsupportedError, match="several rows at once"):
        fit(triples, np.array([0.3, 1.0, -0.5, 0.2]), method="em", seed=0)


# ---- fits ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def village():
    random = np.random.default_rng(2)
    z = np.arange(24) // 12
    p = np.array([[0.7, 0.1], [0.2, 0.5]])
    return random.binomial(1, p[z[:, None], z]), z, p


@pytest.fixture(scope="module")
def by_gibbs(village):
    options = {"chains": 2, "warmup": 60, "draws": 120, "starts": 2, "predictive": 2}
    return fit("stochastic_block_model", village[0], method="gibbs", seed=0, clusters=2, **options)


def in_order(table):
    order = np.argsort(-np.diag(table))
    return table[order][:, order]


def test_variational_em(village):
    adjacency, z, p = village
    tree = fit(
        "stochastic_block_model", adjacency, method="em", seed=0, clusters=2, starts=2, predictive=0
    )
    actual = predict(tree).values.argmax(1)
    assert max((actual == z).mean(), (actual != z).mean()) > 0.9
    np.testing.assert_allclose(in_order(tree["posterior"]["probs"].values[0, 0]), p, atol=0.12)
    assert any("lower bounds" in note for note in eval_notes(tree))
    course = tree["starts"]["objective"].values
    steps = np.diff(course)
    assert (steps[np.isfinite(steps)] > -1e-7).all()


def eval_notes(tree):
    import json

    return json.loads(tree.attrs["notes"])["notes"]


# (sweeps have the posterior of all assignments, and a fit by EM finds the kinds: above)
@pytest.mark.long
def test_gibbs_and_what_follows(village, by_gibbs):
    adjacency, z, p = village
    probs = by_gibbs["posterior"]["probs"]
    middle = in_order(probs.mean(("chain", "draw")).values)
    np.testing.assert_allclose(middle, p, atol=0.15)
    labels = predict(by_gibbs)
    assert labels.dims == ("node", "cluster")
    actual = labels.values.argmax(1)
    assert max((actual == z).mean(), (actual != z).mean()) > 0.95
    assert log_density(by_gibbs).dims == ("network",)
    assert diagnose(by_gibbs) is not None
    with pytest.raises(UnsupportedError, match="one exchangeable unit"):
        loo(by_gibbs)


# (missing links are left out of the density in the tests above)
@pytest.mark.long
def test_missing_links_are_predicted(village, by_gibbs):
    adjacency, z, p = village
    holes = adjacency.astype(float)
    hidden = np.random.default_rng(0).random(holes.shape) < 0.1
    np.fill_diagonal(hidden, False)
    holes[hidden] = np.nan
    filled = impute(by_gibbs, holes, draws=40, seed=0)["link"].values.mean(0)
    exact = p[z[:, None], z]
    assert np.corrcoef(filled[hidden], exact[hidden])[0, 1] > 0.6
    assert generate(by_gibbs, 24, seed=0)["link"].size


def exact_coassignment():
    """P(z_i = z_j | a) of :func:`blocks`, probabilities integrated out of every assignment."""
    known, links = np.isfinite(TABLE), np.nan_to_num(TABLE)
    together, weight = 0.0, 0.0
    for z in itertools.product(range(2), repeat=len(TABLE)):
        inside = np.eye(2)[list(z)].T  # (cluster, row)
        ones, cells = inside @ links @ inside.T, inside @ known @ inside.T
        log_joint = gammaln(2.0 + inside.sum(1)).sum() + betaln(1 + ones, 1 + cells - ones).sum()
        weight += np.exp(log_joint)
        together = together + np.exp(log_joint) * (inside.T @ inside)
    return together / weight


@pytest.mark.parametrize("method", [pytest.param("gibbs", marks=pytest.mark.long), "nuts"])
def test_samplers_draw_the_nodes_clusters_from_their_posterior(method):
    options = {"chains": 2, "warmup": 150, "draws": 1500, "starts": 2, "predictive": 0}
    tree = fit(blocks, TABLE, method=method, seed=0, clusters=2, relabel=None, **options)
    z = tree["posterior"]["assignment"].values  # (chain, draw, row)
    together = (z[..., :, None] == z[..., None, :]).reshape(-1, 5, 5)
    upper = np.triu_indices(5, 1)
    drawn = together.mean(0)[upper]
    effective = [az.ess(z[..., i] == z[..., j]) for i, j in zip(*upper, strict=True)]
    exact = exact_coassignment()[upper]
    error = np.sqrt(exact * (1 - exact) / np.asarray(effective))
    assert np.ptp(exact) > 0.2 and error.max() < 0.05
    assert (np.abs(drawn - exact) < 4 * error).all()
    w, p, z = (tree["posterior"][n].values[1, 7] for n in ("w", "p", "assignment"))
    p_of = p[z[:, None], z]
    cells = np.where(np.isnan(TABLE), 0.0, np.log(np.where(TABLE == 1, p_of, 1 - p_of))).sum()
    joint = dirichlet.logpdf(w, [2.0, 2.0]) + np.log(w[z]).sum() + cells
    np.testing.assert_allclose(tree["sample_stats"]["lp"][1, 7], joint, rtol=1e-6)


@pytest.mark.parametrize("method", ["svi", "map", "hard"])
def test_sums_over_all_nodes_are_refused(village, method):
    with pytest.raises(UnsupportedError, match=r"both its nodes.*use method='(gibbs|nuts|em)'"):
        fit("stochastic_block_model", village[0], method=method, seed=0, clusters=2)
