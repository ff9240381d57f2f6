"""Observed sites under another name than the data that they observe.

Most NumPyro programs call the data ``y`` and the site ``obs``. Data and what is predicted of them
have one name in a fit, that of the data: a handler within the program gives it to the site.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numpyro.primitives import Messenger

from ppl_models.errors import UnsupportedError


class NamedOtherwise(UnsupportedError):
    """A site observes the data of a parameter of another name.

    Args:
        site: its name.
        parameter: whose data it observes.
        others: names of the program's other sites.
    """

    def __init__(self, site: str, parameter: str, others: frozenset[str]):
        self.site, self.parameter, self.others = site, parameter, others
        super().__init__(
            f"site '{site}' observes the data of parameter '{parameter}', and another site has "
            "that name: call site and parameter by one name"
        )


class Renaming(Messenger):
    """Calls sites by other names.

    Args:
        fn: the program.
        names: site -> its new name.
    """

    def __init__(self, fn: Callable | None, names: dict[str, str]):
        super().__init__(fn)
        self.names = names

    def process_message(self, message: dict[str, Any]) -> None:
        """Rename the site before any handler around the program sees it."""
        if message["type"] == "sample":
            message["name"] = self.names.get(message["name"], message["name"])


@functools.lru_cache(maxsize=64)
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

    @functools.wraps(function)
    def program(*data: Any, **arguments: Any) -> Any:
        with Renaming(None, {site: parameter}):
            return function(*data, **arguments)

    return program
