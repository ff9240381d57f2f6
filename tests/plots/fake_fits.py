"""Ready-made fake fits: one call a program, `draws` or `point`, for the tests of the pictures."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import xarray as xr
from scipy import stats


def load_neighbour(name: str) -> ModuleType:
    """The module of that name beside this file, whatever way pytest imports its files."""
    path = Path(__file__).with_name(f"{name}.py")
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


trees = load_neighbour("fake_trees")


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
        chains=4,
        emit=emit,
    )
    for group in ("observed_data", "posterior_predictive", "prior_predictive"):
        tree[group] = xr.DataTree(tree[group].to_dataset().assign_coords(feature=names))
    return tree


def markov_fit(
    words: tuple[str, ...] = trees.NAMES, *, draws: int = 200, seed: int = 0
) -> xr.DataTree:
    """Exact posterior draws of a Markov chain over the letters of names."""
    generator = np.random.default_rng(seed)
    tokens = sorted(set("".join(words)))
    code = {token: index for index, token in enumerate(tokens)}
    size, longest = len(tokens), max(map(len, words)) + 1
    observed = np.full((len(words), longest), size)
    initial, counts = np.ones(size), np.full((size, size + 1), 0.2)
    for index, word in enumerate(words):
        codes = [code[letter] for letter in word]
        observed[index, : len(codes)] = codes
        initial[codes[0]] += 1
        np.add.at(counts, (codes, [*codes[1:], size]), 1)
    first = generator.dirichlet(initial, draws)
    following = np.stack([generator.dirichlet(row, draws) for row in counts], axis=1)
    log_likelihood = np.stack(
        [_chain_log_density(row, size, first, following) for row in observed], axis=1
    )
    names = np.array([*tokens, "<end>"])
    shape = (4, draws // 4)
    coords = {"token": tokens, "next_token": names}
    generated = np.stack([_generate(first[s], following[s], observed.shape, generator)
                          for s in range(20)])  # fmt: skip
    flat = np.stack([_generate(np.ones(size) / size, np.ones((size, size + 1)) / (size + 1),
                               observed.shape, generator) for _ in range(20)])  # fmt: skip
    dims = ("chain", "draw", "sequence", "position")
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {
                    "initial": (("chain", "draw", "token"), first.reshape(*shape, -1)),
                    "transition": (
                        ("chain", "draw", "token", "next_token"),
                        following.reshape(*shape, size, size + 1),
                    ),
                },
                coords,
            ),
            "sample_stats": xr.Dataset(
                {"lp": (("chain", "draw"), log_likelihood.sum(1).reshape(shape))}
            ),
            "log_likelihood": xr.Dataset(
                {"tokens": (("chain", "draw", "sequence"), log_likelihood.reshape(*shape, -1))}
            ),
            "observed_data": xr.Dataset({"tokens": (("sequence", "position"), observed)}),
            "posterior_predictive": xr.Dataset({"tokens": (dims, generated[None])}),
            "prior_predictive": xr.Dataset({"tokens": (dims, flat[None])}),
        }
    )
    tree = trees._with_attributes(tree, "markov_chain", seed)
    tree.attrs |= {"method": "exact", "arguments": "{}", "configuration": "{}"}
    return tree


def _chain_log_density(
    row: np.ndarray, size: int, first: np.ndarray, following: np.ndarray
) -> np.ndarray:
    codes = [*row[row < size], size]
    out = np.log(first[:, codes[0]])
    for current, after in zip(codes[:-1], codes[1:], strict=True):
        out = out + np.log(following[:, current, after])
    return out


def _generate(
    first: np.ndarray,
    following: np.ndarray,
    shape: tuple[int, int],
    generator: np.random.Generator,
) -> np.ndarray:
    size = len(first)
    out = np.full(shape, size)
    for row in out:
        current = generator.choice(size, p=first)
        for position in range(shape[1]):
            row[position] = current
            current = generator.choice(size + 1, p=following[current])
            if current == size:
                break
    return out


def as_point(
    tree: xr.DataTree, method: str = "em", *, starts: int = 6, iterations: int = 15, seed: int = 1
) -> xr.DataTree:
    """The same fit as a point method returns it: one draw, with `starts` and `path`."""
    generator = np.random.default_rng(seed)
    last = tree["posterior"].to_dataset().mean(["chain", "draw"])
    drop = ["scale", "covariance"] if method == "kmeans" else []
    last = last.drop_vars(drop, errors="ignore")
    fade = 0.6 ** xr.DataArray(np.arange(iterations), dims="iteration")
    path = last + fade * xr.apply_ufunc(lambda v: generator.normal(0, 1.5, v.shape), last)
    for name in set(last.data_vars) - {"loc"}:
        path[name] = last[name].expand_dims(iteration=iterations)
    path = path.transpose("iteration", ...)
    best = float(tree["log_likelihood"].to_dataset().to_array().mean(["chain", "draw"]).sum())
    sign = 1 if method != "kmeans" else -1
    gap = np.concatenate([[0.0], generator.choice([0.0, 8.0, 30.0], starts - 1)])
    rises = 0.5 ** np.arange(iterations) * abs(best) * generator.uniform(0.2, 0.6, (starts, 1))
    objective = sign * (best - gap[:, None] - rises)
    used = generator.integers(8, iterations + 1, starts)
    used[0] = iterations
    for start, count in enumerate(used):
        objective[start, count:] = np.nan
    path["objective"] = ("iteration", objective[0])
    one = [tree["log_likelihood"].to_dataset().mean(["chain", "draw"]), last]
    one = [dataset.expand_dims(["chain", "draw"]) for dataset in one]
    point = tree.copy()
    point["log_likelihood"], point["posterior"] = map(xr.DataTree, one)
    statistics = {"lp": (("chain", "draw"), [[best]])}
    if method == "kmeans":
        statistics["inertia"] = (("chain", "draw"), [[float(objective[0, -1])]])
    point["sample_stats"] = xr.DataTree(xr.Dataset(statistics))
    point["starts"] = xr.DataTree(
        xr.Dataset(
            {
                "objective": (("start", "iteration"), objective),
                "iterations": ("start", used),
                "converged": ("start", np.ones(starts, bool)),
                "log_likelihood": ("start", best - gap),
                "kept": ("start", np.arange(starts) == 0),
            }
        )
    )
    point["path"] = xr.DataTree(path)
    point.attrs = tree.attrs | {
        "method": method, "kind": "point", "configuration": json.dumps({"starts": starts}),
    }  # fmt: skip
    return point


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
