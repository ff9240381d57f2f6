"""The skeletons of CONTRIBUTING.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax import random
from scipy import stats

from ppl_models import fit, generate, predict

GUIDE = Path(__file__).parent.parent / "CONTRIBUTING.md"


def skeleton(name: str) -> str:
    """The code block below the marker of that name."""
    pattern = rf"<!-- skeleton: {name} -->\n```python\n(.*?)```"
    (code,) = re.findall(pattern, GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return code


def test_the_model_is_fitted_and_generates(tmp_path: Path) -> None:
    path = tmp_path / "coins.py"
    path.write_text(skeleton("model"), encoding="utf-8")
    rows = np.repeat([[1, 1, 1], [0, 0, 0]], 10, axis=0)
    tree = fit(f"{path}:coins", rows, method="em", seed=0, clusters=2, predictive=0)
    shares = predict(tree).values
    assert (shares[:10].argmax(1) == shares[0].argmax()).all()
    assert (shares[10:].argmax(1) != shares[0].argmax()).all()
    assert generate(tree, 4, seed=0)["x"].shape == (4, 3)


def test_the_experiment_leaves_its_page(tmp_path: Path) -> None:
    names = {"__name__": "skeleton"}
    exec(compile(skeleton("experiment"), "experiment.py", "exec"), names)
    page = names["run"](tmp_path, smoke=True)
    text = page.read_text(encoding="utf-8")
    assert "BIC prefers 2 cluster(s)." in text and "What would count as an answer" in text
    assert (tmp_path / "regimes.json").is_file()


def test_the_emission_has_the_density_and_the_draws_that_it_states() -> None:
    names = {"__name__": "skeleton"}
    exec(compile(skeleton("emission"), "waiting_times.py", "exec"), names)
    rates = np.array([[1.0, 0.5], [3.0, 2.0]])
    family = names["WaitingTimes"](jnp.array(rates)[:, None])
    x = np.array([[0.2, 1.0], [1.5, np.nan], [0.7, 0.1]])
    cells = stats.expon.logpdf(x, scale=1 / rates[:, None])
    np.testing.assert_allclose(family.log_prob(jnp.array(x)), np.nansum(cells, axis=-1), rtol=1e-5)
    drawn = np.asarray(names["WaitingTimes"](jnp.array(rates)).sample(random.key(0), (4000,)))
    error = 1 / rates / np.sqrt(4000)
    assert (np.abs(drawn.mean(0) - 1 / rates) < 5 * error).all()
