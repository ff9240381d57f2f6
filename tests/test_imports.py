"""What may be imported when: each room only from rooms to its left, nothing heavy for a listing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ppl_models

PACKAGE = Path(ppl_models.__file__).parent
ROOMS = (
    "data",
    "distributions",
    "models",
    "program",
    "inference",
    "posterior",
    "fitting",
    "diagnostics",
    "evaluation",
    "plots",
    "report",
)
#: Open to every room: names of files and what a person is told.
COMMON = ("errors", "catalogue")
HEAVY = ("jax", "numpyro", "pandas", "arviz", "matplotlib", "xarray", "scipy", "sklearn")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def rooms_imported(path: Path) -> set[str]:
    """Rooms of the package that a file imports, in functions too."""
    package = ("ppl_models", *path.relative_to(PACKAGE).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        parts = [name.split(".") for name in names]
        found |= {p[1] for p in parts if p[0] == "ppl_models" and len(p) > 1}
    return found


@pytest.mark.parametrize(
    "path",
    [p for p in modules() if room_of(p) in ROOMS],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_a_room_imports_only_from_rooms_to_its_left(path: Path) -> None:
    room = room_of(path)
    allowed = {*ROOMS[: ROOMS.index(room) + 1], *COMMON}
    assert rooms_imported(path) <= allowed


def test_the_reader_of_imports_sees_relative_and_absolute_ones() -> None:
    found = rooms_imported(PACKAGE / "inference" / "methods" / "kmeans.py")
    assert {"data", "distributions", "errors", "inference"} <= found


def test_no_module_switches_anything_or_makes_arrays_when_imported() -> None:
    code = """
import sys, importlib, pkgutil, warnings
warnings.simplefilter("ignore")
import jax, matplotlib, numpy
backend, x64 = matplotlib.rcParams["backend"], jax.config.jax_enable_x64
import jax._src.core as core
import ppl_models
for module in pkgutil.walk_packages(ppl_models.__path__, "ppl_models."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert matplotlib.rcParams["backend"] == backend
assert jax.config.jax_enable_x64 == x64
assert not jax.live_arrays(), jax.live_arrays()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["fit", "--help"],
        ["report", "--help"],
        ["generate", "--help"],
        ["predict", "--help"],
        ["experiment", "--help"],
        ["list", "--help"],
        ["list"],
        ["list", "gaussian_mixture"],
        ["fit", "gaussian_mixture", "no.csv", "--out", "fit.nc"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported_to_understand_a_command(words: list[str]) -> None:
    code = f"""
import sys
from ppl_models.cli import main
main({words!r})
heavy = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_data_are_read_without_jax() -> None:
    code = "import sys, ppl_models.data; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", ppl_models.__all__)
def test_public_names_are_there(name: str) -> None:
    assert callable(getattr(ppl_models, name)) and name in dir(ppl_models)
