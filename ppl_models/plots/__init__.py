"""Pictures of a fit: every function reads a tree and returns an ArviZ `PlotCollection`."""

from ppl_models.plots.choose import choose_plots
from ppl_models.plots.clusters import plot_clusters
from ppl_models.plots.comparison import plot_comparison
from ppl_models.plots.graph_sheet import plot_graphs
from ppl_models.plots.images import plot_images, plot_prototypes
from ppl_models.plots.labels import plot_labels
from ppl_models.plots.panels import close, figure_of, png
from ppl_models.plots.path import plot_path
from ppl_models.plots.predictive import plot_predictive
from ppl_models.plots.profiles import plot_profiles
from ppl_models.plots.responsibilities import plot_responsibilities
from ppl_models.plots.sequence_index import plot_sequence_index
from ppl_models.plots.similarity import plot_similarity
from ppl_models.plots.state_paths import plot_state_paths
from ppl_models.plots.style import PALETTE, cluster_colors, house_style
from ppl_models.plots.transition_graph import plot_transition_graph
from ppl_models.plots.transitions import plot_transitions

__all__ = [
    "PALETTE",
    "choose_plots",
    "close",
    "cluster_colors",
    "figure_of",
    "house_style",
    "plot_clusters",
    "plot_comparison",
    "plot_graphs",
    "plot_images",
    "plot_labels",
    "plot_path",
    "plot_predictive",
    "plot_profiles",
    "plot_prototypes",
    "plot_responsibilities",
    "plot_sequence_index",
    "plot_similarity",
    "plot_state_paths",
    "plot_transition_graph",
    "plot_transitions",
    "png",
]
