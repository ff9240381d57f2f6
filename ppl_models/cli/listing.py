"""List programs, methods and experiments from their sources, without importing them."""

from __future__ import annotations

import argparse
import ast

from ppl_models import catalogue
from ppl_models.cli import experiments
from ppl_models.errors import InputError


def run(options: argparse.Namespace) -> None:
    """Print names with one line each, or one name's arguments."""
    print(arguments_of(options.name) if options.name else everything())


def everything() -> str:
    """Programs, methods and experiments.

    >>> "gaussian_mixture" in everything()
    True
    """
    programs = {n: catalogue.summary("models", n) for n in catalogue.model_names()}
    methods = {n: catalogue.summary("inference/methods", n) for n in catalogue.method_names()}
    rooms = {
        "programs (or path/to/file.py:function)": programs,
        "methods": methods,
        "experiments": {n: experiments.question(n) for n in experiments.names()},
    }
    width = max(len(name) for entries in rooms.values() for name in entries)
    lines = []
    for title, entries in rooms.items():
        lines += [title, *(f"  {n:<{width}}  {line}" for n, line in entries.items()), ""]
    return "\n".join(lines).rstrip()


def arguments_of(name: str) -> str:
    """The keyword-only arguments of a program or a method, with their defaults.

    Raises:
        InputError: neither has that name.

    >>> print(arguments_of("exact").splitlines()[-1])
      draws=1000
    """
    for names, kind in (
        (catalogue.model_names(), "models"),
        (catalogue.method_names(), "inference/methods"),
    ):
        if name in names:
            source = (catalogue.PACKAGE / kind / f"{name}.py").read_text(encoding="utf-8")
            functions = [
                n
                for n in ast.parse(source).body
                if isinstance(n, ast.FunctionDef) and n.name == name
            ]
            lines = [
                f"{name}: {catalogue.summary(kind, name)}",
                *map(_shown, _options(functions[0])),
            ]
            return "\n".join(lines)
    known = ", ".join([*catalogue.model_names(), *catalogue.method_names()])
    raise InputError(f"there is no program or method {name!r}: choose one of {known}")


def _options(function: ast.FunctionDef) -> list[tuple[str, ast.expr | None]]:
    arguments = function.args
    return [(a.arg, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]


def _shown(option: tuple[str, ast.expr | None]) -> str:
    name, default = option
    return f"  {name} (required)" if default is None else f"  {name}={ast.unparse(default)}"
