"""Emissions of any distribution: what they are, and which site is which parameter."""

from __future__ import annotations

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import random

from ppl_models import catalogue
from ppl_models.distributions import PoissonVector, SphericalGaussian, UnivariateGaussian
from ppl_models.program.model import Model
from ppl_models.program.parameters.emissions import derived_parameters, read_emissions
from ppl_models.program.parameters.parameter_map import read_parameter_map

LINE = np.linspace(-3.0, 3.0, 12)
PLANE = np.stack([LINE, LINE**2], 1)
COUNTS = np.arange(12)

#: program -> data, class, parameter -> (site, shared, dims)
OWN = {
    "hierarchical": (
        {"x": LINE},
        UnivariateGaussian,
        {"loc": ("place", False, ("cluster",)), "scale": ("width", True, ())},
    ),
    "heavy_tailed_mixture": (
        {"x": LINE},
        dist.StudentT,
        {
            "df": (None, True, ()),
            "loc": ("place", False, ("cluster",)),
            "scale": ("width", True, ()),
        },
    ),
    "derived_variance": (
        {"x": PLANE},
        SphericalGaussian,
        {
            "loc": ("place", False, ("cluster", "place_dim_0")),
            "scale": (None, False, ("cluster",)),
        },
    ),
    "zero_inflated": (
        {"x": COUNTS},
        dist.discrete.ZeroInflatedPoisson,
        {"gate": ("gate", True, ()), "rate": ("mean_count", False, ("cluster",))},
    ),
}


def _read(function, data, arguments=None):
    model = Model(function, data, arguments or {}, {})
    structure = model.structure()
    return model, structure, read_emissions(model, structure, read_parameter_map(model, structure))


@pytest.mark.parametrize("name", OWN)
@pytest.mark.usefixtures("double_precision")
def test_every_parameter_of_every_distribution_has_its_site(own, name):
    data, distribution, parameters = OWN[name]
    _, _, (emission,) = _read(getattr(own, name), data)
    assert emission.distribution is distribution
    assert emission.component_dim == "cluster"
    assert emission.kind == "Reals"
    actual = {n: (p.site, p.shared, p.dims) for n, p in emission.parameters.items()}
    assert actual == parameters


@pytest.mark.usefixtures("double_precision")
def test_derived_parameters_have_the_values_that_the_program_computes(own):
    model, structure, emissions = _read(own.derived_variance, {"x": PLANE})
    values = jax.vmap(structure.initial)(random.split(random.key(3), 7))
    values = {n: np.asarray(v) for n, v in values.items()}
    derived = derived_parameters(model, structure, emissions, values)
    assert set(derived) == {"x.scale"}
    expected = np.sqrt(values["variance"])[:, None] * np.array([1.0, 2.0])
    np.testing.assert_allclose(derived["x.scale"], expected, rtol=1e-12)


@pytest.mark.usefixtures("double_precision")
def test_constants_are_derived_parameters_too(own):
    model, structure, emissions = _read(own.heavy_tailed_mixture, {"x": LINE})
    values = jax.vmap(structure.initial)(random.split(random.key(3), 5))
    derived = derived_parameters(model, structure, emissions, values)
    np.testing.assert_array_equal(derived["x.df"], np.full(5, 4.0))


@pytest.mark.usefixtures("double_precision")
def test_parameters_that_differ_from_row_to_row_are_left_out(own):
    _, _, (emission,) = _read(own.regression, {"x": LINE})
    assert set(emission.parameters) == {"scale"}


@pytest.mark.usefixtures("double_precision")
def test_hidden_states_are_the_components_where_nothing_is_assigned():
    data = {"x": np.random.default_rng(0).poisson(3.0, (4, 6, 2)).astype(float)}
    arguments = {"states": 3, "emission": "poisson", "start": "stationary"}
    function = catalogue.program("hidden_markov")
    model, structure, (emission,) = _read(function, data, arguments)
    assert emission.component_distribution is PoissonVector
    assert (emission.component_dim, emission.kind) == ("state", "Series")
    parameters = emission.parameters
    assert parameters["transition"].dims == ("state", "next_state")
    assert parameters["rate"].dims == ("state", "feature")
    # the chain's own long-run distribution is no site
    assert (parameters["initial"].site, parameters["initial"].dims) == (None, ("state",))
    values = jax.vmap(structure.initial)(random.split(random.key(1), 2))
    initial = derived_parameters(model, structure, (emission,), values)["x.initial"]
    np.testing.assert_allclose(
        np.einsum("ns,nst->nt", initial, values[parameters["transition"].site]), initial, rtol=1e-9
    )


@pytest.mark.usefixtures("double_precision")
def test_every_built_in_emission_can_be_read(built_in):
    model = Model(
        catalogue.program(built_in.name),
        {built_in.site: built_in.data},
        {**built_in.arguments, **built_in.interior},
        {},
    )
    structure = model.structure()
    emissions = read_emissions(model, structure, read_parameter_map(model, structure))
    assert [e.site for e in emissions] == list(structure.emissions)
    values = jax.vmap(structure.initial)(random.split(random.key(3), 2))
    derived = derived_parameters(model, structure, emissions, values)
    for emission in emissions:
        for name, parameter in emission.parameters.items():
            assert len(parameter.dims) == len(parameter.shape), name
            if parameter.site is None:
                assert derived[f"{emission.site}.{name}"].shape == (2, *parameter.shape), name
