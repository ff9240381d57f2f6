"""The gallery: the experiments' pages with their pictures, made by running the experiments.

``PPL_MODELS_DOCS_GALLERY`` names the size: ``demo`` (the default: the small version where an
experiment has one, else the whole), or ``smoke`` (tiny, to see whether it runs). Pages are kept by
size in ``out/gallery``, and a page that is there already is taken as it is.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from ppl_models.cli import experiments

HERE = Path(__file__).parent
SIZES = ("demo", "smoke")


def pages(folder: Path, size: str, *, again: bool = False) -> list[str]:
    """Names of the experiments whose pages are in a folder, after running those that are not.

    Args:
        folder: of pages, pictures and numbers.
        size: one of ``SIZES``.
        again: run all of them.
    """
    if size not in SIZES:
        raise ValueError(f"the gallery's size is {size!r}: choose one of {', '.join(SIZES)}")
    names = experiments.names()
    names.remove("demo")  # a selection of the others
    for name in names:
        if again or not (folder / f"{name}.html").is_file():
            print(f"gallery: {name}", file=sys.stderr, flush=True)
            module = importlib.import_module(f"experiments.{name}")
            chosen = {"size": module.DEMO} if hasattr(module, "DEMO") else {}
            module.run(folder, **({"smoke": True} if size == "smoke" else chosen))
    return names


def card(folder: Path, name: str) -> str:
    """One experiment as a card: picture, question and the beginning of the answer."""
    facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    answer = facts["answer"].split("\n\n")[0]
    sentence = answer if len(answer) < 220 else answer[:200].rsplit(" ", 1)[0] + " …"
    return (
        f":::{{grid-item-card}} {facts['title']}\n:img-top: _experiments/{name}.png\n"
        f":img-alt: {facts['caption'].splitlines()[0]}\n:link: experiments/{name}.html\n\n"
        f"{sentence}\n:::\n"
    )


def index(folder: Path, names: list[str]) -> str:
    """The gallery's page in MyST Markdown."""
    cards = "\n".join(card(folder, name) for name in names)
    return (
        "# Gallery\n\nEach experiment puts one question to data, and writes its answer from the "
        "numbers that came out.\nA card leads to its page: data, program, evidence, pictures. "
        "The longest are shown in a smaller size; `ppl-models experiment NAME` runs "
        "one whole.\n\n"
        f"::::{{grid}} 1 2 2 3\n:gutter: 3\n:class-container: gallery\n\n{cards}\n::::\n"
    )


def write(app: Sphinx) -> None:
    """Make the page and its pictures, and have the experiments' pages copied."""
    size = os.environ.get("PPL_MODELS_DOCS_GALLERY", "demo")
    folder = HERE.parent / "out" / "gallery" / size
    names = pages(folder, size)
    pictures = HERE / "_experiments"
    pictures.mkdir(exist_ok=True)
    copied = Path(app.outdir) / "experiments"
    copied.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(folder / f"{name}.png", pictures)
        shutil.copy(folder / f"{name}.html", copied)
    (HERE / "gallery.md").write_text(index(folder, names), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx asks of an extension."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
