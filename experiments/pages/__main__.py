"""Open every page of a folder in headless Chromium, at a desktop's width and at a phone's.

    python -m experiments.pages              # the documentation, after ``make docs``
    python -m experiments.pages FOLDER OUT   # any other pages; results and pictures are put in OUT

Asks of each page: errors and warnings on the console, what it loads and from where, whether it is
wider than the screen, pictures that are not there or say nothing to those who cannot see them, and
links that lead nowhere. The results are written to ``results.md``, pictures of all pages to
``out/pages``. Needs ``chromium`` and ``chromedriver``.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import unquote, urldefrag

from experiments.pages.browser import Browser

ROOT = Path(__file__).parent.parent.parent
#: name -> width and height in CSS pixels, whether it is a phone
SCREENS = {"desktop": (1280, 900, False), "phone": (390, 844, True)}
FACTS = r"""
const entries = [...performance.getEntriesByType('navigation'),
                 ...performance.getEntriesByType('resource')];
const page = document.documentElement;
const scrolled = e => {
  for (let p = e; p && p !== document.body; p = p.parentElement) {
    const style = getComputedStyle(p);
    if (['auto', 'scroll', 'hidden', 'clip'].includes(style.overflowX)
        || style.position === 'fixed' || style.visibility === 'hidden') return true;
  }
  return false;
};
const seen = e => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0; };
return {
  loaded: entries.map(e => [e.name, e.encodedBodySize]),
  width: page.scrollWidth, screen: page.clientWidth,
  wide: [...document.body.querySelectorAll('*')].filter(
      e => seen(e) && e.getBoundingClientRect().right > page.clientWidth + 1 && !scrolled(e))
    .map(e => e.tagName.toLowerCase() + (e.className ? '.' + e.className : '')).slice(0, 3),
  absent: [...document.images].filter(e => e.complete && !e.naturalWidth).map(e => e.src),
  unshown: [...document.querySelectorAll('div.cell')].filter(
      e => /\bplot_\w+\(/.test(e.querySelector('.cell_input')?.textContent)
           && !e.querySelector('.cell_output img')).length,
  unsaid: [...document.images].filter(e => !e.alt.trim()).length,
  title: document.title,
  ids: [...document.querySelectorAll('[id], a[name]')].map(e => e.id || e.name),
  links: [...document.querySelectorAll('a[href]')].map(e => e.href),
};
"""


@dataclass
class Page:
    """What was seen of a page.

    Attributes:
        weight: bytes of the page and of all that it loads.
        parts: how many files those are.
        faults: what is wrong, in words.
        links: to pages of the folder.
        ids: anchors on the page.
    """

    weight: int = 0
    parts: int = 0
    faults: list[str] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a line for every request."""

    def do_GET(self) -> None:
        """A file; browsers ask for an icon where a page names none."""
        if self.path == "/favicon.ico":
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, for files opened as such do not say their weight."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def faults(screen: str, facts: Mapping[str, Any], messages: list[str], home: str) -> list[str]:
    """What is wrong with a page on one screen."""
    wrong = [f"{screen}: {message.replace(home, '')}" for message in messages]
    if facts["screen"] > SCREENS[screen][0]:
        wrong.append(f"{screen}: no viewport, laid out for {facts['screen']} pixels")
    if facts["width"] > facts["screen"] + 1:
        wrong.append(f"{screen}: {facts['width']} wide on {facts['screen']} ({facts['wide']})")
    wrong += [f"{screen}: no picture {source}" for source in facts["absent"]]
    outside = [n for n, _ in facts["loaded"] if not n.startswith((home, "data:", "blob:"))]
    wrong += [f"{screen}: loads {name} from elsewhere" for name in outside]
    if screen == "desktop":
        if facts["unsaid"]:
            wrong.append(f"{facts['unsaid']} pictures without words")
        if facts["unshown"]:
            wrong.append(f"{facts['unshown']} cells that plot and show no picture")
        if not facts["title"].strip():
            wrong.append("no title")
    return wrong


def look(folder: Path, pictures: Path) -> dict[str, Page]:
    """Every page of a folder, on every screen."""
    names = sorted(
        str(p.relative_to(folder))
        for p in folder.rglob("*.html")
        if "_static" not in p.parts  # templates of the theme
    )
    pages = {name: Page() for name in names}
    with served(folder) as home:
        for screen, (width, height, phone) in SCREENS.items():
            with Browser(width, height, phone=phone) as browser:
                for name in names:
                    browser.open(home + name)
                    facts = browser.run(FACTS)
                    page = pages[name]
                    page.faults += faults(screen, facts, browser.messages(), home)
                    if screen == "desktop":
                        page.weight = sum(size for _, size in facts["loaded"])
                        page.parts = len(facts["loaded"])
                        page.ids = set(facts["ids"])
                        page.links = {
                            link.removeprefix(home)
                            for link in facts["links"]
                            if link.startswith(home)
                        }
                    file = (pictures / screen / name).with_suffix(".png")
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(browser.picture())
    for page in pages.values():
        links = sorted(page.links)
        page.faults += [f"link to {link}" for link in links if lost(link, pages, folder)]
    return pages


def lost(link: str, pages: Mapping[str, Page], folder: Path) -> bool:
    """Whether a link leads to no page, or to no place on it."""
    name, anchor = urldefrag(link)
    name = unquote(name) or "index.html"
    if name not in pages:
        return not (folder / name).exists()
    return bool(anchor) and unquote(anchor) not in pages[name].ids


def table(pages: Mapping[str, Page]) -> str:
    """Markdown: a row a folder of pages, how heavy they are, and every page that has a fault."""
    wrong = {name: page for name, page in pages.items() if page.faults}
    heaviest = max(pages, key=lambda name: pages[name].weight)
    folders: dict[str, list[Page]] = {}
    for name, page in pages.items():
        folders.setdefault(name.rpartition("/")[0].partition("/")[0] or "(top)", []).append(page)
    lines = [
        "# Pages in a browser",
        "",
        f"`python -m experiments.pages`: {len(pages)} pages in headless Chromium, each at "
        + " and ".join(f"{width} pixels ({name})" for name, (width, *_) in SCREENS.items())
        + f". {len(pages) - len(wrong)} have no fault: no error or warning on the console, nothing "
        "loaded from another host, not wider than the screen, every picture there and described, "
        f"every link within the documentation leads to its place. The heaviest, {heaviest}, has "
        f"{pages[heaviest].weight / 1024:,.0f} KiB with all that it loads.",
        "",
        "| folder | pages | with faults | KiB, median | KiB, heaviest |",
        "|---|---:|---:|---:|---:|",
    ]
    for folder, members in folders.items():
        weights = [page.weight / 1024 for page in members]
        lines.append(
            f"| {folder} | {len(members)} | {sum(bool(page.faults) for page in members)} | "
            f"{median(weights):,.0f} | {max(weights):,.0f} |"
        )
    lines += ["", *(f"- {name}: {'; '.join(page.faults)}" for name, page in wrong.items())]
    return "\n".join(lines).rstrip() + "\n"


def main(words: list[str]) -> int:
    """Look at all pages, write what was seen, and count the pages that have a fault."""
    folder = Path(words[0]) if words else ROOT / "out" / "docs"
    out = Path(words[1]) if len(words) > 1 else ROOT / "out" / "pages"
    results = out / "results.md" if len(words) > 1 else Path(__file__).parent / "results.md"
    pages = look(folder.resolve(), out)
    if not pages:
        raise SystemExit(f"{folder} has no pages: make docs first")
    out.mkdir(parents=True, exist_ok=True)
    results.write_text(table(pages), encoding="utf-8")
    wrong = {name: page.faults for name, page in pages.items() if page.faults}
    for name, seen in wrong.items():
        print(f"{name}: {'; '.join(seen)}")
    print(f"{len(pages)} pages, {len(wrong)} with faults: {results}")
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
