"""Pages of networks speak of nodes and links, pages of noise of clusters and noise."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from ppl_models import fit, write_report
from ppl_models.plots import plot_clusters, plot_network
from ppl_models.plots.drawing.cluster_strokes import cluster_arrays
from ppl_models.plots.drawing.densities import component_densities
from ppl_models.plots.drawing.panels import close
from ppl_models.plots.network import link_counts
from ppl_models.report.sections.components import program_blocks
from ppl_models.report.sections.overview import describe_data

BLOCKS = np.arange(12) % 3  # of the nodes, which are not in the order of their blocks


@pytest.fixture(scope="module")
def network() -> xr.DataTree:
    links = (BLOCKS[:, None] == BLOCKS).astype(float)
    np.fill_diagonal(links, 0)
    links[0, 1] = np.nan
    return fit(
        "stochastic_block_model", links, method="gibbs", seed=0, clusters=3, chains=2, warmup=50,
        draws=50, predictive=20,
    )  # fmt: skip


def test_a_network_is_described_by_its_nodes_and_links(network):
    assert describe_data(network) == (
        "network of 12 nodes, 36 links between 131 of 132 ordered pairs of nodes that are known "
        "(27%)"
    )


def test_links_from_nodes_to_themselves_are_counted_apart():
    links = xr.DataArray([[1.0, 1.0], [0.0, 1.0]], dims=("from", "to"))
    assert link_counts(links) == (
        "1 link between 2 ordered pairs of nodes (50%), and 2 of nodes to themselves"
    )


def test_nodes_are_drawn_block_by_block(network):
    picture = plot_network(network)
    (image,) = picture.viz["plot"].item().images
    drawn = image.get_array()
    assert drawn.mask.sum() == 1
    expected = np.kron(np.eye(3), np.ones((4, 4))) - np.eye(12)
    assert (np.where(drawn.mask, 0, drawn.data) == expected).all()
    close(picture)


def test_the_page_has_the_table_of_blocks_and_no_features(network, tmp_path):
    (block,) = program_blocks(network)
    assert block.table.shape == (3, 4)
    probs = network["posterior/probs"].mean(["chain", "draw"]).values
    shown = [[float(cell.split()[0]) for cell in line] for line in block.table.values[:, :3]]
    np.testing.assert_allclose(shown, probs, atol=0.0051)
    page = write_report(network, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "12 nodes by block" not in page  # in the picture, whose caption says what it is:
    assert "Links of the network, a row for each node" in page
    assert "features" not in page and "is left out" not in page


@pytest.fixture(scope="module")
def noisy() -> xr.DataTree:
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.normal(0, 0.5, 60), generator.normal(6, 0.5, 40),
                        generator.uniform(-10, 20, 20)])  # fmt: skip
    return fit("gaussian_noise_mixture", x[:, None], method="em", seed=0, clusters=2,
               predictive=0)  # fmt: skip


def test_noise_is_no_cluster_and_its_share_is_told(noisy, tmp_path):
    page = write_report(noisy, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "The model was fitted with 2 clusters and a noise component." in page
    noise_weight = float(noisy["posterior/weights"].sel(cluster="noise").item())
    assert f"The noise component makes {noise_weight:.1%} of the rows." in page


def test_the_density_of_noise_is_constant_within_its_box(noisy):
    arrays = cluster_arrays(noisy, ["0"], 10, 1000)
    assert arrays.title == "2 clusters and noise"
    low, high = arrays.box[:, 0]
    grid = np.array([low - 1, low + 1e-6, high - 1e-6, high + 1])
    weight = arrays.weights[0, 2]
    expected = weight / (high - low) * np.array([0, 1, 1, 0])
    np.testing.assert_allclose(component_densities(arrays, 0, grid)[0, 2], expected)


def test_noise_has_points_and_no_ellipse():
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.normal(0, 0.5, (60, 2)), generator.normal(6, 0.5, (40, 2)),
                        generator.uniform(-10, 20, (20, 2))])  # fmt: skip
    tree = fit("gaussian_noise_mixture", x, method="em", seed=0, clusters=2, predictive=0)
    picture = plot_clusters(tree)
    target = picture.viz["plot"].item()
    points = [len(c.get_offsets()) for c in target.collections if hasattr(c, "get_sizes")]
    lines = [len(c.get_segments()) for c in target.collections if hasattr(c, "get_segments")]
    assert sum(points) == 120
    assert sorted(lines) in ([2, 2], [0, 2, 2])
    close(picture)
