"""``python -m experiments.verification``: simulation-based calibration of programs and samplers.

Every program with every method that draws; what is found is printed and kept in ``results.md``.
Broken fits, which assume a wrong prior, must be found out. With the word ``references`` alone: the
posteriors that others have drawn too, see ``references.py``; with the word ``programs``: programs
as people write them, see ``programs.py``; with the word ``kills``: fits that are killed and go on,
see ``kills.py``; with the word ``upstream``: scikit-learn's and hmmlearn's own tests against our
estimators, see ``experiments/upstream``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from experiments.benchmarks.timing import machine
from experiments.verification import kills, programs, references
from ppl_models.evaluation.calibration import calibrate

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
#: of NUTS, where labels are traded a few at a time
THINNING = {"gaussian_mixture, stick breaking": 10}
HEADER = (
    "| program | method | simulations | quantities | smallest p-value of uniformity | calibrated "
    "| seconds |\n|---|---|---:|---:|---:|---|---:|"
)


def line(name: str, method: str, simulations: int, **case: Any) -> str:
    """Run one case; a line of the table."""
    started = time.perf_counter()
    found = calibrate(method=method, simulations=simulations, seed=20, **case).attrs
    seconds = time.perf_counter() - started
    return (
        f"| {name} | {method} | {simulations} | {found['quantities']} | {found['worst']:.2g} "
        f"| {'yes' if found['calibrated'] else 'NO'} | {seconds:.0f} |"
    )


def jobs() -> list[tuple[str, str, int, dict[str, Any]]]:
    """Name, method, simulations and arguments of every case."""
    hidden = CASES | SEQUENCES
    univariate = CASES["gaussian_mixture, univariate"]
    return [
        *((name, "gibbs", 1000, case) for name, case in (hidden | CHAINS).items()),
        *((name, "exact", 1000, case) for name, case in CHAINS.items()),
        ("gaussian_mixture, number unknown", "telescoping", 1000, {**UNKNOWN, "thinning": 20}),
        ("pitman_yor_chain", "pitman_yor_gibbs", 300, {**BACK_OFF, "thinning": 20}),
        *((f"BROKEN: {n}", "gibbs", 1000, {**univariate, **case}) for n, case in BROKEN.items()),
        *(
            (name, "nuts", 300, {**case, "thinning": THINNING.get(name, 3), "warmup": 300})
            for name, case in hidden.items()
        ),
    ]


def main(chosen: list[str]) -> None:
    """Run all cases, or those whose name contains a word that was given."""
    if chosen == ["kills"]:
        print(kills.HEADER)
        kills.table()
        return
    lines: list[str] = []
    for name, method, simulations, case in jobs():
        if chosen and not any(word in f"{name} {method}" for word in chosen):
            continue
        lines.append(line(name, method, simulations, **case))
        print(lines[-1], flush=True)
        if not chosen:
            write(lines, [])  # as it goes: the whole takes long
    if not chosen or "programs" in chosen:
        programs.main([word for word in chosen if word != "programs"])
    if not chosen or "upstream" in chosen:
        # other libraries' classes are replaced, and SciPy is set up anew: a process of its own
        subprocess.run([sys.executable, "-m", "experiments.upstream"], check=True)
    if not chosen or "references" in chosen:
        if not references.FOLDER.is_dir():
            print(f"no {references.FOLDER}: posteriordb's data are not there")
            return
        compared = references.table()
        if not chosen:
            write(lines, [*compared, "", kills.HEADER, *kills.table()])


def write(lines: list[str], compared: list[str]) -> None:
    """The file that is kept in the repository."""
    note = (
        f"`make verify`, {date.today()}; {machine()}; {len(lines)} of {len(jobs())} cases. "
        "Seconds include compilation. A method is called calibrated if the smallest p-value is "
        "above 0.01 / quantities."
    )
    text = "\n".join([note, "", HEADER, *lines, "", references.HEADER, *compared, ""])
    (Path(__file__).parent / "results.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
