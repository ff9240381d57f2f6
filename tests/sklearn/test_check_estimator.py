"""scikit-learn's own checks of estimators."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from ppl_models.errors import InputError
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

FRACTIONS = "the check draws fractions, whatever an estimator's tags say of its data"
WEIGHTS = {"check_sample_weight_equivalence_on_dense_data": FRACTIONS}
ORDER = "rows are steps of a sequence, whose order is the model; score_samples is hmmlearn's"
STEPS = {"check_methods_sample_order_invariance": ORDER, "check_methods_subset_invariance": ORDER}
#: estimator, checks that cannot pass -> why
CASES: list[tuple[Any, dict[str, str]]] = [
    (GaussianMixture(2), {}),
    (BayesianGaussianMixture(n_components=2), {}),
    (KMeans(), {}),
    (BernoulliMixture(2, binarize=0.0), {}),
    (PoissonMixture(2), WEIGHTS),
    (LatentClassModel(), WEIGHTS),
    (MixtureImputer(), {}),
    (GaussianHMM(), STEPS),
    (PoissonHMM(), STEPS),
    (CategoricalHMM(), STEPS),
    (Estimator(arguments={"clusters": 2, "starts": 1, "predictive": 0, "iterations": 20}), {}),
]


def check(estimator: Any, known: dict[str, str]) -> None:
    results = check_estimator(estimator, on_fail=None, on_skip=None, expected_failed_checks=known)
    failed = [f"{r['check_name']}: {r['exception']}" for r in results if r["status"] == "failed"]
    assert not failed
    # the array API is tried where SCIPY_ARRAY_API is set, which SciPy reads when it is imported
    skipped = {r["check_name"] for r in results if r["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(known)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("estimator", "known"),
    [
        pytest.param(
            *case,
            marks=() if isinstance(case[0], KMeans | CategoricalHMM) else pytest.mark.long,
            id=type(case[0]).__name__,
        )
        for case in CASES
    ],
)
def test_every_check_passes(estimator: Any, known: dict[str, str]) -> None:
    check(estimator, known)


def test_arguments_of_a_program_are_parameters() -> None:
    """A search sets them by name; a copy has its own."""
    estimator = Estimator("gaussian_mixture", arguments={"clusters": 2})
    assert estimator.get_params()["arguments__clusters"] == 2
    other = clone(estimator).set_params(arguments__clusters=3, method="gibbs")
    assert other.arguments == {"clusters": 3} and estimator.arguments == {"clusters": 2}
    with pytest.raises(InputError, match="give it to the Estimator itself"):
        other.set_params(arguments__seed=1).fit([[0.0], [1.0]])
