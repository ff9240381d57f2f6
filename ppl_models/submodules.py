"""Submodules of a package that was imported lazily, as attributes of the package."""

from __future__ import annotations

import sys


def bind_submodules(package: str) -> None:
    """Give every module below ``package`` that is loaded to its parent as an attribute.

    ArviZ loads NumPyro lazily. A statement such as ``import numpyro.distributions`` that comes
    first after it makes Python run that package twice, and the second one lacks its submodules:
    ``numpyro.factor`` then ends in an AttributeError.

    >>> import sys, numpyro
    >>> del numpyro.distributions.distribution
    >>> bind_submodules("numpyro")
    >>> numpyro.distributions.distribution is sys.modules["numpyro.distributions.distribution"]
    True
    """
    for name, module in list(sys.modules.items()):
        parent, _, child = name.rpartition(".")
        if f"{parent}.".startswith(f"{package}.") and parent in sys.modules:
            if child not in vars(sys.modules[parent]):
                setattr(sys.modules[parent], child, module)
