"""Old Faithful: two regimes of eruption, or three?

Question
    Eruptions of the geyser Old Faithful last about two or four minutes, and the waiting time
    follows the duration. A plot of the 272 pairs shows two groups. Yet mclust, the best-known
    program for Gaussian mixtures, chooses three clusters with a common covariance. Which is right?

Model
    `gaussian_mixture` with K = 1 to 4 clusters and all four covariances: spherical (mclust's
    VII), diagonal (VVI), tied (EEE) and full (VVV).

    EM with flat priors, i.e. maximum likelihood, gives BIC and ICL. In mclust's sign,
    BIC = 2 log L - df log N, and larger is better. ICL adds 2 Σ log(the largest responsibility), a
    penalty for rows between clusters: it favours separated clusters, while BIC favours components
    that improve the density. The contenders are also fitted by NUTS with the default priors, and
    their predictive densities compared by approximate leave-one-out cross-validation (LOO).

    A component is not necessarily a cluster: two components may share one mode of the density. For
    every posterior draw the modes are therefore counted by a fixed-point iteration from each
    component's centre. The number of modes is label-invariant and has a posterior.

What would count as an answer
    BIC and LOO estimate how many components describe the density best, and by how much
    (differences in LOO with standard errors). ICL and the number of modes estimate how many
    separate regimes there are. If they disagree, the disagreement is the answer.

    Log-likelihoods must be at least those published for mclust: EM finds local optima in any
    program, and many starts may find a higher one, but not a lower one.

References
    - Azzalini, A. and Bowman, A. W. (1990). A look at some data on the Old Faithful geyser.
      Applied Statistics 39, 357-365.
    - Fraley, C. and Raftery, A. E. (2002). Model-based clustering, discriminant analysis, and
      density estimation. Journal of the American Statistical Association 97, 611-631.
    - Scrucca, L., Fop, M., Murphy, T. B. and Raftery, A. E. (2016). mclust 5: clustering,
      classification and density estimation using Gaussian finite mixture models. The R Journal 8,
      289-317 (log-likelihood, BIC and ICL of EEE with three components).
    - Biernacki, C., Celeux, G. and Govaert, G. (2000). Assessing a mixture model for clustering
      with the integrated completed likelihood. IEEE Transactions on Pattern Analysis and Machine
      Intelligence 22, 719-725.
    - Carreira-Perpiñán, M. A. (2000). Mode-finding for mixtures of Gaussian distributions. IEEE
      Transactions on Pattern Analysis and Machine Intelligence 22, 1318-1323.
    - Vehtari, A., Gelman, A. and Gabry, J. (2017). Practical Bayesian model evaluation using
      leave-one-out cross-validation and WAIC. Statistics and Computing 27, 1413-1432.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import arviz
import numpy as np
import pandas as pd
import xarray as xr

from experiments._modes import count_modes
from experiments._page import Outcome, command, publish, stage
from ppl_models import fit
from ppl_models.data import old_faithful
from ppl_models.plots import plot_clusters, plot_comparison, plot_path, plot_responsibilities
from ppl_models.report import Block

Kind = tuple[str, int]
MCLUST = {"spherical": "VII", "diagonal": "VVI", "tied": "EEE", "full": "VVV"}
#: Reference log-likelihoods: the first printed in Scrucca et al. (2016), the others computed by an
#: independent program (for K = 1 in closed form).
PUBLISHED: dict[Kind, float] = {("tied", 3): -1126.326}
INDEPENDENT: dict[Kind, float] = {
    ("full", 2): -1130.26407, ("diagonal", 2): -1147.80635, ("tied", 2): -1140.18676,
    ("full", 1): -1289.79675, ("tied", 1): -1289.79675,
}  # fmt: skip
#: BIC and ICL of EEE with three components, as printed there.
PRINTED = {"bic": -2314.316, "icl": -2357.824}


@dataclass(frozen=True)
class Size:
    """How much is done."""

    covariances: tuple[str, ...] = tuple(MCLUST)
    clusters: tuple[int, ...] = (1, 2, 3, 4)
    starts: int = 32
    contenders: tuple[Kind, ...] = (("tied", 2), ("tied", 3), ("full", 2), ("full", 3))
    warmup: int = 500
    draws: int = 1000
    searches: int = 8  #: EM runs for the initial values of chains; 0: random initial values


FULL = Size()
DEMO = Size(covariances=("tied", "full"), clusters=(2, 3), starts=8,
            contenders=(("tied", 3),), warmup=300, draws=300)  # fmt: skip
SMOKE = Size(covariances=("tied",), clusters=(2, 3), starts=4, contenders=(("tied", 3),),
             warmup=70, draws=100, searches=0)  # fmt: skip
SEED = 1990


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Fit every mixture by EM and the contenders by NUTS, compare, count modes.

    Args:
        folder: where the page goes.
        smoke: few mixtures and draws.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    x = old_faithful()
    points, sampled = {}, {}
    for covariance in size.covariances:
        with stage(f"em, {covariance} covariance"):
            for clusters in size.clusters:
                points[covariance, clusters] = fit(
                    "gaussian_mixture", x, method="em", seed=SEED, clusters=clusters,
                    covariance=covariance, priors="flat", starts=size.starts, predictive=0,
                )  # fmt: skip
    for covariance, clusters in size.contenders:
        with stage(f"nuts, {covariance} covariance, {clusters} clusters"):
            sampled[covariance, clusters] = fit(
                "gaussian_mixture", x, method="nuts", seed=SEED, clusters=clusters,
                covariance=covariance, warmup=size.warmup, draws=size.draws, starts=size.searches,
                predictive=0,
            )  # fmt: skip
    spread = x.std().to_numpy()
    table = criteria(points, len(x), spread)
    posterior = cross_validation(sampled, spread)
    return publish(_outcome(points, sampled, table, posterior), folder)


def degrees_of_freedom(covariance: str, clusters: int, features: int) -> int:
    """Free parameters: weights, centres and covariances.

    >>> degrees_of_freedom("tied", 3, 2), degrees_of_freedom("full", 2, 2)
    (11, 11)
    """
    half = features * (features + 1) // 2
    scatter = {"spherical": clusters, "diagonal": clusters * features, "tied": half,
               "full": clusters * half}  # fmt: skip
    return clusters - 1 + clusters * features + scatter[covariance]


def criteria(points: Mapping[Kind, xr.DataTree], rows: int, spread: np.ndarray) -> pd.DataFrame:
    """Log-likelihood, BIC, ICL and number of modes of every mixture fitted by EM."""
    lines = {}
    for (covariance, clusters), tree in points.items():
        likelihood = float(tree["log_likelihood"]["x"].sum())
        freedom = degrees_of_freedom(covariance, clusters, len(spread))
        bic = 2 * likelihood - freedom * np.log(rows)
        largest = tree["responsibilities"]["responsibilities"].max("cluster")
        starts = tree["starts"]["final"].values
        best = float(starts[tree["starts"]["best"].values].max())
        lines[covariance, clusters] = {
            "mclust": MCLUST[covariance],
            "log_likelihood": likelihood,
            "by others": (PUBLISHED | INDEPENDENT).get((covariance, clusters), np.nan),
            "df": freedom,
            "bic": bic,
            "icl": bic + 2 * float(np.log(largest).sum()),
            "modes": int(count_modes(tree, spread)[0]),
            "smallest weight": float(tree["posterior"]["weights"].min()),
            "starts at best": int((starts >= best - 1e-6 * abs(best)).sum()),
        }
    return pd.DataFrame(lines).T.infer_objects().rename_axis(["covariance", "clusters"])


def cross_validation(sampled: Mapping[Kind, xr.DataTree], spread: np.ndarray) -> pd.DataFrame:
    """LOO of the contenders, best first, with diagnostics and the number of modes."""
    named = {label(kind): tree for kind, tree in sampled.items()}
    lines = {}
    for name, tree in named.items():
        loo = arviz.loo(tree, pointwise=True)
        stats = tree["sample_stats"].dataset
        least = tree["posterior"].dataset["weights"].min("cluster")
        judged = xr.Dataset({"lp": stats["lp"], "least": least})
        modes = count_modes(tree, spread)
        lines[name] = {
            "elpd": float(loo.elpd),
            "se": float(loo.se),
            "p": float(loo.p),
            "elpd_diff": 0.0,
            "dse": 0.0,
            "largest Pareto k": float(loo.pareto_k.max()),
            "R-hat of lp": float(arviz.rhat(judged)["lp"]),
            "R-hat of least weight": float(arviz.rhat(judged)["least"]),
            "least ESS": float(arviz.ess(judged).to_array().min()),
            "divergences": int(stats["diverging"].sum()),
            "one mode": float((modes == 1).mean()),
            "two modes": float((modes == 2).mean()),
            "three modes": float((modes == 3).mean()),
        }
    table = pd.DataFrame(lines).T.sort_values("elpd", ascending=False)
    if len(named) > 1:
        compared = arviz.compare(named, round_to="none")
        for column in ("elpd_diff", "dse"):
            table[column] = compared[column].astype(float)
    return table


def label(kind: Kind) -> str:
    """A mixture's name in tables and plots.

    >>> label(("tied", 3))
    '3 tied'
    """
    return f"{kind[1]} {kind[0]}"


def gather(table: pd.DataFrame, posterior: pd.DataFrame) -> dict:
    """The numbers of the answer."""
    by_name = {label((str(c), int(k))): line for (c, k), line in table.to_dict("index").items()}
    reference = table.dropna(subset=["by others"])
    return {
        "em": by_name,
        "loo": posterior.to_dict("index"),
        "best_bic": label(table["bic"].astype(float).idxmax()),
        "best_icl": label(table["icl"].astype(float).idxmax()),
        "best_loo": str(posterior["elpd"].idxmax()),
        "worst_against_others": float(
            (reference["log_likelihood"] - reference["by others"]).astype(float).min()
        ),
        "printed": PRINTED,
    }


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``, more words in ``details``."""
    bic, icl, loo = (numbers[f"best_{name}"] for name in ("bic", "icl", "loo"))
    posterior = numbers["loo"]
    near = within_error(posterior, loo)
    three = {n: line for n, line in posterior.items() if n.startswith("3")}
    modes = " and ".join(f"{line['two modes']:.0%} ({name})" for name, line in three.items())
    regimes = [line["two modes"] > 0.5 for line in three.values()]
    open_still = loo.startswith("2") or any(name.startswith("2") for name in near)
    verdict = (
        "The data leave it open" if not all(regimes)
        else "Two regimes" if bic.startswith("2")
        else "Two regimes, which BIC describes by three components; LOO does not decide"
        if open_still else "Two regimes, described by three components"
    )  # fmt: skip
    return (
        f"{verdict}. BIC favours {bic} clusters; ICL, which penalises rows between clusters, "
        f"favours {icl}. With three components, the posterior probability that the density has "
        f"only two modes is {modes}."
        + (
            " The third component refines the shape of a mode and is not a regime of its own."
            if all(regimes)
            else ""
        )
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """BIC and ICL of EM in mclust's sign; LOO of the posteriors."""
    rows = {
        name: {"BIC": f"{line['bic']:.1f}", "ICL": f"{line['icl']:.1f}"}
        for name, line in numbers["em"].items()
    }
    for name, line in numbers["loo"].items():
        gap = f"{abs(line['elpd_diff']):.1f} ± {line['dse']:.1f} lower"
        rows.setdefault(name, {"BIC": "–", "ICL": "–"})
        rows[name]["LOO"] = "best" if name == numbers["best_loo"] else gap
    table = pd.DataFrame(rows).T.fillna("–").rename_axis("clusters")
    return {"By number of clusters and covariance; larger is better, as in mclust.": table}


def details(numbers: dict) -> str:
    """The ranking, the convergence and the reference values, in words."""
    posterior, loo = numbers["loo"], numbers["best_loo"]
    parts = [
        _ranking(posterior, loo, within_error(posterior, loo)),
        _trust(posterior),
        _against_others(numbers) + _printed(numbers) + ".",
    ]
    return "\n\n".join(part for part in parts if part)


def within_error(posterior: Mapping[str, dict], best: str) -> list[str]:
    """The mixtures that LOO does not distinguish from the best."""
    return [
        name for name, line in posterior.items()
        if name != best and abs(line["elpd_diff"]) < 2 * max(line["dse"], 2.0)
    ]  # fmt: skip


def _ranking(posterior: Mapping[str, dict], best: str, near: list[str]) -> str:
    """LOO in words; empty for a single mixture."""
    others = {name: line for name, line in posterior.items() if name != best}
    if not others:
        return ""
    gaps = "; ".join(
        f"{name} {abs(line['elpd_diff']):.1f} ± {line['dse']:.1f} lower"
        for name, line in others.items()
    )
    decided = (
        f"It does not distinguish the best from {' or '.join(near)}: the difference is within two "
        "standard errors, or below four."
        if near else "The others are clearly worse."
    )  # fmt: skip
    return f"LOO ranks {best} clusters first; {gaps}. {decided}"


def _trust(posterior: Mapping[str, dict]) -> str:
    """Whether the chains agree, in words, judged by two label-invariant quantities."""
    doubtful = {
        name: max(line["R-hat of lp"], line["R-hat of least weight"])
        for name, line in posterior.items()
        if max(line["R-hat of lp"], line["R-hat of least weight"]) > 1.02 or line["least ESS"] < 200
    }
    strayed = sum(line["divergences"] for line in posterior.values())
    least = min(line["least ESS"] for line in posterior.values())
    if not doubtful:
        return (
            "The chains of NUTS agree: for the log density and the smallest weight R-hat is at "
            f"most 1.02 and the effective sample size at least {least:.0f}; there were "
            f"{strayed:.0f} divergences."
        )
    named = ", ".join(f"{name} (R-hat {value:.2f})" for name, value in doubtful.items())
    return (
        f"The chains of NUTS disagree on the log density or the smallest weight for {named}. Such "
        "a posterior has several modes between which chains rarely move, so that its numbers are "
        f"less precise than their standard errors. There were {strayed:.0f} divergences."
    )


def _against_others(numbers: dict) -> str:
    """Whether any log-likelihood is below a reference value."""
    short = -numbers["worst_against_others"]
    if short < 1e-3:
        return "No log-likelihood is below its reference value"
    return f"A log-likelihood is below its reference value by {short:.3f}"


def _printed(numbers: dict) -> str:
    """BIC and ICL beside the published ones."""
    ours = numbers["em"].get("3 tied")
    if ours is None:
        return ""
    return (
        f". For mclust's choice (EEE with three components, whose likelihood is nearly flat at its "
        f"maximum) BIC is {ours['bic']:.3f} "
        f"(published: {PRINTED['bic']:.3f}) and ICL {ours['icl']:.3f} ({PRINTED['icl']:.3f})"
    )


def _outcome(
    points: Mapping[Kind, xr.DataTree],
    sampled: Mapping[Kind, xr.DataTree],
    table: pd.DataFrame,
    posterior: pd.DataFrame,
) -> Outcome:
    numbers = gather(table, posterior)
    kinds = {label(kind): kind for kind in (*points, *sampled)}
    key = kinds["3 tied"] if ("tied", 3) in sampled else next(iter(sampled))
    rivals = [kind for kind in sampled if kind != key]
    pictures = tuple(plot_clusters(sampled[kind], draws=40) for kind in rivals)
    names = tuple(f"{label(kind)} clusters; thin lines are draws." for kind in rivals)
    shown = table[table["bic"] > table["bic"].max() - 100].reset_index()
    evidence = [
        Block("In detail", details(numbers)),
        Block("Number of components: BIC and ICL", "Larger is better, as in mclust. `by others` is "
              "the log-likelihood published for mclust (EEE with three components) or computed by "
              "an independent program; `modes` is the number of modes of the fitted density. "
              "Mixtures more than 100 below the best are not plotted.",
              table=table.rename(columns={"log_likelihood": "log-likelihood"}),
              figures=(plot_comparison(shown, criteria=["bic", "icl"],
                                       higher_is_better=("bic", "icl")),)),
        Block("Number of components: LOO", "`elpd` is the expected log predictive density of 272 "
              "new eruptions; the probabilities of one, two and three modes of the density are "
              "posterior probabilities.", table=posterior,
              figures=(plot_comparison(_compared(posterior)),) if rivals else ()),
        *([Block("Other contenders", figures=pictures, captions=names)] if rivals else []),
        Block("Responsibilities", figures=(plot_responsibilities(sampled[key]),),
              captions=(f"{label(key)} clusters, by NUTS.",)),
        Block("Iterations of EM", figures=(plot_path(points[key]),),
              captions=("Log-likelihood of every start, and the centres of the best start.",)),
    ]  # fmt: skip
    caption = (f"{label(key)} clusters by NUTS: the ellipses of 40 draws (50% and 95% of each "
               "cluster) over the eruptions.")  # fmt: skip
    return Outcome("old_faithful", __doc__ or "", answer(numbers), numbers,
                   plot_clusters(sampled[key], draws=40), caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def _compared(posterior: pd.DataFrame) -> pd.DataFrame:
    """The table in the format of ArviZ's `compare`, for its plot."""
    table = posterior[["elpd", "se", "p", "elpd_diff", "dse"]].copy()
    table.insert(0, "rank", np.arange(len(table)))
    return table


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
