"""Run scikit-learn's and hmmlearn's installed tests against this package's estimators.

    python -m experiments.upstream

Which tests pass, and why the others do not, is written to ``results.md``. None of their code is
copied: the installed files are run with our classes in the place of theirs. Tests that make none of
our estimators (of functions, or of other classes) are not counted.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # SciPy reads it when it is imported

import pytest  # noqa: E402

import ppl_models.sklearn  # noqa: E402

#: module of tests -> module that it takes the classes from, their names
SUITES = {
    "sklearn.mixture.tests.test_gaussian_mixture": ("sklearn.mixture", ("GaussianMixture",)),
    "sklearn.mixture.tests.test_bayesian_mixture": (
        "sklearn.mixture",
        ("BayesianGaussianMixture",),
    ),
    "sklearn.mixture.tests.test_mixture": (
        "sklearn.mixture",
        ("GaussianMixture", "BayesianGaussianMixture"),
    ),
    "sklearn.cluster.tests.test_k_means": ("sklearn.cluster", ("KMeans",)),
    "hmmlearn.tests.test_gaussian_hmm": ("hmmlearn.hmm", ("GaussianHMM",)),
    "hmmlearn.tests.test_categorical_hmm": ("hmmlearn.hmm", ("CategoricalHMM",)),
    "hmmlearn.tests.test_poisson_hmm": ("hmmlearn.hmm", ("PoissonHMM",)),
}
PRIVATE = "asks a private function or attribute"
ARRAYS = "is of answers in the array library of the data; ours are NumPy's, as their tags say"
#: test -> why it does not pass
REASONS = {
    "test_gaussian_mixture_setting_best_params": "it expects a component of one row, whose "
    "variance is nothing but rounding, to be kept; here it is refused",
    "test_gaussian_mixture_precisions_init_diag": "it takes components to be in the order of "
    "scikit-learn's k-means for the same seed",
    "test_underflow_from_scaling": "it expects hmmlearn's passes by scaling to underflow; "
    "these do not",
    "test_gaussian_mixture_array_api_compliance": ARRAYS,
    "test_gaussian_mixture_raises_where_array_api_not_implemented": ARRAYS,
    "test_kmeans_verbose": "it looks for scikit-learn's words about every iteration",
    "test_warning_elkan_1_cluster": "there is no code of Elkan's to warn of",
    "test_kmeans_init_auto_with_initial_centroids": PRIVATE,
    "test_relocating_with_duplicates": "a cluster that is empty for want of distinct rows takes "
    "over a row here, which is one iteration more",
    "test_n_init_auto": PRIVATE,
    "test_sample_weight_init": PRIVATE,
    "test_sample_weight_zero": PRIVATE,
    "test_gaussian_mixture_precisions_init": PRIVATE,
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": PRIVATE,
    "test_compare_covar_type": PRIVATE,
    "test__check_and_set_categorical_n_features": PRIVATE,
}


class Outcomes:
    """Collects how every test ended, of those that made one of our estimators."""

    def __init__(self) -> None:
        self.of_test: dict[str, str] = {}
        self.made = 0

    def counted(self, cls: type) -> type:
        """Have a class count how many estimators are made of it."""

        def new(kind: type, *args: Any, **kwargs: Any) -> Any:
            self.made += 1
            return object.__new__(kind)

        cls.__new__ = new  # type: ignore[method-assign, assignment]
        return cls

    def pytest_runtest_setup(self) -> None:
        """A test begins."""
        self.made = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's set-up, call or tear-down has ended."""
        test = report.nodeid.partition("::")[2]
        skipped = report.outcome == "skipped"
        if skipped or (self.made and (report.when == "call" or report.outcome != "passed")):
            self.of_test[test] = report.outcome


def main() -> int:
    """Run all suites and write the results."""
    lines = [
        "# Other libraries' tests, run against ours",
        "",
        f"scikit-learn {version('scikit-learn')}, hmmlearn {version('hmmlearn')}; "
        "`python -m experiments.upstream`. Skipped tests ask for a library of arrays that is not "
        "installed here.",
        "",
        "| tests | pass | fail | of these private | of the array API | skipped |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    details, unexplained, passed, public = [], [], 0, 0
    for suite, (place, names) in SUITES.items():
        module = importlib.import_module(place)
        outcomes = Outcomes()
        for name in names:
            setattr(module, name, outcomes.counted(getattr(ppl_models.sklearn, name)))
        options = ["-c", "/dev/null", "-p", "no:cacheprovider", "-q", "--tb=no", "--pyargs", suite]
        pytest.main(options, plugins=[outcomes])
        counts = Counter(outcomes.of_test.values())
        failed = [test for test, outcome in outcomes.of_test.items() if outcome == "failed"]
        reasons = {test: REASONS.get(test.split("::")[-1].split("[")[0]) for test in failed}
        private, arrays = (
            sum(reason == kind for reason in reasons.values()) for kind in (PRIVATE, ARRAYS)
        )
        lines.append(
            f"| {suite} | {counts['passed']} | {counts['failed']} | {private} | "
            f"{arrays} | {counts['skipped']} |"
        )
        passed += counts["passed"]
        public += counts["passed"] + counts["failed"] - private - arrays
        of_reason: dict[tuple[str, str | None], list[str]] = {}
        for test, reason in reasons.items():
            of_reason.setdefault((test.partition("[")[0], reason), []).append(test)
        details += [
            f"- `{suite}`, `{test}`{f', {len(cases)} cases' if len(cases) > 1 else ''}: {reason}."
            for (test, reason), cases in of_reason.items()
        ]
        unexplained += [test for test, reason in reasons.items() if reason is None]
    lines += [
        "",
        f"{passed} of the {public} tests that ask nothing private, and no answers in another array "
        f"library, pass: {passed / public:.1%}.",
        "",
        "Those that do not:",
        "",
        *details,
        "",
    ]
    (Path(__file__).parent / "results.md").write_text("\n".join(lines), encoding="utf-8")
    return len(unexplained)


if __name__ == "__main__":
    sys.exit(main())
