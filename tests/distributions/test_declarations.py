"""What emission classes declare for pictures and words, and the names they are found by."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import numpyro.distributions as dist
import pytest

from ppl_models import distributions as families
from ppl_models.distributions.convert import as_family
from ppl_models.distributions.registry import family_class, family_name


def test_a_name_leads_to_the_class(case) -> None:
    name = family_name(case.build())
    assert name == f"{case.family.__module__}:{case.family.__name__}"
    assert family_class(name) is case.family


def test_a_name_is_enough_in_another_process() -> None:
    program = (
        "from ppl_models.distributions.registry import family_class\n"
        "print(family_class('ppl_models.distributions.exponential.poisson:PoissonVector'))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert b"PoissonVector" in result.stdout


def test_a_class_that_no_module_holds_is_found() -> None:
    class Local(families.PoissonVector):
        """Defined within a function."""

    assert family_class(family_name(Local)) is Local


@pytest.mark.parametrize(
    "name",
    [
        "numpyro.distributions.continuous:StudentT",
        "no_such_module:Thing",
        "ppl_models.distributions.priors.scales_and_blocks:Nothing",
        "",
    ],
)
def test_other_names_lead_to_nothing(name: str) -> None:
    assert family_class(name) is None


def test_plates_and_event_axes_do_not_count() -> None:
    student = dist.StudentT(4.0, np.zeros((3, 1, 2)), 1.0).to_event(1).expand([3, 5])
    assert family_name(student) == family_name(dist.StudentT)
    normal = dist.Normal(np.zeros((3, 1, 2)), 1.0).to_event(1)
    assert family_name(as_family(normal)) == family_name(families.SphericalGaussian)


def test_moments_are_those_of_the_distribution(case) -> None:
    if case.family.component_picture != "ellipses":
        with pytest.raises(NotImplementedError, match=case.family.__name__):
            case.family.component_moments(case.parameters)
        return
    mean, covariance = case.family.component_moments(case.parameters)
    family = case.build()
    shape = (*np.shape(family.mean), *([1] if not family.event_dim else []))
    np.testing.assert_allclose(mean, np.reshape(family.mean, shape))
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    np.testing.assert_allclose(variance, np.reshape(family.variance, shape))
    draws = {n: np.stack([v, v + 1]) for n, v in case.parameters.items()}
    more, spread = case.family.component_moments(draws)
    np.testing.assert_allclose(more[0], mean)
    np.testing.assert_allclose(spread[0], covariance)


def test_a_drawn_parameter_is_one_of_the_family(case) -> None:
    picture, parameter = case.family.component_picture, case.family.profile_parameter
    assert picture in (None, "ellipses", "profile", "levels", "transitions")
    if picture in ("profile", "levels"):
        assert parameter in case.parameters
        assert case.family.profile_label


@pytest.mark.parametrize(
    ("family", "parameters", "features", "words"),
    [
        (
            families.BernoulliVector,
            {"probs": [[0.25, 1.0], [0.5, 0.125]]},
            ["a", "b"],
            "probability of a one: a 0.50, b 0.12",
        ),
        (
            families.CategoricalVector,
            {"probs": [[1.0, 0, 1, 0, 0], [0.25, 0.75, 0.1, 0.1, 0.8]]},
            ["a=no", "a=yes", "b=low", "b=mid", "b=high"],
            "most probable: a yes (75%), b high (80%)",
        ),
        (families.PoissonVector, {"rate": [1.0, 2.5]}, [], "mean count 2.5"),
        (
            families.PoissonVector,
            {"rate": [[1.0, 1.0], [2.5, 3.0]]},
            ["a", "b"],
            "mean count: a 2.5, b 3",
        ),
        (
            families.UnivariateGaussian,
            {"loc": [0.0, 1.5], "scale": [1.0, 2.0]},
            [],
            "mean (sd) 1.5 (2)",
        ),
        (
            families.TiedGaussian,
            {"loc": [[0.0, 1.0], [2.0, 3.0]], "covariance": [[4.0, 1.0], [1.0, 9.0]]},
            ["a", "b"],
            "mean (sd): a 2 (2), b 3 (3)",
        ),
    ],
)
def test_components_in_words(
    family: type, parameters: Mapping[str, list], features: Sequence[str], words: str
) -> None:
    arrays = {n: np.array(v) for n, v in parameters.items()}
    assert family.summarise(arrays, 1, features) == words
