"""What every fit says of itself: facts, and values of all emission parameters, by every method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ppl_models.posterior.result.restore import restored
from ppl_models.posterior.result.schema import emission_parameters
from ppl_models.posterior.result.validation import validate
from ppl_models.program.parameters import named_parameters


def test_facts_of_built_in_programs(built_in: Any, trees: Callable) -> None:
    tree = trees(built_in)
    facts = validate(tree)
    assert facts.emission.site == built_in.site
    for emission in facts.emissions:
        parameters = emission_parameters(tree, emission.site)
        assert set(parameters) == set(emission.parameters)
        for name, known in emission.parameters.items():
            assert parameters[name].dims == ("chain", "draw", *known.dims), name


def test_parameters_are_those_of_the_program(built_in: Any, trees: Callable) -> None:
    """The values are the emission's own at the draws, whatever site they come from."""
    tree = trees(built_in)
    with restored(tree) as fitted:
        pieces = fitted.model.pieces({n: v[0] for n, v in fitted.values.items()}, fitted.structure)
        emission = pieces.emissions[built_in.site]
        expected = named_parameters(emission, fitted.structure.clusters)
    parameters = emission_parameters(tree)
    assert set(parameters) == set(expected)
    for name, array in parameters.items():
        value = np.asarray(expected[str(name)].value)
        own = np.broadcast_to(array.isel(chain=0, draw=0).values, value.shape)
        np.testing.assert_allclose(own, value, rtol=1e-5)
