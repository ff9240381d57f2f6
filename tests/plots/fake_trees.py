"""Small trees of the suite's one result schema, made by numpy alone.

The rooms `plots` and `report` read a tree and nothing else, so their tests need no inference:
the draws here are conjugate posterior draws given the true assignments.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import xarray as xr
from scipy import stats
from scipy.special import logsumexp

from ppl_models.posterior.result.schema import (
    EmissionFacts,
    FitFacts,
    ParameterFacts,
    write_facts,
)
from ppl_models.posterior.result.validation import validate

Arrays = dict[str, np.ndarray]
NAMES = ("anna", "bob", "ada", "eva", "otto", "nina", "ben", "dora", "hannah", "noah")


def gaussian_data(
    rows: int, features: int, clusters: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (row, feature) of well separated, correlated clusters, and their labels (row)."""
    labels = np.sort(generator.choice(clusters, size=rows, p=_unequal(clusters)))
    centres = generator.normal(0.0, 6.0, (clusters, features))
    shapes = generator.normal(0.0, 0.5, (clusters, features, features)) + np.eye(features)
    noise = generator.normal(size=(rows, features))
    return centres[labels] + np.einsum("nij,nj->ni", shapes[labels], noise), labels


def _unequal(clusters: int) -> np.ndarray:
    weights = np.arange(clusters, 0, -1) + 1.0
    return weights / weights.sum()


def gaussian_draws(
    x: np.ndarray, labels: np.ndarray, clusters: int, covariance: str, draws: int, seed: int
) -> Arrays:
    """Draws of weights, loc and scale or covariance given the assignments."""
    generator = np.random.default_rng(seed)
    features = x.shape[1]
    counts = np.bincount(labels, minlength=clusters)
    means = np.stack([x[labels == k].mean(0) for k in range(clusters)])
    scatter = np.stack([np.cov(x[labels == k].T).reshape(features, features)
                        for k in range(clusters)])  # fmt: skip
    full = np.stack(
        [
            stats.invwishart(counts[k] + features, scatter[k] * counts[k]).rvs(draws, generator)
            for k in range(clusters)
        ],
        axis=1,
    ).reshape(draws, clusters, features, features)
    step = generator.normal(size=(draws, clusters, features)) / np.sqrt(counts)[:, None]
    loc = means + np.einsum("skij,skj->ski", np.linalg.cholesky(full), step)
    weights = generator.dirichlet(counts + 1.0, draws)
    diagonal = np.diagonal(full, axis1=-2, axis2=-1)
    shape = {
        "full": {"covariance": full},
        "tied": {"covariance": np.einsum("sk,skij->sij", weights, full)},
        "diagonal": {"scale": np.sqrt(diagonal)},
        "spherical": {"scale": np.sqrt(diagonal.mean(-1))},
        "univariate": {"loc": loc[..., 0], "scale": np.sqrt(diagonal[..., 0])},
    }[covariance]
    return {"weights": weights, "loc": loc} | shape


def gaussian_log_density(x: np.ndarray, parameters: Arrays) -> np.ndarray:
    """log weights + log density, shape (draw, row, cluster)."""
    draws, clusters = parameters["weights"].shape
    features = x.shape[1]
    loc = parameters["loc"].reshape(draws, clusters, features)
    if "covariance" in parameters:
        shape = parameters["covariance"]
        shape = np.broadcast_to(shape[:, None] if shape.ndim == 3 else shape,
                                (draws, clusters, features, features))  # fmt: skip
    else:
        scale = parameters["scale"].reshape(draws, clusters, -1)
        shape = np.eye(features) * (scale**2 * np.ones(features))[..., None]
    factor = np.linalg.cholesky(shape)
    apart = np.swapaxes(x - loc[:, :, None], -1, -2)  # (draw, cluster, feature, row)
    square = (np.linalg.solve(factor, apart) ** 2).sum(-2)
    spread = np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)[..., None]
    density = -0.5 * square - spread - 0.5 * features * np.log(2 * np.pi)
    return np.swapaxes(density, -1, -2) + np.log(parameters["weights"])[:, None, :]


def count_draws(
    x: np.ndarray, labels: np.ndarray, clusters: int, family: str, draws: int, seed: int
) -> Arrays:
    """Draws of weights and probs (Bernoulli) or rate (Poisson) given the assignments."""
    generator = np.random.default_rng(seed)
    counts = np.bincount(labels, minlength=clusters)
    sums = np.stack([x[labels == k].sum(0) for k in range(clusters)])
    size = (draws, *sums.shape)
    weights = generator.dirichlet(counts + 1.0, draws)
    if family == "bernoulli":
        probs = generator.beta(sums + 0.5, counts[:, None] - sums + 0.5, size)
        return {"weights": weights, "probs": np.clip(probs, 1e-6, 1 - 1e-6)}
    return {"weights": weights, "rate": generator.gamma(sums + 1.0, 1.0, size) / counts[:, None]}


def count_log_density(x: np.ndarray, parameters: Arrays) -> np.ndarray:
    """log weights + log density, shape (draw, row, cluster)."""
    if "probs" in parameters:
        logits = np.log(parameters["probs"]), np.log1p(-parameters["probs"])
        out = np.einsum("nd,skd->snk", x, logits[0]) + np.einsum("nd,skd->snk", 1 - x, logits[1])
    else:
        rate = parameters["rate"][:, None]
        out = stats.poisson(rate).logpmf(x[None, :, None, :]).sum(-1)
    return out + np.log(parameters["weights"])[:, None, :]


def mixture_facts(family: str, kind: str, data: tuple[str, ...], dims: dict) -> FitFacts:
    """Facts of a mixture whose sites are called as the family's parameters are.

    Args:
        family: module (below ``distributions.exponential``) and class.
        kind: of the data.
        data: axes of the data.
        dims: axes of the sites, among them those of the weights.
    """
    parameters = {
        name: ParameterFacts(name, "cluster" not in axes, axes)
        for name, axes in dims.items()
        if name != "weights"
    }
    emission = EmissionFacts(
        "x", f"ppl_models.distributions.exponential.{family}", kind, data, "cluster", None,
        parameters,
    )  # fmt: skip
    return FitFacts("row", "z", "weights", 1, 0, "soft", None, (emission,))


def mixture_tree(
    x: np.ndarray,
    parameters: Arrays,
    log_density: np.ndarray,
    dims: dict[str, tuple[str, ...]],
    coords: dict[str, object],
    *,
    program: str,
    family: str,
    kind: str,
    chains: int,
    emit: Callable[[Arrays, int, np.random.Generator, np.ndarray], np.ndarray],
) -> xr.DataTree:
    """The whole tree of a mixture from arrays whose first axis runs over all draws."""
    total = len(parameters["weights"])
    chains = min(chains, total)

    def chained(array: np.ndarray) -> np.ndarray:
        return array.reshape(chains, total // chains, *array.shape[1:])

    log_likelihood = logsumexp(log_density, axis=2)
    responsibilities = np.exp(log_density - log_likelihood[:, :, None]).mean(0)
    generator = np.random.default_rng(5)
    chosen = np.linspace(0, total - 1, min(40, total)).astype(int)
    predicted = np.stack([_replicate(parameters, int(s), len(x), emit, generator)
                          for s in chosen])  # fmt: skip
    vague = {name: array * generator.uniform(0.5, 1.5) for name, array in parameters.items()}
    vague["weights"] = parameters["weights"]
    if "probs" in vague:
        vague["probs"] = generator.uniform(size=vague["probs"].shape)
    prior = np.stack([_replicate(vague, int(s), len(x), emit, generator) for s in chosen])
    data_dims = ("row", "feature") if x.ndim == 2 else ("row",)
    row = {"row": np.arange(len(x))}
    tree = {
        "posterior": xr.Dataset(
            {
                name: (("chain", "draw", *dims[name]), chained(array))
                for name, array in parameters.items()
            },
            coords,  # fmt: skip
        ),
        "sample_stats": xr.Dataset({"lp": (("chain", "draw"), chained(log_likelihood.sum(1)))}),
        "log_likelihood": xr.Dataset(
            {"x": (("chain", "draw", "row"), chained(log_likelihood))}, row
        ),
        "observed_data": xr.Dataset({"x": (data_dims, x)}, row | _features(coords)),
        "responsibilities": xr.Dataset(
            {"responsibilities": (("row", "cluster"), responsibilities)},
            row | {"cluster": coords["cluster"]},
        ),
    }
    for group, array in (("posterior_predictive", predicted), ("prior_predictive", prior)):
        array = array[None] if x.ndim == 2 else array[None, ..., 0]
        tree[group] = xr.Dataset(
            {"x": (("chain", "draw", *data_dims), array)}, row | _features(coords)
        )
    used = {name: axes for name, axes in dims.items() if name in parameters}
    facts = replace(
        mixture_facts(family, kind, data_dims, used), clusters=parameters["weights"].shape[1]
    )
    made = with_attributes(xr.DataTree.from_dict(tree), program, len(chosen), facts)
    names = {n: [str(v) for v in coords[n]] for n in ("feature", "level") if n in coords}
    made.attrs["coordinate_labels"] = json.dumps(names)
    return made


def _features(coords: dict[str, object]) -> dict[str, object]:
    return {"feature": coords["feature"]} if "feature" in coords else {}


def _replicate(
    parameters: Arrays, draw: int, rows: int, emit: Callable, generator: np.random.Generator
) -> np.ndarray:
    weights = parameters["weights"][draw]
    labels = generator.choice(len(weights), size=rows, p=weights)
    return emit(parameters, draw, generator, labels)


def with_attributes(tree: xr.DataTree, program: str, seed: int, facts: FitFacts) -> xr.DataTree:
    """The tree with the attributes of a fit, after a check that it is what ``fit`` writes."""
    tree.attrs = {
        "program": program,
        "method": "nuts",
        "seed": seed,
        "arguments": json.dumps({"clusters": 3}),
        "configuration": json.dumps({"chains": 4, "draws": 100}),
        "versions": json.dumps({"ppl_models": "0.1.0", "numpyro": "0.22.0"}),
        "wall_time_seconds": 12.34,
        "kind": "draws",
        "precision": "float64",
    }
    return with_facts(tree, facts)


def with_facts(tree: xr.DataTree, facts: FitFacts) -> xr.DataTree:
    """The tree with other facts, after a check that it is what ``fit`` writes."""
    tree.attrs |= {
        "facts": write_facts(facts), "data_site": facts.emission.site, "plate": facts.unit,
    }  # fmt: skip
    validate(tree)
    return tree


def with_nuts_statistics(tree: xr.DataTree, diverging: int = 0) -> xr.DataTree:
    """The same tree with what NUTS reports about itself."""
    generator = np.random.default_rng(3)
    shape = tree["posterior"].sizes["chain"], tree["posterior"].sizes["draw"]
    divergences = np.zeros(shape, bool)
    divergences.flat[:diverging] = True
    dims = ("chain", "draw")
    statistics = {
        "diverging": (dims, divergences),
        "n_steps": (dims, np.full(shape, 7)),
        "acceptance_rate": (dims, generator.beta(20, 4, shape)),
        "energy": (dims, generator.normal(100.0, 2.0, shape)),
        "step_size": (dims, np.full(shape, 0.4)),
        "tree_depth": (dims, np.full(shape, 3)),
    }
    tree["sample_stats"] = xr.DataTree(tree["sample_stats"].to_dataset().assign(statistics))
    return tree
