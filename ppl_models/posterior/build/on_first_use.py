"""Lazy variables, computed on first access: predictive draws, which many fits never need.

xarray treats them as it does variables of a file: shapes are known at once, and values are kept
once something asks for them, such as a picture, ``save`` or arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import RLock
from typing import Any

import jax
import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from ppl_models.program.runtime.precision import scope


class FirstUse:
    """Arrays by name, computed together when one of them is first read.

    Args:
        compute: gives the arrays; called once at most, in the floating-point precision of now.

    >>> def compute():
    ...     print("computed")
    ...     return {"x": np.arange(3.0)}
    >>> arrays = FirstUse(compute)
    >>> arrays["x"], arrays["x"]
    computed
    (array([0., 1., 2.]), array([0., 1., 2.]))
    """

    def __init__(self, compute: Callable[[], Mapping[str, Any]]):
        self.compute: Callable[[], Mapping[str, Any]] | None = compute
        self.precision = "float64" if jax.config.jax_enable_x64 else "float32"
        self.arrays: dict[str, np.ndarray] = {}
        self.lock = RLock()

    def __getitem__(self, name: str) -> np.ndarray:
        with self.lock:
            if self.compute is not None:
                with scope(self.precision):
                    self.arrays = {n: np.asarray(v) for n, v in self.compute().items()}
                self.compute = None  # the data that it held are free
            return self.arrays[name]

    def variable(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """Lazy array for a variable of xarray.

        Args:
            name: of the array.
            shape: of the array.
            dtype: of the array, which is cast to it.

        >>> import xarray as xr
        >>> counts = FirstUse(lambda: {"x": [4, 5]}).variable("x", (2,), "int32")
        >>> xr.DataArray(counts, dims="row").isel(row=1).item()
        5
        """
        lazy: Any = indexing.LazilyIndexedArray(_Unread(self, name, shape, np.dtype(dtype)))
        return indexing.MemoryCachedArray(indexing.CopyOnWriteArray(lazy))


class _Unread(BackendArray):
    """An array of :class:`FirstUse`; copies share it, and a pickle holds its values."""

    __slots__ = ("arrays", "dtype", "name", "shape")

    def __init__(self, arrays: Any, name: str, shape: tuple[int, ...], dtype: np.dtype):
        self.arrays, self.name, self.shape, self.dtype = arrays, name, shape, dtype

    def values(self) -> np.ndarray:
        drawn = self.arrays[self.name]
        values = drawn.astype(self.dtype, copy=False)
        assert self.dtype.kind == "f" or (values == drawn).all(), f"{self.name} is not whole"
        assert values.shape == self.shape, f"{self.name}: {values.shape}, not {self.shape}"
        return values

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, lambda basic: self.values()[basic]
        )

    def __copy__(self) -> _Unread:
        return self

    def __deepcopy__(self, memo: Any) -> _Unread:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ({self.name: self.values()}, self.name, self.shape, self.dtype)
