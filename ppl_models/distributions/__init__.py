"""Emissions as exponential families whose log-density is a matrix product, and their priors."""

# NumPyro whole, before any of its parts: ArviZ, imported earlier, leaves it as a lazy module, and
# a part that wakes it would be imported twice, its own parts missing from the second copy.
import numpyro  # noqa: F401

from .bernoulli import BernoulliVector
from .categorical import CategoricalVector
from .exponential_family import ExponentialFamily
from .gaussian import DiagonalGaussian, SphericalGaussian, UnivariateGaussian
from .gaussian_matrix import FullGaussian, TiedGaussian
from .hidden_markov import HiddenMarkov
from .hidden_token_chain import HiddenTokenChain
from .poisson import PoissonVector
from .priors import BlockDirichlet, InverseGammaScale
from .token_chain import TokenChain

__all__ = [
    "BernoulliVector",
    "BlockDirichlet",
    "CategoricalVector",
    "DiagonalGaussian",
    "ExponentialFamily",
    "FullGaussian",
    "HiddenMarkov",
    "HiddenTokenChain",
    "InverseGammaScale",
    "PoissonVector",
    "SphericalGaussian",
    "TiedGaussian",
    "TokenChain",
    "UnivariateGaussian",
]
