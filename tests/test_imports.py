"""What may be imported when: each room only from rooms to its left, nothing heavy for a listing."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
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
    "many",
    "plots",
    "report",
    "sklearn",
)
#: Open to every room: names of files, what a person is told, lists as arrays, what memory and which
#: device there is.
COMMON = (
    "errors",
    "catalogue",
    "field_parameters",
    "memory",
    "device",
    "compilation_cache",
    "rectangular",
    "submodules",
)
#: Folders that are galleries: a program, a plot or a method a file, each found by its file's name.
GALLERIES = ("models", "plots", "inference/methods")
MOST_FILES = 16  #: in any other folder, ``__init__.py`` among them
HEAVY = ("jax", "numpyro", "pandas", "arviz", "matplotlib", "xarray", "scipy", "sklearn")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def names_imported(path: Path, *, typing: bool = True) -> set[str]:
    """Full names that a file imports from the package, in functions too.

    Args:
        path: of the file.
        typing: count what only a type checker imports.
    """
    package = ("ppl_models", *path.relative_to(PACKAGE).parent.parts)
    tree, actual, left_out = ast.parse(path.read_text(encoding="utf-8")), set(), set()
    for node in ast.walk(tree):
        if not typing and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            left_out |= {id(inner) for each in node.body for inner in ast.walk(each)}
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            actual |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*base, *([node.module] if node.module else [])])
            actual |= {f"{start}.{alias.name}" for alias in node.names}
    return {name for name in actual if name.split(".")[0] == "ppl_models"}


def rooms_imported(path: Path) -> set[str]:
    """Rooms of the package that a file imports."""
    parts = [name.split(".") for name in names_imported(path)]
    return {p[1] for p in parts if len(p) > 1}


@cache
def import_graph() -> dict[str, set[str]]:
    """Module -> modules that it imports; of a name in a module, the module."""
    paths = {module_name(path): path for path in modules()}

    def module_of(name: str) -> str:
        while name not in paths:
            name = name.rpartition(".")[0]
        return name

    return {
        m: {module_of(n) for n in names_imported(p, typing=False)} - {m} for m, p in paths.items()
    }


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of one circle, empty if there is none."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph.get(node, ())):
            if actual := visit(other, [*path, node]):
                return actual
        done.add(node)
        return []

    return next((actual for node in sorted(graph) if (actual := visit(node, []))), [])


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_modules_import_each_other_in_no_circle() -> None:
    assert circle(import_graph()) == []


def test_a_folder_is_small_and_says_what_is_in_it() -> None:
    folders = {path.parent for path in modules()}
    for folder in folders:
        name = str(folder.relative_to(PACKAGE))
        text = (folder / "__init__.py").read_text(encoding="utf-8")
        assert len((ast.get_docstring(ast.parse(text)) or "").split()) >= 3, name
        assert name in GALLERIES or len(list(folder.glob("*.py"))) <= MOST_FILES, name


@pytest.mark.parametrize("room", [r for r in ROOMS if (PACKAGE / r).is_dir()])
def test_folders_and_files_of_a_room_import_each_other_in_no_circle(room: str) -> None:
    """A room's folders stand in an order, as the rooms do."""

    def part(module: str) -> str | None:
        names = module.split(".")
        return names[2] if names[:2] == ["ppl_models", room] and len(names) > 2 else None

    graph: dict[str, set[str]] = {}
    for module, imported in import_graph().items():
        if own := part(module):
            others = {p for m in imported if (p := part(m))}
            graph.setdefault(own, set()).update(others - {own})
    assert graph and circle(graph) == []


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
    actual = rooms_imported(PACKAGE / "inference" / "methods" / "kmeans.py")
    assert {"data", "distributions", "errors", "inference"} <= actual


def test_no_module_switches_anything_or_makes_arrays_when_imported() -> None:
    code = """
import sys, importlib, pkgutil, warnings
warnings.simplefilter("ignore")
import jax, matplotlib, numpy
backend, x64 = matplotlib.rcParams["backend"], jax.config.jax_enable_x64
folder = jax.config.jax_compilation_cache_dir
import jax._src.core as core
import ppl_models
for module in pkgutil.walk_packages(ppl_models.__path__, "ppl_models."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert matplotlib.rcParams["backend"] == backend
assert jax.config.jax_enable_x64 == x64
assert jax.config.jax_compilation_cache_dir == folder
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


def test_to_fit_loads_no_plots_no_networks_and_no_optimisers() -> None:
    unneeded = "arviz arviz_stats flax matplotlib optax scipy.optimize scipy.stats sklearn".split()
    code = "import sys\nfrom ppl_models import fit\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {*unneeded} & {*result.stdout.split()}


def test_numpyro_is_whole_where_arviz_loads_it_lazily() -> None:
    """Imported after ArviZ, NumPyro lacked modules, and NUTS ended in an AttributeError."""
    code = (
        "import arviz_base, numpyro.distributions, ppl_models.report\n"
        "import numpyro\n"
        "with numpyro.handlers.seed(rng_seed=0): numpyro.factor('factor', 0.0)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
