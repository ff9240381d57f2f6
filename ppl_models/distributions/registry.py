"""Names of emission classes: what a saved fit calls its emission, and the class of that name.

Every emission class that is defined in this process is registered under ``"module:ClassName"``, so
that a class of a script, a notebook or a test is found again although no module of the package
holds it. A class that was not defined yet is imported from its module.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from numpyro.distributions import ExpandedDistribution, Independent

_CLASSES: dict[str, type] = {}


def register(cls: type) -> None:
    """Make a class known to :func:`family_class`; of two classes of one name the later one."""
    _CLASSES[family_name(cls)] = cls


def family_name(distribution: Any) -> str:
    """``"module:ClassName"`` of a distribution or of its class.

    Plates and ``to_event`` around a distribution do not count.

    >>> import numpyro.distributions as dist
    >>> family_name(dist.StudentT(4.0, 0.0, 1.0).expand([3]).to_event(1))
    'numpyro.distributions.continuous:StudentT'
    """
    while isinstance(distribution, ExpandedDistribution | Independent):
        distribution = distribution.base_dist
    cls = distribution if isinstance(distribution, type) else type(distribution)
    return f"{cls.__module__}:{cls.__qualname__}"


def family_class(name: str) -> type | None:
    """The emission class of a name; None where there is none, or where it declares nothing.

    What is found is an emission of this package or a subclass of one, so that all its declarations
    (``component_picture`` and the others) can be read. NumPyro's own distributions have none:
    those that :func:`.convert.as_family` converts are named by what they are converted to.

    >>> family_class("ppl_models.distributions.exponential.poisson:PoissonVector").__name__
    'PoissonVector'
    >>> family_class("numpyro.distributions.continuous:StudentT") is None
    True
    """
    if name not in _CLASSES:
        try:  # to import the module is to define, and so to register, its classes
            importlib.import_module(name.partition(":")[0])
        except (ImportError, ValueError):
            return None
    return _CLASSES.get(name)


_EQUIVALENTS: dict[tuple[type, int], Any] = {}


def register_equivalent(numpyro_class: type, event_dims: int, cls: Any) -> None:
    """Let a family stand for a distribution of NumPyro's with that many ``to_event`` axes."""
    _EQUIVALENTS[numpyro_class, event_dims] = cls


def equivalent(numpyro_class: type, event_dims: int) -> Any | None:
    """The exponential family that stands for a distribution of NumPyro's, or None."""
    return _EQUIVALENTS.get((numpyro_class, event_dims))


def classes_of_folder(folder: ModuleType) -> list[type]:
    """The public emission classes of all files in a folder, which are imported."""
    prefix = f"{folder.__name__}."
    for module in pkgutil.iter_modules(folder.__path__, prefix):
        importlib.import_module(module.name)
    own = [c for c in _CLASSES.values() if c.__module__.startswith(prefix)]
    return [c for c in own if not c.__name__.startswith("_")]
