"""``python -m experiments.benchmarks``: every comparison, printed and kept in ``results.md``."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import jax

from . import density, em, gibbs, kmeans, posterior
from .timing import HEADER, machine

PARTS = {"density": density.run, "em": em.run, "kmeans": kmeans.run, "gibbs": gibbs.run}


def main(chosen: list[str]) -> None:
    """Run the chosen parts (default: all)."""
    lines: list[str] = []
    absolute: list[str] = []
    if not chosen or "posterior" in chosen:  # first: a compilation counts
        absolute = [one.markdown() for one in posterior.run()]
        print("\n".join(absolute), flush=True)
    for name in [n for n in chosen if n != "posterior"] if chosen else list(PARTS):
        for row in PARTS[name]():
            lines.append(row.markdown())
            print(lines[-1], flush=True)
    if not chosen:
        text = "\n".join(
            [
                "`make bench`, medians of paired runs in one process each side in turn, float32, "
                f"compile time apart, {jax.local_device_count()} JAX devices; {date.today()}; "
                f"{machine()}.",
                "",
                HEADER,
                *lines,
                "",
                posterior.HEADER,
                *absolute,
                "",
            ]
        )
        (Path(__file__).parent / "results.md").write_text(text, encoding="utf-8")
        print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
