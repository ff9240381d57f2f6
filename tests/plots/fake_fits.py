"""Ready-made fake fits: one call a program, `draws` or `point`, for the tests of the pictures."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import xarray as xr
from scipy import stats

from ppl_models.inference.objective import LOG_POSTERIOR, SUM_OF_SQUARES
from ppl_models.posterior.result.schema import FitFacts, ParameterFacts, facts_of


def load_neighbour(name: str) -> ModuleType:
    """The module of that name beside this file, whatever way pytest imports its files."""
    path = Path(__file__).with_name(f"{name}.py")
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


trees = load_neighbour("fake_trees")
chains = load_neighbour("fake_chains")
markov_fit, chains_fit, chain_fit = chains.markov_fit, chains.chains_fit, chains.chain_fit

GAUSSIAN = {
    "full": "gaussian_full:FullGaussian",
    "tied": "gaussian_tied:TiedGaussian",
    "diagonal": "gaussian:DiagonalGaussian",
    "spherical": "gaussian:SphericalGaussian",
    "univariate": "gaussian:UnivariateGaussian",
}
COUNTED = {
    "bernoulli": ("bernoulli:BernoulliVector", "Bits"),
    "poisson": ("poisson:PoissonVector", "Counts"),
}


def gaussian_fit(
    *,
    covariance: str = "full",
    features: int = 2,
    clusters: int = 3,
    rows: int = 200,
    draws: int = 400,
    chains: int = 4,
    seed: int = 0,
    data: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    names: list[str] | None = None,
) -> xr.DataTree:
    """Posterior draws of a Gaussian mixture; `covariance="univariate"` for one feature."""
    generator = np.random.default_rng(seed)
    features = 1 if covariance == "univariate" else features
    if data is None:
        data, labels = trees.gaussian_data(rows, features, clusters, generator)
    parameters = trees.gaussian_draws(data, labels, clusters, covariance, draws, seed)
    dims = {
        "weights": ("cluster",),
        "loc": ("cluster",) if covariance == "univariate" else ("cluster", "feature"),
        "scale": ("cluster", "feature") if covariance == "diagonal" else ("cluster",),
        "covariance": ("feature", "feature_other"),
    }
    if covariance == "full":
        dims["covariance"] = ("cluster", "feature", "feature_other")
    names = names or [f"length {d}" for d in range(data.shape[1])]
    coords: dict[str, object] = {"cluster": np.arange(clusters)}
    if covariance != "univariate":
        coords["feature"] = names
    if "covariance" in parameters:
        coords["feature_other"] = names

    def emit(
        values: dict[str, np.ndarray], draw: int, source: np.random.Generator, z: np.ndarray
    ) -> np.ndarray:
        loc = values["loc"][draw].reshape(clusters, -1)[z]
        noise = source.normal(size=loc.shape)
        if "covariance" in values:
            factor = np.linalg.cholesky(np.abs(values["covariance"][draw]) * np.eye(loc.shape[1]))
            return loc + np.einsum("...ij,...j->...i", factor[z] if factor.ndim == 3 else factor,
                                   noise)  # fmt: skip
        return loc + values["scale"][draw].reshape(clusters, -1)[z] * noise

    return trees.mixture_tree(
        data[:, 0] if covariance == "univariate" else data,
        parameters,
        trees.gaussian_log_density(data, parameters),
        dims,
        coords,
        program="gaussian_mixture",
        family=GAUSSIAN[covariance],
        kind="Reals",
        chains=chains,
        emit=emit,
    )


def count_fit(
    family: str,
    *,
    features: int = 6,
    clusters: int = 3,
    rows: int = 150,
    draws: int = 200,
    chains: int = 4,
    seed: int = 0,
    data: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> xr.DataTree:
    """Posterior draws of a `bernoulli` or `poisson` mixture."""
    generator = np.random.default_rng(seed)
    if data is None:
        labels = np.sort(generator.choice(clusters, size=rows))
        if family == "bernoulli":
            data = generator.binomial(1, generator.beta(0.5, 0.5, (clusters, features))[labels])
        else:
            data = generator.poisson(generator.gamma(2.0, 3.0, (clusters, features))[labels])
    data = data.astype(float)
    name = "probs" if family == "bernoulli" else "rate"

    def emit(
        values: dict[str, np.ndarray], draw: int, source: np.random.Generator, z: np.ndarray
    ) -> np.ndarray:
        mean = values[name][draw][z]
        drawn = source.binomial(1, mean) if family == "bernoulli" else source.poisson(mean)
        return drawn.astype(float)

    parameters = trees.count_draws(data, labels, clusters, family, draws, seed)
    return trees.mixture_tree(
        data,
        parameters,
        trees.count_log_density(data, parameters),
        {"weights": ("cluster",), name: ("cluster", "feature")},
        {"cluster": np.arange(clusters), "feature": [f"item {d}" for d in range(data.shape[1])]},
        program=f"{family}_mixture",
        family=COUNTED[family][0],
        kind=COUNTED[family][1],
        chains=chains,
        emit=emit,
    )


def categorical_fit(
    *, levels: tuple[int, ...] = (2, 3, 2, 4), rows: int = 150, draws: int = 200, seed: int = 0
) -> xr.DataTree:
    """Posterior draws of a latent class analysis with two classes and unequal levels."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(2, size=rows, p=[0.6, 0.4])
    names = [chr(ord("A") + d) for d in range(len(levels))]
    probs = [generator.dirichlet(np.ones(size), 2) for size in levels]
    data = np.stack([[generator.choice(len(p[z]), p=p[z]) for z in labels] for p in probs], 1)
    weights = generator.dirichlet([90.0, 60.0], draws)
    drawn = np.concatenate(
        [np.stack([generator.dirichlet(1 + 80 * p[k], draws) for k in range(2)], 1) for p in probs],
        axis=-1,  # fmt: skip
    )
    starts = np.concatenate([[0], np.cumsum(levels)[:-1]])
    log_density = np.log(drawn)[:, :, data + starts].sum(-1).transpose(0, 2, 1)
    log_density = log_density + np.log(weights)[:, None, :]

    def emit(
        values: dict[str, np.ndarray], draw: int, source: np.random.Generator, z: np.ndarray
    ) -> np.ndarray:
        columns = []
        for start, size in zip(starts, levels, strict=True):
            p = values["probs"][draw][z, start : start + size]
            p = p / p.sum(1, keepdims=True)
            columns.append((source.uniform(size=(len(z), 1)) > p.cumsum(1)).sum(1))
        return np.clip(np.stack(columns, 1), 0, np.array(levels) - 1)

    tree = trees.mixture_tree(
        data,
        {"weights": weights, "probs": drawn},
        log_density,
        {"weights": ("cluster",), "probs": ("cluster", "level")},
        {
            "cluster": [0, 1],
            "level": [
                f"{n}={c}"
                for n, size in zip(names, levels, strict=True)
                for c in range(1, size + 1)
            ],  # fmt: skip
        },
        program="categorical_mixture",
        family="categorical:CategoricalVector",
        kind="Categories",
        chains=4,
        emit=emit,
    )
    for group in ("observed_data", "posterior_predictive", "prior_predictive"):
        tree[group] = xr.DataTree(tree[group].to_dataset().assign_coords(feature=names))
    labels = json.loads(tree.attrs["coordinate_labels"]) | {"feature": names}
    tree.attrs["coordinate_labels"] = json.dumps(labels)
    return tree


def as_point(
    tree: xr.DataTree, *, starts: int = 6, iterations: int = 15, seed: int = 1
) -> xr.DataTree:
    """The same fit as EM returns it: one draw, with `starts` and `path`."""
    last = tree["posterior"].to_dataset().mean(["chain", "draw"])
    best = float(tree["log_likelihood"].to_dataset().to_array().mean(["chain", "draw"]).sum())
    gap = np.concatenate([[0.0], np.random.default_rng(seed).choice([0.0, 8.0, 30.0], starts - 1)])
    objective = _course(best - gap, -1.0, iterations, seed)
    facts = replace(facts_of(tree), objective=LOG_POSTERIOR)
    return _point(tree, last, list(last.data_vars), objective, facts, seed)


def as_kmeans(tree: xr.DataTree, *, starts: int = 6, iterations: int = 15) -> xr.DataTree:
    """A spherical Gaussian fit as k-means returns it: means, equal weights, one scale."""
    loc = tree["posterior"]["loc"].mean(["chain", "draw"])
    x = tree["observed_data"]["x"].transpose("row", "feature")
    distance = ((x - loc) ** 2).sum("feature").transpose("row", "cluster").values
    least, clusters = float(distance.min(1).sum()), loc.sizes["cluster"]
    last = xr.Dataset({
        "weights": ("cluster", np.full(clusters, 1 / clusters)), "loc": loc,
        "scale": ("cluster", np.full(clusters, np.sqrt(least / x.size))),
    })  # fmt: skip
    gap = np.concatenate([[0.0], np.full(starts - 1, 0.1 * least)])
    objective = _course(least + gap, 1.0, iterations, seed=1)
    facts = replace(facts_of(tree), assignments="hard", objective=SUM_OF_SQUARES)
    point = _point(tree, last, ["loc"], objective, facts, seed=1)
    nearest = np.eye(clusters)[distance.argmin(1)]
    point["responsibilities"]["responsibilities"].values[:] = nearest
    inertia = {"inertia": (("chain", "draw"), [[least]])}
    point["sample_stats"] = xr.DataTree(xr.Dataset(inertia))
    point.attrs["method"] = "kmeans"
    return point


def _course(ends: np.ndarray, sign: float, iterations: int, seed: int) -> np.ndarray:
    """Objectives (start, iteration) that come down to, or rise to, their ends; NaN afterwards."""
    generator = np.random.default_rng(seed)
    size = abs(ends[0]) * generator.uniform(0.2, 0.6, (len(ends), 1))
    objective = ends[:, None] + sign * 0.5 ** np.arange(iterations) * size
    used = generator.integers(8, iterations + 1, len(ends))
    used[0] = iterations
    return np.where(np.arange(iterations) < used[:, None], objective, np.nan)


def _point(
    tree: xr.DataTree,
    last: xr.Dataset,
    moving: list[str],
    objective: np.ndarray,
    facts: FitFacts,
    seed: int,
) -> xr.DataTree:
    """One draw of a point, whose moving variables come from elsewhere."""
    generator = np.random.default_rng(seed)
    starts, iterations = objective.shape
    fade = 0.6 ** xr.DataArray(np.arange(iterations), dims="iteration")
    path = last[moving]
    path = path + fade * xr.apply_ufunc(lambda v: generator.normal(0, 1.5, v.shape), path)
    for name in set(moving) - {"loc"}:
        path[name] = last[name].expand_dims(iteration=iterations)
    path = path.transpose("iteration", ...)
    path["objective"] = ("iteration", objective[0])
    one = [tree["log_likelihood"].to_dataset().mean(["chain", "draw"]), last]
    one = [dataset.expand_dims(["chain", "draw"]) for dataset in one]
    point = tree.copy()
    point["log_likelihood"], point["posterior"] = map(xr.DataTree, one)
    statistics = {"lp": (("chain", "draw"), [[float(objective[0, -1])]])}
    point["sample_stats"] = xr.DataTree(xr.Dataset(statistics))
    ends = np.nanmax(objective, 1) if facts.objective.sign > 0 else np.nanmin(objective, 1)
    point["starts"] = xr.DataTree(
        xr.Dataset(
            {
                "objective": (("start", "iteration"), objective),
                "final": ("start", ends),
                "iterations": ("start", np.isfinite(objective).sum(1)),
                "converged": ("start", np.ones(starts, bool)),
                "best": ("start", np.arange(starts) == 0),
            }
        )
    )
    point["path"] = xr.DataTree(path)
    point.attrs = tree.attrs | {
        "method": "em", "kind": "point", "configuration": json.dumps({"starts": starts}),
    }  # fmt: skip
    return trees.with_facts(point, facts)


def with_sites(tree: xr.DataTree, names: dict[str, str]) -> xr.DataTree:
    """The same fit by a program that calls its sites otherwise."""
    facts = facts_of(tree)
    emissions = tuple(
        replace(
            emission,
            site=names.get(emission.site, emission.site),
            parameters={
                n: replace(p, site=names.get(p.site, p.site))
                for n, p in emission.parameters.items()
            },
        )
        for emission in facts.emissions
    )
    weights = names.get(facts.weights, facts.weights)
    groups = {}
    for name, node in tree.children.items():
        dataset = node.to_dataset()
        renamed = {old: new for old, new in names.items() if old in dataset.data_vars}
        groups[name] = dataset.rename_vars(renamed)
    made = xr.DataTree.from_dict(groups)
    made.attrs = dict(tree.attrs)
    return trees.with_facts(made, replace(facts, weights=weights, emissions=emissions))


def with_family(tree: xr.DataTree, family: str, parameters: dict[str, str]) -> xr.DataTree:
    """The same posterior, of another emission.

    Args:
        tree: a fit.
        family: ``module:ClassName``.
        parameters: parameter -> its site.
    """
    facts, made = facts_of(tree), tree.copy()
    posterior = tree["posterior"]
    read = {
        n: ParameterFacts(s, "cluster" not in posterior[s].dims, posterior[s].dims[2:])
        for n, s in parameters.items()
    }
    emission = replace(facts.emission, family=family, parameters=read)
    return trees.with_facts(made, replace(facts, emissions=(emission,)))


def with_unit(tree: xr.DataTree, unit: str) -> xr.DataTree:
    """The same fit by a program that calls its data plate otherwise."""
    facts = facts_of(tree)
    emissions = tuple(
        replace(emission, dims=(unit, *emission.dims[1:])) for emission in facts.emissions
    )
    groups = {}
    for name, node in tree.children.items():
        dataset = node.to_dataset()
        groups[name] = dataset.rename({"row": unit}) if "row" in dataset.dims else dataset
    made = xr.DataTree.from_dict(groups)
    made.attrs = dict(tree.attrs)
    return trees.with_facts(made, replace(facts, unit=unit, emissions=emissions))


def with_second_emission(tree: xr.DataTree, other: xr.DataTree) -> xr.DataTree:
    """A point of one program with the observed sites of both; axes of a second are renamed."""
    first, (second,) = facts_of(tree), facts_of(other).emissions
    axis = f"{second.site}_feature"
    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    for name in ("posterior", "observed_data", "posterior_predictive", "prior_predictive"):
        added = other[name].to_dataset().rename(feature=axis)
        groups[name] = groups[name].merge(added, compat="override", join="outer")
    made = xr.DataTree.from_dict(groups)
    labels = [json.loads(each.attrs["coordinate_labels"]) for each in (tree, other)]
    made.attrs = dict(tree.attrs) | {
        "coordinate_labels": json.dumps(labels[0] | {axis: labels[1]["feature"]})
    }
    second = replace(second, dims=("row", axis))
    return trees.with_facts(made, replace(first, emissions=(first.emission, second)))


def swap_labels(tree: xr.DataTree, seed: int = 0) -> xr.DataTree:
    """The same fit with labels that switch between and within chains."""
    generator = np.random.default_rng(seed)
    posterior = tree["posterior"].to_dataset()
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    clusters = posterior.sizes["cluster"]
    order = np.stack([np.tile(np.arange(clusters), (draws, 1)) for _ in range(chains)])
    for chain in range(chains):
        for begin in (0, int(generator.integers(draws // 4, draws))):
            order[chain, begin:] = generator.permutation(clusters)
    index = xr.DataArray(order, dims=("chain", "draw", "cluster"))
    swapped = posterior.copy()
    for name, values in posterior.data_vars.items():
        if "cluster" in values.dims:
            swapped[name] = values.isel(cluster=index).transpose(*values.dims)
    out = tree.copy()
    out["posterior"] = xr.DataTree(swapped)
    return out


def normal_quantile_radius(probability: float) -> float:
    """Squared Mahalanobis radius that holds that probability in the plane."""
    return float(stats.chi2(2).ppf(probability))
