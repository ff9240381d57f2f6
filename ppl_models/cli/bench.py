"""``ppl-models bench``: speed, and the accuracy of single precision, on this computer."""

from __future__ import annotations

import argparse
import importlib
import importlib.util

from ppl_models.errors import InputError


def run(options: argparse.Namespace) -> None:
    """Print the tables line by line, as they are measured."""
    if not options.device:
        raise InputError(
            "bench needs --device; comparisons with other libraries are python -m "
            "experiments.benchmarks"
        )
    if importlib.util.find_spec("experiments") is None:
        raise InputError("the package experiments is not installed: pip install the whole project")
    device = importlib.import_module("experiments.benchmarks.device")
    for line in device.run(device.SMALL if options.small else device.LARGE):
        print(line, flush=True)
