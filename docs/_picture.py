"""The picture of the README: what a fit of Old Faithful shows. ``python docs/_picture.py``."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt  # noqa: E402

from ppl_models import coassignment, fit, name_clusters, plots  # noqa: E402
from ppl_models.data import old_faithful  # noqa: E402

PICTURE = Path(__file__).parent / "_static" / "old_faithful.png"


def draw() -> None:
    """Clusters with their uncertainty, and how often two rows are in one cluster."""
    tree = fit("gaussian_mixture", old_faithful(), method="gibbs", seed=1, clusters=2, draws=500)
    first = int(tree["posterior"]["loc"].mean(("chain", "draw")).values[:, 0].argmin())
    tree = name_clusters(tree, {first: "short", 1 - first: "long"})
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    plots.plot_clusters(tree, ax=left)
    plots.plot_similarity(coassignment(tree), ax=right)
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    draw()
