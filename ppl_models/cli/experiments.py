"""Experiments by name: files of the package ``experiments`` that have a function ``run``."""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import os
import shutil
from pathlib import Path

from ppl_models.errors import InputError


def folder() -> Path | None:
    """The folder of the package ``experiments``, found without importing it."""
    spec = importlib.util.find_spec("experiments")
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]) if places else None


def names() -> list[str]:
    """Files (no folders) with a function ``run``, whose names do not begin with an underscore."""
    place = folder()
    files = sorted(place.glob("[!_]*.py")) if place else []
    return [f.stem for f in files if _has_run(f)]


def question(name: str) -> str:
    """First line of an experiment's docstring."""
    place = folder()
    text = (place / f"{name}.py").read_text(encoding="utf-8") if place else ""
    return (ast.get_docstring(ast.parse(text)) or "").split("\n")[0]


def _has_run(file: Path) -> bool:
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in body)


def run(options: argparse.Namespace) -> None:
    """Run an experiment and print the path of its page."""
    known = names()
    if options.name not in known:
        listed = ", ".join(known) or "none are installed"
        raise InputError(f"there is no experiment {options.name!r}: choose one of {listed}")
    target = Path(options.out) if options.out else Path("out") / options.name
    if not options.out:
        target.parent.mkdir(exist_ok=True)
    refuse_full(target, overwrite=options.overwrite)
    print(_run_beside(options.name, target, smoke=options.smoke))


def refuse_full(target: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is not empty, or whose parent does not exist.

    Raises:
        InputError: when the experiment may not write there.
    """
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file: give the path of a folder")
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise InputError(f"{target} is not empty and was kept: give another --out or --overwrite")
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {target.parent}: make it first")


def _run_beside(name: str, target: Path, *, smoke: bool) -> Path:
    """Run in a temporary folder beside the target, then move it into place."""
    beside = target.parent / f".{target.name}.{os.getpid()}.part"
    beside.mkdir()
    try:
        page = importlib.import_module(f"experiments.{name}").run(beside, smoke=smoke)
        inside = Path(page).relative_to(beside)
        if target.is_dir():
            shutil.copytree(beside, target, dirs_exist_ok=True)
        else:
            os.replace(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target / inside
