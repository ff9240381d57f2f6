"""Page, picture and JSON file of an experiment, from its answer and evidence.

Every experiment writes three files: the page ``<name>.html``, the numbers that the answer is
computed from (``<name>.json``), and the main picture (``<name>.png``).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import cleandoc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from arviz_plots import PlotCollection
from matplotlib.figure import Figure

from ppl_models.errors import InputError
from ppl_models.plots import house_style, png
from ppl_models.report import Block, write_page

Picture = Figure | PlotCollection


@dataclass(frozen=True)
class Outcome:
    """An experiment's answer with its evidence.

    Attributes:
        name: of the files.
        essay: the module's docstring.
        answer: the finding in a few sentences, computed from the numbers.
        numbers: all numbers that the answer is computed from.
        key: the main picture, shown beside the answer.
        caption: of that picture.
        evidence: the other parts of the page, in order.
        tables: the tables beneath the answer: caption -> table.
    """

    name: str
    essay: str
    answer: str
    numbers: Mapping[str, Any]
    key: Picture
    caption: str
    evidence: Sequence[Block] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The essay's first line, the question."""
        return cleandoc(self.essay).splitlines()[0].strip()


def publish(outcome: Outcome, folder: Path) -> Path:
    """Write the page, the key picture and the numbers.

    Args:
        outcome: the answer and its evidence.
        folder: of the files; it is made if it does not exist.

    Returns:
        The page's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {"title": outcome.title, "answer": outcome.answer, "caption": outcome.caption,
               "tables": {text: table_text(table) for text, table in outcome.tables.items()},
               "numbers": plain(outcome.numbers)}  # fmt: skip
    (folder / f"{outcome.name}.json").write_text(
        json.dumps(numbers, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    with house_style():
        (folder / f"{outcome.name}.png").write_bytes(png(outcome.key))
        answer = Block("The answer", outcome.answer)
        tables = [Block("", text, table=table) for text, table in outcome.tables.items()]
        picture = Block("", figures=(outcome.key,), captions=(outcome.caption,))
        blocks = [answer, *tables, picture, *outcome.evidence, *essay_blocks(outcome.essay)]
        return write_page(outcome.title, blocks, folder / f"{outcome.name}.html", overwrite=True)


def table_text(table: pd.DataFrame) -> str:
    """A table as CSV text, as stored in the JSON file.

    >>> table_text(pd.DataFrame({"nats": [1.25]}, ["chain"]))
    ',nats\\nchain,1.25\\n'
    """
    return table.to_csv(lineterminator="\n")


def criteria_table(table: pd.DataFrame) -> pd.DataFrame:
    """What ``choose_clusters`` found, with the columns that a page shows, in words.

    >>> table = pd.DataFrame({"clusters": [2], "bic": [7.5], "converged": [True]})
    >>> list(criteria_table(table))
    ['clusters', 'BIC']
    """
    words = {"log_likelihood": "log-likelihood", "bic": "BIC", "aic": "AIC", "icl": "ICL"}
    shown = [n for n in table if n not in ("converged", "collapsed", "starts_at_best")]
    return table[shown].rename(columns=words)


def percent(fraction: float, places: int = 0) -> str:
    """A fraction as a cell of a table.

    >>> percent(0.256), percent(0.256, 1)
    ('26%', '25.6%')
    """
    return f"{fraction:.{places}%}"


def essay_blocks(essay: str) -> list[Block]:
    """The essay's parts: a line at the left margin is a heading, the indented lines its text.

    >>> [(b.heading, b.text) for b in essay_blocks("Title.\\n\\nModel\\n    z, then x.\\n")]
    [('Model', 'z, then x.')]
    """
    parts: list[tuple[str, list[str]]] = []
    for line in cleandoc(essay).splitlines()[1:]:
        if line and not line.startswith(" "):
            parts.append((line, []))
        elif parts:
            parts[-1][1].append(line)
    return [Block(heading, cleandoc("\n".join(lines)).strip()) for heading, lines in parts]


def plain(value: Any) -> Any:
    """The value as JSON numbers, texts, lists and dicts; non-finite numbers become None.

    >>> plain({"a": np.float64(1.5), "b": np.array([1, 2]), "c": float("nan")})
    {'a': 1.5, 'b': [1, 2], 'c': None}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Print to stderr what is being done and, afterwards, how long it took."""
    print(f"  {what} ...", end="", file=sys.stderr, flush=True)
    started = time.perf_counter()
    try:
        yield
    finally:
        print(f" {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)


def command(run: Callable[..., Path], essay: str) -> int:
    """The command line of one experiment; prints the page's path.

    Args:
        run: the experiment.
        essay: its docstring.

    Returns:
        0, or 2 when the input was wrong.
    """
    parser = argparse.ArgumentParser(description=cleandoc(essay).splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/experiments"), help="folder of pages")
    parser.add_argument("--smoke", action="store_true", help="tiny data, to test that it runs")
    chosen = parser.parse_args()
    try:
        if chosen.out.exists() and not chosen.out.is_dir():  # before the work starts
            raise InputError(f"{chosen.out} is a file: give the path of a folder")
        print(run(chosen.out, smoke=chosen.smoke).resolve())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
