"""Labels are found by exchanging components in the density; relabelled draws keep their density."""

from __future__ import annotations

from functools import partial
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from jax import random
from label_programs import CASES, LINE, Case, logits, ordered, student

from ppl_models import diagnose, fit, predict, relabel, unrelabel
from ppl_models.errors import UnsupportedError
from ppl_models.inference.methods.nuts import METHOD
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.posterior.build.tree import build_tree
from ppl_models.posterior.labels.allocations import Allocations
from ppl_models.posterior.labels.relabel import relabelled
from ppl_models.posterior.result.restore import RestoredFit, restored
from ppl_models.posterior.result.schema import facts_of
from ppl_models.posterior.result.validation import validate
from ppl_models.program.arguments.json_text import to_json
from ppl_models.program.log_joint import log_joint
from ppl_models.program.parameters.label_symmetry import find_symmetry, permute_labels
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.precision import scope

CHAINS, DRAWS = 2, 4
EXCHANGEABLE = [case for case in CASES if case.classes]
#: whose draws are relabelled in the quick tests: the first of each number of classes
QUICK = list({len(case.classes): case for case in reversed(EXCHANGEABLE)}.values())


def _name(case: Case) -> str:
    return case.program.__name__


class Setting:
    """A program's problem, and draws that differ by their labels and by a little noise."""

    def __init__(self, case: Case):
        self.case = case
        data = case.data if len(case.data) > 1 else next(iter(case.data.values()))
        observed = read_data(case.program, data, {})
        model, structure = read_program(case.program, observed, dict(case.size), {}, "float64")
        self.observed = {n: o.along(structure.plate) for n, o in observed.items()}
        self.problem = Problem(model, structure)

    def straight(self) -> dict[str, np.ndarray]:
        """Draws in one order of labels, ``(chain, draw, ...)``."""
        space = self.problem.structure.space
        free = space.unconstrain(self.problem.structure.initial(random.key(8), 2.0))
        generator = np.random.default_rng(0)
        draws = [
            space.constrain({n: v + 1e-3 * generator.normal(size=v.shape) for n, v in free.items()})
            for _ in range(CHAINS * DRAWS)
        ]
        return {
            n: np.stack([d[n] for d in draws]).reshape(CHAINS, DRAWS, *np.shape(draws[0][n]))
            for n in draws[0]
        }

    def switched(self) -> xr.DataTree:
        """The same draws, each with labels of its own, as ``fit`` would write them."""
        values = self.straight()
        generator = np.random.default_rng(1)
        for place in np.ndindex(CHAINS, DRAWS):
            order = np.arange(self.case.components)
            for members in self.case.classes:
                order[list(members)] = generator.permutation(members)
            moved = permute_labels({n: v[place] for n, v in values.items()}, self.case.axes, order)
            for name, value in moved.items():
                values[name][place] = value
        result = Result(values, METHOD, {})
        attributes = {
            "program": _name(self.case),
            "method": "nuts",
            "precision": "float64",
            "kind": "draws",
            "configuration": to_json({}),
        }
        self.result = result
        return build_tree(self.problem, result, self.observed, random.key(0), attributes, 0)

    def fitted(self, tree: xr.DataTree) -> RestoredFit:
        """The fit restored."""
        return RestoredFit.of_result(tree, self.problem, self.result, self.observed)

    def joint(self, tree: xr.DataTree) -> np.ndarray:
        """Log joint density of every draw, evaluated anew from the posterior group."""
        return _joint(self.fitted(tree), tree)


def _joint(fitted: RestoredFit, tree: xr.DataTree) -> np.ndarray:
    values = {n: jnp.asarray(v) for n, v in fitted.at_sites_of(tree).items()}
    density = partial(log_joint, fitted.model, fitted.structure)
    return np.asarray(jax.jit(partial(jax.lax.map, density))(values))


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_components_that_may_change_places_are_found_with_their_axes(case):
    with scope("float64"):
        problem = Setting(case).problem
        actual = problem.labels
        assert actual.components == case.components
        assert actual.classes == case.classes, actual
        assert dict(actual.axes) == dict(case.axes)
        assert bool(actual.reason) == (not case.classes)
        values = problem.structure.initial(random.key(8))
        density = jax.jit(partial(log_joint, problem.model, problem.structure))
        here = density(values)
        for order in permutations(range(case.components)):
            if (actual.class_of()[list(order)] == actual.class_of()).all():
                moved = permute_labels(values, actual.axes, np.array(order))
                np.testing.assert_allclose(density(moved), here, rtol=1e-10)


@pytest.mark.parametrize(
    "case",
    [c if c in QUICK else pytest.param(c, marks=pytest.mark.long) for c in EXCHANGEABLE],
    ids=_name,
)
def test_relabelled_draws_have_the_density_that_they_had(case):
    with scope("float64"):
        setting = Setting(case)
        tree = setting.switched()
        validate(tree)
        before = setting.joint(tree)
        classes = facts_of(tree).labels.class_of()
        for method in ("ecr", "ecr-iterative", "stephens"):
            actual = relabelled(Allocations(tree, fitted=setting.fitted(tree)), method)
            np.testing.assert_allclose(setting.joint(actual), before, rtol=1e-10)
            permutation = actual["labels"]["permutation"].values
            assert (np.sort(permutation) == np.arange(case.components)).all()
            assert (classes[permutation] == classes).all()
            assert unrelabel(actual).identical(tree)
        for site in case.axes:  # all draws are in one order, be it which it may
            assert np.ptp(actual["posterior"][site].values, axis=(0, 1)).max() < 0.1, site
        moved = [np.ptp(tree["posterior"][site].values, axis=(0, 1)).max() for site in case.axes]
        assert max(moved) > 0.3


def test_deterministic_sites_go_with_their_clusters_or_are_computed_anew():
    with scope("float64"):
        setting = Setting(CASES[0])
        tree = setting.switched()
        labels = facts_of(tree).labels
        assert labels.axes["probs"] == ((0, 0),) and labels.recomputed == ("largest",)
        assert "spread" not in labels.axes
        for site in ("eta", "loc", "probs"):
            assert tree["posterior"][site].dims == ("chain", "draw", "cluster")
        posterior = relabelled(Allocations(tree, fitted=setting.fitted(tree)), "ecr")["posterior"]
    expected = np.exp(posterior["eta"].values)
    expected /= expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(posterior["probs"], expected, rtol=1e-6)
    np.testing.assert_array_equal(posterior["largest"], posterior["eta"].values.argmax(-1))
    np.testing.assert_array_equal(posterior["spread"], tree["posterior"]["spread"])
    assert len(np.unique(tree["posterior"]["largest"])) > 1


def test_weights_that_differ_are_seen_however_far_the_rows():
    """Held weights tell clusters apart, where rows of log-density -1e12 would drown them."""
    case = CASES[1]
    with scope("float64"):
        setting = Setting(Case(student, {"x": 1e6 * LINE}, size={"clusters": 3}))
        fixed = {"weights": jnp.array([0.3, 0.3, 0.4])}
        model = setting.problem.model
        held = type(model)(model.function, model.data, model.arguments, fixed)
        labels = Problem(held, held.structure()).labels
    assert labels.classes == ((0, 1),) and dict(labels.axes) == {"loc": case.axes["loc"]}


OPTIONS = {"seed": 1, "predictive": 0, "chains": 2, "warmup": 60, "draws": 10}
APART = np.concatenate([LINE[:12] - 20, LINE[12:] + 20])


@pytest.mark.long  # (switched draws without a sampler are relabelled above)
@pytest.mark.parametrize("method", ["nuts", "gibbs"])
def test_chains_of_two_orders_are_pooled_in_one_whatever_weights_and_emission_are(method):
    program = student if method == "nuts" else logits
    tree = fit(program, APART, method=method, clusters=2, **OPTIONS)
    assert tree.attrs["labels"].startswith("relabelled")
    switched = unrelabel(tree)
    posterior = switched["posterior"].to_dataset()
    for site in facts_of(tree).labels.axes:  # one chain in the other order
        posterior[site].values[1] = posterior[site].values[1, :, ::-1]
    switched["posterior"].dataset = posterior
    assert predict(switched).max() < 0.9
    relabelled = relabel(switched)
    assert relabelled["labels"].attrs["share_unclear"] == 0
    assert np.ptp(relabelled["posterior"]["loc"].mean("draw").values, axis=0).max() < 5
    assert predict(relabelled).max("cluster").min() > 0.99
    with restored(tree) as fitted:
        np.testing.assert_allclose(_joint(fitted, relabelled), _joint(fitted, switched), rtol=1e-10)


# (that such labels are found to mean something: the cases of the first test)
@pytest.mark.long
def test_labels_that_mean_something_are_left_and_it_is_said():
    tree = fit(ordered, LINE, clusters=3, method="nuts", **OPTIONS)
    assert "tells its components apart" in tree.attrs["labels"]
    with pytest.raises(UnsupportedError, match="tells its components apart"):
        relabel(tree)
    assert "relabel(tree" not in str(diagnose(tree))


class Unasked:
    """Densities of many components, none of which may be evaluated."""

    components = 10_000

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} was asked for")


def test_components_without_entries_in_any_site_are_not_tried_pair_by_pair():
    """The pairs of times of two change points are components, and fifty million pairs of them."""

    def changes(y):
        rate = numpyro.sample("rate", dist.Gamma(1.0, 0.2).expand([3]).to_event(1))
        times = dist.Categorical(jnp.ones(len(y)) / len(y))
        first = numpyro.sample("first", times, infer={"enumerate": "parallel"})
        second = numpyro.sample("second", times, infer={"enumerate": "parallel"})
        time = jnp.arange(len(y))
        part = (time >= first[..., None]).astype(int) + (time >= second[..., None])
        with numpyro.plate("time", len(y)):
            numpyro.sample("y", dist.Poisson(rate[part]), obs=y)

    with scope("float64"):
        observed = read_data(changes, {"y": np.arange(7) % 3}, {})
        model, structure = read_program(changes, observed, {}, {}, "float64")
        assert structure.clusters == 49
        symmetry = find_symmetry(
            Unasked(), model, structure, Problem(model, structure).parameter_map
        )
    assert symmetry.classes == () and "tells its components apart" in symmetry.reason
