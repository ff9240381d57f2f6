"""Programs that no statistics sum up against the same model written by hand, float64.

EM of a mixture of regressions and of annotations in long format, an iteration beside one in JAX
that knows the model (closed forms, no priors to ask for); and the gradient that NUTS asks for,
beside that of bare NumPyro on the same program.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.special import logsumexp
from numpyro.infer.util import initialize_model

from ppl_models.inference.em.loop import BLOCK, Plan, _block
from ppl_models.inference.mcmc.marginal_density import marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise.m_step import rowwise_plan
from ppl_models.inference.statistics.e_step import soft
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.distribution_trees import by_name

from .timing import Row, a_call, paired

ROWS, COVARIATES, LINES = 100_000, 5, 3
ITEMS, LABELS, ANNOTATORS, CLASSES = 100_000, 1_000_000, 50, 4
GRADIENT_ROWS, GROUPS = 20_000, 500
SLOPES = np.random.default_rng(3).normal(0, 2, (LINES, COVARIATES))
PARALLEL = {"enumerate": "parallel"}


# ---- programs ------------------------------------------------------------------------------------


def regressions(x: Any, y: Any = None, *, lines: int) -> None:
    """Responses along one of several planes."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(lines)))
    with numpyro.plate("line", lines):
        slope = numpyro.sample("slope", dist.Normal(0, 10).expand((x.shape[1],)).to_event(1))
        noise = numpyro.sample("noise", dist.HalfNormal(10))
    with numpyro.plate("row", x.shape[0]):
        z = numpyro.sample("z", dist.Categorical(weights), infer=PARALLEL)
        numpyro.sample("y", dist.Normal((slope[z] * x).sum(-1), noise[z]), obs=y)


def annotations(item: Any, annotator: Any, label: Any = None, *, items: int, annotators: int,
                classes: int) -> None:  # fmt: skip
    """Dawid and Skene's model, a row a label."""
    shares = numpyro.sample("shares", dist.Dirichlet(jnp.ones(classes)))
    with numpyro.plate("annotators", annotators, dim=-2), numpyro.plate("classes", classes, dim=-1):
        confusion = numpyro.sample("confusion", dist.Dirichlet(jnp.ones(classes)))
    with numpyro.plate("items", items):
        z = numpyro.sample("z", dist.Categorical(shares), infer=PARALLEL)
    with numpyro.plate("labels", label.shape[0]):
        numpyro.sample("label", dist.Categorical(confusion[annotator, z[item]]), obs=label)


def levels(group: Any, x: Any, y: Any = None, *, groups: int) -> None:
    """A regression with a level for every group."""
    mean = numpyro.sample("mean", dist.Normal(0, 5))
    between = numpyro.sample("between", dist.HalfNormal(1))
    slope = numpyro.sample("slope", dist.Normal(0, 5))
    noise = numpyro.sample("noise", dist.HalfNormal(1))
    with numpyro.plate("groups", groups):
        level = numpyro.sample("level", dist.Normal(mean, between))
    with numpyro.plate("row", x.shape[0]):
        numpyro.sample("y", dist.Normal(level[group] + slope * x, noise), obs=y)


# ---- data ----------------------------------------------------------------------------------------


def rows_of_lines(rows: int) -> dict[str, np.ndarray]:
    """Covariates, the first of which is 1, and responses along three planes."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, COVARIATES))
    x[:, 0] = 1
    z = generator.integers(0, LINES, rows)
    return {"x": x, "y": (SLOPES[z] * x).sum(-1) + generator.normal(size=rows) * 0.5}


def labels() -> dict[str, np.ndarray]:
    """A million labels by annotators who are right seven times in ten."""
    generator = np.random.default_rng(1)
    truth = generator.integers(0, CLASSES, ITEMS)
    item = np.repeat(np.arange(ITEMS), LABELS // ITEMS)
    guess = generator.integers(0, CLASSES, LABELS)
    label = np.where(generator.random(LABELS) < 0.7, truth[item], guess)
    return {"item": item, "annotator": generator.integers(0, ANNOTATORS, LABELS), "label": label}


def groups() -> dict[str, np.ndarray]:
    """Rows of five hundred groups."""
    generator = np.random.default_rng(2)
    group, x = generator.integers(0, GROUPS, GRADIENT_ROWS), generator.normal(size=GRADIENT_ROWS)
    y = generator.normal(size=GROUPS)[group] + x + generator.normal(size=GRADIENT_ROWS)
    return {"group": group, "x": x, "y": y}


def problem_of(program: Callable, data: dict[str, np.ndarray], **arguments: Any) -> Problem:
    """The program as a fit reads it."""
    observed = read_data(program, data, arguments=arguments)
    return Problem(*read_program(program, observed, arguments, {}, "float64"))


# ---- EM ------------------------------------------------------------------------------------------


def iterations(problem: Problem, start: dict[str, Any]) -> Callable[[], Any]:
    """Ours: iterations of one start, and what they end with."""
    plan = Plan(problem.structure, (), (), False, soft, False, False, rowwise_plan(problem))
    values = {n: jnp.asarray(v)[None] for n, v in start.items()}
    state = (values, jnp.full(1, -jnp.inf), jnp.zeros(1, bool))
    model, known = jax.device_put(problem.model), by_name(problem.known_priors)
    run = partial(_block, model, None, *state, -1.0, BLOCK, known, plan=plan)
    return lambda: jax.block_until_ready(run())


@jax.jit
def regressions_by_hand(data: dict[str, Array], start: dict[str, Array]) -> dict[str, Array]:
    """As many iterations with the weighted least squares of the model."""
    x, y = data["x"], data["y"]

    def iteration(_: int, at: dict[str, Array]) -> dict[str, Array]:
        off = (y - at["slope"] @ x.T) / at["noise"][:, None]
        logits = jnp.log(at["weights"] / at["noise"])[:, None] - off**2 / 2
        responsibilities = jnp.exp(logits - logsumexp(logits, axis=0))
        size = responsibilities.sum(1)
        moment = jnp.einsum("kn,ni,nj->kij", responsibilities, x, x)
        ridge = (at["noise"] / 10)[:, None, None] ** 2 * jnp.eye(COVARIATES)
        slope = jnp.linalg.solve(moment + ridge, ((responsibilities * y) @ x)[..., None])[..., 0]
        square = (responsibilities * (y - slope @ x.T) ** 2).sum(1)
        noise = jnp.sqrt(square / size)  # (the prior of the noise moves no digit that is looked at)
        return {"weights": size / len(y), "slope": slope, "noise": noise}

    return jax.lax.fori_loop(0, BLOCK, iteration, start)


@jax.jit
def annotations_by_hand(data: dict[str, Array], start: dict[str, Array]) -> dict[str, Array]:
    """As many iterations with the counts of the model."""
    item, cell = data["item"], data["annotator"] * CLASSES + data["label"]

    def iteration(_: int, at: dict[str, Array]) -> dict[str, Array]:
        table = jnp.log(at["confusion"]).transpose(0, 2, 1).reshape(-1, CLASSES)
        logits = jnp.log(at["shares"]) + jax.ops.segment_sum(
            table[cell], item, ITEMS, indices_are_sorted=True
        )
        responsibilities = jax.nn.softmax(logits)
        counts = jax.ops.segment_sum(responsibilities[item], cell, ANNOTATORS * CLASSES)
        counts = counts.reshape(ANNOTATORS, CLASSES, CLASSES).transpose(0, 2, 1)
        return {
            "shares": responsibilities.mean(0),
            "confusion": counts / counts.sum(-1, keepdims=True),
        }

    return jax.lax.fori_loop(0, BLOCK, iteration, start)


def em_of_regressions() -> Row:
    """A mixture of regressions."""
    data = rows_of_lines(ROWS)
    start = {
        "weights": jnp.full(LINES, 1 / LINES),
        "slope": jnp.asarray(SLOPES + 0.3),
        "noise": jnp.full(LINES, 1.0),
    }
    ours = iterations(problem_of(regressions, data, lines=LINES), start)
    what = f"EM iteration, mixture of regressions, {ROWS:,} × {COVARIATES}, K={LINES}"
    return _compared(what, ours, regressions_by_hand, data, start)


def em_of_annotations() -> Row:
    """Annotations in long format."""
    data = labels()
    start = {
        "shares": jnp.full(CLASSES, 1 / CLASSES),
        "confusion": jnp.tile(0.2 + 0.2 * jnp.eye(CLASSES), (ANNOTATORS, 1, 1)),
    }
    arguments = {"items": ITEMS, "annotators": ANNOTATORS, "classes": CLASSES}
    ours = iterations(problem_of(annotations, data, **arguments), start)
    what = f"EM iteration, Dawid–Skene, {LABELS:,} labels in long format, {CLASSES} classes"
    return _compared(what, ours, annotations_by_hand, data, start)


def _compared(
    what: str,
    ours: Callable[[], Any],
    by_hand: Callable,
    data: dict[str, np.ndarray],
    start: dict[str, Any],
) -> Row:
    arrays = jax.device_put(data)
    ended, expected = ours()[0], by_hand(arrays, start)
    for name, value in expected.items():
        np.testing.assert_allclose(ended[name][0], value, atol=0.02, err_msg=name)
    theirs = lambda: jax.block_until_ready(by_hand(arrays, start))  # noqa: E731
    return paired(
        what, lambda: a_call(ours) / BLOCK, lambda: a_call(theirs) / BLOCK, "≥ 0.33", pairs=3
    )


# ---- gradients -----------------------------------------------------------------------------------


def gradient(what: str, program: Callable, data: dict[str, np.ndarray], **arguments: Any) -> Row:
    """Value and gradient of the density that NUTS moves on, beside bare NumPyro's."""
    sampled = marginal_program(problem_of(program, data, **arguments))
    theirs, at = _potential(program, data, **arguments)
    ours, _ = _potential(sampled)
    assert abs(ours(at)[0] - theirs(at)[0]) < 1e-9 * abs(theirs(at)[0])
    sides = [lambda f=f: a_call(lambda: jax.block_until_ready(f(at))) for f in (ours, theirs)]
    return paired(f"value and gradient of nuts, {what}", *sides, "≥ 0.9")


def _potential(program: Callable, data: Any = None, **arguments: Any) -> tuple[Callable, Any]:
    initial = initialize_model(
        jax.random.key(0), program, model_kwargs={**(data or {}), **arguments}, validate_grad=False
    )
    return jax.jit(jax.value_and_grad(initial.potential_fn)), initial.param_info.z


def run() -> list[Row]:
    """All comparisons."""
    with jax.enable_x64(True):
        return [
            em_of_regressions(),
            em_of_annotations(),
            gradient(
                f"mixture of regressions, {GRADIENT_ROWS:,} × {COVARIATES}, K={LINES}",
                regressions,
                rows_of_lines(GRADIENT_ROWS),
                lines=LINES,
            ),
            gradient(
                f"levels of {GROUPS} groups, {GRADIENT_ROWS:,} rows",
                levels,
                groups(),
                groups=GROUPS,
            ),
        ]
