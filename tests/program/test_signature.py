"""Programs are called as their authors wrote them: what is data, what an argument."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from ppl_models.errors import InputError
from ppl_models.program.arguments.signature import arguments_of, data_parameters, split

CENTRES = np.zeros(3)


def _method(problem, key, *, starts=1):
    """A method's signature."""


def test_parameters_with_values_are_arguments_before_the_star_too():
    def program(y=None, x=None, clusters=2, centres=CENTRES, *, rows=None): ...

    assert list(data_parameters(program)) == ["y", "x"]
    assert list(arguments_of(program)) == ["clusters", "centres", "rows"]
    arguments = {"clusters": 3, "starts": 5}
    assert split(program, _method, arguments, "em") == ({"clusters": 3}, {"starts": 5})


def test_what_is_left_over_is_no_argument():
    def program(x=None, *rest, clusters, **more): ...

    assert list(data_parameters(program)) == ["x"] and list(arguments_of(program)) == ["clusters"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            {"kinds": [2, 3]},
            r"'kinds' is a data parameter of the program.*def program\(x=None, \*, kinds\)",
        ),
        ({"stars": 2}, "no argument 'stars': the program takes rows; method 'em' takes starts"),
    ],
)
def test_what_cannot_be_given_by_name_is_said(arguments, says):
    def program(x, kinds, *, rows=None): ...

    with pytest.raises(InputError, match=says):
        split(program, _method, arguments, "em")


def test_numbers_and_words_for_data_are_arguments():
    def program(x, kinds, sex): ...

    arguments = {"kinds": 2, "sex": None, "starts": 5}
    assert split(program, _method, arguments, "em") == ({"kinds": 2, "sex": None}, {"starts": 5})


def test_a_program_without_data_is_refused():
    with pytest.raises(InputError, match="takes no data"):
        data_parameters(partial(lambda *, clusters: None, clusters=2))
