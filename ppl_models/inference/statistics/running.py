"""Statistics of rows that come piece by piece: sums, running averages, what is kept of a piece.

An E-step's statistics are sums over rows, so that those of more rows are added; in double precision
and on the host, whatever the precision of the passes. Cappé and Moulines (2009), On-line
expectation–maximization algorithm for latent data models, J. R. Statist. Soc. B 71.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.statistics.chunks import Chunks, Families
from ppl_models.inference.statistics.e_step import Expectations

EXPONENT = 0.6  #: of the steps of stochastic EM, as Cappé and Moulines choose it


def step_size(step: int, exponent: float = EXPONENT) -> float:
    """The weight of a new piece in a running average: (step + 1)^-exponent.

    Args:
        step: pieces before it.
        exponent: above 0.5, so that noise averages out, and at most 1, so that no start is too far.

    >>> step_size(0), step_size(3, 1.0)
    (1.0, 0.25)
    """
    return float((step + 1) ** -exponent)


def check_exponent(exponent: float) -> None:
    """Refuse steps with which stochastic approximation does not converge (Robbins, Monro 1951)."""
    if not 0.5 < exponent <= 1:
        raise InputError(f"exponent is {exponent}: give a number above 0.5 and at most 1")


def averaged(old: Any, new: Any, weight: float) -> Any:
    """Trees of arrays, of which the new one has a share.

    >>> averaged({"count": np.array([2.0])}, {"count": np.array([4.0])}, 0.25)
    {'count': array([2.5])}
    """
    return jax.tree.map(lambda a, b: (1 - weight) * a + weight * b, old, new)


def scaled_by(tree: Any, factor: float) -> Any:
    """A tree of arrays times a number."""
    return jax.tree.map(lambda v: v * factor, tree)


def gaps_allowed(families: Families, chunks: Chunks) -> Chunks:
    """Chunks like which more rows are cut: with gaps, where a family leaves them out cell by cell.

    Statistics of rows with gaps are others in such families (counts of cells, not of rows), and
    nobody knows whether a cell will be missing of the rows that come.

    Args:
        families: of the emissions.
        chunks: of rows so far.
    """
    gaps = tuple((n, missing or families[n].factorises) for n, missing in chunks.missing)
    return replace(chunks, missing=gaps)


def off_centre(expected: Expectations, centres: Mapping[str, Any]) -> str | None:
    """A site whose statistics are not about its centre, so that no others add up with them.

    In single precision, components that lie far apart have statistics about their own locations,
    which move from step to step.

    Args:
        expected: of the E-step.
        centres: by site, a point amid the data.
    """
    for name, own in expected.statistics.items():
        if "about" in own:
            about = np.asarray(own["about"], np.float64)
            centre = np.broadcast_to(np.asarray(centres[name], np.float64), about.shape)
            if not np.array_equal(about, centre):
                return name
    return None


def exact(expected: Expectations, centres: Mapping[str, Any]) -> Expectations:
    """An E-step's statistics on the host, all about the centres, so that they add up.

    Args:
        expected: of the E-step.
        centres: by site, a point amid the data.

    Raises:
        UnsupportedError: statistics that are :func:`off_centre`.
    """
    if (site := off_centre(expected, centres)) is not None:
        raise UnsupportedError(
            f"the components of site '{site}' lie so far apart that single precision cannot add up "
            "their statistics step by step: give precision='float64', or method='em'"
        )
    statistics = {
        name: {n: np.asarray(v, np.float64) for n, v in own.items() if n != "about"}
        for name, own in expected.statistics.items()
    }
    return Expectations(
        np.asarray(expected.log_normaliser, np.float64),  # type: ignore[arg-type]
        np.asarray(expected.counts, np.float64),  # type: ignore[arg-type]
        statistics,  # type: ignore[arg-type]
    )


def summed(old: Expectations | None, new: Expectations, sign: float = 1.0) -> Expectations:
    """Statistics of the rows of both; of None, the new ones.

    Args:
        old: statistics.
        new: statistics.
        sign: -1 takes the new ones away.
    """
    if old is None:
        return new
    return jax.tree.map(lambda a, b: a + sign * b, old, new)


def to_arrays(name: str, expected: Expectations) -> dict[str, np.ndarray]:
    """Statistics as arrays by name, each beginning with ``name``.

    Args:
        name: of the statistics.
        expected: statistics.
    """
    arrays = {
        f"{name}.log_normaliser": np.asarray(expected.log_normaliser),
        f"{name}.counts": np.asarray(expected.counts),
    }
    for site, own in expected.statistics.items():
        arrays |= {f"{name}.statistics.{site}.{n}": np.asarray(v) for n, v in own.items()}
    return arrays


def of_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> Expectations | None:
    """Inverse of :func:`to_arrays`; None where there are none of this name.

    >>> one = Expectations(np.zeros(()), np.ones(2), {"x.1": {"first": np.ones((2, 1))}})
    >>> again = of_arrays("total", to_arrays("total", one))
    >>> again.statistics["x.1"]["first"].shape, again.counts.tolist()
    ((2, 1), [1.0, 1.0])
    """
    if f"{name}.counts" not in arrays:
        return None
    statistics: dict[str, dict[str, np.ndarray]] = {}
    start = f"{name}.statistics."
    for key, value in arrays.items():
        if key.startswith(start):
            site, _, statistic = key[len(start) :].rpartition(".")
            statistics.setdefault(site, {})[statistic] = value
    return Expectations(
        arrays[f"{name}.log_normaliser"],  # type: ignore[arg-type]
        arrays[f"{name}.counts"],  # type: ignore[arg-type]
        statistics,  # type: ignore[arg-type]
    )
