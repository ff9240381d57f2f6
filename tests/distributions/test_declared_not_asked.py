"""Outside their room emission classes are asked for what they declare, never for their class."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import ppl_models
from ppl_models import distributions
from ppl_models.distributions.described import Described

PACKAGE = Path(ppl_models.__file__).parent


def emission_classes() -> set[str]:
    """Names of all emission classes of the package, and of what they are built on."""
    for module in pkgutil.walk_packages(distributions.__path__, "ppl_models.distributions."):
        importlib.import_module(module.name)
    actual, left = {Described.__name__}, [Described]
    while left:
        for cls in left.pop().__subclasses__():
            if cls.__module__.startswith("ppl_models.") and cls.__name__ not in actual:
                actual.add(cls.__name__)
                left.append(cls)
    return actual


def asked_for_class(source: str, classes: set[str]) -> list[str]:
    """Calls of ``isinstance`` and ``issubclass`` with one of these classes."""
    actual = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            names = [n for n in ast.walk(node.args[1]) if isinstance(n, ast.Name | ast.Attribute)]
            called = {n.id if isinstance(n, ast.Name) else n.attr for n in names}
            actual += [ast.unparse(node)] if called & classes else []
    return actual


def test_a_question_for_a_class_is_seen() -> None:
    source = "isinstance(x, int)\nisinstance(emission, (hmm.HiddenMarkov, dist.Normal))"
    (asked,) = asked_for_class(source, emission_classes())
    assert "HiddenMarkov" in asked


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(PACKAGE.rglob("*.py")) if "distributions" not in p.parts],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_no_emission_is_asked_for_its_class(path: Path) -> None:
    classes = emission_classes()
    assert {"HiddenMarkov", "TokenChain", "GraphRows", "NgramChain", "StackedFamily"} <= classes
    assert asked_for_class(path.read_text(encoding="utf-8"), classes) == []
