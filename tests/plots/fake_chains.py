"""Hand-made fits of chains of tokens: one chain, and clusters of chains."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import xarray as xr

from ppl_models.posterior.result.schema import EmissionFacts, FitFacts, ParameterFacts

_specification = importlib.util.spec_from_file_location(
    "fake_trees", Path(__file__).with_name("fake_trees.py")
)
trees = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(trees)

CHAIN = "ppl_models.distributions.sequences.token_chain:TokenChain"
NAMES = ["ant", "bee", "cat"]
INITIAL = np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
TRANSITION = np.array([
    [[0.0, 0.5, 0.0, 0.5], [0.0, 0.0, 0.0, 1.0], [0.25, 0.25, 0.25, 0.25]],
    [[0.0, 0.0, 0.0, 1.0], [0.0, 0.8, 0.0, 0.2], [0.0, 0.0, 0.0, 1.0]],
])  # fmt: skip
TOKENS = np.array([[1, 3, 3, 3], [0, 1, 3, 3], [0, 3, 3, 3], [1, 1, 1, 3], [2, 3, 3, 3]])
PROPORTIONS = np.array([[0.4, 0.6], [1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.2, 0.8]])


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
    labels = {"token": tokens, "next_token": names.tolist()}
    emission = EmissionFacts(
        "tokens", "ppl_models.distributions.sequences.token_chain:TokenChain", "Tokens",
        ("sequence", "position"), None, None,
        {
            "initial": ParameterFacts("initial", False, ("token",)),
            "transition": ParameterFacts("transition", False, ("token", "next_token")),
        },
    )  # fmt: skip
    facts = FitFacts("sequence", None, None, 0, 0, "none", None, (emission,))
    tree = trees.with_attributes(tree, "markov_chain", seed, facts)
    tree.attrs |= {
        "method": "exact", "arguments": "{}", "configuration": "{}",
        "coordinate_labels": json.dumps(labels),
    }  # fmt: skip
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


def chains_fit() -> xr.DataTree:
    """A point of two clusters of chains over three tokens."""
    coords = {"token": NAMES, "next_token": [*NAMES, "<end>"]}
    sample = ("chain", "draw")
    posterior = xr.Dataset(
        {
            "weights": ((*sample, "cluster"), np.array([[[0.45, 0.55]]])),
            "initial": ((*sample, "cluster", "token"), INITIAL[None, None]),
            "transition": ((*sample, "cluster", "token", "next_token"), TRANSITION[None, None]),
        },
        coords,
    )
    groups = {
        "posterior": posterior,
        "sample_stats": xr.Dataset({"lp": (sample, np.zeros((1, 1)))}),
        "observed_data": xr.Dataset({"tokens": (("sequence", "position"), TOKENS)}),
        "responsibilities": xr.Dataset(
            {"responsibilities": (("sequence", "cluster"), PROPORTIONS)}
        ),
    }
    return _fit_of(groups, "cluster", ("cluster",))


def chain_fit() -> xr.DataTree:
    """The second of these clusters alone, as a chain without clusters has it."""
    tree = chains_fit()
    posterior = tree["posterior"].to_dataset().isel(cluster=1, drop=True)
    groups = {n: tree[n].to_dataset() for n in ("sample_stats", "observed_data")}
    return _fit_of({"posterior": posterior.drop_vars("weights"), **groups}, None, ())


def _fit_of(
    groups: dict[str, xr.Dataset], component: str | None, axes: tuple[str, ...]
) -> xr.DataTree:
    parameters = {
        "initial": ParameterFacts("initial", False, (*axes, "token")),
        "transition": ParameterFacts("transition", False, (*axes, "token", "next_token")),
    }
    emission = EmissionFacts("tokens", CHAIN, "Tokens", ("sequence", "position"), component, None,
                             parameters)  # fmt: skip
    assigned = ("z", "weights", 2, 0, "soft") if axes else (None, None, 0, 0, "none")
    facts = FitFacts("sequence", *assigned, None, (emission,))
    made = trees.with_attributes(xr.DataTree.from_dict(groups), "chains", 0, facts)
    labels = {"token": NAMES, "next_token": [*NAMES, "<end>"]}
    made.attrs |= {"kind": "point", "coordinate_labels": json.dumps(labels)}
    return made
