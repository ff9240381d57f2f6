"""``python -m experiments.benchmarks``: every comparison, printed and kept in ``results.md``.

Each part runs in a process of its own, for JAX counts its devices when it is imported, and a
compilation that counts must not find what another part has compiled. ``... em`` runs one part.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from importlib.util import find_spec
from pathlib import Path

from .timing import HEADER, machine

CORES = str(os.cpu_count() or 1)
#: Parts in their order, and the environment that each is measured in.
PARTS = {
    "density": {"JAX_NUM_CPU_DEVICES": "1"},
    "em": {"JAX_NUM_CPU_DEVICES": CORES},
    "kmeans": {"JAX_NUM_CPU_DEVICES": "1"},
    "hidden_markov": {"JAX_NUM_CPU_DEVICES": "1"},
    "posterior": {"JAX_NUM_CPU_DEVICES": "1", "JAX_ENABLE_COMPILATION_CACHE": "false"},
    "gibbs": {"JAX_NUM_CPU_DEVICES": "1"},
    "many": {"JAX_NUM_CPU_DEVICES": "1"},
    "words": {"JAX_NUM_CPU_DEVICES": "1"},
    "recurrent": {"JAX_NUM_CPU_DEVICES": "1"},
    "start_up": {},
}
IN_SECONDS = ("start_up", "posterior", "words")  #: parts without a peer


def one(name: str) -> None:
    """Run one part here and print its lines."""
    from importlib import import_module

    for row in import_module(f"{__package__}.{name}").run():
        print(row.markdown(), flush=True)


def apart(name: str) -> list[str]:
    """Run one part in its own process; its lines."""
    lines = []
    command = [sys.executable, "-m", __package__, name]
    environment = {**os.environ, **PARTS[name]}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip("\n"))
    if process.returncode:
        raise SystemExit(f"the part '{name}' ended with {process.returncode}")
    return [line for line in lines if line.startswith("|")]


def main(chosen: list[str]) -> None:
    """Run the chosen parts here, or all of them apart."""
    if chosen:
        for name in chosen:
            one(name)
        return
    from .posterior import HEADER as SECONDS

    found: dict[str, list[str]] = {}
    for name in PARTS:
        if name == "recurrent" and find_spec("torch") is None:
            print("recurrent is left out: it needs PyTorch (pip install '.[torch]')")
            continue
        found[name] = apart(name)
        write(found, SECONDS)


def write(found: dict[str, list[str]], seconds: str) -> None:
    """The file that is kept in the repository and shown in the README."""
    note = (
        "`make bench`, float32 but where said, compile time apart, medians of paired runs, each "
        f"side in turn; the rows of em are shared between {CORES} JAX devices. {date.today()}; "
        f"{machine()}."
    )
    lines = [line for name, part in found.items() if name not in IN_SECONDS for line in part]
    alone = [line for name in IN_SECONDS for line in found.get(name, [])]
    text = [note, "", HEADER, *lines, "", "In double precision, compile time included where said:",
            "", seconds, *alone, ""]  # fmt: skip
    (Path(__file__).parent / "results.md").write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
