"""Programs, methods and simulated sizes whose calibration is verified."""

from __future__ import annotations

from typing import Any

import numpy as np

GAUSSIAN = {"rows": 60, "clusters": 3, "loc_mean": 0.0, "loc_scale": 3.0}
RATE = {"scale_rate_mean": 1.0, "resolution": 0.01}
SCALES = {"scale_concentration": 3.0, **RATE}
MATRIX: dict[str, Any] = {
    "degrees_of_freedom": 6.0,
    **RATE,
    "sizes": {"features": 2},
}

CASES: dict[str, dict[str, Any]] = {
    "gaussian_mixture, univariate": {"program": "gaussian_mixture", **GAUSSIAN, **SCALES},
    "gaussian_mixture, spherical": {
        "program": "gaussian_mixture",
        "covariance": "spherical",
        "sizes": {"features": 2},
        **GAUSSIAN,
        **SCALES,
    },
    "gaussian_mixture, diagonal": {
        "program": "gaussian_mixture",
        "covariance": "diagonal",
        "sizes": {"features": 2},
        **GAUSSIAN,
        **SCALES,
    },
    "gaussian_mixture, tied": {
        "program": "gaussian_mixture",
        "covariance": "tied",
        **GAUSSIAN,
        **MATRIX,
    },
    "gaussian_mixture, full": {
        "program": "gaussian_mixture",
        "covariance": "full",
        **GAUSSIAN,
        **MATRIX,
    },
    "bernoulli_mixture": {
        "program": "bernoulli_mixture",
        "rows": 60,
        "clusters": 2,
        "sizes": {"features": 4},
    },
    "categorical_mixture": {
        "program": "categorical_mixture",
        "rows": 60,
        "clusters": 2,
        "levels": (2, 3, 2),
    },
    "poisson_mixture": {
        "program": "poisson_mixture",
        "rows": 60,
        "clusters": 2,
        "rate_mean": 5.0,
        "sizes": {"features": 2},
    },
    "gaussian_mixture, stick breaking": {
        "program": "gaussian_mixture",
        "weight_prior": "stick_breaking",
        **GAUSSIAN,
        **SCALES,
    },
}
SEQUENCES: dict[str, dict[str, Any]] = {
    "chain_mixture": {
        "program": "chain_mixture",
        "rows": 30,
        "clusters": 2,
        "vocabulary": 2,
        "sizes": {"positions": 20},
    },
    "hidden_markov, gaussian": {
        "program": "hidden_markov",
        "rows": 3,
        "states": 2,
        "loc_mean": 0.0,
        "loc_scale": 3.0,
        **SCALES,
        "sizes": {"positions": 25, "features": 1},
    },
    "hidden_markov, bernoulli, stationary": {
        "program": "hidden_markov",
        "rows": 3,
        "states": 2,
        "emission": "bernoulli",
        "start": "stationary",
        "sizes": {"positions": 25, "features": 3},
    },
    "hidden_token_chain": {
        "program": "hidden_token_chain",
        "rows": 10,
        "states": 2,
        "vocabulary": 2,
        "sizes": {"positions": 20},
    },
}
CHAINS: dict[str, dict[str, Any]] = {
    "markov_chain": {
        "program": "markov_chain",
        "rows": 10,
        "vocabulary": 3,
        "sizes": {"positions": 30},
    },
    "ordered_chain": {
        "program": "ordered_chain",
        "rows": 10,
        "vocabulary": 2,
        "order": 2,
        "sizes": {"positions": 30},
    },
    "graph_chain": {
        "program": "graph_chain",
        "rows": 5,
        "width": 3,
        "nodes": 6,
        "sizes": {"positions": 30},
    },
}
UNKNOWN: dict[str, Any] = {
    "program": "gaussian_mixture",
    **GAUSSIAN,
    **SCALES,
    "rows": 40,
    "clusters": 8,
}
BACK_OFF: dict[str, Any] = {
    "program": "pitman_yor_chain",
    "rows": 6,
    "vocabulary": 6,
    "order": 2,
    "sizes": {"positions": 12},
}
BROKEN: dict[str, dict[str, Any]] = {
    "wrong scale of the locations": {"assumed": {"loc_scale": 1.0}},
    "wrong prior of the scales": {"assumed": {"scale_rate_mean": 5.0}},
    "wrong prior of the weights": {"assumed": {"concentration": 10.0}},
}
_COVARIATE = np.random.default_rng(0).normal(size=(40, 1))
_LOC = {"loc_mean": 0.0, "loc_scale": 3.0}
_COUNTS: dict[str, Any] = {"rows": 40, "clusters": 2, "rate_mean": 5.0, "sizes": {"features": 1}}
_REGRESSION: dict[str, Any] = {"rows": 40, "clusters": 2, "covariates": _COVARIATE}
_LINES = {"intercept_mean": 0.0, "unit": 1.0}
#: drawn by Gibbs sweeps that go through the rows, and fewer simulations
ROWWISE: dict[str, dict[str, Any]] = {
    "student_t_mixture": {
        "program": "student_t_mixture",
        "rows": 40,
        "clusters": 2,
        **_LOC,
        **RATE,
        "degrees_of_freedom": 6.0,
        "sizes": {"features": 1},
    },
    "negative_binomial_mixture": {"program": "negative_binomial_mixture", **_COUNTS},
    "zero_inflated_mixture": {"program": "zero_inflated_mixture", **_COUNTS},
    "hurdle_mixture": {"program": "hurdle_mixture", **_COUNTS},
    "latent_class_regression": {
        "program": "latent_class_regression",
        "levels": (2, 3, 2),
        **_REGRESSION,
    },
    "dawid_skene": {
        "program": "dawid_skene",
        "rows": 45,
        "item": np.repeat(np.arange(15), 3),
        "annotator": np.tile(np.arange(3), 15),
        "levels": 2,
        "items": 15,
        "annotators": 3,
    },
    "latent_dirichlet_allocation": {
        "program": "latent_dirichlet_allocation",
        "rows": 72,
        "topics": 2,
        "document": np.repeat(np.arange(6), 12),
        "documents": 6,
        "words": 5,
    },
    "stochastic_block_model": {"program": "stochastic_block_model", "rows": 12, "clusters": 2},
    "factor_analysis_mixture": {
        "program": "factor_analysis_mixture",
        "rows": 40,
        "clusters": 2,
        **_LOC,
        **RATE,
        "loadings_scale": 1.0,
        "sizes": {"features": 3},
    },
    "record_linkage": {"program": "record_linkage", "rows": 60, "levels": (3, 2, 2)},
    "growth_mixture": {
        "program": "growth_mixture",
        "rows": 20,
        "clusters": 2,
        "times": (0.0, 1.0, 2.0, 3.0),
        "level_mean": 0.0,
        "level_scale": 3.0,
        "growth_scale": 1.0,
        "spread_scale": 1.0,
        "noise_scale": 1.0,
    },
    "censored_mixture": {
        "program": "censored_mixture",
        "rows": 40,
        "clusters": 2,
        **_LOC,
        **RATE,
    },
    "gaussian_noise_mixture": {
        "program": "gaussian_noise_mixture",
        "rows": 40,
        "clusters": 2,
        **_LOC,
        **SCALES,
        "volume": 400.0,
        "box": np.array([[-10.0, -10.0], [10.0, 10.0]]),
        "sizes": {"features": 2},
    },
    "mixed_mixture": {
        "program": "mixed_mixture",
        "rows": 40,
        "clusters": 2,
        **_LOC,
        **RATE,
        "rate_mean": 5.0,
        "number_columns": 1,
        "count_columns": 1,
        "bit_columns": 1,
    },
    "regression_mixture": {"program": "regression_mixture", **_REGRESSION, **_LINES},
    "regression_mixture, poisson": {
        "program": "regression_mixture",
        "family": "poisson",
        **_REGRESSION,
        **_LINES,
    },
    "expert_mixture": {"program": "expert_mixture", **_REGRESSION, **_LINES},
    "extreme_deconvolution": {
        "program": "extreme_deconvolution",
        "rows": 40,
        "clusters": 2,
        "errors": np.full((40, 1), 0.5),
        **_LOC,
        "degrees_of_freedom": 4.0,
        "scale_matrix": np.eye(1),
    },
}
#: of these, those that take minutes for 300 simulations
SLOW = {"student_t_mixture", "negative_binomial_mixture", "stochastic_block_model"}
#: of NUTS, where labels are traded a few at a time
THINNING = {"gaussian_mixture, stick breaking": 10}


def jobs() -> list[tuple[str, str, int, dict[str, Any]]]:
    """Name, method, simulations and arguments of every case."""
    hidden = CASES | SEQUENCES
    univariate = CASES["gaussian_mixture, univariate"]
    return [
        *((name, "gibbs", 1000, case) for name, case in (hidden | CHAINS).items()),
        *((name, "exact", 1000, case) for name, case in CHAINS.items()),
        *((n, "gibbs", 300 if n in SLOW else 1000, case) for n, case in ROWWISE.items()),
        ("gaussian_mixture, number unknown", "telescoping", 1000, {**UNKNOWN, "thinning": 20}),
        ("pitman_yor_chain", "pitman_yor_gibbs", 300, {**BACK_OFF, "thinning": 20}),
        *((f"BROKEN: {n}", "gibbs", 1000, {**univariate, **case}) for n, case in BROKEN.items()),
        *(
            (name, "nuts", 300, {**case, "thinning": THINNING.get(name, 3), "warmup": 300})
            for name, case in hidden.items()
        ),
    ]
