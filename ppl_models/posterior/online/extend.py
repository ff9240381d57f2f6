"""More draws for a fit: its chains go on from where they ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from ppl_models import catalogue
from ppl_models.errors import UnsupportedError, whole_number
from ppl_models.inference.last_states import LastStates
from ppl_models.inference.method import declaration, methods_that
from ppl_models.inference.padded_rows import for_method, without_padding
from ppl_models.inference.result import Result
from ppl_models.posterior.build.last_states import last_states, with_last_states
from ppl_models.posterior.build.notes import notes_of_fit
from ppl_models.posterior.build.tree import build_tree
from ppl_models.posterior.labels.names import name_clusters, refuse_named, with_own_names
from ppl_models.posterior.labels.relabel import unrelabel, without_switching
from ppl_models.posterior.online.update import ANEW
from ppl_models.posterior.result.names import given_names
from ppl_models.posterior.result.restore import precision_of, restore
from ppl_models.posterior.result.schema import HIDDEN, LABEL_NAMES, SUMMARY, facts_of
from ppl_models.program.arguments.json_text import to_json
from ppl_models.program.runtime.keys import fold_in, make_key


def extend(tree: xr.DataTree, draws: int, *, progress: bool = False) -> xr.DataTree:
    """Go on with the chains of a fit, and add draws to it.

    The chains go on from their last states, with the step sizes and the metric that their warm-up
    found, so that the result is what `fit` returns with as many draws in all, to the bit. Label
    switching is undone anew over all draws. How many draws are enough: Vehtari, Gelman, Simpson,
    Carpenter and Bürkner (2021), Rank-normalization, folding, and localization, Bayesian Analysis.

    Args:
        tree: a fit by a method that draws in chains ("gibbs", "nuts", "telescoping",
            "pitman_yor_gibbs"), or what this function returned; of rows in memory.
        draws: more draws a chain.
        progress: show a progress bar.

    Returns:
        A new tree with all draws. The conventions are those of `fit`.

    Raises:
        UnsupportedError: a fit without chains, or that keeps no state of them.
        InputError: fewer than one draw, or clusters that have names.

    >>> from ppl_models import fit
    >>> options = {"method": "gibbs", "seed": 0, "clusters": 2, "chains": 2, "predictive": 0}
    >>> tree = fit("poisson_mixture", [1, 2, 1, 9, 8, 9], draws=100, **options)
    >>> longer = extend(tree, 50)
    >>> longer["posterior"].sizes["draw"]
    150
    >>> at_once = fit("poisson_mixture", [1, 2, 1, 9, 8, 9], draws=150, **options)
    >>> bool((longer["posterior/rate"] == at_once["posterior/rate"]).all())
    True
    """
    whole_number("draws", draws)
    states = _states(tree)
    started = time.perf_counter()
    function = catalogue.program(tree.attrs["program"])
    labels = json.loads(tree.attrs.get(LABEL_NAMES, "{}"))
    names_of_labels = {int(k): name for k, name in labels.items()}
    with precision_of(tree):
        fitted = restore(tree)
        own_names = partial(
            with_own_names,
            function=function,
            arguments=fitted.model.arguments,
            labels=names_of_labels,
        )
        names = given_names(tree)
        if names is not None:
            plain = name_clusters(tree, {})
            if names == given_names(own_names(plain)):
                tree, names = plain, None  # names that the fit gave, and gives again
            elif "labels" in tree.children:
                refuse_named(tree, "adding draws")
        method, seed = str(tree.attrs["method"]), int(tree.attrs["seed"])
        configuration = json.loads(tree.attrs["configuration"])
        options = {**configuration, "draws": draws}
        run: Callable[..., Result] = getattr(catalogue.method(method), method)
        problem = replace(fitted.problem, progress=progress)
        asked = replace(for_method(method, problem), last_states=states)
        new = without_padding(
            run(asked, fold_in(make_key(seed), 0), **options), fitted.structure.rows
        )
        result = _joined(unrelabel(tree), new)
        result.notes += notes_of_fit(function, problem, fitted.observed, names_of_labels)
        settings = json.loads(tree.attrs["fit_options"])
        attributes = {str(n): v for n, v in tree.attrs.items() if n not in ANEW}
        total = tree["posterior"].sizes["draw"] + draws
        attributes["configuration"] = to_json({**configuration, "draws": total})
        longer = build_tree(
            problem,
            result,
            fitted.observed,
            fold_in(make_key(seed), 1),
            attributes,
            settings["predictive"],
        )
        longer = without_switching(
            longer, problem, result, fitted.observed, settings["relabel"], seed
        )
        before = float(tree.attrs.get("wall_time_seconds", 0.0))
        longer.attrs["wall_time_seconds"] = before + time.perf_counter() - started
        longer = own_names(longer) if names is None else name_clusters(longer, names)
        return with_last_states(longer, states)


def _states(tree: xr.DataTree) -> LastStates:
    """Where the chains of a fit ended.

    Raises:
        UnsupportedError: a fit that has no chains or does not say where they ended.
    """
    facts_of(tree)
    method = str(tree.attrs["method"])
    said = declaration(method)
    if said.kind != "draws" or not said.keeps_states:
        those = ", ".join(methods_that(lambda each: each.kind == "draws" and each.keeps_states))
        raise UnsupportedError(
            f"the tree is a fit by method={method!r}, which has no chains that could go on: use "
            f"one of {those}"
        )
    if SUMMARY in tree.attrs:
        raise UnsupportedError(
            "the tree holds a sample of its rows, which were read in blocks: call fit again, with "
            "more draws= and the checkpoint= of the first call"
        )
    states = last_states(tree)
    if states is None:
        raise UnsupportedError(
            "the tree does not hold where its chains ended, since that would take more than "
            "64 MB: call fit again, with more draws= and the checkpoint= of the first call"
        )
    return states


def _joined(tree: xr.DataTree, new: Result) -> Result:
    """The draws of a tree and new ones after them."""

    def joined(name: str, values: np.ndarray, *groups: str) -> np.ndarray:
        group = next(g for g in groups if g in tree.children and name in tree[g].data_vars)
        before = tree[group].dataset[name].transpose("chain", "draw", ...).values
        return np.concatenate([before.astype(values.dtype, copy=False), values], axis=1)

    assignment = new.assignment
    if assignment is not None:
        assignment = joined("assignment", assignment, "posterior")
    return replace(
        new,
        values={n: joined(n, v, "posterior", HIDDEN) for n, v in new.values.items()},
        sample_stats={n: joined(n, v, "sample_stats") for n, v in new.sample_stats.items()},
        log_prior={n: joined(n, v, "log_prior") for n, v in new.log_prior.items()},
        assignment=assignment,
    )
