"""What every fit says of itself: facts, and values of all emission parameters, by every method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ppl_models.posterior.result.restore import restore
from ppl_models.posterior.result.schema import emission_parameters, facts_of
from ppl_models.posterior.result.validation import validate


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
    """The values are the family's own at the draws, whatever site they come from."""
    tree = trees(built_in)
    restored = restore(tree)
    if not facts_of(tree).emission.parameters:
        pytest.skip("no exponential family")
    values = {n: v[0] for n, v in restored.values.items()}
    families = restored.problem.model.pieces(values, restored.problem.structure).families()
    for name, array in emission_parameters(tree).items():
        expected = np.asarray(getattr(families[built_in.site], str(name)))
        given = array.isel(chain=0, draw=0).values
        np.testing.assert_allclose(np.broadcast_to(given, expected.shape), expected, rtol=1e-5)
