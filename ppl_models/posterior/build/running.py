"""The statistics of all rows that a fit has seen, in its tree: what `update` adds more rows to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ppl_models.inference.statistics.e_step import Expectations

STATISTICS = "statistics"  #: group of the tree
COUNTS, NORMALISER, CENTRE = "counts", "log_normaliser", "centre"


@dataclass(frozen=True)
class RunningStatistics:
    """Expected sufficient statistics of all rows that were seen.

    Args:
        expected: the statistics; the log-normaliser is the sum of the rows' log-densities, each at
            the parameters that it was last seen with.
        centres: by site, the point that they are about.
        rows: how many rows were seen.
        pieces: how many pieces they came in.
    """

    expected: Expectations
    centres: Mapping[str, np.ndarray]
    rows: int
    pieces: int = 1

    def to_dataset(self) -> xr.Dataset:
        """The statistics as a group of a tree."""
        arrays: dict[str, Any] = {
            COUNTS: self.expected.counts,
            NORMALISER: self.expected.log_normaliser,
        }
        for site, statistics in self.expected.statistics.items():
            arrays |= {f"{site}.{name}": value for name, value in statistics.items()}
            arrays[f"{CENTRE}.{site}"] = self.centres[site]
        variables = {
            name: ([f"{name}_dim_{i}" for i in range(np.ndim(value))], np.asarray(value))
            for name, value in arrays.items()
        }
        return xr.Dataset(variables, attrs={"rows": self.rows, "pieces": self.pieces})

    @classmethod
    def of_dataset(cls, dataset: xr.Dataset) -> RunningStatistics:
        """Inverse of `to_dataset`."""
        read = {str(n): v.values for n, v in dataset.data_vars.items()}
        counts, normaliser = read.pop(COUNTS), read.pop(NORMALISER)
        sites = [n.removeprefix(f"{CENTRE}.") for n in read if n.startswith(f"{CENTRE}.")]
        centres = {site: read.pop(f"{CENTRE}.{site}") for site in sites}
        statistics: dict[str, Any] = {
            site: {
                n.removeprefix(f"{site}."): v for n, v in read.items() if n.startswith(f"{site}.")
            }
            for site in sites
        }
        expected = Expectations(normaliser, counts, statistics)  # type: ignore[arg-type]
        rows, pieces = int(dataset.attrs["rows"]), int(dataset.attrs["pieces"])
        return cls(expected, centres, rows, pieces)
