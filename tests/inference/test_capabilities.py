"""What programs offer is found out once, and methods are data that ask for it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import ppl_models
from ppl_models import catalogue
from ppl_models.inference import capabilities
from ppl_models.inference.method import Capability, Lack, declaration
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Model

LINE = np.linspace(-3.0, 3.0, 12)

#: program -> capabilities that it does not offer
LACKING = {
    "hierarchical": {"NOTHING_HIDDEN", "CONJUGATE"},
    "known_places": {"NOTHING_HIDDEN"},
    "no_assignment": {"ASSIGNMENT", "HIDDEN"},
    "heavy_tailed_mixture": {"FAMILIES", "NOTHING_HIDDEN"},
    "regression": {"FAMILIES", "NOTHING_HIDDEN"},
    "weights_by_row": {"COMMON_WEIGHTS", "NOTHING_HIDDEN"},
    "latent_for_every_row": {"NO_ROW_LATENTS", "FAMILIES", "ASSIGNMENT", "HIDDEN"},
}
#: those that can be asked of every program; the others presuppose families
ALWAYS = (
    "CONTINUOUS_SITES",
    "NO_ROW_LATENTS",
    "FAMILIES",
    "COMMON_WEIGHTS",
    "ASSIGNMENT",
    "HIDDEN",
    "NOTHING_HIDDEN",
)


def _problem(function):
    model = Model(function, {"x": LINE}, {}, {})
    return Problem(model, model.structure())


@pytest.mark.parametrize("name", LACKING)
@pytest.mark.usefixtures("double_precision")
def test_what_a_program_offers(own, name):
    problem = _problem(getattr(own, name))
    asked = [*ALWAYS, "CONJUGATE"] if problem.offers(*capabilities.STATISTICS) else ALWAYS
    lacking = {each for each in asked if problem.lack(getattr(capabilities, each)) is not None}
    assert lacking == LACKING[name]


def test_a_capability_is_found_out_once(own):
    asked = []
    capability = Capability("patience", lambda problem: asked.append(1) or Lack("there is none"))
    problem = _problem(own.known_places)
    assert not problem.offers(capability) and not problem.offers(capability)
    assert problem.lack(capability).reason == "there is none"
    assert len(asked) == 1


@pytest.mark.usefixtures("double_precision")
def test_priors_that_do_not_depend_on_others_are_known_whatever_was_asked_before(own):
    untouched, asked = _problem(own.hierarchical), _problem(own.hierarchical)
    _ = asked.parameter_map
    assert set(untouched.known_priors) == set(asked.known_priors)
    assert set(untouched.known_priors) == {"middle", "spread", "shares", "width"}
    assert untouched.independent_priors is None and asked.independent_priors is None
    assert set(_problem(own.known_places).independent_priors) == {"weights"}


@pytest.mark.parametrize("name", catalogue.method_names())
def test_needs_are_capabilities_with_names(name):
    needs = declaration(name).needs
    assert needs and all(isinstance(need, Capability) and need.name for need in needs)


def test_nobody_writes_into_the_dict_of_another_object() -> None:
    """A kernel was once made without its constructor, its settings put into its ``__dict__``."""
    writes = re.compile(
        r"__dict__(\.update|\.setdefault|\[[^]]*\] *=[^=])|vars\(\w+\)\[[^]]*\] *=[^=]"
    )
    files = Path(ppl_models.__file__).parent.rglob("*.py")
    assert [p.name for p in files if writes.search(p.read_text(encoding="utf-8"))] == []
    assert writes.search("kernel.__dict__.update(settings)")
