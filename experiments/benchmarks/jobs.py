"""Labels of annotators, measurement errors and mclust's models, beside their own packages."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.datasets import load_iris

from ppl_models import choose_clusters, fit, log_density

from .posterior import timed
from .timing import Row, Timed, paired

CLASSES, ANNOTATORS, LABELS_PER_ITEM = 4, 1_000, 10
COMPONENTS = 3
#: of mclust
MODELS = ("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV",
          "VVV")  # fmt: skip


def run(*, small: bool = False) -> Iterator[Row | Timed]:
    """A row a comparison; peers that are not installed are left out and named.

    Args:
        small: few labels, rows and models, to see that it runs.
    """
    lines = labels(1_000 if small else 1_000_000)
    yield timed(
        f"dawid_skene, {len(lines['label']):,} labels of {ANNOTATORS:,} annotators, EM, "
        "compilation included",
        lambda: fit("dawid_skene", lines, method="em", seed=0, predictive=0),
        "< 10",
    )
    x, variances = measured(100 if small else 2_000)
    peers: dict[str, Callable[[], Callable[..., float]]] = {
        "astroML": with_astroml,
        "pygmmis": with_pygmmis,
    }
    for name, make in peers.items():
        if (peer := installed(name, make)) is not None:
            yield deconvolution(name, peer, x, variances, pairs=1 if small else 3)
    if (peer := installed("pymclustR", with_pymclust)) is not None:
        yield models_of_iris(peer, small=small)


def installed(name: str, make: Callable[[], Any]) -> Any:
    """The peer, or None with a line on stderr that says what to install."""
    try:
        return make()
    except ImportError:
        print(f"{name} is left out: pip install '.[peers]'", file=sys.stderr)
        return None


def labels(count: int) -> dict[str, np.ndarray]:
    """Labels of items, right three times in four, a line a label."""
    generator = np.random.default_rng(0)
    items = count // LABELS_PER_ITEM
    truth = generator.integers(0, CLASSES, items)
    item = np.repeat(np.arange(items), LABELS_PER_ITEM)
    right = generator.random(len(item)) < 0.75
    return {
        "item": item,
        "annotator": generator.integers(0, ANNOTATORS, len(item)),
        "label": np.where(right, truth[item], generator.integers(0, CLASSES, len(item))),
    }


# ---- extreme deconvolution -----------------------------------------------------------------------


def measured(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of three overlapping clusters with errors, and the errors' variances."""
    generator = np.random.default_rng(1)
    cluster = generator.integers(0, COMPONENTS, rows)
    centre = np.array([[-3.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    scale = np.array([[1.0, 0.3], [0.3, 1.0], [0.5, 0.5]])
    variances = generator.uniform(0.1, 1.5, (rows, 2))
    true = centre[cluster] + scale[cluster] * generator.normal(size=(rows, 2))
    return true + np.sqrt(variances) * generator.normal(size=(rows, 2)), variances


def deconvolution(
    name: str, peer: Callable[..., float], x: np.ndarray, variances: np.ndarray, *, pairs: int
) -> Row:
    """Whole fits, each by its own start and stopping rule, and the log-likelihoods they end at."""
    ended: dict[str, float] = {}

    def ours() -> None:
        tree = fit("extreme_deconvolution", {"x": x, "errors": variances}, method="em", seed=0,
                   clusters=COMPONENTS, starts=1, predictive=0, priors="flat")  # fmt: skip
        ended["ours"] = float(log_density(tree).mean())

    def theirs() -> None:
        ended[name] = peer(x, variances)

    row = paired(
        f"extreme deconvolution, {len(x):,} × 2, K={COMPONENTS}, one fit, double, {name}",
        ours, theirs, "≥ 1", pairs,
    )  # fmt: skip
    reached = ", ".join(f"{side} {value:.4f}" for side, value in ended.items())
    return Row(f"{row.what} (log-likelihood a row: {reached})", *_numbers(row))


def with_astroml() -> Callable[..., float]:
    """The fit of astroML's ``XDGMM``, which the package xdgmm wraps."""
    module = import_module("astroML.density_estimation.xdeconv")

    def of(x: np.ndarray, variances: np.ndarray) -> float:
        covariances = variances[:, :, None] * np.eye(x.shape[1])
        peer = module.XDGMM(COMPONENTS, max_iter=500, random_state=0).fit(x, covariances)
        return float(peer.logL(x, covariances)) / len(x)

    return of


def with_pygmmis() -> Callable[..., float]:
    """The fit of pygmmis, started from k-means."""
    module = import_module("pygmmis")

    def of(x: np.ndarray, variances: np.ndarray) -> float:
        covariances = variances[:, :, None] * np.eye(x.shape[1])
        peer = module.GMM(K=COMPONENTS, D=x.shape[1])
        total, _ = module.fit(peer, x, covar=covariances, init_method="kmeans", tol=1e-6,
                              rng=np.random.RandomState(0))  # fmt: skip
        return float(total) / len(x)  # its docstring calls the sum a mean

    return of


# ---- mclust's models -----------------------------------------------------------------------------


def models_of_iris(peer: Callable[..., Any], *, small: bool) -> Row:
    """All models by all numbers of clusters, and what BIC chooses on both sides."""
    x = load_iris().data
    models, numbers = (MODELS[:2], range(1, 3)) if small else (MODELS, range(1, 10))
    chosen: dict[str, str] = {}

    def ours() -> None:
        table = choose_clusters("gaussian_mixture", x, numbers, seed=0,
                                over={"covariance": list(models)})  # fmt: skip
        chosen["ours"] = f"{table.attrs['best']['covariance']},{table.attrs['best']['clusters']}"

    def theirs() -> None:
        selected = peer(x, G=numbers, model_names=list(models))
        chosen["pymclustR"] = f"{selected.model_name},{selected.G}"

    row = paired(
        f"BIC of {len(models)} covariance models × {len(numbers)} numbers of clusters, iris, "
        "double, pymclustR",
        ours, theirs, "≥ 1", pairs=1,
    )  # fmt: skip
    said = ", ".join(f"{side} {model}" for side, model in chosen.items())
    return Row(f"{row.what} (chosen: {said})", *_numbers(row))


def with_pymclust() -> Callable[..., Any]:
    """``Mclust`` of pymclustR, its warnings about degenerate models left out."""
    module = import_module("mclust_py")

    def of(x: np.ndarray, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return module.Mclust(x, **options)

    return of


def _numbers(row: Row) -> tuple[float, float, float, float, float, str]:
    return row.ours, row.theirs, row.ratio, row.low, row.high, row.aim
