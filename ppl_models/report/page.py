"""One self-contained HTML page: headings, paragraphs, tables and plots.

Plots are PNG files in base64 inside the page, the style sheet is inside too, and there is no
script, so that the page can be mailed, archived and opened without a network. Where a plot is an
interactive one, plotly.js is inside as well, once.
"""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from arviz_plots import PlotCollection
from matplotlib.figure import Figure

from ppl_models.errors import InputError
from ppl_models.plots.drawing.panels import close, png
from ppl_models.report.tables import table_html

INTERACTIVE = "interactive"  #: class of a figure that plotly.js draws
Tone = Literal["", "ok", "warning", "problem"]


@dataclass(frozen=True)
class Block:
    """A heading and its contents, in this order: text, code, table, figures.

    Attributes:
        heading: plain text; empty for a block that goes on with the one before.
        text: paragraphs apart by empty lines; lines that begin with "- " are a list, and indented
            lines below go on with an item; words in
            backticks are set as code.
        table: a data frame, its index as row heads.
        figures: plots, which are closed once they are in the page.
        captions: one a picture, or fewer.
        code: text in a fixed-width box.
        level: 2 for a heading that the contents list, 3 for one below it.
        tone: colours the text's box by severity.

    >>> Block("Fit", "In `float64`.").level
    2
    """

    heading: str
    text: str = ""
    table: pd.DataFrame | None = None
    figures: tuple[Figure | PlotCollection, ...] = ()
    captions: tuple[str, ...] = ()
    code: str = ""
    level: int = 2
    tone: Tone = ""


@dataclass(frozen=True)
class Section:
    """A part of a gallery: a title that the contents list, and blocks below it.

    >>> Section("Digits", (Block("Fit", "In `float64`."),)).title
    'Digits'
    """

    title: str
    blocks: tuple[Block, ...]
    text: str = ""


def write_page(
    title: str, blocks: Iterable[Block], path: str | Path, *, overwrite: bool = False
) -> Path:
    """Write one page atomically: completely or not at all.

    Args:
        title: heading and title of the page.
        blocks: what it holds; a generator is asked for one block at a time, so that few plots
            are in memory at once.
        path: the HTML file.
        overwrite: whether a file that exists may be replaced.

    Returns:
        The path of the page.

    Raises:
        InputError: when the file exists and `overwrite` is not set, or its folder is missing.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> written = write_page("Trial", [Block("One", "a < b")], Path(folder.name) / "page.html")
    >>> "a &lt; b" in written.read_text(encoding="utf-8")
    True
    >>> folder.cleanup()
    """
    path = checked_path(path, overwrite=overwrite)
    contents, body = [], []
    for position, block in enumerate(blocks):
        anchor = f"part-{position}"
        if block.level == 2 and block.heading:
            contents.append(f"<li><a href='#{anchor}'>{html.escape(block.heading)}</a></li>")
        body.append(_block_html(block, anchor))
    listed = f"<nav><ul>{''.join(contents)}</ul></nav>" if len(contents) > 1 else ""
    style = files("ppl_models.report").joinpath("style.css").read_text(encoding="utf-8")
    page = (
        "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{html.escape(title)}</title>\n<style>\n{style}</style>\n"
        f"{_script(body)}</head>\n<body>\n"
        f"<header><h1>{html.escape(title)}</h1></header>\n{listed}\n"
        f"<main>\n{''.join(body)}</main>\n"
        "<footer>Made by ppl_models. This page is complete in itself.</footer>\n</body>\n</html>\n"
    )
    write_atomically(path, page)
    return path


def write_gallery(
    pages: Sequence[Section], path: str | Path, title: str, *, overwrite: bool = False
) -> Path:
    """Write one page of several parts, each with blocks of its own.

    Args:
        pages: the parts, in order.
        path: the HTML file.
        title: heading and title of the page.
        overwrite: whether a file that exists may be replaced.

    Raises:
        InputError: as `write_page`.

    Example:
        >>> import tempfile
        >>> parts = [Section("Digits", (Block("Fit", "In `float64`."),))]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_gallery(parts, f"{folder}/index.html", "Demo").name
        'index.html'
    """
    return write_page(title, _flattened(pages), path, overwrite=overwrite)


def _flattened(pages: Sequence[Section]) -> Iterable[Block]:
    for page in pages:
        yield Block(page.title, page.text)
        for block in page.blocks:
            yield Block(**{**vars(block), "level": 3})


def checked_path(path: str | Path, *, overwrite: bool) -> Path:
    """The path, if a page may be written there.

    Raises:
        InputError: when it may not.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the name of an HTML file.")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: choose another name, or overwrite it by overwrite=True.")
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} does not exist: make it first.")
    return path


def write_atomically(path: Path, text: str) -> None:
    """Write to a temporary file, then replace, so that no reader sees half a page."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _block_html(block: Block, anchor: str) -> str:
    parts = []
    if block.heading:
        level = 2 if block.level == 2 else 3
        parts.append(f"<h{level} id='{anchor}'>{html.escape(block.heading)}</h{level}>")
    if block.text:
        written = text_html(block.text)
        parts.append(f"<div class='note {block.tone}'>{written}</div>" if block.tone else written)
    if block.code:
        parts.append(f"<pre><code>{html.escape(block.code)}</code></pre>")
    if block.table is not None:
        parts.append(table_html(block.table))
    for position, figure in enumerate(block.figures):
        caption = block.captions[position] if position < len(block.captions) else ""
        parts.append(figure_html(figure, caption, block.heading))
    return "<section>" + "\n".join(parts) + "</section>\n"


def _script(body: list[str]) -> str:
    """plotly.js, where a plot needs it."""
    if not any(INTERACTIVE in part for part in body):
        return ""
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>\n"


def figure_html(figure: Any, caption: str, heading: str) -> str:
    """A plot inside the page; its caption is also its alternative text."""
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    if getattr(figure, "backend", "") == "plotly":
        from ppl_models.plots.drawing.interactive import html as plotly_html

        return f"<figure class='{INTERACTIVE}'><div>{plotly_html(figure)}</div>{below}</figure>"
    try:
        data = base64.b64encode(png(figure)).decode("ascii")
    finally:
        close(figure)
    described = html.escape(caption or heading or "figure", quote=True)
    return f"<figure><img alt='{described}' src='data:image/png;base64,{data}'>{below}</figure>"


def text_html(text: str) -> str:
    """Paragraphs, lists and code words of a plain text, escaped.

    >>> text_html("see `x`\\n- one\\n- two")
    '<p>see <code>x</code></p><ul><li>one</li><li>two</li></ul>'
    """
    parts = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        plain: list[str] = []
        for is_item, lines in _runs(paragraph.splitlines()):
            if is_item:
                items = "".join(f"<li>{_inline(line.strip()[2:])}</li>" for line in lines)
                plain.append(f"<ul>{items}</ul>")
            else:
                plain.append(f"<p>{_inline(' '.join(line.strip() for line in lines))}</p>")
        parts += plain
    return "".join(parts)


def _runs(lines: list[str]) -> list[tuple[bool, list[str]]]:
    """Consecutive lines, grouped into list items and plain lines.

    An indented line below an item goes on with it.
    """
    runs: list[tuple[bool, list[str]]] = []
    for line in lines:
        is_item = line.strip().startswith("- ")
        if runs and runs[-1][0] and not is_item and _indent(line) > _indent(runs[-1][1][-1]):
            runs[-1][1][-1] += f" {line.strip()}"
        elif runs and runs[-1][0] == is_item:
            runs[-1][1].append(line)
        else:
            runs.append((is_item, [line]))
    return runs


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
