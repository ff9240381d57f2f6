"""Run scikit-learn's and hmmlearn's installed tests against this package's estimators.

    python -m experiments.upstream

What passes and why the rest does not goes to ``results.md``. None of their code is copied: the
installed files are run with our classes in the place of theirs.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest

import ppl_models.sklearn

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
    "hmmlearn.tests.test_gaussian_hmm": ("hmmlearn.hmm", ("GaussianHMM",)),
    "hmmlearn.tests.test_categorical_hmm": ("hmmlearn.hmm", ("CategoricalHMM",)),
    "hmmlearn.tests.test_poisson_hmm": ("hmmlearn.hmm", ("PoissonHMM",)),
}
PRIVATE = "asks a private function or attribute"
#: test -> why it does not pass
REASONS = {
    "test_gaussian_mixture_setting_best_params": "it expects a component of one row, whose "
    "variance is nothing but rounding, to be kept; here it is refused",
    "test_gaussian_mixture_precisions_init_diag": "it takes components to be in the order of "
    "scikit-learn's k-means for the same seed",
    "test_underflow_from_scaling": "it expects hmmlearn's passes by scaling to underflow; "
    "these do not",
    "test_gaussian_mixture_precisions_init": PRIVATE,
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": PRIVATE,
    "test_compare_covar_type": PRIVATE,
    "test__check_and_set_categorical_n_features": PRIVATE,
}


class Outcomes:
    """Collects how every test ended."""

    def __init__(self) -> None:
        self.of_test: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's set-up, call or tear-down has ended."""
        name = report.nodeid.rpartition("::")[2]
        whole = f"{report.nodeid.partition('::')[2]}" or name
        if report.when == "call" or report.outcome != "passed":
            self.of_test[whole] = report.outcome


def main() -> int:
    """Run all suites and write the results."""
    lines = [
        "# Other libraries' tests, run against ours",
        "",
        f"scikit-learn {version('scikit-learn')}, hmmlearn {version('hmmlearn')}; "
        "`python -m experiments.upstream`. Skipped tests ask for an array API namespace that is "
        "not installed or not switched on.",
        "",
        "| tests | pass | fail | of these private | skipped |",
        "|---|---:|---:|---:|---:|",
    ]
    details, unexplained, passed, public = [], [], 0, 0
    for suite, (place, names) in SUITES.items():
        module = importlib.import_module(place)
        for name in names:
            setattr(module, name, getattr(ppl_models.sklearn, name))
        outcomes = Outcomes()
        options = ["-c", "/dev/null", "-p", "no:cacheprovider", "-q", "--tb=no", "--pyargs", suite]
        pytest.main(options, plugins=[outcomes])
        counts = Counter(outcomes.of_test.values())
        failed = [test for test, outcome in outcomes.of_test.items() if outcome == "failed"]
        reasons = {test: REASONS.get(test.split("::")[-1].split("[")[0]) for test in failed}
        private = sum(reason == PRIVATE for reason in reasons.values())
        lines.append(
            f"| {suite} | {counts['passed']} | {counts['failed']} | {private} | "
            f"{counts['skipped']} |"
        )
        passed += counts["passed"]
        public += counts["passed"] + counts["failed"] - private
        details += [f"- `{suite}`, `{test}`: {reason}." for test, reason in reasons.items()]
        unexplained += [test for test, reason in reasons.items() if reason is None]
    lines += [
        "",
        f"{passed} of the {public} tests that ask nothing private pass: {passed / public:.1%}.",
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
