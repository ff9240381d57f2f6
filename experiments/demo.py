"""A representative selection of the experiments in a few minutes, shown on one page.

    python -m experiments.demo [--out out/demo]

runs smaller versions of four experiments, writes a page for each of them and ``index.html``, which
shows every answer with its main picture. Progress goes to stderr; the last line on stdout is the
absolute path of the index.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from experiments import digits, kmeans_fails, names, old_faithful
from ppl_models.errors import InputError

SELECTION = {
    "old_faithful": partial(old_faithful.run, size=old_faithful.DEMO),
    "kmeans_fails": partial(kmeans_fails.run, size=kmeans_fails.DEMO),
    "digits": partial(digits.run, size=digits.DEMO),
    "names": partial(names.run, size=names.DEMO),
}
SMOKE = {"names": partial(names.run, smoke=True)}

STYLE = """
body { margin: 0 auto; max-width: 62rem; padding: 2.5rem 1.5rem; background: #fbfbfa;
  color: #1f2328; font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 2rem; line-height: 1.2; } h2 { font-size: 1.35rem; line-height: 1.3; margin: 0; }
article { border-top: 1px solid #dfe3e8; margin-top: 2.2rem; padding-top: 1.6rem; }
p { max-width: 46rem; } a { color: #0072b2; } figure { margin: 1rem 0; }
figcaption, footer { color: #5f6873; font-size: 0.88rem; }
img { display: block; max-width: 100%; background: #fff; border: 1px solid #dfe3e8;
  border-radius: 6px; padding: 0.6rem; box-sizing: border-box; }
"""


def run(folder: Path, *, smoke: bool = False) -> Path:
    """Run the selection and write its pages and their index.

    Args:
        folder: of the pages; it is made if it does not exist.
        smoke: one tiny experiment only.

    Returns:
        The path of the index.
    """
    chosen = SMOKE if smoke else SELECTION
    started = time.perf_counter()
    for place, (name, experiment) in enumerate(chosen.items(), start=1):
        print(f"[{place}/{len(chosen)}] {name}", file=sys.stderr, flush=True)
        experiment(folder)
    seconds = time.perf_counter() - started
    print(f"done in {seconds:.0f} s", file=sys.stderr, flush=True)
    path = folder / "index.html"
    path.write_text(index_page(folder, list(chosen), seconds), encoding="utf-8")
    return path


def index_page(folder: Path, chosen: Sequence[str], seconds: float) -> str:
    """The page that shows all answers; pictures are inside, the experiments' pages are linked.

    Args:
        folder: of the experiments' files.
        chosen: names of the experiments.
        seconds: wall time of all of them.
    """
    articles = "\n".join(article(folder, name) for name in chosen)
    title = "ppl_models: questions and answers"
    return (
        "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        "<p>Each question is answered by fitting a short probabilistic program to data; the "
        "answers below are computed from the results. These are small versions of the experiments, "
        f"which took {seconds:.0f} seconds together.</p>\n{articles}\n"
        "<footer><p>Made by ppl_models.</p></footer>\n</body>\n</html>\n"
    )


def article(folder: Path, name: str) -> str:
    """One question with the first paragraph of its answer, its key picture and a link."""
    outcome = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    picture = base64.b64encode((folder / f"{name}.png").read_bytes()).decode("ascii")
    title, caption = html.escape(outcome["title"]), html.escape(outcome["caption"], quote=True)
    first = html.escape(outcome["answer"].split("\n\n")[0])
    return (
        f"<article>\n<h2><a href='{name}.html'>{title}</a></h2>\n<p>{first}</p>\n"
        f"<figure><a href='{name}.html'><img alt='{caption}' "
        f"src='data:image/png;base64,{picture}'></a><figcaption>{caption}</figcaption></figure>\n"
        f"<p><a href='{name}.html'>The full answer, with its evidence</a></p>\n</article>"
    )


def main() -> int:
    """The command line; 2 when the input was wrong."""
    parser = argparse.ArgumentParser(description="A selection of the experiments on one page.")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder of the pages")
    parser.add_argument("--smoke", action="store_true", help="one tiny experiment only")
    chosen = parser.parse_args()
    try:
        path = run(chosen.out, smoke=chosen.smoke)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(path.resolve())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
