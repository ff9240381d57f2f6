"""``python -m experiments.benchmarks``: every comparison, printed and kept in ``results/``.

Each part runs in a process of its own, for JAX counts its devices when it is imported, and a
compilation that counts must not find what another part has compiled. ``... em kmeans`` measures
two parts and leaves the results of the others as they were.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from datetime import date
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from .timing import machine

FOLDER = Path(__file__).parent
CORES = str(os.cpu_count() or 1)
ONE_DEVICE = {"JAX_NUM_CPU_DEVICES": "1"}
#: Parts in their order, and the environment that each is measured in.
PARTS: dict[str, dict[str, str]] = {
    "start_up": {},
    "many": ONE_DEVICE,
    "density": ONE_DEVICE,
    "em": {"JAX_NUM_CPU_DEVICES": CORES},
    "kmeans": ONE_DEVICE,
    "hidden_markov": ONE_DEVICE,
    "gibbs": ONE_DEVICE,
    "recurrent": ONE_DEVICE,
    "posterior": {**ONE_DEVICE, "JAX_ENABLE_COMPILATION_CACHE": "false"},
    "words": ONE_DEVICE,
    "general": ONE_DEVICE,
    "jobs": ONE_DEVICE,
}
LACKING = {"recurrent": ("torch", "it needs PyTorch (pip install '.[torch]')")}


def measure(name: str) -> None:
    """Measure one part here and print its lines."""
    header = ""
    for row in import_module(f"{__package__}.{name}").run():
        if row.header != header:
            header = row.header
            print(header)
        print(row.markdown(), flush=True)


def apart(name: str) -> list[str]:
    """Measure one part in its own process; its lines."""
    lines = []
    command = [sys.executable, "-m", __package__, "--here", name]
    environment = {**os.environ, **PARTS[name]}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip("\n"))
    if process.returncode:
        raise SystemExit(f"the part '{name}' ended with {process.returncode}")
    return [line for line in lines if line.startswith("|")]


def title(name: str) -> str:
    """The first line of a part's docstring."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or name).split("\n")[0].rstrip(".")


def write(name: str, lines: list[str]) -> None:
    """The file of a part, which the documentation shows."""
    note = f"`python -m experiments.benchmarks {name}`, {date.today()}; {machine()}."
    text = "\n".join([f"**{title(name)}**", "", *lines, "", note, ""])
    (FOLDER / "results" / f"{list(PARTS).index(name):02d}_{name}.md").write_text(text, "utf-8")


def main(chosen: list[str]) -> None:
    """Measure the chosen parts, or all of them."""
    if chosen[:1] == ["--here"]:
        measure(chosen[1])
        return
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        raise SystemExit(f"no part is called {unknown[0]!r}: choose of {', '.join(PARTS)}")
    for name in chosen or PARTS:
        package, reason = LACKING.get(name, ("sys", ""))
        if find_spec(package) is None:
            print(f"{name} is left out: {reason}")
            continue
        write(name, apart(name))


if __name__ == "__main__":
    main(sys.argv[1:])
