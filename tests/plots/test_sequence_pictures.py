"""Pictures of sequences by cluster: what they count, sort and leave out is what they show."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.patches import Circle, FancyArrowPatch

from ppl_models.errors import InputError
from ppl_models.plots import (
    choose_plots,
    figure_of,
    plot_sequence_index,
    plot_transition_graph,
    plot_transitions,
    png,
)
from ppl_models.plots.drawing.panels import panel
from ppl_models.plots.transition_graph import expected_visits

NAMES = ["ant", "bee", "cat"]
INITIAL = np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
TRANSITION = np.array([
    [[0.0, 0.5, 0.0, 0.5], [0.0, 0.0, 0.0, 1.0], [0.25, 0.25, 0.25, 0.25]],
    [[0.0, 0.0, 0.0, 1.0], [0.0, 0.8, 0.0, 0.2], [0.0, 0.0, 0.0, 1.0]],
])  # fmt: skip
TOKENS = np.array([[1, 3, 3, 3], [0, 1, 3, 3], [0, 3, 3, 3], [1, 1, 1, 3], [2, 3, 3, 3]])
SHARES = np.array([[0.4, 0.6], [1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.2, 0.8]])


@pytest.fixture
def tree():
    coords = {"token": NAMES, "next_token": [*NAMES, "<end>"]}
    sample = ("chain", "draw")
    posterior = xr.Dataset(
        {
            "weights": ((*sample, "cluster"), np.array([[[0.45, 0.55]]])),
            "initial": ((*sample, "cluster", "token"), INITIAL[None, None]),
            "transition": ((*sample, "cluster", "token", "next_token"), TRANSITION[None, None]),
        },
        coords,
    )
    groups = {
        "posterior": posterior,
        "observed_data": xr.Dataset({"tokens": (("sequence", "position"), TOKENS)}),
        "responsibilities": xr.Dataset({"responsibilities": (("sequence", "cluster"), SHARES)}),
    }
    made = xr.DataTree.from_dict(groups)
    made.attrs = {"program": "chain_mixture", "kind": "point", "method": "em",
                  "data_site": "tokens", "plate": "sequence"}  # fmt: skip
    return made


@pytest.fixture
def single(tree):
    """The second cluster alone, as a chain without clusters has it."""
    posterior = tree["posterior"].to_dataset().isel(cluster=1, drop=True)
    groups = {"posterior": posterior, "observed_data": tree["observed_data"].to_dataset()}
    made = xr.DataTree.from_dict(groups)
    made.attrs = dict(tree.attrs)
    return made


def test_visits_are_those_of_many_walks():
    generator = np.random.default_rng(0)
    for k in range(2):
        seen, walks = np.zeros(3), 4000
        for _ in range(walks):
            token = generator.choice(3, p=INITIAL[k])
            while token < 3:
                seen[token] += 1
                token = generator.choice(4, p=TRANSITION[k, token])
        np.testing.assert_allclose(
            seen / walks, expected_visits(INITIAL[k], TRANSITION[k]), atol=0.15
        )


def test_arrows_are_the_frequent_steps_and_rings_those_to_themselves(tree):
    made = plot_transition_graph(tree)
    patches = [panel(made, cluster=k).patches for k in range(2)]
    arrows = [sum(isinstance(p, FancyArrowPatch) for p in ps) for ps in patches]
    rings = [sum(isinstance(p, Circle) for p in ps) for ps in patches]
    # ant → bee, ant → end, bee → end; a cat is never seen there
    assert (arrows, rings) == ([3, 2], [0, 1])  # bee → end, cat → end, and bee again
    titles = [panel(made, cluster=k).get_title(loc="left") for k in range(2)]
    assert titles == ["cluster 0", "cluster 1"]
    few = plot_transition_graph(tree, least=0.4)
    assert sum(isinstance(p, FancyArrowPatch) for p in panel(few, cluster=1).patches) == 0
    assert png(made).startswith(b"\x89PNG")


def test_sequences_stand_in_their_cluster_sorted_by_their_tokens(tree):
    made = plot_sequence_index(tree)
    first, second = (np.asarray(panel(made, cluster=k).images[0].get_array()) for k in range(2))
    white = first.max()
    np.testing.assert_array_equal(first, [[0, 1, white], [0, white, white]])
    np.testing.assert_array_equal(second, [[1, 1, 1], [1, white, white], [2, white, white]])
    legend = figure_of(made).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == NAMES
    thinned = plot_sequence_index(tree, max_sequences=2, max_positions=1)
    assert panel(thinned, cluster=1).images[0].get_array().shape == (2, 1)


def test_heat_maps_stand_side_by_side_on_one_scale(tree):
    made = plot_transitions(tree)
    images = [panel(made, cluster=k).images[0] for k in range(2)]
    for k, image in enumerate(images):
        shown = np.ma.filled(np.ma.asarray(image.get_array()), np.nan)
        np.testing.assert_allclose(shown[1:], TRANSITION[k])
        np.testing.assert_allclose(shown[0, :3], INITIAL[k])
    assert images[0].norm.vmax == images[1].norm.vmax == 1.0
    few = plot_transitions(tree, max_tokens=2)
    assert panel(few, cluster=0).images[0].get_array().shape[1] == 2


def test_chains_without_clusters_have_one_panel(single):
    assert plot_transition_graph(single).viz["plot"].size == 1
    shown = panel(plot_sequence_index(single)).images[0].get_array()
    assert shown.shape == (5, 3)


def test_they_are_chosen_for_mixtures_of_chains(tree):
    chosen = [name for name, _ in choose_plots(tree)]
    assert chosen[:3] == ["transition graph", "transitions", "sequence index"]


def test_what_is_no_chain_is_refused(fits):
    other = fits.gaussian_fit(draws=8, rows=10)
    with pytest.raises(InputError, match="plot_transition_graph draws chains of order 1"):
        plot_transition_graph(other)
    with pytest.raises(InputError, match="are no sequences of tokens"):
        plot_sequence_index(other)


@pytest.mark.parametrize("order", [1, 2])
def test_states_that_follow_each_other_are_drawn_from_the_start_to_the_end(order):
    """Of second order each pair of states is a row, and so is each first state."""
    generator = np.random.default_rng(0)
    sample, axes = ("chain", "draw"), ("state", "next_state")
    first, step, pairs = (
        generator.dirichlet(np.ones(n), (1, 2, *k)) for n, k in ((2, ()), (3, (2,)), (3, (2, 2)))
    )
    posterior = {"initial": ((*sample, "state"), first), "transition": ((*sample, *axes), step)}
    if order == 2:
        posterior["initial_transition"] = posterior["transition"]
        posterior["transition"] = (*sample, "previous_state", *axes), pairs
    sizes = {"state": 2, "previous_state": 2, "next_state": 3}
    coords = {n: np.arange(k) for n, k in sizes.items() if n != "previous_state" or order == 2}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(posterior, coords)})
    axes = plot_transitions(tree).viz["plot"].item()
    (image,) = axes.images
    expected = [np.append(first.mean((0, 1)), np.nan), *step.mean((0, 1))]
    rows = ["<start>", "0", "1"]
    if order == 2:
        expected += list(pairs.mean((0, 1)).reshape(4, 3))
        rows = ["<start>", "<start>, 0", "<start>, 1", "0, 0", "0, 1", "1, 0", "1, 1"]
    np.testing.assert_allclose(np.ma.filled(image.get_array(), np.nan), expected)
    assert [label.get_text() for label in axes.get_yticklabels()] == rows
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "<end>"]
