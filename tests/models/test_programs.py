"""Every built-in program is plain NumPyro: it runs there as it is, and means the same."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from jax.scipy.special import logsumexp
from numpyro import handlers
from numpyro.contrib.funsor import config_enumerate, enum, log_density
from numpyro.infer import NUTS, Predictive
from numpyro.infer.util import initialize_model

from ppl_models import catalogue, fit
from ppl_models.errors import InputError
from ppl_models.program.arguments.signature import arguments_of, data_parameters
from ppl_models.program.model import Model
from ppl_models.program.runtime.compiling import QUICK

#: programs of several kinds of data or that EM and NUTS do not serve, and the tests that take the
#: place of those here
ELSEWHERE = {"pitman_yor_chain": "models/test_pitman_yor_chain.py"} | dict.fromkeys(
    [
        "censored_mixture",
        "dawid_skene",
        "expert_mixture",
        "extreme_deconvolution",
        "factor_analysis_mixture",
        "gaussian_noise_mixture",
        "growth_mixture",
        "hurdle_mixture",
        "latent_class_regression",
        "latent_dirichlet_allocation",
        "mixed_mixture",
        "negative_binomial_mixture",
        "record_linkage",
        "regression_mixture",
        "stochastic_block_model",
        "student_t_mixture",
        "zero_inflated_mixture",
    ],
    "models/test_jobs.py",
)


def _function(row):
    return catalogue.program(row.name)


def _model(row, **changed):
    return Model(_function(row), {row.site: row.data}, {**row.arguments, **changed}, {})


_drawn = {}


def _values(row):
    """Three random values of the global sites ``(draw, ...)``, and the program's structure."""
    if row.label not in _drawn:
        model = _model(row)
        structure = model.structure()
        draw = jax.jit(jax.vmap(lambda key: structure.initial(key)))
        _drawn[row.label] = draw(random.split(random.key(5), 3)), model, structure
    return _drawn[row.label]


def test_every_program_of_the_catalogue_has_a_row(programs):
    rows = {row.name for row in programs}
    assert not rows & set(ELSEWHERE)
    assert rows | set(ELSEWHERE) == set(catalogue.model_names())
    for where in ELSEWHERE.values():
        assert (Path(__file__).parents[1] / where).is_file()


def test_docstring_tells_the_generative_story(model):
    text = inspect.getdoc(_function(model))
    story = [line for line in text.splitlines() if "~" in line]
    assert len(story) >= 3
    for section in ("Args:", "Returns:", ">>> "):
        assert section in text
    parameters = inspect.signature(_function(model)).parameters
    assert all(f"{name}:" in text for name in parameters)


def test_signature_is_data_first_then_arguments_by_name(model):
    function = _function(model)
    assert list(data_parameters(function)) == [model.site]
    parameters = inspect.signature(function).parameters
    assert parameters[model.site].default is None
    others = [p for n, p in parameters.items() if n != model.site]
    assert others and all(p.kind is p.KEYWORD_ONLY for p in others)


def test_sites_and_plates_are_read_off_the_trace(program):
    structure = _model(program).structure()
    assert set(structure.names) == set(program.sites)
    assert structure.emissions == (program.site,)
    assert structure.rows == len(program.data)
    assert structure.clusters == program.arguments.get("clusters", 1)
    usual = "sequence" if "sequences" in program.absent else "row"
    assert structure.plate == (program.plate or usual)
    for site in structure.sites:
        assert len(site.dims) == len(site.shape)
        assert not any("_dim_" in name or "_axis_" in name for name in site.dims)


def test_density_equals_numpyros_enumeration_of_the_standard_program(program):
    values, model, structure = _values(program)

    def ours(values):
        joint = logsumexp(model.logits(values, structure), axis=0).sum()
        return joint + model.pieces(values, structure).log_prior

    def enumerated(function):
        prepared = enum(config_enumerate(function), first_available_dim=-2)
        kwargs = {**program.arguments, program.site: jnp.asarray(program.data)}
        return lambda values: log_density(prepared, (), kwargs, values)[0]

    roads = ours, enumerated(program.standard), enumerated(_function(program))
    actual, standard, itself = jax.jit(lambda v: [jax.lax.map(road, v) for road in roads])(values)
    np.testing.assert_allclose(actual, standard, rtol=1e-10)
    np.testing.assert_allclose(itself, standard, rtol=1e-10)


@pytest.mark.parametrize(
    "label",
    ["gaussian_mixture full", "markov_chain", "recurrent_chain gru",
     *(pytest.param(n, marks=pytest.mark.long) for n in ("categorical_mixture", "chain_mixture"))],
)  # fmt: skip
def test_numpyro_has_the_slope_of_the_program(built_ins, label):
    """The potential that NUTS follows, where others of the make are sampled below."""
    model = built_ins[label]

    @partial(jax.jit, compiler_options=QUICK)
    def start(key):
        return initialize_model(key, _function(model), model_kwargs=model.kwargs).param_info

    actual = start(random.key(0))
    assert set(actual.z) == set(model.sites)
    assert np.isfinite(actual.potential_energy)
    for name in model.sites:
        assert np.isfinite(actual.z_grad[name]).all()
        assert (actual.z_grad[name] != 0).any()


#: unlike programs: a scan over steps and its sum over paths, regression, a graph; a mixture is
#: sampled by ``MCMC`` in ``posterior/test_swapped_chains.py``. Others differ from them in their
#: densities alone, which are compared with NumPyro's above
SAMPLED = ("hidden_markov", "pixel_logistic", "graph_chain")


@pytest.mark.parametrize("label", SAMPLED)
def test_bare_nuts_samples_the_program(built_ins, label):
    """NumPyro's kernel, as ``MCMC`` drives it, in one compilation."""
    model = built_ins[label]
    kernel = NUTS(_function(model), max_tree_depth=3)

    @jax.jit
    def run(key):
        def step(state, _):
            state = kernel.sample(state, (), model.kwargs)
            return state, kernel.postprocess_fn((), model.kwargs)(state.z)

        return jax.lax.scan(step, kernel.init(key, 30, None, (), model.kwargs), None, length=30)[1]

    draws = run(random.key(0))
    assert set(model.sites) <= set(draws)
    for name in model.sites:
        assert np.isfinite(draws[name]).all()
        assert (draws[name][0] != draws[name][-1]).any()


def test_predictive_without_data_generates(model):
    arguments = {n: v for n, v in model.arguments.items()} | model.absent
    predictive = Predictive(_function(model), num_samples=3)
    # of the draws themselves other tests speak: posterior/test_generate.py generates from them all
    drawn = jax.eval_shape(lambda key: predictive(key, **arguments), random.key(0))
    assert drawn[model.site].shape == (3, *model.generated)
    assert set(model.sites) <= set(drawn)
    kind = "f" if model.data.dtype.kind == "f" else "i"
    assert drawn[model.site].dtype.kind == kind


def _log_prior(row, data, values):
    model = Model(_function(row), {row.site: data}, row.arguments, {})
    structure = model.structure()
    return jax.jit(jax.vmap(lambda v: model.pieces(v, structure).log_prior))(values)


#: of the unit of the data, in that of a site
POWERS = {"scale": 1, "covariance": 2, "scale_rate": 2, "scale_diagonal": 2}


@pytest.mark.parametrize("variant", ["full", "spherical", "univariate"])
def test_default_priors_move_and_stretch_with_the_data(programs, variant):
    """In other units the prior is the same prior: its density differs by a constant only."""
    row = next(r for r in programs if (r.name, r.variant) == ("gaussian_mixture", variant))
    values, _, _ = _values(row)
    unit, shift = 1000.0, -3e4
    moved = {
        "weights": values["weights"],
        "loc": unit * values["loc"] + shift,
        **{n: unit**p * values[n] for n, p in POWERS.items() if n in values},
    }
    differences = _log_prior(row, unit * row.data + shift, moved) - _log_prior(
        row, row.data, values
    )
    np.testing.assert_allclose(differences, differences[0], rtol=1e-8)


def _of_other_emissions(row):
    """Rows that differ in what a hidden chain emits, whose priors are others."""
    if row.name != "hidden_markov":
        return []
    bits = (row.data > row.data[0, 0]).astype(float)
    return [
        replace(row, variant=f"of {emission}", data=bits, arguments={**row.arguments, **more})
        for emission, more in {
            "bits": {"emission": "bernoulli"},
            "categories": {"emission": "categorical", "levels": (2, 2)},
        }.items()
    ]


def test_every_prior_is_an_argument(model, programs):
    """Each hyper-parameter that is a number changes the density of the globals of some variant."""
    others = {"clusters", "vocabulary", "rows", "features", "sequences", "positions"}
    others |= {"degrees_of_freedom"}  # of some covariances only
    wanted = {
        n: 2.5 if p.default is None else p.default + 0.5
        for n, p in inspect.signature(_function(model)).parameters.items()
        if p.annotation in ("float", "float | None") and n not in others
    }
    assert len(wanted) >= 2
    felt = set()
    for row in (r for r in [*programs, *_of_other_emissions(model)] if r.name == model.name):
        values, base, structure = _values(row)
        models = {"as it is": base} | {n: _model(row, **{n: v}) for n, v in wanted.items()}

        @jax.jit
        def priors(values, models=models, structure=structure):
            at = {n: v[0] for n, v in values.items()}
            return {n: m.pieces(at, structure).log_prior for n, m in models.items()}

        actual = priors(values)
        felt |= {n for n in wanted if not np.isclose(actual[n], actual["as it is"])}
        if felt == set(wanted):
            break
    assert felt == set(wanted)


def test_unknown_covariance_is_refused(programs):
    with pytest.raises(InputError, match="covariance is 'round': choose one of spherical"):
        handlers.seed(_function(programs[0]), 0)(clusters=2, rows=3, features=2, covariance="round")


def test_no_argument_of_a_program_is_one_of_fits_own(model):
    """It could not be given: `fit` would take it for itself."""
    taken = set(inspect.signature(fit).parameters) - {"program", "data"}
    assert not taken & set(arguments_of(catalogue.program(model.name)))
