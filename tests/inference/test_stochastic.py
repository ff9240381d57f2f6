"""Stochastic gradients: batches that make up the data, points that EM finds too, runs cut short."""

from __future__ import annotations

from itertools import combinations

import jax
import numpy as np
import pytest
from jax import random

from ppl_models import fit, log_density
from ppl_models.errors import InputError
from ppl_models.inference.gradient import training
from ppl_models.inference.gradient.batches import make_batches
from ppl_models.inference.gradient.guides import Guide
from ppl_models.inference.gradient.steps import row_log_densities
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.lengths import edges
from ppl_models.models.recurrent_chain import recurrent_chain
from ppl_models.program.model import Model

_generator = np.random.default_rng(3)
LENGTHS = np.minimum(_generator.geometric(0.2, 150), 19)
WORDS = ["".join(_generator.choice(list("abc"), n)) for n in LENGTHS]
LINE = _generator.normal(3.0, 2.0, 40)


@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_buckets_waste_as_little_as_any(most):
    lengths = np.array([2, 2, 3, 3, 3, 7, 7, 9, 9, 20])
    actual = edges(lengths, most)
    assert actual[-1] == 20 and len(actual) <= most and (np.diff(actual) > 0).all()

    def cells(widths):
        return sum(min(w for w in widths if w >= n) for n in lengths)

    inner = [2, 3, 7, 9]
    choices = [(*c, 20) for size in range(most) for c in combinations(inner, size)]
    assert cells(actual) == min(map(cells, choices))


def _coded(words):
    width = max(map(len, words)) + 1
    return np.array([["abc".index(c) for c in w] + [3] * (width - len(w)) for w in words])


@pytest.mark.usefixtures("double_precision")
def test_batches_stand_for_the_data():
    """All rows of a bucket before any comes again; every batch has its share of every bucket."""
    data = _coded(WORDS)
    arguments = {"vocabulary": 3, "embedding": 2, "hidden": 2}
    model = Model(recurrent_chain, {"tokens": data}, arguments, {})
    problem = Problem(model, model.structure())
    batches = make_batches(problem, np.arange(150), 32, seed=1)
    assert len(batches.buckets) == 2 and batches.rows == 150
    assert sum(b.data["tokens"].size for b in batches.buckets) < 0.75 * data.size
    for bucket, proportion in zip(batches.buckets, batches.rows_per_bucket, strict=True):
        assert abs(proportion - 32 * bucket.rows / 150) <= 0.5
    runs = [*batches.runs(0, 47)]
    for index, bucket in enumerate(batches.buckets):
        stream = np.concatenate([run.rows[index][: run.count].ravel() for run in runs])
        complete = stream[: len(stream) // bucket.rows * bucket.rows].reshape(-1, bucket.rows)
        assert len(complete) > 2 and (complete[0] != complete[1]).any()
        assert (np.sort(complete, 1) == np.arange(bucket.rows)).all()
    values = problem.structure.initial(random.key(0))
    densities = jax.jit(row_log_densities, static_argnums=1)
    complete = densities(model, problem.structure, values, model.data)
    parts = [densities(model, problem.structure, values, b.data).sum() for b in batches.buckets]
    np.testing.assert_allclose(sum(parts), np.asarray(complete).sum(), rtol=1e-10)

    def steps(runs: list) -> list:
        return [[rows[i].tolist() for rows in run.rows] for run in runs for i in range(run.count)]

    assert steps(runs) == steps([*batches.runs(0, 20), *batches.runs(20, 47)])


@pytest.mark.long
def test_map_ends_where_em_does(built_ins, fitted):
    row = built_ins["gaussian_mixture univariate"]
    em, actual = (
        fitted(row, "em", starts=4),
        fitted(row, "map", starts=2, steps=1500, learning_rate=0.02),
    )
    assert actual.attrs["kind"] == "point"
    for site in ("weights", "loc", "scale"):
        np.testing.assert_allclose(
            actual["posterior"][site].values, em["posterior"][site].values, rtol=2e-4
        )
    np.testing.assert_allclose(
        actual["sample_stats/lp"].values, em["sample_stats/lp"].values, rtol=1e-6
    )


def test_map_serves_what_em_cannot(own, fitted):
    """Heavy tails: flat at the end, whatever the size of the batches."""
    tree = fit(own.heavy_tails, LINE, method="map", seed=0, predictive=0, batch_size=16, steps=3000)
    model = Model(own.heavy_tails, {"x": LINE}, {}, {})
    structure = model.structure()
    with jax.enable_x64(True):
        values = {n: np.asarray(tree["posterior"][n].values[0, 0]) for n in structure.names}

        def height(free):
            values = structure.space.constrain(free)
            rows = row_log_densities(model, structure, values, model.data).sum()
            return rows + model.pieces(values, structure).log_prior

        slope = jax.jit(jax.grad(height))(structure.space.unconstrain(values))
        steepest = max(float(abs(g).max()) for g in jax.tree.leaves(slope))
    assert steepest < 0.05


class _Stop(Exception):
    pass


def test_a_run_cut_short_goes_on_as_if_it_had_not(own, monkeypatch, tmp_path):
    options = {"method": "map", "seed": 0, "predictive": 0, "batch_size": 16, "steps": 60}
    tree = fit(own.no_assignment, LINE, **options, checkpoint=tmp_path / "whole.npz")
    saved, count = training.save, []

    def cut(*arguments):
        saved(*arguments)
        count.append(1)
        if len(count) == 7:
            raise _Stop

    monkeypatch.setattr(training, "save", cut)
    path = tmp_path / "deep" / "cut.npz"
    with pytest.raises(_Stop):
        fit(own.no_assignment, LINE, **options, checkpoint=path)
    again = fit(own.no_assignment, LINE, **options, checkpoint=path)
    assert len(count) == 20  # of which the second run made 13
    np.testing.assert_array_equal(again["posterior/loc"].values, tree["posterior/loc"].values)
    np.testing.assert_array_equal(again["starts/objective"].values, tree["starts/objective"].values)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"another run \(learning_rate is 0.01 there and 0.5 here"):
        fit(own.no_assignment, LINE, **options, learning_rate=0.5, checkpoint=path)
    with pytest.raises(InputError, match="of another run .data is"):
        fit(own.no_assignment, LINE + 1, **options, checkpoint=path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is no checkpoint: delete it"):
        fit(own.no_assignment, LINE, **options, checkpoint=path)


def test_training_stops_where_validation_rows_are_predicted_worse():
    """A network that could learn forty random words by heart."""
    words = sorted(set(WORDS))[:40]
    tree = fit(
        "recurrent_chain",
        words,
        method="map",
        seed=1,
        predictive=0,
        embedding=4,
        hidden=24,
        prior_scale=3.0,
        steps=400,
        learning_rate=0.03,
        validation_fraction=0.3,
        patience=2,
    )
    aside = tree["starts/validation_log_density"].values[0]
    rounds = np.isfinite(aside).sum()
    assert int(np.nanargmax(aside)) == rounds - 3  # two without a gain, and no more
    assert tree["starts/iterations"].item() == rounds * 20 < 400
    # the point is the best round's: it predicts the rows kept aside as was noted
    selected = np.asarray(random.permutation(_order_key(1), 40))[:12]
    again = log_density(tree, [words[i] for i in sorted(selected)]).mean().item()
    np.testing.assert_allclose(again, np.nanmax(aside), rtol=1e-6)


def _order_key(seed):
    """The key by which ``fit``, ``map`` and ``train`` choose the rows kept aside."""
    of_method = random.fold_in(random.key(seed), 0)
    of_start = random.fold_in(random.split(of_method)[1], 0)
    return random.split(of_start, 3)[0]


@pytest.mark.long
def test_the_guide_agrees_with_the_exact_posterior(built_ins, fitted):
    """Log-odds of Dirichlets are next to normal; the error of both means is Monte Carlo's."""
    row = built_ins["markov_chain"]
    exact = fitted(row, "exact", chains=1, draws=1000)["posterior"]
    tree = fitted(row, "svi", steps=1500, chains=1, draws=1000)
    for site in ("initial", "transition"):
        one, other = exact[site].values[0], tree["posterior"][site].values[0]
        spread = one.std(0)
        # 1,000 independent draws each: 5 standard errors, and 0.15 for the guide's shape
        assert (np.abs(one.mean(0) - other.mean(0)) < (5 * np.sqrt(2 / 1000) + 0.15) * spread).all()
        np.testing.assert_allclose(other.std(0), spread, rtol=0.25)
    bound = tree["starts/objective"].values[0]
    assert bound[-1] > bound[0]


def test_sites_outside_the_guide_are_held(built_ins):
    row = built_ins["recurrent_chain gru"]
    tree = fit(
        row.name,
        row.to_fit,
        method="svi",
        seed=0,
        predictive=0,
        sites=("output", "output_bias"),
        guide="low_rank",
        rank=2,
        steps=40,
        draws=5,
        chains=2,
        **row.options,
    )
    spread = {n: np.ptp(v.values, axis=(0, 1)).max() for n, v in tree["posterior"].items()}
    assert {n for n, s in spread.items() if s > 0} == {"output", "output_bias"}
    assert tree["log_likelihood"].sizes["draw"] == 5
    assert "other sites are held at a point" in tree.attrs["notes"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "map", "learning_rate": 0.0}, r"learning_rate \(0.0\) and clip"),
        ({"method": "map", "batch_size": 0}, r"batch_size \(0\)"),
        ({"method": "map", "validation_fraction": 1.0}, "validation_fraction is 1.0: give a sha"),
        ({"method": "map", "validation_fraction": 0.001}, "leaves 40 to fit and 0 to validate by"),
        ({"method": "map", "starts": 0}, "starts is 0"),
        ({"method": "map", "fixed": {"loc": 1.0}}, "every global site is fixed"),
        ({"method": "svi", "guide": "flow"}, "guide is 'flow': choose one of mean_field"),
        ({"method": "svi", "sites": ("mu",)}, "sites names 'mu', which is no free site"),
        ({"method": "svi", "draws": 0}, r"draws \(0\)"),
    ],
)
def test_options_out_of_range(own, options, sentence):
    with pytest.raises(InputError, match=sentence):
        fit(own.no_assignment, LINE, seed=0, **options)


def test_a_guide_is_static():
    """Equal guides share what was compiled."""
    model = Model(recurrent_chain, {"tokens": _coded(["ab"])}, {"vocabulary": 3}, {})
    assert hash(Guide(model.structure())) == hash(Guide(model.structure()))
