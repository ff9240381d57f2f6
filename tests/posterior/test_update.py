"""More rows for a fit: statistics add up, and a stream is passed over once."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr

from ppl_models import fit, load, log_density, open_blocks, predict, save, update
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.program.arguments.signature import ROW_WEIGHTS

GENERATOR = np.random.default_rng(0)
COUNTS = GENERATOR.poisson([3.0, 12.0], (600, 2)).ravel()  # overlapping clusters, in random order
OPTIONS = {"method": "em", "seed": 0, "predictive": 0, "starts": 2}


def counted(x=None, *, rows=10):
    """One rate, with a prior of its own."""
    rate = numpyro.sample("rate", dist.Gamma(2.0, 0.5))
    with numpyro.plate("row", rows if x is None else len(x)):
        numpyro.sample("x", dist.Poisson(rate), obs=x)


def three_columns(x=None, *, rows=10, features=3):
    """Three normals of known spread."""
    with numpyro.plate("feature", features):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", rows if x is None else len(x)):
        numpyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)


def two_rates(x=None, *, rows=10):
    """Two clusters, with priors that look at no data."""
    weights = numpyro.sample("weights", dist.Dirichlet(np.full(2, 2.0)))
    with numpyro.plate("cluster", 2):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 0.2))
    with numpyro.plate("row", rows if x is None else len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Poisson(rate[z]), obs=x)


@pytest.fixture(scope="module")
def first() -> xr.DataTree:
    return fit(two_rates, COUNTS[:200], **OPTIONS)


@pytest.fixture(scope="module")
def all_rows() -> xr.DataTree:
    return fit(two_rates, COUNTS, **OPTIONS)


def test_where_nothing_is_hidden_two_updates_are_a_fit_of_all_rows() -> None:
    tree = fit(counted, COUNTS[:100], **OPTIONS)
    tree = update(update(tree, COUNTS[100:170]), COUNTS[170:])
    # the mode of Gamma(2 + Σx, 1/2 + N), in closed form
    mode = (2.0 + COUNTS.sum() - 1) / (0.5 + len(COUNTS))
    assert tree["posterior"]["rate"].item() == pytest.approx(mode, rel=1e-9)
    assert tree["statistics"].attrs == {"rows": 1200, "pieces": 3}


def test_a_stream_leads_to_the_optimum_of_all_rows(
    first: xr.DataTree, all_rows: xr.DataTree
) -> None:
    """Within a small part of a standard error, and of the rows' log-density."""
    tree = update(first, iter(np.array_split(COUNTS[200:], 10)), exponent=0.6)
    rates, wanted = (t["posterior"]["rate"].values.ravel() for t in (tree, all_rows))
    error = np.sqrt(wanted / (len(COUNTS) / 2))
    assert (np.abs(rates - wanted) < error).all()
    losses = [log_density(t, COUNTS).values.mean() for t in (first, tree, all_rows)]
    assert losses[2] - losses[1] < 0.5 / len(COUNTS)  # half a nat of all rows together
    assert losses[2] - losses[1] < 0.1 * (losses[2] - losses[0])
    assert tree["statistics"]["counts"].sum().item() == pytest.approx(1200)


def test_pieces_one_by_one_are_the_same_as_in_one_call(first: xr.DataTree) -> None:
    pieces = np.array_split(COUNTS[200:], 3)
    one_by_one = first
    for piece in pieces:
        one_by_one = update(one_by_one, piece)
    together = update(first, iter(pieces))
    for name, value in together["posterior"].items():
        np.testing.assert_allclose(one_by_one["posterior"][name], value, rtol=1e-9)
    assert one_by_one["observed_data"].sizes["row"] == 1200


def test_a_stream_never_holds_more_than_a_block(first: xr.DataTree) -> None:
    seen: list[weakref.ref] = []

    class Rows(np.ndarray):
        """One that can be referred to weakly."""

    def stream() -> Iterator[np.ndarray]:
        for _ in range(6):
            block = GENERATOR.poisson(5.0, 50_000).view(Rows)
            seen.append(weakref.ref(block))
            yield block
            del block
            gc.collect()
            held = sum(each() is not None for each in seen)
            assert held <= 1, f"{held} blocks are held"

    tree = update(first, stream(), iterations=1)
    assert len(seen) == 6
    assert tree["statistics"].attrs["rows"] == 300_200
    assert tree["observed_data"].sizes["row"] == 10_000


def test_the_sample_of_a_stream_has_rows_of_all_times(first: xr.DataTree) -> None:
    """Each of 30,200 rows is held with the same probability: 200 were seen first."""
    stream = iter([np.full(10_000, k) for k in (101, 102, 103)])
    held = update(first, stream, iterations=1)["observed_data"]["x"].values
    proportions = [(held == k).mean() for k in (101, 102, 103)]
    sd = np.sqrt(1 / 3 * 2 / 3 / 10_000)
    assert np.abs(np.array(proportions) - 10_000 / 30_200).max() < 5 * sd


def test_a_fit_to_blocks_goes_on_and_is_saved(tmp_path: Path, first: xr.DataTree) -> None:
    blocks = fit(two_rates, open_blocks(COUNTS[:200], rows=70), **OPTIONS)
    goes_on = update(load(save(blocks, tmp_path / "fit.nc")), COUNTS[200:400])
    wanted = update(first, COUNTS[200:400])
    for name, value in wanted["posterior"].items():
        np.testing.assert_allclose(goes_on["posterior"][name], value, rtol=1e-6)
    again = update(load(save(goes_on, tmp_path / "more.nc")), COUNTS[400:])
    assert again["statistics"].attrs["rows"] == 1200
    assert predict(again, COUNTS[:5]).sizes == {"row": 5, "cluster": 2}
    assert "1,200 rows" in json.loads(again.attrs["notes"])["notes"][0]


def test_files_and_frames_with_missing_cells(tmp_path: Path) -> None:
    rows = GENERATOR.normal(size=(400, 3))
    rows[200::7, 1] = np.nan  # and no row of the first fit has a gap
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    frame.iloc[200:].to_csv(tmp_path / "more.csv", index=False)
    start = fit(three_columns, frame.iloc[:200], **OPTIONS)
    tree = update(start, tmp_path / "more.csv")
    seen = (~np.isnan(rows)).sum(0)
    mode = np.nansum(rows, 0) / (seen + 0.01)
    np.testing.assert_allclose(tree["posterior"]["loc"].values[0, 0], mode, rtol=1e-9)
    with pytest.raises(InputError, match="'?d'?"):
        update(tree, frame.rename(columns={"c": "d"}))


def test_what_cannot_be_updated_is_refused(first: xr.DataTree) -> None:
    with pytest.raises(InputError, match="the source is empty"):
        update(first, iter([]))
    with pytest.raises(InputError, match=r"above 0\.5"):
        update(first, COUNTS, exponent=0.4)
    drawn = first.copy()
    drawn.attrs["method"] = "gibbs"
    with pytest.raises(UnsupportedError, match="em, hard, stochastic_em"):
        update(drawn, COUNTS)
    weighted = first.copy()
    counts = xr.Dataset({ROW_WEIGHTS: ("row", np.ones(200))})
    weighted["constant_data"] = xr.DataTree(counts)
    with pytest.raises(UnsupportedError, match="weights=, and more rows have none"):
        update(weighted, COUNTS)
