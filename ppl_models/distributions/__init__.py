"""Emissions as exponential families whose log-density is a matrix product, and their priors.

The names below are spelled out for type checkers and editors. Families of any other file in
``exponential/`` are names of this package too, without a line here.
"""

# NumPyro whole, before any of its parts: ArviZ, imported earlier, leaves it as a lazy module, and
# a part that wakes it would be imported twice, its own parts missing from the second copy.
import numpyro  # noqa: F401

from ppl_models.distributions import exponential
from ppl_models.distributions.exponential.bernoulli import BernoulliVector
from ppl_models.distributions.exponential.categorical import CategoricalVector
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.distributions.exponential.gaussian import (
    DiagonalGaussian,
    SphericalGaussian,
    UnivariateGaussian,
)
from ppl_models.distributions.exponential.gaussian_full import FullGaussian
from ppl_models.distributions.exponential.gaussian_tied import TiedGaussian
from ppl_models.distributions.exponential.poisson import PoissonVector
from ppl_models.distributions.graphs.graph_chain import GraphChain
from ppl_models.distributions.graphs.logistic_graph_chain import LogisticGraphChain
from ppl_models.distributions.graphs.recurrent_graph_chain import RecurrentGraphChain
from ppl_models.distributions.hmm.hidden_markov import HiddenMarkov
from ppl_models.distributions.hmm.hidden_token_chain import HiddenTokenChain
from ppl_models.distributions.priors.rate import GeneralizedInverseGaussian
from ppl_models.distributions.priors.scales_and_blocks import BlockDirichlet, InverseGammaScale
from ppl_models.distributions.registry import classes_of_folder
from ppl_models.distributions.sequences.autoregressive import Autoregressive
from ppl_models.distributions.sequences.pixels import LogisticScan, Nade
from ppl_models.distributions.sequences.recurrent_chain import RecurrentChain
from ppl_models.distributions.sequences.token_chain import TokenChain, context_count

__all__ = [
    "Autoregressive",
    "BernoulliVector",
    "BlockDirichlet",
    "CategoricalVector",
    "DiagonalGaussian",
    "ExponentialFamily",
    "FullGaussian",
    "GeneralizedInverseGaussian",
    "GraphChain",
    "HiddenMarkov",
    "HiddenTokenChain",
    "InverseGammaScale",
    "LogisticGraphChain",
    "LogisticScan",
    "Nade",
    "PoissonVector",
    "RecurrentChain",
    "RecurrentGraphChain",
    "SphericalGaussian",
    "TiedGaussian",
    "TokenChain",
    "UnivariateGaussian",
    "context_count",
]

for _family in classes_of_folder(exponential):
    globals().setdefault(_family.__name__, _family)
