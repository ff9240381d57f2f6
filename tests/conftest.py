"""What every test may count on: no windows, compiled programs kept, references or a clear skip.

And the table of built-in programs, ``models/programs.py``, as parameters and fixtures.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(Path(__file__).parent / "helpers"))  # what tests of several rooms import

# before anything imports matplotlib or JAX; most tests compile for longer than they run, so that
# compiling well would cost time, not save it (see the fixture thorough_compilation)
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
# a fit is many small compilations: keep these too
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# (two processes share two cores; and what moves out of loops would save time in long ones alone)
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_parallel_codegen_split_count=1 "
    "--xla_disable_hlo_passes=while-loop-invariant-code-motion,while-loop-constant-sinking",
)

# tracing makes objects by the million, of which few are garbage that is held in circles
gc.set_threshold(100_000, 20, 100)

import pytest  # noqa: E402


def _module(name: str, path: Path) -> Any:
    """A file of the tests as a module."""
    if name not in sys.modules:
        specification = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def _table() -> Any:
    """The table of built-in programs."""
    return _module("model_programs", Path(__file__).parent / "models" / "programs.py")


def _programs() -> list[Any]:
    return _table().PROGRAMS


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--cpu-seconds FILE``: what each test costs, for ``helpers/choose_long.py``."""
    parser.addoption("--cpu-seconds", metavar="FILE", help="write the CPU seconds of every test")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Measure a test with its fixtures, threads of the compiler included."""
    before = time.process_time()
    result = yield
    if file := item.config.getoption("--cpu-seconds"):
        with open(
            file, "a", encoding="utf-8"
        ) as lines:  # one short line: workers may append at once
            lines.write(f"{time.process_time() - before:.3f}\t{item.nodeid}\n")
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as long what ``long_tests.txt`` lists, before pytest chooses by marks."""
    listed = set((ROOT / "tests" / "long_tests.txt").read_text(encoding="utf-8").splitlines())
    for item in items:
        if item.nodeid in listed:
            item.add_marker(pytest.mark.long)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``built_in``: every row of the table; ``mixture``: those that assign;
    ``em_program``: those that EM serves.

    In ``models`` these are called ``program``, and ``model`` is one row a program.
    """
    chosen: dict[str, Any] = {
        "built_in": lambda: _programs(),
        "em_program": lambda: [row for row in _programs() if row.point == "em"],
        "mixture": lambda: [row for row in _programs() if "clusters" in row.arguments],
    }
    if metafunc.definition.path.parent.name == "models":
        chosen["program"] = chosen["built_in"]
        chosen["model"] = lambda: list({row.name: row for row in reversed(_programs())}.values())
    for name, rows in chosen.items():
        if name in metafunc.fixturenames:
            ids = [row.name if name == "model" else row.label for row in rows()]
            long = _table().LONG if name != "model" else set()
            if metafunc.definition.path.parent.name != "models":
                long = long | _table().LONG_ELSEWHERE
            values = [
                pytest.param(row, marks=pytest.mark.long) if row.label in long else row
                for row in rows()
            ]
            metafunc.parametrize(name, values, ids=ids)


#: what takes six seconds or more, the longest first: begun last, it would keep one
#: process waiting
LONG_FILES = (
    "fits",
    "tests/models/test_noise.py",
    "tests/models/test_jobs.py",
    "tests/test_readme.py",
    "tests/inference/test_scanned_paths.py",
    "tests/distributions/test_families.py",
    "tests/models/test_programs.py",
    "tests/many/test_fit_many.py",
    "tests/models/test_mclust.py",
    "tests/inference/test_refusals.py",
    "tests/inference/test_checkpoint.py",
    "tests/distributions/test_family_statistics.py",
    "tests/program/test_random_programs.py",
    "tests/test_contributing.py",
    "tests/distributions/test_autoregressive.py",
    "tests/distributions/test_new_family.py",
    "tests/test_bad_input.py",
    "tests/inference/test_combined_sites.py",
    "tests/program/test_padding.py",
    "tests/inference/test_rowwise.py",
    "tests/inference/test_known_components.py",
    "tests/inference/test_row_weights.py",
    "tests/inference/test_gibbs_blocks.py",
    "tests/inference/test_stochastic.py",
    "tests/distributions/test_family_conditionals.py",
    "tests/posterior/test_read_once.py",
    "tests/program/test_reading.py",
    "tests/models/test_student_t_mixture.py",
    "tests/inference/test_known_and_computed.py",
    "tests/posterior/test_generate.py",
    "tests/plots/test_chosen_pictures.py",
    "tests/experiments/test_experiments.py",
    "tests/models/test_mixed_mixture.py",
    "tests/posterior/test_local_sites.py",
    "tests/inference/test_stochastic_em.py",
    "tests/evaluation/test_calibration.py",
    "tests/posterior/test_labels_relabel.py",
    "tests/test_cli.py",
    "tests/report/test_report.py",
    "tests/report/test_own_programs.py",
    "tests/inference/test_default_recovery.py",
    "tests/distributions/test_far_from_zero.py",
    "tests/posterior/test_storage.py",
    "tests/sklearn/test_mixtures.py",
    "tests/inference/test_known_clusters.py",
    "tests/distributions/test_hidden_markov.py",
    "tests/distributions/test_pixels.py",
    "tests/program/test_emissions.py",
    "tests/distributions/test_missing_cells.py",
    "tests/inference/test_products.py",
    "tests/posterior/test_row_deterministics.py",
    "tests/program/test_row_order.py",
    "tests/distributions/test_numpyro_missing.py",
    "tests/models/test_censored_mixture.py",
    "tests/distributions/test_forward_backward.py",
    "tests/distributions/test_recurrent_chain.py",
    "tests/diagnostics/test_diagnosis_draws.py",
    "tests/inference/test_chains_of_several.py",
    "tests/inference/test_recovery_float32.py",
    "tests/diagnostics/test_components.py",
    "tests/inference/test_nuts_and_exact.py",
    "tests/distributions/test_convert.py",
    "tests/plots/test_every_plot.py",
    "tests/distributions/test_token_chain.py",
    "tests/test_cli_sequences.py",
    "tests/inference/test_blockwise.py",
    "tests/program/test_scaled_sites.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests that share what is dear to make run in one process.

    Those of a file do, and all files that ask for the fits of the built-in programs.
    """
    from xdist.scheduler import LoadFileScheduling

    class SharedFits(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "fits" if file in sharing else file

        def schedule(self) -> None:
            super().schedule()
            last = len(LONG_FILES)  # sorting leaves the others as they are
            places = {name: place for place, name in enumerate(LONG_FILES)}
            waiting = sorted(self.workqueue, key=lambda name: places.get(name, last))
            for name in waiting:
                self.workqueue.move_to_end(name)

    files = (ROOT / "tests").rglob("test_*.py")
    # as the name of a fixture, among the arguments of a test
    asks = re.compile(r"^ *def [^)]*\btrees\b", re.MULTILINE)
    sharing = {
        str(file.relative_to(config.rootpath)) for file in files if asks.search(file.read_text())
    }
    return SharedFits(config, log)


@pytest.fixture(scope="session")
def built_ins() -> dict[str, Any]:
    """All built-in programs by their labels."""
    return {row.label: row for row in _programs()}


@pytest.fixture(scope="session")
def own() -> Any:
    """Programs of a user's own."""
    return _module("own_programs", Path(__file__).parent / "program" / "own_programs.py")


NAMES = ["width", "height", "depth"]


@pytest.fixture(scope="session")
def named() -> Callable:
    """Data with names: of the columns, and of the rows (letters)."""
    import numpy as np
    import pandas as pd

    def of(row: Any, data: Any = None) -> Any:
        data = row.to_fit if data is None else data
        if isinstance(data, list) or row.site == "tokens" or np.ndim(data) == 3:
            return data
        labels = [chr(ord("a") + i) for i in range(len(data))]
        if data.ndim == 1:
            return pd.Series(data, labels, name=NAMES[0])
        return pd.DataFrame(data, labels, NAMES[: data.shape[1]])

    return of


#: how points are looked for here
POINTS = {"em": {"starts": 4, "tolerance": 1e-13}, "map": {"starts": 4, "steps": 40}}


@pytest.fixture(scope="session")
def trees(named: Callable) -> Callable:
    """``trees(row, method, **options)``: a fit to named data, made once."""
    made: dict[Any, Any] = {}

    def of(row: Any, method: str | None = None, **options: Any) -> Any:
        from ppl_models import fit

        method = method or row.point
        key = (row.label, method, *sorted(options.items()))
        if key not in made:
            chosen = POINTS.get(method, {})
            made[key] = fit(
                row.name,
                named(row),
                method=method,
                seed=0,
                **{"predictive": 6, **row.options, **chosen, **options},
            )
        return made[key]

    return of


@pytest.fixture(scope="session")
def drawn(built_ins: dict[str, Any], trees: Callable) -> Any:
    """Draws by NUTS of the univariate Gaussian mixture, two chains."""
    row = built_ins["gaussian_mixture univariate"]
    return trees(row, "nuts", chains=2, warmup=150, draws=150, starts=4)


@pytest.fixture
def double_precision() -> Iterator[None]:
    """Oracles are in double precision."""
    import jax

    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module", autouse=True)
def room() -> None:
    """One process compiles for hundreds of tests, most of which never call ``fit``."""
    from ppl_models.program.runtime.compiling import make_room

    make_room()


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of published numbers beside the checkout; without it the test is skipped."""
    folder = ROOT.parent / "shared" / "reference"
    if not folder.is_dir():
        pytest.skip("the published reference data are not beside this checkout")
    return folder


@pytest.fixture(scope="module")
def thorough_compilation() -> Iterator[None]:
    """For modules of long runs: compiling them well pays."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
