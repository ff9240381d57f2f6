"""Data: from any container or file to what a program receives, and examples to try it on.

The leftmost room: it imports nothing of the package but its errors, and neither JAX nor
NumPyro, so that the command line can judge a file before anything heavy is loaded.
"""

from ppl_models.data.containers.graphs import OrderedGraph, breadth_first, decode_graphs
from ppl_models.data.containers.tables import Table, as_table
from ppl_models.data.containers.vocabulary import Vocabulary, characters, decode, words
from ppl_models.data.examples.click_streams import click_streams
from ppl_models.data.examples.graph_families import GRAPH_FAMILIES, graph_family
from ppl_models.data.examples.published import (
    digits,
    earthquakes,
    first_names,
    first_names_by_sex,
    galaxies,
    iris,
    old_faithful,
)
from ppl_models.data.examples.synthetic import (
    blobs,
    gaussian_clusters,
    latent_classes,
    oddly_shaped,
    overlapping,
    unequal,
)
from ppl_models.data.files.graphs import graphs_text
from ppl_models.data.files.read import read_file
from ppl_models.data.kinds import (
    FEATURE_AXIS,
    KINDS,
    Bits,
    Categories,
    Counts,
    Graphs,
    Kind,
    Observed,
    Reals,
    Series,
    Tokens,
)
from ppl_models.data.kinds.series import as_sequences

__all__ = [
    "FEATURE_AXIS",
    "GRAPH_FAMILIES",
    "KINDS",
    "Bits",
    "Categories",
    "Counts",
    "Graphs",
    "Kind",
    "Observed",
    "OrderedGraph",
    "Reals",
    "Series",
    "Table",
    "Tokens",
    "Vocabulary",
    "as_sequences",
    "as_table",
    "blobs",
    "breadth_first",
    "characters",
    "click_streams",
    "decode",
    "decode_graphs",
    "digits",
    "earthquakes",
    "first_names",
    "first_names_by_sex",
    "galaxies",
    "gaussian_clusters",
    "graph_family",
    "graphs_text",
    "iris",
    "latent_classes",
    "oddly_shaped",
    "old_faithful",
    "overlapping",
    "read_file",
    "unequal",
    "words",
]
