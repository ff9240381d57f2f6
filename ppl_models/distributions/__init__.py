"""Emissions as exponential families whose log-density is a matrix product, and their priors."""

# NumPyro whole, before any of its parts: ArviZ, imported earlier, leaves it as a lazy module, and
# a part that wakes it would be imported twice, its own parts missing from the second copy.
import numpyro  # noqa: F401

from .autoregressive import Autoregressive
from .bernoulli import BernoulliVector
from .categorical import CategoricalVector
from .exponential_family import ExponentialFamily
from .gaussian import DiagonalGaussian, SphericalGaussian, UnivariateGaussian
from .gaussian_matrix import FullGaussian, TiedGaussian
from .graph_chain import GraphChain
from .hidden_markov import HiddenMarkov
from .hidden_token_chain import HiddenTokenChain
from .logistic_graph_chain import LogisticGraphChain
from .pixels import LogisticScan, Nade
from .poisson import PoissonVector
from .priors import BlockDirichlet, InverseGammaScale
from .recurrent_chain import RecurrentChain
from .recurrent_graph_chain import RecurrentGraphChain
from .token_chain import TokenChain, context_count

__all__ = [
    "Autoregressive",
    "BernoulliVector",
    "BlockDirichlet",
    "CategoricalVector",
    "DiagonalGaussian",
    "ExponentialFamily",
    "FullGaussian",
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
