"""What an exponential family declares about itself: class attributes that methods read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ppl_models.distributions.described import Described
from ppl_models.distributions.registry import register_equivalent


class FamilyDeclaration(Described):
    """Class attributes with defaults; a subclass states those in which it differs.

    ``arg_constraints`` and ``support`` are NumPyro's.
    """

    #: parameter name -> number of its event axes (default: those of ``arg_constraints``)
    parameter_dims: ClassVar[Mapping[str, int]]
    #: parameter name -> names of its event axes in a result; axes without names are counted
    parameter_axes: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: parameters that a component cannot have for itself (a tied covariance)
    shared_parameters: ClassVar[tuple[str, ...]] = ()
    #: parameter -> classes of its conjugate priors, see :meth:`conjugate_update`
    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]] = {}
    #: NumPyro's distributions with the same density: (class, number of ``to_event`` axes)
    numpyro_classes: ClassVar[tuple[tuple[type, int], ...]] = ()
    #: whether features are independent given the component, so that a missing cell drops out
    factorises: ClassVar[bool] = True
    #: whether a datum has latent variables of its own (a state path), whose statistics are expected
    latent: ClassVar[bool] = False
    #: whether a Gibbs sweep draws what every row hides given its component, such as the precision
    #: of a row with heavy tails, or factor scores; statistics expect it otherwise
    draws_hidden: ClassVar[bool] = False
    #: parameters of which several values mean the same, see :meth:`canonical`
    equivalent_parameters: ClassVar[tuple[str, ...]] = ()
    #: parameters that EM moves together with the distribution of what rows hide, see
    #: :meth:`expanded`
    expanded_parameters: ClassVar[tuple[str, ...]] = ()
    #: number of hidden states that a datum passes through; 0: none. A family with states offers
    #: what ``distributions.hmm.state_paths.StatePaths`` does
    states: int = 0
    #: what a hidden state emits from, as a program wrote it; None where no states are hidden
    state_distribution: Any = None
    #: whether statistics of all rows lie side by side, see ``StackedFamily``
    stacks_statistics: ClassVar[bool] = False
    #: whether a datum's probability is a product of parameters that are probabilities, so that
    #: counts are all that the evidence depends on
    is_product_of_probabilities: ClassVar[bool] = False
    #: whether one component's :meth:`complete` takes any number of rows: a table that all rows
    #: share is too large to be had once a row
    completes_all_rows: ClassVar[bool] = False
    #: whether missing cells can be filled in with their most probable values
    fills_in: ClassVar[bool] = False
    #: a scale in whose limit 0 log-densities are squared distances from ``loc`` (k-means)
    distance_scale: ClassVar[str | None] = None
    #: whether statistics are the rows themselves, which no sum over chunks may add up
    keeps_rows: bool = False
    #: whether a single row is a good first guess of a component
    starts_from_rows: ClassVar[bool] = True
    #: whether coordinates of ``start_points`` have noise of one size and are compared as they are
    points_on_one_scale: ClassVar[bool] = False
    #: whether a component may lie within another one and differ from it by its scatter alone
    may_be_nested: ClassVar[bool] = False
    #: whether the last component is no cluster, but takes in rows that lie far from all clusters
    last_is_noise: ClassVar[bool] = False
    #: parameters that say what a component is, and that no fit tells
    unreported_parameters: ClassVar[tuple[str, ...]] = ()
    #: whether a component is a normal distribution of any ``loc`` and ``covariance``
    any_normal: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "arg_constraints" in own and "parameter_dims" not in own:
            cls.parameter_dims = {n: c.event_dim for n, c in own["arg_constraints"].items()}
        for numpyro_class, event_dims in own.get("numpyro_classes", ()):
            register_equivalent(numpyro_class, event_dims, cls)
