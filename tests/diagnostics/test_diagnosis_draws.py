"""The diagnosis of chains: every illness is named, and the healthy are left alone."""

import arviz_stats
import numpy as np
import pytest
import xarray as xr
from hand_made import as_fit, rows

from ppl_models import fit as fit_program
from ppl_models.diagnostics.diagnose import diagnose
from ppl_models.diagnostics.label_invariants import convergence_table, invariants
from ppl_models.errors import InputError
from ppl_models.posterior.labels.allocations import Allocations
from ppl_models.posterior.result.validation import validate

CHAINS, DRAWS, ROWS = 4, 500, 100
SAMPLE = ("chain", "draw")
LOC = np.array([0.0, 4.0, 8.0])


def fit(seed=0, *, chains=CHAINS, draws=DRAWS, concentration=(50, 30, 20)):
    """Independent draws of a mixture of three, as a perfect sampler would leave them."""
    generator = np.random.default_rng(seed)
    shape, clusters = (chains, draws), len(concentration)
    lp = generator.gamma(4, size=shape)
    component = (*SAMPLE, "cluster")
    loc = LOC[:clusters] + 0.1 * generator.normal(size=(*shape, clusters))
    posterior = xr.Dataset(
        {
            "weights": (component, generator.dirichlet(concentration, size=shape)),
            "loc": (component, loc),
            "scale": (component, np.exp(0.1 * generator.normal(size=(*shape, clusters)))),
        },
        coords={"cluster": range(clusters)},
    )
    statistics = xr.Dataset(
        {
            "lp": (SAMPLE, -lp),
            "diverging": (SAMPLE, np.zeros(shape, bool)),
            "energy": (SAMPLE, lp + generator.gamma(4, size=shape)),
            "tree_depth": (SAMPLE, generator.integers(2, 5, size=shape)),
            "reached_max_treedepth": (SAMPLE, np.zeros(shape, bool)),
        }
    )
    likelihood = -2 + 0.1 * generator.normal(size=(*shape, ROWS))
    groups = {
        "posterior": posterior,
        "sample_stats": statistics,
        "log_likelihood": xr.Dataset({"x": ((*SAMPLE, "row"), likelihood)}),
        "observed_data": rows(ROWS),
    }
    return as_fit(groups, clusters=clusters, configuration={"max_tree_depth": 10})


def responsibilities(tree, rows, draws):
    """Unit-scale Gaussian responsibilities of rows spread over the line."""
    posterior = tree["posterior"].to_dataset()
    clusters = posterior.sizes["cluster"]
    loc = posterior["loc"].values.reshape(-1, clusters)[draws]
    weights = posterior["weights"].values.reshape(-1, clusters)[draws]
    x = np.linspace(-2, 10, ROWS)[rows]
    density = weights[:, None] * np.exp(-0.5 * (x[:, None] - loc[:, None]) ** 2)
    return density / density.sum(axis=-1, keepdims=True)


def severities(diagnosis, word):
    """The severities of findings that say a word."""
    return [finding.severity for finding in diagnosis.findings if word in finding.what]


def change(tree, group, variable, function):
    """The tree with one variable's values changed."""
    data = tree[group].to_dataset().copy(deep=True)
    data[variable].values[...] = function(data[variable].values.copy())
    tree[group].dataset = data
    return tree


def shifted(chains, amount):
    """A change of some chains by an amount."""

    def function(values):
        values[chains] += amount
        return values

    return function


def test_a_site_whose_draws_stand_still_is_named():
    """R-hat of draws that are all equal is no number, and says nothing."""
    tree = fit(chains=2, draws=200)
    shape = (2, 200)
    prior = {n: (SAMPLE, np.zeros(shape)) for n in ("weights", "loc", "scale")}
    tree["log_prior"] = xr.DataTree(xr.Dataset(prior))
    assert "still" not in str(diagnose(tree))
    tree["posterior"]["loc"][:] = LOC
    diagnosis = diagnose(tree)
    assert "site 'loc' stands still" in str(diagnosis).splitlines()[0].lower()
    assert str(diagnosis).startswith("Do not trust this fit")


def test_good_fits_are_left_alone():
    alarms = 0
    for seed in range(50):
        diagnosis = diagnose(fit(seed), responsibilities=responsibilities)
        alarms += any(finding.severity != "ok" for finding in diagnosis.findings)
        assert diagnosis.trustworthy
    assert alarms <= 2


def test_a_good_fit_reads_well():
    diagnosis = diagnose(fit(), responsibilities=responsibilities)
    assert diagnosis.verdict == "This fit can be trusted."
    text = str(diagnosis)
    assert text.startswith(diagnosis.verdict)
    assert "chains agree" in text and "r_hat" in text and "worst of" in text
    assert max(map(len, text.splitlines())) < 200


def test_the_table_is_by_arviz():
    tree = fit(draws=60)
    table = diagnose(tree).table
    loc = tree["posterior"]["loc"].sel(cluster=1)
    row = table.loc["loc[1]"]
    assert row["kind"] == "component"
    assert row["r_hat"] == pytest.approx(float(arviz_stats.rhat(loc)))
    assert row["ess_bulk"] == pytest.approx(float(arviz_stats.ess(loc, method="bulk")))
    assert row["ess_tail"] == pytest.approx(
        float(arviz_stats.ess(loc, method="tail", prob=(0.05, 0.95)))
    )


@pytest.mark.parametrize(
    ("chains", "named"), [([2], "Chain 2 sits"), ([1, 3], ("Chains 0, 2 sit", "Chains 1, 3 sit"))]
)
def test_chains_in_another_mode_are_named(chains, named):
    diagnosis = diagnose(change(fit(), "sample_stats", "lp", shifted(chains, -30.0)))
    assert not diagnosis.trustworthy
    assert diagnosis.findings[0].severity == "problem"
    assert diagnosis.findings[0].what.startswith(named)
    assert "mean of lp" in diagnosis.findings[0].what
    assert diagnosis.verdict.startswith("Do not trust this fit: chain")


def test_a_mode_of_equal_density_is_seen_by_other_invariants():
    tree = change(fit(), "log_likelihood", "x", shifted([0], np.linspace(-1, 1, ROWS)))
    what = diagnose(tree).findings[0].what
    assert what.startswith("Chain 0 sits") and "log_density" in what


def test_entropy_and_coassignment_see_what_the_weights_do_not():
    tree = change(fit(), "posterior", "loc", shifted([3], np.array([1.5, 0.0, 0.0])))
    without = diagnose(tree)
    assert severities(without, "agree: R-hat") == ["ok"]
    diagnosis = diagnose(tree, responsibilities=responsibilities)
    assert diagnosis.findings[0].severity == "problem"
    assert diagnosis.findings[0].what.startswith("Chain 3 sits")


def test_a_chain_that_stands_still():
    def still(values):
        values[:] = np.arange(4.0)[:, None]
        return values

    diagnosis = diagnose(change(fit(), "sample_stats", "lp", still))
    assert not diagnosis.trustworthy
    assert diagnosis.table.loc["lp", "r_hat"] == np.inf


def random_walk(scale):
    """Chains that wander."""

    def function(values):
        noise = np.random.default_rng(0).normal(size=values.shape)
        for draw in range(1, values.shape[1]):
            noise[:, draw] += scale * noise[:, draw - 1]
        return noise

    return function


def test_slow_chains_have_not_mixed():
    diagnosis = diagnose(change(fit(), "sample_stats", "lp", random_walk(0.995)))
    assert not diagnosis.trustworthy
    assert "have not mixed" in diagnosis.verdict or "another mode" in diagnosis.verdict


def test_autocorrelated_chains_want_more_draws():
    diagnosis = diagnose(change(fit(), "sample_stats", "lp", random_walk(0.8)))
    assert severities(diagnosis, "too few draws") == ["warning"]
    assert diagnosis.trustworthy
    assert diagnosis.verdict.startswith("This fit can be used with care")


@pytest.mark.parametrize(
    ("draws", "severity"), [(2, "problem"), (5, "problem"), (20, "problem"), (60, "warning")]
)
def test_too_few_draws(draws, severity):
    for seed in range(5):
        diagnosis = diagnose(fit(seed, draws=draws))
        assert severities(diagnosis, "too few draws") == [severity]
        assert severities(diagnosis, "another mode") == []


def test_one_chain_is_not_enough():
    diagnosis = diagnose(fit(chains=1))
    assert severities(diagnosis, "only one chain") == ["warning"]
    assert diagnosis.table["r_hat"].isna().all()
    assert severities(diagnosis, "enough draws") == ["ok"]


def test_switched_labels_are_not_a_bad_fit():
    def swap(values):
        values[2] = values[2][:, ::-1]
        return values

    tree = fit()
    for name in ("weights", "loc", "scale"):
        change(tree, "posterior", name, swap)
    diagnosis = diagnose(tree, responsibilities=responsibilities)
    assert diagnosis.trustworthy
    assert severities(diagnosis, "Labels have switched") == ["warning"]
    assert "relabel(tree)" in str(diagnosis)
    assert severities(diagnosis, "chains agree: R-hat") == ["ok"]
    tree["labels"] = xr.DataTree(xr.Dataset(attrs={"share_unclear": 0.02}))
    again = diagnose(tree)
    assert severities(again, "Relabelling has not resolved") == ["warning"]
    assert "label-free" in str(again)


@pytest.mark.parametrize(("proportion", "severity"), [(0.05, "ok"), (0.4, "warning")])
def test_weak_relabelling(proportion, severity):
    tree = fit()
    tree["labels"] = xr.DataTree(xr.Dataset(attrs={"share_unclear": proportion}))
    assert severities(diagnose(tree), "clear-cut") == [severity]
    tree["labels"].attrs["method"] = "order"
    assert ("relabel(tree, 'ecr')" in str(diagnose(tree))) == (severity == "warning")


def test_an_empty_component():
    diagnosis = diagnose(fit(concentration=(500, 300, 0.05)))
    assert severities(diagnosis, "1 of 3 component is empty") == ["warning"]
    assert "2 clusters" in str(diagnosis)
    assert severities(diagnose(fit()), "in use") == ["ok"]


def test_an_empty_component_by_assignments():
    tree = fit()
    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    drawn = np.random.default_rng(0).integers(2, size=(CHAINS, DRAWS, ROWS))
    data = groups["posterior"].drop_vars("weights")
    groups["posterior"] = data.assign(assignment=((*SAMPLE, "row"), drawn))
    tree = as_fit(groups, clusters=3)
    assert severities(diagnose(tree), "1 of 3 component is empty") == ["warning"]


def test_a_funnel():
    tree = change(
        fit(), "sample_stats", "diverging", lambda values: values | (values.cumsum(1) < 0)
    )
    energies = random_walk(0.99)
    change(tree, "sample_stats", "energy", energies)

    def some(values):
        values[1, ::50] = True
        return values

    diagnosis = diagnose(change(tree, "sample_stats", "diverging", some))
    assert severities(diagnosis, "funnel") == ["problem"]
    assert severities(diagnosis, "E-BFMI") == ["warning"]
    assert "reparameterise" in str(diagnosis)


@pytest.mark.parametrize(("count", "severity"), [(1, "warning"), (100, "problem")])
def test_divergences(count, severity):
    def some(values):
        values[0, :count] = True
        return values

    diagnosis = diagnose(change(fit(), "sample_stats", "diverging", some))
    assert severities(diagnosis, "diverged") == [severity]
    assert "funnel" not in str(diagnosis)


@pytest.mark.parametrize(("count", "severity"), [(10, []), (100, ["warning"])])
def test_trajectories_of_greatest_depth(count, severity):
    def full(values):
        values[3, :count] = True
        return values

    tree = change(fit(), "sample_stats", "reached_max_treedepth", full)
    assert severities(diagnose(tree), "maximum tree depth, 10") == severity


# (what is said of such a tree: the test above)
@pytest.mark.long
def test_a_sampler_whose_every_trajectory_is_cut_short():
    """By NUTS itself: a hand-made tree could have what no fit writes."""
    x = np.random.default_rng(0).normal(size=20)
    options = {"clusters": 1, "max_tree_depth": 1, "chains": 2, "warmup": 50, "draws": 50}
    tree = fit_program("gaussian_mixture", x, method="nuts", seed=0, predictive=0, **options)
    validate(tree)
    assert (tree["sample_stats"]["tree_depth"] <= 1).all()
    diagnosis = diagnose(tree)
    assert severities(diagnosis, "maximum tree depth, 1:") == ["warning"]
    assert diagnosis.verdict != "This fit can be trusted."


def test_draws_that_are_not_finite():
    def broken(values):
        values[0, 3, 1] = np.nan
        return values

    diagnosis = diagnose(change(fit(), "posterior", "loc", broken))
    assert severities(diagnosis, "1 draws of loc are not finite") == ["problem"]
    assert not diagnosis.trustworthy


def test_a_model_without_components():
    draws = np.random.default_rng(0).normal(size=(4, 500, 3))
    posterior = xr.Dataset({"initial": ((*SAMPLE, "token"), draws)}, {"token": list("abc")})
    groups = {"posterior": posterior, "observed_data": rows(5)}
    tree = as_fit(groups, family="package:Chain", parameters=("initial",))
    assert diagnose(tree).verdict == "This fit can be trusted."
    tree["posterior"]["initial"].values[1, :, 2] += 3
    diagnosis = diagnose(tree)
    assert diagnosis.findings[0].what.startswith("Chain 1 sits in another mode")
    assert "initial[c]" in diagnosis.findings[0].what


def test_invariants_do_not_know_labels():
    tree = fit()
    switched = tree.copy(deep=True)
    data = switched["posterior"].to_dataset()
    order = np.argsort(np.random.default_rng(0).random((CHAINS, DRAWS, 3)), axis=-1)
    for variable in data.data_vars.values():
        variable.values[:] = np.take_along_axis(variable.values, order, axis=-1)
    switched["posterior"].dataset = data
    quantities = invariants(Allocations(switched, responsibilities))
    expected = invariants(Allocations(tree, responsibilities))
    xr.testing.assert_allclose(quantities, expected, rtol=1e-5)
    assert set(expected) == {
        "lp",
        "total_log_likelihood",
        "log_density",
        "sorted_weights",
        "responsibility_entropy",
        "coassignment",
    }
    table = convergence_table(tree, expected)
    assert (table.loc[table["kind"] == "invariant", "r_hat"] < 1.01).all()


def test_invariants_by_their_definitions():
    tree = fit()
    quantities = invariants(Allocations(tree, responsibilities))
    every = responsibilities(tree, np.arange(ROWS), np.arange(CHAINS * DRAWS))
    entropy = -(every * np.log(every)).sum(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(
        quantities["responsibility_entropy"].values.ravel(), entropy, rtol=1e-5, atol=1e-7
    )
    one, other = map(int, str(quantities["pair"].values[0]).split("~"))
    together = (every[:, one] * every[:, other]).sum(axis=-1)
    np.testing.assert_allclose(
        quantities["coassignment"][..., 0].values.ravel(), together, rtol=1e-4
    )
    likelihood = tree["log_likelihood"]["x"]
    np.testing.assert_allclose(quantities["total_log_likelihood"], likelihood.sum("row"))
    np.testing.assert_array_equal(quantities["log_density"][..., -1], likelihood[..., -1])


def test_a_tree_without_a_posterior():
    with pytest.raises(InputError, match="nothing to diagnose"):
        diagnose(xr.DataTree())
