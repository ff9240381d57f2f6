"""Discrete sites at given values, or at all of their values at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jax import Array
from numpyro.primitives import Messenger


class AllValues(Messenger):
    """Give discrete sites their values; all at once on an axis to the left of their plate."""

    def __init__(self, fn: Callable, values: Mapping[str, Array]):
        super().__init__(fn)
        self.values = values

    def process_message(self, message: dict[str, Any]) -> None:
        """Set the value of a site that has one."""
        if message["type"] == "sample" and message["name"] in self.values:
            message["value"] = self.values[message["name"]]
