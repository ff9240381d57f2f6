"""Partitions and co-assignment of whole results."""

import numpy as np
import pytest
import xarray as xr
from hand_made import as_fit, rows

from ppl_models import fit, memory
from ppl_models.errors import InputError
from ppl_models.posterior.labels.allocations import Allocations
from ppl_models.posterior.partition import coassignment, expected_loss, partition, similarity
from ppl_models.posterior.partition.of_tree import assignments_of, certainty

ROWS, CLUSTERS = 40, 3
NAMES = [f"r{n}" for n in range(ROWS)]


def tree_of(drawn, clusters=CLUSTERS, kind="draws"):
    """A result that holds assignments ``(chain, draw, row)``."""
    sample, count = ("chain", "draw"), drawn.shape[-1]
    shape = (*drawn.shape[:2], clusters)
    posterior = xr.Dataset(
        {
            "assignment": ((*sample, "row"), drawn),
            "weights": ((*sample, "cluster"), np.full(shape, 1 / clusters)),
        },
        coords={"row": NAMES[:count]},
    )
    observed = rows(count).assign_coords(row=NAMES[:count])
    groups = {"posterior": posterior, "observed_data": observed}
    return as_fit(groups, parameters=(), clusters=clusters, kind=kind)


def example(seed=0):
    """Three clear groups under labels that switch."""
    generator = np.random.default_rng(seed)
    truth = np.sort(generator.integers(CLUSTERS, size=ROWS))
    wrong = generator.random((2, 50, ROWS)) < 0.1
    selected = np.where(wrong, generator.integers(CLUSTERS, size=wrong.shape), truth)
    names = np.argsort(generator.random((2, 50, CLUSTERS)), axis=-1)
    return truth, np.take_along_axis(names, selected, axis=-1)


def test_partition_of_drawn_assignments():
    truth, drawn = example()
    tree = tree_of(drawn)
    untouched = tree.copy(deep=True)
    actual = partition(tree, starts=3)["partition"]
    flat = drawn.reshape(-1, ROWS)
    np.testing.assert_array_equal(
        similarity(actual["labels"].values[None]), similarity(truth[None])
    )
    assert float(actual["expected_loss"]) == pytest.approx(expected_loss(truth, flat))
    assert actual["labels"].coords["row"].values.tolist() == NAMES
    assert actual.attrs["clusters"] == 3 and actual.attrs["draws"] == 100
    assert 0 < float(actual["radius"])
    pairs = similarity(flat, dtype=np.float64)
    own = actual["labels"].values == actual["labels"].values[0]
    own[0] = False
    assert float(actual["certainty"][0]) == pytest.approx(pairs[0, own].mean())
    assert tree.identical(untouched)


def soft_tree():
    """Responsibilities that depend on the draw, without assignments."""
    truth, drawn = example()
    tree = tree_of(drawn)
    data = tree["posterior"].to_dataset().drop_vars(["assignment", "row"])
    tree["posterior"].dataset = data
    table = np.full((100, ROWS, CLUSTERS), 0.05)
    names = np.argsort(np.random.default_rng(1).random((100, CLUSTERS)), axis=-1)
    np.put_along_axis(table, names[:, truth][..., None], 0.9, axis=-1)

    def function(tree, rows, draws):
        return table[draws][:, rows]

    return truth, table, tree, function


def test_assignments_are_drawn_from_responsibilities(monkeypatch):
    monkeypatch.setattr(memory, "LABEL_BYTES", 5000)
    truth, table, tree, function = soft_tree()
    drawn = assignments_of(Allocations(tree, function), seed=3)
    assert drawn.shape == (100, ROWS)
    np.testing.assert_array_equal(drawn, assignments_of(Allocations(tree, function), seed=3))
    hit = drawn == table.argmax(axis=-1)
    assert abs(hit.mean() - 0.9) < 5 * np.sqrt(0.09 / hit.size)
    assert set(np.unique(drawn)) == set(range(CLUSTERS))
    actual = partition(tree, starts=3, responsibilities=function)["partition"]
    np.testing.assert_array_equal(
        similarity(actual["labels"].values[None]), similarity(truth[None])
    )
    assert actual["labels"].coords["row"].values.tolist() == NAMES


def test_draws_are_thinned_evenly():
    _, drawn = example()
    few = assignments_of(Allocations(tree_of(drawn)), draws=11)
    np.testing.assert_array_equal(few, drawn.reshape(-1, ROWS)[np.linspace(0, 99, 11).astype(int)])


def test_coassignment_of_chosen_rows():
    _, drawn = example()
    chosen = np.array([3, 30, 7])
    similarity = coassignment(tree_of(drawn), chosen)["similarity"]["similarity"]
    flat = drawn.reshape(-1, ROWS)[:, chosen]
    np.testing.assert_allclose(similarity, (flat[:, :, None] == flat[:, None]).mean(0), atol=1e-6)
    assert similarity.dims == ("row", "row_other")
    assert similarity["row_other"].values.tolist() == ["r3", "r30", "r7"]


def test_coassignment_from_responsibilities_needs_no_drawing():
    _, table, tree, function = soft_tree()
    similarity = coassignment(tree, responsibilities=function)["similarity"]["similarity"].values
    expected = np.einsum("dik,djk->ij", table, table) / len(table)
    np.fill_diagonal(expected, 1)
    np.testing.assert_allclose(similarity, expected, atol=1e-5)


def test_a_row_alone_is_certain():
    np.testing.assert_array_equal(certainty(np.array([0, 1]), np.array([[0, 0]])), [1, 1])


def point():
    """A point method's tree."""
    return tree_of(example()[1][:1, :1], kind="point")


def without_clusters():
    """Draws of a program that assigns nothing."""
    options = {"method": "exact", "seed": 0, "draws": 20, "predictive": 0}
    return fit("markov_chain", ["ab", "ba"] * 3, **options)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: partition(point()), "needs draws"),
        (lambda: coassignment(point()), "needs draws"),
        (lambda: partition(tree_of(example()[1]), draws=0), "draws is 0"),
        (lambda: coassignment(tree_of(example()[1]), np.zeros(10_001, int)), "at most 10000"),
        (lambda: partition(without_clusters()), "fit a mixture"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()
