"""scikit-learn's own checks of estimators."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import check_estimator

from ppl_models.sklearn import (
    BayesianGaussianMixture,
    BernoulliMixture,
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
]  # CategoricalHMM takes one column of codes, and the checks draw more


def check(estimator: Any, known: dict[str, str]) -> None:
    results = check_estimator(estimator, on_fail=None, on_skip=None, expected_failed_checks=known)
    failed = [f"{r['check_name']}: {r['exception']}" for r in results if r["status"] == "failed"]
    assert not failed
    # the array API is tried where SCIPY_ARRAY_API is set, which SciPy reads when it is imported
    skipped = {r["check_name"] for r in results if r["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(known)


@pytest.mark.filterwarnings("ignore")
def test_k_means_passes() -> None:
    check(*CASES[2])


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("estimator", "known"), CASES, ids=[type(estimator).__name__ for estimator, _ in CASES]
)
def test_every_check_passes(estimator: Any, known: dict[str, str]) -> None:
    check(estimator, known)
