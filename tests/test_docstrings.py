"""Every public name says what it does, by an example that runs, and where it comes from."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ppl_models
from ppl_models import catalogue

ROOMS = ("", ".data", ".distributions", ".plots", ".report", ".cli")
COMMANDS = ("fit", "generate", "predict", "report")
#: a year in parentheses, a page of the web, or the name whose docstring has the source
SOURCE = re.compile(r"\((1[789]|20)\d\d\)|https?://|See [`A-Z]")

REFUSES_NOTHING = {".unrelabel"}


def names() -> dict[str, Any]:
    """The public callables by their full names."""
    actual = {}
    for room in ROOMS:
        module = importlib.import_module(f"ppl_models{room}")
        plots = (n for n in dir(module) if n.startswith("plot_"))
        for name in sorted({*module.__all__, *plots}):  # one order in all processes
            value = getattr(module, name)
            if callable(value):
                actual[f"{room}.{name}"] = value
    commands = importlib.import_module("ppl_models.cli.commands")
    return actual | {f".cli.commands.{name}": getattr(commands, name) for name in COMMANDS}


PUBLIC = names()
OURS = [name for name in PUBLIC if name.count(".") == 1]


def examples(value: Any) -> str:
    """The docstring, and of a class those of its own methods."""
    own = vars(value).values() if inspect.isclass(value) else ()
    methods = [m.__func__ if isinstance(m, classmethod | staticmethod) else m for m in own]
    texts = [inspect.getdoc(m) for m in methods if inspect.isfunction(m)]
    return "\n".join(text for text in [inspect.getdoc(value), *texts] if text)


def test_there_are_public_names() -> None:
    assert len(OURS) == len(importlib.import_module("ppl_models").__all__) > 20
    assert len(PUBLIC) > 100


@pytest.mark.parametrize("name", PUBLIC)
def test_an_example_runs(name: str) -> None:
    """Examples are run as doctests; one that is skipped is none."""
    lines = [line for line in examples(PUBLIC[name]).splitlines() if ">>>" in line]
    assert lines and not any("+SKIP" in line for line in lines)


@pytest.mark.parametrize("name", OURS)
def test_arguments_and_errors_are_described(name: str) -> None:
    text = inspect.getdoc(PUBLIC[name])
    described = re.findall(r"^    \*{0,2}(\w+):", text.partition("Args:")[2], re.MULTILINE)
    assert set(inspect.signature(PUBLIC[name]).parameters) <= set(described)
    assert "Raises:" in text or name in REFUSES_NOTHING


@pytest.mark.parametrize("name", [n for n in PUBLIC if n in OURS or ".distributions." in n])
def test_a_source_is_named(name: str) -> None:
    assert SOURCE.search(inspect.getdoc(PUBLIC[name]))


def text_of(function: Callable, module: Any) -> str:
    return f"{module.__doc__}\n{inspect.getdoc(function)}"


@pytest.mark.parametrize("model", catalogue.model_names())
def test_the_source_of_a_program_is_named(model: str) -> None:
    function = catalogue.program(model)
    assert SOURCE.search(text_of(function, inspect.getmodule(inspect.unwrap(function))))


@pytest.mark.parametrize("method", catalogue.method_names())
def test_the_source_of_a_method_is_named(method: str) -> None:
    module = catalogue.method(method)
    assert SOURCE.search(text_of(getattr(module, method), module))


def modules() -> dict[str, ast.Module]:
    root = Path(ppl_models.__file__).parent
    return {str(p.relative_to(root)): ast.parse(p.read_text("utf-8")) for p in root.rglob("*.py")}


def test_no_argument_is_described_that_a_function_lacks() -> None:
    """A renamed argument keeps its line in the docstring otherwise."""
    wrong = {}
    for path, tree in modules().items():
        for node in ast.walk(tree):
            text = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
            if text is None or "Args:" not in text:
                continue
            block = text.partition("Args:")[2].split("\n\n")[0]
            described = re.findall(r"^    \*{0,2}(\w+):", block, re.MULTILINE)
            own = node.args
            named = [*own.posonlyargs, *own.args, *own.kwonlyargs, own.vararg, own.kwarg]
            gone = set(described) - {argument.arg for argument in named if argument is not None}
            wrong |= {f"{path}:{node.name}": gone} if gone else {}
    assert wrong == {}


def test_references_name_what_there_is() -> None:
    trees = modules()
    names = {Path(path).stem for path in trees} | {"registry"}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name | ast.arg):
                names.add(node.id if isinstance(node, ast.Name) else node.arg)
    pattern = re.compile(r":(?:meth|mod|func|class):`([^`]+)`")
    referred = {
        (path, reference)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)
        for reference in pattern.findall(ast.get_docstring(node) or "")
    }
    assert len(referred) > 20
    assert {(p, r) for p, r in referred if r.lstrip("~").split(".")[-1] not in names} == set()


def described_and_taken(file: Path) -> Iterator[tuple[str, set[str]]]:
    """Functions, and classes with a constructor: what is described and not taken."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        own = [f for f in inner if isinstance(f, ast.FunctionDef)]
        taker = own[0] if isinstance(node, ast.FunctionDef) else None
        taker = taker or next((f for f in own if f.name in ("__init__", "__new__")), None)
        text = (ast.get_docstring(node) or "").partition("Args:")[2]
        if taker is None or not text:
            continue
        block = re.split(r"\n(?=[A-Z]\w+:)|\n\n(?=\S)", text)[0]
        described = set(re.findall(r"^    \*{0,2}(\w+):", block, re.MULTILINE))
        a = taker.args
        taken = {x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg) if x}
        yield node.name, described - taken


def test_what_is_described_is_an_argument() -> None:
    """An argument that was renamed is renamed in the docstring too."""
    root = Path(ppl_models.__file__).parent
    wrong = {
        f"{file.relative_to(root)}, {name}": more
        for file in root.rglob("*.py")
        for name, more in described_and_taken(file)
        if more
    }
    assert wrong == {}
