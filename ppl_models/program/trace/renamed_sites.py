"""Observed sites under another name than the data that they observe, and plates under that of data.

Most NumPyro programs call the data ``y`` and the site ``obs``. Data and what is predicted of them
have one name in a fit, that of the data: a handler within the program gives it to the site. Many
call a plate as they call the data, ``plate("data", len(data))``: the plate is then named otherwise,
for an axis and an array on it have two names.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from numpyro.distributions.distribution import Unit
from numpyro.primitives import Messenger

from ppl_models.errors import UnsupportedError


@dataclass(frozen=True)
class NamedOtherwise:
    """A site observes the data of a parameter of another name.

    Args:
        site: its name.
        parameter: whose data it observes; of data that are computed, the name that they get.
        others: names of the program's other sites.
        own_parameter: whether the site has the name of the parameter that its data are computed
            from (``y[2:]``, ``y.T``), and ``others`` are those of its data too.
    """

    site: str
    parameter: str
    others: frozenset[str]
    own_parameter: bool = False

    def error(self) -> UnsupportedError:
        """What to tell where the site cannot be called otherwise."""
        if self.own_parameter:
            return UnsupportedError(
                f"site '{self.site}' observes something computed from the parameter "
                f"'{self.site}', not the parameter itself: give the site a name of its own"
            )
        return UnsupportedError(
            f"site '{self.site}' observes the data of parameter '{self.parameter}', and another "
            "site has that name: call site and parameter by one name"
        )


def named_as_its_source(site: str, others: frozenset[str]) -> NamedOtherwise:
    """A site with the name of the parameter that its data are computed from.

    Args:
        site: its name.
        others: names of the program's other sites, and of its data.
    """
    return NamedOtherwise(site, f"{site}_obs", others, own_parameter=True)


@dataclass(frozen=True)
class LikelihoodFactor:
    """A ``numpyro.factor`` is all that a program says of its data, and is not called as they are.

    Args:
        factor: its name.
    """

    factor: str

    def error(self) -> UnsupportedError:
        """What to tell where it is not clear whose log-density it is."""
        return UnsupportedError(
            f"factor '{self.factor}' is the only likelihood of the program: name it after the "
            "data parameter whose log-density it is"
        )


@dataclass(frozen=True)
class PlateOfData:
    """A plate has the name of a data parameter.

    Args:
        plate: its name.
        taken: names of the program's sites, plates and data.
    """

    plate: str
    taken: frozenset[str]

    def error(self) -> UnsupportedError:
        """What to tell where the plate is not renamed."""
        return UnsupportedError(
            f"plate '{self.plate}' has the name of data: call it by another name, such as "
            f"'{self.plate}_row'"
        )


NameClash = NamedOtherwise | LikelihoodFactor | PlateOfData


class Renaming(Messenger):
    """Calls sites and plates by other names.

    Args:
        fn: the program.
        sites: site -> its new name.
        plates: plate -> its new name.
    """

    def __init__(self, fn: Callable | None, sites: Mapping[str, str], plates: Mapping[str, str]):
        super().__init__(fn)
        self.sites, self.plates = sites, plates

    def process_message(self, message: dict[str, Any]) -> None:
        """Rename a site and its plates before any handler around the program sees it."""
        if message["type"] == "plate":
            message["name"] = self.plates.get(message["name"], message["name"])
        elif message["type"] == "sample":
            message["name"] = self.sites.get(message["name"], message["name"])
        if self.plates and "cond_indep_stack" in message:
            message["cond_indep_stack"] = [
                frame._replace(name=self.plates.get(frame.name, frame.name))
                for frame in message["cond_indep_stack"]
            ]


def free_name(plate: str, taken: Collection[str]) -> str:
    """A name for a plate that has that of data.

    Args:
        plate: its name.
        taken: names that sites, plates and data have.

    >>> free_name("data", {"data", "loc"}), free_name("data", {"data", "data_row"})
    ('data_row', 'data_row_')
    """
    name = f"{plate}_row"
    while name in taken:
        name += "_"
    return name


def with_renamed_site(function: Callable, site: str, parameter: str) -> Callable:
    """The program, its site called as the parameter is; equal arguments give the same function.

    Args:
        function: the program.
        site: name of an observed site.
        parameter: the new name.

    >>> import jax.numpy as jnp
    >>> import numpyro
    >>> import numpyro.distributions as dist
    >>> def program(y=None):
    ...     return numpyro.sample("obs", dist.Normal(0, 1), obs=y)
    >>> renamed = with_renamed_site(program, "obs", "y")
    >>> list(numpyro.handlers.trace(renamed).get_trace(jnp.zeros(())))
    ['y']
    """
    return _renamed(function, ((site, parameter),), ())


def with_renamed_plate(function: Callable, plate: str, name: str) -> Callable:
    """The program, a plate called otherwise; equal arguments give the same function.

    Args:
        function: the program.
        plate: its name.
        name: the new name.
    """
    return _renamed(function, (), ((plate, name),))


@functools.lru_cache(maxsize=64)
def _renamed(
    function: Callable, sites: tuple[tuple[str, str], ...], plates: tuple[tuple[str, str], ...]
) -> Callable:
    @functools.wraps(function)
    def program(*data: Any, **arguments: Any) -> Any:
        with Renaming(None, dict(sites), dict(plates)):
            return function(*data, **arguments)

    return program


class AsFactor(Messenger):
    """Turns observed sites into factors: their values are none of the data, but depend on sites.

    Args:
        fn: the program.
        names: of the sites.
    """

    def __init__(self, fn: Callable | None, names: tuple[str, ...]):
        super().__init__(fn)
        self.names = names

    def process_message(self, message: dict[str, Any]) -> None:
        """Put the log-density of what is observed in the place of its distribution."""
        if message["type"] == "sample" and message["name"] in self.names:
            message["fn"] = Unit(message["fn"].log_prob(message["value"]))
            message["value"] = message["fn"].sample(None)


@functools.lru_cache(maxsize=64)
def with_factors(function: Callable, names: tuple[str, ...]) -> Callable:
    """The program, some observed sites as factors; equal arguments give the same function.

    Args:
        function: the program.
        names: of the sites.
    """

    @functools.wraps(function)
    def program(*data: Any, **arguments: Any) -> Any:
        with AsFactor(None, names):
            return function(*data, **arguments)

    return program
