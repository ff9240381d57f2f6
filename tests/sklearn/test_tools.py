"""Every estimator with scikit-learn's tools, data frames, and arrays of other libraries."""

from __future__ import annotations

from typing import Any

import array_api_strict
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils._testing import set_random_state

from ppl_models.sklearn import (
    BayesianGaussianMixture,
    BernoulliMixture,
    CategoricalHMM,
    Estimator,
    GaussianHMM,
    GaussianMixture,
    KMeans,
    LatentClassModel,
    MixtureImputer,
    PoissonHMM,
    PoissonMixture,
)

random = np.random.default_rng(0)
HALVES = np.repeat([[0.0], [6.0]], 30, axis=0)
REAL = random.normal(HALVES, size=(60, 2))
COUNTS = random.poisson(1 + 3 * HALVES, size=(60, 2)).astype(float)
BITS = random.binomial(1, 0.2 + HALVES / 10, size=(60, 2)).astype(float)
ARGUMENTS = {"clusters": 2, "starts": 1, "predictive": 0}
#: estimator, data, the parameter that counts clusters or states
CASES: list[tuple[Any, np.ndarray, str]] = [
    (GaussianMixture(2), REAL, "n_components"),
    (BayesianGaussianMixture(n_components=2), REAL, "n_components"),
    (KMeans(2), REAL, "n_clusters"),
    (BernoulliMixture(2), BITS, "n_components"),
    (PoissonMixture(2), COUNTS, "n_components"),
    (LatentClassModel(2), BITS, "n_components"),
    (MixtureImputer(2), REAL, "n_components"),
    (GaussianHMM(2), REAL, "n_components"),
    (PoissonHMM(2), COUNTS, "n_components"),
    (CategoricalHMM(2, n_features=2), BITS, "n_components"),
    (Estimator("bernoulli_mixture", arguments=ARGUMENTS), BITS, "arguments__clusters"),
]
every = pytest.mark.parametrize(
    ("estimator", "data", "size"), CASES, ids=[type(case[0]).__name__ for case in CASES]
)


def fresh(estimator: Any) -> Any:
    made = clone(estimator)
    set_random_state(made)
    return made


def answers(model: Any, data: Any) -> np.ndarray:
    return model.predict(data) if hasattr(model, "predict") else model.transform(data)


@every
def test_pipeline_search_and_cross_validation(estimator: Any, data: np.ndarray, size: str) -> None:
    last = fresh(estimator)
    pipeline = make_pipeline(FunctionTransformer(), last)
    scored = hasattr(last, "score")
    search = GridSearchCV(
        pipeline,
        {f"{type(last).__name__.lower()}__{size}": [1, 2]},
        scoring=None if scored else lambda model, rows: model.transform(rows).shape[1],
        cv=2,
        error_score="raise",
    ).fit(data)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert answers(search, data).shape[0] == len(data)
    if scored:
        assert np.isfinite(cross_val_score(pipeline, data, cv=2, error_score="raise")).all()
        assert isinstance(search.score(data), float)
    best = search.best_estimator_[-1]
    assert clone(best).get_params() == best.get_params()
    assert not [name for name in vars(clone(best)) if name.endswith("_")]  # nothing fitted


@every
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_and_names_of_columns(
    estimator: Any, data: np.ndarray, size: str, frame: type
) -> None:
    names = ["one", "two"][: data.shape[1]]
    table = frame({name: column for name, column in zip(names, data.T, strict=True)})
    model = fresh(estimator).fit(table)
    assert model.feature_names_in_.tolist() == names
    np.testing.assert_array_equal(answers(model, table), answers(fresh(estimator).fit(data), data))
    renamed = frame({f"other {name}": table[name] for name in names})
    with pytest.raises(ValueError, match="feature names"):
        answers(model, renamed)


@every
@pytest.mark.parametrize("dispatch", [False, True])
@pytest.mark.parametrize("library", [jnp, array_api_strict], ids=["jax", "array_api_strict"])
def test_arrays_of_other_libraries(
    estimator: Any, data: np.ndarray, size: str, library: Any, dispatch: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """They are read, and answers are NumPy's: the tag that promises more is not set."""
    assert not get_tags(estimator).array_api_support
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with sklearn.config_context(array_api_dispatch=dispatch):
        array = library.asarray(data)
        actual = answers(fresh(estimator).fit(array), array)
    assert type(actual) is np.ndarray
    own = np.asarray(array)  # JAX's is in single precision
    np.testing.assert_array_equal(actual, answers(fresh(estimator).fit(own), own))


@pytest.mark.parametrize("output", ["pandas", "polars"])
@pytest.mark.parametrize("estimator", [KMeans(2), MixtureImputer(2)])
def test_transformers_return_frames(estimator: Any, output: str) -> None:
    table = pd.DataFrame(REAL, columns=["one", "two"], index=np.arange(60) + 7)
    model = fresh(estimator).set_output(transform=output).fit(table)
    actual = model.transform(table)
    assert type(actual).__module__.partition(".")[0] == output
    assert list(actual.columns) == list(model.get_feature_names_out())
    assert output == "polars" or actual.index.equals(table.index)


def test_a_pipeline_hands_frames_on() -> None:
    """The imputer's frame has the names that the program after it, and its tables, show."""
    gaps = pd.DataFrame(REAL, columns=["one", "two"])
    gaps.iloc[::7, 0] = np.nan
    steps = make_pipeline(MixtureImputer(random_state=0), Estimator(arguments=ARGUMENTS))
    model = steps.set_output(transform="pandas").fit(gaps)
    tree = model[-1].tree_
    assert tree["posterior"]["feature"].values.tolist() == ["one", "two"]
    assert len(set(model.predict(gaps)[[0, -1]])) == 2
    drawn = model[-1].sample(500)
    assert drawn.shape == (500, 2)
    np.testing.assert_allclose(drawn.mean(0), REAL.mean(0), atol=0.8)
