"""Names in the package, its tests and its experiments say what a thing is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ppl_models

#: Names of everything, and words that no textbook has for what they meant here.
WORDS = {
    "found", "given", "kept", "whole", "share", "nucleus", "wiring", "climb",
    "recall", "small_hmc", "hidden_one_path",
}  # fmt: skip
PACKAGE = Path(ppl_models.__file__).parent
TESTS = Path(__file__).parent


def names_of_everything(source: str) -> list[str]:
    """Variables, parameters, functions and classes that are called by one of the words."""
    names = []
    for node in ast.walk(ast.parse(source)):
        name = None
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = node.name
        if name is not None and name.strip("_") in WORDS:
            names.append(name)
    return names


@pytest.mark.parametrize(
    "source", ["found = 1", "def _whole(x): ...", "def f(given): ...", "for kept in x: ..."]
)
def test_a_name_of_everything_is_seen(source: str) -> None:
    assert len(names_of_everything(source)) == 1


@pytest.mark.parametrize("folder", [PACKAGE, TESTS, TESTS.parent / "experiments"])
def test_names_say_what_things_are(folder: Path) -> None:
    named = {
        str(path.relative_to(folder)): names
        for path in sorted(folder.rglob("*.py"))
        if (names := names_of_everything(path.read_text(encoding="utf-8")))
    }
    assert named == {}
