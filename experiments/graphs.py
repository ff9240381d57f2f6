"""Graphs: can an autoregressive model of edges learn what makes a tree or a grid?

Question
    A model is fitted to some dozens of graphs of one family: trees, rectangular grids, two
    communities, or ego networks. Do the graphs that it generates belong to the family? And what
    must the probability of an edge depend on: the distance of two nodes in the order, the triangles
    and squares that the edge would close, or the whole history?

Model
    The nodes of a graph are in breadth-first order from a random root. For each node the model
    predicts first whether the graph ends, then its edges to the M previous nodes, from the farthest
    to the nearest. Three programs differ in the probability of an edge.

    `graph_chain`: it depends only on the distance in the order, and the end only on the number of
    nodes. Priors are Beta, so that the posterior is in closed form (`method="exact"`).

    `logistic_graph_chain`: its log-odds are linear in the triangles and squares that the edge would
    close and in the degree of the candidate; 37 weights with normal priors.

    `recurrent_graph_chain`: a gated recurrent unit reads the nodes; a hidden layer sees its state,
    the node's edges so far, and the same statistics. Its priors are wide, since a rule without
    exceptions needs large weights. Both are fitted by `method="map"` to several random orders of
    each graph.

    The graphs are generated with fixed seeds by the rules of each family; nothing is downloaded.

What would count as an answer
    The squared maximum mean discrepancy between generated and held-out graphs, in degrees,
    clustering coefficients and counts of four-node orbits. Two references: the discrepancy between
    training and held-out graphs is the floor, and Erdős–Rényi graphs with the training graphs'
    numbers of nodes and edges are a poor model. Also the fraction of generated graphs that pass a
    rule of the family which no program knows: no cycle (trees), isomorphic to a rectangle of nodes
    (grids), a node adjacent to all others (egos), two dense halves with at most two edges between
    them (communities). Where the rule is exact, all held-out graphs pass.

    A harder test: completing a held-out graph from the first half of its nodes. The pictures show
    the first generated graphs, without selection.

References
    - You, J., Ying, R., Ren, X., Hamilton, W. L. and Leskovec, J. (2018). GraphRNN: generating
      realistic graphs with deep auto-regressive models. ICML.
    - Snijders, T. A. B., Pattison, P. E., Robins, G. L. and Handcock, M. S. (2006). New
      specifications for exponential random graph models. Sociological Methodology 36, 99-153.
    - Gretton, A., Borgwardt, K. M., Rasch, M. J., Schölkopf, B. and Smola, A. (2012). A kernel
      two-sample test. Journal of Machine Learning Research 13, 723-773.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import xarray as xr

from experiments._page import Outcome, command, percent, publish, stage
from ppl_models import fit, generate_graphs, graph_discrepancy, log_density
from ppl_models.data import OrderedGraph, breadth_first, graph_family
from ppl_models.evaluation.graph_statistics import random_graphs_like
from ppl_models.plots import plot_graphs
from ppl_models.report import Block


@dataclass(frozen=True)
class Size:
    """How much is done; the last of the programs is the one reported in detail."""

    programs: tuple[str, ...] = ("graph_chain", "logistic_graph_chain", "recurrent_graph_chain")
    families: tuple[str, ...] = ("tree", "grid", "community", "ego")
    fitted: int = 100
    held_out: int = 50
    orders: int = 16
    draws: int = 100
    logistic_steps: int = 600
    recurrent_steps: int = 3000
    hidden: int = 32
    shown: int = 8
    finished: int = 60


FULL = Size()
DEMO = Size(families=("tree", "community"), fitted=60, held_out=30, orders=8, draws=50,
            logistic_steps=300, recurrent_steps=800, finished=20)  # fmt: skip
SMOKE = Size(("graph_chain",), ("tree",), fitted=20, held_out=10, orders=4, draws=20, shown=4,
             finished=4)  # fmt: skip
SEED = 2018
PROGRAMS = {
    "graph_chain": "distance alone",
    "logistic_graph_chain": "triangles and squares",
    "recurrent_graph_chain": "the whole history",
}
RANDOM, FLOOR = "Erdős–Rényi", "training graphs"
NAMES = {"tree": "trees", "grid": "grids", "community": "communities", "ego": "egos"}


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Fit three programs to each family, generate, evaluate, complete half a graph.

    Args:
        folder: where the page goes.
        smoke: few small trees only.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    families = {name: evaluated(name, size) for name in size.families}
    numbers = {name: numbers for name, (numbers, _) in families.items()}
    pictures = {name: graphs for name, (_, graphs) in families.items()}
    return publish(_outcome(numbers, pictures, size), folder)


def evaluated(family: str, size: Size) -> tuple[dict[str, Any], dict[str, Any]]:
    """Numbers of one family, and graphs to look at."""
    every = graph_family(family, size.fitted + size.held_out, seed=SEED)
    train, test = every[: size.fitted], every[size.fitted :]
    # orders of one graph are not independent data: the exact posterior uses one of them
    once = breadth_first(train, seed=SEED)
    width = max(graph.width for graph in once)
    ordered = breadth_first(train, orders=size.orders, seed=SEED + 2, width=width)
    aside = breadth_first(test, seed=SEED + 1, width=width)
    made = {FLOOR: train, RANDOM: random_graphs_like(train, seed=SEED)}
    nats, trees = {}, {}
    for program in size.programs:
        with stage(f"{family}: {program}"):
            graphs = once if program == "graph_chain" else [*once, *ordered]
            trees[program] = fit(program, graphs, seed=SEED, predictive=0, **options(program, size))
            made[program] = generate_graphs(trees[program], len(train), seed=SEED)
            nats[program] = -float(log_density(trees[program], aside).mean())
    with stage(f"{family}: completion of halves"):
        finished = completions(trees[size.programs[-1]], aside, size)
    rule = RULES[family]
    scores = {
        name: {
            **graph_discrepancy(graphs, test).to_dict(),
            "of the family": float(np.mean([rule(graph) for graph in graphs])),
            "nodes": float(np.mean([len(graph) for graph in graphs])),
            "sd of nodes": float(np.std([len(graph) for graph in graphs])),
        }
        for name, graphs in made.items()
    }
    best = made[size.programs[-1]]
    fresh = np.mean([not any(alike(graph, other) for other in train) for graph in best])
    numbers = {
        "fitted": len(train), "held_out": len(test), "width": width, "scores": scores,
        "nats": nats, "held_out_of_the_family": float(np.mean([rule(graph) for graph in test])),
        "finished_of_the_family": float(np.mean([rule(graph) for graph in finished["graphs"]])),
        "unseen": float(fresh), "best": size.programs[-1],
    }  # fmt: skip
    return numbers, {"made": made, "finished": finished}


def options(program: str, size: Size) -> dict[str, Any]:
    """How each program is fitted."""
    if program == "graph_chain":
        return {"method": "exact", "draws": size.draws}
    shared = {"method": "map", "precision": "float32", "batch_size": 128}
    if program == "logistic_graph_chain":
        return shared | {"steps": size.logistic_steps, "learning_rate": 0.05}
    # a lattice's corners are rules without exceptions: log-odds of ten and more, which the default
    # priors hold back. A rate of 0.02 makes still more rectangles, but of too few sizes
    wide = {"weight_scale": 3.0, "linear_scale": 10.0}
    return shared | wide | {"steps": size.recurrent_steps, "hidden": size.hidden}


def completions(tree: xr.DataTree, aside: Sequence[OrderedGraph], size: Size) -> dict[str, Any]:
    """Held-out graphs completed from the first half of their nodes, several times each."""
    graphs: list[nx.Graph] = []
    known_nodes: list[int] = []
    times = 4
    for index, graph in enumerate(aside[: max(1, size.finished // times)]):
        half = graph.first(max(2, len(graph.nodes) // 2))
        graphs += generate_graphs(tree, times, seed=SEED + index, begin=half)
        known_nodes += [len(half.nodes)] * times
    return {"graphs": graphs, "given": known_nodes}


# ---- rules that no program knows -----------------------------------------------------------------


def alike(one: nx.Graph, other: nx.Graph) -> bool:
    """Whether two graphs are isomorphic."""
    return nx.faster_could_be_isomorphic(one, other) and nx.is_isomorphic(one, other)


def is_grid(graph: nx.Graph) -> bool:
    """Whether a graph is a rectangular grid, at least two nodes high and wide.

    >>> is_grid(nx.cycle_graph(4)), is_grid(nx.cycle_graph(6))
    (True, False)
    """
    nodes = len(graph)
    sides = [h for h in range(2, int(nodes**0.5) + 1) if nodes % h == 0]
    return any(alike(graph, nx.grid_2d_graph(h, nodes // h)) for h in sides)


def is_ego(graph: nx.Graph) -> bool:
    """Whether some node is adjacent to all others.

    >>> is_ego(nx.star_graph(4)), is_ego(nx.path_graph(4))
    (True, False)
    """
    return max(degree for _, degree in graph.degree) == len(graph) - 1


def is_two_communities(graph: nx.Graph) -> bool:
    """Whether the sign of the Fiedler vector cuts at most two edges between two dense halves.

    >>> is_two_communities(nx.barbell_graph(6, 0)), is_two_communities(nx.cycle_graph(12))
    (True, False)
    """
    if len(graph) < 6 or not nx.is_connected(graph):
        return False
    nodes = list(graph)
    _, vectors = np.linalg.eigh(nx.laplacian_matrix(graph).toarray().astype(float))
    one = {node for node, sign in zip(nodes, vectors[:, 1] > 0, strict=True) if sign}
    parts = [graph.subgraph(one), graph.subgraph(set(nodes) - one)]
    between = graph.number_of_edges() - sum(part.number_of_edges() for part in parts)
    even = min(map(len, parts)) >= 0.3 * len(graph)
    return between <= 2 and even and all(nx.density(part) >= 0.45 for part in parts)


RULES: dict[str, Callable[[nx.Graph], bool]] = {
    "tree": nx.is_tree, "grid": is_grid, "ego": is_ego, "community": is_two_communities,
}  # fmt: skip


# ---- the page ------------------------------------------------------------------------------------


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``."""
    best = next(iter(numbers.values()))["best"]
    shares = {family: of["scores"][best]["of the family"] for family, of in numbers.items()}
    gaps = {f: of["held_out_of_the_family"] - shares[f] for f, of in numbers.items()}
    good = [NAMES[family] for family, gap in gaps.items() if gap < 0.1]
    poor = [f"{NAMES[f]} ({percent(shares[f])})" for f, gap in gaps.items() if gap >= 0.1]
    verdict = (
        f"Yes, for {' and '.join(good)}: graphs generated by {best} (edges depend on "
        f"{PROGRAMS[best]}) pass the family's rule nearly as often as held-out graphs do"
        if good else f"No: graphs generated by {best} (edges depend on {PROGRAMS[best]}) pass the "
        "family's rule less often than held-out graphs do"
    )  # fmt: skip
    missed = f"{'; it is worse for' if good else ':'} {', '.join(poor)}" if poor else ""
    halves = [of["finished_of_the_family"] for of in numbers.values()]
    unseen = [of["unseen"] for of in numbers.values()]
    return (
        f"{verdict}{missed}. Of held-out graphs completed from the first half of their nodes, "
        f"{_between(halves)} pass the rule, depending on the family. Of the generated graphs, "
        f"{_between(unseen)} are isomorphic to no training graph."
    )


def _between(shares: Sequence[float]) -> str:
    """The range of some fractions, as text."""
    low, high = percent(min(shares)), percent(max(shares))
    return low if low == high else f"{low} to {high}"


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """The numbers behind the answer, a row a family."""
    shares, distances = {}, {}
    for family, of in numbers.items():
        scores, best = of["scores"], of["best"]
        passed = {label: scores[name]["of the family"] for name, label in PROGRAMS.items()
                  if name in scores}  # fmt: skip
        passed |= {"held-out graphs": of["held_out_of_the_family"],
                   RANDOM: scores[RANDOM]["of the family"],
                   "completed halves": of["finished_of_the_family"],
                   "not a training graph": of["unseen"]}  # fmt: skip
        shares[NAMES[family]] = {name: percent(fraction) for name, fraction in passed.items()}
        for statistic in ("degree", "clustering", "orbits"):
            distances[NAMES[family], statistic] = {
                name: f"{scores[source][statistic]:.4f}"
                for name, source in (("generated", best), (FLOOR, FLOOR), (RANDOM, RANDOM))
            }
    best = next(iter(numbers.values()))["best"]
    return {
        "Graphs that pass the family's rule, by what edges depend on.": pd.DataFrame(
            shares
        ).T.rename_axis("family"),
        f"Squared maximum mean discrepancy from held-out graphs; generated by {best}. That of "
        "training graphs is the floor, which is above zero even within one family.": pd.DataFrame(
            distances
        ).T.rename_axis(["family", "statistic"]),
    }


def score_table(family: dict) -> pd.DataFrame:
    """One family's scores, a row a source of graphs."""
    rows = [FLOOR, *family["nats"], RANDOM]
    table = pd.DataFrame({name: family["scores"][name] for name in rows}).T
    table["nats"] = pd.Series(family["nats"])
    return table.rename(index=PROGRAMS).rename_axis("graphs by").round(4)


def _sheet(made: dict, shown: int, title: str) -> Any:
    lines = [FLOOR, *(name for name in PROGRAMS if name in made), RANDOM]
    graphs = [graph for name in lines for graph in made[name][:shown]]
    names = [PROGRAMS.get(name, name).replace(" ", "\n", 1) for name in lines]
    return plot_graphs(graphs, columns=shown, titles=names, title=title)


def _outcome(numbers: dict, pictures: dict, size: Size) -> Outcome:
    shown = size.shown
    lines, names = [], []
    for family, of in pictures.items():
        lines += of["made"][FLOOR][:shown]
        lines += of["made"][size.programs[-1]][:shown]
        names += [f"{NAMES[family]},\ntraining", f"{NAMES[family]},\ngenerated"]
    key = plot_graphs(lines, columns=shown, titles=names,
                      title="Training graphs and generated graphs")  # fmt: skip
    evidence = [
        Block(
            f"{NAMES[family].capitalize()}",
            f"{numbers[family]['fitted']} training and {numbers[family]['held_out']} held-out "
            f"graphs; in breadth-first order a node has edges to the {numbers[family]['width']} "
            "before it. Nats are per held-out graph in one order; lower is better.",
            table=score_table(numbers[family]),
            figures=(_sheet(of["made"], shown, NAMES[family].capitalize()),),
            captions=("The first graphs that each program generated.",),
        )
        for family, of in pictures.items()
    ]
    finished = [g for of in pictures.values() for g in of["finished"]["graphs"][:shown]]
    known_nodes = [n for of in pictures.values() for n in of["finished"]["given"][:shown]]
    evidence.append(
        Block(
            "Completed from the first half",
            "Dark: the first half of the nodes of a held-out graph, which is given. Coloured: the "
            "completion. Each group of four starts from the same half.",
            figures=(
                plot_graphs(
                    finished,
                    columns=shown,
                    given_nodes=known_nodes,
                    titles=[NAMES[f] for f in pictures],
                ),
            ),
            captions=("Held-out graphs, completed.",),
        )  # fmt: skip
    )
    caption = "Pairs of rows: training graphs and generated graphs, without selection."
    return Outcome("graphs", __doc__ or "", answer(numbers), numbers, key, caption, evidence,
                   answer_tables(numbers))  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
