"""The recurrent chain's step of a ladder of models of names: trained, judged, writing names."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ppl_models import fit, generate, log_density
from ppl_models.data import decode


@dataclass(frozen=True)
class Writer:
    """A trained network and what it is worth.

    Attributes:
        tree: the fit.
        log_density: of every name kept aside.
        bits_per_letter: of the names kept aside, ``<end>`` paid for by the letters.
        nats_per_transition: of the same, ``<end>`` counted.
        names: written by the network.
        seconds: of training, compilation included.
    """

    tree: xr.DataTree
    log_density: np.ndarray
    bits_per_letter: float
    nats_per_transition: float
    names: list[str]
    seconds: float


def recurrent_writer(
    train: Sequence[str],
    test: Sequence[str],
    *,
    seed: int,
    cell: str = "gru",
    embedding: int = 16,
    hidden: int = 128,
    prior_scale: float = 2.0,
    steps: int = 3000,
    batch_size: int = 256,
    learning_rate: float = 0.005,
    validation_fraction: float = 0.0,
    generated: int = 1000,
) -> Writer:
    """Train a recurrent chain in single precision and judge it on names kept aside.

    Args:
        train: names to fit.
        test: names to judge by, of the same letters.
        seed: of everything.
        cell: "gru" or "lstm".
        embedding: numbers that stand for a letter.
        hidden: units.
        prior_scale: of the weights.
        steps: of training.
        batch_size: names of a step.
        learning_rate: the largest.
        validation_fraction: share of the fitted names that training stops by; few names need it.
        generated: names to write.
    """
    started = time.perf_counter()
    tree = fit("recurrent_chain", list(train), method="map", seed=seed, precision="float32",
               predictive=0, cell=cell, embedding=embedding, hidden=hidden,
               prior_scale=prior_scale, steps=steps, batch_size=batch_size,
               learning_rate=learning_rate, validation_fraction=validation_fraction)  # fmt: skip
    seconds = time.perf_counter() - started
    density = log_density(tree, list(test)).values.astype(float)
    letters = sum(map(len, test))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[^\n]* sequences were cut")
        drawn = generate(tree, generated, seed=seed + 1, length=30)["tokens"].values
    made = decode(drawn, [str(t) for t in tree["posterior"]["token"].values])
    return Writer(
        tree,
        density,
        float(-density.sum() / np.log(2) / letters),
        float(-density.sum() / (letters + len(test))),
        ["".join(name) for name in made],
        seconds,
    )
