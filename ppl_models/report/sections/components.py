"""The section on components: plots, summaries in words, and tables of parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pandas as pd
import xarray as xr

from ppl_models import catalogue
from ppl_models.plots.drawing.components import component_summaries
from ppl_models.posterior.result.names import component_labels
from ppl_models.report.fitted import FittedModel
from ppl_models.report.page import Block
from ppl_models.report.section import ReportSection
from ppl_models.report.sections.parameters import parameter_blocks

MINUS = re.compile(r"(?<![\w.])-(?=[\d.])")  #: a hyphen that is a minus sign


def heading(fit: FittedModel) -> str:
    """The heading, by what the components of the fit are."""
    if fit.facts.clusters:
        return "What are the clusters like?"
    return "What are the hidden states like?" if fit.facts.states else "What are the parameters?"


def words_and_parameters(fit: FittedModel) -> Iterator[Block]:
    """What the program's users ask, every component in words, and tables of parameters."""
    yield from program_blocks(fit.tree)
    for emission in fit.facts.emissions if _has_density(fit) else ():
        words = [MINUS.sub("−", text) for text in component_summaries(fit.tree, emission.site)]
        if len(words) > 1:
            index = pd.Index(component_labels(fit.tree, len(words)), name=emission.component_dim)
            column = "parameters" if fit.is_point else "posterior means of the parameters"
            of_site = f" of {emission.site}" if len(fit.facts.emissions) > 1 else ""
            table = pd.DataFrame({column: words}, index=index)
            yield Block(f"In words{of_site}", table=table, level=3)
    yield from parameter_blocks(fit.tree)


def program_blocks(tree: xr.DataTree) -> Iterator[Block]:
    """Tables of a program of this package: ``report_tables`` beside it."""
    name = str(tree.attrs.get("program", ""))
    if name not in catalogue.model_names():
        return
    module = inspect.getmodule(catalogue.program(name))
    for heading, (text, table) in getattr(module, "report_tables", lambda _: {})(tree).items():
        yield Block(heading, text, table=table, level=3)


def _has_density(fit: FittedModel) -> bool:
    """Whether components have a density; those of a cost of distances (k-means) have none."""
    return fit.facts.objective is None or fit.facts.objective.direction == "maximise"


COMPONENTS = ReportSection("components", heading, details=words_and_parameters)
