"""Maximum likelihood against published fits, one-sided: those are local optima too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ppl_models import choose_clusters, fit
from ppl_models.data import iris, old_faithful


def _faithful(reference):
    return np.asarray(old_faithful(), float)


def _iris(reference):
    table = iris()
    frame = table[0] if isinstance(table, tuple) else table
    return np.asarray(pd.DataFrame(frame).select_dtypes("number"), float)


def _galaxies(reference):
    frame = pd.read_csv(reference / "mixtures" / "galaxies_MASS.csv")
    return frame.iloc[:, -1].to_numpy(float) / 1000


#: data, program, arguments, log-likelihood: mclust for Gaussians (Scrucca et al. 2016), poLCA for
#: latent classes (Linzer and Lewis 2011)
PUBLISHED = [
    (_faithful, "gaussian_mixture", {"clusters": 3, "covariance": "tied"}, -1126.326),
    (_iris, "gaussian_mixture", {"clusters": 3, "covariance": "full"}, -180.18584),
    (_galaxies, "gaussian_mixture", {"clusters": 3}, -203.1792),
    ("latent_class/gss82.csv", "categorical_mixture", {"clusters": 4}, -2746.6208),
]


@pytest.mark.long
@pytest.mark.parametrize(
    ("source", "program", "arguments", "published"),
    PUBLISHED,
    ids=[f"{getattr(s, '__name__', s)}-{a['clusters']}" for s, _, a, _ in PUBLISHED],
)
def test_log_likelihood_reaches_the_published_one(reference, source, program, arguments, published):
    data = source(reference) if callable(source) else pd.read_csv(reference / source)
    tree = fit(program, data, method="em", seed=0, priors="flat", predictive=0, **arguments)
    assert float(tree["log_likelihood/x"].sum()) >= published - 1e-3
    assert not tree["starts/collapsed"].values[tree["starts/best"].values].any()


#: numbers of classes and their log-likelihoods, climbed together
CLASSES = {
    "carcinoma": {2: -317.2568, 3: -293.7050},
    "gss82": {3: -2754.5454},
}


@pytest.mark.long
@pytest.mark.parametrize("name", CLASSES)
def test_numbers_of_classes_reach_the_published_log_likelihoods(reference, name):
    data, wanted = pd.read_csv(reference / "latent_class" / f"{name}.csv"), CLASSES[name]
    table = choose_clusters("categorical_mixture", data, wanted, seed=0, starts=16)
    actual = table.set_index("clusters")["log_likelihood"]
    for classes, published in wanted.items():
        assert actual[classes] >= published - 1e-3
