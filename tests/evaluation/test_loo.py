"""Leaving sequences of tokens out: by fits without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ppl_models import fit, log_density
from ppl_models.data import Vocabulary
from ppl_models.errors import InputError
from ppl_models.evaluation import loo as module

TEXT = [*(["a", "b", "b"], ["b", "a"], ["a"], ["b", "b"]) * 5, ["a", "z", "b"]]
OPTIONS = {"method": "exact", "seed": 0, "draws": 4000, "chains": 1, "predictive": 0}


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
def test_bad_sequences_are_scored_by_fits_that_never_saw_them():
    """In the vocabulary of the whole, of which a fold may lack tokens."""
    data = [*TEXT, ["b", "a", "a"]]
    tree = fit("markov_chain", data, **OPTIONS)
    (selected,) = module.fitted_data(tree).values()
    assert module._containers(tree, {"tokens": selected}, np.arange(len(data))) == data
    gap = replace(selected, values=np.array([[0, -1, 1, 3]]))  # one that is not known stays so
    assert module._containers(tree, {"tokens": gap}, np.arange(1)) == [["a", None, "b"]]
    bad = np.zeros(len(data), bool)
    bad[20] = True  # the only one with a "z"
    actual = module._refit(tree, module.az.loo(tree, pointwise=True), bad)
    rest = [row for n, row in enumerate(data) if n % module.FOLDS != 0]
    without = fit("markov_chain", rest, vocabulary=Vocabulary(("a", "b", "z")), **OPTIONS)
    expected = float(log_density(without, [data[20]])[0])
    assert float(actual.elpd_i[20]) == pytest.approx(expected, abs=0.05)  # 4,000 draws each
    assert float(actual.pareto_k[20]) == 0


def test_graphs_are_not_refitted(built_ins, trees):
    tree = trees(built_ins["graph_chain"])
    with pytest.raises(InputError, match="a fold may lack: call loo without refit"):
        module._containers(tree, module.fitted_data(tree), np.arange(2))
