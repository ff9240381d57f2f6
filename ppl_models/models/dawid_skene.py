"""Labels of items by annotators who err: true classes, and every annotator's confusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import xarray as xr

from ppl_models.data.derived import FromData
from ppl_models.data.kinds import Categories, Reals
from ppl_models.models._line_weights import as_often
from ppl_models.models._lookups import count_of, largest
from ppl_models.models._pseudo_counts import pseudo_count
from ppl_models.models._report_tables import Tables, names, of_interval, samples, with_interval


def cluster_names(*, axes: Mapping[str, Sequence[Any]], **_: Any) -> dict[int, str]:
    """What the classes are called in a fit: as the labels, where these have names.

    >>> cluster_names(axes={"cluster": [0, 1], "label": ["no", "yes"]})
    {0: 'no', 1: 'yes'}
    """
    labels, classes = axes.get("label", ()), axes.get("cluster", ())
    if len(labels) != len(classes) or not all(isinstance(name, str) for name in labels):
        return {}
    return {k: str(name) for k, name in enumerate(labels)}


def dawid_skene(
    item: Annotated[Any, Categories] = None,
    annotator: Annotated[Any, Categories] = None,
    label: Annotated[Any, Categories] = None,
    line_weights: Annotated[Any, Reals] = None,
    *,
    clusters: int | None = None,
    concentration: float = 1.0,
    error_concentration: float | None = None,
    agreement: float = 2.0,
    items: Annotated[int | None, FromData(largest("item"))] = None,
    annotators: Annotated[int | None, FromData(largest("annotator"))] = None,
    levels: Annotated[int | None, FromData(largest("label"))] = None,
) -> Any:
    """True classes of items from the labels of annotators who err: a line a label.

        π ~ Dirichlet(concentration)                              how common the classes are
        C_ak ~ Dirichlet(error_concentration + agreement at k)    labels that a gives class k
        z_i ~ Categorical(π)                                      the class of item i
        label_l | item i, annotator a, z_i = k ~ Categorical(C_ak)

    An item may have any number of labels, several of them by one annotator; equal ones may be one
    line with their number as its weight, which is the power of its density. Class k is the one
    that annotators tend to call by the k-th label, as the prior says. Dawid and Skene (1979);
    Paun et al. (2018).

    Args:
        item: ``(line,)``, which item; codes from 0, or names where ``fit`` reads them.
        annotator: ``(line,)``, who labelled it.
        label: ``(line,)``, as what; gaps are NaN; None generates a label for every line.
        line_weights: ``(line,)``, how often each label was given (default: once);
            ``fit(..., weights=)`` gives them.
        clusters: K, number of true classes (default: as many as there are labels).
        concentration: of the prior of the classes' weights.
        error_concentration: pseudo-counts of every label (default: 1 + 1 / (K labels)).
        agreement: pseudo-counts more of the label that is the class.
        items: number of items (default: those of the data).
        annotators: number of annotators (default: those of the data).
        levels: number of labels (default: those of the data).

    Returns:
        The labels.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(dawid_skene, random.key(0))
    >>> program(jnp.array([0, 0, 1]), jnp.array([0, 1, 0]), levels=2).shape
    (3,)
    """
    items, annotators = count_of(items, item), count_of(annotators, annotator)
    levels = count_of(levels, label)
    classes = levels if clusters is None else clusters
    errors = pseudo_count(error_concentration, classes, levels)
    class_prior = dist.Dirichlet(jnp.full(classes, float(concentration)))
    weights = numpyro.sample("weights", class_prior, infer={"event_dims": ["cluster"]})
    with numpyro.plate("annotator", annotators, dim=-2), numpyro.plate("cluster", classes, dim=-1):
        prior = dist.Dirichlet(errors + agreement * jnp.eye(classes, levels))
        confusion = numpyro.sample("confusion", prior, infer={"event_dims": ["label"]})
    with numpyro.plate("item", items):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
    with numpyro.plate("line", len(item)), as_often(line_weights):
        return numpyro.sample("label", dist.Categorical(confusion[annotator, z[item]]), obs=label)


def report_tables(tree: xr.DataTree) -> Tables:
    """How reliable each annotator is, best first, and what each calls items of every class."""
    confusion = samples(tree, "confusion", "annotator", "cluster", "label")
    weights = samples(tree, "weights", "cluster")
    if confusion is None or weights is None or confusion.shape[2] != confusion.shape[3]:
        return {}
    annotators, labels = (names(tree, "confusion", dim) for dim in ("annotator", "label"))
    right = (np.einsum("sakk->sak", confusion) * weights[:, None]).sum(2)
    wrong = confusion.mean(0) * (1 - np.eye(len(labels)))
    order = np.argsort(-right.mean(0), kind="stable")
    lines = []
    for a in order:
        true, said = np.unravel_index(wrong[a].argmax(), wrong[a].shape)
        lines.append({
            "accuracy": with_interval(right[:, a]),
            "most frequent error": f"{labels[said]} for {labels[true]}",
            "its probability": f"{wrong[a, true, said]:.2f}",
        })  # fmt: skip
    text = f"Probability that a label is the true class, annotator by annotator.{of_interval(tree)}"
    index = pd.Index([annotators[a] for a in order], name="annotator")
    return {
        "How reliable is each annotator?": (text, pd.DataFrame(lines, index=index)),
        "What does each annotator call the classes?": _confusions(
            confusion, [annotators[a] for a in order], order, labels, of_interval(tree)
        ),
    }


def _confusions(
    confusion: np.ndarray, annotators: list[str], order: np.ndarray, labels: list[str], told: str
) -> tuple[str, pd.DataFrame]:
    """The confusion matrices of all annotators, one below the other, in the given order."""
    cells = {
        (name, true): {
            said: with_interval(confusion[:, a, k, place]) for place, said in enumerate(labels)
        }
        for name, a in zip(annotators, order, strict=True)
        for k, true in enumerate(labels)
    }
    table = pd.DataFrame.from_dict(cells, orient="index", columns=labels)
    table.index = table.index.set_names(["annotator", "true class"])
    text = (
        "A line is a true class of one annotator's items, the best annotator's first; its numbers "
        f"are the probabilities of each label, which add up to one.{told}"
    )
    return text, table


def example(**_: Any) -> dict[str, Any]:
    """A few rows of data, for the documentation's tables."""
    return {
        "item": ["i", "i", "j", "j", "k", "k"],
        "annotator": ["a", "b", "a", "b", "a", "b"],
        "label": ["yes", "yes", "no", "yes", "no", "no"],
    }
