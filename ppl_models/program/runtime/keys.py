"""Random keys made and split on the host: the same numbers as ``jax.random``, nothing compiled.

JAX compiles a program for making a key, one for folding a number in, and two for every number of
keys that another is split into. They are a few additions and shifts: Threefry-2x32 of Salmon et al.
(2011). Where another generator is configured, or a key is traced, JAX does it.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import Array, random

THREEFRY = "threefry2x32"
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def make_key(seed: int) -> Array:
    """``jax.random.key``.

    >>> make_key(3) == random.key(3)
    Array(True, dtype=bool)
    """
    if not _on_host(None) or not 0 <= seed < 1 << 32:
        return random.key(seed)
    return _key(np.array([0, seed], np.uint32))


def split(key: Array, count: int = 2) -> Array:
    """``jax.random.split``: ``(count,)`` keys.

    >>> bool((split(make_key(3), 5) == random.split(random.key(3), 5)).all())
    True
    """
    if not _on_host(key):
        return random.split(key, count)
    return _key(_split(key, count))


def split_apart(key: Array, count: int = 2) -> list[Array]:
    """The keys of ``jax.random.split``, one by one: to unpack an array of them is compiled too.

    >>> split_apart(make_key(3))[1] == random.split(random.key(3))[1]
    Array(True, dtype=bool)
    """
    if not _on_host(key):
        return list(random.split(key, count))
    return [_key(own) for own in _split(key, count)]


def fold_in(key: Array, number: int) -> Array:
    """``jax.random.fold_in``.

    >>> fold_in(make_key(3), 7) == random.fold_in(random.key(3), 7)
    Array(True, dtype=bool)
    """
    if not _on_host(key) or not 0 <= number < 1 << 32:
        return random.fold_in(key, number)
    mixed = _threefry(_numbers(key), np.zeros(1, np.uint32), np.array([number], np.uint32))
    return _key(np.concatenate(mixed))


def _on_host(key: Any) -> bool:
    """Whether the key is one, concrete, and of JAX's own generator as it comes."""
    if not jax.config.jax_threefry_partitionable:  # type: ignore[attr-defined]
        return False
    if key is None:
        return jax.config.jax_default_prng_impl == THREEFRY  # type: ignore[attr-defined]
    if isinstance(key, jax.core.Tracer) or key.shape != ():
        return False
    return (
        jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
        and str(random.key_impl(key)) == THREEFRY
    )


def _key(numbers: np.ndarray) -> Array:
    return random.wrap_key_data(numbers, impl=THREEFRY)  # type: ignore[arg-type]


def _numbers(key: Array) -> np.ndarray:
    return np.asarray(random.key_data(key))


def _split(key: Array, count: int) -> np.ndarray:
    places = np.arange(count, dtype=np.uint32)
    return np.stack(_threefry(_numbers(key), np.zeros_like(places), places), 1)


def _threefry(
    key: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Twenty rounds, the key added after every four."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ PARITY)
    with np.errstate(over="ignore"):
        first, second = first + schedule[0], second + schedule[1]
        for block in range(5):
            for shift in ROTATIONS[block % 2]:
                first = first + second
                second = (second << np.uint32(shift)) | (second >> np.uint32(32 - shift))
                second = first ^ second
            first = first + schedule[(block + 1) % 3]
            second = second + schedule[(block + 2) % 3] + np.uint32(block + 1)
    return first, second
