"""One program as its author wrote it: against NumPyro, samplers, and after the fit."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.flatten_util import ravel_pytree
from numpyro import handlers
from numpyro.distributions import biject_to

import ppl_models as ppl
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.objective import EVIDENCE_BOUND
from ppl_models.posterior.result.schema import facts_of

from .enumerated_density import enumerated

OPTIONS: dict[str, dict[str, Any]] = {
    "em": {"starts": 4},
    "gibbs": {"chains": 2, "warmup": 200, "draws": 300},
    "nuts": {"chains": 2, "warmup": 200, "draws": 200},
}
FEWEST_EFFECTIVE = 40  #: draws below which a mean is not compared
SHARE_MISSING = 0.1  #: of the cells that are taken out before they are filled in
MOST_PARTS = 4  #: length of a last axis whose order may be any
STEP = 1e-4  #: of a difference, in the unconstrained space
NEXT_TO_0 = 1e-12  #: probabilities that are taken for 0 where a gain is computed
MOST_HESSIAN = 80  #: numbers up to which what is left to gain is computed


def load(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A file's ``CASE``, and the data that it simulates."""
    if str(path.parent) not in sys.path:  # some take another's data
        sys.path.insert(0, str(path.parent))
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.CASE, module.simulate()


def at_draw(tree: xr.DataTree, chain: int, draw: int) -> dict[str, Any]:
    """Values of all sites at one draw, as the program takes them.

    Probabilities of exactly 0 are next to it: NumPyro's densities are no numbers at 0.
    """
    inside = tree["posterior"].isel(chain=chain, draw=draw)
    values = {str(n): jnp.asarray(v.values) for n, v in inside.data_vars.items()}
    least = jnp.finfo(jnp.result_type(float)).tiny
    return {n: jnp.where(v == 0, least, v) if v.dtype.kind == "f" else v for n, v in values.items()}


def density_error(tree: xr.DataTree, density: Callable[..., Any]) -> float:
    """The largest relative error of the log joint density at three draws, or at the point."""
    ours = tree["sample_stats"]["lp"].transpose("chain", "draw").values
    chains, draws = ours.shape
    compiled, errors = jax.jit(density), []
    for chain, draw in {(0, 0), (chains - 1, draws // 2), (chains - 1, draws - 1)}:
        theirs = float(compiled(at_draw(tree, chain, draw)))
        errors.append(abs(ours[chain, draw] - theirs) / max(abs(theirs), 1.0))
    return max(errors)


def another_density(tree: xr.DataTree) -> bool:
    """Whether EM's objective is none of NumPyro's densities.

    It has the rows' own sites integrated out, or is a lower bound.
    """
    objective = facts_of(tree).objective
    bound = objective is not None and objective.name == EVIDENCE_BOUND.name
    return bound or "integrated_out" in ppl.log_density(tree).attrs


def left_to_gain(
    tree: xr.DataTree, case: Mapping[str, Any], data: Mapping[str, Any], density: Any
) -> float:
    """Half the Newton decrement of NumPyro's density at a point: nats that it is below the top."""
    values = at_draw(tree, 0, 0)
    # (next to 0 the unconstrained space has no end: a point well inside, of nearly that density)
    values = {n: jnp.where(jnp.abs(v) < NEXT_TO_0, NEXT_TO_0, v) if v.dtype.kind == "f" else v
              for n, v in values.items()}  # fmt: skip
    arrays = {n: jnp.asarray(v) for n, v in data.items()}
    held = handlers.substitute(case["program"], data=values)
    seeded = handlers.seed(held, jax.random.key(0))
    trace = handlers.trace(seeded).get_trace(**arrays, **case.get("args", {}))
    ways = {
        n: biject_to(s["fn"].support)
        for n, s in trace.items()
        if s["type"] == "sample" and not s["is_observed"] and n in values
    }
    flat, unravel = ravel_pytree({n: way.inv(values[n]) for n, way in ways.items()})

    def along(vector: Any) -> Any:
        return density({n: ways[n](v) for n, v in unravel(vector).items()})

    gradient = jax.jit(jax.grad(along))(flat)
    if len(flat) > MOST_HESSIAN:
        return float(jnp.abs(gradient).max())
    hessian = jax.jit(jax.hessian(along))(flat)
    if not (jnp.isfinite(gradient).all() and jnp.isfinite(hessian).all()):
        gradient, hessian = differences(jax.jit(jax.vmap(along)), flat)
    return float(0.5 * gradient @ jnp.linalg.pinv(-hessian, rtol=1e-10) @ gradient)


def differences(along: Callable[[Any], Any], point: Any) -> tuple[Any, Any]:
    """Gradient and Hessian by central differences.

    The slope of NumPyro's Poisson is no number at rate 0, which a cluster of zeros alone has.

    Args:
        along: a function of many points.
        point: where.
    """
    steps = STEP * jnp.eye(len(point))
    gradient = (along(point + steps) - along(point - steps)) / (2 * STEP)
    pairs = (steps[:, None] + steps).reshape(-1, len(point))
    across = (steps[:, None] - steps).reshape(-1, len(point))
    both = along(point + pairs) + along(point - pairs)
    both -= along(point + across) + along(point - across)
    return gradient, both.reshape(len(point), -1) / (4 * STEP**2)


def ordered(tree: xr.DataTree, key: str | None) -> xr.Dataset:
    """The posterior with its clusters in the order of a site's first numbers.

    Arrays without an axis of clusters, such as the coefficients of their log-odds, are left out
    where that changes the order: they mean something else in another one.
    """
    posterior = tree["posterior"].to_dataset()
    if key is None:
        return posterior
    axis = str(posterior[key].dims[2])
    rest = [d for d in posterior[key].dims if d not in ("chain", "draw", axis)]
    first = posterior[key].isel(dict.fromkeys(rest, 0)).mean(("chain", "draw"))
    order = np.argsort(first.values)
    if (np.diff(order) < 0).any():
        apart = [n for n, v in posterior.items() if v.ndim > 2 and axis not in v.dims]
        posterior = posterior.drop_vars(apart)
    return posterior.isel({axis: order})


def against(one: xr.Dataset, other: xr.Dataset, names: list[str]) -> float | None:
    """The largest difference of two samplers' means, in its Monte Carlo standard errors."""
    deviations = []
    for name in names:
        if name not in one or name not in other or one[name].shape[2:] != other[name].shape[2:]:
            continue
        effective = [az.ess(d[[name]])[name].values for d in (one, other)]
        errors = [
            d[name].std(("chain", "draw")).values / np.sqrt(e)
            for d, e in zip((one, other), effective, strict=True)
        ]
        apart = np.abs(one[name].mean(("chain", "draw")) - other[name].mean(("chain", "draw")))
        usable = (np.minimum(*effective) > FEWEST_EFFECTIVE) & (np.hypot(*errors) > 0)
        if usable.any():
            deviations.append(float((apart.values / np.hypot(*errors))[usable].max()))
    return max(deviations, default=None)


def from_truth(posterior: xr.Dataset, truth: Mapping[str, Any]) -> float | None:
    """The largest distance of a true value from its posterior mean, in standard deviations.

    In the best order along the last axis, as of the parts of a mixture in a mixture.
    """
    deviations = []
    for name, true in truth.items():
        if name not in posterior or np.size(true) == 0:
            continue
        mean, deviation = (
            f(("chain", "draw")).values for f in (posterior[name].mean, posterior[name].std)
        )
        if np.shape(mean) != np.shape(true):
            continue
        off = np.abs(mean - np.asarray(true)) / deviation
        if off.ndim > 1 and off.shape[-1] <= MOST_PARTS:
            orders = [list(order) for order in permutations(range(off.shape[-1]))]
            each = [np.abs(mean[..., o] - true) / deviation[..., o] for o in orders]
            off = np.min([e.reshape(len(off), -1).max(1) for e in each], axis=0)
        deviations.append(float(np.max(off)))
    return max(deviations, default=None)


def after_the_fit(
    tree: xr.DataTree, case: Mapping[str, Any], data: Mapping[str, Any], folder: Path
) -> dict[str, str]:
    """Every question to a fit: its name and "ok", or what was said in place of an answer."""
    arrays = {n: np.asarray(v) for n, v in data.items()}
    single = next(iter(arrays.values())) if len(arrays) == 1 else None
    rows = len(next(iter(arrays.values())))

    def impute() -> None:
        holed = arrays[case["gaps"]].astype(float)
        holed[np.random.default_rng(0).random(holed.shape) < SHARE_MISSING] = np.nan
        passed = holed if single is not None else {**arrays, case["gaps"]: holed}
        filled = ppl.impute(tree, passed, seed=3)[case["gaps"]].values
        if not np.isfinite(filled).all():
            raise AssertionError("cells are left missing")

    def storage() -> None:
        ppl.save(tree, folder / "fit.nc", overwrite=True)
        again = ppl.log_density(ppl.load(folder / "fit.nc"))
        np.testing.assert_allclose(again, ppl.log_density(tree), rtol=1e-6)

    questions: dict[str, Callable[[], Any]] = {
        "predict": lambda: ppl.predict(tree),
        "log_density": lambda: ppl.log_density(tree, arrays if single is None else single),
        "generate": lambda: ppl.generate(tree, rows, seed=2),
        "impute": impute,
        "loo": lambda: ppl.loo(tree),
        "loo_pit": lambda: ppl.loo_pit(tree, draws=50),
        "diagnose": lambda: ppl.diagnose(tree),
        "partition": lambda: ppl.partition(tree),
        "relabel": lambda: ppl.relabel(tree, "stephens"),
        "sensitivity": lambda: ppl.sensitivity(tree),
        "report": lambda: ppl.write_report(tree, folder / "fit.html", overwrite=True),
        "save, load": storage,
    }
    if case.get("choose"):
        arguments = {n: v for n, v in case.get("args", {}).items() if n != "clusters"}
        passed = arrays if single is None else single
        questions["choose_clusters"] = lambda: ppl.choose_clusters(
            case["program"], passed, range(1, 4), seed=0, starts=4, **arguments
        )
    if not case["gaps"]:
        del questions["impute"]
    return {name: said(question) for name, question in questions.items()}


def said(question: Callable[[], Any]) -> str:
    """ "ok", or the sentence of a refusal, or the error of a crash."""
    try:
        question()
    except (InputError, UnsupportedError) as refusal:
        return f"refused: {refusal}"
    except Exception as error:
        return f"CRASH {type(error).__name__}: {str(error)[:200]}"
    return "ok"


def check(path: Path) -> dict[str, Any]:
    """All checks of one program, as numbers and words."""
    case, data = load(path)
    arguments = case.get("args", {})
    single = next(iter(data.values())) if len(data) == 1 else data
    trees, record = {}, {"program": path.stem, "fits": {}}
    for method, options in OPTIONS.items():
        options = {**options, "predictive": 20, "seed": 1}

        def run(method: str = method, options: Any = options) -> None:
            trees[method] = ppl.fit(case["program"], single, method=method, **options, **arguments)

        record["fits"][method] = said(run)
    density = enumerated(case, data)
    errors = {}
    for method, tree in trees.items():
        if method == "em" and another_density(tree):
            continue
        outcome: list[float] = []
        words = said(lambda t=tree, o=outcome: o.append(density_error(t, density)))
        errors[method] = outcome[0] if outcome else words
    record["density"] = errors
    if "em" in trees and not another_density(trees["em"]):
        gain: list[float] = []
        words = said(lambda: gain.append(left_to_gain(trees["em"], case, data, density)))
        record["left_to_gain"] = gain[0] if gain else words
    names, key = list(case.get("truth", {})), case.get("key")
    posteriors = {m: ordered(t, key) for m, t in trees.items() if m != "em"}
    if len(posteriors) == 2:
        record["agreement"] = against(posteriors["gibbs"], posteriors["nuts"], names)
    for posterior in posteriors.values():
        record["truth"] = from_truth(posterior, case.get("truth", {}))
    last = trees.get("nuts") or trees.get("gibbs") or trees.get("em")
    if last is not None:
        with tempfile.TemporaryDirectory() as folder:
            record["after"] = after_the_fit(last, case, data, Path(folder))
    return record


def main(path: str) -> None:
    """Check one file; the last line that is printed is JSON."""
    warnings.filterwarnings("ignore")
    jax.config.update("jax_enable_x64", True)
    print(json.dumps(check(Path(path)), default=float))


if __name__ == "__main__":
    main(sys.argv[1])
