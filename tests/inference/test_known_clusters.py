"""Rows whose cluster is known: what a program with ``obs_mask`` says, whatever is asked."""

from __future__ import annotations

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from jax.scipy.special import logsumexp
from numpyro.infer.util import log_density as numpyro_density
from numpyro.infer.util import potential_energy

from ppl_models import choose_clusters, fit, generate, impute, load, log_density, loo, predict, save
from ppl_models.cli import main
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.kmeans.constrained import constrained_kmeans
from ppl_models.inference.mcmc.marginal_density import marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.inference.row_weights import copies_drawn
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.models.poisson_mixture import poisson_mixture
from ppl_models.program.log_joint import log_joint
from ppl_models.program.model import Model
from ppl_models.program.rows.known_clusters import Labels, take_labels, with_labels

COUNTS = np.array([0, 1, 2, 3, 14, 16, 17, 13, 15, 2])
KINDS = np.array(["few", None, None, "few", "many", None, None, None, "many", "many"], object)
CODES = np.array([0, -1, -1, 0, 1, -1, -1, -1, 1, 1])
OPTIONS = {"clusters": 2, "seed": 0, "predictive": 0}
PARALLEL = {"enumerate": "parallel"}
POINT = {"rate": np.array([2.0, 11.0]), "weights": np.array([0.3, 0.7])}


def student(x=None, *, clusters, kind=None, known=None, rows=None):
    """No statistics sum these rows up; the kinds may be known by the program itself."""
    rows = rows if x is None else len(x)
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(5.0, 5.0))
    with numpyro.plate("row", rows):
        told = {} if kind is None else {"obs": kind, "obs_mask": known}
        z = numpyro.sample("z", dist.Categorical(weights), infer=PARALLEL, **told)
        numpyro.sample("x", dist.StudentT(4.0, loc[z], 1.0), obs=x)


def _problem(function, x, codes, **arguments):
    model = Model(function, {"x": x}, arguments, {})
    structure = model.structure()
    model, _ = with_labels(model, structure, Labels(np.asarray(codes), (0, 1)))
    return Problem(model, structure)


def _by_brute_force(values, log_prior):
    """The sum over all assignments that the labels allow."""
    terms = []
    for z in itertools.product(range(2), repeat=len(COUNTS)):
        z = np.array(z)
        if (z[CODES >= 0] == CODES[CODES >= 0]).all():
            rows = jnp.log(values["weights"])[z] + dist.Poisson(values["rate"][z]).log_prob(COUNTS)
            terms.append(rows.sum())
    return float(logsumexp(jnp.array(terms)) + log_prior)


@pytest.mark.usefixtures("double_precision")
def test_the_log_joint_density_sums_over_the_assignments_that_are_left():
    problem = _problem(poisson_mixture, COUNTS, CODES, clusters=2)
    model, structure = problem.model, problem.structure
    brute = _by_brute_force(POINT, model.log_prior(POINT, structure))
    np.testing.assert_allclose(float(log_joint(model, structure, POINT)), brute, rtol=1e-12)
    # NUTS and EM sum rows up in their own way
    free = structure.space.unconstrain(POINT)
    _, volume = structure.space.constrain_with_volume(free)
    program = marginal_program(problem)
    energy = jax.jit(lambda f: potential_energy(program, (), {}, f))(free)
    np.testing.assert_allclose(-float(energy), brute + float(volume), rtol=1e-11)


@pytest.mark.usefixtures("double_precision")
def test_a_program_with_obs_mask_says_the_same():
    x, known = COUNTS.astype(float), CODES >= 0
    values = {"loc": jnp.array([1.0, 12.0]), "weights": jnp.array([0.4, 0.6])}
    ours = _problem(student, x, CODES, clusters=2)
    arguments = {"clusters": 2, "kind": np.maximum(CODES, 0), "known": known}
    by_hand = Model(student, {"x": x}, arguments, {})
    theirs = Problem(by_hand, by_hand.structure())
    here, there = (float(log_joint(p.model, p.structure, values)) for p in (ours, theirs))
    np.testing.assert_allclose(here, there, rtol=1e-12)
    # and bare NumPyro, the sum written out
    z = [jnp.where(known, CODES, k) for k in range(2)]

    def of_row(i, k):
        at = np.array([i])
        return float(
            numpyro_density(student, (x[at],), {"clusters": 2}, {**values, "z": z[k][at]})[0]
        )

    each = [[of_row(i, k) for i in range(len(x))] for k in range(2)]
    prior = float(ours.model.log_prior(values, ours.structure))
    rows = np.where(known, each[0], np.logaddexp(*each)) - prior
    np.testing.assert_allclose(here, rows.sum() + prior, rtol=1e-10)
    free = ours.structure.space.unconstrain(values)
    energies = [
        float(jax.jit(lambda f, p=p: potential_energy(p, (), {}, f))(free))
        for p in (marginal_program(ours), marginal_program(theirs))
    ]
    np.testing.assert_allclose(*energies, rtol=1e-11)
    problem = copies_drawn("gibbs", _weighed(ours, np.arange(10)), keep_assignments=False)
    assert problem.model.data["known cluster"].tolist() == np.repeat(CODES, np.arange(10)).tolist()


def _weighed(problem, times):
    return Problem(replace(problem.model, weights=times.astype(float)), problem.structure)


@pytest.fixture(scope="module")
def tree():
    table = pd.DataFrame({"x": COUNTS, "kind": KINDS})
    return fit("poisson_mixture", table, labels="kind", method="em", starts=4, **OPTIONS)


@pytest.mark.usefixtures("double_precision")
def test_em_is_at_the_mode_and_clusters_are_those_of_the_labels(tree):
    problem = _problem(poisson_mixture, COUNTS, CODES, clusters=2)
    values = {n: jnp.asarray(tree["posterior"][n].values[0, 0]) for n in POINT}
    assert values["rate"][0] < values["rate"][1]
    space = problem.structure.space

    def height(vector):
        at = space.constrain(space.unravel(vector))
        return log_joint(problem.model, problem.structure, at)

    look = jax.jit(jax.value_and_grad(height))
    here, slope = look(space.ravel(space.unconstrain(values)))
    assert float(jnp.abs(slope[:2]).max()) < 1e-3  # of the rates
    np.testing.assert_allclose(tree["sample_stats"]["lp"].values, float(here), rtol=1e-9)
    assert "5 of 10 rows" in tree.attrs["notes"]
    assert "few" in tree.attrs["notes"]


def test_labelled_rows_are_predicted_as_labelled_and_new_rows_by_their_numbers(tree, tmp_path):
    save(tree, tmp_path / "fit.nc")
    again = load(tmp_path / "fit.nc")
    for fitted in (tree, again):
        assert predict(fitted)["cluster"].values.tolist() == ["few", "many"]
        predicted = predict(fitted).values
        assert (predicted[CODES >= 0] == np.eye(2)[CODES[CODES >= 0]]).all()
        assert 0 < predicted[CODES < 0].min() < 1e-3
        # the last row is labelled "many" and has 2; a new row with 2 has few
        assert predicted[-1, 1] == 1
        assert predict(fitted, [2]).values[0, 0] > 0.9
        # the density of a labelled row is that of the row and its label
        rows = log_density(fitted).values
        np.testing.assert_allclose(rows, tree["log_likelihood"]["x"].values[0, 0], rtol=1e-6)
        assert rows[-1] < log_density(fitted, [2]).values[0] - 3
    gone = [*COUNTS.astype(float), np.nan]
    known = fit("poisson_mixture", gone, labels=[*KINDS, "many"], method="em", starts=2, **OPTIONS)
    filled = impute(known, seed=0, draws=50)
    assert float(filled["x"][:, -1].mean()) > 6
    assert generate(tree, 5, seed=0)["x"].shape == (5,)


def test_leave_one_out_takes_a_row_out_with_its_label():
    drawn = fit("poisson_mixture", COUNTS, labels=KINDS, method="gibbs", chains=2, warmup=50,
                draws=200, keep_assignments=True, **OPTIONS)  # fmt: skip
    assert (drawn["posterior"]["assignment"].values[..., CODES >= 0] == CODES[CODES >= 0]).all()
    assert (
        float((drawn["posterior"]["rate"][..., 0] < drawn["posterior"]["rate"][..., 1]).mean())
        > 0.99
    )
    assert "labels" not in drawn.children  # nothing to relabel
    pointwise = loo(drawn, mend=False).elpd_i.values
    exact = np.zeros(10)
    values = {n: drawn["posterior"][n].values.reshape(-1, 2) for n in POINT}
    joint = np.log(values["weights"])[:, :, None] + np.asarray(
        dist.Poisson(values["rate"][:, :, None]).log_prob(COUNTS)
    )
    for row, code in enumerate(CODES):
        by_draw = joint[:, code, row] if code >= 0 else np.logaddexp(*joint[:, :, row].T)
        exact[row] = -logsumexp(-by_draw) + np.log(len(by_draw))
    np.testing.assert_allclose(pointwise, exact, atol=0.25)  # (PSIS smooths the tail)


@pytest.fixture(scope="module")
def sixteen():
    """The clusters are those of the labels, and one row is elsewhere."""
    codes = np.full(16, -1)
    codes[[0, 15, 7]] = 1, 0, 0
    arguments = {**OPTIONS, "labels": codes, "covariance": "spherical"}
    return np.r_[np.linspace(-1, 1, 8), np.linspace(4, 6, 8)], arguments


def test_kmeans_holds_labelled_rows(sixteen):
    x, values = sixteen
    fitted = fit("gaussian_mixture", x, method="kmeans", **values)
    assert fitted["posterior"]["assignment"].values[0, 0].tolist() == [1] * 7 + [0] * 9
    for method in ("telescoping", "dp_means"):
        with pytest.raises(UnsupportedError, match=r"labels= says.*use method="):
            fit("gaussian_mixture", x, method=method, **values)


# (their starts are those of EM, and MAP's density is that of the first test)
@pytest.mark.long
def test_hard_em_and_map_hold_labelled_rows(sixteen):
    x, values = sixteen
    fitted = fit("gaussian_mixture", x, method="hard", starts=2, **values)
    assert fitted["posterior"]["assignment"].values[0, 0].tolist() == [1] * 7 + [0] * 9
    fitted = fit("gaussian_mixture", x, method="map", steps=200, starts=1, batch_size=6, **values)
    loc = fitted["posterior"]["loc"].values.ravel()
    assert loc[0] > loc[1] + 3
    assert predict(fitted).values[7].tolist() == [1, 0]


# (rows with labels by statistics and by bare NumPyro's obs_mask are in the quick tests)
@pytest.mark.long
def test_rows_without_statistics_hold_their_labels():
    x = np.r_[np.linspace(-1, 1, 8), np.linspace(4, 6, 8)]
    codes = np.full(16, -1)
    codes[[0, 15, 7]] = 1, 0, 0
    arguments = {**OPTIONS, "labels": codes}
    fitted = fit(student, x, method="em", starts=2, **arguments)
    assert (
        float(fitted["posterior"]["loc"][0, 0, 0]) > float(fitted["posterior"]["loc"][0, 0, 1]) + 3
    )
    assert predict(fitted).values[7].tolist() == [1, 0]


@pytest.mark.long  # as in a program that says so itself, whose draws are looked at elsewhere
def test_draws_without_statistics_hold_their_labels():
    x = np.r_[np.linspace(-1, 1, 8), np.linspace(4, 6, 8)]
    codes = np.full(16, -1)
    codes[[0, 15, 7]] = 1, 0, 0
    fitted = fit(student, x, method="gibbs", chains=1, warmup=50, draws=50, starts=2,
                keep_assignments=True, labels=codes, **OPTIONS)  # fmt: skip
    assert (fitted["posterior"]["assignment"].values[0][:, [0, 15, 7]] == [1, 0, 0]).all()


def test_unlabelled_clusters_may_change_places_and_labelled_ones_may_not():
    problem = _problem(gaussian_mixture, np.arange(10.0)[:, None], np.full(10, -1), clusters=4)
    assert problem.labels.full
    told = _problem(gaussian_mixture, np.arange(10.0)[:, None], [1] + [-1] * 9, clusters=4)
    assert told.labels.classes == ((0, 2, 3),)
    assert not told.exchangeable
    assert told.label_swaps is None


# (densities of rows and labels together: the first test; criteria: evaluation/test_comparison.py)
@pytest.mark.long
def test_criteria_are_of_rows_and_labels(tree):
    flat = fit(
        "poisson_mixture", COUNTS, labels=KINDS, method="em", priors="flat", starts=4, **OPTIONS
    )
    table = choose_clusters("poisson_mixture", COUNTS, [2], labels=KINDS, seed=0, starts=4)
    two = table[table["clusters"] == 2].iloc[0]
    total = float(flat["log_likelihood"]["x"].sum())
    np.testing.assert_allclose(two["log_likelihood"], total, rtol=1e-6)
    np.testing.assert_allclose(two["bic"], -2 * total + 3 * np.log(10), rtol=1e-6)
    with pytest.raises(InputError, match="2 different labels"):
        choose_clusters("poisson_mixture", COUNTS, [1, 2], labels=KINDS, seed=0)
    with pytest.raises(InputError, match="from 3 up"):
        choose_clusters("poisson_mixture", COUNTS, [2, 3], labels=[2] + [-1] * 9, seed=0)


@pytest.mark.parametrize(
    ("labels", "codes", "names"),
    [
        (["b", None, "a"], [1, -1, 0], ("a", "b")),
        (np.array([2.0, np.nan, 0.0]), [1, -1, 0], (0, 2)),
        (np.array([1, -1, 0]), [1, -1, 0], (0, 1)),
        (np.ma.array([1, 5, 0], mask=[False, True, False]), [1, -1, 0], (0, 1)),
        (pd.Series(["b", pd.NA, "a"], dtype="string"), [1, -1, 0], ("a", "b")),
        (pd.Categorical(["b", None, "a"], categories=["z", "b", "a"]), [0, -1, 1], ("b", "a")),
        (["b", "", "a"], [1, -1, 0], ("a", "b")),
        ([True, None, False], [1, -1, 0], (False, True)),
        ([3, None, "a"], [0, -1, 1], (3, "a")),
    ],
)
def test_labels_are_of_any_type(labels, codes, names):
    actual = take_labels(None, labels)[1]
    assert actual.codes.tolist() == codes
    assert actual.names == names


def test_a_polars_column_of_labels():
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"x": [1, 2, 9], "kind": ["b", None, "a"]})
    rest, actual = take_labels(table, "kind")
    assert rest.columns == ["x"]
    assert actual.codes.tolist() == [1, -1, 0]


def test_labels_that_cannot_be_served_are_refused():
    arguments = {"method": "em", "seed": 0, "predictive": 0}
    for wrong, said in (
        (["a"], "1 labels and 10 rows"),
        ([None] * 10, "all unknown"),
        (list("abcaaaaaaa"), "3 different labels"),
        ("kind", "no table with columns"),
        (np.zeros((10, 2)), "one label for each row"),
    ):
        with pytest.raises(InputError, match=said):
            fit("poisson_mixture", COUNTS, labels=wrong, clusters=2, **arguments)
    with pytest.raises(UnsupportedError, match="no discrete site"):
        fit("hidden_markov", [COUNTS.astype(float)], labels=[0], states=2, **arguments)


def test_constrained_means_are_those_of_their_rows():
    x = np.random.default_rng(0).normal(size=(30, 2))
    known = np.where(np.arange(30) < 6, np.arange(30) % 3, -1)
    result = constrained_kmeans(x, x[:3], known, 50, weights=np.arange(30.0))
    for k, centre in enumerate(result.centres[-1]):
        mine = np.arange(30.0) * (result.labels == k)
        np.testing.assert_allclose(centre, mine @ x / mine.sum(), rtol=1e-9)
    assert (result.labels[:6] == known[:6]).all()
    assert (np.diff(result.objective) <= 1e-9).all()


def test_the_command_line_reads_a_column_of_labels(tmp_path):
    pd.DataFrame({"x": COUNTS, "kind": KINDS}).to_csv(tmp_path / "table.csv", index=False)
    command = ["fit", "poisson_mixture", str(tmp_path / "table.csv"), "--clusters", "2", "--quiet"]
    command += ["--method", "em", "--labels", "kind", "--out", str(tmp_path / "fit.nc")]
    command += ["--set", "starts=4"]
    assert main(command) == 0
    actual = load(tmp_path / "fit.nc")
    assert actual["constant_data"]["row_labels"].values.tolist() == CODES.tolist()
    assert (predict(actual).values.argmax(1)[CODES >= 0] == CODES[CODES >= 0]).all()
