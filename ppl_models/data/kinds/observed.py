"""Base class of the data kinds, and the data that a program receives.

A program says what its data are by annotating the data parameter with a kind
(``x: Reals = None``).  The kind turns whatever container a person has into one `Observed`,
or raises an InputError of one sentence; no later code looks at containers or cells.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ppl_models.data.missing import has_missing
from ppl_models.errors import InputError

#: in the annotation of a data parameter: ``Annotated[Any, Bits, FEATURE_AXIS]``
FEATURE_AXIS = "a single column keeps its axis"
#: the parameter takes the columns of its kind out of one table; see ``by_type``
BY_TYPE = "columns by type"


@dataclass(frozen=True)
class Observed:
    """Data as a program receives them, with the names of their axes.

    Attributes:
        values: the array; a missing cell is NaN (then the dtype is float64).  It may share
            memory with the container that it was read from.
        dims: ``("row", "feature")``, ``("row",)`` or ``("sequence", "position")``.
        coords: labels by dimension; also of dimensions that only parameters have, as "level".
        arguments: sizes that a program can be told: ``rows``, ``features``, ``levels``, ...
        refusal: why they cannot be what a program emits, such as a constant column, which may
            well be a covariate; None if they can.

    Example:
        >>> dims, labels = ("row", "feature"), {"row": np.arange(2)}
        >>> read = Observed(np.zeros((2, 1)), dims, labels, {"rows": 2, "features": 1})
        >>> read.along("patient").dims, read.has_missing
        (('patient', 'feature'), False)
    """

    values: np.ndarray
    dims: tuple[str, ...]
    coords: dict[str, np.ndarray]
    arguments: dict[str, object]
    refusal: InputError | None = None

    def along(self, plate: str) -> Observed:
        """The same data with the row dimension named after the program's plate."""
        first = self.dims[0]
        if plate == first:
            return self
        coords = {plate if n == first else n: labels for n, labels in self.coords.items()}
        return replace(self, dims=(plate, *self.dims[1:]), coords=coords)

    def with_feature_axis(self) -> Observed:
        """The same data; a single column gets a feature axis."""
        if self.dims != ("row",):
            return self
        return replace(self, values=self.values[:, None], dims=("row", "feature"))

    @property
    def has_missing(self) -> bool:
        """Whether any cell is missing."""
        return has_missing(self.values)


class Kind(ABC):
    """What the cells of a data parameter are; used as an annotation, never instantiated.

    Example:
        >>> from ppl_models.data import KINDS
        >>> [kind.__name__ for kind in KINDS]
        ['Reals', 'Bits', 'Counts', 'Categories', 'Tokens', 'Series', 'Graphs']
    """

    @classmethod
    @abstractmethod
    def read(
        cls,
        data: object,
        *,
        site: str = "x",
        like: Mapping[str, ArrayLike] | None = None,
        fresh: bool = True,
        covariate: bool = False,
    ) -> Observed:
        """Read a container of data.

        Args:
            data: any container that the kind understands.
            site: name of the program's data parameter, for messages.
            like: coordinates of an earlier reading, whose features, levels or tokens the new
                data must have.
            fresh: True for data to fit (all checks); False for new rows to score or to fill
                in, where single rows and constant or all-missing columns are fine.
            covariate: whether the data may be a covariate, of which a constant column is no
                fault; the result's ``refusal`` then says why the program cannot emit them.

        Raises:
            InputError: the data cannot be used; the sentence says what, where, and what to do.
        """
