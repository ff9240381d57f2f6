"""An emission is one file: this one defines two, of which no file of the package knows anything.

Waiting times are exponential; wave heights follow Rayleigh's distribution, whose base measure is
not one. The names of parameters, sites, plates and programs are nobody else's either.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro.distributions import constraints
from scipy import stats
from scipy.special import gammaln

import ppl_models
from ppl_models import fit, generate, impute, log_density, predict, write_report
from ppl_models.catalogue import method_names
from ppl_models.distributions.conditionals import GammaConditional
from ppl_models.distributions.exponential.factorised import FactorisedFamily
from ppl_models.errors import UnsupportedError
from ppl_models.inference.capabilities import refusal
from ppl_models.inference.problem import Problem
from ppl_models.plots import choose_plots
from ppl_models.program.model import Model

POSITIVE = constraints.independent(constraints.positive, 1)


class Waits(FactorisedFamily):
    """Waiting times; what a family must state, and how it is drawn."""

    arg_constraints = {"haste": POSITIVE}
    support = POSITIVE
    component_picture, profile_parameter, profile_label = "profile", "haste", "haste"

    def sufficient_statistics(self, x):
        return (x,)

    def natural_parameters(self):
        return (-self.haste,)

    def log_normaliser(self):
        return -jnp.log(self.haste)

    def sample(self, key, sample_shape=()):
        return random.exponential(key, self.shape(sample_shape)) / self.haste


class ConjugateWaits(Waits):
    """Waiting times with a closed form for their rates."""

    conjugate_priors = {"haste": (dist.Gamma,)}
    plug_in_parameters = ("haste",)

    def conjugate_update(self, parameter, prior, statistics, centre, *, shared):
        count, total = statistics["count"], statistics["statistic_0"]
        a, b = (prior.concentration, prior.rate) if prior is not None else (1.0, 0.0)
        return GammaConditional(a + count, b + total)

    def plug_in(self, parameter, q):
        return q.mean()  # the natural parameter is minus the rate itself

    def jensen_gap(self, posterior):
        q = posterior["haste"]
        return (jnp.log(q.geometric_mean()) - jnp.log(q.mean())).sum(-1)


class UnstatedWaits(ConjugateWaits):
    """As above, but variational Bayes is not told of them."""

    plug_in_parameters = ()


class Waves(FactorisedFamily):
    """Wave heights."""

    arg_constraints = {"swell": POSITIVE}
    support = POSITIVE

    def sufficient_statistics(self, x):
        return (x**2,)

    def natural_parameters(self):
        return (-0.5 * self.swell**-2,)

    def log_normaliser(self):
        return 2 * jnp.log(self.swell)

    def log_base_measure(self, x):
        return jnp.log(x)

    def sample(self, key, sample_shape=()):
        noise = random.exponential(key, self.shape(sample_shape))
        return self.swell * jnp.sqrt(2 * noise)


def program_of(family, types=2):
    """Visits of two types, each with its own haste."""

    def counter_visits(minutes=None, *, visits=None):
        count = visits if minutes is None else len(minutes)
        mix = numpyro.sample(
            "mix", dist.Dirichlet(jnp.full(types, 2.0)), infer={"event_dims": ["type"]}
        )
        with numpyro.plate("type", types):
            prior = dist.Gamma(2.0, 2.0).expand((3,)).to_event(1)
            pace = numpyro.sample("pace", prior, infer={"event_dims": ["stage"]})
        with numpyro.plate("visit", count):
            sort = numpyro.sample("sort", dist.Categorical(mix), infer={"enumerate": "parallel"})
            infer = {"event_dims": ["stage"]}
            numpyro.sample("minutes", family(pace[sort]), obs=minutes, infer=infer)

    return counter_visits


counter_visits = program_of(Waits)
conjugate_visits = program_of(ConjugateWaits)
TRUTH = np.array([[4.0, 5.0, 3.0], [0.25, 0.2, 0.4]])
_generator = np.random.default_rng(5)
LABELS = np.arange(60) % 2
MINUTES = _generator.exponential(1 / TRUTH[LABELS])
GAPPED = MINUTES.copy()
GAPPED[::7, 1] = np.nan

OPTIONS = {
    "em": {"starts": 2},
    "hard": {"starts": 2},
    "map": {"starts": 2, "steps": 300},
    "svi": {"steps": 300},
    "gibbs": {"chains": 2, "warmup": 100, "draws": 100, "starts": 2},
    "nuts": {"chains": 2, "warmup": 100, "draws": 100, "starts": 2},
}


@pytest.fixture(scope="module")
def fitted():
    """``fitted(method)``: a fit of rows with missing cells, made once."""
    made = {}

    def of(method):
        if method not in made:
            options = OPTIONS[method]
            made[method] = fit(
                counter_visits, GAPPED, method=method, seed=0, predictive=5, **options
            )
        return made[method]

    return of


@pytest.mark.parametrize("rows", [MINUTES, GAPPED], ids=["complete", "gaps"])
@pytest.mark.parametrize("name", ["waits", "waves"])
def test_the_derived_density_is_scipys(rows, name, double_precision):
    parameters = np.array([[0.5, 1.0, 2.0], [1.5, 0.7, 0.2]])
    if name == "waits":
        family, law = Waits(parameters[:, None]), stats.expon(scale=1 / parameters[:, None])
    else:
        family, law = Waves(parameters[:, None]), stats.rayleigh(scale=parameters[:, None])
    expected = np.nansum(law.logpdf(rows), -1)
    np.testing.assert_allclose(family.log_prob(rows), expected, rtol=1e-10)
    np.testing.assert_allclose(family.pointwise(jnp.asarray(rows)), expected, rtol=1e-10)
    weights = np.random.default_rng(0).dirichlet(np.ones(2), len(rows)).T
    flat, gaps = family.components(), bool(np.isnan(rows).any())
    statistics = flat.expected_statistics(
        jnp.asarray(weights), jnp.asarray(rows), missing=gaps, centre=jnp.zeros(())
    )
    summed = flat.expected_log_density(statistics, jnp.zeros(()))
    np.testing.assert_allclose(summed, (weights * expected).sum(-1), rtol=1e-10)


#: those whose fits are looked at below; what every method does is in ``tests/inference``
QUICK = ("em", "gibbs")


@pytest.mark.parametrize(
    "method", [m if m in QUICK else pytest.param(m, marks=pytest.mark.long) for m in OPTIONS]
)
def test_every_method_finds_the_types(fitted, method):
    pace = fitted(method)["posterior"]["pace"].mean(["chain", "draw"]).values
    pace = pace[np.argsort(-pace.mean(1))]
    # some 30 rows a type: a rate is known to within 1 / sqrt(30), about a fifth
    assert (np.abs(np.log(pace / TRUTH)) < 0.9).all()


def test_optimised_and_closed_form_maxima_agree(fitted):
    closed = fit(conjugate_visits, GAPPED, method="em", seed=0, predictive=0, starts=2)
    order = [np.argsort(t["posterior"]["pace"].values[0, 0, :, 0]) for t in (closed, fitted("em"))]
    both = [
        t["posterior"]["pace"].values[0, 0][o]
        for t, o in zip((closed, fitted("em")), order, strict=True)
    ]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-2)


def test_a_conjugate_family_has_an_unknown_number_of_types():
    options = {"chains": 1, "warmup": 60, "draws": 60}
    tree = fit(
        conjugate_visits, MINUTES, method="telescoping", seed=0, predictive=0, relabel=None,
        **options,
    )  # fmt: skip
    assert np.isfinite(tree["posterior"]["pace"].values).all()


@pytest.mark.parametrize("method", ["vb", pytest.param("stochastic_vb", marks=pytest.mark.long)])
def test_variational_bayes_serves_a_family_that_states_its_expectations(method):
    options = {"starts": 2, "chains": 1, "draws": 200}
    tree = fit(conjugate_visits, MINUTES, method=method, seed=0, predictive=0, **options)
    pace = tree["posterior"]["pace"].mean(["chain", "draw"]).values
    assert (np.abs(np.log(pace[np.argsort(-pace.mean(1))] / TRUTH)) < 0.9).all()


def test_the_bound_of_one_type_is_the_evidence(double_precision):
    """Gamma(2, 2) rates and exponential waits: the evidence has a closed form."""
    tree = fit(program_of(ConjugateWaits, 1), MINUTES, method="vb", seed=0, predictive=0)
    a, b, count = 2.0, 2.0, len(MINUTES)
    each = gammaln(a + count) - gammaln(a) + a * np.log(b)
    evidence = (each - (a + count) * np.log(b + MINUTES.sum(0))).sum()
    assert tree.attrs["evidence_bound"] == pytest.approx(evidence, rel=1e-9)


def test_variational_bayes_refuses_a_family_that_states_none():
    said = (
        r"'minutes' emits from UnstatedWaits, which states no plug-in value of its .* 'haste': use"
    )
    with pytest.raises(UnsupportedError, match=said):
        fit(program_of(UnstatedWaits), MINUTES, method="vb", seed=0)


def test_densities_and_types_of_new_rows_are_those_of_the_point(fitted):
    tree = fitted("em")
    pace, mix = (tree["posterior"][n].values[0, 0] for n in ("pace", "mix"))
    joint = np.log(mix)[:, None] + stats.expon(scale=1 / pace[:, None]).logpdf(MINUTES).sum(-1)
    total = np.logaddexp(*joint)
    np.testing.assert_allclose(log_density(tree, MINUTES), total, rtol=1e-8)
    types = predict(tree, MINUTES).transpose("visit", "cluster")
    np.testing.assert_allclose(types, np.exp(joint - total).T, atol=1e-8)


def test_new_rows_are_drawn_and_missing_cells_filled(fitted):
    rows = generate(fitted("em"), rows=400, seed=0)["minutes"].values
    assert rows.shape[-2:] == (400, 3) and (rows > 0).all()
    filled = impute(fitted("gibbs"), GAPPED, draws=20, seed=0)["minutes"].values
    absent = np.isnan(GAPPED)
    np.testing.assert_allclose(filled[:, ~absent], np.tile(GAPPED[~absent], (20, 1)))
    assert (filled[:, absent] > 0).all() and filled[:, absent].std(0).min() > 0


@pytest.mark.parametrize("method", ["em", pytest.param("gibbs", marks=pytest.mark.long)])
def test_its_declared_picture_and_its_parameters_are_on_the_page(fitted, method, tmp_path: Path):
    tree = fitted(method)
    names = [plot.name for plot in choose_plots(tree)]
    assert "profiles" in names and "clusters" not in names
    page = write_report(tree, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "haste: " in page  # the components in words, by the default of `summarise`


FILE = """
from numpyro.distributions import Exponential, constraints
from jax import numpy as jnp, random
from ppl_models.distributions.exponential.factorised import FactorisedFamily

POSITIVE = constraints.independent(constraints.positive, 1)

class Fuses(FactorisedFamily):
    arg_constraints = {"rate": POSITIVE}
    support = POSITIVE
    numpyro_classes = ((Exponential, 1),)

    def sufficient_statistics(self, x):
        return (x,)

    def natural_parameters(self):
        return (-self.rate,)

    def log_normaliser(self):
        return -jnp.log(self.rate)

    def sample(self, key, sample_shape=()):
        return random.exponential(key, self.shape(sample_shape)) / self.rate
"""
ASKED = """
import numpyro.distributions as dist
from ppl_models.distributions import Fuses
from ppl_models.distributions.convert import as_family
from ppl_models.distributions.registry import family_class, family_name
found = as_family(dist.Exponential([[1.0], [2.0]]).expand([2, 1]).to_event(1))
assert type(found) is Fuses and family_class(family_name(found)) is Fuses
"""


def test_one_file_beside_the_others_is_an_emission_of_the_package(tmp_path: Path):
    """In a copy of the package, to which nothing but the file is added."""
    package = Path(ppl_models.__file__).parent
    shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / package.name / "distributions" / "exponential" / "fuses.py").write_text(FILE)
    result = subprocess.run(
        [sys.executable, "-c", ASKED],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("program", [counter_visits, conjugate_visits], ids=["stated", "conjugate"])
def test_every_method_serves_it_or_says_what_it_lacks(program, double_precision):
    model = Model(program, {"minutes": MINUTES}, {}, {})
    problem = Problem(model, model.structure())
    refused = {m: said for m in method_names() if (said := refusal(m, problem))}
    assert not {*OPTIONS} & {*refused}
    assert all(f"method='{m}' needs " in said for m, said in refused.items())
    more = (
        {"telescoping", "stochastic_em", "vb", "stochastic_vb"}
        if program is conjugate_visits
        else set()
    )
    assert not more & {*refused}, refused
