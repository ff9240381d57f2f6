"""The examples are the data that they say they are."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ppl_models.data import (
    Bits,
    Counts,
    Reals,
    Tokens,
    digits,
    earthquakes,
    first_names,
    galaxies,
    iris,
    old_faithful,
)
from ppl_models.errors import InputError


def test_old_faithful_has_its_published_one_cluster_likelihood() -> None:
    # One full Gaussian: mclust's VVV,1 gives -1289.79675.
    x = Reals.read(old_faithful()).values
    rows, features = x.shape
    assert (rows, features) == (272, 2)
    _, log_determinant = np.linalg.slogdet(np.cov(x.T, bias=True))
    log_likelihood = -rows / 2 * (features * np.log(2 * np.pi) + log_determinant + features)
    assert abs(log_likelihood - -1289.79675) < 1e-5


def test_old_faithful_has_the_published_k_means_inertia() -> None:
    from sklearn.cluster import KMeans

    fitted = KMeans(2, n_init=10, random_state=0).fit(old_faithful().to_numpy())
    assert abs(fitted.inertia_ - 8901.768721) < 1e-5


def test_galaxies() -> None:
    here, there = galaxies()["velocity"], galaxies(seventy_eighth=26.690)["velocity"]
    assert len(here) == 82 and here.is_monotonic_increasing and there.is_monotonic_increasing
    assert np.flatnonzero(here != there).tolist() == [77]
    # Mean and standard deviation of R's MASS::galaxies, 20.82817 and 4.563758.
    assert abs(there.mean() - 20.82817) < 5e-6 and abs(there.std() - 4.563758) < 5e-7
    with pytest.raises(InputError, match="the 78th galaxy is given as 27: choose 26.960 or 26.690"):
        galaxies(seventy_eighth=27)


def test_earthquakes_have_their_published_poisson_likelihood() -> None:
    from scipy.stats import poisson

    read = Counts.read(earthquakes())
    assert read.dims == ("row",) and read.coords["row"].tolist() == list(range(1900, 2007))
    # Zucchini and MacDonald (2009): minus the log-likelihood of one state is 391.9189.
    log_likelihood = poisson.logpmf(read.values, read.values.mean()).sum()
    assert abs(log_likelihood - -391.9189) < 5e-5


def test_iris() -> None:
    measurements, species = iris()
    assert list(measurements) == ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    counts = dict(zip(*np.unique(species, return_counts=True), strict=True))
    assert counts == {"setosa": 50, "versicolor": 50, "virginica": 50}


def test_digits_are_bits_named_by_their_pixel() -> None:
    from sklearn.datasets import load_digits

    pixels, labels = digits()
    read = Bits.read(pixels)
    assert read.values.shape == (1797, 64) and read.values.dtype == np.uint8
    images = load_digits().images
    row, column = 3, 4
    np.testing.assert_array_equal(pixels[f"r{row}c{column}"], images[:, row, column] > 7)
    np.testing.assert_array_equal(labels, load_digits().target)


def test_first_names_have_their_published_transitions() -> None:
    names = first_names()
    assert len(names) == len(set(names)) == 5163 and names == sorted(names)
    read = Tokens.read(names)
    assert read.coords["token"].tolist() == list("abcdefghijklmnopqrstuvwxyz")
    # Counts (state, next token): the state before a first letter is the code after the last.
    states, codes, end = 27, read.values.astype(int), 26
    before = np.column_stack([np.full(len(names), end), codes[:, :-1]])
    inside = np.column_stack([np.ones(len(names), dtype=bool), codes[:, :-1] != end])
    counts = np.zeros((states, states))
    np.add.at(counts, (before[inside], codes[inside]), 1)
    assert counts.sum() == 36_122
    proportions = counts / counts.sum(axis=1, keepdims=True)
    loss = -(counts[counts > 0] * np.log(proportions[counts > 0])).sum() / counts.sum()
    assert abs(loss - 2.334566) < 5e-7


def test_first_names_without_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(InputError, match="come with the package `names`: install it"):
        first_names()


def test_first_names_do_not_care_for_a_script_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "names.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert len(first_names()) == 5163


@pytest.mark.parametrize("example", [old_faithful, galaxies, earthquakes])
def test_each_call_gives_data_of_its_own(example: object) -> None:
    assert callable(example)
    first = example()
    assert isinstance(first, pd.DataFrame)
    first.iloc[0, 0] = -1
    assert example().iloc[0, 0] > 0
