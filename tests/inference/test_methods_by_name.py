"""Methods are known by what they declare: nobody outside ``inference/methods/`` asks for a name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ppl_models
from ppl_models import catalogue

PACKAGE = Path(ppl_models.__file__).parent
METHODS = PACKAGE / "inference" / "methods"


def names_in(node: ast.AST) -> set[str]:
    """Names of methods among the texts of an expression."""
    constants = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
    return {c for c in constants if isinstance(c, str)} & {*catalogue.method_names()}


def known_by_name(source: str) -> list[str]:
    """Expressions that compare with the name of a method, look one up, or list several.

    "hard" is a treatment of assignments too, and of these is compared with anywhere.
    """
    actual = []
    for node in ast.walk(ast.parse(source)):
        known: set[str] = set()
        if isinstance(node, ast.Compare):
            known = set().union(*(names_in(each) for each in (node.left, *node.comparators)))
            known -= {"hard"} if "assignments" in ast.unparse(node) else set()
        elif isinstance(node, ast.MatchValue):
            known = names_in(node)
        elif isinstance(node, ast.Dict):
            known = set().union(*(names_in(k) for k in node.keys if isinstance(k, ast.Constant)))
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            several = set().union(*(names_in(e) for e in node.elts if isinstance(e, ast.Constant)))
            known = several if len(several) > 1 else set()
        if known:
            actual.append(ast.unparse(node))
    return actual


@pytest.mark.parametrize(
    "source",
    [
        "method == 'em'",
        "method not in (*OTHERS, 'gibbs')",
        "SAMPLERS = {'nuts': 1}",
        "DRAW = ['gibbs', 'nuts']",
        "match method:\n    case 'em':\n        pass",
    ],
)
def test_a_method_that_is_known_by_name_is_seen(source: str) -> None:
    assert known_by_name(source)


def test_treatments_and_defaults_are_no_names_of_methods() -> None:
    assert not known_by_name("facts.assignments == 'hard'\nrun(method='em')\n")


@pytest.mark.parametrize(
    "path",
    # (of estimators "kmeans" and "map" are words of scikit-learn and hmmlearn, for other things)
    [p for p in sorted(PACKAGE.rglob("*.py")) if not {METHODS, PACKAGE / "sklearn"} & {*p.parents}],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_no_method_is_known_by_name_outside_its_file(path: Path) -> None:
    assert known_by_name(path.read_text(encoding="utf-8")) == []
