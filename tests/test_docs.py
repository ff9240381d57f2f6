"""The documentation's links lead somewhere, and its reference has every public name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ppl_models.sklearn

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MADE = {DOCS / "gallery.md"}  #: written by the build
PAGES = sorted(
    page
    for page in [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    if page not in MADE and "_build" not in page.parts
)


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^(`{3,})(?!\{toctree\}).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as MyST and GitHub make them."""
    headings = re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE)
    selected = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in selected}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_internal_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        goal = (page.parent / file).resolve() if file else page
        assert goal.exists() or goal in MADE, f"{target} is not there"
        if anchor:
            assert anchor in anchors(goal), f"{target}: no such heading"


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {DOCS / "index.md"}
    for page in PAGES:
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", prose(page), re.M | re.S):
            names = [line for line in block.split("\n") if line and not line.startswith(":")]
            for name in names:
                goal = (page.parent / name).with_suffix(".md")
                assert goal.exists() or goal in MADE, f"{page.name}: {name} is not there"
                listed.add(goal)
    pages = {page for page in PAGES if page.is_relative_to(DOCS)}
    assert pages - listed == set()


def test_every_estimator_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "estimators.md").read_text(encoding="utf-8")
    listed = re.findall(r"^   ([A-Z]\w+)$", text, re.MULTILINE)
    assert sorted(listed) == sorted(ppl_models.sklearn.__all__)
