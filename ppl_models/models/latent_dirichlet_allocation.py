"""Words of documents from hidden topics: latent Dirichlet allocation."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import xarray as xr

from ppl_models.data.derived import FromData
from ppl_models.data.kinds import Categories
from ppl_models.models._lookups import count_of, largest
from ppl_models.models._report_tables import (
    WORDS,
    Tables,
    names,
    of_interval,
    samples,
    with_interval,
)

DOCUMENTS = 10  #: whose topics a report shows


def latent_dirichlet_allocation(
    document: Annotated[Any, Categories] = None,
    word: Annotated[Any, Categories] = None,
    *,
    topics: int,
    topic_concentration: float = 1.1,
    word_concentration: float = 1.1,
    documents: Annotated[int | None, FromData(largest("document"))] = None,
    words: Annotated[int | None, FromData(largest("word"))] = None,
) -> Any:
    """Topics of documents: a line a token, whose document is known and whose topic is hidden.

        φ_k ~ Dirichlet(word_concentration)           what words topic k has
        θ_d ~ Dirichlet(topic_concentration)          what topics document d has
        z_n ~ Categorical(θ_d), d token n's document  what topic token n is from
        word_n | z_n = k ~ Categorical(φ_k)

    EM finds the mode of θ and φ, which concentrations above 1 keep off zero and smooth as a
    variational fit of concentrations smaller by 1 does (Asuncion, Welling, Smyth and Teh 2009).
    New documents are fitted with the topics held, ``fixed={"word_probs": ...}``. Blei, Ng and
    Jordan (2003).

    Args:
        document: ``(token,)``, codes from 0, or names where ``fit`` reads them.
        word: ``(token,)``; None generates one for every entry of ``document``.
        topics: K.
        topic_concentration: of the prior of the documents' topics.
        word_concentration: of the prior of the topics' words.
        documents: number of documents (default: those of the data).
        words: number of different words (default: those of the data).

    Returns:
        The words.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(latent_dirichlet_allocation, random.key(0))
    >>> program(jnp.array([0, 0, 1]), topics=2, words=4).shape
    (3,)
    """
    documents, words = count_of(documents, document), count_of(words, word)
    with numpyro.plate("topic", topics):
        prior = dist.Dirichlet(jnp.full(words, float(word_concentration)))
        word_probs = numpyro.sample("word_probs", prior, infer={"event_dims": ["word"]})
    with numpyro.plate("document", documents):
        prior = dist.Dirichlet(jnp.full(topics, float(topic_concentration)))
        proportions = numpyro.sample("proportions", prior, infer={"event_dims": ["topic"]})
    with numpyro.plate("token", len(document)):
        z = numpyro.sample(
            "z", dist.Categorical(proportions[document]), infer={"enumerate": "parallel"}
        )
        return numpyro.sample("word", dist.Categorical(word_probs[z]), obs=word)


def report_tables(tree: xr.DataTree) -> Tables:
    """The most probable words of every topic, its share of all tokens, and topics by document."""
    word_probs = samples(tree, "word_probs", "cluster", "word")
    proportions = samples(tree, "proportions", "document", "cluster")
    if word_probs is None or proportions is None:
        return {}
    words, documents = names(tree, "word_probs", "word"), names(tree, "proportions", "document")
    topics = names(tree, "word_probs", "cluster")
    by_topic, by_document = word_probs.mean(0), proportions.mean(0)

    def first(probabilities: np.ndarray, labels: list[str], most: int) -> str:
        best = np.argsort(-probabilities, kind="stable")[:most]
        return ", ".join(f"{labels[i]} ({probabilities[i]:.0%})" for i in best)

    lengths = _tokens_by_document(tree, len(documents))
    counted = np.ones(len(documents)) if lengths is None else lengths
    shares = np.einsum("d,sdk->sk", counted, proportions) / counted.sum()
    table = pd.DataFrame(
        {
            "share" + ("" if lengths is None else " of all tokens"): [
                with_interval(shares[:, k]) for k in range(len(topics))
            ],
            "most probable words": [first(p, words, WORDS) for p in by_topic],
            "documents with most of it": [first(p, documents, 3) for p in by_document.T],
        },
        index=pd.Index(topics, name="topic"),
    )
    shown = np.argsort(-counted, kind="stable")[:DOCUMENTS]
    of_documents = pd.DataFrame(
        {
            **({} if lengths is None else {"tokens": counted[shown].astype(int)}),
            **{
                f"topic {topic}": [with_interval(proportions[:, d, k]) for d in shown]
                for k, topic in enumerate(topics)
            },
        },
        index=pd.Index([documents[d] for d in shown], name="document"),
    )
    told = of_interval(tree)
    which = f"the {len(shown)} longest of {len(documents):,} documents"
    return {
        "What are the topics?": (f"Words and documents with their probabilities.{told}", table),
        "What are the documents about?": (f"Shares of the topics in {which}.{told}", of_documents),
    }


def _tokens_by_document(tree: xr.DataTree, documents: int) -> np.ndarray | None:
    """How many tokens each document has; None where the fit does not hold its data."""
    held = tree["constant_data"].dataset if "constant_data" in tree.children else {}
    if "document" not in held:
        return None
    codes = np.asarray(held["document"].values, int)
    weights = held["row_weights"].values if "row_weights" in held else None
    return np.bincount(codes, weights, minlength=documents)


def example(**_: Any) -> dict[str, Any]:
    """A few rows of data, for the documentation's tables."""
    return {
        "document": ["a", "a", "a", "b", "b", "b"],
        "word": ["sea", "salt", "sea", "hill", "tree", "hill"],
    }
