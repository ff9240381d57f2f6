"""Arguments and notes as JSON text, as the attributes of a DataTree hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


def to_json(values: Mapping[str, Any]) -> str:
    """Arguments as JSON; arrays as nested lists.

    >>> to_json({"a": np.ones(2), "b": (1, 2)})
    '{"a": {"array": [1.0, 1.0]}, "b": [1, 2]}'
    """

    def encode(value: Any) -> Any:
        if isinstance(value, np.ndarray | jax.Array):
            return {"array": np.asarray(value).tolist()}
        if isinstance(value, np.generic):
            return value.item()
        return repr(value)

    return json.dumps(dict(values), default=encode)


def from_json(text: str) -> dict[str, Any]:
    """Inverse of :func:`to_json`; lists come back as tuples.

    >>> from_json('{"a": {"array": [1.0, 1.0]}, "b": [1, 2]}')
    {'a': array([1., 1.]), 'b': (1, 2)}
    """

    def decode(value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"array"}:
            return np.asarray(value["array"])
        return tuple(decode(v) for v in value) if isinstance(value, list) else value

    return {n: decode(v) for n, v in json.loads(text).items()}
