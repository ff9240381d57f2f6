"""The skeletons of CONTRIBUTING.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

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
