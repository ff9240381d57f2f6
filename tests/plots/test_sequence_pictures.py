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
from ppl_models.posterior.result.schema import EmissionFacts, FitFacts, ParameterFacts

HIDDEN = "ppl_models.distributions.hmm.hidden_markov:HiddenMarkov"


@pytest.fixture
def tree(fits):
    return fits.chains_fit()


@pytest.fixture
def single(fits):
    return fits.chain_fit()


def test_visits_are_those_of_many_walks(fits):
    initial, transition = fits.chains.INITIAL, fits.chains.TRANSITION
    generator = np.random.default_rng(0)
    for k in range(2):
        seen, walks = np.zeros(3), 4000
        for _ in range(walks):
            token = generator.choice(3, p=initial[k])
            while token < 3:
                seen[token] += 1
                token = generator.choice(4, p=transition[k, token])
        np.testing.assert_allclose(
            seen / walks, expected_visits(initial[k], transition[k]), atol=0.15
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
    few = plot_transition_graph(tree, min_frequency=0.4)
    assert sum(isinstance(p, FancyArrowPatch) for p in panel(few, cluster=1).patches) == 0
    assert png(made).startswith(b"\x89PNG")


def test_sequences_stand_in_their_cluster_sorted_by_their_tokens(fits, tree):
    made = plot_sequence_index(tree)
    first, second = (np.asarray(panel(made, cluster=k).images[0].get_array()) for k in range(2))
    white = first.max()
    np.testing.assert_array_equal(first, [[0, 1, white], [0, white, white]])
    np.testing.assert_array_equal(second, [[1, 1, 1], [1, white, white], [2, white, white]])
    legend = figure_of(made).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == fits.chains.NAMES
    thinned = plot_sequence_index(tree, max_sequences=2, max_positions=1)
    assert panel(thinned, cluster=1).images[0].get_array().shape == (2, 1)


def test_heat_maps_stand_side_by_side_on_one_scale(fits, tree):
    made = plot_transitions(tree)
    images = [panel(made, cluster=k).images[0] for k in range(2)]
    for k, image in enumerate(images):
        shown = np.ma.filled(np.ma.asarray(image.get_array()), np.nan)
        np.testing.assert_allclose(shown[1:], fits.chains.TRANSITION[k])
        np.testing.assert_allclose(shown[0, :3], fits.chains.INITIAL[k])
    assert images[0].norm.vmax == images[1].norm.vmax == 1.0
    few = plot_transitions(tree, max_tokens=2)
    assert panel(few, cluster=0).images[0].get_array().shape[1] == 2


def test_chains_without_clusters_have_one_panel(single):
    assert plot_transition_graph(single).viz["plot"].size == 1
    shown = panel(plot_sequence_index(single)).images[0].get_array()
    assert shown.shape == (5, 3)


def test_they_are_chosen_for_mixtures_of_chains(tree):
    chosen = [picture.name for picture in choose_plots(tree)]
    assert chosen == ["transition graph", "transitions", "responsibilities", "sequence index"]


def test_what_is_no_chain_is_refused(fits):
    other = fits.gaussian_fit(draws=8, rows=10)
    with pytest.raises(InputError, match="draws Markov chains of tokens of order 1"):
        plot_transition_graph(other)
    with pytest.raises(InputError, match="are no sequences of tokens"):
        plot_sequence_index(other)


@pytest.mark.parametrize("order", [1, 2])
def test_states_that_follow_each_other_are_drawn_from_the_start_to_the_end(fits, order):
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
    parameters = {n: ParameterFacts(n, False, v[0][2:]) for n, v in posterior.items()}
    emission = EmissionFacts("x", HIDDEN, "Series", ("sequence", "position", "feature"), "state",
                             None, parameters)  # fmt: skip
    groups = {
        "posterior": xr.Dataset(posterior, coords),
        "sample_stats": xr.Dataset({"lp": (sample, np.zeros((1, 2)))}),
        "observed_data": xr.Dataset({"x": (emission.dims, np.zeros((1, 3, 1)))}),
    }
    facts = FitFacts("sequence", None, None, 0, 2, "soft", None, (emission,))
    tree = fits.trees.with_attributes(xr.DataTree.from_dict(groups), "chain", 0, facts)
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
