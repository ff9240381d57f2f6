"""A test asserts something, and does not return before it has."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = sorted(TESTS.rglob("test_*.py"))


def asserting(tree: ast.Module) -> set[str]:
    """Functions of a file that assert, by themselves or by others of the file."""
    functions = {f.name: f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)}
    actual: set[str] = set()
    while True:
        more = {n for n, f in functions.items() if n not in actual and asserts(f, actual)}
        if not more:
            return actual
        actual |= more


def asserts(node: ast.AST, helpers: set[str]) -> bool:
    """Whether a statement holds an assertion, an expected error or warning, or calls a helper."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assert):
            return True
        if isinstance(inner, ast.Call):
            name = ast.unparse(inner.func).rpartition(".")[2]
            if name in {"raises", "warns", *helpers} or name.startswith(("assert_", "_assert")):
                return True
        # jax.tree.map(np.testing.assert_allclose, ...)
        if isinstance(inner, ast.Attribute) and inner.attr.startswith("assert_"):
            return True
    return False


def early_returns(block: list[ast.stmt], helpers: set[str], before: bool = False) -> list[int]:
    """Lines that return although nothing before them, on their way, asserts."""
    actual = []
    for statement in block:
        if isinstance(statement, ast.Return) and not before:
            actual.append(statement.lineno)
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        expects = isinstance(statement, ast.With) and any(
            asserts(item, helpers) for item in statement.items
        )
        for name in ("body", "orelse", "finalbody"):
            actual += early_returns(getattr(statement, name, []), helpers, before or expects)
        before = before or asserts(statement, helpers)
    return actual


def faults(source: str, imported: frozenset[str] = frozenset()) -> list[str]:
    """Tests of a file that assert nothing, or may return before they do."""
    tree = ast.parse(source)
    helpers = asserting(tree) | imported
    actual = []
    for function in (f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)):
        if not function.name.startswith("test_"):
            continue
        if not asserts(function, helpers):
            actual.append(f"{function.name} asserts nothing")
        actual += [
            f"{function.name} returns in line {n}" for n in early_returns(function.body, helpers)
        ]
    return actual


@pytest.mark.parametrize(
    "source",
    [
        "def test_a(x):\n    if x:\n        return\n    assert x",
        "def test_b():\n    print(1)",
        "def test_c():\n    def inner():\n        return 1\n    inner()",
        "def test_d(y):\n    for x in y:\n        if x:\n            return\n        assert x",
    ],
)
def test_a_test_without_assertion_is_seen(source: str) -> None:
    assert faults(source)


@pytest.mark.parametrize(
    "source",
    [
        "def test_a(x):\n    if x:\n        assert x\n        return\n    assert not x",
        "def check():\n    assert True\ndef test_b():\n    check()\n    return",
        "def test_c():\n    with pytest.raises(ValueError):\n        f()",
    ],
)
def test_a_test_that_asserts_is_left_alone(source: str) -> None:
    assert not faults(source)


@pytest.fixture(scope="module")
def shared() -> frozenset[str]:
    """Functions that assert in the files that tests import."""
    files = [p for p in TESTS.rglob("*.py") if not p.name.startswith("test_")]
    return frozenset().union(*(asserting(ast.parse(p.read_text("utf-8"))) for p in files))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_every_test_asserts_before_it_returns(path: Path, shared: frozenset[str]) -> None:
    assert faults(path.read_text(encoding="utf-8"), shared) == []


def test_what_is_left_to_the_long_tests_is_there() -> None:
    """A line of ``long_tests.txt`` whose test has another name by now would leave out nothing."""
    names = {
        f"{file.relative_to(TESTS.parent).as_posix()}::{function.name}"
        for file in FILES
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
    }
    lines = (TESTS / "long_tests.txt").read_text(encoding="utf-8").splitlines()
    assert lines == sorted(set(lines)), "in order, and each once"
    assert [line for line in lines if line.partition("[")[0] not in names] == []
