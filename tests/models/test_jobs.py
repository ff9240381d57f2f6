"""Programs that people ask for, several kinds of data among them: the contract, and their fits."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from jax import random
from jax.scipy.special import logsumexp
from numpyro import handlers
from numpyro.contrib.funsor import config_enumerate, enum, log_density

from ppl_models import (
    assignments,
    catalogue,
    choose_clusters,
    diagnose,
    fit,
    generate,
    impute,
    loo,
    predict,
    write_report,
)
from ppl_models import log_density as densities
from ppl_models.data.kinds import Categories, Counts
from ppl_models.errors import InputError
from ppl_models.models.categorical_mixture import categorical_mixture
from ppl_models.models.dawid_skene import dawid_skene
from ppl_models.program.arguments.json_text import from_json
from ppl_models.program.arguments.signature import data_parameters
from ppl_models.program.model import Model
from ppl_models.program.reading import given_arguments, read_data, read_program


class Job(NamedTuple):
    """A program, data and arguments to fit it to them, and what it has."""

    name: str
    data: Any
    arguments: dict[str, Any]
    sites: set[str]
    plate: str = "row"

    @property
    def function(self) -> Callable:
        return catalogue.program(self.name)

    @property
    def emitted(self) -> str:
        return next(iter(self.data))


_g = np.random.default_rng(5)
_z = np.arange(30) % 2
COVARIATES = _g.normal(size=(30, 2)) * [1.0, 3.0] + [0.0, 40.0]
LINE = COVARIATES[:, 0] * np.array([1.0, -2.0])[_z] + 4 * _z + 0.3 * _g.normal(size=30)
BITS = (_g.uniform(size=(30, 3)) < np.array([[0.9, 0.8, 0.2], [0.2, 0.1, 0.7]])[_z]).astype(int)
GAPS = np.where(_g.uniform(size=BITS.shape) < 0.1, np.nan, BITS)
COUNTS = _g.poisson(np.array([[2.0, 6.0], [12.0, 1.0]])[_z]) * _g.binomial(1, 0.8, (30, 2))
ITEM, WHO = (axis.ravel() for axis in np.mgrid[:12, :3])
LABEL = np.where(_g.uniform(size=36) < 0.8, ITEM % 3, _g.integers(3, size=36))
WORD = np.where(_g.uniform(size=36) < 0.7, ITEM % 2, _g.integers(4, size=36))
GROWTH = (
    (_z[:, None] + 1) * np.arange(4.0) + _g.normal(size=(30, 1)) + 0.3 * _g.normal(size=(30, 4))
)
COUNT_SITES = {"weights", "rate"}
SCATTER = {"weights", "loc", "covariance"}
PLANE = _g.normal(size=(30, 2)) + np.array([[4.0, 0.0], [-2.0, 3.0]])[_z]
ERRORS = _g.uniform(0.1, 1.5, size=(30, 2))
CATEGORIES = np.array(list("abc"))[_z + _g.integers(2, size=30)]
SIDE = np.arange(30) % 3 - 1.0
NETWORK = (_g.uniform(size=(9, 9)) < np.where(np.eye(9) > 0, 0, 0.5)).astype(int)
REGRESSION = {"response": LINE, "covariates": COVARIATES}
LABELS = {"label": LABEL, "item": ITEM, "annotator": WHO}

JOBS = [
    Job("regression_mixture", REGRESSION, {"clusters": 2},
        {"weights", "intercept", "slope", "scale"}),
    Job("regression_mixture", {"response": COUNTS[:, 0], "covariates": COVARIATES},
        {"clusters": 2, "family": "poisson"}, {"weights", "intercept", "slope"}),
    Job("expert_mixture", {"response": BITS[:, 0], "covariates": COVARIATES},
        {"clusters": 2, "family": "bernoulli"},
        {"gate_intercept", "gate_slope", "intercept", "slope"}),
    Job("latent_class_regression",
        {"answers": GAPS, "covariates": COVARIATES[:, 1], "outcome": LINE},
        {"clusters": 2, "distal": "gaussian"},
        {"intercept", "slope", "probs", "outcome_mean", "outcome_scale"}),
    Job("negative_binomial_mixture", {"x": COUNTS}, {"clusters": 2}, {*COUNT_SITES, "size"}),
    Job("zero_inflated_mixture", {"x": COUNTS[:, 0]}, {"clusters": 2}, {*COUNT_SITES, "gate"}),
    Job("hurdle_mixture", {"x": COUNTS}, {"clusters": 2, "base": "negative_binomial"},
        {*COUNT_SITES, "gate", "size"}),
    Job("growth_mixture", {"x": GROWTH}, {"clusters": 2, "order": 2},
        {"weights", "curve", "spread", "noise"}),
    Job("dawid_skene", LABELS, {}, {"weights", "confusion"}, "item"),
    Job("latent_dirichlet_allocation", {"word": WORD, "document": ITEM}, {"topics": 2},
        {"word_probs", "proportions"}, "token"),
    Job("record_linkage", {"x": BITS}, {}, {"weights", "probs"}),
    Job("gaussian_noise_mixture", {"x": PLANE}, {"clusters": 2}, {*SCATTER, "scale_diagonal"}),
    Job("student_t_mixture", {"x": PLANE}, {"clusters": 2},
        {"weights", "loc", "scatter", "df", "scale_diagonal"}),
    Job("factor_analysis_mixture", {"x": PLANE}, {"clusters": 2, "factors": 1},
        {"weights", "loc", "loadings", "scale", "scale_rate"}),
    Job("extreme_deconvolution", {"x": PLANE, "errors": ERRORS}, {"clusters": 2},
        {*SCATTER, "scale_diagonal"}),
    Job("stochastic_block_model", {"adjacency": NETWORK}, {"clusters": 2},
        {"weights", "probs"}, "node"),
    Job("mixed_mixture",
        {"numbers": PLANE, "counts": COUNTS[:, :1], "categories": CATEGORIES, "bits": BITS},
        {"clusters": 2},
        {*COUNT_SITES, "loc", "scale", "scale_rate", "level_probs", "bit_probs"}),
    Job("censored_mixture", {"x": LINE, "censored": SIDE}, {"clusters": 2, "above": -30.0},
        {"weights", "loc", "scale", "scale_rate"}),
    Job("censored_mixture", {"x": np.exp(LINE / 4), "censored": SIDE},
        {"clusters": 2, "family": "weibull"}, {"weights", "shape", "scale"}),
]  # fmt: skip
NAMES = [f"{job.name} {job.arguments.get('family', '')}".strip() for job in JOBS]
once = pytest.mark.parametrize("job", JOBS, ids=NAMES)


def _read(job: Job) -> tuple[Model, Any]:
    observed = read_data(job.function, job.data)
    return read_program(job.function, observed, job.arguments, {}, "float64")


@once
def test_docstring_and_signature(job):
    text = inspect.getdoc(job.function) or ""
    assert sum("~" in line for line in text.splitlines()) >= 3
    parameters = inspect.signature(job.function).parameters
    missing = [n for n in (*parameters, "Args", "Returns") if f"{n}:" not in text]
    assert not missing
    assert ">>> " in text
    data = data_parameters(job.function)
    assert set(job.data) <= set(data)
    others = [p for n, p in parameters.items() if n not in data]
    assert all(p.kind is p.KEYWORD_ONLY for p in others)
    assert all(parameters[n].default is None for n in data)


#: an index reaches from one plate into another, which NumPyro's enumeration does not take: the long
#: labels are compared with wide ones below
@pytest.mark.parametrize(
    "job",
    [
        pytest.param(job, id=name)
        for job, name in zip(JOBS, NAMES, strict=True)
        if job.plate not in ("item", "node")  # networks: tests/inference/test_networks.py
    ],
)
def test_density_is_that_of_numpyros_enumeration(job, double_precision):
    """With gaps left out, which NumPyro's enumeration of the same program takes as they are."""
    complete = job._replace(data={n: np.nan_to_num(v) for n, v in job.data.items()})
    model, structure = _read(complete)
    assert set(structure.names) == job.sites
    assert structure.plate == job.plate
    for site in structure.sites:
        assert not any("_dim_" in name or "_axis_" in name for name in site.dims)
    values = structure.initial(random.key(3), radius=1.0)

    @jax.jit
    def both(values):
        ours = logsumexp(model.logits(values, structure), axis=0).sum()
        ours = ours + model.log_prior(values, structure)
        data = {n: jnp.asarray(v) for n, v in model.data.items()}
        prepared = enum(config_enumerate(job.function), first_available_dim=-3)
        selected = {n: v for n, v in model.arguments.items()}
        return ours, log_density(prepared, (), {**data, **selected}, values)[0]

    actual, numpyros = both(values)
    assert np.isfinite(actual)
    np.testing.assert_allclose(actual, numpyros, rtol=1e-10)


def test_new_rows_are_measured_from_the_fitted_centre(double_precision):
    """A row's density is its own, whatever rows it is asked about with."""
    model, structure = _read(JOBS[0])
    values = structure.initial(random.key(4), radius=1.0)
    some = model.with_data({n: v[:7] for n, v in model.data.items()})
    few = replace(structure, rows=7)
    complete, part = jax.jit(lambda: (model.logits(values, structure), some.logits(values, few)))()
    np.testing.assert_allclose(part, complete[:, :7], rtol=1e-12)


@pytest.mark.long
def test_regression_finds_lines_and_generates_from_them():
    tree = fit("regression_mixture", REGRESSION, method="em", seed=0, clusters=2, starts=4,
               predictive=0)  # fmt: skip
    few = {n: v[:7] for n, v in REGRESSION.items()}
    np.testing.assert_allclose(densities(tree, few), densities(tree)[:7], rtol=1e-9)
    slopes = np.sort(tree["posterior"]["slope"].values[0, 0, :, 0])
    np.testing.assert_allclose(slopes, [-2, 1], atol=0.3)
    again = generate(tree, 5, covariates={"covariates": COVARIATES[:5]}, seed=0)
    assert again["response"].shape[-1] == 5


def test_long_labels_are_the_wide_ones(double_precision):
    """Every annotator labels every item: a mixture of categories, a feature an annotator."""
    wide = LABEL.reshape(12, 3)
    levels = (3, 3, 3)
    both = {"concentration": 1.0}
    long, structure = _read(JOBS[8]._replace(arguments={
        "agreement": 0.0, "error_concentration": 1.5, **both}))  # fmt: skip
    arguments = {"clusters": 3, "levels": levels, "level_concentration": 1.5, **both}
    table = Model(categorical_mixture, {"x": wide}, arguments, {})
    assert set(structure.names) == JOBS[8].sites
    assert (structure.plate, structure.clusters) == ("item", 3)
    values = structure.initial(random.key(2), radius=1.0)
    side_by_side = jnp.swapaxes(values["confusion"], 0, 1).reshape(3, 9)
    others = {"weights": values["weights"], "probs": side_by_side}
    of_table = table.structure()
    for ours, theirs in jax.jit(
        lambda: (
            (long.logits(values, structure), table.logits(others, of_table)),
            (long.log_prior(values, structure), table.log_prior(others, of_table)),
        )
    )():
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("name", ["distal", "family", "base", "outcome"])
def test_unknown_names_are_refused(name):
    program, values, said = {
        "distal": ("latent_class_regression", {"levels": (2,), "distal": "beta"}, "choose one of"),
        "outcome": ("latent_class_regression", {"levels": (2,), "outcome": LINE}, "distal="),
        "family": ("expert_mixture", {"covariates": COVARIATES, "family": "beta"}, "choose one of"),
        "base": ("hurdle_mixture", {"rows": 3, "base": "beta"}, "choose one of"),
    }[name]
    with pytest.raises(InputError, match=said):
        handlers.seed(catalogue.program(program), 0)(clusters=2, **values)


def test_a_size_that_is_given_is_not_taken_from_the_data():
    job = next(job for job in JOBS if job.name == "latent_dirichlet_allocation")
    model, structure = _read(job._replace(arguments={"topics": 2, "words": 9}))
    shapes = {site.name: site.shape for site in structure.sites}
    assert shapes["word_probs"] == (2, 9)
    assert given_arguments(job.function, model.arguments)["words"] == 9


def test_bare_numpyro_counts_items_and_labels():
    drawn = handlers.seed(dawid_skene, 0)(ITEM, WHO, levels=3)
    assert drawn.shape == ITEM.shape
    with pytest.raises(InputError, match="levels=3"):
        handlers.seed(dawid_skene, 0)(ITEM, WHO)


PUBLISHED = {("carcinoma", 2): -317.2568, ("values", 2): -504.4677, ("gss82", 3): -2754.5454}


@pytest.mark.long
@pytest.mark.parametrize(("table", "clusters"), PUBLISHED)
def test_classes_without_covariates_reach_the_published_maxima(reference, table, clusters):
    answers = pd.read_csv(reference / "latent_class" / f"{table}.csv").astype(str)
    tree = fit("latent_class_regression", {"answers": answers}, method="em", seed=0,
               clusters=clusters, priors="flat", predictive=0)  # fmt: skip
    assert float(densities(tree).sum()) >= PUBLISHED[table, clusters] - 1e-3


FEW = {"warmup": 50, "draws": 50, "chains": 2}
#: methods that need nothing special of a program, and little work of each
SMALL = {
    "em": {"starts": 2},
    "hard": {"starts": 2},
    "map": {"starts": 1, "steps": 100},
    "svi": {"starts": 1, "steps": 100, "draws": 50},
    "gibbs": FEW,
    "nuts": FEW,
}


def _fitted(job: Job, method: str) -> Any:
    return fit(job.name, job.data, method=method, seed=0, predictive=2, **job.arguments,
               **SMALL[method])  # fmt: skip


@pytest.mark.long
@once
@pytest.mark.parametrize("method", [m for m in SMALL if m != "em"])
@pytest.mark.filterwarnings("ignore:Estimated shape parameter")  # of so few draws
def test_every_job_is_done_by_every_method(job, method):
    """EM: below. Others ask for families in closed form: ``tests/inference/test_refusals.py``."""
    if job.plate == "node" and method not in ("gibbs", "nuts"):  # (inference/test_refusals.py)
        pytest.skip("no sum goes over the blocks of all nodes")
    tree = _fitted(job, method)
    assert set(tree["posterior"].data_vars) >= job.sites
    assert all(np.isfinite(value).all() for value in tree["posterior"].data_vars.values())
    if tree.attrs["kind"] == "draws":
        still = [
            n for n in job.sites if not (np.ptp(tree["posterior"][n].values, axis=1) > 0).any()
        ]
        assert not still
    assert np.isfinite(densities(tree)).all()
    np.testing.assert_allclose(predict(tree).sum("cluster"), 1, rtol=1e-6)
    if tree.attrs["kind"] == "draws" and job.plate != "node":
        assert np.isfinite(loo(tree, mend=False).elpd)


@pytest.mark.long
@once
def test_every_question_is_answered_of_a_fit_of_every_job(job, tmp_path):
    tree = _fitted(job, "em")
    assert np.isfinite(densities(tree)).all()
    np.testing.assert_allclose(predict(tree).sum("cluster"), 1, rtol=1e-6)
    assert diagnose(tree).findings
    filled = impute(tree, seed=0, draws=2)
    assert np.isfinite(filled[job.emitted]).all()
    others = {n: v for n, v in job.data.items() if n not in tree["observed_data"].data_vars}
    drawn = generate(tree, len(next(iter(job.data.values()))), covariates=others or None, seed=0)
    assert np.isfinite(drawn[job.emitted]).all()
    page = write_report(tree, tmp_path / "page.html")
    assert f"{job.name}, fitted by em" in page.read_text(encoding="utf-8")
    if "clusters" in job.arguments and job.plate != "node":
        rest = {n: v for n, v in job.arguments.items() if n != "clusters"}
        table = choose_clusters(job.name, job.data, [1, 2], seed=0, starts=2, **rest)
        assert np.isfinite(table["bic"]).all()


def test_a_centre_that_the_data_decide_is_refused():
    with pytest.raises(InputError, match="'centre' is computed from the fitted data"):
        fit("regression_mixture", REGRESSION, method="em", seed=0, clusters=2, centre=[0.0, 0.0])


@pytest.mark.parametrize("seed", [0, 1])
def test_classes_of_many_labels_are_called_as_annotators_call_them(seed):
    """From random numbers of the classes EM did not come back: one in ten was right."""
    generator, count = np.random.default_rng(5), 10
    truth = generator.integers(count, size=200)
    item, annotator = (a.ravel() for a in np.meshgrid(range(200), range(12), indexing="ij"))
    right = generator.random(len(item)) < 0.5
    label = np.where(right, truth[item], generator.integers(count, size=len(item)))
    lines = {"item": item, "annotator": annotator, "label": label}
    tree = fit("dawid_skene", lines, method="em", seed=seed, starts=2, predictive=0)
    assert tree["starts/initialization"].values[0] == "prior means"
    assert (predict(tree).values.argmax(1) == truth).mean() > 0.95


def test_labels_of_a_poorer_numbering_are_put_in_order():
    """Random starts alone: their ends are renumbered, and the log joint density is higher."""
    from ppl_models.inference.em.label_order import reordered
    from ppl_models.inference.problem import Problem
    from ppl_models.program.log_joint import log_joint
    from ppl_models.program.reading import read_data, read_program

    data = {"item": [0, 0, 1, 1, 2, 2], "annotator": [0, 1] * 3, "label": [0, 0, 1, 1, 2, 2]}
    function = catalogue.program("dawid_skene")
    problem = Problem(*read_program(function, read_data(function, data), {}, {}, "float64"))
    diagonal = 0.8 * np.eye(3) + 0.2 / 3
    values = {"weights": np.array([[0.5, 0.3, 0.2]]), "confusion": diagonal[None, None, [2, 0, 1]]}
    values["confusion"] = np.repeat(values["confusion"], 2, 1)
    moved = reordered(problem, values)
    np.testing.assert_allclose(moved["confusion"][0], [diagonal, diagonal])
    np.testing.assert_allclose(moved["weights"], [[0.3, 0.2, 0.5]])
    before, after = (
        float(
            log_joint(
                problem.model, problem.structure, {n: jnp.asarray(v[0]) for n, v in of.items()}
            )
        )
        for of in (values, moved)
    )
    assert after > before + 1
    assert reordered(problem, moved) is None


def test_names_of_items_annotators_and_labels_are_on_the_axes():
    """In the order of text, so that item 2 is img10; the classes are called as the labels."""
    items = [f"img{i}" for i in range(11)]
    said = ["dog", "cat"] * 5 + ["cat"]
    lines = {"item": items * 2, "annotator": ["Ben"] * 11 + ["Anna"] * 11,
             "label": said + said[:-1] + ["dog"]}  # fmt: skip
    tree = fit("dawid_skene", lines, method="em", seed=0, starts=1, predictive=0)
    confusion = tree["posterior/confusion"]
    assert confusion.dims[2:] == ("annotator", "cluster", "label")
    assert confusion["annotator"].values.tolist() == ["Anna", "Ben"]
    assert confusion["label"].values.tolist() == confusion["cluster"].values.tolist()
    assert confusion["label"].values.tolist() == ["cat", "dog"]
    table = assignments(tree)
    assert table.index.tolist()[:3] == ["img0", "img1", "img10"]
    truth = dict(zip(items[:-1], said, strict=False))
    assert {name: table.loc[name, "cluster"] for name in truth} == truth
    assert not from_json(tree.attrs["notes"])["notes"]
    again = predict(tree, {n: v[:11] for n, v in lines.items()})
    assert again["item"].values.tolist() == table.index.tolist()
    codes = lines | {"item": list(range(11)) * 2, "annotator": [0] * 11 + [1] * 11}
    tree = fit("dawid_skene", codes, method="em", seed=0, starts=1, predictive=0)
    assert tree["posterior/confusion"]["annotator"].values.tolist() == [0, 1]


def visits_of_kinds(
    kind: Annotated[Any, Categories] = None, visits: Annotated[Any, Counts] = None, *, kinds: int
):
    """Poisson counts whose rates have an axis of another name than the data."""
    with numpyro.plate("which", kinds):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    with numpyro.plate("row", len(kind)):
        numpyro.sample("visits", dist.Poisson(rate[kind]), obs=visits)


def test_names_that_no_axis_has_are_told_beside_their_numbers():
    lines = {"kind": ["new", "old", "new", "old"], "visits": [1, 5, 0, 7]}
    tree = fit(visits_of_kinds, lines, method="map", seed=0, kinds=2, predictive=0)
    notes = from_json(tree.attrs["notes"])["notes"]
    assert "results number the values of 'kind': 0 = new, 1 = old" in notes


def test_rows_of_a_growth_mixture_are_generated_at_the_columns_of_the_data():
    """Without times these are 0, 1, 2, ..., for new rows as for the fitted ones."""
    options = {"method": "em", "seed": 0, "clusters": 1, "starts": 1}
    plain = fit("growth_mixture", {"x": GROWTH}, **options)
    timed = fit("growth_mixture", {"x": GROWTH}, times=np.arange(GROWTH.shape[1]), **options)
    drawn = plain["posterior_predictive/x"]
    assert drawn.shape[-1] == GROWTH.shape[1]
    np.testing.assert_allclose(drawn, timed["posterior_predictive/x"])
